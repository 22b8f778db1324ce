// People and machines around the core: an operator's commands, a coordinator with moods.
#include <gmock/gmock.h>

#include "tests/support/health_sim.hpp"

namespace understudy::sim {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;
using Kind = Event::Kind;
using Does = ScriptedCoordinator::Does;
using health::OperatorState;

void kill_primary(World& world, Mode mode = Mode::refused) {
  world.set("10.0.0.1:80", mode);
  world.set("10.0.0.2:80", mode);
}
health::SetEndpointState state(const std::string& label, OperatorState what, std::optional<TimePoint> expires = {}) {
  return {"app", label, what, expires};
}

// ---- operator

TEST(OperatorEndpoint, ADrainTakesNoNewWorkIsStillProbedAndExpires) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(state("p1", OperatorState::draining, world.now + 30s)).ok);
  const auto view = world.core().view();
  EXPECT_TRUE(view->pools[0].tiers[0].endpoints[0].draining);
  EXPECT_THAT(view->pools[0].tiers[0].usable, ElementsAre(1U));
  const auto probed_at = world.endpoint_status("p1").last_probe_at;
  world.run(10s);
  EXPECT_GT(world.endpoint_status("p1").last_probe_at, probed_at);
  world.run(20s);
  EXPECT_EQ(world.endpoint_status("p1").operator_state, OperatorState::enabled);
  EXPECT_TRUE(world.endpoint_status("p1").available);
  EXPECT_EQ(world.count(Kind::endpoint_operator, "p1"), 2U);
}

TEST(OperatorEndpoint, DisabledIsNotProbedAndComesBackUntried) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(state("p1", OperatorState::disabled)).ok);
  world.run(2s);
  const auto probed_at = world.endpoint_status("p1").last_probe_at;
  world.run(20s);
  EXPECT_EQ(world.endpoint_status("p1").last_probe_at, probed_at);
  EXPECT_FALSE(world.endpoint_status("p1").next_probe_at);
  EXPECT_TRUE(world.core().view()->pools[0].tiers[0].endpoints[0].disabled);
  world.set("10.0.0.1:80", Mode::refused);  // broken while nobody looked
  ASSERT_TRUE(world.command(state("p1", OperatorState::enabled)).ok);
  EXPECT_FALSE(world.endpoint_status("p1").available) << "what was known of it is stale";
  world.run(10s);
  EXPECT_FALSE(world.endpoint_status("p1").available);
  EXPECT_EQ(world.moves(), 0U);
}

TEST(OperatorEndpoint, HeldIsNotJudgedWhateverProbesAndTrafficSay) {
  World world(config_of({two_and_one()}));
  world.traffic.every = 10ms;
  world.run(5s);
  ASSERT_TRUE(world.command(state("p1", OperatorState::held)).ok);
  world.set("10.0.0.1:80", Mode::refused);
  world.run(20s);
  EXPECT_TRUE(world.endpoint_status("p1").available);
  EXPECT_EQ(world.endpoint_status("p1").active, health::ActiveState::unhealthy) << "seen, but not acted upon";
  EXPECT_FALSE(world.core().view()->pools[0].tiers[0].endpoints[0].dead);
  ASSERT_TRUE(world.command(state("p1", OperatorState::enabled)).ok);
  EXPECT_FALSE(world.endpoint_status("p1").available);
}

TEST(OperatorEndpoint, DisablingTheWholeTierMovesAtOnce) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(state("p1", OperatorState::disabled)).ok);
  EXPECT_EQ(world.active(), "primary");
  ASSERT_TRUE(world.command(state("p2", OperatorState::draining)).ok);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_THAT(world.last(Kind::failover)->reason,
              AllOf(HasSubstr("disabled by the operator"), HasSubstr("draining by the operator")));
}

TEST(OperatorEndpoint, RefusedCommandsSayWhatWouldBeRight) {
  World world(config_of({two_and_one("app"), two_and_one("devices")}));
  struct Case {
    health::Command command;
    std::string error;
  };
  const std::vector<Case> cases{
      {health::SetEndpointState{"ap", "p1", OperatorState::draining, {}}, "no pool 'ap'; pools: app, devices"},
      {health::SetEndpointState{"app", "p9", OperatorState::draining, {}},
       "no endpoint 'p9' in pool 'app'; endpoints: p1, p2, s1"},
      {health::SetEndpointState{"", "p1", OperatorState::draining, {}},
       "endpoint 'p1' is in several pools (app, devices); name the pool"},
      {health::SetEndpointState{"app", "p1", OperatorState::draining, world.now - 1s},
       "the time given is over already; give a duration above zero"},
      {health::SetEndpointState{"app", "p1", OperatorState::enabled, world.now + 1s},
       "'enabled' is the normal state and cannot expire; leave the duration out"},
      {health::MoveTier{"app", "stand", ""}, "pool 'app' has no tier 'stand'; tiers: primary, standby"},
      {health::MoveTier{"app", "primary", ""},
       "pool 'app' is served by tier 'primary' already; to keep it there, hold the pool"},
      {health::MoveTier{"app", {}, ""},
       "no other tier of pool 'app' can serve: 'standby' has 0 of 1 available, needs 1"},
      {health::Failback{"app"}, "pool 'app' is served by its first tier 'primary' already"},
      {health::HoldPool{"app", false, {}}, "pool 'app' is not held"},
      {health::SetMaintenance{"app", false, {}}, "pool 'app' is not in maintenance"},
      {health::SetMaintenance{"nope", true, {}}, "no pool 'nope'; pools: app, devices"},
  };
  for (const Case& c : cases) {
    const health::CommandResult result = world.command(c.command);
    EXPECT_FALSE(result.ok) << c.error;
    EXPECT_EQ(result.error, c.error);
  }
  EXPECT_TRUE(world.events.empty()) << "a refused command changes nothing\n" << world.told();
}

TEST(OperatorMove, StaysUntilTheOperatorsFailback) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(health::MoveTier{"app", {}, "kernel update"}).ok);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_THAT(world.last(Kind::failover)->reason, HasSubstr("kernel update"));
  world.run(2h);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_FALSE(world.status().failback_at);
  ASSERT_TRUE(world.command(health::Failback{"app"}).ok);
  EXPECT_EQ(world.active(), "primary");
  EXPECT_EQ(world.status().epoch, 3U);
}

TEST(OperatorMove, SurvivesReloadAndRestart) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(health::MoveTier{"app", "standby", "test"}).ok);
  world.reload(config_of({two_and_one()}));
  world.run(5min);
  EXPECT_EQ(world.active(), "standby");
  world.restart();
  world.run(5min);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_EQ(world.status().epoch, 1002U);
}

TEST(OperatorMove, FromADyingTierTheMachineStillSavesTheService) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(health::MoveTier{"app", "standby", ""}).ok);
  world.run(5s);
  world.set("10.0.1.1:80", Mode::refused);
  world.run(5s);
  EXPECT_EQ(world.active(), "primary");
}

TEST(OperatorMove, ToATierThatCannotServeIsRefusedWhileTheServingOneCan) {
  World world(config_of({two_and_one()}));
  world.set("10.0.1.1:80", Mode::refused);
  world.run(10s);
  const health::CommandResult result = world.command(health::MoveTier{"app", "standby", ""});
  EXPECT_FALSE(result.ok);
  EXPECT_THAT(result.error, AllOf(HasSubstr("tier 'standby' cannot serve: it has 0 of 1 endpoints available"),
                                  HasSubstr("tcp_refused"), HasSubstr("while 'primary' can")));
  EXPECT_EQ(world.active(), "primary");
}

TEST(OperatorHold, TheMachineMovesNothingUntilItExpires) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(health::HoldPool{"app", true, world.now + 60s}).ok);
  kill_primary(world);
  world.run(30s);
  EXPECT_EQ(world.active(), "primary");
  EXPECT_THAT(world.last(Kind::tier_lost)->reason, HasSubstr("the operator holds the pool, so nothing moves"));
  EXPECT_TRUE(world.core().view()->pools[0].tiers[0].panic) << "nothing better is to be had while it is held";
  world.run(31s);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_EQ(world.count(Kind::held), 2U);
}

TEST(OperatorHold, OutlivesARestartWithTheTimeThatWasLeft) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(health::HoldPool{"app", true, world.now + 60s}).ok);
  world.run(20s);
  world.restart();
  kill_primary(world);
  world.run(35s);
  EXPECT_EQ(world.active(), "primary");
  world.run(6s);
  EXPECT_EQ(world.active(), "standby");
}

TEST(Maintenance, ShowsTheTimeLeftAndEndsByItself) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(health::SetMaintenance{"app", true, world.now + 60s}).ok);
  EXPECT_TRUE(world.core().view()->pools[0].maintenance);
  EXPECT_EQ(world.core().view()->pools[0].maintenance_left, 60s);
  world.run(31s);
  EXPECT_LE(world.core().view()->pools[0].maintenance_left, 30s);
  EXPECT_GT(world.core().view()->pools[0].maintenance_left, 23s);
  world.run(30s);
  EXPECT_FALSE(world.core().view()->pools[0].maintenance);
  EXPECT_EQ(world.count(Kind::maintenance), 2U);
}

// ---- coordinator

TEST(Commit, NothingMovesBeforeTheCoordinatorSaysSo) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.coordinator.otherwise.delay = 2s;
  kill_primary(world);
  ASSERT_TRUE(world.run_until([&] { return !world.coordinator.seen.empty(); }, 5s));
  world.run(1900ms);
  EXPECT_EQ(world.active(), "primary");
  EXPECT_EQ(world.status().epoch, 1U);
  world.run(200ms);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_EQ(world.coordinator.seen.size(), 1U) << "one proposal at a time";
}

TEST(Commit, ARefusalIsToldAndAskedAgainAfterAPause) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.coordinator.script = {{Does::refuse, 0s}, {Does::refuse, 0s}};
  kill_primary(world);
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 10s));
  EXPECT_EQ(world.coordinator.seen.size(), 3U);
  EXPECT_EQ(world.count(Kind::proposal_refused), 2U);
  EXPECT_THAT(world.last(Kind::proposal_refused)->reason, HasSubstr("the script says no"));
}

TEST(Commit, ALostProposalIsGivenUpAfterFiveSecondsAndMadeAgain) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.coordinator.script = {{Does::lose, 0s}};
  kill_primary(world);
  ASSERT_TRUE(world.run_until([&] { return world.coordinator.seen.size() == 1; }, 5s));
  world.run(4900ms);
  EXPECT_EQ(world.coordinator.seen.size(), 1U);
  world.run(200ms);
  EXPECT_EQ(world.coordinator.seen.size(), 2U);
  EXPECT_EQ(world.active(), "standby");
}

TEST(Commit, ALostProposalIsNotMadeAgainWhenTheTierIsBack) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.coordinator.script = {{Does::lose, 0s}};
  kill_primary(world);
  ASSERT_TRUE(world.run_until([&] { return world.coordinator.seen.size() == 1; }, 5s));
  kill_primary(world, Mode::up);
  world.run(30s);
  EXPECT_EQ(world.coordinator.seen.size(), 1U);
  EXPECT_EQ(world.moves(), 0U);
}

TEST(Commit, RepeatedAndOldDecisionsChangeNothing) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.coordinator.otherwise.does = Does::repeat;
  kill_primary(world);
  world.run(5s);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_EQ(world.moves(), 1U);
  EXPECT_EQ(world.status().epoch, 2U);
  world.core().on_committed({"app", 2, 0}, world.now);
  world.core().on_committed({"app", 1, 0}, world.now);
  EXPECT_EQ(world.active(), "standby");
}

TEST(Commit, ALateCommitOfAGivenUpProposalStillCountsAndTheSecondIsRefused) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.coordinator.script = {{Does::commit, 6s}};
  kill_primary(world);
  world.run(20s);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_EQ(world.moves(), 1U);
  EXPECT_EQ(world.status().epoch, 2U);
}

TEST(Commit, ADecisionOfAnotherDeciderIsFollowed) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.core().on_committed({"app", 7, 1}, world.now);
  world.drain();
  EXPECT_EQ(world.active(), "standby");
  EXPECT_EQ(world.status().epoch, 7U);
}

TEST(Commit, DecisionsAboutUnknownPoolsAndTiersAreIgnoredLoudly) {
  World world(config_of({two_and_one()}));
  world.core().on_committed({"nope", 9, 0}, world.now);
  world.core().on_committed({"app", 9, 5}, world.now);
  world.drain();
  EXPECT_EQ(world.count(Kind::proposal_refused), 2U);
  EXPECT_EQ(world.status().epoch, 1U);
  EXPECT_EQ(world.active(), "primary");
}

TEST(Commit, AnOperatorsOrderOutranksTheMachinesPendingProposal) {
  config::PoolConfig config = pool("app", {{"primary", {endpoint("10.0.0.1:80", "p1")}},
                                           {"standby", {endpoint("10.0.1.1:80", "s1")}},
                                           {"last", {endpoint("10.0.2.1:80", "l1")}}});
  World world(config_of({config}));
  world.run(5s);
  world.coordinator.script = {{Does::commit, 1s}};
  world.set("10.0.0.1:80", Mode::refused);
  ASSERT_TRUE(world.run_until([&] { return world.coordinator.seen.size() == 1; }, 5s));
  world.coordinator.otherwise.delay = 100ms;
  ASSERT_TRUE(world.command(health::MoveTier{"app", "last", "I know better"}).ok);
  world.run(10s);
  EXPECT_EQ(world.active(), "last") << world.told();
  world.run(10min);
  EXPECT_EQ(world.active(), "last") << "and it stays there";
}

TEST(Commit, AnOperatorsOrderThatIsAlwaysRefusedIsDroppedLoudly) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.coordinator.otherwise.does = Does::refuse;
  ASSERT_TRUE(world.command(health::MoveTier{"app", "standby", ""}).ok);
  world.run(60s);
  EXPECT_THAT(world.last(Kind::proposal_refused)->reason, HasSubstr("is dropped"));
  const std::size_t asked = world.coordinator.seen.size();
  world.coordinator.otherwise.does = Does::commit;
  world.run(60s);
  EXPECT_EQ(world.coordinator.seen.size(), asked);
  EXPECT_EQ(world.active(), "primary");
}

}  // namespace
}  // namespace understudy::sim
