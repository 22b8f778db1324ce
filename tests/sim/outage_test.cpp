// Outages as the core lives through them, in virtual time.
#include <gmock/gmock.h>

#include "tests/support/health_sim.hpp"

namespace understudy::sim {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Kind = Event::Kind;

void kill_primary(World& world, Mode mode = Mode::refused) {
  world.set("10.0.0.1:80", mode);
  world.set("10.0.0.2:80", mode);
}
void revive_primary(World& world) { kill_primary(world, Mode::up); }

TEST(Start, ServesFromThePrimaryWithoutMovingOrComplaining) {
  World world(config_of({two_and_one()}));
  world.run(10s);
  EXPECT_EQ(world.active(), "primary");
  EXPECT_EQ(world.moves(), 0U);
  EXPECT_EQ(world.count(Kind::endpoint_healthy), 3U);
  EXPECT_EQ(world.events.size(), 3U) << world.told();
  EXPECT_TRUE(world.status().tiers[1].serviceable) << "a standby is probed all the time";
}

TEST(Start, UsesUntriedEndpointsRatherThanNobodyBeforeTheFirstVerdicts) {
  World world(config_of({two_and_one()}));
  const auto view = world.core().view();
  EXPECT_EQ(view->pools[0].tiers[0].usable.size(), 2U);
  EXPECT_FALSE(view->pools[0].tiers[0].endpoints[0].available);
  EXPECT_FALSE(view->pools[0].tiers[0].panic);
  EXPECT_TRUE(view->pools[0].settling);
  world.run(1s);
  EXPECT_FALSE(world.core().view()->pools[0].settling);
}

TEST(Start, WaitsForEveryVerdictOfTheTierBeforeItMoves) {
  config::PoolConfig config = two_and_one();
  config.check.timeout = 900ms;
  World world(config_of({config}));
  world.set("10.0.0.1:80", Mode::refused);  // is known to be dead within half a second
  world.set("10.0.0.2:80", Mode::frozen);   // takes until after the start wait
  const auto took = world.run_until([&] { return world.active() == "standby"; }, 20s);
  ASSERT_TRUE(took) << world.told();
  EXPECT_GT(*took, 1500ms);
  EXPECT_EQ(world.moves(), 1U);
}

TEST(Start, MovesOnceAllOfTheTierHaveABadVerdict) {
  World world(config_of({two_and_one()}));
  kill_primary(world);
  const auto took = world.run_until([&] { return world.active() == "standby"; }, 10s);
  ASSERT_TRUE(took) << world.told();
  EXPECT_LT(*took, 1500ms) << "with fast probes two verdicts take one fast interval";
}

TEST(Outage, BothPrimariesKilledMovesWithinFallTimesIntervalPlusTimeout) {
  for (const Mode mode : {Mode::refused, Mode::frozen, Mode::failing, Mode::unreachable}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      World world(config_of({two_and_one()}), seed);
      world.run(10s + std::chrono::milliseconds(seed * 137));
      kill_primary(world, mode);
      const auto took = world.run_until([&] { return world.active() == "standby"; }, 10s);
      ASSERT_TRUE(took) << world.told();
      EXPECT_LE(*took, 2 * 1s + 500ms) << "seed " << seed << "\n" << world.told();
      EXPECT_EQ(world.count(Kind::failover), 1U);
    }
  }
}

TEST(Outage, OneOfTwoPrimariesDeadMovesNothing) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.set("10.0.0.1:80", Mode::refused);
  world.run(60s);
  EXPECT_EQ(world.moves(), 0U);
  const auto view = world.core().view();
  EXPECT_EQ(view->pools[0].tiers[0].usable, std::vector<std::uint32_t>{1});
  EXPECT_TRUE(view->pools[0].tiers[0].endpoints[0].dead);
}

TEST(Outage, RefusedTrafficMovesAtOnceWithoutWaitingForProbes) {
  config::PoolConfig config = two_and_one();
  config.check.interval = 60s;
  config.check.fast_interval = 60s;
  World world(config_of({config}));
  world.traffic.every = 5ms;
  world.run(100s);
  kill_primary(world);
  const auto took = world.run_until([&] { return world.active() == "standby"; }, 10s);
  ASSERT_TRUE(took) << world.told();
  // Five failures each of two endpoints, 5 ms apart, and 5 ms of coalescing.
  EXPECT_LE(*took, 80ms) << world.told();
  EXPECT_THAT(world.last(Kind::failover)->reason, AllOf(HasSubstr("tcp_refused"), HasSubstr("limit 5")));
}

TEST(Outage, ErrorAnswersEjectInsideTheTierButNeverMoveThePool) {
  config::PoolConfig config = two_and_one();
  config.check.interval = 60s;
  config.check.fast_interval = 60s;
  World world(config_of({config}));
  world.traffic.every = 5ms;
  world.run(100s);
  kill_primary(world, Mode::failing);  // a client that knows a failing URL looks like this
  world.run(5s);
  EXPECT_EQ(world.count(Kind::endpoint_ejected), 1U) << world.told();
  EXPECT_EQ(world.moves(), 0U);
}

TEST(Outage, AFreezeSeenByProbesMovesAndTheReasonNamesSignalThresholdAndAlternatives) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  kill_primary(world, Mode::frozen);
  world.run(5s);
  ASSERT_EQ(world.count(Kind::failover), 1U);
  const Event& event = *world.last(Kind::failover);
  EXPECT_THAT(event.reason,
              AllOf(HasSubstr("tier 'primary' lost: 0 of 2 endpoints available, needs 1"),
                    HasSubstr("p1 (10.0.0.1:80): unhealthy, http_timeout, 2 failed probes in a row (fall 2) since"),
                    HasSubstr("p2 (10.0.0.2:80)"), HasSubstr("'standby' has 1 of 1 available")));
  EXPECT_EQ(event.pool, "app");
  EXPECT_EQ(event.tier, "standby");
  EXPECT_EQ(event.epoch, 2U);
}

TEST(Outage, SlowTierThatAnswersProbesIsNoReasonToMoveInThisForm) {
  World world(config_of({two_and_one()}));
  world.traffic.every = 10ms;
  world.run(60s);
  EXPECT_EQ(world.moves(), 0U);
  EXPECT_EQ(world.failed["primary"], 0U);
}

TEST(Outage, EverythingDownKeepsTheTierAndSaysSoOnce) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.set("10.0.1.1:80", Mode::refused);
  world.run(5s);
  kill_primary(world);
  world.run(120s);
  EXPECT_EQ(world.active(), "primary");
  EXPECT_EQ(world.count(Kind::all_down), 1U) << world.told();
  EXPECT_EQ(world.moves(), 0U);
  EXPECT_TRUE(world.core().view()->pools[0].tiers[0].panic) << "too few left: use all";
  EXPECT_EQ(world.core().view()->pools[0].tiers[0].usable.size(), 2U);
  // It recovers and fails again: that is told again.
  revive_primary(world);
  world.run(10s);
  EXPECT_EQ(world.count(Kind::panic_left), 1U);
  kill_primary(world);
  world.run(10s);
  EXPECT_EQ(world.count(Kind::all_down), 2U) << world.told();
}

TEST(Outage, WhateverComesBackFirstServes) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.set("10.0.1.1:80", Mode::refused);
  world.run(5s);
  kill_primary(world);
  world.run(20s);
  EXPECT_EQ(world.active(), "primary");
  world.set("10.0.1.1:80", Mode::up);
  world.run(5s);
  EXPECT_EQ(world.active(), "standby");
}

TEST(Return, GoesBackAfterTheHoldOfUninterruptedServiceability) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  kill_primary(world);
  world.run(10s);
  ASSERT_EQ(world.active(), "standby");
  revive_primary(world);
  const auto up = world.run_until([&] { return world.status().tiers[0].serviceable; }, 10s);
  ASSERT_TRUE(up);
  EXPECT_EQ(world.count(Kind::failback_pending), 1U);
  ASSERT_TRUE(world.status().failback_at);
  const auto took = world.run_until([&] { return world.active() == "primary"; }, 120s);
  ASSERT_TRUE(took);
  EXPECT_GE(*took, 59'900ms);
  EXPECT_LE(*took, 60'100ms);
  EXPECT_EQ(world.count(Kind::failback), 1U);
  EXPECT_THAT(world.last(Kind::failback)->reason, AllOf(HasSubstr("without interruption since"), HasSubstr("1 min")));
}

TEST(Return, ARelapseBeginsTheHoldAnew) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  kill_primary(world);
  world.run(10s);
  revive_primary(world);
  world.run(50s);
  kill_primary(world);
  world.run(5s);
  revive_primary(world);
  world.run(58s);
  EXPECT_EQ(world.active(), "standby") << "60 s have not passed since it came back the second time";
  world.run(10s);
  EXPECT_EQ(world.active(), "primary");
  EXPECT_EQ(world.moves(), 2U);
}

TEST(Return, FlappingPrimaryMovesTrafficAtMostTwiceWithinHold) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  for (int i = 0; i < 30; ++i) {
    kill_primary(world);
    world.run(7s);
    revive_primary(world);
    world.run(13s);
  }
  EXPECT_EQ(world.moves(), 1U) << "away, and never back while it flaps";
  world.run(70s);
  EXPECT_EQ(world.active(), "primary");
  EXPECT_EQ(world.moves(), 2U);
}

TEST(Return, AutomaticGoesBackAsSoonAsTheTierCanServe) {
  config::PoolConfig config = two_and_one();
  config.failover.failback = config::FailbackMode::automatic;
  World world(config_of({config}));
  world.run(5s);
  kill_primary(world);
  world.run(5s);
  revive_primary(world);
  const auto took = world.run_until([&] { return world.active() == "primary"; }, 10s);
  ASSERT_TRUE(took);
  EXPECT_LE(*took, 2s);
}

TEST(Return, ManualWaitsForTheOperator) {
  config::PoolConfig config = two_and_one();
  config.failover.failback = config::FailbackMode::manual;
  World world(config_of({config}));
  world.run(5s);
  kill_primary(world);
  world.run(5s);
  EXPECT_FALSE(world.command(health::Failback{"app"}).ok) << "the primary cannot serve yet";
  revive_primary(world);
  world.run(1h);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_EQ(world.count(Kind::failback_pending), 1U);
  EXPECT_FALSE(world.status().failback_at);
  EXPECT_TRUE(world.command(health::Failback{"app"}).ok);
  EXPECT_EQ(world.active(), "primary");
}

TEST(Return, AGateThatBlocksIsNamedWhenTheHoldIsOver) {
  config::PoolConfig config = two_and_one();
  config.failover.failback_after = 5s;
  config::GateConfig gate;
  gate.name = "data compared";
  config.failover.gates.push_back(gate);
  World world(config_of({config}));
  world.run(5s);
  kill_primary(world);
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 10s));
  EXPECT_EQ(world.status().phase, "verifying");
  revive_primary(world);
  ASSERT_TRUE(world.run_until([&] { return world.status().failback_at.has_value(); }, 10s));
  EXPECT_EQ(world.status().failback_waits, "");
  EXPECT_EQ(world.status().phase, "return_hold") << "not verifying: it is the gate that is waited for";
  world.run(6s);
  EXPECT_FALSE(world.status().failback_at) << "a time that is over is no time";
  EXPECT_EQ(world.status().failback_waits, "gate 'data compared'");
  EXPECT_EQ(world.active(), "standby");
  EXPECT_TRUE(world.command(health::Approve{"app", "data compared", "eve", "checksums agree"}).ok);
  ASSERT_TRUE(world.run_until([&] { return world.active() == "primary"; }, 2s)) << world.told();
  EXPECT_EQ(world.status().failback_waits, "");
}

TEST(Return, TheStandbyDyingDuringTheHoldEndsTheHold) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  kill_primary(world);
  world.run(10s);
  revive_primary(world);
  world.run(10s);
  world.set("10.0.1.1:80", Mode::refused);
  const auto took = world.run_until([&] { return world.active() == "primary"; }, 10s);
  ASSERT_TRUE(took) << "better a primary on trial than a dead standby";
  EXPECT_LE(*took, 2500ms);
}

config::PoolConfig three_tiers() {
  return pool("app", {{"primary", {endpoint("10.0.0.1:80", "p1")}},
                      {"standby", {endpoint("10.0.1.1:80", "s1")}},
                      {"last", {endpoint("10.0.2.1:80", "l1")}}});
}

TEST(ThreeTiers, FallsStepByStepAndReturnsToTheTopmostWhoseHoldIsOver) {
  World world(config_of({three_tiers()}));
  world.run(5s);
  world.set("10.0.0.1:80", Mode::refused);
  world.run(5s);
  EXPECT_EQ(world.active(), "standby");
  world.set("10.0.1.1:80", Mode::refused);
  world.run(5s);
  EXPECT_EQ(world.active(), "last");
  world.set("10.0.1.1:80", Mode::up);
  world.run(30s);
  EXPECT_EQ(world.active(), "last");
  world.run(35s);
  EXPECT_EQ(world.active(), "standby");
  world.set("10.0.0.1:80", Mode::up);
  world.run(65s);
  EXPECT_EQ(world.active(), "primary");
  EXPECT_EQ(world.moves(), 4U);
}

TEST(ThreeTiers, SkipsATierThatCannotServe) {
  World world(config_of({three_tiers()}));
  world.run(5s);
  world.set("10.0.1.1:80", Mode::refused);
  world.run(5s);
  world.set("10.0.0.1:80", Mode::refused);
  world.run(5s);
  EXPECT_EQ(world.active(), "last");
  EXPECT_EQ(world.moves(), 1U);
}

TEST(ThreeTiers, PrefersATierBelowToOneAboveThatIsStillOnTrial) {
  World world(config_of({three_tiers()}));
  world.run(5s);
  world.set("10.0.0.1:80", Mode::refused);
  world.run(5s);
  world.set("10.0.0.1:80", Mode::up);
  world.run(10s);
  world.set("10.0.1.1:80", Mode::refused);
  world.run(5s);
  EXPECT_EQ(world.active(), "last");
}

TEST(MinAvailable, AShareOfTheTierHasToBeThere) {
  config::PoolConfig config = pool("app", {{"primary",
                                            {endpoint("10.0.0.1:80", "p1"), endpoint("10.0.0.2:80", "p2"),
                                             endpoint("10.0.0.3:80", "p3"), endpoint("10.0.0.4:80", "p4")}},
                                           {"standby", {endpoint("10.0.1.1:80", "s1")}}});
  config.failover.min_available_share = 0.75;
  World world(config_of({config}));
  world.run(5s);
  world.set("10.0.0.1:80", Mode::refused);
  world.run(5s);
  EXPECT_EQ(world.active(), "primary");
  world.set("10.0.0.2:80", Mode::refused);
  world.run(5s);
  EXPECT_EQ(world.active(), "standby");
}

TEST(Starved, FiveSecondsStoppedEjectNobodyAndMoveNothing) {
  for (const bool late_notice : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      config::PoolConfig config = two_and_one();
      config.check.fall = 1;  // one timed out probe would be enough
      World world(config_of({config}), seed);
      world.traffic.every = 10ms;
      world.run(10s + std::chrono::milliseconds(seed * 53));
      world.stop_self(5s, late_notice);
      // What the workers saw in that time arrives afterwards.
      health::TrafficSample backlog;
      backlog.endpoint = world.endpoint_status("p1").id;
      backlog.failures[static_cast<std::size_t>(health::Cause::http_timeout)] = 40;
      backlog.consecutive_failures = 40;
      backlog.urgent = true;
      world.run(5ms);
      world.sample(backlog);
      world.run(60s);
      EXPECT_EQ(world.count(Kind::endpoint_ejected), 0U) << world.told();
      EXPECT_EQ(world.count(Kind::starved), 1U);
      EXPECT_EQ(world.count(Kind::endpoint_unhealthy), 0U) << world.told();
      EXPECT_EQ(world.moves(), 0U) << world.told();
      EXPECT_TRUE(world.endpoint_status("p1").available);
    }
  }
}

// Five seconds of requests burst out afterwards, and every server is slow under the burst.
TEST(Starved, TheBacklogOfALongStopIsNoEvidenceEither) {
  for (const bool stopped : {true, false}) {
    World world(config_of({two_and_one()}));
    const auto answers = [&](Duration each, Duration how_long) {
      for (const TimePoint end = world.now + how_long; world.now < end; world.run(100ms)) {
        for (const char* name : {"p1", "p2"}) {
          health::TrafficSample sample;
          sample.endpoint = world.endpoint_status(name).id;
          sample.successes = 20;
          sample.first_byte.record(each, 20);
          world.sample(sample);
        }
      }
    };
    world.run(1s);
    answers(3ms, 60s);
    if (stopped) world.stop_self(5s);
    answers(190ms, 1500ms);
    answers(3ms, 10s);
    const std::size_t doubts = world.count(Kind::endpoint_suspect) + world.count(Kind::endpoint_ejected);
    EXPECT_EQ(doubts > 0, !stopped) << world.told();
  }
}

TEST(Starved, ARealOutageBehindItIsFoundByThoseWhoLookAgain) {
  World world(config_of({two_and_one()}));
  world.run(10s);
  kill_primary(world);
  world.stop_self(5s);
  EXPECT_EQ(world.moves(), 0U);
  const auto took = world.run_until([&] { return world.active() == "standby"; }, 10s);
  ASSERT_TRUE(took);
  EXPECT_LE(*took, 2500ms);
}

TEST(Starved, ProbesThatTheOwnerCancelledAreStartedAgainSoon) {
  health::Core core(1);
  TimePoint now{1h};
  core.configure(config_of({two_and_one()}), now);
  core.on_time(now += 50ms);  // all three under way
  now += 300ms;
  core.on_starved(now - 200ms, now);  // and cancelled: nobody will answer
  while (core.poll_action()) {
  }
  core.on_time(now += 100ms);
  int started = 0;
  while (auto action = core.poll_action()) started += std::holds_alternative<health::StartProbe>(*action) ? 1 : 0;
  EXPECT_EQ(started, 3);
}

TEST(Starved, TheHoldDoesNotElapseWhileNobodyLooked) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  kill_primary(world);
  world.run(5s);
  revive_primary(world);
  world.run(30s);
  const Duration before = *world.status().failback_at - world.now;
  world.stop_self(5s);
  EXPECT_EQ(*world.status().failback_at - world.now, before);
}

}  // namespace
}  // namespace understudy::sim
