#include "proxy/route/path_index.hpp"

#include <algorithm>

namespace understudy::route {
namespace {

// The end of the segment that begins at `at`, which is a slash or the very end.
std::size_t segment_end(std::string_view path, std::size_t at) {
  return at >= path.size() ? path.size() : std::min(path.find('/', at + 1), path.size());
}

}  // namespace

void PathIndex::add(std::string_view literal, std::uint32_t rule) {
  std::size_t end = 0, depth = 0;
  while (end < literal.size() && depth < kDepth) {
    end = segment_end(literal, end);
    ++depth;
  }
  deepest_ = std::max(deepest_, depth);
  rules_[std::string(literal.substr(0, end))].push_back(rule);
}

void PathIndex::collect(std::string_view path, Lists& lists) const {
  std::size_t end = 0;
  for (std::size_t depth = 0; depth <= deepest_; ++depth) {
    if (const auto found = rules_.find(path.substr(0, end)); found != rules_.end())
      lists.list[lists.count++] = {found->second.data(), found->second.data() + found->second.size()};
    if (end == path.size()) break;
    end = segment_end(path, end);
  }
}

}  // namespace understudy::route
