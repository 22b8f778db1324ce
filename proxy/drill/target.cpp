#include "proxy/drill/target.hpp"

#include <algorithm>
#include <memory>

#include "proxy/http/h1_parser.hpp"
#include "proxy/route/route_table.hpp"

namespace understudy::drill {
namespace {

// A host that the rule takes.
std::string host_for(const std::string& rule) {
  if (rule.empty()) return "drill.example";
  return rule.starts_with("*.") ? "drill" + rule.substr(1) : rule;
}

// A path that the rule takes: each star stands for a word, "/**/" for none.
std::string path_for(std::string rule) {
  if (rule.empty()) return "/drill";
  for (std::size_t at = 0; (at = rule.find("**/", at)) != std::string::npos;) rule.erase(at, 3);
  std::string path;
  for (std::size_t i = 0; i < rule.size(); ++i) {
    if (rule[i] != '*') {
      path += rule[i];
    } else if (i == 0 || rule[i - 1] != '*') {
      path += "drill";
    }
  }
  return path;
}

// The route that takes it.
std::optional<std::uint32_t> route_of(const route::RouteTable& table, const std::string& method, const Target& target) {
  std::string text = method + " " + target.path + " HTTP/1.1\r\nHost: " + target.host + "\r\n";
  for (const auto& [name, value] : target.headers) text += name + ": " + value + "\r\n";
  text += "\r\n";
  const auto head = std::make_unique<http::RequestHead>();
  http::RequestParser parser;
  if (parser.parse(text, {}, *head) != http::ParseStatus::done) return std::nullopt;
  const route::RouteMatch match = table.match(*head, text.data());
  return match.error == route::RouteError::none ? std::optional(match.index) : std::nullopt;
}

}  // namespace

std::optional<Target> find_target(const config::Config& config, const std::string& pool) {
  const route::RouteTable table(config);
  for (std::uint32_t i = 0; i < config.routes.size(); ++i) {
    const config::RouteConfig& route = config.routes[i];
    if (route.pool != pool) continue;
    Target target;
    target.route = route.name;
    target.host = host_for(route.match.host);
    target.path = path_for(route.match.path);
    for (const auto& [name, value] : route.match.headers)
      target.headers.emplace_back(name, value == "*" ? "drill" : value);
    if (route_of(table, "GET", target) != i) continue;
    target.post = route_of(table, "POST", target) == i;
    target.websocket = route.websocket.allowed;
    target.close_code = route.websocket.close_code;
    return target;
  }
  return std::nullopt;
}

}  // namespace understudy::drill
