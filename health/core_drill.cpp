// Live drills: what their faults do is known by endpoint and time, so that of a drill which was cut short nothing else is forgiven.
#include <algorithm>
#include <utility>

#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

constexpr TimePoint in_force = TimePoint::max();
// For so long after a cut traffic may go back; within the first of it, only once every endpoint has answered.
constexpr Duration cut_patience = std::chrono::seconds(5), all_answered = std::chrono::milliseconds(500);

// What a fault did may be told by the next check only.
Duration echo_of(const Pool& pool) { return pool.config.check.interval + Duration(pool.config.check.timeout); }

bool within(const DrillWindow& window, const Pool& pool, TimePoint at) {
  if (at < window.from) return false;
  return window.until == in_force || at <= window.until + echo_of(pool);
}

// Was a fault on it then, or on its checks?
bool was_drilled(const Pool& pool, EndpointId endpoint, bool checks, TimePoint at) {
  if (!pool.drilled) return false;
  const auto& windows = pool.drilled->windows;
  return std::any_of(windows.begin(), windows.end(), [&](const DrillWindow& window) {
    return window.endpoint == endpoint && (window.checks || !checks) && within(window, pool, at);
  });
}

bool was_drilled(const Pool& pool, const Tier& tier, TimePoint at) {
  return std::any_of(tier.endpoints.begin(), tier.endpoints.end(),
                     [&](const Endpoint* endpoint) { return was_drilled(pool, endpoint->id, false, at); });
}

bool heard_since(const Endpoint& endpoint, TimePoint since) {
  return !endpoint.probes.running() || (endpoint.last_probe_at && *endpoint.last_probe_at >= since);
}

// What nobody checks counts as it is.
bool well_since(const Endpoint& endpoint, TimePoint since) {
  if (!endpoint.available || endpoint.asked_after_drill) return false;
  return !endpoint.probes.running() || (heard_since(endpoint, since) && endpoint.last_probe->ok());
}

}  // namespace

void Core::State::drill_seen(const DrillFaults& faults, TimePoint now) {
  Pool* const pool = find_pool(faults.pool);
  if (pool == nullptr) return;
  if (!pool->drilled || pool->drilled->cut) {
    pool->drilled = Drilled{faults.tier, {}, {}};
    pool->left_by_drill.reset();
    pool->drill_return.reset();
  }
  auto& windows = pool->drilled->windows;
  const auto same = [](const DrillFaults::Met& met, const DrillWindow& window) {
    return window.until == in_force && met.endpoint == window.endpoint && met.checks == window.checks;
  };
  for (DrillWindow& window : windows) {
    if (window.until != in_force) continue;
    const auto still = [&](const DrillFaults::Met& met) { return same(met, window); };
    if (std::none_of(faults.in_force.begin(), faults.in_force.end(), still)) window.until = now;
  }
  for (const DrillFaults::Met& met : faults.in_force) {
    const auto known = [&](const DrillWindow& window) { return same(met, window); };
    if (std::none_of(windows.begin(), windows.end(), known))
      windows.push_back({met.endpoint, met.checks, now, in_force});
  }
}

// Only the tier that served when the drill began is gone back to, and only where a fault was on it when it was left. What an
// operator orders meanwhile stands (law 4).
void Core::State::drill_moved(Pool& pool, std::uint32_t from, bool by_operator, bool pinned,
                              std::optional<TimePoint> moved_until, TimePoint now) {
  const auto restored = std::exchange(pool.left_by_drill, std::nullopt);
  const auto waits = std::exchange(pool.drill_return, std::nullopt);
  if (by_operator) return;
  const Tier& left = pool.tiers[from];
  if (restored && restored->tier == pool.active().name) {
    if (pool.failover.moved_by_operator() && !pool.moved_until) pool.moved_until = restored->moved_until;
  } else if (pool.drilled && !pool.drilled->cut && left.name == pool.drilled->tier && was_drilled(pool, left, now)) {
    pool.left_by_drill = LeftByDrill{left.name, pinned, moved_until};
  } else {
    pool.left_by_drill = restored;
    pool.drill_return = waits;
  }
}

void Core::State::drill_over(Pool& pool, bool cut, TimePoint now) {
  if (!cut) {
    pool.drilled.reset();
    pool.left_by_drill.reset();
    pool.drill_return.reset();
    return;
  }
  if (!pool.drilled || pool.drilled->cut) return;
  pool.drilled->cut = now;
  for (DrillWindow& window : pool.drilled->windows) window.until = std::min(window.until, now);
  absolve_verdicts(pool);
  if (pool.left_by_drill) pool.drill_return = DrillReturn{now, now + cut_patience};
  for (Tier& tier : pool.tiers) {
    const bool goes_back = pool.left_by_drill && pool.left_by_drill->tier == tier.name;
    for (Endpoint* endpoint : tier.endpoints) {
      const bool met = std::any_of(pool.drilled->windows.begin(), pool.drilled->windows.end(),
                                   [&](const DrillWindow& window) { return window.endpoint == endpoint->id; });
      endpoint->asked_after_drill = met;
      if (met || goes_back) ask_after_drill(*endpoint, now);
    }
  }
  touch(pool);
}

// Whatever a check under way says is of the drill's time.
void Core::State::ask_after_drill(Endpoint& endpoint, TimePoint now) {
  if (!endpoint.probes.running()) {
    if (std::exchange(endpoint.asked_after_drill, false)) absolve(endpoint, now);
    return;
  }
  endpoint.probes.void_current(now);
  if (!endpoint.probes.under_way()) start_probe(endpoint, now);
  arm(endpoint, now);
}

// The first real answer decides whether it was the drill alone.
void Core::State::drill_probed(Endpoint& endpoint, const ProbeResult& result, TimePoint now) {
  if (endpoint.probes.under_way() || result.cause == Cause::own_error) return;  // it was void, or could not be made
  endpoint.asked_after_drill = false;
  if (result.ok()) absolve(endpoint, now);
}

// What spoke against it while a fault was on it, and nothing else.
void Core::State::absolve(Endpoint& endpoint, TimePoint now) {
  Pool& pool = *pools[endpoint.pool];
  Tier& tier = pool.tiers[endpoint.tier];
  const auto drilled = [&](bool checks, TimePoint at) { return was_drilled(pool, endpoint.id, checks, at); };
  const std::string why = ": what spoke against it was injected by a drill";
  if (endpoint.threshold.state() == ActiveState::unhealthy && drilled(true, endpoint.verdict_since)) {
    endpoint.threshold.assume(ActiveState::healthy);
    endpoint.verdict_since = now;
    // Its gates know nothing of drills.
    if (pool.gates.empty() && drilled(true, endpoint.quarantined_at)) endpoint.quarantined = false;
    emit(Event::Kind::endpoint_healthy, pool, &tier, &endpoint,
         name_and_address(endpoint) + " is healthy as before" + why);
  }
  if (endpoint.ejector.until() && drilled(false, endpoint.ejector.since())) {
    endpoint.ejector.revoke();
    emit(Event::Kind::endpoint_unejected, pool, &tier, &endpoint,
         name_and_address(endpoint) + " counts as before" + why);
  }
  if (!endpoint.ejector.until()) endpoint.ejector.forgive();
  if (endpoint.suspicion.suspect() && drilled(false, endpoint.suspicion.since())) endpoint.suspicion.forgive(now);
  // What it was like in better days is known still.
  endpoint.signals.forget_recent();
  endpoint.openings.forgive();
  endpoint.outlier.reset();
  endpoint.last_failure = Cause::none;
  endpoint.probe_doubted = false;
  if (const auto finding = tier.watch.degraded(); !finding || was_drilled(pool, tier, finding->since))
    tier.watch.reset();
  tier.shedder.reset();
  pool.watched_at.reset();  // looked at anew in this very call
  refresh(endpoint, now);
}

// No verdict rests on what was injected; what a tier without a fault was found to be stands.
void Core::State::absolve_verdicts(Pool& pool) {
  for (Tier& tier : pool.tiers) {
    if (!tier.failed || !was_drilled(pool, tier, tier.failed_at)) continue;
    tier.failed = false;
    pool.last_verdict.clear();
  }
  if (!pool.verification) return;
  const auto& windows = pool.drilled->windows;
  const bool judged = std::any_of(windows.begin(), windows.end(), [&](const DrillWindow& window) {
    const Endpoint* const endpoint = find(window.endpoint);
    return endpoint != nullptr && endpoint->tier == pool.failover.active() &&
           window.until + echo_of(pool) >= pool.verification->began;
  });
  if (!judged) return;
  pool.verification.reset();
  if (!pool.ramp) pool.failover.settled();
  emit(Event::Kind::verdict, pool, &pool.active(), nullptr,
       "the move to tier " + quoted(pool.active().name) +
           " is not judged: a drill that was cut short had a fault on it");
}

// Traffic goes back where a drill took it from, once that is found well by real checks of after the cut.
void Core::State::return_after_drill(Pool& pool, TimePoint now) {
  if (!pool.drill_return || !pool.left_by_drill) return pool.drill_return.reset();
  const LeftByDrill left = *pool.left_by_drill;
  const DrillReturn waits = *pool.drill_return;
  const auto stay = [&](const std::string& why) {
    emit(Event::Kind::drill, pool, &pool.active(), nullptr,
         "traffic of pool " + quoted(pool.config.name) + " stays on tier " + quoted(pool.active().name) +
             ", though a drill that did not end as it should took it there: " + why);
    pool.drill_return.reset();
    pool.left_by_drill.reset();
  };
  const auto found =
      std::find_if(pool.tiers.begin(), pool.tiers.end(), [&](const Tier& t) { return t.name == left.tier; });
  if (found == pool.tiers.end()) return stay("tier " + quoted(left.tier) + " is gone");
  const auto target = static_cast<std::uint32_t>(found - pool.tiers.begin());
  if (pool.held) return stay("the pool is held");
  if (target < pool.failover.active() && !pool.gates.empty()) return stay("its return waits for gates");
  if (now >= waits.until)
    return stay("tier " + quoted(left.tier) + " was not found well: " + describe(*found, pool, now));
  if (pool.failover.ordered() || pool.failover.pending() || !found->count.serviceable()) return;
  const auto well = std::count_if(found->endpoints.begin(), found->endpoints.end(),
                                  [&](const Endpoint* e) { return well_since(*e, waits.since); });
  const bool all = std::all_of(found->endpoints.begin(), found->endpoints.end(),
                               [&](const Endpoint* e) { return heard_since(*e, waits.since); });
  if (!all && now < waits.since + all_answered) return;
  if (well == 0 || static_cast<std::size_t>(well) < found->count.needed) return;
  pool.failover.go_back(
      target, left.pinned,
      pool.drilled ? "a drill was cut short" : "a drill was under way when the process before this one ended", now);
}

}  // namespace understudy::health
