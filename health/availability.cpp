#include "health/availability.hpp"

#include <algorithm>
#include <cmath>

namespace understudy::health {

bool derive_available(const Axes& axes) {
  switch (axes.operator_state) {
    case OperatorState::draining:
    case OperatorState::disabled: return false;
    case OperatorState::held: return axes.held_available;
    case OperatorState::enabled: break;
  }
  if (axes.quarantined || axes.passive == PassiveState::ejected || axes.active == ActiveState::unhealthy) return false;
  if (axes.active == ActiveState::healthy || !axes.checked) return true;
  switch (axes.start) {
    case config::StartPolicy::wait: return axes.start_wait_over;
    case config::StartPolicy::assume_healthy: return true;
    case config::StartPolicy::assume_unhealthy: return false;
  }
  return false;
}

bool derive_undecided(const Axes& axes) {
  return axes.operator_state == OperatorState::enabled && axes.passive == PassiveState::in && axes.checked &&
         !axes.quarantined && axes.active == ActiveState::unknown &&
         axes.start != config::StartPolicy::assume_healthy && !axes.start_wait_over;
}

std::uint32_t needed_endpoints(const config::FailoverConfig& failover, std::size_t size) {
  double wanted = failover.min_available_count;
  if (failover.min_available_share) {
    // A hair less, so that 0.6 of 5 is three and not four by rounding.
    wanted = std::ceil(*failover.min_available_share * static_cast<double>(size) - 1e-9);
  }
  return static_cast<std::uint32_t>(std::clamp(wanted, 1.0, std::max(1.0, static_cast<double>(size))));
}

bool derive_panic(const TierCount& count, double threshold, bool other_tier_to_be_had) {
  if (other_tier_to_be_had || count.enabled == 0 || count.undecided > 0) return false;
  return static_cast<double>(count.available) < threshold * static_cast<double>(count.enabled);
}

}  // namespace understudy::health
