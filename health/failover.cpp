#include "health/failover.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "health/coordinator.hpp"

namespace understudy::health {

Failover::Failover(std::size_t tiers, std::uint64_t epoch) : epoch_(epoch), facts_(tiers), serviceable_since_(tiers) {}

void Failover::observe(std::span<const TierFacts> facts, TimePoint now) {
  for (std::size_t i = 0; i < facts_.size(); ++i) {
    if (facts[i].serviceable && !facts_[i].serviceable) serviceable_since_[i] = now;
    facts_[i] = facts[i];
  }
}

std::optional<Failover::Wish> Failover::decide(const config::FailoverConfig& policy, bool held, TimePoint now) {
  if (order_ && order_->tier == active_) order_.reset();
  if (pending_) return std::nullopt;
  if (retry_at_ && now < *retry_at_) return std::nullopt;
  retry_at_.reset();
  if (order_) return Wish{order_->tier, order_->failback ? Why::operator_failback : Why::operator_move, order_->note};
  if (held) return std::nullopt;
  const TierFacts& serving = facts_[active_];
  if (!serving.serviceable) {
    if (serving.undecided) return std::nullopt;
    const std::optional<std::uint32_t> other = refuge();
    if (!other) return std::nullopt;
    return Wish{*other, Why::lost, {}};
  }
  if (moved_by_operator_) return std::nullopt;
  const std::optional<std::uint32_t> above = return_target(policy, now);
  if (!above) return std::nullopt;
  return Wish{*above, Why::returned, {}};
}

// Tiers below first: one above is either not serviceable or still on trial.
std::optional<std::uint32_t> Failover::refuge() const {
  const auto tiers = static_cast<std::uint32_t>(facts_.size());
  for (std::uint32_t i = 1; i < tiers; ++i) {
    const std::uint32_t tier = active_ + i < tiers ? active_ + i : active_ + i - tiers;
    if (facts_[tier].serviceable) return tier;
  }
  return std::nullopt;
}

std::optional<TimePoint> Failover::return_due(const config::FailoverConfig& policy, std::uint32_t tier) const {
  switch (policy.failback) {
    case config::FailbackMode::automatic: return serviceable_since_[tier];
    case config::FailbackMode::after: return serviceable_since_[tier] + policy.failback_after;
    case config::FailbackMode::manual: break;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> Failover::return_target(const config::FailoverConfig& policy, TimePoint now) const {
  for (std::uint32_t tier = 0; tier < active_; ++tier) {
    if (!facts_[tier].serviceable) continue;
    const std::optional<TimePoint> due = return_due(policy, tier);
    if (due && *due <= now) return tier;
  }
  return std::nullopt;
}

std::optional<Failover::Hold> Failover::hold(const config::FailoverConfig& policy) const {
  for (std::uint32_t tier = 0; tier < active_; ++tier) {
    if (!facts_[tier].serviceable) continue;
    return Hold{tier, serviceable_since_[tier], moved_by_operator_ ? std::nullopt : return_due(policy, tier)};
  }
  return std::nullopt;
}

void Failover::proposed(const Proposal& proposal, TimePoint now) {
  pending_ = Pending{proposal, proposal.tier, now + proposal_timeout};
}

void Failover::order(std::uint32_t tier, bool failback, std::string note, TimePoint now) {
  order_ = Order{tier, failback, std::move(note), now + order_patience};
  // An earlier order still under way is replaced; if it is committed after all, this one follows it.
  pending_.reset();
  retry_at_.reset();
}

Failover::Committed Failover::commit(const Decision& decision) {
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
  if (order_ && order_->tier == *target) order_.reset();
  result.kind = *target == active_ ? Committed::Kind::confirmed : Committed::Kind::moved;
  active_ = *target;
  if (active_ == 0) moved_by_operator_ = false;
  return result;
}

bool Failover::waits_for(const Proposal& proposal) const {
  return pending_ && pending_->proposal.from_epoch == proposal.from_epoch && pending_->proposal.tier == proposal.tier &&
         pending_->proposal.by_operator == proposal.by_operator;
}

Failover::Outcome Failover::give_up(TimePoint now) {
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
  if (held || moved_by_operator_ || !facts_[active_].serviceable) return std::nullopt;
  std::optional<TimePoint> earliest;
  for (std::uint32_t tier = 0; tier < active_; ++tier) {
    if (!facts_[tier].serviceable) continue;
    const std::optional<TimePoint> due = return_due(policy, tier);
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
  const std::optional<std::uint32_t> active = moved(active_);
  active_ = active.value_or(0);
  if (active) return true;
  if (epoch_ < std::numeric_limits<std::uint64_t>::max()) ++epoch_;
  pending_.reset();
  moved_by_operator_ = false;
  return false;
}

void Failover::restore(std::uint32_t active, std::uint64_t epoch, bool moved_by_operator) {
  active_ = active;
  epoch_ = std::max(epoch_, epoch);
  moved_by_operator_ = moved_by_operator && active != 0;
}

void Failover::skip(Duration starved) {
  for (TimePoint& since : serviceable_since_) since += starved;
  if (pending_) pending_->deadline += starved;
  if (retry_at_) *retry_at_ += starved;
}

}  // namespace understudy::health
