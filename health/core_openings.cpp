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

// Is somebody given more of them, step by step, to see whether it bears that?
bool any_proving(const Tier& tier) {
  return std::any_of(tier.endpoints.begin(), tier.endpoints.end(),
                     [](const Endpoint* e) { return e->available && e->openings.proving(); });
}

// Where new tunnels went and were opened no better: for how long not again. Twice as long each time that comes again.
constexpr Duration least_apart = std::chrono::seconds(60), most_apart = std::chrono::minutes(8);
constexpr Duration apart_memory = std::chrono::minutes(20);

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
  const bool slow = endpoint.openings.slow();
  // Who is late once more after nobody asked it for a while is no news.
  if (changed && !(std::exchange(endpoint.told_slow_to_open, slow) && slow)) {
    const std::string who = name_and_address(endpoint);
    emit(slow ? Event::Kind::endpoint_slow_to_open : Event::Kind::endpoint_opens_again, pool,
         &pool.tiers[endpoint.tier], &endpoint,
         slow ? who + " is slow to open WebSockets: " + endpoint.openings.describe(pool.config.degraded) +
                    "; new tunnels avoid it where they can, requests and open tunnels stay"
              : who + " opens WebSockets in its usual time again");
  }
  if (changed || slow) refresh(endpoint, now);  // how it is tried
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

// Nobody asked it for a tunnel for a while.
void Core::State::openings_expire(Endpoint& endpoint, TimePoint now) {
  if (!endpoint.openings.expire(serving_since(endpoint), now)) return;
  if (!endpoint.openings.slow() && std::exchange(endpoint.told_slow_to_open, false)) {
    const Pool& pool = *pools[endpoint.pool];
    emit(Event::Kind::endpoint_opens_again, pool, &pool.tiers[endpoint.tier], &endpoint,
         name_and_address(endpoint) +
             " is no longer taken as slow to open WebSockets: nothing it was asked for lately speaks against it");
  }
  refresh(endpoint, now);
}

// Downwards only: a tier above waits for its return, by its own rules (laws 4 and 11: the operator's move, its hold, its gates). And
// only where nothing else speaks against it: slow openings are no reason to go to what a failover would not go to (law 3).
bool Core::State::may_take_openings(const Pool& pool, std::uint32_t tier, TimePoint now) const {
  if (!openings_may_move(pool.config) || pool.held || tier <= pool.failover.active()) return false;
  const Tier& to = pool.tiers[tier];
  if (!to.count.serviceable() || to.all_doubted || to.failed || to.watch.degraded()) return false;
  if (to.opens_no_better_until && now < *to.opens_no_better_until) return false;
  const Fit fit = to.fitness.fit;
  return pool.config.failover.require_fit ? fit == Fit::fit : fit != Fit::unfit && fit != Fit::stale;
}

// Law 3: only to a tier that opens well, and back only when the serving tier has shown what it bears. No epoch: requests stay where they
// are, and so do tunnels that are open. Law 11: in an exclusive pool not on mere suspicion, but when one of the endpoints is known to
// be slow.
void Core::State::steer_openings(Pool& pool, TimePoint now) {
  const std::uint32_t active = pool.failover.active();
  const Tier& serving = pool.tiers[active];
  const std::optional<std::uint32_t> before = pool.openings_to;
  const bool aside = before && *before < pool.tiers.size() && *before != active;
  std::string no_better;
  if (aside && opens_slowly(serving) && opens_slowly(pool.tiers[*before]) && any_late(pool.tiers[*before])) {
    Tier& tried = pool.tiers[*before];
    if (now - tried.opened_no_better_at > apart_memory) tried.opened_no_better = 0;
    const Duration apart = std::min<Duration>(least_apart * (1 << std::min(tried.opened_no_better, 8U)), most_apart);
    ++tried.opened_no_better;
    tried.opened_no_better_at = now;
    tried.opens_no_better_until = now + apart;
    no_better = ": that opens them no better, and is not tried for " + describe(apart);
  }
  for (std::uint32_t t = 0; t < pool.tiers.size(); ++t) {
    const bool takes = may_take_openings(pool, t, now);
    if (std::exchange(pool.tiers[t].takes_openings, takes) != takes) view_changed();
  }
  const bool known = aside || pool.config.tiers_mode == config::TiersMode::shared || any_late(serving);
  const bool slow = opens_slowly(serving) || (aside && serving.count.serviceable() && any_proving(serving));
  std::optional<std::uint32_t> to;
  for (std::uint32_t t = 0; known && slow && t < pool.tiers.size() && !to; ++t)
    if (pool.tiers[t].takes_openings && opens_well(pool.tiers[t])) to = t;
  if (to == before) return;
  pool.openings_to = to;
  view_changed();
  if (to) {
    emit(Event::Kind::openings_moved, pool, &pool.tiers[*to], nullptr,
         "new tunnels go to " + quoted(pool.tiers[*to].name) + ": every endpoint of " + quoted(serving.name) +
             " is slow to open WebSockets, or has to show first that it is not; requests and open tunnels stay");
  } else {
    std::string reason = "new tunnels go to " + quoted(serving.name) + ", where requests go";
    if (aside) reason += ", no longer to " + quoted(pool.tiers[*before].name);
    emit(Event::Kind::openings_returned, pool, &serving, nullptr, reason + no_better);
  }
}

}  // namespace understudy::health
