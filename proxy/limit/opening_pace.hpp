// How many WebSocket openings an endpoint is given in a second, found by trying: few when it was away, twice as many every two
// seconds while they succeed, less when it refuses. Pure.
//
// What is in progress (opening_limit.hpp) says nothing where openings take no time: an endpoint that opens in a millisecond but
// answers 503 beyond 50 in a second is only told apart by how many it was given.
#pragma once

#include <array>
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
  // Several in a row took far too long that were begun then: so many in a second were too many. From then on that many are approached
  // with care, also after it was away: who fell under them may well fall again.
  void slow(TimePoint begun, TimePoint now);
  // The endpoint was away: nothing else that was known of it is worth anything.
  void cold();
  double rate() const { return allowed(); }
  // It has not been refused yet since it was cold.
  bool fresh() const { return fresh_; }
  bool unbounded() const { return !options_.adaptive && !options_.most; }

private:
  double allowed() const;
  double room() const;
  void refill(TimePoint now);
  double doubling() const;
  bool just_cut(TimePoint now) const;
  void cut(TimePoint now, double rate);
  void count(TimePoint now);

  Options options_;
  double rate_;
  double tokens_ = 0;
  bool fresh_ = true;
  std::optional<TimePoint> filled_, used_up_, grown_, cut_;
  // How many were begun in each tenth of the last second, and most in any second since the last cut.
  std::array<std::uint32_t, 10> tenths_{};
  std::int64_t tenth_ = 0;
  std::uint32_t most_begun_ = 0;
  std::optional<TimePoint> counted_since_;
  std::uint32_t well_ = 0;               // how many were opened well since it was away
  std::optional<TimePoint> well_since_;  // until there were enough
  double fell_ = 0;                      // under so many a second it was last too slow, and when
  TimePoint fell_at_{};
};

// Tells when several openings were slow that were begun one after another. They end in another order: those that were begun when the
// first of the slow ones gave way are done before the last of these.
class SlowInARow {
public:
  using TimePoint = OpeningPace::TimePoint;
  // True as soon as there are three, and for each further one.
  bool add(TimePoint begun, bool slow);

private:
  std::optional<TimePoint> first_, last_;  // of the row, as begun
  std::optional<TimePoint> good_;          // the first good one that was begun after it
  std::uint32_t count_ = 0;
};

}  // namespace understudy::limit
