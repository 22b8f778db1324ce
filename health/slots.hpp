// Gives out endpoint ids. A slot comes back only after every worker acknowledged a view without it, with a
// new generation.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "health/types.hpp"

namespace understudy::health {

class Slots {
public:
  EndpointId take();
  // The endpoint is gone from view `version` and all later ones.
  void release(EndpointId id, std::uint64_t version);
  // Every worker has a view of at least this version.
  void acknowledged(std::uint64_t version);
  bool alive(EndpointId id) const;
  // Slots ever given out: the size that tables by slot need.
  std::size_t size() const { return slots_.size(); }

private:
  struct Slot {
    std::uint32_t generation = 0;
    bool alive = false;
  };
  struct Released {
    std::uint32_t slot;
    std::uint64_t version;
  };
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::deque<Released> released_;  // versions never fall
};

}  // namespace understudy::health
