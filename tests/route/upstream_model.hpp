// How servers read a path, modelled apart from the proxy's own code: percent-decoding once, with every
// mixture of habits that was seen in the wild. The oracle of the path tests: what was let through to one
// route must not be served by any of these under the prefix that another route guards.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace understudy::route::testing {

struct UpstreamHabits {
  bool backslash_is_slash = false;
  bool cuts_params = false;      // "/a;v=1/b" is "/a/b"
  bool resolves_before = false;  // dot segments resolved before decoding too
  bool resolves_after = false;   // and after
  bool merges_slashes = false;
  bool keeps_encoded_slash = false;
};

inline std::string decoded_once(std::string_view path, bool keep_slash) {
  const auto digit = [](char c) -> int {
    const std::string_view all = "0123456789abcdef";
    const auto at = all.find(c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c);
    return at == std::string_view::npos ? -1 : static_cast<int>(at);
  };
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%' && i + 2 < path.size() && digit(path[i + 1]) >= 0 && digit(path[i + 2]) >= 0) {
      const char c = static_cast<char>(digit(path[i + 1]) * 16 + digit(path[i + 2]));
      if (c == '/' && keep_slash) {
        out += "%2f";
      } else {
        out += c;
      }
      i += 2;
    } else {
      out += path[i];
    }
  }
  return out;
}

inline std::vector<std::string> segments_of(std::string_view path) {
  std::vector<std::string> out(1);
  for (const char c : path.substr(path.empty() ? 0 : 1)) {
    if (c == '/') {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

inline std::string joined(const std::vector<std::string>& segments) {
  std::string out;
  for (const auto& segment : segments) out += "/" + segment;
  return out;
}

// RFC 3986 §5.2.4.
inline std::string resolved(std::string_view path) {
  std::vector<std::string> out;
  const auto segments = segments_of(path);
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool up = segments[i] == "..";
    if (up && !out.empty()) out.pop_back();
    if (!up && segments[i] != ".") {
      out.push_back(segments[i]);
    } else if (i + 1 == segments.size()) {
      out.emplace_back();
    }
  }
  return joined(out);
}

inline std::string served_as(std::string_view raw, const UpstreamHabits& habits) {
  std::string path(raw);
  const auto fold = [&] {
    if (!habits.backslash_is_slash) return;
    for (char& c : path) {
      if (c == '\\') c = '/';
    }
  };
  const auto cut = [&] {
    if (!habits.cuts_params) return;
    auto segments = segments_of(path);
    for (auto& segment : segments) segment = segment.substr(0, segment.find(';'));
    path = joined(segments);
  };
  fold();
  cut();
  if (habits.resolves_before) path = resolved(path);
  path = decoded_once(path, habits.keeps_encoded_slash);
  path = path.substr(0, path.find('\0'));  // C strings
  fold();
  cut();
  if (habits.merges_slashes) {
    std::string merged;
    for (const char c : path) {
      if (c != '/' || merged.empty() || merged.back() != '/') merged += c;
    }
    path = merged;
  }
  if (habits.resolves_after) path = resolved(path);
  return path;
}

inline const std::vector<UpstreamHabits>& all_habits() {
  static const std::vector<UpstreamHabits> all = [] {
    std::vector<UpstreamHabits> out;
    for (unsigned bits = 0; bits < 64; ++bits) {
      out.push_back({(bits & 1U) != 0, (bits & 2U) != 0, (bits & 4U) != 0, (bits & 8U) != 0, (bits & 16U) != 0,
                     (bits & 32U) != 0});
    }
    return out;
  }();
  return all;
}

// The first path under which some server would serve `raw` inside `prefix` ("/admin"); empty when none would.
inline std::string served_inside(std::string_view raw, const std::string& prefix) {
  for (const UpstreamHabits& habits : all_habits()) {
    const std::string path = served_as(raw, habits);
    if (path == prefix || path.starts_with(prefix + "/")) return path;
  }
  return {};
}

}  // namespace understudy::route::testing
