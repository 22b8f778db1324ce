// Requests and configurations for the tests of routing, built without the parser.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/model.hpp"
#include "proxy/http/message.hpp"
#include "proxy/route/route_table.hpp"

namespace understudy::route::testing {

// A head together with the bytes that it points into.
class Request {
public:
  Request(std::string_view host, std::string_view path, std::string_view method = "GET",
          const std::vector<config::NameValue>& headers = {}) {
    head_.method = method == "GET" ? http::Method::get : method == "POST" ? http::Method::post : http::Method::other;
    head_.method_text = put(method);
    head_.authority = put(host);
    head_.path = put(path);
    head_.target = head_.path;
    for (const auto& [name, value] : headers) {
      http::Field& field = head_.fields.list[head_.fields.count++];
      field = http::Field{};
      field.name = put(name);
      field.value = put(value);
    }
  }
  http::RequestHead& head() { return head_; }
  const http::RequestHead& head() const { return head_; }
  const char* base() const { return bytes_.data(); }
  RouteMatch in(const RouteTable& table) const { return table.match(head_, base()); }

private:
  http::Span put(std::string_view text) {
    const http::Span span{static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(text.size())};
    bytes_ += text;
    return span;
  }
  std::string bytes_;
  http::RequestHead head_;
};

inline config::RouteConfig route(std::string host, std::string path, std::vector<std::string> methods = {},
                                 std::vector<config::NameValue> headers = {}) {
  config::RouteConfig out;
  out.match.host = std::move(host);
  out.match.path = std::move(path);
  out.match.methods = std::move(methods);
  out.match.headers = std::move(headers);
  out.pool = "app";
  return out;
}

inline config::Config routes(std::vector<config::RouteConfig> list) {
  config::Config out;
  out.routes = std::move(list);
  return out;
}

// "3", or the name of the error: what the tests compare, readable when it differs.
inline std::string told(const RouteMatch& match) {
  switch (match.error) {
    case RouteError::none: return std::to_string(match.index);
    case RouteError::unknown_host: return "unknown_host";
    case RouteError::no_route: return "no_route";
    case RouteError::method_not_allowed: return "method_not_allowed";
    case RouteError::ambiguous_path: return "ambiguous_path";
  }
  return "?";
}

}  // namespace understudy::route::testing
