// The truth table of types.hpp, and what a tier's endpoints amount to: numbers in, verdicts out.
#pragma once

#include <cstdint>

#include "config/model.hpp"
#include "health/types.hpp"

namespace understudy::health {

// The three axes of one endpoint, and what `unknown` and `held` need to be resolved.
struct Axes {
  OperatorState operator_state = OperatorState::enabled;
  ActiveState active = ActiveState::unknown;
  PassiveState passive = PassiveState::in;
  bool checked = true;           // the pool has a check at all
  bool start_wait_over = false;  // start policy `wait` only
  config::StartPolicy start = config::StartPolicy::wait;
  bool held_available = false;  // as observed when the hold began
  bool quarantined = false;     // it was down, and the gates have not passed since
};

// May new work go there?
bool derive_available(const Axes& axes);
// Nothing is known yet and the start policy still waits for the first verdict: judge nobody by this endpoint.
bool derive_undecided(const Axes& axes);

// How many endpoints of a tier of `size` have to be available. At least one; never more than there are, so
// that a small standby whose endpoints are all well can stand in for a large primary.
std::uint32_t needed_endpoints(const config::FailoverConfig& failover, std::size_t size);

// What one tier's endpoints amount to. Configured names without an address count in size and undecided.
struct TierCount {
  std::uint32_t size = 0;
  std::uint32_t enabled = 0;  // enabled or held: what panic mode may use
  std::uint32_t available = 0;
  std::uint32_t suspect = 0;  // of the available ones: traffic says that they are gone
  std::uint32_t undecided = 0;
  std::uint32_t needed = 1;

  std::uint32_t sound() const { return available - suspect; }
  bool serviceable() const { return sound() >= needed; }
  // Whether the verdict still depends on endpoints that never had one.
  bool undecided_verdict() const { return !serviceable() && sound() + undecided >= needed; }
};

// Panic: too few of those that may be used are available, and no other tier is to be had.
bool derive_panic(const TierCount& count, double threshold, bool other_tier_to_be_had);

}  // namespace understudy::health
