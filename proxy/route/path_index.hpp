// Which of a host's rules can meet a path at all: looked up by the literal segments that a rule begins with, so that the cost
// of a thousand rules is that of the few that begin like the path. Immutable after construction; shared by all workers.
//
//   /api/v1/*       under "/api/v1"
//   /api/*/orders   under "/api"
//   /*  /**/x       under "", looked at for every path
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace understudy::route {

class PathIndex {
public:
  static constexpr std::size_t kDepth = 8;  // segments that are looked up; what comes after them is compared

  // `literal`: what every path that the rule meets begins with, up to the end of a segment. Rules come in ascending order.
  void add(std::string_view literal, std::uint32_t rule);

  // Calls `visit(rule)` in ascending order for all rules that may meet `path`, until it answers false. Does not allocate.
  template <class Visit>
  void each(std::string_view path, Visit visit) const {
    Lists lists;
    collect(path, lists);
    for (;;) {
      Range* first = nullptr;
      for (std::size_t i = 0; i < lists.count; ++i) {
        Range& list = lists.list[i];
        if (list.at != list.end && (first == nullptr || *list.at < *first->at)) first = &list;
      }
      if (first == nullptr || !visit(*first->at++)) return;
    }
  }

private:
  struct Range {
    const std::uint32_t* at;
    const std::uint32_t* end;
  };
  struct Lists {
    std::array<Range, kDepth + 1> list;
    std::size_t count = 0;
  };
  void collect(std::string_view path, Lists& lists) const;

  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  // Keys come from the configuration only: a client can look up but never insert, so no seed is needed.
  std::unordered_map<std::string, std::vector<std::uint32_t>, TextHash, std::equal_to<>> rules_;
  std::size_t deepest_ = 0;  // segments of the longest key
};

}  // namespace understudy::route
