#include "proxy/http/message.hpp"

namespace understudy::http {

std::string_view name_of(Method method) {
  switch (method) {
    case Method::get: return "GET";
    case Method::head: return "HEAD";
    case Method::post: return "POST";
    case Method::put: return "PUT";
    case Method::delete_: return "DELETE";
    case Method::options: return "OPTIONS";
    case Method::patch: return "PATCH";
    case Method::connect: return "CONNECT";
    case Method::trace: return "TRACE";
    case Method::other: break;
  }
  return "other";
}

namespace {

struct ErrorRow {
  ParseError error;
  std::uint16_t status;
  std::string_view kind;
  std::string_view sentence;
};

constexpr std::array<ErrorRow, static_cast<std::size_t>(ParseError::count)> kErrors = {{
    {ParseError::none, 200, "none", "No error."},
    {ParseError::bad_request_line, 400, "bad_request_line",
     "The request line is not 'METHOD target HTTP/1.1' with single spaces."},
    {ParseError::bad_method, 400, "bad_method", "The method is not a token of at most 32 characters."},
    {ParseError::bad_target, 400, "bad_target",
     "The request target is in no permitted form or holds a character that must be percent-encoded."},
    {ParseError::bad_version, 400, "bad_version", "The protocol version is malformed."},
    {ParseError::unsupported_version, 505, "unsupported_version",
     "Only HTTP/1.0 and HTTP/1.1 are spoken on this connection."},
    {ParseError::bad_field_name, 400, "bad_field_name", "A header field name is not a token followed by a colon."},
    {ParseError::bad_field_value, 400, "bad_field_value", "A header field value holds a forbidden character."},
    {ParseError::bad_line_end, 400, "bad_line_end", "A line does not end in CR LF."},
    {ParseError::obs_fold, 400, "obs_fold", "A header field is folded over several lines."},
    {ParseError::leading_space, 400, "leading_space", "White space stands where a line must begin."},
    {ParseError::nul_byte, 400, "nul_byte", "The message head holds a NUL byte."},
    {ParseError::missing_host, 400, "missing_host", "The Host field is missing."},
    {ParseError::duplicate_host, 400, "duplicate_host", "There is more than one Host field."},
    {ParseError::bad_host, 400, "bad_host", "The host or port is malformed."},
    {ParseError::host_mismatch, 400, "host_mismatch", "The request target and the Host field name different hosts."},
    {ParseError::length_and_chunked, 400, "length_and_chunked",
     "Content-Length and Transfer-Encoding must not stand together."},
    {ParseError::bad_content_length, 400, "bad_content_length", "Content-Length is not a single decimal number."},
    {ParseError::duplicate_content_length, 400, "duplicate_content_length",
     "There is more than one Content-Length field."},
    {ParseError::bad_transfer_encoding, 400, "bad_transfer_encoding",
     "Transfer-Encoding is not exactly one field with the value 'chunked'."},
    {ParseError::unknown_transfer_coding, 501, "unknown_transfer_coding",
     "Only the transfer coding 'chunked' is implemented."},
    {ParseError::transfer_encoding_in_http10, 400, "transfer_encoding_in_http10",
     "Transfer-Encoding does not exist in HTTP/1.0."},
    {ParseError::bad_expect, 417, "bad_expect", "Only 'Expect: 100-continue' with a body can be met."},
    {ParseError::method_not_allowed, 405, "method_not_allowed", "CONNECT and TRACE are not served."},
    {ParseError::upgrade_with_body, 400, "upgrade_with_body", "A WebSocket upgrade must not have a body."},
    {ParseError::bad_websocket, 400, "bad_websocket",
     "The WebSocket upgrade is not a GET in HTTP/1.1 with Connection: Upgrade, version 13 and a 16-byte "
     "key."},
    {ParseError::head_too_large, 431, "head_too_large", "The message head is too large."},
    {ParseError::too_many_fields, 431, "too_many_fields", "There are too many header fields."},
    {ParseError::uri_too_long, 414, "uri_too_long", "The request target is too long."},
    {ParseError::bad_chunk_size, 400, "bad_chunk_size", "A chunk size is not 1 to 16 hexadecimal digits."},
    {ParseError::bad_chunk_extension, 400, "bad_chunk_extension", "A chunk extension holds a forbidden character."},
    {ParseError::chunk_extension_too_long, 400, "chunk_extension_too_long", "The chunk extensions are too long."},
    {ParseError::bad_chunk_end, 400, "bad_chunk_end", "A chunk's data is not followed by CR LF."},
    {ParseError::bad_trailer, 400, "bad_trailer", "The trailer section is malformed."},
    {ParseError::trailer_too_large, 431, "trailer_too_large", "The trailer section is too large."},
    {ParseError::bad_status_line, 400, "bad_status_line", "The status line is malformed."},
    {ParseError::body_too_large, 413, "body_too_large", "The body is larger than permitted."},
    {ParseError::http2_preface, 400, "http2_preface", "The client speaks HTTP/2 on a connection that serves HTTP/1.1."},
    {ParseError::tls_on_plain, 400, "tls_on_plain",
     "The client speaks TLS on a port that serves plain HTTP; use http:// or the TLS port."},
}};

constexpr bool rows_in_order() {
  for (std::size_t i = 0; i < kErrors.size(); ++i) {
    if (static_cast<std::size_t>(kErrors[i].error) != i) return false;
  }
  return true;
}
static_assert(rows_in_order());

const ErrorRow& row(ParseError error) {
  const auto i = static_cast<std::size_t>(error);
  return kErrors[i < kErrors.size() ? i : 0];
}

}  // namespace

std::uint16_t status_of(ParseError error) { return row(error).status; }
std::string_view kind_of(ParseError error) { return row(error).kind; }
std::string_view sentence_of(ParseError error) { return row(error).sentence; }

void RequestHead::clear() {
  method = Method::other;
  method_text = target = path = query = authority = Span{};
  has_query = false;
  minor = 1;
  framing = Framing::none;
  content_length = 0;
  keep_alive = true;
  expect_continue = false;
  upgrade = UpgradeKind::none;
  head_bytes = 0;
  fields.clear();
}

void ResponseHead::clear() {
  status = 0;
  reason = Span{};
  minor = 1;
  framing = Framing::none;
  content_length = 0;
  has_content_length = false;
  keep_alive = true;
  upgrade_websocket = false;
  head_bytes = 0;
  fields.clear();
}

}  // namespace understudy::http
