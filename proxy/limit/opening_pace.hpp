// How many WebSocket openings an endpoint is given in a second, found by trying: few when it was away, twice as many every two
// seconds while they succeed, less when it refuses. Pure.
//
// What is in progress (opening_limit.hpp) says nothing where openings take no time: an endpoint that opens in a millisecond but
// answers 503 beyond 50 in a second is only told apart by how many it was given.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace understudy::limit {

class OpeningPace {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;
  struct Options {
    double start = 20, least = 1;  // openings a second; 20 at most for who was away
    double burst = 10;             // at once, or a tenth of a second's worth
    std::optional<double> most{};  // a second, whatever it could do
    bool adaptive = true;          // false: only `most` counts
  };

  OpeningPace() : OpeningPace(Options{}) {}
  explicit OpeningPace(Options options) : options_(options), rate_(options.start) {}

  // How many may begin now.
  std::uint32_t ready(TimePoint now);
  void begun(TimePoint now);
  // One of them was opened; or it may be that so many are too many: one has failed, and more were wanted than it was given.
  void good(TimePoint now);
  void bad(TimePoint now);
  // The endpoint was away: what was known of it is worth nothing.
  void cold();
  double rate() const { return allowed(); }
  // It has not been refused yet since it was cold.
  bool fresh() const { return fresh_; }
  bool unbounded() const { return !options_.adaptive && !options_.most; }

private:
  double allowed() const;
  double room() const;
  void refill(TimePoint now);

  Options options_;
  double rate_;
  double tokens_ = 0;
  bool fresh_ = true;
  std::optional<TimePoint> filled_, used_up_, grown_, cut_;
};

}  // namespace understudy::limit
