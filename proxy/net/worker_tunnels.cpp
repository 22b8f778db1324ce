// A worker's tunnels: who has to leave, why, and whether at once or at a pace.
#include <algorithm>
#include <map>
#include <utility>

#include "proxy/net/departure.hpp"
#include "proxy/net/worker_lists.hpp"
#include "proxy/net/worker_slot.hpp"

namespace understudy::net {

using observe::TunnelEnd;

namespace {
constexpr std::chrono::seconds kLastWord{2};  // of a stop's grace: for those who go last
// The route of a newer plan that stands where this one stood: by what it matches, or by its name.
std::shared_ptr<const TunnelPolicy> successor(const Plan& plan, const TunnelPolicy& old) {
  for (const auto& policy : plan.tunnels)
    if (policy && policy->pool == old.pool && policy->match == old.match) return policy;
  for (const auto& policy : plan.tunnels)
    if (policy && policy->pool == old.pool && policy->route == old.route) return policy;
  return nullptr;
}
// What works is not cut because a reload or a name says that its endpoint is no more: it has the time that a stop would give
// it, and leaves in the second half of that.
Departure::Terms removal(const Plan& plan) {
  const std::chrono::nanoseconds half = plan.config.server.shutdown_grace / 2;
  return {TunnelEnd::endpoint_removed, half, half};
}
}  // namespace

// What became of the endpoint since the last view. True when its tunnels have to look.
bool Worker::Slot::follow(const health::EndpointView& endpoint, std::uint32_t tier, const health::PoolView& view,
                          bool shared, bool new_epoch) {
  const Fate now = endpoint.dead       ? Fate::dead
                   : endpoint.disabled ? Fate::disabled
                   : endpoint.draining ? Fate::draining
                                       : Fate::stays;
  bool changed = std::exchange(fate, now) != now;
  moved.reset();
  const bool designated = view.active == tier;
  const bool away = view.active < view.tiers.size() && !designated && view.openings_to != tier;
  // Another tier serves: that moves tunnels. Where only new ones go is no reason to close any, though those that have to go stay for
  // as long as new ones come here. In a shared pool who was opened aside may stay here at a move, too: law 11 does not bind it.
  if (designated) {
    due.reset();
  } else if (new_epoch && aside && (served || !shared)) {
    due = view.active > tier ? TunnelEnd::failover : TunnelEnd::failback;
  }
  if (aside && *aside != away) changed = true;
  if (away && due) {
    moved = std::exchange(due, std::nullopt);
    changed = true;
  }
  aside = away;
  served = designated || (served && !moved);
  return changed;
}

void Worker::tunnel_opened(Tunnel& tunnel) {
  tunnel.retain();
  lists_->tunnels.push_back(tunnel);
  open_tunnels_.fetch_add(1, std::memory_order_relaxed);
  settle(tunnel);
}

void Worker::tunnel_parked(Tunnel& tunnel) {
  if (tunnel.departure == nullptr) return;
  const TunnelEnd why = tunnel.departure->terms().why;
  if (why != TunnelEnd::shutdown && why != TunnelEnd::route_removed) Departures::release(tunnel);
}

void Worker::tunnel_resumed(Tunnel& tunnel) { settle(tunnel); }

// Its opening was under way while the plan changed, or its endpoint or this process began to leave.
void Worker::settle(Tunnel& tunnel) {
  const Plan& plan = snapshot_->plan();
  if (tunnel.policy()->generation != plan.generation) {
    if (auto policy = successor(plan, *tunnel.policy())) {
      tunnel.adopt(std::move(policy));
    } else {
      departures_->join(tunnel, TunnelEnd::route_removed);
    }
  }
  if (draining_) {
    departures_->join(tunnel, TunnelEnd::shutdown, departure_bound());
  } else if (const Slot* s = slot_of(tunnel.endpoint()); s == nullptr || s->fate == Slot::Fate::removed) {
    departures_->join(tunnel, removal(snapshot_->plan()));
  } else if (s->fate == Slot::Fate::draining) {
    departures_->join(tunnel, TunnelEnd::draining);
  } else if (s->fate != Slot::Fate::stays) {
    tunnel.lose_endpoint(s->fate == Slot::Fate::dead ? TunnelEnd::endpoint_dead : TunnelEnd::endpoint_disabled);
  }
  departures_->begin();
}

void Worker::tunnel_closed(Tunnel& tunnel) {
  Departures::release(tunnel);
  tunnel.TunnelHook::unlink();
  open_tunnels_.fetch_sub(1, std::memory_order_relaxed);
  release_client(tunnel.peer());
  tunnel.release();
  publish_blocks();
  finish_if_empty();
}

const Worker::Slot* Worker::slot_of(health::EndpointId id) const {
  const bool there = id.slot < slots_.size() && slots_[id.slot] && slots_[id.slot]->owner == id;
  return there ? slots_[id.slot].get() : nullptr;
}

bool Worker::ill(health::EndpointId id) const {
  const Slot* s = slot_of(id);
  return s == nullptr || s->ill > 0 || s->fate != Slot::Fate::stays;
}

// Those without an endpoint look whether there is one now.
void Worker::parked_follow() {
  if (parked_tunnels == 0) return;
  lists_->tunnels.for_each([&](Tunnel& tunnel) { tunnel.on_view(reactor_.now()); });
}

// Some endpoint or tier is no longer what it was.
void Worker::tunnels_follow() {
  std::vector<std::pair<Ref<Tunnel>, TunnelEnd>> lost;
  lists_->tunnels.for_each([&](Tunnel& tunnel) {
    if (tunnel.parked()) return;
    const Slot* s = slot_of(tunnel.endpoint());
    switch (s != nullptr ? s->fate : Slot::Fate::removed) {
      case Slot::Fate::dead: lost.emplace_back(Ref<Tunnel>(&tunnel), TunnelEnd::endpoint_dead); break;
      case Slot::Fate::disabled: lost.emplace_back(Ref<Tunnel>(&tunnel), TunnelEnd::endpoint_disabled); break;
      case Slot::Fate::removed: departures_->join(tunnel, removal(snapshot_->plan())); break;
      case Slot::Fate::draining: departures_->join(tunnel, TunnelEnd::draining); break;
      case Slot::Fate::stays:
        if (s->moved) {
          departures_->join(tunnel, *s->moved);
        } else if (tunnel.departure != nullptr) {
          // Called off: the drain was ended, or the tier serves again.
          const TunnelEnd why = tunnel.departure->terms().why;
          const bool move = why == TunnelEnd::failover || why == TunnelEnd::failback;
          if (why == TunnelEnd::draining || (move && !s->aside.value_or(false))) Departures::release(tunnel);
        }
        break;
    }
  });
  for (const auto& [tunnel, why] : lost) tunnel->lose_endpoint(why);
  departures_->begin();
}

// A new plan: each tunnel's route is looked up again.
void Worker::tunnels_follow_plan(const Plan& plan) {
  std::map<const TunnelPolicy*, std::shared_ptr<const TunnelPolicy>> found;
  lists_->tunnels.for_each([&](Tunnel& tunnel) {
    const TunnelPolicy* old = tunnel.policy().get();
    auto known = found.find(old);
    if (known == found.end()) known = found.emplace(old, successor(plan, *old)).first;
    if (known->second) {
      tunnel.adopt(known->second);
    } else {
      departures_->join(tunnel, TunnelEnd::route_removed);
    }
  });
  departures_->begin();
}

// How long a departure may take so that a stop's grace is kept.
limit::Pacer::Duration Worker::departure_bound() const {
  if (drain_until_ == TimePoint::max()) return limit::Pacer::Duration::max();
  return std::max(drain_until_ - reactor_.now() - kLastWord, limit::Pacer::Duration(0));
}

void Worker::drain_tunnels() {
  lists_->tunnels.for_each([&](Tunnel& tunnel) {
    Departures::release(tunnel);
    departures_->join(tunnel, TunnelEnd::shutdown, departure_bound());
  });
  departures_->begin();
}

}  // namespace understudy::net
