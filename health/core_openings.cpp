// Where new tunnels go: with the requests, unless every endpoint of the serving tier is slow to open them.
#include <algorithm>
#include <utility>

#include "health/choice.hpp"
#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

bool opens_well(const Endpoint& endpoint) {
  return endpoint.available && !endpoint.suspicion.suspect() && !endpoint.openings.slow();
}

bool opens_well(const Tier& tier) {
  return tier.count.serviceable() &&
         std::any_of(tier.endpoints.begin(), tier.endpoints.end(), [](const Endpoint* e) { return opens_well(*e); });
}

// Doubt of another kind alone is not what moves tunnels: the tier has its own way to be left.
bool opens_slowly(const Tier& tier) {
  return tier.count.serviceable() && !opens_well(tier) &&
         std::any_of(tier.endpoints.begin(), tier.endpoints.end(),
                     [](const Endpoint* e) { return e->available && e->openings.slow(); });
}

bool any_late(const Tier& tier) {
  return std::any_of(tier.endpoints.begin(), tier.endpoints.end(), [](const Endpoint* e) {
    return e->available && e->openings.state() == OpeningWatch::State::late;
  });
}

}  // namespace

// Since when an endpoint would get tunnels, if nothing spoke against it.
std::optional<TimePoint> Core::State::serving_since(const Endpoint& endpoint) const {
  const Pool& pool = *pools[endpoint.pool];
  const bool serves = endpoint.tier == pool.failover.active() && endpoint.available && !endpoint.suspicion.suspect();
  return serves ? std::optional(pool.active_since) : std::nullopt;
}

// Before each look at its openings. A standby that never opened one is held to what its pool is used to (law 3).
void Core::State::compare_openings(Endpoint& endpoint) const {
  const Pool& pool = *pools[endpoint.pool];
  std::optional<Duration> peers;
  if (!endpoint.openings.own_limit(pool.config.degraded)) {
    for (const Tier& tier : pool.tiers)
      for (const Endpoint* other : tier.endpoints)
        if (const auto limit = other->openings.own_limit(pool.config.degraded))
          peers = std::max(peers.value_or(*limit), *limit);
  }
  endpoint.openings.compare_with(peers);
}

// After each look at its openings. `changed`: it is slow to open since now, or no longer.
void Core::State::openings_seen(Endpoint& endpoint, bool changed, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  if (changed) {
    const bool slow = endpoint.openings.slow();
    const std::string who = name_and_address(endpoint);
    emit(slow ? Event::Kind::endpoint_slow_to_open : Event::Kind::endpoint_opens_again, pool,
         &pool.tiers[endpoint.tier], &endpoint,
         slow ? who + " is slow to open WebSockets: " + endpoint.openings.describe(pool.config.degraded) +
                    "; new tunnels avoid it where they can, requests and open tunnels stay"
              : who + " opens WebSockets in its usual time again");
  }
  if (changed || endpoint.openings.slow()) refresh(endpoint, now);  // how it is tried
}

void Core::State::openings_probed(Endpoint& endpoint, const ProbeResult& result, TimePoint now) {
  compare_openings(endpoint);
  openings_seen(endpoint, endpoint.openings.observe_probe(result, pools[endpoint.pool]->config.degraded, now), now);
}

// It was away, or doubted: before it gets tunnels like any other it has to open some in the usual time. Where nobody has ever
// opened one there is nothing to show.
void Core::State::openings_returned(Endpoint& endpoint, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  const bool wanted = std::any_of(pool.tiers.begin(), pool.tiers.end(), [](const Tier& tier) {
    return std::any_of(tier.endpoints.begin(), tier.endpoints.end(),
                       [](const Endpoint* e) { return e->openings.opened_any(); });
  });
  if (!wanted) return;
  compare_openings(endpoint);
  endpoint.openings.returned(pool.config.degraded, now);
}

// Downwards only: a tier above waits for its return, by its own rules (laws 4 and 11: the operator's move, its hold, its gates). And
// only where nothing else speaks against it: slow openings are no reason to go to what a failover would not go to (law 3).
bool Core::State::may_take_openings(const Pool& pool, std::uint32_t tier) const {
  if (!openings_may_move(pool.config) || pool.held || tier <= pool.failover.active()) return false;
  const Tier& to = pool.tiers[tier];
  if (!to.count.serviceable() || to.all_doubted || to.failed || to.watch.degraded()) return false;
  const Fit fit = to.fitness.fit;
  return pool.config.failover.require_fit ? fit == Fit::fit : fit != Fit::unfit && fit != Fit::stale;
}

// Law 3: only to a tier that opens well. No epoch: requests stay where they are, and so do tunnels that are open. Law 11: in an
// exclusive pool not on mere suspicion, but when one of the endpoints is known to be slow.
void Core::State::steer_openings(Pool& pool) {
  const std::uint32_t active = pool.failover.active();
  for (std::uint32_t t = 0; t < pool.tiers.size(); ++t) {
    const bool takes = may_take_openings(pool, t);
    if (std::exchange(pool.tiers[t].takes_openings, takes) != takes) view_changed();
  }
  const Tier& serving = pool.tiers[active];
  std::optional<std::uint32_t> to;
  const bool known = pool.config.tiers_mode == config::TiersMode::shared || any_late(serving);
  if (known && opens_slowly(serving)) {
    for (std::uint32_t t = 0; t < pool.tiers.size() && !to; ++t)
      if (pool.tiers[t].takes_openings && opens_well(pool.tiers[t])) to = t;
  }
  if (to == pool.openings_to) return;
  const std::optional<std::uint32_t> before = std::exchange(pool.openings_to, to);
  view_changed();
  if (to) {
    emit(Event::Kind::openings_moved, pool, &pool.tiers[*to], nullptr,
         "new tunnels go to " + quoted(pool.tiers[*to].name) + ": every endpoint of " + quoted(serving.name) +
             " is slow to open WebSockets, or has to show first that it is not; requests and open tunnels stay");
  } else {
    std::string reason = "new tunnels go to " + quoted(serving.name) + ", where requests go";
    if (*before < pool.tiers.size() && *before != active) {
      reason += ", no longer to " + quoted(pool.tiers[*before].name);
      if (opens_slowly(serving)) reason += ": that opens them no better";
    }
    emit(Event::Kind::openings_returned, pool, &serving, nullptr, std::move(reason));
  }
}

}  // namespace understudy::health
