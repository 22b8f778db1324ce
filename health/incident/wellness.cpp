#include "health/incident/wellness.hpp"

#include <algorithm>

namespace understudy::incident {
namespace {

using health::EndpointStatus;
using health::TierStatus;

bool in_use(const EndpointStatus& endpoint) { return endpoint.operator_state == health::OperatorState::enabled; }

bool marked_bad(const EndpointStatus& endpoint) {
  return endpoint.active == health::ActiveState::unhealthy || endpoint.passive == health::PassiveState::ejected ||
         endpoint.quarantined;
}

std::string named(const TierStatus& tier) { return "tier '" + tier.name + "'"; }

// Every endpoint that is in use opens WebSockets far slower than it should.
bool opens_slowly(const TierStatus& tier) {
  bool slow = false;
  for (const EndpointStatus& endpoint : tier.endpoints) {
    if (!in_use(endpoint) || !endpoint.available) continue;
    if (endpoint.openings != "slow") return false;
    slow = true;
  }
  return slow;
}

std::size_t available_in(const TierStatus& tier) {
  return static_cast<std::size_t>(
      std::count_if(tier.endpoints.begin(), tier.endpoints.end(), [](const auto& e) { return e.available; }));
}

}  // namespace

std::uint32_t first_in_use(const health::PoolStatus& pool) {
  for (std::uint32_t t = 0; t < pool.tiers.size(); ++t)
    for (const EndpointStatus& endpoint : pool.tiers[t].endpoints)
      if (in_use(endpoint) || endpoint.operator_state == health::OperatorState::held) return t;
  return pool.active;
}

Wellness wellness_of(const health::PoolStatus& pool, bool moved) {
  Wellness out;
  const auto bad = [&out](std::string why) {
    if (!out.bad) out.why = std::move(why);
    out.bad = true;
  };
  const std::uint32_t first = first_in_use(pool);
  if (pool.active < pool.tiers.size()) {
    const TierStatus& serving = pool.tiers[pool.active];
    const bool ordered = std::none_of(serving.endpoints.begin(), serving.endpoints.end(), in_use);
    const bool untried = std::any_of(serving.endpoints.begin(), serving.endpoints.end(), [](const EndpointStatus& e) {
      return in_use(e) && e.active == health::ActiveState::unknown && !marked_bad(e);
    });
    if (!serving.serviceable && !ordered && !untried) bad(named(serving) + " has too few available endpoints");
    if (serving.failed) bad("the move to " + named(serving) + " did not help");
    if (opens_slowly(serving)) bad(named(serving) + " is slow to open WebSockets");
  }
  if (moved && pool.active != first && pool.active < pool.tiers.size())
    bad(named(pool.tiers[pool.active]) + " serves instead of " + named(pool.tiers[first]));
  if (moved && (pool.phase == "returning" || pool.phase == "shifting")) bad("traffic is on its way");
  for (const TierStatus& tier : pool.tiers) {
    if (tier.panic) bad(named(tier) + " is in panic mode");
    if (tier.degraded) bad(named(tier) + " is degraded: " + tier.degraded_reason);
    if (tier.fit == health::Fit::unfit || tier.fit == health::Fit::stale)
      bad(named(tier) + " could not take over: " + tier.fit_reason);
    if (tier.max_unanswered) bad(named(tier) + " is asked for more than it can answer");
    for (const EndpointStatus& endpoint : tier.endpoints) {
      if (!in_use(endpoint)) continue;
      if (marked_bad(endpoint)) bad(endpoint.label + " of " + named(tier) + " is not well");
      out.doubtful |= !endpoint.suspicion.empty() && endpoint.suspicion != "returning";
      out.doubtful |= endpoint.openings == "slow";
    }
  }
  return out;
}

std::vector<std::string> alternatives_of(const health::PoolStatus& pool) {
  std::vector<std::string> out;
  for (const TierStatus& tier : pool.tiers) {
    std::string text = named(tier) + ": " + std::to_string(available_in(tier)) + " of " +
                       std::to_string(tier.endpoints.size()) + " endpoints available, " +
                       (tier.serviceable ? "can serve" : "cannot serve");
    if (tier.degraded) text += ", degraded (" + tier.degraded_reason + ")";
    if (tier.failed) text += ", a move to it failed";
    if (!tier.quality.empty()) text += "; measured: " + tier.quality;
    if (out.size() == pool.active) text += " (chosen)";
    out.push_back(std::move(text));
  }
  return out;
}

}  // namespace understudy::incident
