// A latency that believes bad news at once and good news slowly: the estimate jumps to a slower sample,
// follows faster ones exponentially, and fades while nothing is measured, so that an endpoint once slow is
// tried again. A value; told the time.
#pragma once

#include <chrono>
#include <cmath>

#include "health/types.hpp"

namespace understudy::balance {

class PeakEwma {
public:
  // After one time constant the past counts 1/e.
  explicit PeakEwma(health::Duration time_constant = std::chrono::seconds(10))
      : constant_(std::chrono::duration<double>(time_constant).count()) {}

  void add(health::Duration sample, health::TimePoint now) {
    const double seconds = std::chrono::duration<double>(sample).count();
    if (seconds < 0) return;
    const double past = share_of_past(now);
    estimate_ = !known_ || seconds >= estimate_ * past ? seconds : estimate_ * past + seconds * (1 - past);
    if (now > last_ || !known_) last_ = now;
    known_ = true;
  }

  // Seconds; 0 when nothing is known.
  double seconds(health::TimePoint now) const { return known_ ? estimate_ * share_of_past(now) : 0; }

private:
  double share_of_past(health::TimePoint now) const {
    if (!known_ || now <= last_) return 1;
    return std::exp(-std::chrono::duration<double>(now - last_).count() / constant_);
  }

  double constant_;
  double estimate_ = 0;
  health::TimePoint last_{};
  bool known_ = false;
};

}  // namespace understudy::balance
