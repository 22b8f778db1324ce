// Law 9's budget between workers: exact, however many draw on it at once.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "proxy/net/snapshot.hpp"

namespace understudy::net {
namespace {

using namespace std::chrono_literals;

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

}  // namespace
}  // namespace understudy::net
