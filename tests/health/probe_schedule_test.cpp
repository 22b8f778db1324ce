#include "health/probe_schedule.hpp"

#include <gtest/gtest.h>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;

// One object for all: as a temporary in each test, GCC 12 warns about its vector's initial values.
const config::CheckConfig& check() {
  static const config::PoolConfig pool = [] {
    config::PoolConfig result;
    result.check.interval = 2s;
    result.check.fast_interval = 500ms;
    result.check.timeout = 1s;
    return result;
  }();
  return pool.check;
}

TEST(ProbeSchedule, JitterStaysWithinTenPercentAndUsesItsRange) {
  Random random(1);
  Duration least = 1h, most{};
  for (int i = 0; i < 10'000; ++i) {
    const Duration interval = jittered_interval(check(), false, random);
    least = std::min(least, interval);
    most = std::max(most, interval);
  }
  EXPECT_GE(least, 1800ms);
  EXPECT_LT(least, 1810ms);
  EXPECT_LE(most, 2200ms);
  EXPECT_GT(most, 2190ms);
}

TEST(ProbeSchedule, IsFasterWhileAVerdictIsChangingButNeverSlower) {
  Random random(1);
  EXPECT_LE(jittered_interval(check(), true, random), 550ms);
  config::CheckConfig quick = check();
  quick.interval = 100ms;
  EXPECT_LE(jittered_interval(quick, true, random), 110ms);
}

TEST(ProbeSchedule, TheNextProbeIsAnIntervalAfterTheStartOfTheLast) {
  Random random(1);
  ProbeSchedule probes;
  const TimePoint start{1h};
  probes.resume(start);
  EXPECT_EQ(probes.next_probe(), start);
  EXPECT_EQ(probes.start(check(), start), start + 1s);
  EXPECT_FALSE(probes.next_probe());
  EXPECT_EQ(probes.next_timeout(), start + 1s + ProbeSchedule::answer_slack);
  EXPECT_TRUE(probes.finish());
  probes.plan(check(), false, random, start + 900ms);
  EXPECT_GE(*probes.next_probe(), start + 1800ms);
  EXPECT_LE(*probes.next_probe(), start + 2200ms);
}

TEST(ProbeSchedule, AnAnswerThatTookLongerThanTheIntervalIsFollowedAtOnce) {
  Random random(1);
  ProbeSchedule probes;
  const TimePoint start{1h};
  probes.resume(start);
  probes.start(check(), start);
  probes.finish();
  probes.plan(check(), false, random, start + 10s);
  EXPECT_EQ(probes.next_probe(), start + 10s);
}

TEST(ProbeSchedule, AVoidProbesAnswerIsAwaitedButDoesNotCount) {
  ProbeSchedule probes;
  const TimePoint start{1h};
  probes.resume(start);
  probes.start(check(), start);
  probes.void_current(start + 5s);
  EXPECT_EQ(probes.next_timeout(), start + 5s + ProbeSchedule::void_slack);
  EXPECT_FALSE(probes.finish());
  probes.start(check(), start + 6s);
  EXPECT_TRUE(probes.finish());
}

TEST(ProbeSchedule, StoppingMakesTheProbeUnderWayVoid) {
  ProbeSchedule probes;
  const TimePoint start{1h};
  probes.resume(start);
  probes.start(check(), start);
  probes.stop();
  EXPECT_FALSE(probes.running());
  EXPECT_FALSE(probes.finish());
  EXPECT_FALSE(probes.next_timeout());
}

TEST(ProbeSchedule, FirstProbesAreSpreadByTheirNumberUpToAnInterval) {
  EXPECT_EQ(first_probe_spread(check(), 3), 50ms);
  EXPECT_EQ(first_probe_spread(check(), 1000), 1s);
  EXPECT_EQ(first_probe_spread(check(), 100'000), 2s);
}

TEST(Random, RepeatsWithTheSeedAndStaysInRange) {
  Random a(7), b(7), c(8);
  EXPECT_EQ(a.next(), b.next());
  EXPECT_NE(a.next(), c.next());
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double x = a.fraction();
    ASSERT_GE(x, 0);
    ASSERT_LT(x, 1);
    sum += x;
  }
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
}

}  // namespace
}  // namespace understudy::health
