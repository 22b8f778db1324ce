// The combined log format in the order of Apache and nginx, so that goaccess and lnav read it unchanged:
//   client - - [22/Nov/2026:02:14:05 +0000] "GET /path HTTP/1.1" 200 1234 "referer" "user agent"
// Times are UTC. A text that was cut ends in "...".
#include <charconv>

#include "proxy/observe/access_time.hpp"
#include "proxy/observe/escape.hpp"
#include "proxy/observe/log.hpp"

namespace understudy::observe {
namespace {

template <std::size_t N>
void append_text(std::string& out, const FixedText<N>& value) {
  if (value.size == 0) {
    out += '-';
    return;
  }
  append_combined_text(out, value.view());
  if (value.cut) out += "...";
}

// A text outside quotes, where a space would begin the next field.
template <std::size_t N>
void append_bare_text(std::string& out, const FixedText<N>& value) {
  const std::size_t from = out.size();
  append_text(out, value);
  for (std::size_t at = out.find(' ', from); at != std::string::npos; at = out.find(' ', at)) {
    out.replace(at, 1, "\\x20");
  }
}

void append_number(std::string& out, std::uint64_t value) {
  std::array<char, 20> digits{};
  const auto done = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), done.ptr);
}

}  // namespace

void format_combined(const AccessRecord& record, std::string& out) {
  append_bare_text(out, record.client_ip);
  out += " - - [";
  append_clf_time(out, record.unix_us);
  out += "] \"";
  if (record.method.size == 0 && record.path.size == 0) {
    out += '-';  // nothing that could be read as a request came
  } else {
    append_bare_text(out, record.method);
    out += ' ';
    append_bare_text(out, record.path);
    out += record.minor == 0 ? " HTTP/1.0" : " HTTP/1.1";
  }
  out += "\" ";
  append_number(out, record.status);
  out += ' ';
  append_number(out, record.bytes_out);
  out += " \"";
  append_text(out, record.referer);
  out += "\" \"";
  append_text(out, record.user_agent);
  out += "\"\n";
}

}  // namespace understudy::observe
