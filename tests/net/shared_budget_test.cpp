// Law 9's budget between workers: exact, however many draw on it at once.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "proxy/net/snapshot.hpp"

namespace understudy::net {
namespace {

using namespace std::chrono_literals;
using observe::HedgeRefusal;

constexpr limit::TimePoint kStart{1h};

class SharedBudgetOf : public ::testing::TestWithParam<unsigned> {};

TEST_P(SharedBudgetOf, WorkersTogetherTakeWhatTheyDepositedAndNoMore) {
  const unsigned workers = GetParam();
  SharedBudget budget(0.25, 0);
  std::atomic<unsigned> taken{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < workers; ++i)
    threads.emplace_back([&] {
      for (int request = 0; request < 1000; ++request)
        if (budget.take(1, kStart)) ++taken;  // each of them wants to be repeated
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, workers * 250);
  EXPECT_FALSE(budget.take(0, kStart));
}

TEST_P(SharedBudgetOf, WhatOneWorkerDepositsAnotherMaySpend) {
  const unsigned workers = GetParam();
  SharedBudget budget(1, 0);
  budget.deposit(workers * 10, kStart);
  std::atomic<unsigned> taken{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < workers; ++i)
    threads.emplace_back([&] {
      for (int retry = 0; retry < 100; ++retry)
        if (budget.take(0, kStart)) ++taken;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, workers * 10);
}

INSTANTIATE_TEST_SUITE_P(Workers, SharedBudgetOf, ::testing::Values(1, 4));

TEST(HedgeBudget, IsBoundedByTheShareAndByTheBudget) {
  const limit::TimePoint now = kStart;
  SharedBudget budget(0.2, 0, 0.05);
  EXPECT_EQ(budget.take_hedge(19, false, now), HedgeRefusal::share);
  EXPECT_FALSE(budget.take_hedge(1, false, now));
  EXPECT_EQ(budget.take_hedge(0, false, now), HedgeRefusal::share);
  // A suspect's requests go beyond it, as far as the budget goes: three of the four that twenty requests laid aside are left.
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(budget.take_hedge(0, true, now));
  EXPECT_EQ(budget.take_hedge(0, true, now), HedgeRefusal::budget);
  EXPECT_FALSE(budget.take(0, now));
}

TEST(HedgeBudget, ARetryCostsNothingOfTheShare) {
  const limit::TimePoint now = kStart;
  SharedBudget budget(1, 0, 0.05);
  EXPECT_TRUE(budget.take(20, now));
  EXPECT_FALSE(budget.take_hedge(0, false, now));
}

}  // namespace
}  // namespace understudy::net
