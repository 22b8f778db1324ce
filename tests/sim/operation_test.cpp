// People and machines around the core: commands, reloads, restarts, a coordinator with moods, names that
// change.
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

// ---- reload and restart

TEST(Reload, InTheMiddleOfAHoldKeepsItsTime) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  kill_primary(world);
  world.run(5s);
  kill_primary(world, Mode::up);
  world.run(30s);
  const auto due = world.status().failback_at;
  ASSERT_TRUE(due);
  for (int i = 0; i < 20; ++i) {
    world.reload(config_of({two_and_one()}));
    world.run(100ms);
  }
  EXPECT_EQ(world.status().failback_at, due);
  ASSERT_TRUE(world.run_until([&] { return world.active() == "primary"; }, 60s));
  EXPECT_EQ(world.moves(), 2U);
}

TEST(Reload, KeepsWhatIsKnownOfEndpointsThatStay) {
  World world(config_of({two_and_one()}));
  world.traffic.every = 5ms;
  world.run(5s);
  ASSERT_TRUE(world.command(state("s1", OperatorState::draining, world.now + 1h)).ok);
  const auto before = world.endpoint_status("p1");
  config::PoolConfig changed = two_and_one();
  changed.tiers[0].endpoints.push_back(endpoint("10.0.0.3:80", "p3"));
  changed.tiers[0].endpoints[0].weight = 5;
  changed.balance = config::BalanceKind::random;
  world.reload(config_of({two_and_one("another"), changed}));
  const auto after = world.endpoint_status("p1");
  EXPECT_NE(world.endpoint_status("p1").id, world.endpoint_status("p3").id);
  const health::PoolStatus app = world.status(1);
  EXPECT_EQ(app.tiers[0].endpoints[0].id, before.id);
  EXPECT_EQ(app.tiers[0].endpoints[0].load, before.load);
  EXPECT_EQ(app.tiers[0].endpoints[0].streak, before.streak);
  EXPECT_EQ(app.tiers[0].endpoints[0].weight, 5);
  EXPECT_EQ(app.tiers[1].endpoints[0].operator_state, OperatorState::draining);
  EXPECT_EQ(world.count(Kind::endpoint_added, "p3"), 1U);
  (void)after;
}

TEST(Reload, AChangedCheckKeepsTheVerdictAndBeginsItsScheduleAnew) {
  World world(config_of({two_and_one()}));
  world.set("10.0.0.1:80", Mode::refused);
  world.run(10s);
  config::PoolConfig changed = two_and_one();
  changed.check.path = "/other";
  const std::uint64_t probes = world.probes;
  world.reload(config_of({changed}));
  EXPECT_EQ(world.endpoint_status("p1").active, health::ActiveState::unhealthy);
  EXPECT_TRUE(world.endpoint_status("p2").available);
  EXPECT_EQ(world.endpoint_status("p2").streak, 0U);
  world.run(60ms);
  EXPECT_EQ(world.probes, probes + 3) << "each is asked the new question soon";
}

TEST(Reload, ReplacingEveryPrimaryMovesNothingWhileTheNewOnesAreTried) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  config::PoolConfig changed = two_and_one();
  changed.tiers[0].endpoints = {endpoint("10.0.0.8:80", "p8"), endpoint("10.0.0.9:80", "p9")};
  world.reload(config_of({changed}));
  EXPECT_EQ(world.core().view()->pools[0].tiers[0].usable.size(), 2U) << "untried is better than nobody";
  world.run(10s);
  EXPECT_EQ(world.moves(), 0U) << world.told();
  EXPECT_EQ(world.count(Kind::endpoint_removed), 2U);
}

TEST(Reload, RemovingTheServingTierServesFromTheFirstUnderANewEpoch) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(health::MoveTier{"app", "standby", ""}).ok);
  config::PoolConfig changed = two_and_one();
  changed.tiers.pop_back();
  world.reload(config_of({changed}));
  EXPECT_EQ(world.active(), "primary");
  EXPECT_EQ(world.status().epoch, 3U);
  EXPECT_THAT(world.last(Kind::failover)->reason, HasSubstr("'standby', which served, is no longer configured"));
}

TEST(Reload, ATierInsertedAboveDoesNotMoveTraffic) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  kill_primary(world);
  world.run(5s);
  config::PoolConfig changed = two_and_one();
  changed.tiers.insert(changed.tiers.begin(), config::TierConfig{"new", {endpoint("10.0.9.1:80", "n1")}});
  world.reload(config_of({changed}));
  EXPECT_EQ(world.active(), "standby");
  EXPECT_EQ(world.status().epoch, 2U);
  world.run(65s);
  EXPECT_EQ(world.active(), "new");
}

TEST(Reload, WhileAProposalIsUnderWayTheTierIsFoundByName) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.coordinator.otherwise.delay = 1s;
  kill_primary(world);
  ASSERT_TRUE(world.run_until([&] { return world.coordinator.seen.size() == 1; }, 5s));
  config::PoolConfig changed = two_and_one();
  changed.tiers.insert(changed.tiers.begin() + 1, config::TierConfig{"new", {endpoint("10.0.9.1:80", "n1")}});
  world.reload(config_of({changed}));
  world.run(1s);
  EXPECT_EQ(world.active(), "standby") << "index 1 when proposed, 2 when committed";
}

TEST(Reload, SlotsComeBackOnlyAfterTheViewWithoutThemWasAcknowledged) {
  health::Core core(1);
  TimePoint now{1h};
  config::PoolConfig config = two_and_one();
  core.configure(config_of({config}), now);
  const auto first = core.view();
  const health::EndpointId gone = first->pools[0].tiers[0].endpoints[0].id;
  config.tiers[0].endpoints[0] = endpoint("10.0.0.5:80", "p5");
  core.configure(config_of({config}), now);
  EXPECT_NE(core.view()->pools[0].tiers[0].endpoints[0].id.slot, gone.slot);
  core.on_view_acknowledged(first->version);
  config.tiers[0].endpoints[0] = endpoint("10.0.0.6:80", "p6");
  core.configure(config_of({config}), now);
  EXPECT_NE(core.view()->pools[0].tiers[0].endpoints[0].id.slot, gone.slot) << "somebody may still use the old view";
  core.on_view_acknowledged(core.view()->version);
  config.tiers[0].endpoints[0] = endpoint("10.0.0.7:80", "p7");
  config.tiers[0].endpoints.push_back(endpoint("10.0.0.8:80", "p8"));
  core.configure(config_of({config}), now);
  std::set<std::uint32_t> slots;
  const auto view = core.view();
  for (const auto& e : view->pools[0].tiers[0].endpoints) slots.insert(e.id.slot);
  EXPECT_TRUE(slots.contains(gone.slot));
  // Results for the former owner of the slot reach nobody.
  core.on_probe_result(gone, {health::Cause::tcp_refused, 0, {}, ""}, now);
  for (const auto& e : core.status()[0].tiers[0].endpoints) EXPECT_FALSE(e.last_probe);
}

TEST(Restart, GoesOnWhereItStoodAndTheEpochJumps) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  kill_primary(world);
  world.run(10s);
  ASSERT_TRUE(world.command(state("p2", OperatorState::disabled, world.now + 10min)).ok);
  ASSERT_TRUE(world.command(health::SetMaintenance{"app", true, world.now + 5min}).ok);
  world.restart();
  EXPECT_EQ(world.active(), "standby");
  EXPECT_EQ(world.status().epoch, 1002U);
  EXPECT_EQ(world.endpoint_status("p1").active, health::ActiveState::unhealthy);
  EXPECT_TRUE(world.endpoint_status("s1").available) << "no start wait for what was known";
  EXPECT_EQ(world.endpoint_status("p2").operator_state, OperatorState::disabled);
  EXPECT_EQ(world.endpoint_status("p2").operator_until, world.now + 10min);
  EXPECT_TRUE(world.status().maintenance);
  EXPECT_EQ(world.status().maintenance_until, world.now + 5min);
  kill_primary(world, Mode::up);
  world.run(70s);
  EXPECT_EQ(world.active(), "primary");
  EXPECT_EQ(world.status().epoch, 1003U);
}

TEST(Restart, EjectionsAreRemembered) {
  config::PoolConfig config = two_and_one();
  config.check.kind = config::CheckKind::none;
  World world(config_of({config}));
  health::TrafficSample sample;
  sample.endpoint = world.endpoint_status("p1").id;
  sample.failures[static_cast<std::size_t>(health::Cause::http_status)] = 5;
  sample.consecutive_failures = 5;
  world.sample(sample);
  ASSERT_EQ(world.endpoint_status("p1").passive, health::PassiveState::ejected);
  world.run(4s);
  world.restart();
  EXPECT_EQ(world.endpoint_status("p1").passive, health::PassiveState::ejected);
  EXPECT_EQ(world.endpoint_status("p1").ejected_until, world.now + 6s);
  EXPECT_EQ(world.endpoint_status("p1").ejections, 1U);
  world.run(7s);
  EXPECT_TRUE(world.endpoint_status("p1").available);
}

TEST(Restart, AStateOfAnotherConfigurationIsTakenAsFarAsItFits) {
  health::SavedState saved;
  saved.pools.push_back({"app", "gone", 41, true, false, {}, false, {}});
  saved.pools.push_back({"nobody", "primary", 7, false, true, {}, true, {}});
  saved.endpoints.push_back({"app", "p1", "10.9.9.9:80", OperatorState::disabled, {}, {}, 0, {}});
  saved.endpoints.push_back({"app", "p2", "10.0.0.2:80", OperatorState::draining, -5s, {}, 0, {}});
  health::Core core(1);
  const TimePoint now{1h};
  core.configure(config_of({two_and_one()}), now);
  core.restore(saved, now);
  const health::PoolStatus app = core.status()[0];
  EXPECT_EQ(app.active, 0U);
  EXPECT_EQ(app.epoch, 1041U);
  EXPECT_THAT(app.active_reason, HasSubstr("'gone', which served when the state was saved, is not configured"));
  EXPECT_EQ(app.tiers[0].endpoints[0].operator_state, OperatorState::enabled) << "another address is another endpoint";
  EXPECT_EQ(app.tiers[0].endpoints[1].operator_state, OperatorState::enabled) << "its time is over";
}

// ---- names

config::PoolConfig named() {
  return pool("app", {{"primary", {endpoint("app.example:80")}}, {"standby", {endpoint("10.0.1.1:80", "s1")}}});
}

std::vector<std::string> addresses(const World& world) {
  std::vector<std::string> result;
  for (const auto& e : world.status().tiers[0].endpoints) result.push_back(e.address);
  return result;
}

TEST(Names, EachAddressIsAnEndpointOfTheSameLabel) {
  World world(config_of({named()}));
  EXPECT_TRUE(addresses(world).empty());
  world.resolve(0, 0, 0, {"10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:80"});
  EXPECT_THAT(addresses(world), ElementsAre("10.0.0.1:80", "10.0.0.2:80"));
  EXPECT_EQ(world.status().tiers[0].endpoints[1].label, "app.example:80");
  EXPECT_EQ(world.core().view()->pools[0].tiers[0].endpoints[0].server_name, "app.example");
  world.run(5s);
  EXPECT_TRUE(world.status().tiers[0].serviceable);
}

TEST(Names, AddressesComeAndGoAndTheRestKeepsItsState) {
  World world(config_of({named()}));
  world.resolve(0, 0, 0, {"10.0.0.1:80", "10.0.0.2:80"});
  world.run(5s);
  const auto kept = world.endpoint_status("10.0.0.2:80");
  world.resolve(0, 0, 0, {"10.0.0.3:80", "10.0.0.2:80"});
  EXPECT_THAT(addresses(world), ElementsAre("10.0.0.2:80", "10.0.0.3:80"));
  EXPECT_EQ(world.endpoint_status("10.0.0.2:80").id, kept.id);
  EXPECT_EQ(world.endpoint_status("10.0.0.2:80").streak, kept.streak);
  EXPECT_EQ(world.count(Kind::endpoint_removed), 1U);
  world.resolve(0, 0, 0, {});
  EXPECT_THAT(addresses(world), ElementsAre("10.0.0.2:80", "10.0.0.3:80")) << "a failure keeps the last answer";
  const std::uint64_t before = world.view_changes;
  world.resolve(0, 0, 0, {"10.0.0.3:80", "10.0.0.2:80"});
  EXPECT_EQ(world.view_changes, before) << "the same set in another order changes nothing";
  world.run(5s);
  EXPECT_EQ(world.moves(), 0U);
}

TEST(Names, AReloadKeepsTheAddressesUntilTheNameIsResolvedAgain) {
  World world(config_of({named()}));
  world.resolve(0, 0, 0, {"10.0.0.1:80", "10.0.0.2:80"});
  world.run(5s);
  const auto kept = world.endpoint_status("10.0.0.2:80");
  world.reload(config_of({named()}));
  EXPECT_EQ(world.endpoint_status("10.0.0.2:80").id, kept.id);
  EXPECT_TRUE(world.endpoint_status("10.0.0.2:80").available);
}

TEST(Names, AnUnresolvableNameCountsAsLostOnlyAfterTheStartWait) {
  World world(config_of({named()}));
  world.run(2900ms);
  EXPECT_EQ(world.active(), "primary");
  world.run(200ms);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_THAT(world.last(Kind::failover)->reason, HasSubstr("app.example:80: name not resolved"));
}

TEST(Names, ADrainOfTheNameHoldsForAddressesThatComeLaterAndOverARestart) {
  World world(config_of({named()}));
  world.resolve(0, 0, 0, {"10.0.0.1:80"});
  world.run(5s);
  ASSERT_TRUE(world.command(state("app.example:80", OperatorState::draining, world.now + 1h)).ok);
  world.resolve(0, 0, 0, {"10.0.0.7:80"});
  EXPECT_EQ(world.endpoint_status("10.0.0.7:80").operator_state, OperatorState::draining);
  world.restart();
  world.resolve(0, 0, 0, {"10.0.0.8:80"});
  EXPECT_EQ(world.endpoint_status("10.0.0.8:80").operator_state, OperatorState::draining);
  EXPECT_EQ(world.endpoint_status("10.0.0.8:80").operator_until, world.now + 59min + 59s + 1s);
}

TEST(Names, OneAddressOfANameCanBeDrainedAlone) {
  World world(config_of({named()}));
  world.resolve(0, 0, 0, {"10.0.0.1:80", "10.0.0.2:80"});
  world.run(5s);
  ASSERT_TRUE(world.command(state("10.0.0.2:80", OperatorState::draining)).ok);
  EXPECT_EQ(world.endpoint_status("10.0.0.1:80").operator_state, OperatorState::enabled);
  EXPECT_EQ(world.endpoint_status("10.0.0.2:80").operator_state, OperatorState::draining);
}

TEST(Names, ResolutionsThatFitNoConfiguredNameAreIgnored) {
  World world(config_of({two_and_one()}));
  world.resolve(5, 0, 0, {"10.0.0.9:80"});
  world.resolve(0, 5, 0, {"10.0.0.9:80"});
  world.resolve(0, 0, 5, {"10.0.0.9:80"});
  world.resolve(0, 0, 0, {"10.0.0.9:80"});  // a written address needs no resolving
  EXPECT_THAT(addresses(world), UnorderedElementsAre("10.0.0.1:80", "10.0.0.2:80"));
}

}  // namespace
}  // namespace understudy::sim
