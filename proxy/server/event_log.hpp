// The last events in memory, numbered, for the admin API. Bounded: the oldest go.
#pragma once

#include <cstdint>
#include <deque>

#include "health/types.hpp"

namespace understudy::server {

class EventLog {
public:
  static constexpr std::size_t kKeep = 1000;
  struct Entry {
    std::uint64_t id;
    health::Event event;
  };
  std::uint64_t add(health::Event event) {
    entries_.push_back({++last_id_, std::move(event)});
    if (entries_.size() > kKeep) entries_.pop_front();
    return last_id_;
  }
  const std::deque<Entry>& entries() const { return entries_; }
  std::uint64_t last_id() const { return last_id_; }

private:
  std::deque<Entry> entries_;
  std::uint64_t last_id_ = 0;
};

}  // namespace understudy::server
