// A live drill that is cut short: what it injected never was, and traffic is back where it came from in that very call.
#include <gmock/gmock.h>

#include "tests/support/health_sim.hpp"

namespace understudy::sim {
namespace {

using ::testing::HasSubstr;
using Kind = Event::Kind;

class DrillCut : public testing::Test {
protected:
  DrillCut() {
    world.traffic.every = 5ms;
    world.run(30s);
    EXPECT_EQ(world.active(), "primary");
    began = world.now;
  }
  void kill(Mode mode = Mode::refused) {
    for (const char* address : {"10.0.0.1:80", "10.0.0.2:80"}) world.set(address, mode);
  }
  // As its owner does: the faults are lifted, and the core is told.
  void cut() {
    kill(Mode::up);
    health::DrillCut order{"app", "primary", {}, began};
    for (const auto& endpoint : world.core().view()->pools[0].tiers[0].endpoints)
      order.endpoints.push_back(endpoint.id);
    world.core().on_drill_cut(order, world.now);
    world.drain();
  }

  static config::Config config() {
    auto pool = two_and_one();
    pool.failover.failback = config::FailbackMode::after;
    pool.failover.failback_after = 5min;
    pool.failover.ramp = 10s;
    return config_of({pool});
  }
  World world{config()};
  TimePoint began{};
};

TEST_F(DrillCut, TrafficIsBackAtOnceAndWhole) {
  kill();
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 5s));
  world.run(10s);
  EXPECT_FALSE(world.endpoint_status("p1").available);
  cut();
  EXPECT_EQ(world.active(), "primary") << world.told();
  const auto view = world.core().view();
  EXPECT_FALSE(view->pools[0].side) << "no steps";
  EXPECT_TRUE(world.endpoint_status("p1").available);
  EXPECT_EQ(world.endpoint_status("p1").suspicion, "");
  EXPECT_EQ(view->pools[0].tiers[0].usable.size(), 2U);
  EXPECT_THAT(world.last(Kind::failback)->reason, HasSubstr("a drill was cut short"));
  const auto moves = world.moves();
  const auto failed = world.failed["primary"];
  world.run(60s);
  EXPECT_EQ(world.active(), "primary") << world.told();
  EXPECT_EQ(world.moves(), moves) << world.told();
  EXPECT_EQ(world.failed["primary"], failed);
  EXPECT_EQ(world.status().phase, "serving");
}

TEST_F(DrillCut, RightAfterItsFaultsEndedNothingWaitsForChecks) {
  kill();
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 5s));
  world.run(5s);
  kill(Mode::up);
  world.run(1100ms);  // one good check, of the two that it takes
  cut();
  EXPECT_EQ(world.active(), "primary") << world.told();
}

TEST_F(DrillCut, WhatAnOperatorOrderedStands) {
  ASSERT_TRUE(world.command(health::MoveTier{"app", std::string("standby"), "maintenance", {}, {}}).ok);
  world.run(1s);
  cut();
  world.run(20s);
  EXPECT_EQ(world.active(), "standby");
}

TEST_F(DrillCut, AHeldPoolIsNotMoved) {
  kill();
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 5s));
  ASSERT_TRUE(world.command(health::HoldPool{"app", true, {}, "", {}}).ok);
  cut();
  world.run(5s);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_TRUE(world.endpoint_status("p1").available);
}

TEST_F(DrillCut, ARealFaultOfTheSameEndpointIsSeenAgain) {
  kill();
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 5s));
  cut();
  EXPECT_EQ(world.active(), "primary");
  kill();
  EXPECT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 5s)) << world.told();
}

TEST_F(DrillCut, OfAPoolThatIsGoneIsNothing) {
  world.core().on_drill_cut({"nobody", "primary", {}, began}, world.now);
  world.drain();
  EXPECT_EQ(world.active(), "primary");
}

}  // namespace
}  // namespace understudy::sim
