#include "proxy/balance/round_robin.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/balance/tier.hpp"

namespace understudy::balance::testing {
namespace {

class RoundRobinTest : public ::testing::Test {
protected:
  std::string picks(const health::TierView& tier, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) {
      const auto index = balancer_.pick(tier, input_, loads_);
      out += index ? static_cast<char>('a' + *index) : '-';
    }
    return out;
  }
  RoundRobin balancer_;
  Loads loads_;
  PickInput input_;
};

std::size_t longest_run(const std::string& text) {
  std::size_t best = 0, run = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    run = i > 0 && text[i] == text[i - 1] ? run + 1 : 1;
    best = std::max(best, run);
  }
  return best;
}

TEST_F(RoundRobinTest, EqualWeightsTakeTurns) { EXPECT_EQ(picks(tier_of(3), 9), "abcabcabc"); }

TEST_F(RoundRobinTest, WeightsAreInterleavedNotBunched) { EXPECT_EQ(picks(tier_of({5, 1, 1}), 14), "abaaacaabaaaca"); }

TEST_F(RoundRobinTest, EachPeriodHoldsEachEndpointByItsWeight) {
  const std::string run = picks(tier_of({4, 3, 2, 1}), 1000);
  EXPECT_LE(longest_run(run), 2U);
  for (std::size_t start = 0; start + 10 <= run.size(); start += 10) {
    const std::string period = run.substr(start, 10);
    EXPECT_EQ(std::count(period.begin(), period.end(), 'a'), 4) << period;
    EXPECT_EQ(std::count(period.begin(), period.end(), 'b'), 3) << period;
    EXPECT_EQ(std::count(period.begin(), period.end(), 'c'), 2) << period;
    EXPECT_EQ(std::count(period.begin(), period.end(), 'd'), 1) << period;
  }
}

TEST_F(RoundRobinTest, AThousandEndpointsEachHaveOneTurnInAThousand) {
  const health::TierView tier = tier_of(1000);
  for (int round = 0; round < 3; ++round) {
    const auto counts = count_picks(balancer_, tier, loads_, 1000, 1);
    for (const auto count : counts) ASSERT_EQ(count, 1U);
  }
}

TEST_F(RoundRobinTest, AnExcludedEndpointKeepsItsTurnForTheNextRequest) {
  const health::TierView tier = tier_of(3);
  const std::vector<health::EndpointId> tried = {tier.endpoints[0].id};
  input_.excluded = tried;
  EXPECT_EQ(picks(tier, 1), "b");
  input_.excluded = {};
  EXPECT_EQ(picks(tier, 1), "a");
  const std::string next = picks(tier, 7);  // nine in all with the first two
  EXPECT_EQ(std::count(next.begin(), next.end(), 'a'), 2) << next;
  EXPECT_EQ(std::count(next.begin(), next.end(), 'b'), 2) << next;
  EXPECT_EQ(std::count(next.begin(), next.end(), 'c'), 3) << next;
}

TEST_F(RoundRobinTest, AnEndpointThatWasFullDoesNotCatchUp) {
  const health::TierView tier = tier_of(3);
  input_.max_in_flight = 1;
  loads_.flights = {1, 0, 0};
  const std::string without = picks(tier, 300);
  EXPECT_EQ(std::count(without.begin(), without.end(), 'a'), 0);
  loads_.flights = {0, 0, 0};
  const std::string back = picks(tier, 30);
  EXPECT_LE(longest_run(back), 2U) << back;
  EXPECT_NEAR(static_cast<double>(std::count(back.begin(), back.end(), 'a')), 10, 1) << back;
}

TEST_F(RoundRobinTest, AMemberThatJoinsOrLeavesDoesNotRestartTheOrder) {
  health::TierView tier = tier_of(4);
  set_usable(tier, {0, 1, 2});
  EXPECT_EQ(picks(tier, 4), "abca");
  set_usable(tier, {0, 1, 2, 3});
  const std::string next = picks(tier, 8);
  EXPECT_EQ(next.front(), 'b') << next;  // not 'a' again
  for (const char c : {'a', 'b', 'c', 'd'}) EXPECT_EQ(std::count(next.begin(), next.end(), c), 2) << next;
}

// Health that flaps changes the membership all the time; nobody may starve or gain by it.
TEST_F(RoundRobinTest, MembershipThatFlapsAtEachPickStillSharesEvenly) {
  health::TierView tier = tier_of(4);
  std::vector<int> counts(4);
  for (int i = 0; i < 4000; ++i) {
    if (i % 2 == 0) {
      set_usable(tier, {0, 1, 2});
    } else {
      set_usable(tier, {0, 1, 2, 3});
    }
    ++counts[*balancer_.pick(tier, input_, loads_)];
  }
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(counts[static_cast<std::size_t>(i)], 1200, 250) << i;
}

TEST_F(RoundRobinTest, WorkersStartAtDifferentEndpoints) {
  const health::TierView tier = tier_of(4);
  std::string firsts;
  for (std::uint64_t start = 0; start < 4; ++start) {
    RoundRobin worker;
    PickInput input;
    input.random = start;
    firsts += static_cast<char>('a' + *worker.pick(tier, input, loads_));
  }
  std::sort(firsts.begin(), firsts.end());
  EXPECT_EQ(firsts, "abcd");
}

TEST_F(RoundRobinTest, StaysExactOverMillionsOfPicks) {
  const health::TierView tier = tier_of({1e-3, 2e-3, 7e-3});  // the clock passes 10^6 many times
  for (int i = 0; i < 1'000'000; ++i) balancer_.pick(tier, input_, loads_);
  const auto counts = count_picks(balancer_, tier, loads_, 100'000, 1);
  EXPECT_NEAR(static_cast<double>(counts[0]), 10'000, 2);
  EXPECT_NEAR(static_cast<double>(counts[1]), 20'000, 2);
  EXPECT_NEAR(static_cast<double>(counts[2]), 70'000, 2);
}

}  // namespace
}  // namespace understudy::balance::testing
