// Says when many of a pool's tunnels lose their endpoint, and how that ended; also when they find another one so soon that they are
// never seen without. Told a few times a second; knows no pool. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "health/types.hpp"

namespace understudy::server {

class ParkedWatch {
public:
  static constexpr std::uint64_t kMany = 10;         // and one in a hundred
  static constexpr std::chrono::seconds kWindow{1};  // what went on is counted over one to two of these
  static constexpr std::chrono::seconds kQuiet{1};   // it is over when nobody was parked or went on for that long
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
  std::optional<std::string> begins(const std::string& pool, const Seen& seen, health::TimePoint now);

  std::optional<health::TimePoint> since_;
  health::TimePoint busy_{};  // somebody was parked or went on
  std::uint64_t most_ = 0;
  std::optional<health::TimePoint> looked_;  // of newest_
  bool any_ = false;
  Seen before_, newest_, last_;  // a window or two ago, at most a window ago, at the last look
};

}  // namespace understudy::server
