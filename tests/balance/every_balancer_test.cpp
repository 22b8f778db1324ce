// What holds for all five balancers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/balance/tier.hpp"

namespace understudy::balance::testing {
namespace {

using config::BalanceKind;
using ::testing::Each;
using ::testing::Gt;

class EveryBalancer : public ::testing::TestWithParam<BalanceKind> {
protected:
  std::optional<std::uint32_t> pick(const health::TierView& tier) {
    input_.random = randoms_.next();
    input_.hash = randoms_.next();
    return balancer_->pick(tier, input_, loads_);
  }
  std::set<std::uint32_t> picked(const health::TierView& tier, int picks = 500) {
    std::set<std::uint32_t> out;
    for (int i = 0; i < picks; ++i) {
      if (const auto index = pick(tier)) out.insert(*index);
    }
    return out;
  }

  std::unique_ptr<Balancer> balancer_ = make_balancer(GetParam());
  Loads loads_;
  PickInput input_;
  Randoms randoms_{7};
};

TEST_P(EveryBalancer, HasNothingToPickFromAnEmptyTier) {
  health::TierView tier = tier_of(3);
  EXPECT_TRUE(pick(tier).has_value());
  set_usable(tier, {});
  EXPECT_FALSE(pick(tier).has_value());
  EXPECT_FALSE(pick(health::TierView{}).has_value());
}

TEST_P(EveryBalancer, PicksFromUsableOnlyAndFollowsItsChanges) {
  health::TierView tier = tier_of(6);
  EXPECT_EQ(picked(tier), (std::set<std::uint32_t>{0, 1, 2, 3, 4, 5}));
  set_usable(tier, {1, 4});
  EXPECT_EQ(picked(tier), (std::set<std::uint32_t>{1, 4}));
  set_usable(tier, {5});
  EXPECT_EQ(picked(tier), (std::set<std::uint32_t>{5}));
  set_usable(tier, {0, 3, 5});
  EXPECT_EQ(picked(tier), (std::set<std::uint32_t>{0, 3, 5}));
}

TEST_P(EveryBalancer, UsesWhatIsUsableEvenIfNotAvailable) {  // panic mode
  health::TierView tier = tier_of(3);
  for (auto& endpoint : tier.endpoints) endpoint.available = false;
  EXPECT_EQ(picked(tier).size(), 3U);
}

TEST_P(EveryBalancer, NeverPicksWhatTheRequestHasTried) {
  const health::TierView tier = tier_of(4);
  std::vector<health::EndpointId> tried;
  std::set<std::uint32_t> seen;
  for (int attempt = 0; attempt < 4; ++attempt) {
    input_.excluded = tried;
    const auto allowed = picked(tier, 100);
    for (const auto index : seen) EXPECT_EQ(allowed.count(index), 0U);
    const auto index = pick(tier);
    ASSERT_TRUE(index.has_value());
    EXPECT_TRUE(seen.insert(*index).second) << "endpoint " << *index << " twice";
    tried.push_back(tier.endpoints[*index].id);
  }
  input_.excluded = tried;
  EXPECT_FALSE(pick(tier).has_value());
}

TEST_P(EveryBalancer, AnExcludedSlotOfAnotherGenerationIsAnotherEndpoint) {
  const health::TierView tier = tier_of(1);
  const std::vector<health::EndpointId> tried = {{0, 0}};
  input_.excluded = tried;
  EXPECT_EQ(pick(tier), 0U);
}

TEST_P(EveryBalancer, PassesOverEndpointsAtTheirLimit) {
  const health::TierView tier = tier_of(5);
  loads_.flights = {9, 10, 3, 11, 0};
  input_.max_in_flight = 10;
  const auto seen = picked(tier);
  EXPECT_EQ(seen.count(1), 0U);
  EXPECT_EQ(seen.count(3), 0U);
  EXPECT_GE(seen.size(), 1U);
  loads_.flights = {10, 10, 10, 11, 9};
  EXPECT_EQ(picked(tier), (std::set<std::uint32_t>{4}));
  loads_.flights = {10, 10, 10, 11, 10};
  EXPECT_FALSE(pick(tier).has_value());
  input_.max_in_flight = 0;  // no limit
  EXPECT_TRUE(pick(tier).has_value());
}

TEST_P(EveryBalancer, FindsTheLastFreeEndpointOfAThousand) {
  const health::TierView tier = tier_of(1000);
  loads_.flights.assign(1000, 5);
  loads_.flights[777] = 4;
  input_.max_in_flight = 5;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(pick(tier), 777U);
  loads_.flights[777] = 5;
  EXPECT_FALSE(pick(tier).has_value());
}

TEST_P(EveryBalancer, RecoversItsSharesAfterSaturation) {
  const health::TierView tier = tier_of(10);
  loads_.flights.assign(10, 5);
  input_.max_in_flight = 5;
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(pick(tier).has_value());
  loads_.flights.assign(10, 0);
  const auto counts = count_picks(*balancer_, tier, loads_, 10'000, 3, input_);
  EXPECT_THAT(counts, Each(Gt(600U)));  // 1,000 each; the ring is the least even
}

TEST_P(EveryBalancer, HonoursBothLimitsAtOnce) {
  const health::TierView tier = tier_of(3);
  loads_.flights = {5, 0, 0};
  input_.max_in_flight = 5;
  const std::vector<health::EndpointId> tried = {tier.endpoints[1].id};
  input_.excluded = tried;
  EXPECT_EQ(picked(tier), (std::set<std::uint32_t>{2}));
}

TEST_P(EveryBalancer, SharesByWeight) {
  const std::vector<double> weights = {1, 2, 5, 0.5, 1.5};  // 10 in all
  const health::TierView tier = tier_of(weights);
  const std::size_t picks = 100'000;
  const auto counts = count_picks(*balancer_, tier, loads_, picks, 11);
  // Round robin is exact; drawing has a standard deviation below 160; the ring's arcs vary (128 points or
  // more per unit).
  const double tolerance = GetParam() == BalanceKind::hash          ? 0.25
                           : GetParam() == BalanceKind::round_robin ? 0.001
                                                                    : 0.05;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double expected = weights[i] / 10 * static_cast<double>(picks);
    // Two choices draw the second endpoint without replacement, but with no load and no latency the first
    // drawn wins.
    EXPECT_NEAR(static_cast<double>(counts[i]), expected, tolerance * expected) << "endpoint " << i;
  }
}

TEST_P(EveryBalancer, ASlowStartedWeightIsSmallButNotNothing) {
  const health::TierView tier = tier_of({1, 1, 0.05});
  const auto counts = count_picks(*balancer_, tier, loads_, 20'000, 5);
  EXPECT_GT(counts[2], 100U);
  EXPECT_LT(counts[2], 1'500U);
}

TEST_P(EveryBalancer, SurvivesWeightsThatAreNoWeights) {
  health::TierView tier = tier_of({0, -1, 1, 1e300});
  tier.endpoints[0].weight = std::numeric_limits<double>::quiet_NaN();
  for (int i = 0; i < 100; ++i) {
    const auto index = pick(tier);
    ASSERT_TRUE(index.has_value());
    EXPECT_LT(*index, 4U);
  }
}

TEST_P(EveryBalancer, TheSameInputsGiveTheSamePicks) {
  const health::TierView tier = tier_of({1, 2, 3, 4});
  const auto other = make_balancer(GetParam());
  Randoms randoms(99);
  for (int i = 0; i < 1000; ++i) {
    PickInput input;
    input.random = randoms.next();
    input.hash = randoms.next();
    ASSERT_EQ(balancer_->pick(tier, input, loads_), other->pick(tier, input, loads_));
  }
}

std::string kind_name(const ::testing::TestParamInfo<BalanceKind>& info) {
  return std::vector<std::string>{"RoundRobin", "LeastRequest", "Latency", "Random",
                                  "Hash"}[static_cast<std::size_t>(info.param)];
}
INSTANTIATE_TEST_SUITE_P(Kinds, EveryBalancer,
                         ::testing::Values(BalanceKind::round_robin, BalanceKind::least_request, BalanceKind::latency,
                                           BalanceKind::random, BalanceKind::hash),
                         kind_name);

}  // namespace
}  // namespace understudy::balance::testing
