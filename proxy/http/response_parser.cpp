#include <algorithm>

#include "proxy/http/chars.hpp"
#include "proxy/http/h1_parser.hpp"
#include "proxy/http/head_scan.hpp"

namespace understudy::http {

namespace {

constexpr std::size_t kShort = 64;  // as in the request parser

class ResponseReader {
public:
  ResponseReader(HeadScan& scan, const HeadLimits& limits, ResponseHead& head)
      : scan_(scan), limits_(limits), head_(head) {}

  ParseStatus read(Method request_method) {
    head_.clear();
    ParseStatus status = read_status_line();
    if (status == ParseStatus::done) status = parse_fields(scan_, head_.fields, limits_.max_fields, false);
    if (status == ParseStatus::done) {
      const ParseError error = judge(request_method);
      if (error != ParseError::none) return scan_.fail_now(error);
      head_.head_bytes = static_cast<std::uint32_t>(scan_.at - scan_.base);
    }
    return status;
  }

private:
  // RFC 9112 §4. A missing space after the code (no reason) is accepted: it is common and changes nothing.
  ParseStatus read_status_line() {
    static constexpr std::string_view protocol = "HTTP/1.";
    const char* p = scan_.at;
    const char* const end = scan_.end;
    const std::size_t have = std::min<std::size_t>(protocol.size(), static_cast<std::size_t>(end - p));
    if (have == 0) return ParseStatus::need_more;
    if (std::memcmp(p, protocol.data(), have) != 0) return wrong_protocol(p, have);
    if (end - p < 8) return ParseStatus::need_more;
    if (p[7] != '1' && p[7] != '0') {
      return scan_.fail(chars::is(p[7], chars::digit) ? ParseError::unsupported_version : ParseError::bad_status_line,
                        p + 7);
    }
    if (end - p < 13) return scan_.fail(ParseError::bad_status_line, p + 8);  // needs a line end to count
    const bool code = p[8] == ' ' && p[9] >= '1' && p[9] <= '9' && chars::is(p[10], chars::digit) &&
                      chars::is(p[11], chars::digit) && (p[12] == ' ' || p[12] == '\r');
    if (!code) return scan_.fail(ParseError::bad_status_line, p + 8);
    head_.minor = static_cast<std::uint8_t>(p[7] - '0');
    head_.status = static_cast<std::uint16_t>((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    p += p[12] == ' ' ? 13 : 12;
    const char* const reason = p;
    p = chars::find_value_end(p, end);
    if (p == end) return ParseStatus::need_more;
    if (*p != '\r') {
      if (*p == '\0') return scan_.fail(ParseError::nul_byte, p);
      return scan_.fail(*p == '\n' ? ParseError::bad_line_end : ParseError::bad_status_line, p);
    }
    if (p + 1 == end) return ParseStatus::need_more;
    if (p[1] != '\n') return scan_.fail(ParseError::bad_line_end, p + 1);
    head_.reason = scan_.span(reason, p);
    scan_.at = p + 2;
    return ParseStatus::done;
  }

  // Counts at once, so that an endpoint that speaks something else is found out before its first LF.
  ParseStatus wrong_protocol(const char* p, std::size_t have) {
    const std::string_view text{p, have};
    if (text.size() >= 6 && text.substr(0, 5) == "HTTP/" && chars::is(text[5], chars::digit) && text[5] != '1') {
      return scan_.fail_now(ParseError::unsupported_version);
    }
    return scan_.fail_now(ParseError::bad_status_line);
  }

  // RFC 9112 §6.3, with every doubt an error.
  ParseError judge(Method request_method) {
    ConnectionOptions connection;
    if (scan_.seen.has(Known::connection)) connection = read_connection(scan_, head_.fields);
    if (connection.too_many) return ParseError::too_many_fields;
    head_.keep_alive = !connection.close && (head_.minor == 1 || connection.keep_alive);
    const BodyFields body = read_body_fields(scan_, head_.fields, head_.minor);
    if (body.error != ParseError::none) return body.error;
    const bool forbidden = head_.status < 200 || head_.status == 204;
    if (forbidden || head_.status == 304 || request_method == Method::head) {
      head_.framing = Framing::none;
      if (!forbidden && body.framing == Framing::length) {
        head_.has_content_length = true;
        head_.content_length = body.length;
      }
      // It announces a body that cannot come; who knows what it sends next.
      if (forbidden && (body.framing == Framing::chunked || body.length > 0)) head_.keep_alive = false;
    } else if (body.framing == Framing::none) {
      head_.framing = Framing::until_close;
      head_.keep_alive = false;
    } else {
      head_.framing = body.framing;
      head_.has_content_length = body.framing == Framing::length;
      head_.content_length = body.length;
    }
    head_.upgrade_websocket = head_.status == 101 && head_.minor == 1 && connection.upgrade &&
                              !scan_.repeated.has(Known::upgrade) &&
                              chars::iequal(head_.fields.value(Known::upgrade, scan_.base), "websocket");
    return ParseError::none;
  }

  HeadScan& scan_;
  const HeadLimits& limits_;
  ResponseHead& head_;
};

}  // namespace

ParseStatus ResponseParser::parse(std::string_view buffer, const HeadLimits& limits, Method request_method,
                                  ResponseHead& head) {
  if (error_ != ParseError::none) return ParseStatus::error;
  const std::size_t window = std::min<std::size_t>(buffer.size(), limits.max_bytes);
  const bool full = buffer.size() >= limits.max_bytes;
  if (scanned_ > window) scanned_ = 0;
  // Without a new LF no verdict can change.
  if (!full && scanned_ >= kShort && std::memchr(buffer.data() + scanned_, '\n', window - scanned_) == nullptr) {
    scanned_ = static_cast<std::uint32_t>(window);
    return ParseStatus::need_more;
  }
  HeadScan scan;
  scan.base = scan.at = buffer.data();
  scan.end = buffer.data() + window;
  ParseStatus status = ResponseReader(scan, limits, head).read(request_method);
  if (status == ParseStatus::need_more) {
    if (full) {
      status = scan.fail_now(ParseError::head_too_large);
    } else {
      scanned_ = static_cast<std::uint32_t>(window);
    }
  }
  if (status == ParseStatus::done) reset();
  error_ = scan.error;
  return status;
}

}  // namespace understudy::http
