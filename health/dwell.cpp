#include "health/dwell.hpp"

#include <algorithm>

namespace understudy::health {

void Dwell::observe(double severity, bool enough, Duration dwell, TimePoint now) {
  const Duration step =
      looked_at_ && now > *looked_at_ ? std::min<Duration>(now - *looked_at_, longest_step) : Duration{};
  looked_at_ = now;
  if (!enough) return;
  const double part =
      dwell > Duration::zero() ? std::chrono::duration<double>(step) / std::chrono::duration<double>(dwell) : 1;
  if (severity >= 1) {
    if (!since_) since_ = now;
    charge_ = std::min(1.0, charge_ + part * severity * severity);
  } else if (severity < leave) {
    charge_ -= part;
    if (charge_ <= 0) {
      charge_ = 0;
      breached_ = false;
      since_.reset();
    }
  }
  severity_ = severity;
  if (charge_ >= 1 && since_ && now - *since_ >= least) breached_ = true;
}

void Dwell::reset() { *this = {}; }

void Dwell::skip(Duration starved) {
  if (since_) *since_ += starved;
  if (looked_at_) *looked_at_ += starved;
}

}  // namespace understudy::health
