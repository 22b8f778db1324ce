#include "health/threshold.hpp"

#include <limits>

namespace understudy::health {

bool Threshold::add(bool ok, const Policy& policy) {
  if (streak_ > 0 && last_ok_ == ok) {
    if (streak_ < std::numeric_limits<std::uint32_t>::max()) ++streak_;
  } else {
    streak_ = 1;
  }
  last_ok_ = ok;
  const ActiveState towards = ok ? ActiveState::healthy : ActiveState::unhealthy;
  if (state_ == towards) return false;
  const std::uint32_t needed = !ok ? policy.fall : state_ == ActiveState::unknown ? policy.first : policy.rise;
  if (streak_ < needed) return false;
  state_ = towards;
  return true;
}

bool Threshold::changing() const {
  if (state_ == ActiveState::unknown) return true;
  return streak_ > 0 && last_ok_ != (state_ == ActiveState::healthy);
}

void Threshold::assume(ActiveState state) {
  state_ = state;
  streak_ = 0;
}

}  // namespace understudy::health
