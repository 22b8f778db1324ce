// Says when many of a pool's tunnels are without an endpoint, and how that ended. Told a few times a second; knows no pool. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "health/types.hpp"

namespace understudy::server {

class ParkedWatch {
public:
  static constexpr std::uint64_t kMany = 10;  // and one in a hundred
  struct Seen {
    std::uint64_t open = 0;              // tunnels
    std::uint64_t parked = 0;            // of those, now
    std::uint64_t resumed = 0;           // so often since the start
    std::uint64_t given_up = 0;          // nobody took over in time, or said no
    std::uint64_t messages_at_risk = 0;  // since the start
  };
  // A sentence when there is something to be told: it has begun, or it is over.
  std::optional<std::string> look(const std::string& pool, const Seen& seen, health::TimePoint now);
  // Since when many are parked.
  std::optional<health::TimePoint> since() const { return since_; }

private:
  std::optional<health::TimePoint> since_;
  std::uint64_t most_ = 0;
  Seen before_;  // it began
};

}  // namespace understudy::server
