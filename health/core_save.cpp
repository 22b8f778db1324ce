// What survives a restart. Times are saved as time left, so that two processes need no common clock.
#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "health/coordinator.hpp"
#include "health/core_state.hpp"

namespace understudy::health {
namespace {

constexpr std::size_t most_unclaimed = 64;  // addresses of one name
// Names are to be resolved and endpoints to be found well before traffic goes back to where a drill took it from.
constexpr Duration restart_patience = std::chrono::minutes(1);

std::optional<Duration> left(const std::optional<TimePoint>& until, TimePoint now) {
  if (!until) return std::nullopt;
  return std::max<Duration>(*until - now, Duration::zero());
}

bool over(const std::optional<Duration>& time_left) { return time_left && *time_left <= Duration::zero(); }

std::optional<TimePoint> until(const std::optional<Duration>& time_left, TimePoint now) {
  if (!time_left) return std::nullopt;
  return later(now, *time_left);
}

std::optional<Duration> lasted(const OperatorOrder& order, TimePoint now) {
  if (!order.since || order.state == OperatorState::enabled) return std::nullopt;
  return std::max<Duration>(std::chrono::duration_cast<Duration>(now - *order.since), Duration::zero());
}

OperatorOrder order_of(const SavedEndpoint& saved, TimePoint now) {
  OperatorOrder order{saved.operator_state, until(saved.operator_left, now), now};
  if (saved.operator_for) order.since = now - *saved.operator_for;
  return order;
}

SavedEndpoint saved_form(const Pool& pool, const Endpoint& endpoint, TimePoint now) {
  SavedEndpoint saved;
  saved.pool = pool.config.name;
  saved.label = endpoint.label;
  saved.address = endpoint.address_text;
  saved.operator_state = endpoint.order.state;
  saved.operator_left = left(endpoint.order.until, now);
  saved.operator_for = lasted(endpoint.order, now);
  saved.active = endpoint.threshold.state();
  // A hold freezes what was observed when it began; that is all of the verdict that matters after a restart.
  if (endpoint.order.state == OperatorState::held) {
    saved.active = endpoint.held_available ? ActiveState::healthy : ActiveState::unhealthy;
  }
  saved.quarantined = endpoint.quarantined;
  saved.ejections = endpoint.ejector.ejections(pool.config.passive, now);
  if (endpoint.ejector.ejected()) saved.ejected_left = left(endpoint.ejector.until(), now);
  if (const LatencyMemory& normal = endpoint.signals.normal(); endpoint.signals.overdue_after()) {
    saved.normal_p50 = normal.quantile(0.5);
    saved.normal_p95 = normal.quantile(0.95);
  }
  return saved;
}

}  // namespace

SavedState Core::save(TimePoint now) const {
  const State& state = *state_;
  now = std::max(now, state.last_now);
  SavedState saved;
  for (const auto& pool : state.pools) {
    SavedPool& out = saved.pools.emplace_back();
    out.name = pool->config.name;
    out.active_tier = pool->active().name;
    out.epoch = pool->failover.epoch();
    out.moved_by_operator = pool->failover.moved_by_operator();
    out.held = pool->held;
    out.held_left = left(pool->held_until, now);
    out.maintenance = pool->maintenance;
    out.maintenance_left = left(pool->maintenance_until, now);
    out.moved_left = left(pool->moved_until, now);
    out.relapses = pool->failover.relapses(pool->config.failover, now);
    if (pool->left_by_drill) {
      out.left_by_drill = pool->left_by_drill->tier;
      out.left_pinned = pool->left_by_drill->pinned;
    }
    for (const Gate& gate : pool->gates) {
      if (!gate.approved_by.empty()) out.approvals.emplace_back(gate.config.name, gate.approved_by);
    }
    for (const Tier& tier : pool->tiers) {
      for (const Endpoint* endpoint : tier.endpoints) saved.endpoints.push_back(saved_form(*pool, *endpoint, now));
      for (const Source& source : tier.sources) {
        if (source.numeric || source.order.state == OperatorState::enabled) continue;
        if (source.order.until && *source.order.until <= now) continue;
        SavedEndpoint label;  // the order was given to the name: without an address
        label.pool = pool->config.name;
        label.label = source.label;
        label.operator_state = source.order.state;
        label.operator_left = left(source.order.until, now);
        label.operator_for = lasted(source.order, now);
        saved.endpoints.push_back(std::move(label));
      }
    }
  }
  // Of pools that a reload removed only the epoch is kept, should they come back.
  for (const auto& [name, epoch] : state.retired_epochs) {
    if (state.find_pool(name) != nullptr) continue;
    SavedPool& out = saved.pools.emplace_back();
    out.name = name;
    out.epoch = epoch;
  }
  state.save_unclaimed(saved);
  return saved;
}

// Restored for addresses that their names have not had since. Where the name was answered, only what an operator or a gate has
// to say of an address that may come back is worth keeping, and of no name without bound: names that wander would fill the file.
void Core::State::save_unclaimed(SavedState& saved) const {
  if (unclaimed.empty()) return;
  struct Configured {
    bool answered = false;
    std::size_t kept = 0;
  };
  std::map<std::pair<std::string_view, std::string_view>, Configured> names;  // by pool and label
  for (const auto& pool : pools)
    for (const Tier& tier : pool->tiers)
      for (const Source& source : tier.sources)
        names[{pool->config.name, source.label}].answered = !source.endpoints.empty();
  for (const auto& [key, endpoint] : unclaimed) {
    const auto name = names.find({endpoint.pool, endpoint.label});
    if (name == names.end()) continue;  // no longer configured
    const bool plain = endpoint.operator_state == OperatorState::enabled && !endpoint.quarantined;
    if (plain && name->second.answered) continue;
    if (++name->second.kept <= most_unclaimed) saved.endpoints.push_back(endpoint);
  }
}

void Core::restore(const SavedState& saved, TimePoint now) {
  State& state = *state_;
  now = state.advance(now);
  for (const SavedPool& pool : saved.pools) state.restore_pool(pool, now);
  for (const SavedEndpoint& endpoint : saved.endpoints) {
    if (state.find_pool(endpoint.pool) == nullptr) continue;
    state.unclaimed[State::SavedKey(endpoint.pool, endpoint.label, endpoint.address)] = endpoint;
  }
  for (const auto& pool : state.pools) {
    for (Tier& tier : pool->tiers) {
      for (Source& source : tier.sources) {
        const auto label = state.unclaimed.find(State::SavedKey(pool->config.name, source.label, ""));
        if (label != state.unclaimed.end()) {
          if (!over(label->second.operator_left)) {
            source.order = order_of(label->second, now);
          }
          state.unclaimed.erase(label);
        }
      }
      for (Endpoint* endpoint : tier.endpoints) {
        state.claim(*endpoint, now);
        state.refresh(*endpoint, now);
      }
    }
    state.touch(*pool);
  }
  state.view_changed();
  state.settle(now);
}

void Core::State::restore_pool(const SavedPool& saved, TimePoint now) {
  Pool* pool = find_pool(saved.name);
  if (pool == nullptr) {
    retired_epochs[saved.name] = resumed_epoch(saved.epoch);
    return;
  }
  std::uint32_t active = pool->failover.active();
  bool known = false;
  for (std::uint32_t i = 0; i < pool->tiers.size(); ++i) {
    if (pool->tiers[i].name != saved.active_tier) continue;
    active = i;
    known = true;
  }
  pool->failover.restore(active, resumed_epoch(saved.epoch), known && saved.moved_by_operator);
  pool->active_since = now;
  if (known) {
    pool->active_reason = "it served when the state was saved";
  } else if (!saved.active_tier.empty()) {  // a pool that was not configured then was saved without
    pool->active_reason = "tier '" + saved.active_tier + "', which served when the state was saved, is not configured";
  }
  pool->held = saved.held && !over(saved.held_left);
  if (pool->held) pool->held_until = until(saved.held_left, now);
  pool->maintenance = saved.maintenance && !over(saved.maintenance_left);
  if (pool->maintenance) pool->maintenance_until = until(saved.maintenance_left, now);
  if (pool->failover.moved_by_operator()) pool->moved_until = until(saved.moved_left, now);
  pool->failover.restore_relapses(saved.relapses, now);
  if (!saved.left_by_drill.empty() && saved.left_by_drill != pool->active().name) {
    pool->left_by_drill = LeftByDrill{saved.left_by_drill, saved.left_pinned, std::nullopt};
    pool->drill_return = DrillReturn{now, now + restart_patience};
  }
  for (const auto& [name, who] : saved.approvals) {
    for (Gate& gate : pool->gates) {
      if (gate.config.kind != config::GateKind::approval || gate.config.name != name) continue;
      gate.passed = true;
      gate.approved_by = who;
    }
  }
}

void Core::State::claim(Endpoint& endpoint, TimePoint now) {
  const auto saved = unclaimed.find(SavedKey(pools[endpoint.pool]->config.name, endpoint.label, endpoint.address_text));
  if (saved == unclaimed.end()) return;
  apply(endpoint, saved->second, now);
  unclaimed.erase(saved);
}

void Core::State::apply(Endpoint& endpoint, const SavedEndpoint& saved, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  if (!over(saved.operator_left)) {
    endpoint.order = order_of(saved, now);
    endpoint.held_available = saved.active == ActiveState::healthy;
  }
  if (pool.checked()) endpoint.threshold.assume(saved.active);
  endpoint.quarantined = saved.quarantined && pool.config.failover.quarantine;
  std::optional<Duration> ejected = saved.ejected_left;
  if (ejected) ejected = std::min<Duration>(*ejected, pool.config.passive.max_ejection);
  if (saved.normal_p50 && saved.normal_p95) endpoint.signals.restore_normal(*saved.normal_p50, *saved.normal_p95, now);
  if (pool.config.passive.enabled) endpoint.ejector.restore(saved.ejections, ejected, now);
  if (endpoint.order.state == OperatorState::disabled) {
    endpoint.probes.stop();
    endpoint.fitness.stop();
  }
  endpoint.newcomer = false;  // it served before the restart: no slow start
}

}  // namespace understudy::health
