// Where a request goes: which tiers are asked for an endpoint, in which order. The workers and the rehearsal decide by this very
// function; how an endpoint is found within a tier is theirs to say.
//
//   of a WebSocket  the tier that new tunnels go to, while that is another than the designated one
//   first attempt   the side tier by its share ─► a suspect whose trial is due
//   any attempt     ─► (nobody trusted, `shared`) a trusted other tier
//   first attempt   ─► (`shared`, it cannot carry all) the tier that the spill names
//                   ─► (it sheds and is full) a lower tier that is not, `shared`; else the request is shed
//   any attempt     ─► the designated tier ─► the other serviceable tiers in order (laws 9 and 11)
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "health/types.hpp"

namespace understudy::health {

struct Asking {
  bool safe = false;     // GET, HEAD, OPTIONS: may reach any tier (law 11)
  bool shared = false;   // so may every other request of the pool
  bool first = false;    // nothing was tried yet
  bool again = false;    // not the first attempt: what was let in is not shed
  bool hedge = false;    // a second attempt beside one that waits: only where nobody is in trouble
  bool opening = false;  // of a WebSocket
};

struct Choice {
  std::optional<std::uint32_t> endpoint;  // in the tier
  std::uint32_t tier = 0;
  bool trial = false;      // of a suspect
  bool risked = false;     // a trial, an audition or a proof: sent where it may fail for our sake, not the client's
  bool elsewhere = false;  // nothing, but another tier could serve
  bool shed = false;       // nothing, because the serving tier has as many requests as it can answer
};

// Law 11: in an exclusive pool new tunnels go to another tier than requests only where the operator gave a threshold, and with
// it leave to act on it.
inline bool openings_may_move(const config::PoolConfig& pool) {
  return pool.tiers_mode == config::TiersMode::shared || pool.degraded.websocket_open_p95.has_value();
}
// Has it somebody to open a WebSocket in the usual time?
inline bool opens_well(const TierView& tier) {
  return std::any_of(tier.usable.begin(), tier.usable.end(),
                     [&tier](std::uint32_t e) { return !tier.endpoints[e].opening_trials; });
}
// The tier that new tunnels go to.
inline std::uint32_t tier_for_openings(const PoolView& pool) { return pool.openings_to.value_or(pool.active); }
// May this endpoint, which is slow to open, be tried by a client's opening? Where another is to be had for it if it takes too long;
// and where none is, in the tiers that would be used if they opened well.
inline bool may_try_opening(const PoolView& pool, std::uint32_t tier, const EndpointView& endpoint) {
  const std::uint32_t to = tier_for_openings(pool);
  if (!endpoint.opening_trials || endpoint.opening_trials->share <= 0) return false;
  if (!endpoint.available || endpoint.suspect || to >= pool.tiers.size()) return false;
  if (opens_well(pool.tiers[to])) return tier == pool.active || tier == to;
  return tier != to && pool.tiers[tier].serviceable;
}

// An endpoint that is slow to open, and is to be tried by this client's opening; or none. `claim(tier, endpoint)` takes its turn, by
// its pause and share, if that has come.
template <typename Claim>
Choice choose_opening_trial(const PoolView& pool, Claim claim) {
  Choice out;
  for (std::uint32_t t = 0; t < pool.tiers.size(); ++t) {
    for (std::uint32_t e = 0; e < pool.tiers[t].endpoints.size(); ++e) {
      if (!may_try_opening(pool, t, pool.tiers[t].endpoints[e]) || !claim(t, e)) continue;
      out.tier = t;
      out.endpoint = e;
      out.trial = out.risked = true;
      return out;
    }
  }
  return out;
}

// Does it shed, and has it as many requests as it may have?
inline bool is_full(const TierView& tier) {
  if (!tier.max_unanswered) return false;
  std::uint64_t waiting = 0;
  for (const EndpointView& endpoint : tier.endpoints)
    waiting += endpoint.load->unanswered.load(std::memory_order_relaxed);
  return waiting >= *tier.max_unanswered;
}

// `in_tier(t)` and `trial(t)` answer the index of an endpoint or nothing, `spill()` the tier that takes this request from the
// serving one or nothing, `chance(share)` draws. A pool in maintenance is not asked.
template <typename InTier, typename Trial, typename Spill, typename Chance>
Choice choose(const PoolView& pool, const Asking& asking, InTier in_tier, Trial trial, Spill spill, Chance chance) {
  Choice out;
  const auto count = static_cast<std::uint32_t>(pool.tiers.size());
  if (asking.opening && pool.openings_to && *pool.openings_to < count) {
    // Where it can't be, the serving tier is still there: slow is better than not at all.
    out.tier = *pool.openings_to;
    out.endpoint = in_tier(out.tier);
    if (out.endpoint) return out;
  }
  const auto take = [&](std::uint32_t tier) {
    out.tier = tier;
    out.endpoint = in_tier(tier);
    return out.endpoint.has_value();
  };
  // Twice the work is no help to servers that are in trouble already.
  const auto troubled = [&](std::uint32_t tier) {
    return asking.hedge && (pool.tiers[tier].doubtful || pool.tiers[tier].panic || is_full(pool.tiers[tier]));
  };
  const bool doubtful = pool.active < count && pool.tiers[pool.active].doubtful;
  if (asking.first && pool.active < count) {
    const bool aside = pool.side && (asking.safe || (asking.shared && !pool.side->safe_only));
    if (aside && pool.side->tier < count && chance(pool.side->share) && take(pool.side->tier)) {
      out.risked = pool.side->safe_only;  // a ramp carries most of the traffic: what fails there is no trial
      return out;
    }
    if (asking.safe && (asking.shared || !doubtful)) {
      out.tier = pool.active;
      out.endpoint = trial(pool.active);
      out.trial = out.risked = out.endpoint.has_value();
      if (out.trial) return out;
    }
  }
  if (asking.shared && doubtful) {  // nobody in the serving tier is trusted: those who are do the work meanwhile
    for (std::uint32_t t = 0; t < count; ++t) {
      if (t == pool.active || !pool.tiers[t].serviceable || pool.tiers[t].doubtful || troubled(t)) continue;
      if (take(t)) return out;
    }
  }
  if (asking.first && pool.active < count) {
    if (asking.shared && !pool.spill.empty()) {
      const std::optional<std::uint32_t> tier = spill();
      if (tier && take(*tier)) return out;
    }
    if (!asking.again && is_full(pool.tiers[pool.active])) {
      // What is too much for the serving tier is for those below it, where they may take it, and else for nobody.
      for (std::uint32_t t = pool.active + 1; asking.shared && t < count; ++t) {
        if (!pool.tiers[t].serviceable || pool.tiers[t].doubtful || is_full(pool.tiers[t])) continue;
        if (take(t)) return out;
      }
      out.endpoint.reset();
      out.shed = true;
      return out;
    }
  }
  if (pool.active < count && !troubled(pool.active) && take(pool.active)) return out;
  // Law 9: everything in the serving tier refused this request.
  for (std::uint32_t t = 0; t < count; ++t) {
    if (t == pool.active || !pool.tiers[t].serviceable || pool.tiers[t].usable.empty()) continue;
    out.elsewhere = true;
    if ((asking.safe || asking.shared) && !troubled(t) && take(t)) return out;
  }
  out.endpoint.reset();
  return out;
}

}  // namespace understudy::health
