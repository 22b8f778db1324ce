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

// For want of room it waits, rather than go to another tier.
std::optional<std::uint32_t> Worker::pick_with_room(const health::PoolView& pool, std::uint32_t pool_index,
                                                    std::uint32_t tier, const PickRequest& request,
                                                    std::uint32_t max_in_flight, bool& full) {
  if (full) return std::nullopt;
  const health::TierView& view = pool.tiers[tier];
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
  for (const std::uint32_t e : view.usable)
    if (!has_room(e)) passed_over.push_back(view.endpoints[e].id);
  PickRequest with_room = request;
  with_room.excluded = passed_over;
  const auto found = pick_in_tier(pool, pool_index, tier, with_room, max_in_flight);
  full = !found && passed_over.size() > request.excluded.size();
  return found;
}

std::vector<health::EndpointId> Worker::opening_targets(const std::string& pool) const {
  std::vector<health::EndpointId> out;
  for (const health::PoolView& view : snapshot_->view().pools) {
    if (view.name != pool) continue;
    const config::PoolConfig* config = snapshot_->plan().config.pool(pool);
    const bool shared = config != nullptr && config->tiers_mode == config::TiersMode::shared;
    for (std::uint32_t t = 0; t < view.tiers.size(); ++t) {
      if (t != view.active && !(shared && view.tiers[t].serviceable)) continue;
      for (const std::uint32_t e : view.tiers[t].usable) out.push_back(view.tiers[t].endpoints[e].id);
    }
  }
  return out;
}

// One worker speaks for all: an endpoint that was away begins anew, one that is gone is forgotten.
void Worker::openings_follow(const health::View& view) {
  const Plan& plan = snapshot_->plan();
  for (std::size_t p = 0; p < plan.pools.size() && p < view.pools.size() && index_ == 0; ++p) {
    std::vector<limit::OpeningDesk::Endpoint> all, back;
    for (const health::TierView& tier : view.pools[p].tiers)
      for (const health::EndpointView& endpoint : tier.endpoints) {
        all.push_back(opening_key(endpoint.id));
        if (endpoint.id.slot >= kMaxSlots) continue;
        Slot& s = slot(endpoint.id);
        if (std::exchange(s.was_away, s.ill > 0) && s.ill == 0) back.push_back(all.back());
      }
    plan.pools[p].openings->with([&](limit::OpeningDesk& d) {
      for (const auto endpoint : back) d.cold(endpoint);
      if (d.known() > all.size()) d.keep(all);
    });
  }
  openings_.serve_all();
}

}  // namespace understudy::net
