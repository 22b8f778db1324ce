// The weight of an endpoint that came back, as a function of time: a tenth at first, growing in ten equal
// steps.
#pragma once

#include <optional>

#include "health/types.hpp"

namespace understudy::health {

class SlowStart {
public:
  static constexpr int steps = 10;

  // From `now` on the weight grows for `length`; zero length means full weight at once.
  void begin(Duration length, TimePoint now);
  void cancel() { length_ = Duration::zero(); }
  // In (0, 1]: the share of the configured weight at `now`.
  double factor(TimePoint now) const;
  // When the factor changes next; nullopt once it is 1.
  std::optional<TimePoint> next_step(TimePoint now) const;

private:
  TimePoint begun_{};
  Duration length_{};
};

}  // namespace understudy::health
