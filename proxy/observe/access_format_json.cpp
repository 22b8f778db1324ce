// One JSON object a line. Every field is in every line, so that tools see one schema: a text that is not
// known is "", a number 0. A text that was cut ends in "…" and its name stands in "cut" (which is the one
// field that may be missing).
#include <charconv>

#include "proxy/observe/access_time.hpp"
#include "proxy/observe/escape.hpp"
#include "proxy/observe/log.hpp"

namespace understudy::observe {
namespace {

class JsonLine {
public:
  explicit JsonLine(std::string& out) : out_(out) {}

  void number(std::string_view name, std::uint64_t value) {
    key(name);
    append_integer(value);
  }
  // Milliseconds with three decimals from microseconds.
  void milliseconds(std::string_view name, std::uint32_t us) {
    key(name);
    append_integer(us / 1000);
    if (const std::uint32_t rest = us % 1000; rest != 0) {
      out_ += '.';
      out_ += static_cast<char>('0' + rest / 100);
      out_ += static_cast<char>('0' + rest / 10 % 10);
      out_ += static_cast<char>('0' + rest % 10);
    }
  }
  void boolean(std::string_view name, bool value) {
    key(name);
    out_ += value ? "true" : "false";
  }
  // `value` needs no escaping.
  void word(std::string_view name, std::string_view value) {
    key(name);
    out_ += '"';
    out_ += value;
    out_ += '"';
  }
  template <std::size_t N>
  void text(std::string_view name, const FixedText<N>& value) {
    key(name);
    out_ += '"';
    append_json_text(out_, value.cut ? without_cut_tail(value.view()) : value.view());
    if (value.cut) out_ += "…";
    out_ += '"';
  }
  void time(std::string_view name, std::int64_t unix_us) {
    key(name);
    out_ += '"';
    append_rfc3339(out_, unix_us);
    out_ += '"';
  }
  void begin() { out_ += '{'; }
  void end() { out_ += "}\n"; }
  void key(std::string_view name) {
    out_ += first_ ? "\"" : ",\"";
    first_ = false;
    out_ += name;
    out_ += "\":";
  }

private:
  void append_integer(std::uint64_t value) {
    std::array<char, 20> digits{};
    const auto done = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    out_.append(digits.data(), done.ptr);
  }
  std::string& out_;
  bool first_ = true;
};

void append_cut_names(const AccessRecord& record, JsonLine& line, std::string& out) {
  const std::array<std::pair<bool, std::string_view>, 12> fields{{{record.client_ip.cut, "client_ip"},
                                                                  {record.method.cut, "method"},
                                                                  {record.host.cut, "host"},
                                                                  {record.path.cut, "path"},
                                                                  {record.listener.cut, "listener"},
                                                                  {record.route_name.cut, "route"},
                                                                  {record.pool.cut, "pool"},
                                                                  {record.endpoint.cut, "endpoint"},
                                                                  {record.request_id.cut, "request_id"},
                                                                  {record.trace_id.cut, "trace_id"},
                                                                  {record.user_agent.cut, "user_agent"},
                                                                  {record.referer.cut, "referer"}}};
  bool any = false;
  for (const auto& [cut, name] : fields) {
    if (!cut) continue;
    if (!any) {
      line.key("cut");
      out += '[';
    } else {
      out += ',';
    }
    any = true;
    out += '"';
    out += name;
    out += '"';
  }
  if (any) out += ']';
}

std::string_view protocol_of(const AccessRecord& record) { return record.minor == 0 ? "HTTP/1.0" : "HTTP/1.1"; }

}  // namespace

void format_json(const AccessRecord& record, std::string& out) {
  JsonLine line(out);
  line.begin();
  line.time("ts", record.unix_us);
  line.text("client_ip", record.client_ip);
  line.text("method", record.method);
  line.text("host", record.host);
  line.text("path", record.path);
  line.word("proto", protocol_of(record));
  line.number("status", record.status);
  line.number("bytes_in", record.bytes_in);
  line.number("bytes_out", record.bytes_out);
  line.milliseconds("duration_ms", record.duration_us);
  line.milliseconds("ttfb_ms", record.ttfb_us);
  line.milliseconds("connect_ms", record.connect_us);
  line.milliseconds("queue_ms", record.queue_us);
  line.boolean("tls", record.tls);
  line.text("listener", record.listener);
  line.text("route", record.route_name);
  line.text("pool", record.pool);
  line.number("tier", record.tier);
  line.text("endpoint", record.endpoint);
  line.number("epoch", record.epoch);
  line.number("attempts", record.attempts);
  line.word("hedge", name_of(record.hedge));
  line.text("request_id", record.request_id);
  line.text("trace_id", record.trace_id);
  line.word("term", name_of(record.term));
  line.boolean("websocket", record.websocket);
  if (record.tunnel) {
    line.word("tunnel_end", name_of(record.tunnel_end));
    line.word("closed_by", name_of(record.closed_by));
    line.number("close_code", record.close_code);
    line.number("messages_in", record.messages_in);
    line.number("messages_out", record.messages_out);
    line.number("parked", record.parked);
  }
  line.text("user_agent", record.user_agent);
  line.text("referer", record.referer);
  append_cut_names(record, line, out);
  line.end();
}

}  // namespace understudy::observe
