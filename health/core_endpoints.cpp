// Endpoints of the core: probes, traffic, ejections, operator states, and when each has to be looked at
// again.
#include <algorithm>
#include <utility>

#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

// From this lag on a process counts as starved (law 12).
constexpr Duration starved_lag = std::chrono::milliseconds(100);

Axes axes_of(const Endpoint& endpoint, const Pool& pool, TimePoint now) {
  Axes axes;
  axes.operator_state = state_in_force(endpoint);
  axes.active = endpoint.probe_doubted ? ActiveState::healthy : endpoint.threshold.state();
  if (endpoint.agent.state() == Agent::State::down) axes.active = ActiveState::unhealthy;
  axes.passive = endpoint.ejector.ejected() ? PassiveState::ejected : PassiveState::in;
  axes.checked = pool.checked();
  axes.start_wait_over = now >= endpoint.added_at + pool.config.check.start_wait;
  axes.start = pool.config.check.start;
  axes.held_available = endpoint.held_available;
  axes.quarantined = endpoint.quarantined;
  return axes;
}

double weight_of(const Endpoint& endpoint, TimePoint now) {
  const double carries = endpoint.agent.share() > 0 ? endpoint.agent.share() : 1;  // with none of it, it is drained
  return endpoint.configured_weight * endpoint.slow_start.factor(now) * carries;
}

// A suspect that nobody tries comes back when its checks are well: there is nothing else to learn from.
// Sooner in a tier that does not serve: there it is tried before it serves again.
Duration untried_time(const Endpoint& endpoint, const Pool& pool) {
  return endpoint.tier == pool.failover.active() ? std::chrono::seconds(30) : std::chrono::seconds(10);
}
TimePoint untried_until(const Endpoint& endpoint, const Pool& pool) {
  return std::max(endpoint.suspicion.since(), endpoint.suspicion.last_tried().value_or(TimePoint{})) +
         untried_time(endpoint, pool);
}

}  // namespace

// ---- derived state

void Core::State::refresh(Endpoint& endpoint, TimePoint now) {
  Pool& pool = *pools[endpoint.pool];
  if (marked_dead(endpoint)) quarantine(endpoint, now);
  const Axes axes = axes_of(endpoint, pool, now);
  const bool available = derive_available(axes);
  endpoint.undecided = derive_undecided(axes);
  if (available != endpoint.available) {
    endpoint.available = available;
    endpoint.since = now;
    if (available && endpoint.was_available) openings_returned(endpoint, now);
    if (available && (endpoint.was_available || endpoint.newcomer)) {
      endpoint.slow_start.begin(pool.config.slow_start, now);
    }
    if (available) endpoint.was_available = true;
  }
  endpoint.weight = weight_of(endpoint, now);
  const Suspicion& suspicion = endpoint.suspicion;
  const Endpoint::Shown shows{.available = endpoint.available,
                              .operator_state = state_in_force(endpoint),
                              .eased = eased(endpoint),
                              .bad = marked_bad(endpoint),
                              .dead = marked_dead(endpoint),
                              .suspect = suspicion.suspect(),
                              .trial_pause = suspicion.trial_pause(),
                              .openings = endpoint.openings.trials(pool.config.degraded),
                              .weight = endpoint.weight};
  if (shows != endpoint.shown) {
    endpoint.shown = shows;
    view_changed();
  }
  arm(endpoint, now);
  touch(pool);
}

void Core::State::arm(Endpoint& endpoint, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  std::optional<TimePoint> earliest = endpoint.probes.next_timeout();
  take_earlier(earliest, endpoint.ejector.until());
  take_earlier(earliest, endpoint.order.until);
  take_earlier(earliest, endpoint.fitness.next_timeout(now));
  if (endpoint.undecided) take_earlier(earliest, endpoint.added_at + pool.config.check.start_wait);
  if (endpoint.available) take_earlier(earliest, endpoint.slow_start.next_step(now));
  if (endpoint.suspicion.suspect() && endpoint.pending == 0) take_earlier(earliest, untried_until(endpoint, pool));
  if (endpoint.openings.slow()) take_earlier(earliest, endpoint.openings.expires(serving_since(endpoint)));
  const TimePoint doubt_ends = endpoint.verdict_since + pool.config.check.doubt;
  if (endpoint.probe_doubted && doubt_ends > now) take_earlier(earliest, doubt_ends);
  endpoint_timers.set(endpoint.id.slot, earliest);
}

// ---- probes

void Core::State::start_probe(Endpoint& endpoint, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  StartProbe probe;
  probe.endpoint = endpoint.id;
  probe.pool = endpoint.pool;
  probe.tier = endpoint.tier;
  probe.address = endpoint.address;
  probe.server_name = endpoint.server_name;
  probe.deadline = endpoint.probes.start(pool.config.check, now);
  actions.emplace_back(std::move(probe));
}

void Core::State::begin_probing(Endpoint& endpoint, TimePoint first) {
  begin_fitness(endpoint, first);
  const Pool& pool = *pools[endpoint.pool];
  if (pool.checked() && endpoint.order.state != OperatorState::disabled) {
    endpoint.probes.resume(first);
  } else {
    endpoint.probes.stop();
  }
}

void Core::State::probed(Endpoint& endpoint, const ProbeResult& result, TimePoint now) {
  Pool& pool = *pools[endpoint.pool];
  // A failure that comes long after the prober should have given up tells of our own loop, not of the
  // endpoint. Once: a prober that is always late must not leave us blind.
  const std::optional<TimePoint> started = endpoint.probes.started();
  const bool late = !result.ok() && started && now > *started + pool.config.check.timeout + starved_lag;
  const bool late_once = late && !endpoint.late_before;
  endpoint.late_before = late;
  const bool starved = starved_until && now <= *starved_until;
  const bool counts = endpoint.probes.finish() && !starved && !late_once;
  if (!endpoint.probes.running()) return arm(endpoint, now);
  if (!counts) {
    start_probe(endpoint, now);
    return arm(endpoint, now);
  }
  endpoint.last_probe = result;
  endpoint.last_probe_at = now;
  if (result.ok() && result.value && !pool.config.check.agent_header.empty())
    agent_answered(endpoint, {true, *result.value}, now);
  endpoint.signals.observe_probe(result, now);
  if (pool.config.check.kind == config::CheckKind::websocket) openings_probed(endpoint, result, now);
  const config::CheckConfig& check = pool.config.check;
  if (result.cause == Cause::own_error) {  // we could not try: no evidence, try again soon
    endpoint.probes.plan(check, true, random, now);
    return arm(endpoint, now);
  }
  if (!result.ok()) endpoint.last_failure = result.cause;
  const std::uint32_t first = check.start == config::StartPolicy::assume_unhealthy ? check.rise : 1;
  const ActiveState before = endpoint.threshold.state();
  const bool changed = endpoint.threshold.add(result.ok(), {check.rise, check.fall, first});
  if (endpoint.threshold.streak() == 1) endpoint.streak_since = now;
  endpoint.probes.plan(check, endpoint.threshold.changing(), random, now);
  if (!changed) return arm(endpoint, now);
  const TimePoint was_since = std::exchange(endpoint.verdict_since, now);
  endpoint.verdict_before = before;
  verdict_changed(endpoint, result, was_since, now);
  weigh_probe(endpoint, now);
  refresh(endpoint, now);
}

void Core::State::verdict_changed(Endpoint& endpoint, const ProbeResult& result, TimePoint was_since, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  const Tier& tier = pool.tiers[endpoint.tier];
  const std::string streak = std::to_string(endpoint.threshold.streak());
  if (endpoint.threshold.state() == ActiveState::unhealthy) {
    std::string reason = name_and_address(endpoint) + " is unhealthy: " + std::string(name_of(result.cause)) + ", " +
                         streak + " failed probes in a row (fall " + std::to_string(pool.config.check.fall) +
                         ") since " + describe(now - endpoint.streak_since);
    if (!result.detail.empty()) reason += "; last: " + result.detail;
    return emit(Event::Kind::endpoint_unhealthy, pool, &tier, &endpoint, std::move(reason), result.cause,
                endpoint.streak_since);
  }
  std::string reason = name_and_address(endpoint) + " is healthy: " + streak + " good " +
                       (endpoint.threshold.streak() == 1 ? "probe" : "probes in a row");
  if (endpoint.verdict_before == ActiveState::unhealthy) {
    reason +=
        " (rise " + std::to_string(pool.config.check.rise) + ") after " + describe(now - was_since) + " unhealthy";
  } else {
    reason += ", the first verdict";
  }
  emit(Event::Kind::endpoint_healthy, pool, &tier, &endpoint, std::move(reason));
  if (endpoint.quarantined) ask_again(*pools[endpoint.pool]);
  // It was down and came back since traffic complained: that is news which outweighs the complaint.
  if (endpoint.verdict_before == ActiveState::unhealthy) {
    endpoint.ejector.forgive();
    if (endpoint.suspicion.suspect()) endpoint.suspicion.raise(Suspicion::Why::returning, now);
  }
  if (endpoint.verdict_before == ActiveState::unhealthy &&
      (endpoint.ejector.ejected() || endpoint.ejector.suspected())) {
    readmit(endpoint, "its check saw it down and then well again since", now);
  }
}

// ---- time

void Core::State::endpoint_due(Endpoint& endpoint, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  if (endpoint.order.until && *endpoint.order.until <= now) {
    set_operator(endpoint, {}, "the time that the operator gave is over", false, now);
  }
  if (const auto until = endpoint.ejector.until(); until && *until <= now) {
    readmit(endpoint, "the time is over", now);
    // Not everything at once because a timer ran out: first by trials, where there is a choice.
    endpoint.suspicion.raise(Suspicion::Why::returning, now);
    refresh(endpoint, now);
  }
  if (endpoint.suspicion.suspect() && now >= untried_until(endpoint, pool) && endpoint.pending == 0) {
    trust_again(
        endpoint,
        "nothing was tried for " + describe(untried_time(endpoint, pool)) + " and nothing else speaks against it", now);
  }
  openings_expire(endpoint, now);
  weigh_probe(endpoint, now);
  // The answer to the last probe is lost: that tells nothing about the endpoint.
  if (endpoint.probes.started() && endpoint.probes.next_timeout() <= now) {
    endpoint.probes.finish();
    if (endpoint.probes.running()) endpoint.probes.hurry(now);
  }
  if (const auto next = endpoint.probes.next_probe(); next && *next <= now) start_probe(endpoint, now);
  start_synthetic(endpoint, now);
  const bool wait_over = endpoint.undecided && now >= endpoint.added_at + pool.config.check.start_wait;
  const bool weight_grows = endpoint.weight != weight_of(endpoint, now);
  if (wait_over || weight_grows) return refresh(endpoint, now);
  arm(endpoint, now);
}

void Core::State::forgive_starved(Endpoint& endpoint, TimePoint from, TimePoint to) {
  endpoint.fitness.starved(from, to);
  // A doubt that is older than the starvation stays.
  const bool older = endpoint.suspicion.suspect() && endpoint.suspicion.since() < from;
  const Suspicion doubt = endpoint.suspicion;
  forgive(endpoint, from, to, "what spoke against it was seen while this process was starved");
  if (older) {
    endpoint.suspicion = doubt;
    endpoint.suspicion.skip(to - from);
  }
  endpoint.outlier.skip(to - from);
  if (endpoint.undecided) endpoint.added_at += to - from;
  refresh(endpoint, to);
}

void Core::State::forgive(Endpoint& endpoint, TimePoint from, TimePoint to, const std::string& why) {
  const Pool& pool = *pools[endpoint.pool];
  const Tier& tier = pool.tiers[endpoint.tier];
  const std::string who = name_and_address(endpoint);
  endpoint.probes.void_current(to);
  const bool probed_then = endpoint.last_probe_at && *endpoint.last_probe_at >= from;
  if (probed_then && !endpoint.last_probe->ok()) {
    if (endpoint.threshold.state() == ActiveState::unhealthy && endpoint.verdict_since >= from) {
      endpoint.threshold.assume(endpoint.verdict_before);
      endpoint.verdict_since = to;
      endpoint.quarantined = endpoint.quarantined && endpoint.quarantined_at < from;
      emit(Event::Kind::endpoint_healthy, pool, &tier, &endpoint,
           who + " is " + std::string(name_of(endpoint.verdict_before)) + " as before: " + why);
    } else {
      endpoint.threshold.forget_streak();
    }
  }
  if (endpoint.ejector.until() && endpoint.ejector.since() >= from) {
    endpoint.ejector.revoke();
    emit(Event::Kind::endpoint_unejected, pool, &tier, &endpoint, who + " counts as before: " + why);
  }
  endpoint.ejector.forgive();
  endpoint.suspicion.forgive(to);
  endpoint.openings.forgive();
}

// ---- operator

void Core::State::set_operator(Endpoint& endpoint, OperatorOrder order, std::string reason, bool by_operator,
                               TimePoint now) {
  Pool& pool = *pools[endpoint.pool];
  const OperatorState before = endpoint.order.state;
  if (order.state == OperatorState::held && before != OperatorState::held) endpoint.held_available = endpoint.available;
  order.since = order.state == before ? endpoint.order.since : now;
  endpoint.order = order;
  if (before == OperatorState::disabled && order.state != OperatorState::disabled) {
    // Nobody looked at it meanwhile: what was known is stale.
    endpoint.threshold.assume(ActiveState::unknown);
    endpoint.added_at = now;
  }
  if ((before == OperatorState::disabled) != (order.state == OperatorState::disabled)) begin_probing(endpoint, now);
  if (order.state == OperatorState::enabled && endpoint.ejector.until()) endpoint.ejector.readmit(now);
  if (order.state == OperatorState::enabled && by_operator) endpoint.quarantined = false;
  std::string text = name_and_address(endpoint) + " is " + std::string(name_of(order.state));
  if (before != order.state) text += ", was " + std::string(name_of(before));
  if (order.until) text += ", for " + describe(*order.until - now);
  emit(Event::Kind::endpoint_operator, pool, &pool.tiers[endpoint.tier], &endpoint, text + ": " + std::move(reason));
  refresh(endpoint, now);
}

}  // namespace understudy::health
