// The parsed form of HTTP/1.1 heads: offsets into the receive buffer, an inline index of known fields, exactly one framing.
// Nothing here allocates. A head is meaningful only together with the buffer it was parsed from ("base").
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace understudy::http {

enum class Method : std::uint8_t { get, head, post, put, delete_, options, patch, connect, trace, other };
std::string_view name_of(Method method);
constexpr bool is_safe(Method m) { return m == Method::get || m == Method::head || m == Method::options; }
constexpr bool is_idempotent(Method m) { return is_safe(m) || m == Method::put || m == Method::delete_; }

// Fields the proxy acts on. `none` is every other.
enum class Known : std::uint8_t {
  none,
  host,
  connection,
  keep_alive,
  proxy_connection,
  te,
  trailer,
  transfer_encoding,
  content_length,
  upgrade,
  expect,
  http2_settings,
  forwarded,
  x_forwarded_for,
  x_forwarded_proto,
  x_forwarded_host,
  x_forwarded_port,
  x_real_ip,
  true_client_ip,
  x_original_url,
  x_rewrite_url,
  x_http_method_override,
  x_request_id,
  traceparent,
  tracestate,
  accept,
  user_agent,
  referer,
  cookie,
  set_cookie,
  authorization,
  idempotency_key,
  sec_websocket_key,
  sec_websocket_version,
  sec_websocket_accept,
  sec_websocket_protocol,
  sec_websocket_extensions,
  content_type,
  location,
  retry_after,
  date,
  proxy_authenticate,
  proxy_authorization,
  count
};

struct Span {
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  std::string_view in(const char* base) const { return {base + offset, length}; }
};

struct Field {
  Span name;
  Span value;  // outer blanks removed
  Known id = Known::none;
  bool hop_by_hop =
      false;  // fixed set, or nominated by Connection (nominating Host, Content-Length, Authorization is ignored)
  bool drop = false;  // look-alike name outside [A-Za-z0-9-], spoofable rewrite fields: not forwarded
};

inline constexpr std::size_t kMaxFields = 256;  // hard ceiling over Limits::max_headers

// Index of the first field with this id, or -1.
struct Fields {
  std::uint16_t count = 0;
  std::array<std::int16_t, static_cast<std::size_t>(Known::count)> first;
  std::array<Field, kMaxFields> list;  // not initialised beyond count
  Fields() { clear(); }
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;
  void clear() {
    count = 0;
    first.fill(-1);
  }
  const Field* find(Known id) const {
    const auto i = first[static_cast<std::size_t>(id)];
    return i < 0 ? nullptr : &list[static_cast<std::size_t>(i)];
  }
  std::string_view value(Known id, const char* base) const {
    const Field* f = find(id);
    return f ? f->value.in(base) : std::string_view{};
  }
};

enum class Framing : std::uint8_t { none, length, chunked, until_close };

// Why a head or body was refused. Each has a fixed status, a kind for protocol_errors_total, and one sentence.
enum class ParseError : std::uint8_t {
  none,
  bad_request_line,
  bad_method,
  bad_target,
  bad_version,
  unsupported_version,
  bad_field_name,
  bad_field_value,
  bad_line_end,
  obs_fold,
  leading_space,
  nul_byte,
  missing_host,
  duplicate_host,
  bad_host,
  host_mismatch,
  length_and_chunked,
  bad_content_length,
  duplicate_content_length,
  bad_transfer_encoding,
  unknown_transfer_coding,
  transfer_encoding_in_http10,
  bad_expect,
  method_not_allowed,
  upgrade_with_body,
  bad_websocket,
  head_too_large,
  too_many_fields,
  uri_too_long,
  bad_chunk_size,
  bad_chunk_extension,
  chunk_extension_too_long,
  bad_chunk_end,
  bad_trailer,
  trailer_too_large,
  bad_status_line,
  body_too_large,
  http2_preface,
  tls_on_plain,
  count
};
std::uint16_t status_of(
    ParseError error);  // 400, 405, 413, 414, 417, 431, 501, 505 (502 is the caller's for responses)
std::string_view kind_of(ParseError error);      // "length_and_chunked"
std::string_view sentence_of(ParseError error);  // for the error page and the log

struct HeadLimits {
  std::uint32_t max_bytes = 16 * 1024;     // whole head; 431
  std::uint32_t max_fields = 100;          // 431
  std::uint32_t max_uri_bytes = 8 * 1024;  // 414
};

enum class UpgradeKind : std::uint8_t { none, websocket, other };  // `other` (h2c too) is removed and ignored

struct RequestHead {
  Method method = Method::other;
  Span method_text;
  Span target;  // as received
  Span path;    // origin-form part before '?'; "*" for OPTIONS *; "/" when absolute-form had none
  Span query;   // without '?'
  bool has_query = false;
  Span authority;          // Host value or absolute-form authority (they must agree)
  std::uint8_t minor = 1;  // HTTP/1.x
  Framing framing = Framing::none;
  std::uint64_t content_length = 0;
  bool keep_alive = true;
  bool expect_continue = false;
  UpgradeKind upgrade = UpgradeKind::none;  // websocket only if everything about it is valid
  std::uint32_t head_bytes = 0;             // first body byte is at base + start + head_bytes
  Fields fields;
  void clear();
};

struct ResponseHead {
  std::uint16_t status = 0;
  Span reason;
  std::uint8_t minor = 1;
  Framing framing = Framing::none;  // already right for HEAD, 1xx, 204, 304
  std::uint64_t content_length = 0;
  bool has_content_length = false;  // also where it frames nothing (HEAD, 304): forwarded then
  bool keep_alive = true;
  bool upgrade_websocket = false;  // 101 with Upgrade: websocket and Connection: upgrade
  std::uint32_t head_bytes = 0;
  Fields fields;
  void clear();
};

enum class ParseStatus : std::uint8_t { need_more, done, error };

}  // namespace understudy::http
