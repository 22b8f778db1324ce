#include "proxy/admin/message.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "proxy/http/writer.hpp"
#include "proxy/observe/escape.hpp"

namespace understudy::admin {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

bool is_control(unsigned char c) { return c < 0x20 || c == 0x7f; }

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::vector<std::string_view> Request::all(std::string_view name) const {
  std::vector<std::string_view> found;
  for (const auto& [key, value] : fields) {
    if (equal_ignoring_case(key, name)) found.emplace_back(value);
  }
  return found;
}

std::string_view Request::field(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (equal_ignoring_case(key, name)) return value;
  }
  return {};
}

std::optional<std::string_view> Request::query_value(std::string_view key) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view item = rest.substr(0, end);
    const std::size_t equals = std::min(item.find('='), item.size());
    if (item.substr(0, equals) == key) {
      return equals < item.size() ? item.substr(equals + 1) : std::string_view{};
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return std::nullopt;
}

Request make_request(const http::RequestHead& head, const char* base) {
  Request request;
  request.method = head.method_text.in(base);
  request.path = head.path.in(base);
  request.query = head.query.in(base);
  request.has_body =
      head.framing == http::Framing::chunked || (head.framing == http::Framing::length && head.content_length > 0);
  request.fields.reserve(head.fields.count);
  for (std::size_t i = 0; i < head.fields.count; ++i) {
    const http::Field& field = head.fields.list[i];
    request.fields.emplace_back(field.name.in(base), field.value.in(base));
  }
  return request;
}

Response text_response(unsigned status, std::string body) {
  Response response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

Response json_response(const boost::json::value& value) {
  Response response;
  response.content_type = "application/json";
  // Strangers' bytes are made safe where they come in; a reader that insists on UTF-8 must not lose the whole status by one that
  // was not. Controls are escaped by then.
  observe::append_utf8(response.body, boost::json::serialize(value));
  response.body += '\n';
  return response;
}

Response problem_response(const Problem& problem) {
  const auto status = static_cast<std::uint16_t>(problem.status);
  const std::string_view title = problem.title.empty() ? http::reason_phrase(status) : std::string_view(problem.title);
  Response response = json_response(boost::json::object{
      {"type", "about:blank"}, {"title", title}, {"status", problem.status}, {"detail", problem.detail}});
  response.status = problem.status;
  response.content_type = "application/problem+json";
  return response;
}

Response reply_response(const Reply& reply) {
  if (const auto* problem = std::get_if<Problem>(&reply)) return problem_response(*problem);
  return json_response(std::get<boost::json::value>(reply));
}

std::string serialize(const Response& response, bool head_only, bool close) {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + ' ';
  out += http::reason_phrase(static_cast<std::uint16_t>(response.status));
  out += "\r\nContent-Type: " + response.content_type;
  out += "\r\nContent-Length: " + std::to_string(response.body.size());
  out +=
      "\r\nCache-Control: no-store"
      "\r\nContent-Security-Policy: default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action "
      "'none'"
      "\r\nX-Content-Type-Options: nosniff"
      "\r\nX-Frame-Options: DENY"
      "\r\nReferrer-Policy: no-referrer"
      "\r\nCross-Origin-Resource-Policy: same-origin";
  for (const auto& [name, value] : response.fields) out += "\r\n" + name + ": " + value;
  if (close) out += "\r\nConnection: close";
  out += "\r\n\r\n";
  if (!head_only) out += response.body;
  return out;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (is_control(static_cast<unsigned char>(c))) return std::nullopt;
    out += c;
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                       c == '_' || c == '~' || c == '-';
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace understudy::admin
