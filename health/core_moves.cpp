// Moves that rest on how a tier measures: when it is degraded, whether the move worked, when and how traffic returns.
#include <algorithm>
#include <utility>

#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

constexpr Duration gate_interval = std::chrono::seconds(10);
constexpr Duration verdict_dwell = std::chrono::seconds(5);
constexpr Duration failed_memory = std::chrono::minutes(5);
constexpr double audition_share = 0.1;
// Before traffic returns, a little of it shows whether the tier is what it was.
constexpr double proof_share = 0.05;
constexpr Duration least_borrowed_overdue = std::chrono::seconds(1);
constexpr Duration overdue_refresh = std::chrono::seconds(1);
// Without safe traffic to prove anything by, the hold is followed by this much more of it.
constexpr Duration proof_patience = std::chrono::seconds(30);
constexpr Duration proof_margin = std::chrono::milliseconds(50);
constexpr int ramp_steps = 10;
constexpr double verdict_factor = 3;  // times the baseline before the fault
constexpr Duration verdict_margin = std::chrono::milliseconds(200);

CauseClass class_of(TierWatch::Signal signal) {
  switch (signal) {
    case TierWatch::Signal::errors: return CauseClass::erroring;
    case TierWatch::Signal::doubted: return CauseClass::stalled;
    default: return CauseClass::slow;
  }
}

double ratio(Duration value, Duration limit) {
  return limit > Duration::zero() ? static_cast<double>(value.count()) / static_cast<double>(limit.count()) : 0;
}

}  // namespace

// ---- degradation

// Nothing is known of an endpoint that never had traffic: it is given as long as the slowest of the pool that is known, and a
// second at least, or else one that answers nothing would never be doubted.
std::optional<Duration> overdue_after(const Endpoint& endpoint, const Pool& pool) {
  if (const auto own = endpoint.signals.overdue_after()) return own;
  if (!pool.usual_overdue) return std::nullopt;
  return std::max<Duration>(*pool.usual_overdue, least_borrowed_overdue);
}

void Core::State::learn_overdue(Pool& pool, TimePoint now) {
  if (pool.overdue_learned_at && now - *pool.overdue_learned_at < overdue_refresh) return;
  pool.overdue_learned_at = now;
  std::optional<Duration> longest;
  for (const Tier& tier : pool.tiers) {
    for (const Endpoint* endpoint : tier.endpoints) {
      const auto own = endpoint->signals.overdue_after();
      if (own && (!longest || *own > *longest)) longest = own;
    }
  }
  if (longest.has_value() != pool.usual_overdue.has_value()) view_changed();
  pool.usual_overdue = longest;
}

void Core::State::watch_tiers(Pool& pool, TimePoint now) {
  learn_overdue(pool, now);
  for (std::uint32_t i = 0; i < pool.tiers.size(); ++i) {
    Tier& tier = pool.tiers[i];
    compare_with_peers(pool, tier, now);
    TierSignals signals;
    std::size_t silent = 0, counted = 0, suspects = 0, improving = 0, overdue = 0;
    Duration longest{};
    for (const Endpoint* endpoint : tier.endpoints) {
      signals.merge(endpoint->signals, now);
      if (!endpoint->available) continue;
      ++counted;
      const Suspicion& suspicion = endpoint->suspicion;
      suspects += suspicion.suspect() && suspicion.why() != Suspicion::Why::returning ? 1 : 0;
      // What is answered in time again was a blip: no reason to leave, though it is not trusted yet. Where a third fails, a
      // good trial means little.
      const bool timely = suspicion.why() == Suspicion::Why::overdue || suspicion.why() == Suspicion::Why::slow;
      improving += timely && suspicion.good_trials() > 0 ? 1 : 0;
      if (suspicion.why() != Suspicion::Why::overdue) continue;
      ++overdue;
      if (!endpoint->oldest_pending) continue;
      ++silent;
      longest = std::max<Duration>(longest, now - *endpoint->oldest_pending);
    }
    if (counted > 0) signals.suspects = static_cast<double>(suspects - improving) / static_cast<double>(counted);
    // Of most of it: what half of it lacks the other half makes up for, and one silent endpoint of two is no slow tier.
    if (silent * 2 > counted) signals.waiting = longest;
    tier.watch.observe(pool.config.degraded, signals, i == pool.failover.active(), now);
    shed(pool, i, signals, now);
    tier.all_doubted = counted > 0 && suspects == counted;
    tier.all_overdue = counted > 0 && overdue == counted;
    tell_degraded(pool, i, now);
    if (tier.failed && i != pool.failover.active()) forgive_failed(pool, tier, now);
  }
}

// A tier whose verdict was `failed` is no candidate until its endpoints are proven fit anew; without synthetic requests,
// for five minutes.
void Core::State::forgive_failed(Pool& pool, Tier& tier, TimePoint now) {
  if (pool.config.fitness.empty()) {
    if (now - tier.failed_at >= failed_memory) tier.failed = false;
    return;
  }
  const auto proven = proven_since(tier, pool, now);
  if (tier.fitness.fit != Fit::fit || !proven || *proven <= tier.failed_at) return;
  tier.failed = false;
  emit(Event::Kind::tier_fit, pool, &tier, nullptr,
       "tier " + quoted(tier.name) + ", whose verdict was failed " + describe(now - tier.failed_at) +
           " ago, is a candidate again: its synthetic requests have been answered well since then");
}

void Core::State::tell_degraded(Pool& pool, std::uint32_t index, TimePoint now) {
  Tier& tier = pool.tiers[index];
  const auto finding = tier.watch.degraded();
  if (finding.has_value() == std::exchange(tier.told_degraded, finding.has_value())) return;
  if (!finding) {
    return emit(Event::Kind::tier_recovered, pool, &tier, nullptr,
                "tier " + quoted(tier.name) + " is no longer degraded: " + describe(tier.watch.quality()));
  }
  emit(Event::Kind::tier_degraded, pool, &tier, nullptr,
       "tier " + quoted(tier.name) + " is degraded: " + describe(*finding, now) + "; normally p95 " +
           describe(tier.watch.normal().p95) + "; " + describe_others(pool, index),
       Cause::none, finding->since);
  std::get<Event>(actions.back()).cause_class = class_of(finding->signal);
}

// ---- after a move

void Core::State::moved(Pool& pool, std::uint32_t from, bool by_operator, bool after_drill, TimePoint now) {
  const std::uint32_t to = pool.failover.active();
  pool.nothing_better_told = false;
  if (pool.verification) {
    // A verdict that was given stands; there is nothing to judge any more. Whatever had to be left again was no good.
    if (!by_operator && !after_drill && !pool.tiers[from].failed && pool.tiers[from].watch.degraded())
      fail_verification(pool, pool.tiers[from], "it had to be left again", now);
    if (pool.tiers[from].failed) {
      pool.verification.reset();
    } else {
      end_verification(pool, pool.tiers[from], "undecided", "traffic moved on", now);
    }
  }
  pool.ramp.reset();
  const std::optional<TimePoint> returned = std::exchange(pool.returned_at, std::nullopt);
  if (after_drill) return pool.failover.settled();  // all of it, and nothing of the drill is to be judged
  if (to < from) {
    pool.ramp = Ramp{from, now, false};
    pool.returned_at = now;
    return;
  }
  pool.ramp = Ramp{from, now, true};
  // What got its traffic back not long ago could not keep it.
  if (returned && now - *returned < relapse_window(pool.config.failover) && !by_operator) {
    pool.failover.note_relapse(pool.config.failover, now);
  }
  reset_gates(pool, "not asked since the last move");
  Verification verification;
  verification.from = from;
  verification.began = now;
  verification.before = pool.tiers[from].watch.normal();
  verification.fault = pool.tiers[from].watch.quality();
  pool.tiers[to].failed = false;
  pool.verification = verification;
}

// Compares the tier that serves now with the better days of the one that was left.
void Core::State::verify(Pool& pool, TimePoint now) {
  if (!pool.verification) return;
  Verification& verification = *pool.verification;
  Tier& tier = pool.active();
  const config::DegradedConfig& policy = pool.config.degraded;
  const std::optional<Measure> measured = tier.watch.quality().traffic;
  const double allowed_errors = tolerated_errors(policy);
  Duration allowed =
      verification.before.p95 > Duration::zero()
          ? std::max<Duration>(Duration(static_cast<Duration::rep>(
                                   static_cast<double>(verification.before.p95.count()) * verdict_factor)),
                               verification.before.p95 + verdict_margin)
          : Duration::zero();
  if (policy.latency_p95) allowed = std::max<Duration>(allowed, *policy.latency_p95);
  double severity = 0;
  if (measured) severity = std::max(measured->bad_share / allowed_errors, ratio(measured->p95, allowed));
  const bool enough = measured && measured->samples >= std::min<double>(policy.min_requests, 20);
  verification.bad.observe(severity, enough, verdict_dwell, now);
  const std::string limits = "allowed " + describe_share(allowed_errors) + " failures" +
                             (allowed > Duration::zero() ? ", p95 " + describe(allowed) : std::string());
  if (verification.bad.breached() && !tier.failed) {
    fail_verification(pool, tier, limits, now);
  } else if (tier.failed && !verification.bad.charging()) {
    tier.failed = false;
    pool.last_verdict = "succeeded late: " + describe(tier.watch.quality());
    emit(Event::Kind::verdict, pool, &tier, nullptr,
         "tier " + quoted(tier.name) +
             ", whose verdict was failed, measures well now: " + describe(tier.watch.quality()));
  }
  if (tier.failed || now < verification.began + pool.config.failover.verify) return;
  if (enough) {
    end_verification(pool, tier, "succeeded", describe(tier.watch.quality()) + " (" + limits + ")", now);
  } else {
    end_verification(pool, tier, "undecided", "too few requests to judge it", now);
  }
  if (!pool.ramp || pool.ramp->down) pool.failover.settled();
}

void Core::State::fail_verification(Pool& pool, Tier& tier, const std::string& why, TimePoint now) {
  tier.failed = true;
  tier.failed_at = now;
  ++pool.verdicts.failed;
  pool.last_verdict = "failed: " + describe(tier.watch.quality());
  emit(Event::Kind::verdict, pool, &tier, nullptr,
       "the move to tier " + quoted(tier.name) + " failed: " + describe(tier.watch.quality()) + " (" + why +
           "); the tier left was " + describe(pool.verification->fault) + "; " +
           describe_others(pool, static_cast<std::uint32_t>(&tier - pool.tiers.data())));
}

void Core::State::end_verification(Pool& pool, const Tier& judged, std::string_view verdict, const std::string& why,
                                   TimePoint now) {
  const Verification verification = *std::exchange(pool.verification, std::nullopt);
  pool.last_verdict = std::string(verdict) + ": " + why;
  if (verdict == "succeeded") {
    ++pool.verdicts.succeeded;
  } else if (!verification.bad.breached()) {  // else it was counted as failed
    ++pool.verdicts.undecided;
  }
  emit(Event::Kind::verdict, pool, &judged, nullptr,
       "the move of pool " + quoted(pool.config.name) + " from " + quoted(pool.tiers[verification.from].name) + " " +
           describe(now - verification.began) + " ago: " + pool.last_verdict);
}

// ---- where the rest of the traffic goes

void Core::State::steer(Pool& pool, TimePoint now) {
  std::optional<SideTraffic> side = ramp_step(pool, now);
  if (!side) {
    if (const auto audition = pool.failover.audition()) side = SideTraffic{*audition, audition_share, true};
  }
  if (!side && !pool.ramp && !pool.held) {
    const auto hold = pool.failover.hold(pool.config.failover, now);
    if (hold && hold->due && now + proof_time >= *hold->due) side = SideTraffic{hold->tier, proof_share, true};
  }
  const auto same = [](const std::optional<SideTraffic>& a, const std::optional<SideTraffic>& b) {
    return a.has_value() == b.has_value() && (!a || (a->tier == b->tier && a->share == b->share));
  };
  if (!same(side, pool.side)) {
    // What a tier was left for does not speak against its return: its proof begins with nothing but the baseline.
    const bool proves = side && side->safe_only && side->tier < pool.failover.active();
    if (proves && (!pool.side || pool.side->tier != side->tier)) {
      forget_recent(pool.tiers[side->tier]);
      pool.tiers[side->tier].unproven = false;
    }
    pool.side = side;
    view_changed();
  }
  std::vector<SpillShare> spill = spill_of(pool);
  if (spill == pool.spill) return;
  std::swap(pool.spill, spill);
  view_changed();
  tell_spill(pool, spill);
}

void Core::State::forget_recent(Tier& tier) {
  for (Endpoint* endpoint : tier.endpoints) endpoint->signals.forget_recent();
  tier.watch.forget_traffic();
}

// What the tier that was left still gets. On the way down only as much of the time as there is of it that is well: nothing
// good comes of sending anything to the rest.
std::optional<SideTraffic> Core::State::ramp_step(Pool& pool, TimePoint now) {
  if (!pool.ramp) return std::nullopt;
  const Tier& from = pool.tiers[pool.ramp->from];
  Duration length = pool.config.failover.ramp;
  if (pool.ramp->down) {
    const double well = from.watch.unbearable() ? 0 : trusted_part(from);
    length = Duration(static_cast<Duration::rep>(static_cast<double>(length.count()) * well));
  }
  if (now >= pool.ramp->began + length || !from.count.serviceable() || (pool.active().failed && !pool.ramp->down)) {
    pool.ramp.reset();
    if (!pool.verification) pool.failover.settled();
    return std::nullopt;
  }
  const auto step = (now - pool.ramp->began) * ramp_steps / length;
  return SideTraffic{pool.ramp->from, 1.0 - static_cast<double>(step + 1) / (ramp_steps + 1), false};
}

// Downwards only: a tier above waits for its return, and is given nothing but what proves it.
std::vector<SpillShare> Core::State::spill_of(const Pool& pool) const {
  const std::optional<double> overprovisioning = pool.config.failover.overprovisioning;
  if (pool.config.tiers_mode != config::TiersMode::shared || !overprovisioning || pool.held || pool.settling) return {};
  const std::uint32_t active = pool.failover.active();
  if (!pool.active().count.serviceable() || pool.active().doubtful) return {};
  std::vector<std::uint32_t> tiers{active};
  std::vector<double> trusted{trusted_part(pool.active())};
  for (std::uint32_t i = active + 1; i < pool.tiers.size(); ++i) {
    const Tier& tier = pool.tiers[i];
    if (!tier.count.serviceable() || tier.watch.degraded() || tier.failed || tier.all_doubted) continue;
    tiers.push_back(i);
    trusted.push_back(trusted_part(tier));
  }
  const std::vector<double> shares = spread_load(trusted, *overprovisioning);
  std::vector<SpillShare> spill;
  for (std::size_t i = 1; i < shares.size(); ++i) {
    if (shares[i] > 1e-6) spill.push_back({tiers[i], shares[i]});
  }
  return spill;
}

void Core::State::tell_spill(Pool& pool, const std::vector<SpillShare>& before) {
  if (before.empty() == pool.spill.empty()) return;
  if (pool.spill.empty()) {
    return emit(Event::Kind::spill, pool, &pool.active(), nullptr,
                "tier " + quoted(pool.active().name) + " carries all of the traffic again");
  }
  double kept = 1;
  std::string others;
  for (const SpillShare& part : pool.spill) {
    kept -= part.share;
    others +=
        (others.empty() ? "" : ", ") + describe_share(part.share) + " goes to " + quoted(pool.tiers[part.tier].name);
  }
  emit(Event::Kind::spill, pool, &pool.active(), nullptr,
       "tier " + quoted(pool.active().name) + " can carry " + describe_share(kept) + " of the traffic: " +
           describe_share(trusted_part(pool.active())) + " of its endpoints are well (overprovisioning " +
           describe_share(*pool.config.failover.overprovisioning) + "); " + others);
}

// As fast as in better days, or nearly, and no more failures than are tolerated.
bool Core::State::measures_well(const Pool& pool, const Measure& measured, Duration usual) const {
  if (measured.bad_share > tolerated_errors(pool.config.degraded)) return false;
  return usual == Duration::zero() || measured.p95 <= std::max<Duration>(3 * usual, usual + proof_margin);
}

// A tier that is to serve again is given a little safe traffic before; what that measures decides. Where there is no traffic
// there is nothing to prove it by. A proof that failed begins anew with nothing but that it failed: what it does later decides.
Core::State::Proof Core::State::proof_of_return(Pool& pool, std::uint32_t index, TimePoint now) {
  if (index >= pool.failover.active() || !pool.active().watch.quality().traffic) return Proof::given;
  Tier& tier = pool.tiers[index];
  const bool proving = pool.side && pool.side->tier == index && !pool.ramp;
  if (proving) {
    const std::optional<Measure> measured = tier.watch.quality().traffic;
    if (measured && measures_well(pool, *measured, tier.watch.normal().p95)) return Proof::given;
    if (measured) forget_recent(tier);
    if (measured || tier.unproven) return Proof::failed;
  }
  const auto hold = pool.failover.hold(pool.config.failover, now);
  const bool patient = hold && hold->due && now < *hold->due + proof_patience;
  return patient ? Proof::missing : Proof::given;
}

Comparison Core::State::against_serving(const Pool& pool, const Tier& tier) const {
  const Tier& serving = pool.active();
  // What does not answer is no better than what answers badly, whatever it was like before.
  if (tier.all_overdue) return Comparison::same_or_worse;
  // Traffic doubts all of one tier, so that little of it is left to measure, and is content with the other.
  const std::optional<Measure> measured = tier.watch.quality().traffic;
  if (serving.all_doubted && !tier.all_doubted && measured &&
      measures_well(pool, *measured, serving.watch.normal().p95)) {
    return Comparison::better;
  }
  return compare(tier.watch.quality(), serving.watch.quality(), tolerated_errors(pool.config.degraded));
}

// ---- gates

void Core::State::reset_gates(Pool& pool, std::string_view why) {
  for (Gate& gate : pool.gates) {
    gate.passed = false;
    gate.approved_by.clear();
    gate.detail = why;
    gate.asked_at.reset();
    gate.answered_at.reset();
    gate.run = 0;
  }
}

bool passed_lately(const Gate& gate, TimePoint now) {
  if (gate.config.kind == config::GateKind::approval || !gate.passed) return gate.passed;
  return gate.answered_at && now < *gate.answered_at + gate_validity;
}

bool return_is_near(const Pool& pool, TimePoint now) {
  if (pool.held) return false;
  const auto due = pool.failover.earliest_return(pool.config.failover, now);
  return due && now + gate_lead >= *due;
}

bool Core::State::gated(const Pool& pool, std::uint32_t tier, TimePoint now) const {
  if (tier >= pool.failover.active()) return false;
  const bool near = return_is_near(pool, now);
  return std::any_of(pool.gates.begin(), pool.gates.end(),
                     [near, now](const Gate& gate) { return near ? !passed_lately(gate, now) : !gate.passed; });
}

// Asked while a tier above waits for its return, so that the answer is there when the hold is over; and again just before,
// since what was true at the hold's begin may be no more.
void Core::State::ask_gates(Pool& pool, TimePoint now) {
  if (pool.gates.empty()) return;
  release_quarantined(pool, now);
  if (pool.failover.phase() == Failover::Phase::returning && !waits_in_quarantine(pool)) return;
  if (!pool.failover.hold(pool.config.failover, now) && !waits_in_quarantine(pool)) return;
  const bool due_soon = return_is_near(pool, now);
  for (Gate& gate : pool.gates) {
    if (gate.config.kind == config::GateKind::approval || gate.run != 0) continue;
    if (gate.passed && !due_soon) continue;
    if (gate.asked_at && now < *gate.asked_at + (gate.passed ? gate_lead : gate_interval)) continue;
    gate.asked_at = now;
    gate.run = ++last_gate_run;
    actions.emplace_back(RunGate{pool.config.name, gate.config, gate.run, now + gate.config.timeout});
  }
}

void Core::State::gate_answered(const GateResult& result, TimePoint now) {
  Pool* pool = find_pool(result.pool);
  if (pool == nullptr) return;
  for (Gate& gate : pool->gates) {
    if (gate.config.name != result.gate || gate.run != result.run || result.run == 0) continue;
    gate.run = 0;
    const bool changed = gate.passed != result.passed || gate.detail != result.detail;
    gate.passed = result.passed;
    gate.detail = result.detail;
    gate.answered_at = now;
    if (changed) {
      emit(Event::Kind::gate, *pool, nullptr, nullptr,
           "gate " + quoted(gate.config.name) + " of pool " + quoted(pool->config.name) +
               (result.passed ? " passed: " : " has not passed: ") + result.detail);
    }
    touch(*pool);
  }
}

}  // namespace understudy::health
