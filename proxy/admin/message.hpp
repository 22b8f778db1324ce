// A request and an answer of the admin API as owned values: its rules are plain functions over them and need
// no socket.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/admin/control_plane.hpp"
#include "proxy/http/message.hpp"

namespace understudy::admin {

using NameValue = std::pair<std::string, std::string>;

struct Request {
  std::string method;             // as received: "GET"
  std::string path;               // without the query, still percent-encoded
  std::string query;              // without '?'
  std::vector<NameValue> fields;  // in order, names as received
  bool has_body = false;
  // Values of every field with this name, compared without case.
  std::vector<std::string_view> all(std::string_view name) const;
  // The first such value, or "".
  std::string_view field(std::string_view name) const;
  // The value of `key` in the query ("" for a bare key); nullopt when absent. Not percent-decoded.
  std::optional<std::string_view> query_value(std::string_view key) const;
};
// Copies what the API needs out of a parsed head; `base` is the buffer that it was parsed from.
Request make_request(const http::RequestHead& head, const char* base);

struct Response {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<NameValue> fields;  // in addition to the ones every answer carries
};
Response text_response(unsigned status, std::string body);
Response json_response(const boost::json::value& value);
// RFC 9457 application/problem+json.
Response problem_response(const Problem& problem);
Response reply_response(const Reply& reply);

// The answer's bytes, with the security fields of every admin answer. `head_only` answers HEAD.
std::string serialize(const Response& response, bool head_only, bool close);

// "a%2Fb" to "a/b"; nullopt for a broken escape or a control byte.
std::optional<std::string> percent_decode(std::string_view text);
// Everything outside [A-Za-z0-9._~-] escaped: safe as one path segment.
std::string percent_encode(std::string_view text);
bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace understudy::admin
