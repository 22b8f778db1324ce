// Rules of [[route]], and between routes and pools.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "config/suggest.hpp"
#include "config/text.hpp"
#include "config/validate.hpp"

namespace understudy::config {
namespace {

std::string route_path(std::size_t index) { return "route[" + std::to_string(index + 1) + "]"; }

bool is_catch_all_path(std::string_view path) { return path.empty() || path == "/*" || path == "/**"; }

// Whether every request that `inner` takes is taken by `outer`, given that its host and path are.
bool covers_rest(const RouteMatch& outer, const RouteMatch& inner) {
  if (!outer.methods.empty()) {
    if (inner.methods.empty()) return false;
    for (const std::string& method : inner.methods) {
      if (std::find(outer.methods.begin(), outer.methods.end(), method) == outer.methods.end()) return false;
    }
  }
  for (const NameValue& header : outer.headers) {
    if (std::find(inner.headers.begin(), inner.headers.end(), header) == inner.headers.end()) return false;
  }
  return true;
}

// Earlier routes by host and path, so that what covers a route is found without comparing it with all of
// them.
class Earlier {
public:
  void add(const RouteMatch& match, std::size_t index) {
    by_key_[match.host + '\n' + (is_catch_all_path(match.path) ? "" : match.path)].push_back(index);
  }

  // The first earlier route that takes everything this one would; nullopt when none does.
  std::optional<std::size_t> covering(const RouteMatch& match, const std::vector<RouteConfig>& routes) const {
    std::optional<std::size_t> found;
    for (const std::string& host : hosts_over(match.host)) {
      for (const std::string& path : paths_over(match.path)) {
        const auto entry = by_key_.find(host + '\n' + path);
        if (entry == by_key_.end()) continue;
        const std::size_t most = std::min<std::size_t>(entry->second.size(), 64);
        for (std::size_t i = 0; i < most; ++i) {
          const std::size_t index = entry->second[i];
          if (covers_rest(routes[index].match, match) && (!found || index < *found)) found = index;
        }
      }
    }
    return found;
  }

private:
  static std::vector<std::string> hosts_over(const std::string& host) {
    std::vector<std::string> hosts{""};
    if (host.empty()) return hosts;
    hosts.push_back(host);
    const std::size_t start = host.substr(0, 2) == "*." ? 2 : 0;
    for (std::size_t dot = host.find('.', start); dot != std::string::npos; dot = host.find('.', dot + 1)) {
      hosts.push_back("*" + host.substr(dot));
    }
    return hosts;
  }

  // "/a/b" is under "", "/a/b", "/a/b/*" and "/a/*".
  static std::vector<std::string> paths_over(const std::string& path) {
    std::vector<std::string> paths{""};
    if (is_catch_all_path(path)) return paths;
    paths.push_back(path);
    if (path.find('*') == std::string::npos) paths.push_back(path + "/*");
    for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      const std::string front = path.substr(0, slash);
      if (front.find('*') != std::string::npos) break;
      if (front + "/*" != path) paths.push_back(front + "/*");
    }
    return paths;
  }

  std::unordered_map<std::string, std::vector<std::size_t>> by_key_;
};

void validate_action(const RouteConfig& route, const std::string& path, const Config& config, Reader& reader) {
  const char* first = nullptr;
  for (const char* key : {"pool", "redirect", "respond"}) {
    const Mark* mark = reader.mark(path + "." + key);
    if (mark == nullptr) continue;
    if (first != nullptr) {
      reader.error(mark->key, "'" + std::string(first) + "' and '" + key + "' in one [[route]] exclude each other",
                   "keep one of them");
      return;
    }
    first = key;
  }
  if (first == nullptr) {
    const std::string name = config.pools.empty() ? "app" : config.pools.front().name;
    reader.error(reader.span_of(path), "[[route]] needs one of 'pool', 'redirect' and 'respond'",
                 "add pool = \"" + name + "\"");
    return;
  }
  if (std::string_view(first) == "pool") return;
  for (const char* key : {"strip_prefix", "add_prefix", "request_headers", "websocket", "max_body_bytes",
                          "encoded_slash", "retry_with_idempotency_key"}) {
    // The slash rule is about reading the path, which every route does.
    if (std::string_view(key) == "encoded_slash") continue;
    const Mark* mark = reader.mark(path + "." + key);
    if (mark != nullptr) reader.error(mark->key, "'" + std::string(key) + "' does nothing in a route without 'pool'");
  }
  if (route.respond && (route.respond->status == 204 || route.respond->status == 304) && !route.respond->body.empty()) {
    reader.error(reader.span_of(path + ".respond.body"),
                 "an answer with status " + std::to_string(route.respond->status) + " has no body");
  }
}

void validate_parking(const RouteConfig& route, const std::string& path, Reader& reader) {
  if (route.websocket.on_endpoint_loss == EndpointLoss::resume) return;
  for (const char* key : {"park_timeout", "park_buffer", "replay_first"}) {
    const Mark* mark = reader.mark(path + ".websocket." + key);
    if (mark != nullptr)
      reader.error(mark->key, "'" + std::string(key) + "' does nothing without on_endpoint_loss = \"resume\"",
                   "add on_endpoint_loss = \"resume\", or leave it out");
  }
}

void validate_pool_name(const RouteConfig& route, const std::string& path, const Config& config,
                        const std::unordered_set<std::string>& names, Reader& reader) {
  if (route.pool.empty() || names.count(route.pool) != 0) return;
  const Mark* mark = reader.mark(path + ".pool");
  if (mark == nullptr) return;
  std::vector<std::string_view> words;
  for (const PoolConfig& pool : config.pools) words.push_back(pool.name);
  const auto near = words.size() > 1000 ? std::nullopt : nearest(route.pool, words);
  std::string hint = near ? "did you mean '" + *near + "'?" : "add [pool." + printable(route.pool) + "]";
  if (near) {
    const Span defined = reader.key_span_of("pool." + *near);
    if (defined.line != 0) hint += " (defined at line " + std::to_string(defined.line) + ")";
  }
  reader.error(mark->value, "[[route]] names pool '" + printable(route.pool) + "', which is not defined", hint);
}

void validate_order(const Config& config, Reader& reader) {
  Earlier earlier;
  for (std::size_t i = 0; i < config.routes.size(); ++i) {
    const RouteMatch& match = config.routes[i].match;
    if (const auto cover = earlier.covering(match, config.routes)) {
      const Span span = reader.span_of(route_path(*cover));
      reader.warning(reader.span_of(route_path(i)), "this [[route]] is never reached",
                     "the one at line " + std::to_string(span.line) + " takes all of its requests");
    }
    earlier.add(match, i);
  }
}

void validate_names(const Config& config, Reader& reader) {
  std::unordered_map<std::string, std::size_t> names;
  for (std::size_t i = 0; i < config.routes.size(); ++i) {
    const auto [other, fresh] = names.try_emplace(config.routes[i].name, i);
    if (fresh) continue;
    const std::size_t blamed = reader.mark(route_path(i) + ".name") != nullptr ? i : other->second;
    reader.error(reader.span_of(route_path(blamed) + ".name"),
                 "the name '" + config.routes[i].name + "' is taken by another [[route]]");
  }
}

}  // namespace

void validate_routes(const Config& config, Reader& reader) {
  std::unordered_set<std::string> names;
  for (const PoolConfig& pool : config.pools) names.insert(pool.name);
  const bool written = reader.mark("route") != nullptr && reader.mark("route[1]") != nullptr;
  if (!written) {
    if (config.pools.empty() && reader.mark("pool") == nullptr) {
      reader.error({}, "there is no pool", "write [pool.app] with primary = [\"10.0.0.11:8080\"]");
    } else if (config.pools.empty() && !reader.failed()) {
      reader.error(reader.span_of("pool"), "[pool] holds no pool",
                   "write [pool.app] with primary = [\"10.0.0.11:8080\"]");
    } else if (config.pools.size() > 1 && reader.mark("route") == nullptr) {
      reader.error({},
                   "there are " + std::to_string(config.pools.size()) +
                       " pools but no [[route]] that says which one serves what",
                   "write [[route]] with pool = \"" + config.pools.front().name +
                       "\", and one with a match for each other pool");
    } else if (config.pools.size() > 1 && !reader.failed()) {
      reader.error(reader.span_of("route"), "'route' is empty", "write [[route]]");
    }
    return;
  }
  std::unordered_set<std::string> used;
  for (std::size_t i = 0; i < config.routes.size(); ++i) {
    const RouteConfig& route = config.routes[i];
    validate_action(route, route_path(i), config, reader);
    validate_pool_name(route, route_path(i), config, names, reader);
    validate_parking(route, route_path(i), reader);
    used.insert(route.pool);
  }
  validate_names(config, reader);
  // With errors about, routes and pools are not yet what they will be.
  if (reader.failed()) return;
  validate_order(config, reader);
  for (const PoolConfig& pool : config.pools) {
    if (used.count(pool.name) == 0)
      reader.warning(reader.key_span_of("pool." + pool.name), "no [[route]] uses [pool." + pool.name + "]");
  }
}

}  // namespace understudy::config
