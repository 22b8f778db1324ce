// Routing as one would explain it: go through the routes in file order, compare everything, take the first.
// Written with strings and vectors and apart from the table's code; the oracle of the property test and of
// the fuzz target.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tests/route/route_request.hpp"
#include "tests/route/upstream_model.hpp"

namespace understudy::route::testing {

struct NaiveRequest {
  std::string host, path, method;
  std::vector<config::NameValue> headers;
};

inline std::string lowered(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// DNS names and IPv4 only: IPv6 literals are not the naive table's business.
inline std::string naive_host(std::string host) {
  host = lowered(host.substr(0, host.find(':')));
  if (!host.empty() && host.back() == '.') host.pop_back();
  return host.size() > 253 ? std::string{} : host;
}

inline bool naive_host_matches(std::string pattern, const std::string& host) {
  if (pattern.empty() || pattern == "*") return true;
  const bool suffix = pattern.starts_with("*.");
  pattern = naive_host(suffix ? pattern.substr(2) : pattern);
  if (pattern.empty() || host.empty()) return false;
  if (!suffix) return host == pattern;
  return host.size() > pattern.size() + 1 && host.ends_with("." + pattern);
}

inline bool naive_part_matches(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.front() == '*') {
    return naive_part_matches(pattern.substr(1), text) ||
           (!text.empty() && naive_part_matches(pattern, text.substr(1)));
  }
  return !text.empty() && text.front() == pattern.front() && naive_part_matches(pattern.substr(1), text.substr(1));
}

inline bool naive_segments_match(const std::vector<std::string>& pattern, std::size_t p,
                                 const std::vector<std::string>& path, std::size_t s) {
  if (p == pattern.size()) return s == path.size();
  const bool last_star = pattern[p] == "*" && p + 1 == pattern.size();
  if (pattern[p] == "**" || last_star) {
    if (naive_segments_match(pattern, p + 1, path, s)) return true;
    return s < path.size() && naive_segments_match(pattern, p, path, s + 1);
  }
  if (s == path.size() || (pattern[p] == "*" && path[s].empty())) return false;
  return naive_part_matches(pattern[p], path[s]) && naive_segments_match(pattern, p + 1, path, s + 1);
}

inline bool is_any_path(const std::string& pattern) {
  return pattern.empty() || pattern == "/*" || pattern == "/**" || pattern == "*";
}

inline bool naive_path_matches(const std::string& pattern, const std::string& path) {
  if (is_any_path(pattern)) return true;
  if (path.empty() || path.front() != '/') return false;
  return naive_segments_match(segments_of(decoded_once(pattern, true)), 0, segments_of(path), 0);
}

inline bool naive_headers_match(const config::RouteMatch& rule, const NaiveRequest& request) {
  return std::all_of(rule.headers.begin(), rule.headers.end(), [&](const auto& wanted) {
    return std::any_of(request.headers.begin(), request.headers.end(), [&](const auto& field) {
      return lowered(field.first) == lowered(wanted.first) && (wanted.second == "*" || wanted.second == field.second);
    });
  });
}

inline RouteMatch naive_scan(const config::Config& config, const NaiveRequest& request, const std::string& path) {
  const std::string host = naive_host(request.host);
  bool known = false, but_for_method = false;
  for (std::size_t i = 0; i < config.routes.size(); ++i) {
    const config::RouteMatch& rule = config.routes[i].match;
    if (!naive_host_matches(rule.host, host)) continue;
    known = true;
    if (!naive_path_matches(rule.path, path) || !naive_headers_match(rule, request)) continue;
    if (rule.methods.empty() || std::count(rule.methods.begin(), rule.methods.end(), request.method) > 0) {
      return {static_cast<std::uint32_t>(i), RouteError::none};
    }
    but_for_method = true;
  }
  if (!known) return {0, RouteError::unknown_host};
  return {0, but_for_method ? RouteError::method_not_allowed : RouteError::no_route};
}

inline bool holds(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

inline bool is_dots(const std::string& segment) { return segment == "." || segment == ".."; }

// The forms that are refused wherever a path rule exists, one by one.
inline bool naive_refused(const std::string& path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') continue;
    const auto hex = [&](std::size_t at) {
      return at < path.size() && std::isxdigit(static_cast<unsigned char>(path[at])) != 0;
    };
    if (!hex(i + 1) || !hex(i + 2)) return true;
    if (path.substr(i, 3) == "%00") return true;
  }
  const std::string whole = decoded_once(path, false);
  if (path.find('\0') != std::string::npos) return true;
  if (holds(whole, "\\") || holds(whole, "//") || holds(whole, ";..")) return true;
  for (std::size_t i = 0; i + 1 < whole.size(); ++i) {
    const auto a = static_cast<unsigned char>(whole[i]), b = static_cast<unsigned char>(whole[i + 1]);
    if ((a == 0xC0 || a == 0xC1) && b >= 0x80 && b <= 0xBF) return true;
    if ((a == 0xE0 && b >= 0x80 && b <= 0x9F) || (a == 0xF0 && b >= 0x80 && b <= 0x8F)) return true;
  }
  const bool encoded_slash = holds(lowered(path), "%2f");
  const auto segments = segments_of(whole);
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const std::string name = segments[i].substr(0, segments[i].find(';'));
    if (name.empty() && i + 1 < segments.size()) return true;
    if (is_dots(name) && (name != segments[i] || encoded_slash)) return true;
  }
  for (const std::string& segment : segments_of(path)) {
    if (is_dots(decoded_once(segment, false)) && !is_dots(segment)) return true;
  }
  return false;
}

inline std::string without_params(const std::string& path) {
  auto segments = segments_of(path);
  for (auto& segment : segments) segment = segment.substr(0, segment.find(';'));
  return joined(segments);
}

inline RouteMatch naive_match(const config::Config& config, const NaiveRequest& request) {
  const std::string host = naive_host(request.host);
  const bool looks_at_paths = std::any_of(config.routes.begin(), config.routes.end(), [&](const auto& route) {
    return naive_host_matches(route.match.host, host) && !is_any_path(route.match.path);
  });
  const std::string& raw = request.path;
  if (!looks_at_paths || raw.empty() || raw.front() != '/') return naive_scan(config, request, raw);
  constexpr RouteMatch ambiguous{0, RouteError::ambiguous_path};
  if (naive_refused(raw)) return ambiguous;
  const RouteMatch first = naive_scan(config, request, resolved(decoded_once(raw, true)));
  const bool encoded_slash = holds(lowered(raw), "%2f");
  if (encoded_slash && (first.error != RouteError::none || !config.routes[first.index].allow_encoded_slash)) {
    return ambiguous;
  }
  if (first.error != RouteError::none) return first;
  for (unsigned bits = 0; bits < 8; ++bits) {
    std::string path = decoded_once(raw, (bits & 1U) != 0);
    if ((bits & 2U) != 0) path = without_params(path);
    if ((bits & 4U) != 0) path = resolved(path);
    const RouteMatch other = naive_scan(config, request, path);
    if (other.error != first.error || other.index != first.index) return ambiguous;
  }
  return first;
}

}  // namespace understudy::route::testing
