// Where the opening of a WebSocket goes: like any request, but only to endpoints that have room for one.
#include <algorithm>

#include "proxy/net/worker.hpp"
#include "proxy/net/worker_slot.hpp"

namespace understudy::net {

// Under the desk's lock as a whole, so that room that was seen is there when it is taken.
Picked Worker::pick_opening(const PickRequest& request, SharedOpenings& desk) {
  return desk.with([&](limit::OpeningDesk& d) {
    PickRequest opening = request;
    opening.openings = &d;
    Picked out = pick(opening);
    if (out.endpoint != nullptr) d.begin(opening_key(out.endpoint->id), reactor_.now());
    return out;
  });
}

// Who is slow to open is tried now and then by an opening that a client wants: paced over all workers by one shared word, and few
// of all openings, so that where there are few it is not all of them.
health::Choice Worker::opening_trial(const health::PoolView& pool, const config::PoolConfig& config,
                                     const PickRequest& request) {
  if (request.openings == nullptr || request.again) return {};
  if (!request.called && request.openings->others_wait()) return {};
  const auto now = reactor_.now().time_since_epoch().count();
  return health::choose_opening_trial(pool, [&](std::uint32_t t, std::uint32_t e) {
    const health::EndpointView& endpoint = pool.tiers[t].endpoints[e];
    const health::OpeningTrials& trials = *endpoint.opening_trials;
    if (endpoint.id.slot >= kMaxSlots) return false;
    auto due = endpoint.load->next_opening_trial.load(std::memory_order_relaxed);
    if (now < due || !chance(trials.share)) return false;
    if (config.max_in_flight != 0 && in_flight(endpoint) >= config.max_in_flight) return false;
    if (request.openings->room(opening_key(endpoint.id), reactor_.now()) == 0) return false;
    if (request.sticky) {  // within a tier a client keeps to its own endpoint, where that can be used
      const auto own = balance::find_sticky(pool.tiers[t], pool.name, *request.sticky, request.excluded);
      if (own && *own != e) return false;
    }
    const auto next = now + std::chrono::duration_cast<TimePoint::duration>(trials.pause).count();
    return endpoint.load->next_opening_trial.compare_exchange_strong(due, next, std::memory_order_relaxed);
  });
}

// Those that wait for longer than this endpoint's openings may take, where another opens them in time.
void Worker::find_slow_openings(const health::PoolView& pool, const health::EndpointView& endpoint,
                                std::vector<std::pair<Exchange*, std::uint32_t>>& out) {
  const std::uint32_t to = health::tier_for_openings(pool);
  if (!endpoint.opening_trials || !endpoint.opening_trials->limit || to >= pool.tiers.size()) return;
  if (!health::opens_well(pool.tiers[to])) return;
  const TimePoint late = reactor_.now() - *endpoint.opening_trials->limit;
  slot(endpoint.id).opening.for_each([&](AwaitHook& attempt) {
    if (attempt.since <= late) out.emplace_back(attempt.exchange, endpoint.id.slot);
  });
}

void Worker::opening_left(std::uint32_t slot) {
  endpoint(slot).openings_left.add();
  touch(slot);
}

// For want of room it waits, rather than go to another tier. Who is slow to open is avoided where there is a choice.
std::optional<std::uint32_t> Worker::pick_with_room(const health::PoolView& pool, std::uint32_t pool_index,
                                                    std::uint32_t tier, const PickRequest& request,
                                                    std::uint32_t max_in_flight, bool& full) {
  if (full) return std::nullopt;
  const health::TierView& view = pool.tiers[tier];
  const bool choice = health::opens_well(view);
  const auto has_room = [&](std::uint32_t e) {
    return request.openings->room(opening_key(view.endpoints[e].id), reactor_.now()) > 0;
  };
  if (!view.usable.empty() && !request.called && request.openings->others_wait()) {
    full = true;
    return std::nullopt;
  }
  if (request.sticky) {
    // A cookie's endpoint is waited for.
    if (const auto e = balance::find_sticky(view, pool.name, *request.sticky, request.excluded); e && !has_room(*e)) {
      full = true;
      return std::nullopt;
    }
  }
  std::vector<health::EndpointId> passed_over(request.excluded.begin(), request.excluded.end());
  bool no_room = false;
  for (const std::uint32_t e : view.usable) {
    const bool avoided = choice && view.endpoints[e].opening_trials;
    if (!avoided && has_room(e)) continue;
    const health::EndpointId id = view.endpoints[e].id;
    no_room |= !avoided && std::find(request.excluded.begin(), request.excluded.end(), id) == request.excluded.end();
    passed_over.push_back(id);
  }
  PickRequest with_room = request;
  with_room.excluded = passed_over;
  const auto found = pick_in_tier(pool, pool_index, tier, with_room, max_in_flight);
  full = !found && no_room;
  return found;
}

std::vector<health::EndpointId> Worker::opening_targets(const std::string& pool) const {
  std::vector<health::EndpointId> out;
  const auto found = pool_by_name_.find(pool);
  if (found == pool_by_name_.end()) return out;
  const health::PoolView& view = snapshot_->view().pools[found->second];
  const bool shared = snapshot_->plan().pools[found->second].config->tiers_mode == config::TiersMode::shared;
  for (std::uint32_t t = 0; t < view.tiers.size(); ++t) {
    const health::TierView& tier = view.tiers[t];
    if (t != health::tier_for_openings(view) && !(shared && tier.serviceable)) continue;
    const bool choice = health::opens_well(tier);
    for (const std::uint32_t e : tier.usable)
      if (!choice || !tier.endpoints[e].opening_trials) out.push_back(tier.endpoints[e].id);
  }
  return out;
}

// One worker speaks for all: an endpoint that is away or back begins anew (one that is away is asked all the same where nothing else
// is there, and its return shows first in what it opens), one that is gone is forgotten.
void Worker::openings_follow(const health::View& view) {
  const Plan& plan = snapshot_->plan();
  for (std::size_t p = 0; p < plan.pools.size() && p < view.pools.size() && index_ == 0; ++p) {
    std::vector<limit::OpeningDesk::Endpoint> all;
    std::vector<std::pair<limit::OpeningDesk::Endpoint, bool>> changed;  // is it away?
    for (const health::TierView& tier : view.pools[p].tiers)
      for (const health::EndpointView& endpoint : tier.endpoints) {
        all.push_back(opening_key(endpoint.id));
        if (endpoint.id.slot >= kMaxSlots) continue;
        Slot& s = slot(endpoint.id);
        const bool away = s.ill > 0;
        if (std::exchange(s.was_away, away) != away) changed.emplace_back(all.back(), away);
      }
    plan.pools[p].openings->with([&](limit::OpeningDesk& d) {
      for (const auto& [endpoint, away] : changed) d.cold(endpoint, away);
      if (d.known() > all.size()) d.keep(all);
    });
  }
  openings_.serve_all();
}

}  // namespace understudy::net
