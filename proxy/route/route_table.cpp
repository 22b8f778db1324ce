#include "proxy/route/route_table.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proxy/route/host_name.hpp"
#include "proxy/route/path_index.hpp"
#include "proxy/route/path_pattern.hpp"
#include "proxy/route/path_reading.hpp"

namespace understudy::route {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kStackPath = 8 * 1024;  // longer ones (max_uri_bytes was raised) are read on the heap

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_folded(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

struct Rule {
  PathPattern path;
  std::vector<std::string> methods;
  std::vector<config::NameValue> headers;
  bool allow_encoded_slash = false;

  bool matches_headers(const http::RequestHead& head, const char* base) const {
    return std::all_of(headers.begin(), headers.end(), [&](const config::NameValue& wanted) {
      for (std::size_t i = 0; i < head.fields.count; ++i) {
        const http::Field& field = head.fields.list[i];
        if (field.drop || !equal_folded(field.name.in(base), wanted.first)) continue;
        if (wanted.second == "*" || field.value.in(base) == wanted.second) return true;
      }
      return false;
    });
  }
  bool matches_method(std::string_view method) const {
    return methods.empty() || std::find(methods.begin(), methods.end(), method) != methods.end();
  }
};

// The routes written for one host pattern, in file order. `wider` is the next pattern that meets the same
// hosts, so the routes of a host are those along the chain; the first match is the least of each pattern's
// first match.
struct Host {
  std::vector<std::uint32_t> routes;
  PathIndex paths;  // the same routes
  const Host* wider = nullptr;
  bool path_rules = false;  // here or in a wider one
};

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
// Keys come from the configuration only: a client can look up but never insert, so no seed is needed.
using Hosts = std::unordered_map<std::string, Host, TextHash, std::equal_to<>>;

std::size_t labels_of(std::string_view name) {
  return static_cast<std::size_t>(std::count(name.begin(), name.end(), '.')) + 1;
}

// The alternatives to the reading that routes are matched on.
struct Readings {
  std::array<Reading, 3> list;
  std::size_t count = 0;
};
Readings other_readings(const PathTraits& traits) {
  Readings out;
  const bool by_structure = traits.dots || traits.encoded_slash;  // never both
  Reading restructured;
  restructured.resolve_dots = !traits.dots;
  restructured.split_encoded_slash = traits.encoded_slash;
  if (by_structure) out.list[out.count++] = restructured;
  if (traits.params) {
    Reading stripped;
    stripped.strip_params = true;
    out.list[out.count++] = stripped;
    restructured.strip_params = true;
    if (by_structure) out.list[out.count++] = restructured;
  }
  return out;
}

}  // namespace

struct RouteTable::Index {
  std::vector<Rule> rules;
  Hosts exact;
  Hosts suffixes;  // "example.org" for "*.example.org"
  Host any;
  std::size_t most_suffix_labels = 0;

  explicit Index(const config::Config& config);
  void link(Host& host, const Host* wider) const;
  const Host* narrowest_suffix(std::string_view name) const;
  const Host* find(std::string_view authority) const;

  struct Outcome {
    std::uint32_t route = kNone;
    bool but_for_method = false;
    bool operator==(const Outcome&) const = default;
  };
  Outcome scan(const Host& host, std::string_view path, const http::RequestHead& head, const char* base) const;
  // The first match under every reading of a doubtful path; RouteError::ambiguous_path when they differ.
  RouteMatch scan_doubtful(const Host& host, const PathTraits& traits, std::string_view path,
                           const http::RequestHead& head, const char* base, char* scratch) const;
};

RouteTable::Index::Index(const config::Config& config) {
  rules.reserve(config.routes.size());
  for (const config::RouteConfig& route : config.routes) {
    const auto index = static_cast<std::uint32_t>(rules.size());
    rules.push_back(
        {PathPattern(route.match.path), route.match.methods, route.match.headers, route.allow_encoded_slash});
    const std::string_view pattern = route.match.host;
    const bool suffix = pattern.starts_with("*.");
    HostBuffer buffer;
    const std::string name(normalise_host(suffix ? pattern.substr(2) : pattern, buffer));
    const bool everywhere = pattern.empty() || pattern == "*";
    if (!everywhere && name.empty()) continue;  // meets no host there is; loading reports such a pattern
    Host& host = everywhere ? any : (suffix ? suffixes : exact)[name];
    host.routes.push_back(index);
    host.paths.add(rules.back().path.literal(), index);
    host.path_rules = host.path_rules || !rules.back().path.is_any();
    if (suffix && !everywhere) most_suffix_labels = std::max(most_suffix_labels, labels_of(name));
  }
  // Widest first, so that a flag inherited is already complete.
  std::vector<std::pair<std::string_view, Host*>> by_width;
  for (auto& [name, host] : suffixes) by_width.emplace_back(name, &host);
  std::sort(by_width.begin(), by_width.end(),
            [](const auto& a, const auto& b) { return a.first.size() < b.first.size(); });
  for (auto& [name, host] : by_width) link(*host, narrowest_suffix(name));
  for (auto& [name, host] : exact) link(host, narrowest_suffix(name));
}

void RouteTable::Index::link(Host& host, const Host* wider) const {
  host.wider = wider;
  host.path_rules = host.path_rules || (wider != nullptr && wider->path_rules);
}

// The narrowest suffix that `name` is below, else the routes without a host, else nothing. Looks at no more
// labels than the longest suffix written has.
const Host* RouteTable::Index::narrowest_suffix(std::string_view name) const {
  const Host* found = any.routes.empty() ? nullptr : &any;
  std::size_t at = name.size();
  for (std::size_t labels = 0; labels < most_suffix_labels && at > 0; ++labels) {
    at = name.rfind('.', at - 1);
    if (at == std::string_view::npos || at == 0) break;
    const auto it = suffixes.find(name.substr(at + 1));
    if (it != suffixes.end()) found = &it->second;
  }
  return found;
}

const Host* RouteTable::Index::find(std::string_view authority) const {
  HostBuffer buffer;
  const std::string_view name = normalise_host(authority, buffer);
  if (name.empty()) return any.routes.empty() ? nullptr : &any;
  if (const auto it = exact.find(name); it != exact.end()) return &it->second;
  return narrowest_suffix(name);
}

RouteTable::Index::Outcome RouteTable::Index::scan(const Host& host, std::string_view path,
                                                   const http::RequestHead& head, const char* base) const {
  Outcome outcome;
  const std::string_view method = head.method_text.in(base);
  for (const Host* level = &host; level != nullptr; level = level->wider) {
    level->paths.each(path, [&](std::uint32_t index) {
      if (index >= outcome.route) return false;
      const Rule& rule = rules[index];
      if (!rule.path.matches(path) || !rule.matches_headers(head, base)) return true;
      if (rule.matches_method(method)) {
        outcome.route = index;
        return false;
      }
      outcome.but_for_method = true;
      return true;
    });
  }
  if (outcome.route != kNone) outcome.but_for_method = false;
  return outcome;
}

namespace {
RouteMatch as_match(std::uint32_t route, bool but_for_method) {
  if (route != kNone) return {route, RouteError::none};
  return {0, but_for_method ? RouteError::method_not_allowed : RouteError::no_route};
}
}  // namespace

RouteMatch RouteTable::Index::scan_doubtful(const Host& host, const PathTraits& traits, std::string_view path,
                                            const http::RequestHead& head, const char* base, char* scratch) const {
  constexpr RouteMatch ambiguous{0, RouteError::ambiguous_path};
  const Outcome outcome = scan(host, read_path(path, Reading{}, scratch), head, base);
  if (traits.encoded_slash && (outcome.route == kNone || !rules[outcome.route].allow_encoded_slash)) return ambiguous;
  if (outcome.route != kNone) {  // nothing is forwarded otherwise
    const Readings others = other_readings(traits);
    for (std::size_t i = 0; i < others.count; ++i) {
      if (scan(host, read_path(path, others.list[i], scratch), head, base) != outcome) return ambiguous;
    }
  }
  return as_match(outcome.route, outcome.but_for_method);
}

RouteTable::RouteTable(const config::Config& config) : index_(std::make_unique<Index>(config)) {}
RouteTable::~RouteTable() = default;
RouteTable::RouteTable(RouteTable&&) noexcept = default;
RouteTable& RouteTable::operator=(RouteTable&&) noexcept = default;

RouteMatch RouteTable::match(const http::RequestHead& head, const char* base) const {
  const Host* host = index_->find(head.authority.in(base));
  if (host == nullptr) return {0, RouteError::unknown_host};
  const std::string_view path = head.path.in(base);
  if (host->path_rules) {
    const PathTraits traits = inspect(path);
    if (traits.refused) return {0, RouteError::ambiguous_path};
    if (!traits.plain) {
      if (path.size() < kStackPath) {
        std::array<char, kStackPath> scratch;
        return index_->scan_doubtful(*host, traits, path, head, base, scratch.data());
      }
      std::string scratch(path.size() + 1, '\0');
      return index_->scan_doubtful(*host, traits, path, head, base, scratch.data());
    }
  }
  const Index::Outcome outcome = index_->scan(*host, path, head, base);
  return as_match(outcome.route, outcome.but_for_method);
}

std::string RouteTable::allowed_methods(const http::RequestHead& head, const char* base) const {
  const Host* host = index_->find(head.authority.in(base));
  if (host == nullptr) return {};
  std::string path(head.path.in(base));
  if (const PathTraits traits = inspect(path); !traits.plain && !traits.refused) {
    std::string scratch(path.size() + 1, '\0');
    path = read_path(head.path.in(base), Reading{}, scratch.data());
  }
  std::vector<std::uint32_t> routes;
  for (const Host* level = host; level != nullptr; level = level->wider) {
    routes.insert(routes.end(), level->routes.begin(), level->routes.end());
  }
  std::sort(routes.begin(), routes.end());
  std::vector<std::string_view> methods;
  for (const std::uint32_t index : routes) {
    const Rule& rule = index_->rules[index];
    if (!rule.path.matches(path) || !rule.matches_headers(head, base)) continue;
    for (const std::string& method : rule.methods) {
      if (std::find(methods.begin(), methods.end(), method) == methods.end()) methods.push_back(method);
    }
  }
  std::string out;
  for (const std::string_view method : methods) {
    if (!out.empty()) out += ", ";
    out += method;
  }
  return out;
}

}  // namespace understudy::route
