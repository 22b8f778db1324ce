#include "health/slow_start.hpp"

#include <algorithm>

namespace understudy::health {

void SlowStart::begin(Duration length, TimePoint now) {
  begun_ = now;
  length_ = std::max(length, Duration::zero());
}

double SlowStart::factor(TimePoint now) const {
  const Duration step = length_ / steps;
  if (step <= Duration::zero() || now >= begun_ + step * steps) return 1;
  const auto done = std::max<Duration::rep>((now - begun_) / step, 0);
  return static_cast<double>(std::min<Duration::rep>(done + 1, steps)) / steps;
}

std::optional<TimePoint> SlowStart::next_step(TimePoint now) const {
  if (factor(now) >= 1) return std::nullopt;
  const Duration step = length_ / steps;
  const auto done = std::max<Duration::rep>((now - begun_) / step, 0);
  return begun_ + step * (done + 1);
}

}  // namespace understudy::health
