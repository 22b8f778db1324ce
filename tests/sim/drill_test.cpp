// A live drill that is cut short: what it injected never was, and traffic is back where it came from as soon as a real check says so.
// What really happened meanwhile stands.
#include <gmock/gmock.h>

#include "tests/support/health_sim.hpp"

namespace understudy::sim {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Kind = Event::Kind;

class DrillCut : public testing::Test {
protected:
  explicit DrillCut(const config::Config& config = plain()) : world(config) {
    world.traffic.every = 5ms;
    world.run(30s);
    EXPECT_EQ(world.active(), "primary");
  }
  // As its owner does: what is in force is told when it begins and ends.
  void begin(const std::vector<std::string>& labels, bool checks = true, const std::string& tier = "primary") {
    health::DrillFaults faults{"app", tier, {}};
    for (const std::string& label : labels) faults.in_force.push_back({world.endpoint_status(label).id, checks});
    world.core().on_drill(faults, world.now);
    world.drain();
  }
  void set(const std::vector<std::string>& labels, Mode mode) {
    for (const std::string& label : labels)
      world.set(label == "p1" ? "10.0.0.1:80" : label == "p2" ? "10.0.0.2:80" : "10.0.1.1:80", mode);
  }
  void kill(const std::vector<std::string>& labels, const std::string& tier = "primary", Mode mode = Mode::refused) {
    set(labels, mode);
    begin(labels, true, tier);
  }
  void heal(const std::vector<std::string>& labels, const std::string& tier = "primary") {
    set(labels, Mode::up);
    begin({}, true, tier);
  }
  void cut(const std::vector<std::string>& healed) {
    set(healed, Mode::up);
    world.core().on_drill_over("app", true, world.now);
    world.drain();
    world.run(300ms);  // the budget: a check is 2 ms away
  }
  bool reaches(const std::string& tier, Duration within = 10s) {
    return world.run_until([&] { return world.active() == tier; }, within).has_value();
  }

  static config::PoolConfig pool_config() {
    auto pool = two_and_one();
    pool.failover.failback = config::FailbackMode::after;
    pool.failover.failback_after = 5min;
    pool.failover.ramp = 10s;
    return pool;
  }
  static config::Config plain() { return config_of({pool_config()}); }
  const std::vector<std::string> primary{"p1", "p2"}, standby{"s1"};
  World world;
};

TEST_F(DrillCut, TrafficIsBackAtOnceAndWhole) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  world.run(10s);
  EXPECT_FALSE(world.endpoint_status("p1").available);
  cut(primary);
  EXPECT_EQ(world.active(), "primary") << world.told();
  const auto view = world.core().view();
  EXPECT_FALSE(view->pools[0].side) << "no steps";
  EXPECT_TRUE(world.endpoint_status("p1").available);
  EXPECT_EQ(world.endpoint_status("p1").suspicion, "");
  EXPECT_EQ(view->pools[0].tiers[0].usable.size(), 2U);
  EXPECT_THAT(world.last(Kind::failback)->reason, HasSubstr("a drill was cut short"));
  EXPECT_THAT(world.last(Kind::failback)->reason, Not(HasSubstr("operator")));
  const auto moves = world.moves();
  const auto failed = world.failed["primary"];
  world.run(60s);
  EXPECT_EQ(world.active(), "primary") << world.told();
  EXPECT_EQ(world.moves(), moves) << world.told();
  EXPECT_EQ(world.failed["primary"], failed);
  EXPECT_EQ(world.status().phase, "serving");
}

TEST_F(DrillCut, RightAfterItsFaultsEndedNothingWaitsForChecks) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  world.run(5s);
  heal(primary);
  world.run(1100ms);  // one good check, of the two that it takes
  cut({});
  EXPECT_EQ(world.active(), "primary") << world.told();
}

TEST_F(DrillCut, WhatOnlyTrafficSawIsForgivenToo) {
  set(primary, Mode::frozen);
  begin(primary);
  ASSERT_TRUE(reaches("standby", 30s)) << world.told();
  cut(primary);
  EXPECT_EQ(world.active(), "primary") << world.told();
  EXPECT_EQ(world.endpoint_status("p1").suspicion, "");
}

// ---- what is no doing of the drill's

TEST_F(DrillCut, ARealDeathBeforeAnyFaultBeganStands) {
  begin({});
  set(primary, Mode::refused);
  ASSERT_TRUE(reaches("standby"));
  world.run(4s);
  cut({});
  EXPECT_EQ(world.active(), "standby") << world.told();
  EXPECT_FALSE(world.endpoint_status("p1").available);
  world.run(20s);
  EXPECT_EQ(world.moves(), 1U) << world.told();
}

TEST_F(DrillCut, ARealDeathWhileAFaultIsOnItIsFoundByTheCheckAfterIt) {
  for (const Mode mode : {Mode::refused, Mode::frozen}) {
    kill(primary, "primary", mode);
    ASSERT_TRUE(reaches("standby", 30s));
    world.run(3s);
    const auto moves = world.moves();
    cut({});  // the faults are lifted, and the primary is as dead as before
    world.run(20s);
    EXPECT_EQ(world.active(), "standby") << world.told();
    EXPECT_EQ(world.moves(), moves) << world.told();
    EXPECT_FALSE(world.endpoint_status("p1").available);
    EXPECT_EQ(world.failed["standby"], 0U);
    EXPECT_THAT(world.last(Kind::drill)->reason, HasSubstr("stays on tier 'standby'"));
    set(primary, Mode::up);
    ASSERT_TRUE(reaches("primary", 30min));
    world.run(1min);
  }
}

TEST_F(DrillCut, HalfOfTheTierThatReallyDiedMeanwhileStaysOut) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  world.run(3s);
  cut({"p1"});
  world.run(2s);
  EXPECT_EQ(world.active(), "primary") << world.told();
  EXPECT_FALSE(world.endpoint_status("p2").available);
  EXPECT_EQ(world.core().view()->pools[0].tiers[0].usable.size(), 1U);
}

TEST_F(DrillCut, AFaultElsewhereVoidsNothingHere) {
  kill({"p2"});
  world.run(3s);
  set({"p1"}, Mode::refused);  // for real
  ASSERT_TRUE(reaches("standby"));
  world.run(2s);
  cut({"p2"});
  world.run(500ms);
  EXPECT_FALSE(world.endpoint_status("p1").available);
  EXPECT_TRUE(world.endpoint_status("p2").available);
}

TEST_F(DrillCut, ADeathLongAfterItsFaultEndedStands) {
  kill({"p1"});
  world.run(4s);
  heal({"p1"});
  world.run(20s);
  EXPECT_TRUE(world.endpoint_status("p1").available);
  set(primary, Mode::refused);
  ASSERT_TRUE(reaches("standby"));
  world.run(4s);
  set(primary, Mode::up);
  world.run(500ms);  // well again, for a moment that proves nothing yet
  cut({});
  EXPECT_EQ(world.active(), "standby") << world.told();
}

TEST_F(DrillCut, WhereOnlySomeRequestsMetItWhatChecksSawStands) {
  begin(primary, false);
  set(primary, Mode::refused);
  ASSERT_TRUE(reaches("standby"));
  world.run(4s);
  set(primary, Mode::up);
  cut({});
  EXPECT_EQ(world.count(Kind::endpoint_healthy, "p1"), 1U) << world.told();
}

TEST_F(DrillCut, OneThatWentToItsEndForgivesNothing) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  world.run(5s);
  heal(primary);
  world.core().on_drill_over("app", false, world.now);
  world.run(20s);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_TRUE(reaches("primary", 6min));
}

// ---- what others decide

TEST_F(DrillCut, WhatAnOperatorOrderedStands) {
  begin({});
  ASSERT_TRUE(world.command(health::MoveTier{"app", std::string("standby"), "maintenance", {}, {}}).ok);
  world.run(1s);
  kill(primary);
  world.run(5s);
  cut(primary);
  world.run(20s);
  EXPECT_EQ(world.active(), "standby");
}

TEST_F(DrillCut, AnOrderToStayWhereTheDrillTookItStandsToo) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  set(primary, Mode::up);
  world.core().on_drill_over("app", true, world.now);
  world.drain();
  ASSERT_TRUE(world.command(health::MoveTier{"app", std::string("standby"), "kernel", {}, {}}).ok);
  world.run(10min);
  EXPECT_EQ(world.active(), "standby") << world.told();
}

TEST_F(DrillCut, AHeldPoolIsNotMoved) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  ASSERT_TRUE(world.command(health::HoldPool{"app", true, {}, "", {}}).ok);
  cut(primary);
  world.run(5s);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_TRUE(world.endpoint_status("p1").available);
  EXPECT_THAT(world.last(Kind::drill)->reason, HasSubstr("the pool is held"));
}

TEST_F(DrillCut, ARealFaultOfTheSameEndpointIsSeenAgain) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  cut(primary);
  EXPECT_EQ(world.active(), "primary");
  set(primary, Mode::refused);
  EXPECT_TRUE(reaches("standby", 5s)) << world.told();
  world.restart();
  EXPECT_EQ(world.core().save(world.now).pools[0].left_by_drill, "") << "this move is none of the drill's";
}

TEST_F(DrillCut, OfAPoolThatIsGoneIsNothing) {
  world.core().on_drill({"nobody", "primary", {}}, world.now);
  world.core().on_drill_over("nobody", true, world.now);
  world.core().on_drill_over("app", true, world.now);  // and where there was none
  world.drain();
  EXPECT_EQ(world.active(), "primary");
}

TEST_F(DrillCut, ACoordinatorThatRefusesLeavesNoHasteBehind) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  world.run(3s);
  world.coordinator.otherwise.does = ScriptedCoordinator::Does::refuse;
  cut(primary);
  world.run(10s);
  EXPECT_EQ(world.active(), "standby");
  world.coordinator.otherwise.does = ScriptedCoordinator::Does::commit;
  ASSERT_TRUE(reaches("primary", 6min)) << world.told();
  EXPECT_THAT(world.last(Kind::failback)->reason, HasSubstr("can serve again"));
  EXPECT_TRUE(world.core().view()->pools[0].side) << "this return has its steps";
}

// ---- verdicts

TEST_F(DrillCut, NoVerdictOfAMoveRestsOnWhatWasInjected) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  kill({"p1", "p2", "s1"}, "primary", Mode::failing);
  ASSERT_TRUE(world.run_until([&] { return world.status().tiers[1].failed; }, 30s)) << world.told();
  cut({"p1", "p2", "s1"});
  EXPECT_EQ(world.active(), "primary") << world.told();
  EXPECT_FALSE(world.status().tiers[1].failed) << world.told();
  EXPECT_EQ(world.status().last_verdict, "");
  world.run(30s);
  EXPECT_FALSE(world.status().tiers[1].failed) << world.told();
}

TEST_F(DrillCut, AVerdictInTheMakingIsNotGiven) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  kill({"p1", "p2", "s1"}, "primary", Mode::failing);
  world.run(4500ms);
  const auto before = world.status().verdicts.failed;
  cut({"p1", "p2", "s1"});
  world.run(30s);
  EXPECT_EQ(world.status().verdicts.failed, before) << world.told();
  EXPECT_FALSE(world.status().tiers[1].failed);
}

TEST_F(DrillCut, WhatIsKnownOfAStandbyWithoutAFaultStands) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  set(standby, Mode::failing);  // for real
  ASSERT_TRUE(world.run_until([&] { return world.status().tiers[1].failed; }, 30s)) << world.told();
  cut(primary);
  EXPECT_EQ(world.active(), "primary") << world.told();
  EXPECT_TRUE(world.status().tiers[1].failed);
}

// ---- a drill that begins while the standby serves

class DrillOnStandby : public DrillCut {
protected:
  DrillOnStandby() : DrillCut(quick()) {
    set(primary, Mode::refused);
    EXPECT_TRUE(reaches("standby"));
    world.run(1s);
    set(primary, Mode::up);
    world.run(5s);
  }
  static config::Config quick() {
    auto pool = pool_config();
    pool.failover.failback_after = 30s;
    pool.failover.ramp = 1s;
    return config_of({pool});
  }
};

TEST_F(DrillOnStandby, TheMachineGoesBackUpByItselfAfterwards) {
  kill(standby, "standby");
  ASSERT_TRUE(reaches("primary")) << world.told();
  world.run(3s);
  cut(standby);
  EXPECT_EQ(world.active(), "standby") << world.told();
  EXPECT_TRUE(reaches("primary", 60s)) << world.told();
  EXPECT_EQ(world.status().relapses, 0U);
}

TEST_F(DrillOnStandby, AnOperatorsMoveHoldsAgain) {
  ASSERT_TRUE(reaches("primary", 60s));
  world.run(20s);
  ASSERT_TRUE(world.command(health::MoveTier{"app", std::string("standby"), "maintenance", {}, {}}).ok);
  world.run(10s);
  kill(standby, "standby");
  ASSERT_TRUE(reaches("primary")) << world.told();
  cut(standby);
  EXPECT_EQ(world.active(), "standby") << world.told();
  world.run(10min);
  EXPECT_EQ(world.active(), "standby") << "nobody but the operator takes it away";
}

// ---- gates

class DrillWithGates : public DrillCut {
protected:
  DrillWithGates() : DrillCut(gated()) {}
  static config::Config gated() {
    auto pool = pool_config();
    pool.failover.failback_after = 10s;
    config::GateConfig gate;
    gate.kind = config::GateKind::approval;
    gate.name = "data compared";
    pool.failover.gates.push_back(gate);
    return config_of({pool});
  }
};

TEST_F(DrillWithGates, TheWayBackWaitsForThem) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  world.run(3s);
  cut(primary);
  world.run(60s);
  EXPECT_EQ(world.active(), "standby") << world.told();
  EXPECT_THAT(world.last(Kind::drill)->reason, HasSubstr("waits for gates"));
  ASSERT_TRUE(world.command(health::Approve{"app", "data compared", "anna", "0 rows differ", {}}).ok);
  EXPECT_TRUE(reaches("primary", 30s)) << world.told();
}

// ---- a process that ends in the middle of one

TEST_F(DrillCut, AProcessThatDiedInADrillTakesTrafficBackWhenItIsStartedAgain) {
  auto pool = pool_config();
  pool.failover.failback = config::FailbackMode::manual;
  world.reload(config_of({pool}));
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  world.run(3s);
  set(primary, Mode::up);
  world.restart();
  EXPECT_EQ(world.active(), "standby");
  EXPECT_TRUE(reaches("primary", 10s)) << world.told();
  EXPECT_THAT(world.last(Kind::failback)->reason, HasSubstr("a drill was under way when"));
  world.restart();
  world.run(5s);
  EXPECT_EQ(world.active(), "primary") << "once";
}

TEST_F(DrillCut, AfterThatARealDeathStandsAsWell) {
  kill(primary);
  ASSERT_TRUE(reaches("standby"));
  world.restart();
  world.run(90s);
  EXPECT_EQ(world.active(), "standby") << world.told();
  set(primary, Mode::up);
  world.run(30s);
  EXPECT_EQ(world.active(), "standby") << "not because of the drill: its hold is 5 minutes";
}

}  // namespace
}  // namespace understudy::sim
