// What real requests say about an endpoint: failures in a row eject it, doubts put it on trial, peers show an outlier; and
// whom to believe when probes say otherwise.
#include <algorithm>
#include <utility>
#include <vector>

#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

// What a suspect's ramp takes when it is trusted again and the operator asks for no longer one.
constexpr Duration least_ramp = std::chrono::seconds(3);
// Traffic is well while successes are at most that old.
constexpr Duration fresh_success = std::chrono::seconds(3);
constexpr double well_bad_share = 0.05;
constexpr double few_outcomes = 5;
// An outlier takes this many times longer than the median of its peers, and at least that much longer.
constexpr double outlier_factor = 5;
constexpr Duration outlier_margin = std::chrono::milliseconds(20);
constexpr double outlier_samples = 10;
constexpr Duration outlier_dwell = std::chrono::seconds(2);

std::string in_a_row(const Evidence& evidence, const config::PassiveConfig& policy) {
  return std::to_string(evidence.failures) + " failures in a row from real traffic (" +
         std::string(name_of(evidence.cause)) + ", limit " + std::to_string(policy.consecutive) + ")";
}

Cause most_frequent(const TrafficSample& sample) {
  Cause most = Cause::none;
  std::uint64_t highest = 0;
  for (std::size_t i = 1; i < sample.failures.size(); ++i) {
    if (static_cast<Cause>(i) == Cause::own_error || sample.failures[i] <= highest) continue;
    highest = sample.failures[i];
    most = static_cast<Cause>(i);
  }
  return most;
}

struct Neighbours {
  std::size_t ejected = 0, available = 0;
};
Neighbours count_neighbours(const Tier& tier, const Endpoint& except) {
  Neighbours others;
  for (const Endpoint* other : tier.endpoints) {
    if (other == &except) continue;
    others.ejected += other->ejector.ejected() ? 1 : 0;
    others.available += other->available ? 1 : 0;
  }
  return others;
}

// By the clients that are not behind most of what speaks against it, at other endpoints: where this one serves, those who come
// to it tell whether several do.
double requests_elsewhere(const Endpoint& endpoint, const Pool& pool) {
  if (endpoint.tier == pool.failover.active() || !endpoint.weighing.one_is_behind_most()) return 0;
  double requests = 0;
  for (const Tier& tier : pool.tiers) {
    for (const Endpoint* other : tier.endpoints) {
      if (other != &endpoint) requests += other->weighing.requests_of_others(endpoint.weighing.client());
    }
  }
  return requests;
}

}  // namespace

// ---- one sample

void Core::State::sampled(Endpoint& endpoint, const TrafficSample& seen, TimePoint now) {
  Pool& pool = *pools[endpoint.pool];
  const config::PassiveConfig& policy = pool.config.passive;
  endpoint.pending = seen.pending;
  endpoint.oldest_pending = seen.oldest_pending;
  Tier& tier = pool.tiers[endpoint.tier];
  tier.served += static_cast<double>(seen.successes);
  for (std::size_t i = 1; i < seen.failures.size(); ++i) tier.unserved += static_cast<double>(seen.failures[i]);
  if (evidence_from && now <= *evidence_from) {
    endpoint.suspicion.forgive(now);
    return endpoint.ejector.disregard(seen);
  }
  endpoint.weighing.observe(seen, endpoint.signals.normal_limit(), now);
  const TrafficSample sample = endpoint.weighing.weigh(seen, requests_elsewhere(endpoint, pool));
  if (sample.successes > 0) endpoint.last_success = now;
  const bool calm = !endpoint.suspicion.suspect() && !endpoint.ejector.until() && !tier.watch.charging();
  endpoint.signals.observe(sample, calm, now);
  publish_hedge(endpoint, pool);
  compare_openings(endpoint);
  openings_seen(endpoint, endpoint.openings.observe(seen, pool.config.degraded, now), now);
  touch(pool);
  weigh_probe(endpoint, now);
  const Evidence evidence = endpoint.ejector.observe(sample);
  if (!policy.enabled) return;
  const bool was_suspect = endpoint.suspicion.suspect(), was_gone = endpoint.suspicion.gone();
  if (endpoint.suspicion.observe(suspicion_input(endpoint, sample), now)) doubt(endpoint, was_suspect, was_gone, now);
  if (endpoint.suspicion.suspect()) refresh(endpoint, now);  // the pause between its trials
  if (endpoint.ejector.suspected() && evidence.failures < policy.consecutive &&
      (sample.successes > 0 || evidence.failures == 0)) {
    return readmit(endpoint, "a request succeeded again", now);
  }
  if (evidence.failures < policy.consecutive || evidence.failures == 0) return;
  // Judged are only those that take part; who is out already is out.
  if (endpoint.order.state != OperatorState::enabled || endpoint.ejector.ejected() || !endpoint.available) return;
  convict(endpoint, evidence, now);
}

// The workers are told when it has moved by a quarter. Where there is one endpoint only, nobody can be asked beside it.
void Core::State::publish_hedge(Endpoint& endpoint, const Pool& pool) {
  std::size_t count = 0;
  for (const Tier& tier : pool.tiers) count += tier.endpoints.size();
  const bool possible = pool.config.retry.hedge && count > 1;
  const std::optional<Duration> fresh = possible ? endpoint.signals.hedge_after() : std::nullopt;
  std::optional<Duration>& shown = endpoint.hedge_after;
  const bool near = fresh && shown && *fresh * 4 <= *shown * 5 && *fresh * 5 >= *shown * 4;
  if (near || (!fresh && !shown)) return;
  shown = fresh;
  view_changed();
}

void Core::State::convict(Endpoint& endpoint, const Evidence& evidence, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  const Tier& tier = pool.tiers[endpoint.tier];
  const config::PassiveConfig& policy = pool.config.passive;
  const Neighbours others = count_neighbours(tier, endpoint);
  const std::string who = name_and_address(endpoint);
  const std::string why = in_a_row(evidence, policy);
  if (may_eject(policy, tier.endpoints.size(), others.ejected, others.available)) {
    endpoint.ejector.eject(policy, now);
    emit(Event::Kind::endpoint_ejected, pool, &tier, &endpoint,
         who + " is ejected for " + describe(*endpoint.ejector.until() - now) + " (time " +
             std::to_string(endpoint.ejector.ejections(policy, now)) + "): " + why + "; tier " + quoted(tier.name) +
             " keeps " + std::to_string(others.available) + " of " + std::to_string(tier.endpoints.size()) +
             " available",
         evidence.cause);
  } else if (!endpoint.ejector.suspected() && evidence.connections >= policy.consecutive) {
    endpoint.ejector.suspect(policy, now);
    emit(Event::Kind::endpoint_unhealthy, pool, &tier, &endpoint,
         who + " does not count as available: " + why + "; it stays in the balance because tier " + quoted(tier.name) +
             " can spare no more (" + std::to_string(others.ejected) + " ejected, at most " +
             describe_share(policy.max_ejected) + ", " + std::to_string(others.available) + " others available)",
         evidence.cause);
  } else {
    return;
  }
  // The check should have its say soon.
  if (endpoint.probes.running()) endpoint.probes.hurry(now);
  refresh(endpoint, now);
}

void Core::State::readmit(Endpoint& endpoint, std::string reason, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  const bool was_ejected = endpoint.ejector.ejected();
  const Duration lasted = now - endpoint.ejector.since();
  endpoint.ejector.readmit(now);
  emit(was_ejected ? Event::Kind::endpoint_unejected : Event::Kind::endpoint_healthy, pool, &pool.tiers[endpoint.tier],
       &endpoint,
       name_and_address(endpoint) + " " + (was_ejected ? "is back in" : "counts as available again") + " after " +
           describe(lasted) + ": " + std::move(reason));
  refresh(endpoint, now);
}

// ---- doubts

SuspicionInput Core::State::suspicion_input(const Endpoint& endpoint, const TrafficSample& sample) const {
  const Pool& pool = *pools[endpoint.pool];
  SuspicionInput input;
  input.pending = sample.pending;
  input.oldest_pending = sample.oldest_pending;
  input.overdue_after = overdue_after(endpoint, pool);
  input.bad_share = std::max(tolerated_errors(pool.config.degraded), 0.01);
  input.cause = most_frequent(sample);
  for (std::size_t i = 1; i < sample.failures.size(); ++i) {
    if (static_cast<Cause>(i) != Cause::own_error) input.bad += sample.failures[i];
  }
  if (const auto limit = endpoint.signals.normal_limit()) {
    input.slow = std::min<std::uint64_t>(sample.first_byte.above(*limit), sample.successes);
    input.much_slow = std::min<std::uint64_t>(sample.first_byte.above(*endpoint.signals.far_limit()), input.slow);
  }
  input.good = sample.successes - input.slow;
  // What was outrun at an endpoint that has next to no traffic adds up over minutes, and says nothing of its silence.
  if (!endpoint.signals.overdue_after()) return input;
  input.superseded = sample.superseded.total;
  input.superseded_wait = sample.superseded.longest();
  return input;
}

// The doubt began, ended, or became certainty.
void Core::State::doubt(Endpoint& endpoint, bool was_suspect, bool was_gone, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  const Tier& tier = pool.tiers[endpoint.tier];
  const Suspicion& suspicion = endpoint.suspicion;
  const std::string who = name_and_address(endpoint);
  if (was_suspect && !suspicion.suspect())
    return trust_again(endpoint, "trial requests succeeded at normal speed", now);
  if (!suspicion.suspect()) return;
  std::string why;
  const Measure usual{0, 0, endpoint.signals.normal().quantile(0.95)};
  if (suspicion.gone() && !was_gone) {
    why = std::to_string(endpoint.pending) + " requests unanswered, the oldest for " +
          describe(now - endpoint.oldest_pending.value_or(now)) +
          ", and no answer since: it does not count as available";
  } else if (was_suspect) {
    return refresh(endpoint, now);
  } else if (suspicion.why() == Suspicion::Why::overdue) {
    why = std::to_string(endpoint.pending) + " requests unanswered, the oldest for " +
          describe(now - endpoint.oldest_pending.value_or(now)) + " (overdue after " +
          describe(overdue_after(endpoint, pool).value_or(Duration{})) + ", normally p95 " + describe(usual.p95) + ")";
  } else if (suspicion.why() == Suspicion::Why::erroring) {
    why = describe_share(endpoint.signals.brief().outcomes.bad_share()) + " failures (" +
          std::string(name_of(suspicion.cause())) + ", tolerated " +
          describe_share(std::max(tolerated_errors(pool.config.degraded), 0.01)) + ")";
  } else {
    why = "p95 " + describe(endpoint.signals.brief().first_byte.quantile(0.95)) + ", normally " + describe(usual.p95);
  }
  emit(Event::Kind::endpoint_suspect, pool, &tier, &endpoint,
       who + " is suspect: " + why + "; new requests avoid it where they can, but for trials", suspicion.cause());
  if (!was_suspect && suspicion.why() == Suspicion::Why::erroring) doubt_peers(endpoint, now);
  if (endpoint.probes.running()) endpoint.probes.hurry(now);
  refresh(endpoint, now);
}

// Endpoints of a tier that begin to fail together do so for one reason: half the evidence will do for the others.
void Core::State::doubt_peers(const Endpoint& first, TimePoint now) {
  for (Endpoint* peer : pools[first.pool]->tiers[first.tier].endpoints) {
    if (peer == &first || !peer->suspicion.half_erroring()) continue;
    peer->suspicion.raise(Suspicion::Why::erroring, now);
    doubt(*peer, false, false, now);
  }
}

void Core::State::trust_again(Endpoint& endpoint, std::string reason, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  endpoint.suspicion.clear(now);
  openings_returned(endpoint, now);
  const Duration ramp = std::max<Duration>(pool.config.slow_start, least_ramp);
  endpoint.slow_start.begin(ramp, now);
  emit(Event::Kind::endpoint_trusted, pool, &pool.tiers[endpoint.tier], &endpoint,
       name_and_address(endpoint) + " is trusted again after " + describe(now - endpoint.suspicion.since()) + ": " +
           std::move(reason) + "; its share grows over " + describe(ramp));
  refresh(endpoint, now);
}

// ---- probes against traffic

bool Core::State::traffic_is_well(const Endpoint& endpoint, TimePoint now) const {
  if (endpoint.suspicion.suspect() || endpoint.ejector.until()) return false;
  if (!endpoint.last_success || now - *endpoint.last_success > fresh_success) return false;
  const SignalWindow* window = endpoint.signals.window(few_outcomes, now);
  return window != nullptr && window->outcomes.bad_share() <= well_bad_share;
}

// check.trust: failing probes of an endpoint whose real requests are well are held for a while, and told.
void Core::State::weigh_probe(Endpoint& endpoint, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  const config::CheckConfig& check = pool.config.check;
  if (check.trust == config::Trust::probe && !endpoint.probe_doubted) return;
  const bool in_time = check.trust == config::Trust::traffic || now < endpoint.verdict_since + check.doubt;
  const bool doubted = check.trust != config::Trust::probe && endpoint.threshold.state() == ActiveState::unhealthy &&
                       in_time && traffic_is_well(endpoint, now);
  if (doubted == std::exchange(endpoint.probe_doubted, doubted)) return;
  const bool still_failing = endpoint.threshold.state() == ActiveState::unhealthy;
  const std::string who = name_and_address(endpoint);
  if (doubted) {
    emit(Event::Kind::probe_doubted, pool, &pool.tiers[endpoint.tier], &endpoint,
         who + ": its probes fail (" + std::string(name_of(endpoint.last_failure)) +
             ") but real requests are answered well; it stays available " +
             (check.trust == config::Trust::traffic ? "while they are (trust traffic)"
                                                    : "for " + describe(check.doubt) + " (trust both)"),
         endpoint.last_failure);
  } else if (still_failing) {
    emit(Event::Kind::probe_doubted, pool, &pool.tiers[endpoint.tier], &endpoint,
         who + ": its failing probes are obeyed now: " +
             (in_time ? "real requests are no longer answered well" : "the time of doubt is over"),
         endpoint.last_failure);
  }
  refresh(endpoint, now);
}

// ---- peers

// An endpoint that is many times slower than the others of its tier goes out, as far as the tier can spare it.
void Core::State::compare_with_peers(Pool& pool, Tier& tier, TimePoint now) {
  if (!pool.config.passive.enabled || tier.endpoints.size() < 2) return;
  std::vector<std::pair<Duration, Endpoint*>> medians;
  for (Endpoint* endpoint : tier.endpoints) {
    const SignalWindow* window = endpoint->signals.window(outlier_samples, now);
    // A suspect is avoided already, and what is known of it tells of the time before: its trials decide.
    if (window == nullptr || !endpoint->available || endpoint->suspicion.suspect() ||
        window->first_byte.weight() < outlier_samples) {
      endpoint->outlier.reset();
      continue;
    }
    medians.emplace_back(window->first_byte.quantile(0.5), endpoint);
  }
  if (medians.size() < 2) return;
  std::sort(medians.begin(), medians.end());
  for (const auto& [own, endpoint] : medians) {
    // The lower median of the others: one slow peer of two does not excuse the other.
    const std::size_t middle = (medians.size() - 2) / 2;
    const bool before = medians[middle].second == endpoint || own <= medians[middle].first;
    const Duration peers = medians[before ? middle + 1 : middle].first;
    const auto limit =
        std::max(Duration(static_cast<Duration::rep>(static_cast<double>(peers.count()) * outlier_factor)),
                 peers + outlier_margin);
    endpoint->outlier.observe(static_cast<double>(own.count()) / static_cast<double>(limit.count()), true,
                              outlier_dwell, now);
    if (endpoint->outlier.breached()) eject_outlier(pool, tier, *endpoint, own, peers, now);
  }
}

void Core::State::eject_outlier(Pool& pool, Tier& tier, Endpoint& endpoint, Duration own, Duration peers,
                                TimePoint now) {
  endpoint.outlier.reset();
  const Neighbours others = count_neighbours(tier, endpoint);
  if (endpoint.order.state != OperatorState::enabled || endpoint.ejector.until()) return;
  if (!may_eject(pool.config.passive, tier.endpoints.size(), others.ejected, others.available)) return;
  endpoint.ejector.eject(pool.config.passive, now);
  emit(Event::Kind::endpoint_ejected, pool, &tier, &endpoint,
       name_and_address(endpoint) + " is ejected for " + describe(*endpoint.ejector.until() - now) + " (time " +
           std::to_string(endpoint.ejector.ejections(pool.config.passive, now)) + "): its median " + describe(own) +
           " is more than " + std::to_string(static_cast<int>(outlier_factor)) + " times that of its peers (" +
           describe(peers) + "); tier " + quoted(tier.name) + " keeps " + std::to_string(others.available) + " of " +
           std::to_string(tier.endpoints.size()) + " available");
  refresh(endpoint, now);
}

}  // namespace understudy::health
