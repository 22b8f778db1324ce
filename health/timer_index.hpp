// One deadline per key, the earliest at hand: a binary heap that knows where each key sits. Keys are small
// numbers (slots, pool indices). All operations O(log n), none scans.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "health/types.hpp"

namespace understudy::health {

class TimerIndex {
public:
  using Key = std::uint32_t;

  // Sets, moves or (nullopt) removes the deadline of `key`.
  void set(Key key, std::optional<TimePoint> deadline);
  std::optional<TimePoint> next() const;
  // Takes out one key whose deadline is not later than `now`; the earliest first.
  std::optional<Key> pop_due(TimePoint now);
  void clear();
  std::size_t size() const { return heap_.size(); }

private:
  struct Entry {
    TimePoint deadline;
    Key key;
  };
  static bool before(const Entry& a, const Entry& b);
  void place(std::size_t at, const Entry& entry);
  void sift_up(std::size_t at);
  void sift_down(std::size_t at);
  void remove(std::size_t at);

  std::vector<Entry> heap_;
  std::vector<std::uint32_t> position_;  // by key: index into heap_ + 1; 0: not in it
};

}  // namespace understudy::health
