// Has a signal been beyond its threshold for long enough? The time it takes is `dwell` at the threshold and shrinks with
// severity, so that a value twice the threshold needs a quarter of it; never below `least`.
//
//            severity ≥ 1: charge grows by severity² per dwell          charge 1, and `least` has passed
//   calm ────────────────────────────────────────────────► charging ────────────────────────────────────► breached
//     ▲            severity < leave: charge falls by 1 per dwell │                                            │
//     └──────────────────────────────── charge 0 ────────────────┴──────────────── charge 0 ──────────────────┘
//
// Between `leave` and 1 nothing changes (hysteresis). Too few samples change nothing either: absence of traffic is no
// recovery and no fault.
#pragma once

#include <optional>

#include "health/types.hpp"

namespace understudy::health {

class Dwell {
public:
  static constexpr double leave = 0.8;
  static constexpr Duration least = std::chrono::milliseconds(200);
  // A pause between two observations counts at most so much: what was not looked at did not last.
  static constexpr Duration longest_step = std::chrono::milliseconds(500);

  // severity: value / threshold, as of now. enough: as many samples as a judgement needs.
  void observe(double severity, bool enough, Duration dwell, TimePoint now);
  void reset();
  // Nothing was observed for that long (law 12).
  void skip(Duration starved);

  bool breached() const { return breached_; }
  // Beyond the threshold now, whether for long enough or not.
  bool charging() const { return since_.has_value(); }
  std::optional<TimePoint> since() const { return since_; }
  double severity() const { return severity_; }
  double charge() const { return charge_; }

private:
  double charge_ = 0;
  double severity_ = 0;
  bool breached_ = false;
  std::optional<TimePoint> since_;  // the charge has been above zero since
  std::optional<TimePoint> looked_at_;
};

}  // namespace understudy::health
