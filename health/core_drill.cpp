// The end of a live drill that was cut short: its faults never were.
#include <algorithm>

#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {

void Core::State::drill_cut(const DrillCut& cut, TimePoint now) {
  Pool* const pool = find_pool(cut.pool);
  if (pool == nullptr) return;
  for (const EndpointId id : cut.endpoints) {
    Endpoint* const endpoint = find(id);
    if (endpoint == nullptr) continue;
    forgive(*endpoint, cut.began, now, "what spoke against it was injected by a drill");
    // What it was like in better days is known still; of the rest nothing was its own doing.
    endpoint->signals.forget_recent();
    // Its checks may have been well once or twice since, and not often enough yet.
    if (endpoint->threshold.state() == ActiveState::unhealthy && endpoint->verdict_since >= cut.began) {
      endpoint->threshold.assume(ActiveState::healthy);
      endpoint->verdict_since = now;
      emit(Event::Kind::endpoint_healthy, *pool, &pool->tiers[endpoint->tier], endpoint,
           name_and_address(*endpoint) + " is healthy as before: what spoke against it was injected by a drill");
    }
    endpoint->outlier.reset();
    endpoint->last_failure = Cause::none;
    endpoint->probe_doubted = false;
    refresh(*endpoint, now);
  }
  for (Tier& tier : pool->tiers) {
    const auto meant = [&](const Endpoint* endpoint) {
      return std::find(cut.endpoints.begin(), cut.endpoints.end(), endpoint->id) != cut.endpoints.end();
    };
    if (std::none_of(tier.endpoints.begin(), tier.endpoints.end(), meant)) continue;
    tier.watch.reset();
    tier.shedder.reset();
    tier.failed = false;
  }
  pool->watched_at.reset();  // looked at anew in this very call
  touch(*pool);
  // Law 4: what an operator ordered meanwhile stands.
  if (pool->held || pool->failover.moved_by_operator() || pool->tiers[pool->failover.active()].name == cut.tier) return;
  for (std::uint32_t i = 0; i < pool->tiers.size(); ++i) {
    Tier& tier = pool->tiers[i];
    if (tier.name != cut.tier) continue;
    recount(*pool, tier, now);
    if (!tier.count.serviceable()) return;
    pool->back_at_once = true;
    pool->failover.order(i, i < pool->failover.active(), "a drill was cut short", now);
  }
}

}  // namespace understudy::health
