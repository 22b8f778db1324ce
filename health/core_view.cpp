// What leaves the core: the immutable view for workers, the status for people.
#include <algorithm>
#include <utility>

#include "health/core_state.hpp"
#include "health/diagnosis.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

EndpointView view_of(const Endpoint& endpoint, const Pool& pool) {
  EndpointView view;
  view.id = endpoint.id;
  view.address = endpoint.address;
  view.label = endpoint.label;
  view.server_name = endpoint.server_name;
  view.available = endpoint.available;
  // An agent that takes load off an endpoint keeps new work away; what is open has done no harm and stays.
  view.draining = endpoint.order.state == OperatorState::draining;
  view.eased = eased(endpoint);
  view.disabled = endpoint.order.state == OperatorState::disabled;
  view.unhealthy = marked_bad(endpoint);
  view.dead = marked_dead(endpoint);
  view.weight = endpoint.weight;
  view.suspect = endpoint.suspicion.suspect();
  view.trial_pause = endpoint.suspicion.trial_pause();
  view.opening_trials = endpoint.shown.openings;
  view.overdue_after = overdue_after(endpoint, pool);
  view.hedge_after = endpoint.hedge_after;
  view.load = endpoint.load;
  return view;
}

PoolView view_of(const Pool& pool, TimePoint now) {
  PoolView view;
  view.name = pool.config.name;
  view.tiers.reserve(pool.tiers.size());
  for (const Tier& tier : pool.tiers) {
    TierView& out = view.tiers.emplace_back();
    out.name = tier.name;
    out.endpoints.reserve(tier.endpoints.size());
    const bool tried = tier.takes_openings || &tier == &pool.active();
    for (const Endpoint* endpoint : tier.endpoints) {
      EndpointView& shown = out.endpoints.emplace_back(view_of(*endpoint, pool));
      if (!shown.opening_trials) continue;
      if (!tried) shown.opening_trials->share = 0;
      // What it is to bear is its part of what its tier gets.
      if (endpoint->openings.proving())
        shown.opening_trials->share /= static_cast<double>(std::max<std::size_t>(tier.count.available, 1));
    }
    out.usable = tier.usable;
    out.trials = tier.trials;
    out.doubtful = tier.doubtful;
    out.serviceable = tier.serviceable;
    out.panic = tier.panic;
    out.max_unanswered = tier.shedder.cap();
    out.membership = tier.membership;
  }
  view.active = pool.failover.active();
  view.epoch = pool.failover.epoch();
  view.side = pool.side;
  view.spill = pool.spill;
  view.openings_to = pool.openings_to;
  view.settling = pool.settling;
  view.maintenance = pool.maintenance;
  if (pool.maintenance && pool.maintenance_until) {
    view.maintenance_left = std::chrono::ceil<config::Duration>(*pool.maintenance_until - now);
  }
  return view;
}

EndpointStatus status_of(const Endpoint& endpoint, const Pool& pool, TimePoint now) {
  EndpointStatus status;
  status.id = endpoint.id;
  status.label = endpoint.label;
  status.address = endpoint.address_text;
  status.operator_state = endpoint.order.state;
  status.active = endpoint.threshold.state();
  status.passive = endpoint.ejector.ejected() ? PassiveState::ejected : PassiveState::in;
  status.available = endpoint.available;
  status.streak = endpoint.threshold.streak();
  status.last_probe = endpoint.last_probe;
  status.last_probe_at = endpoint.last_probe_at;
  status.next_probe_at = endpoint.probes.next_probe();
  status.since = endpoint.since;
  if (endpoint.ejector.ejected()) status.ejected_until = endpoint.ejector.until();
  status.operator_until = endpoint.order.until;
  if (endpoint.order.state != OperatorState::enabled) status.operator_since = endpoint.order.since;
  status.ejections = endpoint.ejector.ejections(pool.config.passive, now);
  status.weight = endpoint.weight;
  status.load = endpoint.load;
  status.quarantined = endpoint.quarantined;
  if (endpoint.suspicion.suspect()) status.suspicion = name_of(endpoint.suspicion.why());
  status.openings = name_of(endpoint.openings.state());
  status.slow_to_open = endpoint.openings.describe(pool.config.degraded);
  status.cause_class = class_of(endpoint);
  status.fit = fit_of(endpoint, pool, now);
  status.fit_reason = fit_reason(endpoint, pool, now);
  status.agent = endpoint.agent;
  if (endpoint.mirror) {
    status.mirrored = endpoint.mirror->total();
    status.mirrored_differently = endpoint.mirror->different();
    status.mirror = endpoint.mirror->describe();
  }
  status.proven_at = endpoint.fitness.proven_at();
  status.synthetic = endpoint.fitness.report(now);
  const SignalWindow* window = endpoint.signals.window(1, now);
  if (window != nullptr) {
    status.samples = window->outcomes.weight();
    status.error_share = window->outcomes.bad_share();
    status.first_byte_p50 = window->first_byte.quantile(0.5);
    status.first_byte_p95 = window->first_byte.quantile(0.95);
    status.first_byte_p99 = window->first_byte.quantile(0.99);
  }
  status.normal_p95 = endpoint.signals.normal().quantile(0.95);
  status.connect_p95 = endpoint.signals.connect().quantile(0.95);
  status.websocket_open_p95 = endpoint.signals.recent().websocket_open.quantile(0.95);
  return status;
}

// The part of the traffic that is due to a tier.
double share_of(const Pool& pool, std::uint32_t tier) {
  const bool aside = pool.side && !pool.side->safe_only && pool.config.tiers_mode == config::TiersMode::shared;
  const double side = aside ? pool.side->share : 0;
  double spilt = 0, own = 0;
  for (const SpillShare& part : pool.spill) {
    spilt += part.share;
    if (part.tier == tier) own = part.share;
  }
  if (tier == pool.failover.active()) own = 1 - spilt;
  return own * (1 - side) + (aside && pool.side->tier == tier ? side : 0);
}

// Its time has come, and traffic has not returned.
std::string what_blocks_return(const Pool& pool, std::uint32_t tier, TimePoint now) {
  std::string gates;
  for (const Gate& gate : pool.gates) {
    if (!passed_lately(gate, now)) gates += (gates.empty() ? "gate " : ", gate ") + quoted(gate.config.name);
  }
  if (!gates.empty()) return gates;
  return "a little traffic to show that " + quoted(pool.tiers[tier].name) + " is well";
}

}  // namespace

bool marked_dead(const Endpoint& endpoint) {
  // A held endpoint is not judged.
  return endpoint.order.state != OperatorState::held && endpoint.threshold.state() == ActiveState::unhealthy &&
         !endpoint.probe_doubted;
}

bool marked_bad(const Endpoint& endpoint) {
  if (endpoint.order.state == OperatorState::held) return false;
  // Of a suspect that does not answer what waits may be asked elsewhere; other suspects do answer.
  return marked_dead(endpoint) || endpoint.ejector.until().has_value() ||
         endpoint.suspicion.why() == Suspicion::Why::overdue;
}

void Core::State::view_changed() {
  view_stale = true;
  if (std::exchange(view_announced, true)) return;
  actions.emplace_back(ViewChanged{});
}

std::shared_ptr<const View> Core::State::build_view() {
  auto view = std::make_shared<View>();
  view->version = newest->version + 1;
  view->pools.reserve(pools.size());
  for (const auto& pool : pools) view->pools.push_back(view_of(*pool, last_now));
  return view;
}

std::shared_ptr<const View> Core::view() const {
  if (std::exchange(state_->view_stale, false)) {
    state_->newest = state_->build_view();
    state_->view_announced = false;
  }
  return state_->newest;
}

std::vector<PoolStatus> Core::status() const {
  std::vector<PoolStatus> all;
  all.reserve(state_->pools.size());
  for (const auto& owned : state_->pools) {
    const Pool& pool = *owned;
    PoolStatus& status = all.emplace_back();
    status.name = pool.config.name;
    status.active = pool.failover.active();
    status.epoch = pool.failover.epoch();
    status.active_since = pool.active_since;
    status.active_reason = pool.active_reason;
    status.held = pool.held;
    status.maintenance = pool.maintenance;
    status.held_until = pool.held_until;
    status.maintenance_until = pool.maintenance_until;
    if (const auto hold = pool.failover.hold(pool.config.failover, state_->last_now); hold && hold->due && !pool.held) {
      if (*hold->due > state_->last_now) {
        status.failback_at = hold->due;
      } else {
        status.failback_waits = what_blocks_return(pool, hold->tier, state_->last_now);
      }
    }
    status.failovers = pool.failovers;
    status.failbacks = pool.failbacks;
    status.phase = name_of(pool.failover.phase());
    status.diagnosis = diagnose(pool, state_->starved_until, state_->last_now);
    status.last_verdict = pool.last_verdict;
    status.surge = pool.surge.surging();
    status.openings_to = pool.openings_to;
    status.verdicts = pool.verdicts;
    status.relapses = pool.failover.relapses(pool.config.failover, state_->last_now);
    status.has_fitness = proves_fitness(pool);
    for (const Gate& gate : pool.gates) {
      status.gates.push_back(
          {gate.config.name, gate.passed, gate.approved_by.empty() ? gate.detail : "approved by " + gate.approved_by});
    }
    for (const Tier& tier : pool.tiers) {
      TierStatus& out = status.tiers.emplace_back();
      out.name = tier.name;
      out.serviceable = tier.serviceable;
      out.panic = tier.panic;
      out.max_unanswered = tier.shedder.cap();
      out.share = share_of(pool, static_cast<std::uint32_t>(&tier - pool.tiers.data()));
      out.failed = tier.failed;
      out.quality = describe(tier.watch.quality());
      out.fit = tier.fitness.fit;
      out.fit_reason = fitness_reason(tier, pool, state_->last_now);
      out.proven_at = proven_since(tier, pool, state_->last_now);
      if (const auto finding = tier.watch.degraded()) {
        out.degraded = true;
        out.degraded_reason = describe(*finding, state_->last_now);
      }
      for (const Endpoint* endpoint : tier.endpoints) {
        out.endpoints.push_back(status_of(*endpoint, pool, state_->last_now));
      }
    }
  }
  return all;
}

}  // namespace understudy::health
