#include "health/failover.hpp"

#include <gtest/gtest.h>

#include "health/coordinator.hpp"

namespace understudy::health {
namespace {

using namespace std::chrono_literals;
using Why = Failover::Why;

constexpr TierFacts up{true, false}, down{false, false}, open{false, true};

// A machine over some tiers, with the shortest way to say what happens.
class Machine {
public:
  explicit Machine(std::vector<TierFacts> facts) : failover(facts.size(), first_epoch) {
    policy.failback = config::FailbackMode::after;
    policy.failback_after = 60s;
    see(std::move(facts));
  }
  void see(std::vector<TierFacts> facts) { failover.observe(facts, now); }
  std::optional<Failover::Wish> decide() { return failover.decide(policy, held, now); }
  Proposal propose(const Failover::Wish& wish) {
    Proposal proposal;
    proposal.from_epoch = failover.epoch();
    proposal.tier = wish.tier;
    proposal.by_operator = wish.why == Why::operator_move || wish.why == Why::operator_failback;
    failover.proposed(proposal, now);
    return proposal;
  }
  // Decides and has it committed.
  void move() {
    const auto wish = decide();
    ASSERT_TRUE(wish);
    const Proposal proposal = propose(*wish);
    const auto committed = failover.commit({"", proposal.from_epoch + 1, proposal.tier}, now);
    ASSERT_EQ(committed.kind, Failover::Committed::Kind::moved);
  }

  Failover failover;
  config::FailoverConfig policy;
  bool held = false;
  TimePoint now{1h};
};

TEST(Failover, ALostTierIsLeftForTheNextServiceableOne) {
  struct Case {
    std::vector<TierFacts> facts;
    std::uint32_t active;
    std::optional<std::uint32_t> to;
  };
  const std::vector<Case> cases{
      {{up, up, up}, 0, {}},    {{down, up, up}, 0, 1},   {{down, down, up}, 0, 2},    {{down, down, down}, 0, {}},
      {{open, up, up}, 0, {}},  {{down, open, up}, 0, 2}, {{down, open, down}, 0, {}}, {{up, down, up}, 1, 2},
      {{up, down, down}, 1, 0}, {{up, up, down}, 2, 0},   {{down, up, down}, 2, 1},    {{down, down, up}, 2, {}},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    Machine machine(cases[i].facts);
    machine.failover.restore(cases[i].active, 0, false);
    const auto wish = machine.decide();
    ASSERT_EQ(wish.has_value(), cases[i].to.has_value()) << "row " << i;
    if (wish) {
      EXPECT_EQ(wish->tier, *cases[i].to) << "row " << i;
      EXPECT_EQ(wish->why, Why::lost) << "row " << i;
    }
  }
}

TEST(Failover, HeldItDecidesNothingButTheOperatorsOrders) {
  Machine machine({down, up});
  machine.held = true;
  EXPECT_FALSE(machine.decide());
  machine.failover.order(1, false, "now", machine.now);
  EXPECT_EQ(machine.decide()->why, Why::operator_move);
}

TEST(Failover, OneProposalAtATime) {
  Machine machine({down, up});
  machine.propose(*machine.decide());
  EXPECT_FALSE(machine.decide());
  EXPECT_EQ(machine.failover.next_timeout(machine.policy, false, machine.now), machine.now + proposal_timeout);
}

TEST(Failover, OnlyStrictlyNewerEpochsAreFollowed) {
  using Kind = Failover::Committed::Kind;
  Machine machine({up, up});
  EXPECT_EQ(machine.failover.commit({"", 1, 1}, machine.now).kind, Kind::stale);
  EXPECT_EQ(machine.failover.commit({"", 5, 1}, machine.now).kind, Kind::moved);
  EXPECT_EQ(machine.failover.commit({"", 5, 0}, machine.now).kind, Kind::stale);
  EXPECT_EQ(machine.failover.commit({"", 4, 0}, machine.now).kind, Kind::stale);
  EXPECT_EQ(machine.failover.commit({"", 6, 1}, machine.now).kind, Kind::confirmed);
  EXPECT_EQ(machine.failover.commit({"", 7, 9}, machine.now).kind, Kind::unknown_tier);
  EXPECT_EQ(machine.failover.epoch(), 6U);
  EXPECT_EQ(machine.failover.active(), 1U);
}

TEST(Failover, TheHoldCountsFromTheLastTimeTheTierCameBack) {
  Machine machine({down, up});
  machine.move();
  machine.now += 10s;
  machine.see({up, up});
  EXPECT_FALSE(machine.decide());
  EXPECT_EQ(machine.failover.hold(machine.policy, machine.now)->due, machine.now + 60s);
  machine.now += 59s;
  machine.see({down, up});
  EXPECT_FALSE(machine.failover.hold(machine.policy, machine.now));
  machine.now += 1s;
  machine.see({up, up});
  machine.now += 59s;
  EXPECT_FALSE(machine.decide());
  machine.now += 1s;
  ASSERT_TRUE(machine.decide());
  EXPECT_EQ(machine.decide()->why, Why::returned);
}

TEST(Failover, GoesBackToTheTopmostTierWhoseHoldIsOver) {
  Machine machine({down, down, up});
  machine.move();
  machine.see({down, up, up});
  machine.now += 30s;
  machine.see({up, up, up});
  machine.now += 30s;
  EXPECT_EQ(machine.decide()->tier, 1U) << "the first is still on trial";
  machine.now += 30s;
  EXPECT_EQ(machine.decide()->tier, 0U);
}

TEST(Failover, RefusedItPausesAndAsksAgain) {
  Machine machine({down, up});
  const Proposal proposal = machine.propose(*machine.decide());
  EXPECT_EQ(machine.failover.refused(proposal, machine.now), Failover::Outcome::again);
  EXPECT_EQ(machine.failover.refused(proposal, machine.now), Failover::Outcome::not_ours);
  EXPECT_FALSE(machine.decide());
  EXPECT_EQ(machine.failover.next_timeout(machine.policy, false, machine.now), machine.now + refusal_pause);
  machine.now += refusal_pause;
  EXPECT_TRUE(machine.decide());
}

TEST(Failover, WithoutAnAnswerItAsksAgainAtOnceUnlessNoLongerWanted) {
  Machine machine({down, up});
  const Proposal proposal = machine.propose(*machine.decide());
  EXPECT_FALSE(machine.failover.overdue(machine.now + 4999ms));
  machine.now += proposal_timeout;
  ASSERT_TRUE(machine.failover.overdue(machine.now));
  EXPECT_EQ(machine.failover.timed_out(proposal, machine.now), Failover::Outcome::again);
  EXPECT_TRUE(machine.decide());
  machine.see({up, up});
  EXPECT_FALSE(machine.decide());
}

TEST(Failover, AnOrderLastsUntilItIsDoneOrItsPatienceIsOver) {
  Machine machine({up, up});
  machine.failover.order(1, false, "", machine.now);
  Proposal proposal = machine.propose(*machine.decide());
  EXPECT_EQ(machine.failover.refused(proposal, machine.now), Failover::Outcome::again);
  machine.now += order_patience;
  proposal = machine.propose(*machine.decide());
  EXPECT_EQ(machine.failover.refused(proposal, machine.now), Failover::Outcome::dropped);
  machine.now += 1min;
  EXPECT_FALSE(machine.decide());
}

TEST(Failover, TheOperatorsMoveForbidsGoingBackUntilTheOperatorsFailback) {
  Machine machine({up, up});
  machine.failover.order(1, false, "", machine.now);
  machine.move();
  EXPECT_TRUE(machine.failover.moved_by_operator());
  machine.now += 1h;
  EXPECT_FALSE(machine.decide());
  EXPECT_FALSE(machine.failover.next_timeout(machine.policy, false, machine.now));
  machine.failover.order(0, true, "", machine.now);
  machine.move();
  EXPECT_FALSE(machine.failover.moved_by_operator());
}

TEST(Failover, AReloadThatRenumbersTiersKeepsWhereItStands) {
  Machine machine({down, up});
  machine.move();
  machine.see({up, up});
  const auto due = machine.failover.hold(machine.policy, machine.now)->due;
  EXPECT_TRUE(machine.failover.remap({{1U}, {2U}}, 3));
  EXPECT_EQ(machine.failover.active(), 2U);
  EXPECT_EQ(machine.failover.hold(machine.policy, machine.now)->tier, 1U);
  EXPECT_EQ(machine.failover.hold(machine.policy, machine.now)->due, due);
}

TEST(Failover, AReloadThatRemovesTheServingTierTakesANewEpoch) {
  Machine machine({up, up});
  machine.failover.order(1, false, "", machine.now);
  machine.move();
  EXPECT_FALSE(machine.failover.remap({{0U}, std::nullopt}, 1));
  EXPECT_EQ(machine.failover.active(), 0U);
  EXPECT_EQ(machine.failover.epoch(), 3U);
}

TEST(Failover, OurProposalOvertakenByAReloadStillTakesItsEpoch) {
  Machine machine({down, up});
  const Proposal proposal = machine.propose(*machine.decide());
  EXPECT_TRUE(machine.failover.remap({{0U}, std::nullopt}, 1));
  EXPECT_EQ(machine.failover.commit({"", 2, proposal.tier}, machine.now).kind, Failover::Committed::Kind::unknown_tier);
  EXPECT_EQ(machine.failover.epoch(), 2U) << "or the coordinator would refuse us for ever";
}

}  // namespace
}  // namespace understudy::health
