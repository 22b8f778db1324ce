#include "proxy/limit/retry_budget.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace understudy::limit {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};

TEST(RetryBudget, StartsWithASecondOfTheFloorAndFillsFromIt) {
  RetryBudget budget(0.2, 10);
  EXPECT_EQ(budget.balance(kStart), 10);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(budget.take(kStart)) << i;
  EXPECT_FALSE(budget.take(kStart));
  EXPECT_NEAR(budget.balance(kStart + 100ms), 1, 1e-9);
  EXPECT_NEAR(budget.balance(kStart + 1s), 10, 1e-9);
  EXPECT_EQ(RetryBudget(0.2, 0).balance(kStart), 0);
}

TEST(RetryBudget, KeepsTenSecondsOfTheFloor) {
  RetryBudget budget(0.2, 10);
  budget.deposit(0, kStart);
  EXPECT_NEAR(budget.balance(kStart + 1h), 100, 1e-9);
}

TEST(RetryBudget, EachFirstAttemptDepositsTheRatio) {
  RetryBudget budget(0.2, 0);
  budget.deposit(5, kStart);
  EXPECT_NEAR(budget.balance(kStart), 1, 1e-9);
  budget.deposit(500, kStart + 1s);
  EXPECT_NEAR(budget.balance(kStart + 1s), 101, 1e-9);
}

TEST(RetryBudget, KeepsAtMostTenSecondsOfDeposits) {
  RetryBudget budget(0.2, 0);
  for (int i = 0; i <= 6000; ++i) budget.deposit(10, kStart + i * 10ms);  // 1,000/s for a minute
  const TimePoint end = kStart + 60s;
  EXPECT_LE(budget.balance(end), 0.2 * 1000 * 10);
  EXPECT_GE(budget.balance(end), 0.2 * 1000 * 9.7);
  EXPECT_NEAR(budget.balance(end + 5s), 0.2 * 1000 * 5, 0.2 * 1000 * 0.3);
  EXPECT_EQ(budget.balance(end + 10s), 0);
  budget.deposit(5, end + 24h);  // after a silence of any length
  EXPECT_NEAR(budget.balance(end + 24h), 1, 1e-9);
}

TEST(RetryBudget, ARetryCostsOneAndFractionsAddUp) {
  RetryBudget budget(0.2, 0);
  budget.deposit(4, kStart);
  EXPECT_FALSE(budget.take(kStart));
  budget.deposit(1, kStart);  // 5 × 0.2
  EXPECT_TRUE(budget.take(kStart));
  EXPECT_FALSE(budget.take(kStart));
  EXPECT_NEAR(budget.balance(kStart), 0, 1e-9);
}

TEST(RetryBudget, WhatWasSavedIsGoneWithTheDepositsThatPaidForIt) {
  RetryBudget budget(1, 0);
  budget.deposit(100, kStart);
  budget.deposit(50, kStart + 8s);
  EXPECT_NEAR(budget.balance(kStart + 8s), 150, 1e-9);
  EXPECT_NEAR(budget.balance(kStart + 11s), 50, 1e-9);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(budget.take(kStart + 11s)) << i;
  EXPECT_FALSE(budget.take(kStart + 11s));
}

TEST(RetryBudget, TimeThatRunsBackGivesNothing) {
  RetryBudget budget(0.2, 10);
  budget.deposit(5, kStart);
  budget.deposit(5, kStart - 1h);
  EXPECT_NEAR(budget.balance(kStart), 12, 1e-9);
}

TEST(RequestShare, GivesNoMoreThanItsShareOfAllRequestsHoweverFewTheyAre) {
  RequestShare share(0.05);
  unsigned taken = 0;
  for (int request = 1; request <= 1000; ++request) {
    share.deposit(1);
    while (share.has_one()) {
      share.take_one();
      ++taken;
    }
    ASSERT_LE(taken * 20, static_cast<unsigned>(request));
  }
  EXPECT_EQ(taken, 50U);
}

TEST(RequestShare, KeepsAFewForABadMomentButNotAllOfThem) {
  RequestShare share(0.05, 10);
  share.deposit(1'000'000);
  unsigned taken = 0;
  for (; share.has_one(); share.take_one()) ++taken;
  EXPECT_EQ(taken, 10U);
  share.take_one();  // beyond the share: nothing is owed afterwards
  share.deposit(20);
  EXPECT_TRUE(share.has_one());
}

}  // namespace
}  // namespace understudy::limit
