#include <algorithm>

#include "proxy/http/authority.hpp"
#include "proxy/http/chars.hpp"
#include "proxy/http/h1_parser.hpp"
#include "proxy/http/head_scan.hpp"
#include "proxy/http/websocket.hpp"

namespace understudy::http {

namespace {

constexpr std::ptrdiff_t kMaxMethod = 32;
// As long as a head is this short it is judged anew with every byte, so that verdicts on the first bytes come
// at once.
constexpr std::size_t kShort = 64;

Method method_of(std::string_view text) {
  switch (text.size()) {
    case 3:
      if (text == "GET") return Method::get;
      if (text == "PUT") return Method::put;
      break;
    case 4:
      if (text == "POST") return Method::post;
      if (text == "HEAD") return Method::head;
      break;
    case 5:
      if (text == "PATCH") return Method::patch;
      if (text == "TRACE") return Method::trace;
      break;
    case 6:
      if (text == "DELETE") return Method::delete_;
      break;
    case 7:
      if (text == "OPTIONS") return Method::options;
      if (text == "CONNECT") return Method::connect;
      break;
    default: break;
  }
  return Method::other;
}

// Parses one head whose bytes stand in scan; the authority of an absolute-form target waits for Host.
class RequestReader {
public:
  RequestReader(HeadScan& scan, const HeadLimits& limits, RequestHead& head)
      : scan_(scan), limits_(limits), head_(head) {}

  ParseStatus read() {
    head_.clear();
    ParseStatus status = read_method();
    if (status == ParseStatus::done) status = read_target();
    if (status == ParseStatus::done) status = read_version();
    if (status == ParseStatus::done) status = split_target();
    if (status == ParseStatus::done) status = parse_fields(scan_, head_.fields, limits_.max_fields, true);
    if (status == ParseStatus::done) {
      const ParseError error = judge();
      if (error != ParseError::none) return scan_.fail_now(error);
      head_.head_bytes = static_cast<std::uint32_t>(scan_.at - scan_.base);
    }
    return status;
  }

  bool request_line_read() const { return request_line_read_; }

private:
  // Errors among the first bytes count at once: what is no HTTP may never send an LF.
  ParseStatus read_method() {
    const char* p = scan_.at;
    const char* const end = scan_.end;
    if (p == end) return ParseStatus::need_more;
    if (*p == '\r') {
      if (++p == end) return ParseStatus::need_more;
      if (*p != '\n') return scan_.fail_now(ParseError::bad_line_end);
      if (++p == end) return ParseStatus::need_more;
    }
    const char* const method = p;
    const char* const longest = end - p > kMaxMethod ? p + kMaxMethod + 1 : end;
    while (p != longest && chars::is(*p, chars::token)) ++p;
    if (p - method > kMaxMethod) return scan_.fail_now(ParseError::bad_method);
    if (p == end) return ParseStatus::need_more;
    if (*p != ' ' || p == method) return scan_.fail_now(method_error(*p, p == method));
    head_.method_text = scan_.span(method, p);
    head_.method = method_of({method, static_cast<std::size_t>(p - method)});
    if (head_.method == Method::connect || head_.method == Method::trace) {
      return scan_.fail_now(ParseError::method_not_allowed);
    }
    scan_.at = p + 1;
    return ParseStatus::done;
  }

  static ParseError method_error(char c, bool first) {
    switch (c) {
      case '\0': return ParseError::nul_byte;
      case '\n': return first ? ParseError::bad_line_end : ParseError::bad_request_line;
      case '\r': return ParseError::bad_request_line;
      case ' ':
      case '\t': return first ? ParseError::leading_space : ParseError::bad_request_line;
      case '\x16': return first ? ParseError::tls_on_plain : ParseError::bad_method;
      default: return ParseError::bad_method;
    }
  }

  ParseStatus read_target() {
    const char* const target = scan_.at;
    const char* p = chars::find_target_end(target, scan_.end);
    if (p == scan_.end || *p != ' ') return target_cut_or_bad(target, p);
    if (p == target) return scan_.fail(ParseError::bad_request_line, p);
    if (static_cast<std::size_t>(p - target) > limits_.max_uri_bytes) return scan_.fail_now(ParseError::uri_too_long);
    head_.target = scan_.span(target, p);
    scan_.at = p + 1;
    return ParseStatus::done;
  }

  // Too long counts at once and outranks what the target holds.
  ParseStatus target_cut_or_bad(const char* target, const char* bad) {
    const char* stop = bad;
    while (stop != scan_.end && *stop != ' ' && *stop != '\r' && *stop != '\n') ++stop;
    if (static_cast<std::size_t>(stop - target) > limits_.max_uri_bytes) {
      return scan_.fail_now(ParseError::uri_too_long);
    }
    if (bad == scan_.end) return ParseStatus::need_more;
    switch (*bad) {
      case '\0': return scan_.fail(ParseError::nul_byte, bad);
      case '\r':
      case '\n': return scan_.fail(ParseError::bad_request_line, bad);
      default: return scan_.fail(ParseError::bad_target, bad);
    }
  }

  ParseStatus read_version() {
    const char* const p = scan_.at;
    if (scan_.end - p >= 10 && std::memcmp(p, "HTTP/1.", 7) == 0 && (p[7] == '1' || p[7] == '0') && p[8] == '\r' &&
        p[9] == '\n') {
      head_.minor = static_cast<std::uint8_t>(p[7] - '0');
      request_line_read_ = true;
      scan_.at = p + 10;
      return ParseStatus::done;
    }
    const auto* lf = static_cast<const char*>(std::memchr(p, '\n', static_cast<std::size_t>(scan_.end - p)));
    if (lf == nullptr) return ParseStatus::need_more;
    return scan_.fail_now(version_error({p, static_cast<std::size_t>(lf - p)}));
  }

  ParseError version_error(std::string_view text) const {
    const bool ends_right = !text.empty() && text.back() == '\r';
    if (ends_right) text.remove_suffix(1);
    if (text.find('\0') != std::string_view::npos) return ParseError::nul_byte;
    if (text.find('\r') != std::string_view::npos) return ParseError::bad_line_end;
    if (text.find_first_of(" \t") != std::string_view::npos) return ParseError::bad_request_line;
    if (text.size() != 8 || text.substr(0, 5) != "HTTP/" || !chars::is(text[5], chars::digit) || text[6] != '.' ||
        !chars::is(text[7], chars::digit)) {
      return ParseError::bad_version;
    }
    if (text == "HTTP/2.0" && head_.method_text.in(scan_.base) == "PRI") return ParseError::http2_preface;
    if (text[5] != '1' || text[7] > '1') return ParseError::unsupported_version;
    return ParseError::bad_line_end;
  }

  // RFC 9112 §3.2: origin-form, absolute-form, or "*" with OPTIONS.
  ParseStatus split_target() {
    const char* const target = scan_.base + head_.target.offset;
    const char* const end = target + head_.target.length;
    if (*target == '/') {
      split_query(target, end);
      return ParseStatus::done;
    }
    const std::string_view text{target, head_.target.length};
    if (text == "*") {
      if (head_.method != Method::options) return scan_.fail_now(ParseError::bad_target);
      head_.path = head_.target;
      return ParseStatus::done;
    }
    std::size_t authority_at = 0;
    if (text.size() > 7 && chars::iequal(text.substr(0, 7), "http://")) {
      authority_at = 7;
      default_port_ = 80;
    } else if (text.size() > 8 && chars::iequal(text.substr(0, 8), "https://")) {
      authority_at = 8;
      default_port_ = 443;
    } else {
      return scan_.fail_now(ParseError::bad_target);
    }
    const auto stop = std::min(text.find_first_of("/?", authority_at), text.size());
    const std::string_view authority = text.substr(authority_at, stop - authority_at);
    if (!parse_authority(authority, target_authority_)) return scan_.fail_now(ParseError::bad_host);
    head_.authority = scan_.span(authority.data(), authority.data() + authority.size());
    if (stop < text.size() && text[stop] == '/') {
      split_query(target + stop, end);
    } else {
      if (stop < text.size()) split_query(target + stop, end);
      // There is no path; the second slash of "://" stands in for it.
      head_.path = scan_.span(target + authority_at - 1, target + authority_at);
    }
    return ParseStatus::done;
  }

  void split_query(const char* path, const char* end) {
    const auto* mark = static_cast<const char*>(std::memchr(path, '?', static_cast<std::size_t>(end - path)));
    head_.path = scan_.span(path, mark != nullptr ? mark : end);
    if (mark != nullptr) {
      head_.has_query = true;
      head_.query = scan_.span(mark + 1, end);
    }
  }

  ParseError judge() {
    ParseError error = judge_host();
    if (error != ParseError::none) return error;
    ConnectionOptions connection;
    if (scan_.seen.has(Known::connection)) connection = read_connection(scan_, head_.fields);
    if (connection.too_many) return ParseError::too_many_fields;
    head_.keep_alive = !connection.close && (head_.minor == 1 || connection.keep_alive);
    if (scan_.seen.has(Known::transfer_encoding) || scan_.seen.has(Known::content_length)) {
      const BodyFields body = read_body_fields(scan_, head_.fields, head_.minor);
      if (body.error != ParseError::none) return body.error;
      head_.framing = body.framing;
      head_.content_length = body.length;
    }
    if (scan_.seen.has(Known::expect) && head_.minor == 1) error = judge_expect();
    if (error == ParseError::none && scan_.seen.has(Known::upgrade)) error = judge_upgrade(connection.upgrade);
    return error;
  }

  ParseError judge_host() {
    const bool absolute = head_.authority.length != 0;
    if (!scan_.seen.has(Known::host)) {
      return head_.minor == 0 ? ParseError::none : ParseError::missing_host;
    }
    if (scan_.repeated.has(Known::host)) return ParseError::duplicate_host;
    const Span host = head_.fields.find(Known::host)->value;
    Authority parsed;
    if (!parse_authority(host.in(scan_.base), parsed)) return ParseError::bad_host;
    if (absolute && !same_authority(parsed, target_authority_, default_port_)) return ParseError::host_mismatch;
    head_.authority = host;
    return ParseError::none;
  }

  // RFC 9110 §10.1.1. Without a body there is nothing to wait for; an explicit empty one is honest and
  // common.
  ParseError judge_expect() {
    if (scan_.repeated.has(Known::expect)) return ParseError::bad_expect;
    if (!chars::iequal(head_.fields.value(Known::expect, scan_.base), "100-continue")) return ParseError::bad_expect;
    if (head_.framing == Framing::none) return ParseError::bad_expect;
    head_.expect_continue = head_.framing == Framing::chunked || head_.content_length > 0;
    return ParseError::none;
  }

  ParseError judge_upgrade(bool connection_upgrade) {
    const Fields& fields = head_.fields;
    if (!fields_list(fields, scan_.base, Known::upgrade, "websocket")) {
      head_.upgrade = UpgradeKind::other;
      return ParseError::none;
    }
    if (head_.framing == Framing::chunked || head_.content_length > 0) return ParseError::upgrade_with_body;
    const bool good = head_.method == Method::get && head_.minor == 1 && connection_upgrade &&
                      !scan_.repeated.has(Known::sec_websocket_key) &&
                      !scan_.repeated.has(Known::sec_websocket_version) &&
                      fields.value(Known::sec_websocket_version, scan_.base) == "13" &&
                      valid_websocket_key(fields.value(Known::sec_websocket_key, scan_.base));
    if (!good) return ParseError::bad_websocket;
    head_.upgrade = UpgradeKind::websocket;
    return ParseError::none;
  }

  HeadScan& scan_;
  const HeadLimits& limits_;
  RequestHead& head_;
  Authority target_authority_;
  std::uint16_t default_port_ = 0;
  bool request_line_read_ = false;
};

}  // namespace

ParseStatus RequestParser::parse(std::string_view buffer, const HeadLimits& limits, RequestHead& head) {
  if (error_ != ParseError::none) return ParseStatus::error;
  const std::size_t window = std::min<std::size_t>(buffer.size(), limits.max_bytes);
  const bool full = buffer.size() >= limits.max_bytes;
  if (scanned_ > window) scanned_ = 0;
  if (!full && scanned_ >= kShort) {
    // Without a new LF no verdict can change, except that the request line may have become too long.
    const bool line = std::memchr(buffer.data() + scanned_, '\n', window - scanned_) != nullptr;
    if (!line && (request_line_read_ || window <= limits.max_uri_bytes)) {
      scanned_ = static_cast<std::uint32_t>(window);
      return ParseStatus::need_more;
    }
  }
  HeadScan scan;
  scan.base = scan.at = buffer.data();
  scan.end = buffer.data() + window;
  RequestReader reader(scan, limits, head);
  ParseStatus status = reader.read();
  if (status == ParseStatus::need_more) {
    if (full) {
      status = scan.fail_now(ParseError::head_too_large);
    } else {
      request_line_read_ = reader.request_line_read();
      scanned_ = static_cast<std::uint32_t>(window);
    }
  }
  if (status == ParseStatus::done) reset();
  error_ = scan.error;
  return status;
}

}  // namespace understudy::http
