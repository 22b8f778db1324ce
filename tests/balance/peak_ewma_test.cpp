#include "proxy/balance/peak_ewma.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

namespace understudy::balance {
namespace {

using namespace std::chrono_literals;

constexpr health::TimePoint kStart{1h};

TEST(PeakEwma, KnowsNothingBeforeTheFirstSample) {
  const PeakEwma latency;
  EXPECT_EQ(latency.seconds(kStart), 0);
}

TEST(PeakEwma, JumpsToASlowSampleAtOnce) {
  PeakEwma latency(10s);
  latency.add(10ms, kStart);
  EXPECT_DOUBLE_EQ(latency.seconds(kStart), 0.010);
  latency.add(500ms, kStart + 1ms);
  EXPECT_DOUBLE_EQ(latency.seconds(kStart + 1ms), 0.500);
}

TEST(PeakEwma, FollowsFasterSamplesSlowly) {
  PeakEwma latency(10s);
  latency.add(500ms, kStart);
  latency.add(10ms, kStart + 1s);
  const double past = std::exp(-0.1);
  EXPECT_NEAR(latency.seconds(kStart + 1s), 0.5 * past + 0.01 * (1 - past), 1e-12);
  for (int i = 2; i <= 60; ++i) latency.add(10ms, kStart + i * 1s);
  EXPECT_NEAR(latency.seconds(kStart + 60s), 0.010, 0.002);
}

TEST(PeakEwma, TheFollowingDependsOnTimeNotOnTheNumberOfSamples) {
  PeakEwma few(10s), many(10s);
  few.add(500ms, kStart);
  many.add(500ms, kStart);
  for (int i = 1; i <= 10; ++i) few.add(10ms, kStart + i * 1s);
  for (int i = 1; i <= 1000; ++i) many.add(10ms, kStart + i * 10ms);
  EXPECT_NEAR(few.seconds(kStart + 10s), many.seconds(kStart + 10s), 0.002);
}

TEST(PeakEwma, FadesWhileNothingIsMeasured) {
  PeakEwma latency(10s);
  latency.add(2s, kStart);
  EXPECT_NEAR(latency.seconds(kStart + 10s), 2 / std::exp(1.0), 1e-9);
  EXPECT_LT(latency.seconds(kStart + 100s), 0.001);
  EXPECT_GT(latency.seconds(kStart + 100s), 0);
  latency.add(5ms, kStart + 100s);  // slower than what is left: believed at once
  EXPECT_DOUBLE_EQ(latency.seconds(kStart + 100s), 0.005);
}

TEST(PeakEwma, TimeThatStandsStillOrRunsBackHarmsNothing) {
  PeakEwma latency(10s);
  latency.add(10ms, kStart);
  latency.add(20ms, kStart - 1s);
  EXPECT_DOUBLE_EQ(latency.seconds(kStart - 5s), 0.020);
  latency.add(1ms, kStart);
  EXPECT_DOUBLE_EQ(latency.seconds(kStart), 0.020);
  latency.add(-5ms, kStart + 1s);
  EXPECT_LT(latency.seconds(kStart + 1s), 0.020);
  EXPECT_GT(latency.seconds(kStart + 1s), 0.017);
}

}  // namespace
}  // namespace understudy::balance
