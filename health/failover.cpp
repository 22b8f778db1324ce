#include "health/failover.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "health/coordinator.hpp"

namespace understudy::health {

Failover::Failover(std::size_t tiers, std::uint64_t epoch) : epoch_(epoch), facts_(tiers), serviceable_since_(tiers) {}

namespace {

constexpr Duration audition_time = std::chrono::seconds(5);  // to measure a candidate
constexpr Duration ask_again = std::chrono::seconds(30);     // after nothing was better
constexpr Duration least_hold = std::chrono::seconds(5);     // what relapses double where failback is automatic
constexpr Duration least_good_time = std::chrono::minutes(5);
constexpr std::uint32_t most_relapses = 16;

// Good to return to.
bool well(const TierFacts& facts) {
  return facts.serviceable && !facts.degraded && !facts.failed && !facts.doubted && !facts.less_fit;
}

// The order in which tiers are considered: the more there is against one, the later.
Fit rank(const TierFacts& facts) { return facts.degraded || facts.failed ? Fit::unfit : facts.fit; }

}  // namespace

void Failover::observe(std::span<const TierFacts> facts, TimePoint now) {
  for (std::size_t i = 0; i < facts_.size(); ++i) {
    if (facts[i].unproven || (well(facts[i]) && !well(facts_[i]))) serviceable_since_[i] = now;
    facts_[i] = facts[i];
  }
}

std::optional<Failover::Wish> Failover::decide(const config::FailoverConfig& policy, bool held, TimePoint now) {
  if (order_ && order_->tier == active_) order_.reset();
  if (pending_) return std::nullopt;
  if (retry_at_ && now < *retry_at_) return std::nullopt;
  retry_at_.reset();
  if (order_ && order_->after_drill && (held || !facts_[order_->tier].serviceable)) order_.reset();
  if (order_ && order_->after_drill) return Wish{order_->tier, Why::drill_over, order_->note};
  if (order_) return Wish{order_->tier, order_->failback ? Why::operator_failback : Why::operator_move, order_->note};
  if (held) return std::nullopt;
  const TierFacts& serving = facts_[active_];
  if (!serving.serviceable) {
    if (serving.undecided) return std::nullopt;
    const std::optional<std::uint32_t> other = refuge(policy);
    nothing_better_ = !other && policy.require_fit && refuge({}).has_value();
    if (!other) return std::nullopt;
    return Wish{*other, phase_ == Phase::returning ? Why::relapsed : Why::lost, {}};
  }
  if (auto wish = leave_degraded(policy, now)) return wish;
  if (serving.degraded || serving.failed || moved_by_operator_) return std::nullopt;
  const std::optional<std::uint32_t> above = return_target(policy, now);
  if (!above) return std::nullopt;
  return Wish{*above, Why::returned, {}};
}

// Tiers below first: one above is either not serviceable or still on trial. The least doubtful one.
std::optional<std::uint32_t> Failover::refuge(const config::FailoverConfig& policy) const {
  const auto tiers = static_cast<std::uint32_t>(facts_.size());
  std::optional<std::uint32_t> best;
  for (std::uint32_t i = 1; i < tiers; ++i) {
    const std::uint32_t tier = active_ + i < tiers ? active_ + i : active_ + i - tiers;
    if (!facts_[tier].serviceable) continue;
    if (policy.require_fit && facts_[tier].fit != Fit::fit && !facts_[active_].down) continue;
    if (!best || rank(facts_[tier]) < rank(facts_[*best])) best = tier;
  }
  return best;
}

// Law 3: only for a tier that measures better. What was not measured is given a little safe traffic first.
std::optional<Failover::Wish> Failover::leave_degraded(const config::FailoverConfig& policy, TimePoint now) {
  const TierFacts& serving = facts_[active_];
  if (!serving.degraded && !serving.failed) {
    audition_.reset();
    audition_until_.reset();
    ask_at_.reset();
    nothing_better_ = false;
    return std::nullopt;
  }
  const auto tiers = static_cast<std::uint32_t>(facts_.size());
  std::optional<std::uint32_t> better, unknown;
  const auto prefer = [this](std::optional<std::uint32_t>& best, std::uint32_t tier) {
    if (!best || rank(facts_[tier]) < rank(facts_[*best])) best = tier;
  };
  for (std::uint32_t i = 1; i < tiers; ++i) {
    const std::uint32_t tier = active_ + i < tiers ? active_ + i : active_ + i - tiers;
    const TierFacts& facts = facts_[tier];
    if (!facts.serviceable || facts.failed) continue;
    if (policy.require_fit && facts.fit != Fit::fit) continue;
    if (facts.fit == Fit::unfit && serving.fit != Fit::unfit) continue;
    if (facts.against_serving == Comparison::better) prefer(better, tier);
    if (facts.against_serving == Comparison::unknown) prefer(unknown, tier);
  }
  if (better) {
    audition_.reset();
    audition_until_.reset();
    nothing_better_ = false;
    const Why why = phase_ == Phase::returning ? Why::relapsed : serving.failed ? Why::verdict_failed : Why::degraded;
    return Wish{*better, why, {}};
  }
  if (audition_until_ && now >= *audition_until_) {
    audition_.reset();
    audition_until_.reset();
    ask_at_ = now + ask_again;
    nothing_better_ = true;
  }
  if (audition_) {
    if (unknown == audition_) return std::nullopt;
    audition_.reset();  // measured, and no better
    audition_until_.reset();
  }
  if (!unknown) {
    nothing_better_ = true;
    return std::nullopt;
  }
  if (ask_at_ && now < *ask_at_) return std::nullopt;
  audition_ = unknown;
  audition_until_ = now + audition_time;
  return std::nullopt;
}

Duration Failover::hold_time(const config::FailoverConfig& policy, TimePoint now) const {
  const std::uint32_t again = relapses(policy, now);
  const bool after = policy.failback == config::FailbackMode::after;
  Duration hold = after ? Duration(policy.failback_after) : Duration::zero();
  if (again == 0) return hold;
  const Duration most = std::max<Duration>(policy.max_hold, hold);
  hold = std::max(hold, least_hold);
  for (std::uint32_t i = 0; i < again && hold < most; ++i) hold *= 2;
  return std::min(hold, most);
}

Duration relapse_window(const config::FailoverConfig& policy) {
  return std::max<Duration>(10 * Duration(policy.failback_after), least_good_time);
}

void Failover::note_relapse(const config::FailoverConfig& policy, TimePoint now) {
  relapses_ = std::min(relapses(policy, now) + 1, most_relapses);
  relapsed_at_ = now;
}

// Ten holds of good time, and at least five minutes, take one off.
std::uint32_t Failover::relapses(const config::FailoverConfig& policy, TimePoint now) const {
  if (relapses_ == 0 || now <= relapsed_at_) return relapses_;
  const Duration good_time = relapse_window(policy);
  const auto earned = (now - relapsed_at_) / good_time;
  return earned >= static_cast<std::int64_t>(relapses_) ? 0 : relapses_ - static_cast<std::uint32_t>(earned);
}

void Failover::restore_relapses(std::uint32_t relapses, TimePoint now) {
  relapses_ = std::min(relapses, most_relapses);
  relapsed_at_ = now;
}

Failover::Phase Failover::phase() const {
  if (pending_) return Phase::shifting;
  // What waits for a gate waits for people; the verdict comes by itself.
  const auto waits = [](const TierFacts& facts) { return well(facts) && facts.gated; };
  if (phase_ == Phase::verifying && std::any_of(facts_.begin(), facts_.begin() + active_, waits))
    return Phase::return_hold;
  if (phase_ != Phase::serving) return phase_;
  if (audition_) return Phase::deciding;
  for (std::uint32_t tier = 0; tier < active_; ++tier) {
    if (well(facts_[tier])) return Phase::return_hold;
  }
  return Phase::serving;
}

std::string_view name_of(Failover::Phase phase) {
  switch (phase) {
    case Failover::Phase::serving: return "serving";
    case Failover::Phase::deciding: return "deciding";
    case Failover::Phase::shifting: return "shifting";
    case Failover::Phase::verifying: return "verifying";
    case Failover::Phase::return_hold: return "return_hold";
    case Failover::Phase::returning: return "returning";
  }
  return "?";
}

std::optional<TimePoint> Failover::return_due(const config::FailoverConfig& policy, std::uint32_t tier,
                                              TimePoint now) const {
  switch (policy.failback) {
    case config::FailbackMode::automatic:
    case config::FailbackMode::after: return serviceable_since_[tier] + hold_time(policy, now);
    case config::FailbackMode::manual: break;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> Failover::return_target(const config::FailoverConfig& policy, TimePoint now) const {
  for (std::uint32_t tier = 0; tier < active_; ++tier) {
    if (!well(facts_[tier]) || facts_[tier].gated || facts_[tier].proving) continue;
    const std::optional<TimePoint> due = return_due(policy, tier, now);
    if (due && *due <= now) return tier;
  }
  return std::nullopt;
}

std::optional<Failover::Hold> Failover::hold(const config::FailoverConfig& policy, TimePoint now) const {
  for (std::uint32_t tier = 0; tier < active_; ++tier) {
    if (!well(facts_[tier])) continue;
    return Hold{tier, serviceable_since_[tier], moved_by_operator_ ? std::nullopt : return_due(policy, tier, now)};
  }
  return std::nullopt;
}

std::optional<TimePoint> Failover::earliest_return(const config::FailoverConfig& policy, TimePoint now) const {
  std::optional<TimePoint> earliest;
  for (std::uint32_t tier = 0; tier < active_ && !moved_by_operator_; ++tier) {
    if (!well(facts_[tier])) continue;
    const std::optional<TimePoint> due = return_due(policy, tier, now);
    if (due && (!earliest || *due < *earliest)) earliest = due;
  }
  return earliest;
}

void Failover::proposed(const Proposal& proposal, TimePoint now) {
  pending_ = Pending{proposal, proposal.tier, now + proposal_timeout};
}

void Failover::order(std::uint32_t tier, bool failback, std::string note, TimePoint now) {
  order_ = Order{tier, failback, std::move(note), now + order_patience, false, false};
  // An earlier order still under way is replaced; if it is committed after all, this one follows it.
  pending_.reset();
  retry_at_.reset();
}

void Failover::go_back(std::uint32_t tier, bool pinned, std::string note, TimePoint now) {
  order_ = Order{tier, true, std::move(note), now + order_patience, true, pinned};
}

Failover::Committed Failover::commit(const Decision& decision, TimePoint now) {
  Committed result;
  result.from = active_;
  if (decision.epoch <= epoch_) return result;
  std::optional<std::uint32_t> target = decision.tier;
  if (pending_ && pending_->proposal.tier == decision.tier) {
    target = pending_->target;
    result.answered = pending_->proposal;
  }
  const bool exists = target && *target < facts_.size();
  // A tier that nobody knows is no decision at all, unless it is our own proposal overtaken by a reload: the
  // coordinator has counted that epoch, and ours must not stay behind.
  if (!exists && !result.answered) {
    result.kind = Committed::Kind::unknown_tier;
    return result;
  }
  epoch_ = decision.epoch;
  pending_.reset();
  retry_at_.reset();
  if (!exists) {
    result.kind = Committed::Kind::unknown_tier;
    return result;
  }
  if (result.answered && result.answered->by_operator) moved_by_operator_ = !order_ || !order_->failback;
  if (order_ && order_->tier == *target) {
    result.drill_over = order_->after_drill && result.answered;
    if (result.drill_over) moved_by_operator_ = order_->pinned;
    order_.reset();
  }
  result.kind = *target == active_ ? Committed::Kind::confirmed : Committed::Kind::moved;
  active_ = *target;
  if (active_ == 0) moved_by_operator_ = false;
  audition_.reset();
  audition_until_.reset();
  ask_at_.reset();
  nothing_better_ = false;
  if (result.kind == Committed::Kind::moved) {
    // What was left above has to be well anew from now on: a tier that is lost later must not find its old hold over.
    phase_ = active_ < result.from ? Phase::returning : Phase::verifying;
    if (active_ > result.from) serviceable_since_[result.from] = now;
  }
  return result;
}

bool Failover::waits_for(const Proposal& proposal) const {
  return pending_ && pending_->proposal.from_epoch == proposal.from_epoch && pending_->proposal.tier == proposal.tier &&
         pending_->proposal.by_operator == proposal.by_operator;
}

Failover::Outcome Failover::give_up(TimePoint now) {
  if (order_ && order_->after_drill) order_.reset();
  const bool drop = pending_->proposal.by_operator && (!order_ || order_->until <= now);
  if (drop) order_.reset();
  pending_.reset();
  return drop ? Outcome::dropped : Outcome::again;
}

Failover::Outcome Failover::refused(const Proposal& proposal, TimePoint now) {
  if (!waits_for(proposal)) return Outcome::not_ours;
  retry_at_ = now + refusal_pause;
  return give_up(now);
}

Failover::Outcome Failover::timed_out(const Proposal& proposal, TimePoint now) {
  return waits_for(proposal) ? give_up(now) : Outcome::not_ours;
}

std::optional<Proposal> Failover::overdue(TimePoint now) const {
  if (!pending_ || pending_->deadline > now) return std::nullopt;
  return pending_->proposal;
}

std::optional<TimePoint> Failover::next_timeout(const config::FailoverConfig& policy, bool held, TimePoint now) const {
  if (pending_) return pending_->deadline;
  if (retry_at_ && *retry_at_ > now) return retry_at_;
  if (held || !facts_[active_].serviceable) return std::nullopt;
  std::optional<TimePoint> earliest = audition_until_ ? audition_until_ : ask_at_;
  if (earliest && *earliest <= now) earliest.reset();
  if (moved_by_operator_ || facts_[active_].degraded || facts_[active_].failed) return earliest;
  for (std::uint32_t tier = 0; tier < active_; ++tier) {
    if (!well(facts_[tier]) || facts_[tier].gated || facts_[tier].proving) continue;
    const std::optional<TimePoint> due = return_due(policy, tier, now);
    if (due && (!earliest || *due < *earliest)) earliest = due;
  }
  return earliest;
}

bool Failover::remap(const std::vector<std::optional<std::uint32_t>>& now_at, std::size_t tiers) {
  std::vector<TierFacts> facts(tiers);
  std::vector<TimePoint> since(tiers);
  for (std::size_t old = 0; old < now_at.size(); ++old) {
    if (!now_at[old]) continue;
    facts[*now_at[old]] = facts_[old];
    since[*now_at[old]] = serviceable_since_[old];
  }
  const auto moved = [&](std::uint32_t tier) { return tier < now_at.size() ? now_at[tier] : std::nullopt; };
  if (pending_ && pending_->target) pending_->target = moved(*pending_->target);
  if (order_) {
    if (const auto target = moved(order_->tier)) {
      order_->tier = *target;
    } else {
      order_.reset();
    }
  }
  facts_ = std::move(facts);
  serviceable_since_ = std::move(since);
  audition_.reset();
  audition_until_.reset();
  const std::optional<std::uint32_t> active = moved(active_);
  active_ = active.value_or(0);
  if (active) return true;
  if (epoch_ < std::numeric_limits<std::uint64_t>::max()) ++epoch_;
  pending_.reset();
  moved_by_operator_ = false;
  phase_ = Phase::serving;
  return false;
}

void Failover::restore(std::uint32_t active, std::uint64_t epoch, bool moved_by_operator) {
  active_ = active;
  epoch_ = std::max(epoch_, epoch);
  phase_ = Phase::serving;
  moved_by_operator_ = moved_by_operator && active != 0;
}

void Failover::skip(Duration starved) {
  for (TimePoint& since : serviceable_since_) since += starved;
  if (pending_) pending_->deadline += starved;
  for (std::optional<TimePoint>* timer : {&retry_at_, &audition_until_, &ask_at_}) {
    if (*timer) **timer += starved;
  }
}

}  // namespace understudy::health
