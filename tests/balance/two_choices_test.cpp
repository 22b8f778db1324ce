#include "proxy/balance/two_choices.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "tests/balance/tier.hpp"

namespace understudy::balance::testing {
namespace {

TEST(LeastRequest, TakesTheLessLoadedOfTwo) {
  const health::TierView tier = tier_of(2);
  LeastRequest balancer;
  Loads loads;
  loads.flights = {3, 2};
  EXPECT_EQ(count_picks(balancer, tier, loads, 1000, 1), (std::vector<std::size_t>{0, 1000}));
  loads.flights = {3, 4};
  EXPECT_EQ(count_picks(balancer, tier, loads, 1000, 1), (std::vector<std::size_t>{1000, 0}));
}

TEST(LeastRequest, LoadIsMeasuredByWeight) {
  const health::TierView tier = tier_of({4, 1});
  LeastRequest balancer;
  Loads loads;
  loads.flights = {7, 2};  // 1.75 and 2 per unit
  EXPECT_EQ(count_picks(balancer, tier, loads, 100, 1)[0], 100U);
  loads.flights = {9, 2};  // 2.25 and 2
  EXPECT_EQ(count_picks(balancer, tier, loads, 100, 1)[1], 100U);
}

TEST(LeastRequest, TheMostLoadedOfManyIsNeverTaken) {
  const health::TierView tier = tier_of(10);
  LeastRequest balancer;
  Loads loads;
  loads.flights.assign(10, 1);
  loads.flights[4] = 2;
  const auto counts = count_picks(balancer, tier, loads, 10'000, 2);
  EXPECT_EQ(counts[4], 0U);
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_NEAR(static_cast<double>(counts[i]), i == 4 ? 0 : 10'000.0 / 9, 200) << i;
  }
}

// The point of two choices: with 1,000 requests at 100 endpoints, one random choice leaves some with 20 and
// more.
TEST(LeastRequest, SpreadsOpenRequestsEvenly) {
  const health::TierView tier = tier_of(100);
  LeastRequest balancer;
  Loads loads;
  loads.flights.assign(100, 0);
  Randoms randoms(3);
  for (int i = 0; i < 1000; ++i) {
    PickInput input;
    input.random = randoms.next();
    ++loads.flights[*balancer.pick(tier, input, loads)];
  }
  const auto [least, most] = std::minmax_element(loads.flights.begin(), loads.flights.end());
  EXPECT_GE(*least, 7U);
  EXPECT_LE(*most, 13U);
}

TEST(LeastRequest, OpenRequestsFollowTheWeights) {
  const health::TierView tier = tier_of({1, 2, 3, 4});
  LeastRequest balancer;
  Loads loads;
  loads.flights.assign(4, 0);
  Randoms randoms(4);
  for (int i = 0; i < 1000; ++i) {
    PickInput input;
    input.random = randoms.next();
    ++loads.flights[*balancer.pick(tier, input, loads)];
  }
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(loads.flights[i], 100.0 * (static_cast<double>(i) + 1), 10) << i;
}

TEST(LeastLatency, TakesTheFasterOfTwo) {
  const health::TierView tier = tier_of(2);
  LeastLatency balancer;
  Loads loads;
  loads.latencies = {0.020, 0.010};
  EXPECT_EQ(count_picks(balancer, tier, loads, 1000, 1), (std::vector<std::size_t>{0, 1000}));
}

TEST(LeastLatency, WhatIsInFlightCountsAsWaiting) {
  const health::TierView tier = tier_of(2);
  LeastLatency balancer;
  Loads loads;
  loads.latencies = {0.010, 0.025};
  loads.flights = {2, 0};  // 30 ms against 25 ms
  EXPECT_EQ(count_picks(balancer, tier, loads, 100, 1)[1], 100U);
  loads.flights = {1, 0};  // 20 ms against 25 ms
  EXPECT_EQ(count_picks(balancer, tier, loads, 100, 1)[0], 100U);
}

TEST(LeastLatency, AnUnknownEndpointIsNeitherFloodedNorLeftOut) {
  const health::TierView tier = tier_of(3);
  LeastLatency balancer;
  Loads loads;
  loads.latencies = {0.010, 0.010, 0};
  loads.flights.assign(3, 0);
  Randoms randoms(5);
  for (int i = 0; i < 300; ++i) {  // nothing is answered
    PickInput input;
    input.random = randoms.next();
    ++loads.flights[*balancer.pick(tier, input, loads)];
  }
  for (const auto flights : loads.flights) EXPECT_NEAR(flights, 100, 10);
}

// Served one at a time in 10 ms and in 40 ms, near what both can do: the slow one must get a fifth or less,
// not half, and neither queue may grow.
TEST(LeastLatency, ShiftsWorkToTheFasterEndpoints) {
  const health::TierView tier = tier_of(2);
  LeastLatency balancer;
  Loads loads;
  loads.latencies = {0.010, 0.040};
  loads.flights.assign(2, 0);
  Randoms randoms(6);
  std::vector<std::size_t> counts(2);
  std::vector<double> busy_until(2, 0.0);
  std::deque<double> ends[2];
  double now = 0;
  for (int i = 0; i < 10'000; ++i) {
    now += 0.0085;  // 118/s of 125/s possible
    for (std::size_t e = 0; e < 2; ++e) {
      while (!ends[e].empty() && ends[e].front() <= now) {
        ends[e].pop_front();
        --loads.flights[e];
      }
    }
    PickInput input;
    input.random = randoms.next();
    const auto index = *balancer.pick(tier, input, loads);
    ++counts[index];
    ++loads.flights[index];
    busy_until[index] = std::max(busy_until[index], now) + loads.latencies[index];
    ends[index].push_back(busy_until[index]);
  }
  EXPECT_GT(counts[1], 1'000U);
  EXPECT_LT(counts[1], 2'100U);
  EXPECT_LT(busy_until[0] - now, 0.2);
  EXPECT_LT(busy_until[1] - now, 0.4);
}

TEST(WeightTable, TheSecondIsDrawnAmongTheOthersByWeight) {
  const health::TierView tier = tier_of({5, 3, 2});
  WeightTable table;
  const Loads loads;
  Randoms randoms(8);
  std::vector<std::vector<int>> counts(3, std::vector<int>(3));
  for (int i = 0; i < 100'000; ++i) {
    PickInput input;
    input.random = randoms.next();
    const auto draw = table.draw_two(tier, input, loads);
    ASSERT_TRUE(draw && draw->second && *draw->second != draw->first);
    ++counts[draw->first][*draw->second];
  }
  EXPECT_NEAR(counts[0][1], 100'000 * 0.5 * 3 / 5, 800);
  EXPECT_NEAR(counts[0][2], 100'000 * 0.5 * 2 / 5, 800);
  EXPECT_NEAR(counts[1][0], 100'000 * 0.3 * 5 / 7, 800);
  EXPECT_NEAR(counts[2][1], 100'000 * 0.2 * 3 / 8, 800);
}

TEST(WeightTable, WithOneLeftThereIsNoSecond) {
  const health::TierView tier = tier_of(2);
  WeightTable table;
  const Loads loads;
  const std::vector<health::EndpointId> tried = {tier.endpoints[0].id};
  PickInput input;
  input.excluded = tried;
  const auto draw = table.draw_two(tier, input, loads);
  ASSERT_TRUE(draw.has_value());
  EXPECT_EQ(draw->first, 1U);
  EXPECT_FALSE(draw->second.has_value());
}

}  // namespace
}  // namespace understudy::balance::testing
