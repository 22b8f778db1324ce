// Whatever bytes strangers put into an exchange, it stays one line of printable UTF-8, in both formats; and
// the text of events and labels stays one line too.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/observe/escape.hpp"
#include "proxy/observe/log.hpp"

using namespace understudy::observe;

namespace {

void require(bool good) {
  if (!good) std::abort();
}

void require_one_line(const std::string& line) {
  require(!line.empty() && line.find('\n') == line.size() - 1);
  for (std::size_t at = 0; at + 1 < line.size();) {
    const Utf8 here = utf8_at(line, at);
    require(here.length != 0);
    require(here.code_point >= 0x20 && !(here.code_point >= 0x7F && here.code_point <= 0x9F));
    at += here.length;
  }
}

// Ends exactly where the object's brace closes, with every string closed.
void require_json_shape(const std::string& line) {
  bool in_text = false;
  int depth = 0;
  for (std::size_t at = 0; at + 1 < line.size(); ++at) {
    const char c = line[at];
    if (in_text && c == '\\') {
      ++at;
    } else if (c == '"') {
      in_text = !in_text;
    } else if (!in_text) {
      depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
      require(depth > 0 || at + 2 == line.size());
    }
  }
  require(!in_text && depth == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  AccessRecord record;
  record.unix_us = static_cast<std::int64_t>(size) * 0x1234'5678'9ABC;
  record.method.assign(bytes);
  record.host.assign(bytes);
  record.path.assign(bytes);
  record.user_agent.assign(bytes);
  record.referer.assign(bytes);
  record.request_id.assign(bytes);
  record.client_ip.assign(bytes);
  std::string json, combined, event, label;
  format_json(record, json);
  require_one_line(json);
  require_json_shape(json);
  format_combined(record, combined);
  require_one_line(combined);
  append_event_text(event, bytes);
  event += '\n';
  require_one_line(event);
  append_label_text(label, bytes);
  require(label.find('\n') == std::string::npos);
  return 0;
}
