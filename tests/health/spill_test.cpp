#include "health/spill.hpp"

#include <gmock/gmock.h>

#include <numeric>

#include "health/random.hpp"

namespace understudy::health {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

std::vector<double> spread(std::vector<double> trusted, double overprovisioning = 1.4) {
  return spread_load(trusted, overprovisioning);
}
auto near(double value) { return DoubleNear(value, 1e-9); }

TEST(Spill, AWholeTierKeepsEverything) {
  EXPECT_THAT(spread({1, 1}), ElementsAre(near(1), near(0)));
  EXPECT_THAT(spread({0.75, 1}), ElementsAre(near(1), near(0))) << "three of four carry all with 40 % to spare";
}
TEST(Spill, AHalfDeadTierKeepsWhatItCanCarry) {
  EXPECT_THAT(spread({0.5, 1}), ElementsAre(near(0.7), near(0.3)));
  EXPECT_THAT(spread({0.5, 0.1, 1}), ElementsAre(near(0.7), near(0.14), near(0.16)));
  EXPECT_THAT(spread({0.5, 1}, 2), ElementsAre(near(1), near(0)));
  EXPECT_THAT(spread({0, 1}), ElementsAre(near(0), near(1)));
}
TEST(Spill, WhatNobodyCanCarryIsSharedInProportion) {
  EXPECT_THAT(spread({0.25, 0.25}), ElementsAre(near(0.5), near(0.5)));
  EXPECT_THAT(spread({0.1, 0.3}), ElementsAre(near(0.25), near(0.75)));
  EXPECT_THAT(spread({0, 0}), ElementsAre(near(1), near(0))) << "the serving tier answers for it";
  EXPECT_THAT(spread({}), ElementsAre());
}
TEST(Spill, SharesAddUpToOneAndNobodyBelowGetsWhatTheOneAboveCouldCarry) {
  Random random(11);
  for (int i = 0; i < 10'000; ++i) {
    std::vector<double> trusted(1 + random.next() % 5);
    for (double& part : trusted) part = random.next() % 4 == 0 ? 0 : random.fraction();
    const std::vector<double> shares = spread(trusted, 1 + 2 * random.fraction());
    ASSERT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1, 1e-9);
    for (std::size_t t = 0; t < shares.size(); ++t) {
      ASSERT_GE(shares[t], 0);
      if (t > 0 && trusted[t] == 0) {
        ASSERT_EQ(shares[t], 0);
      }
    }
  }
}

}  // namespace
}  // namespace understudy::health
