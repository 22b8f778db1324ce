// Pools of the core: what the endpoints amount to, and which tier serves.
#include <algorithm>
#include <utility>

#include "health/coordinator.hpp"
#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

// How stale maintenance_left in the view may get.
constexpr Duration maintenance_refresh_time = std::chrono::seconds(5);

bool waits_for_address(const Source& source, const Pool& pool, TimePoint now) {
  return source.endpoints.empty() && pool.config.check.start != config::StartPolicy::assume_healthy &&
         now < source.added_at + pool.config.check.start_wait;
}

constexpr Duration watch_interval = std::chrono::milliseconds(50);
constexpr Duration least_step = std::chrono::milliseconds(20);
constexpr Duration gate_look = std::chrono::seconds(1);
constexpr Duration drill_look = std::chrono::milliseconds(100);  // while traffic waits to go back after a drill

std::optional<TimePoint> later_than(TimePoint now, TimePoint at) { return at > now ? std::optional(at) : std::nullopt; }

bool waits_for_gate(const Pool& pool, TimePoint now) {
  const bool quarantine = std::any_of(pool.tiers.begin(), pool.tiers.end(), [](const Tier& tier) {
    return std::any_of(tier.endpoints.begin(), tier.endpoints.end(), [](const Endpoint* e) { return e->quarantined; });
  });
  if (!quarantine && !pool.failover.hold(pool.config.failover, now)) return false;
  const bool due_soon = return_is_near(pool, now);
  return std::any_of(pool.gates.begin(), pool.gates.end(), [due_soon](const Gate& gate) {
    return gate.config.kind != config::GateKind::approval && (!gate.passed || due_soon);
  });
}

}  // namespace

void Core::State::settle(TimePoint now) {
  for (std::size_t i = 0; i < touched.size(); ++i) {  // judging touches no other pool, but may be told so again
    Pool& pool = *touched[i];
    pool.touched = false;
    judge(pool, now);
  }
  touched.clear();
}

void Core::State::judge(Pool& pool, TimePoint now) {
  std::vector<TierFacts> facts;
  facts.reserve(pool.tiers.size());
  for (Tier& tier : pool.tiers) recount(pool, tier, now);
  weigh_fitness(pool, now);
  // Weighing signals costs more than counting heads: many verdicts in a row share one look.
  pool.watch_due = std::nullopt;
  if (!pool.watched_at || now >= *pool.watched_at + watch_interval) {
    pool.watched_at = now;
    watch_tiers(pool, now);
    verify(pool, now);
  } else {
    pool.watch_due = *pool.watched_at + watch_interval;
  }
  for (std::uint32_t i = 0; i < pool.tiers.size(); ++i) {
    Tier& tier = pool.tiers[i];
    TierFacts& fact = facts.emplace_back();
    fact.serviceable = tier.count.serviceable();
    fact.undecided = tier.count.undecided_verdict();
    fact.degraded = tier.watch.degraded().has_value();
    fact.failed = tier.failed;
    const Proof proof = proof_of_return(pool, i, now);
    fact.doubted = tier.all_doubted;
    fact.unproven = proof == Proof::failed;
    tier.unproven = fact.unproven;
    fact.gated = gated(pool, i, now);
    fact.proving = proof == Proof::missing;
    fact.against_serving = against_serving(pool, tier);
    fact.fit = tier.fitness.fit;
    fact.down = tier.count.sound() == 0;
  }
  const bool require_fit = pool.config.failover.require_fit;
  for (std::uint32_t i = 0; i < facts.size(); ++i) {
    const Fit serving = facts[pool.failover.active()].fit;
    facts[i].less_fit =
        i != pool.failover.active() && (facts[i].fit > serving || (require_fit && facts[i].fit != Fit::fit));
  }
  pool.failover.observe(facts, now);
  for (std::uint32_t i = 0; i < pool.tiers.size(); ++i) tell_tier(pool, i, now);
  return_after_drill(pool, now);
  if (const auto wish = pool.failover.decide(pool.config.failover, pool.held, now)) propose(pool, *wish, now);
  const auto serviceable = [](const TierFacts& f) { return f.serviceable; };
  const auto able = std::count_if(facts.begin(), facts.end(), serviceable);
  for (std::uint32_t i = 0; i < pool.tiers.size(); ++i) {
    const bool other = !pool.held && able > (facts[i].serviceable ? 1 : 0);
    choose_usable(pool, i, other);
  }
  const bool settling =
      std::any_of(pool.tiers.begin(), pool.tiers.end(), [](const Tier& tier) { return tier.count.undecided > 0; });
  if (std::exchange(pool.settling, settling) != settling) view_changed();
  steer(pool, now);
  steer_openings(pool, now);
  ask_gates(pool, now);
  tell_all_down(pool, now);
  tell_nothing_better(pool, now);
  tell_hold(pool, now);
  arm(pool, now);
}

// Law 3, said once: no move, and why.
void Core::State::tell_nothing_better(Pool& pool, TimePoint now) {
  const bool nothing = pool.failover.nothing_better();
  if (nothing == pool.nothing_better_told) return;
  pool.nothing_better_told = nothing;
  if (!nothing) return;
  std::string others;
  for (std::uint32_t i = 0; i < pool.tiers.size(); ++i) {
    if (i == pool.failover.active()) continue;
    if (!others.empty()) others += ", ";
    others += quoted(pool.tiers[i].name) + " is " +
              (pool.tiers[i].count.serviceable() ? describe(pool.tiers[i].watch.quality()) : "not able to serve");
    if (const std::string unfit = fitness_reason(pool.tiers[i], pool, now); !unfit.empty()) others += ", " + unfit;
  }
  emit(Event::Kind::nothing_better, pool, &pool.active(), nullptr,
       "tier " + quoted(pool.active().name) + " is " + describe(pool.active().watch.quality()) +
           ", but nothing better is to be had (" + (others.empty() ? "there is no other tier" : others) +
           "): traffic stays");
}

void Core::State::recount(Pool& pool, Tier& tier, TimePoint now) {
  TierCount count;
  for (const Endpoint* endpoint : tier.endpoints) {
    ++count.size;
    const OperatorState state = state_in_force(*endpoint);
    const bool may_be_used = state == OperatorState::enabled || state == OperatorState::held;
    count.enabled += may_be_used && !endpoint->quarantined ? 1 : 0;
    count.available += endpoint->available ? 1 : 0;
    const bool suspect =
        state == OperatorState::enabled && (endpoint->ejector.suspected() || endpoint->suspicion.gone());
    count.suspect += endpoint->available && suspect ? 1 : 0;
    count.undecided += endpoint->undecided && !endpoint->available ? 1 : 0;
  }
  for (const Source& source : tier.sources) {
    if (!source.endpoints.empty()) continue;
    ++count.size;
    count.undecided += waits_for_address(source, pool, now) ? 1 : 0;
  }
  count.needed = needed_endpoints(pool.config.failover, count.size);
  tier.count = count;
}

void Core::State::tell_tier(Pool& pool, std::uint32_t index, TimePoint now) {
  Tier& tier = pool.tiers[index];
  if (tier.count.undecided_verdict()) return;
  const TierVerdict verdict = tier.count.serviceable() ? TierVerdict::serviceable : TierVerdict::lost;
  if (verdict == tier.told) return;
  const TierVerdict before = std::exchange(tier.told, verdict);
  const TimePoint since = std::exchange(tier.told_at, now);
  if (verdict == TierVerdict::lost) {
    std::string reason =
        "tier " + quoted(tier.name) + " lost: " + describe(tier, pool, now) + "; " + describe_others(pool, index);
    if (pool.held && index == pool.failover.active()) reason += "; the operator holds the pool, so nothing moves";
    const bool was_above = index < pool.failover.active() && before == TierVerdict::serviceable;
    if (was_above) {
      reason += "; the time until failback begins anew when it is back";
      // Whatever was compared before, it was not what comes back now.
      const auto passed = [](const Gate& gate) { return gate.passed; };
      if (std::any_of(pool.gates.begin(), pool.gates.end(), passed)) reason += ", and its gates are asked anew";
      reset_gates(pool, "not asked since tier " + quoted(tier.name) + " was lost again");
    }
    return emit(Event::Kind::tier_lost, pool, &tier, nullptr, std::move(reason));
  }
  if (before == TierVerdict::none) return;
  emit(Event::Kind::tier_restored, pool, &tier, nullptr,
       "tier " + quoted(tier.name) + " can serve again after " + describe(now - since) + ": " +
           describe(tier, pool, now));
}

// The indices to balance over. Panic is for the serving tier only: nobody is sent to the others anyway.
void Core::State::choose_usable(Pool& pool, std::uint32_t index, bool other_to_be_had) {
  Tier& tier = pool.tiers[index];
  const bool serving = index == pool.failover.active();
  const bool panic =
      serving && pool.checked() && derive_panic(tier.count, pool.config.panic_threshold, other_to_be_had);
  // Before the first verdicts somebody has to serve; better one that nobody complained about than an error.
  const bool nobody_yet = serving && tier.count.available == 0 && tier.count.undecided > 0;
  tier.usable.clear();
  std::vector<std::uint32_t> trials_before = std::exchange(tier.trials, {});
  std::uint32_t trusted = 0;
  for (const Endpoint* endpoint : tier.endpoints)
    trusted += endpoint->available && !endpoint->suspicion.suspect() ? 1 : 0;
  // Suspects are avoided only while the others can carry the tier.
  const bool avoid = trusted > 0 && static_cast<double>(trusted) >=
                                        pool.config.panic_threshold * static_cast<double>(tier.count.available);
  const bool doubtful_before = std::exchange(tier.doubtful, trusted == 0 && tier.count.available > 0);
  std::vector<std::tuple<std::uint32_t, EndpointId, double>> key;
  key.reserve(tier.endpoints.size());
  for (std::uint32_t i = 0; i < tier.endpoints.size(); ++i) {
    const Endpoint& endpoint = *tier.endpoints[i];
    const OperatorState state = state_in_force(endpoint);
    const bool enabled = (state == OperatorState::enabled || state == OperatorState::held) && !endpoint.quarantined;
    const bool untried = nobody_yet && endpoint.undecided;
    if (!endpoint.available && !untried && !(panic && enabled)) continue;
    if (endpoint.available && endpoint.suspicion.suspect() && (avoid || tier.doubtful)) tier.trials.push_back(i);
    if (endpoint.available && endpoint.suspicion.suspect() && avoid) continue;
    tier.usable.push_back(i);
    key.emplace_back(i, endpoint.id, endpoint.weight);
  }
  if (key != tier.usable_key || tier.membership == 0) {
    tier.usable_key = std::move(key);
    tier.membership = ++last_membership;
    view_changed();
  }
  if (tier.trials != trials_before || tier.doubtful != doubtful_before) view_changed();
  if (tier.serviceable != tier.count.serviceable()) {
    tier.serviceable = tier.count.serviceable();
    view_changed();
  }
  if (panic == tier.panic) return;
  tier.panic = panic;
  view_changed();
  const std::string share = std::to_string(tier.count.available) + " of " + std::to_string(tier.count.enabled) +
                            " endpoints of tier " + quoted(tier.name) + " are available (panic below " +
                            describe_share(pool.config.panic_threshold) + ")";
  emit(panic ? Event::Kind::panic_entered : Event::Kind::panic_left, pool, &tier, nullptr,
       panic ? share + ", so all " + std::to_string(tier.count.enabled) + " are used; " + describe_others(pool, index)
             : share + (serving ? ", only the available ones are used again" : "; another tier serves now"));
}

void Core::State::tell_all_down(Pool& pool, TimePoint now) {
  bool all_down = true;
  for (const Tier& tier : pool.tiers) {
    if (tier.count.undecided_verdict()) return;  // too early to say
    all_down = all_down && !tier.count.serviceable();
  }
  if (all_down == pool.all_down) return;
  pool.all_down = all_down;
  if (!all_down) return;
  const Tier& tier = pool.active();
  emit(Event::Kind::all_down, pool, &tier, nullptr,
       "no tier of pool " + quoted(pool.config.name) + " can serve, " + quoted(tier.name) + " is kept: it has " +
           describe(tier, pool, now) + "; " + describe_others(pool, pool.failover.active()));
}

void Core::State::tell_hold(Pool& pool, TimePoint now) {
  const auto hold = pool.failover.hold(pool.config.failover, now);
  if (!hold || pool.failover.pending() || pool.held || pool.failover.moved_by_operator()) return;
  if (pool.tiers[hold->tier].unproven) return;  // the hold begins anew all the time
  const std::pair<std::uint32_t, TimePoint> told{hold->tier, hold->since};
  if (pool.hold_told == told) return;
  pool.hold_told = told;
  const Tier& tier = pool.tiers[hold->tier];
  std::string reason = "tier " + quoted(tier.name) + " can serve since " + describe(now - hold->since) + " (" +
                       std::to_string(tier.count.sound()) + " of " + std::to_string(tier.count.size) +
                       " endpoints available, needs " + std::to_string(tier.count.needed) + "); ";
  if (hold->due) {
    reason += "traffic returns from " + quoted(pool.active().name) + " in " + describe(*hold->due - now) +
              " if it stays so (failback after " + describe(*hold->due - hold->since);
    const std::uint32_t again = pool.failover.relapses(pool.config.failover, now);
    if (again > 0) reason += ", doubled for " + std::to_string(again) + (again == 1 ? " relapse" : " relapses");
    reason += ")";
    for (const Gate& gate : pool.gates) {
      if (!gate.passed) reason += " and gate " + quoted(gate.config.name) + " passes";
    }
  } else {
    reason += "traffic stays on " + quoted(pool.active().name) + " until the operator's failback (failback manual)";
  }
  emit(Event::Kind::failback_pending, pool, &tier, nullptr, std::move(reason));
}

void Core::State::propose(Pool& pool, const Failover::Wish& wish, TimePoint now) {
  const std::uint32_t active = pool.failover.active();
  const Tier& from = pool.active();
  const Tier& to = pool.tiers[wish.tier];
  Proposal proposal;
  proposal.pool = pool.config.name;
  proposal.from_epoch = pool.failover.epoch();
  proposal.tier = wish.tier;
  proposal.is_failback = wish.tier < active;
  proposal.by_operator = wish.why == Failover::Why::operator_move || wish.why == Failover::Why::operator_failback;
  const std::string others = describe_others(pool, active);
  switch (wish.why) {
    case Failover::Why::lost:
      proposal.reason = "tier " + quoted(from.name) + " lost: " + describe(from, pool, now) + "; " + others;
      break;
    case Failover::Why::degraded:
    case Failover::Why::relapsed:
    case Failover::Why::verdict_failed: {
      if (!from.count.serviceable()) {
        proposal.reason = "tier " + quoted(from.name) + " lost just after its return: " + describe(from, pool, now);
      } else {
        const auto finding = from.watch.degraded();
        proposal.reason = "tier " + quoted(from.name) +
                          " is degraded: " + (finding ? describe(*finding, now) : "its verdict was failed") + ", now " +
                          describe(from.watch.quality());
      }
      proposal.reason += "; " + quoted(to.name) + " measures better: " + describe(to.watch.quality()) + "; " + others;
      break;
    }
    case Failover::Why::returned: {
      const auto hold = pool.failover.hold(pool.config.failover, now);
      proposal.reason = "tier " + quoted(to.name) + " can serve again: " + describe(to, pool, now);
      if (hold && hold->tier == wish.tier)
        proposal.reason += ", without interruption since " + describe(now - hold->since);
      proposal.reason += pool.config.failover.failback == config::FailbackMode::automatic
                             ? " (failback auto)"
                             : " (failback after " + describe(pool.config.failover.failback_after) + ")";
      proposal.reason += "; " + quoted(from.name) + " served meanwhile";
      break;
    }
    case Failover::Why::operator_move:
    case Failover::Why::operator_failback:
    case Failover::Why::drill_over:
      proposal.reason =
          (wish.why == Failover::Why::drill_over ? "traffic goes back in pool " : "the operator moved pool ") +
          quoted(pool.config.name) + " from " + quoted(from.name) + " to " + quoted(to.name) +
          (wish.note.empty() ? "" : ": " + wish.note) + "; " + quoted(from.name) + " has " +
          std::to_string(from.count.sound()) + " of " + std::to_string(from.count.size) + " available, " + others;
      break;
  }
  pool.failover.proposed(proposal, now);
  actions.emplace_back(std::move(proposal));
}

void Core::State::pool_due(Pool& pool, TimePoint now) {
  touch(pool);
  if (pool.held_until && *pool.held_until <= now) {
    pool.held = false;
    pool.held_until.reset();
    emit(Event::Kind::held, pool, nullptr, nullptr,
         "pool " + quoted(pool.config.name) + " is no longer held: the time that the operator gave is over");
  }
  if (pool.moved_until && *pool.moved_until <= now) {
    pool.moved_until.reset();
    pool.failover.release();
    emit(Event::Kind::held, pool, &pool.active(), nullptr,
         "the operator's move of pool " + quoted(pool.config.name) +
             " holds no longer: the time that was given is over; the machine may go back by itself");
  }
  if (pool.maintenance) view_changed();  // the time left
  if (pool.maintenance_until && *pool.maintenance_until <= now) {
    pool.maintenance = false;
    pool.maintenance_until.reset();
    emit(Event::Kind::maintenance, pool, nullptr, nullptr,
         "maintenance of pool " + quoted(pool.config.name) + " ended: the time that the operator gave is over");
  }
  if (const auto late = pool.failover.overdue(now)) {
    tell_unanswered(pool, *late, pool.failover.timed_out(*late, now),
                    "the coordinator did not answer within " + describe(proposal_timeout));
  }
}

void Core::State::tell_unanswered(Pool& pool, const Proposal& proposal, Failover::Outcome outcome, std::string what) {
  if (outcome == Failover::Outcome::not_ours) return;
  const std::string tier = proposal.tier < pool.tiers.size() ? pool.tiers[proposal.tier].name : "?";
  what = "the move of pool " + quoted(pool.config.name) + " to tier " + quoted(tier) + " at epoch " +
         std::to_string(proposal.from_epoch) + " did not take place: " + what;
  if (outcome == Failover::Outcome::dropped) {
    what += "; the operator's order was tried for " + describe(order_patience) + " and is dropped";
  } else {
    what += "; it is proposed again if still wanted";
  }
  emit(Event::Kind::proposal_refused, pool, nullptr, nullptr, std::move(what));
  touch(pool);
}

void Core::State::arm(Pool& pool, TimePoint now) {
  std::optional<TimePoint> earliest = pool.failover.next_timeout(pool.config.failover, pool.held, now);
  if (pool.held) take_earlier(earliest, pool.held_until);
  take_earlier(earliest, pool.moved_until);
  take_earlier(earliest, pool.watch_due);
  if (pool.drill_return) take_earlier(earliest, now + drill_look);
  if (pool.verification)
    take_earlier(earliest, later_than(now, pool.verification->began + pool.config.failover.verify));
  if (const auto hold = pool.failover.hold(pool.config.failover, now); hold && hold->due) {
    take_earlier(earliest, later_than(now, *hold->due - proof_time));
  }
  if (const auto due = pool.failover.earliest_return(pool.config.failover, now); due && !pool.gates.empty())
    take_earlier(earliest, later_than(now, *due - gate_lead));
  if (pool.ramp) take_earlier(earliest, now + std::max<Duration>(Duration(pool.config.failover.ramp) / 10, least_step));
  for (const Tier& tier : pool.tiers) {
    if (const auto look = tier.shedder.next_look()) take_earlier(earliest, std::max(*look, now + watch_interval));
    if (tier.opens_no_better_until) take_earlier(earliest, later_than(now, *tier.opens_no_better_until));
  }
  if (waits_for_gate(pool, now)) take_earlier(earliest, now + gate_look);
  if (pool.maintenance && pool.maintenance_until) {
    take_earlier(earliest, pool.maintenance_until);
    take_earlier(earliest, now + maintenance_refresh_time);
  }
  for (const Tier& tier : pool.tiers) {
    for (const Source& source : tier.sources) {
      if (waits_for_address(source, pool, now)) take_earlier(earliest, source.added_at + pool.config.check.start_wait);
    }
  }
  pool_timers.set(pool.index, earliest);
}

}  // namespace understudy::health
