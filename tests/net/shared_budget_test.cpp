// The budget between workers: exact, however many draw on it at once; and between clients: no one of them drains it.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "proxy/net/snapshot.hpp"

namespace understudy::net {
namespace {

using namespace std::chrono_literals;
using observe::HedgeRefusal;
using observe::RetryRefusal;

constexpr limit::TimePoint kStart{1h};
constexpr std::uint64_t kClient = 7, kHog = 66, kOther = 1'000;

limit::Asked asked(unsigned requests, std::uint64_t client = kClient) {
  limit::Asked out;
  for (unsigned i = 0; i < requests; ++i) out.add(client);
  return out;
}

class SharedBudgetOf : public ::testing::TestWithParam<unsigned> {};

TEST_P(SharedBudgetOf, WorkersTogetherTakeWhatTheyDepositedAndNoMore) {
  const unsigned workers = GetParam();
  SharedBudget budget(0.25, 0);
  std::atomic<unsigned> taken{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < workers; ++i)
    threads.emplace_back([&] {
      for (int request = 0; request < 1000; ++request)
        if (!budget.take(asked(1), kClient, kStart)) ++taken;  // each of them wants to be repeated
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, workers * 250);
  EXPECT_EQ(budget.take({}, kClient, kStart), RetryRefusal::budget);
}

TEST_P(SharedBudgetOf, WhatOneWorkerDepositsAnotherMaySpend) {
  const unsigned workers = GetParam();
  SharedBudget budget(1, 0);
  budget.deposit(asked(workers * 10), kStart);
  std::atomic<unsigned> taken{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < workers; ++i)
    threads.emplace_back([&] {
      for (int retry = 0; retry < 100; ++retry)
        if (!budget.take({}, kClient, kStart)) ++taken;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, workers * 10);
}

INSTANTIATE_TEST_SUITE_P(Workers, SharedBudgetOf, ::testing::Values(1, 4));

TEST(HedgeBudget, IsBoundedByTheShareAndByTheBudget) {
  const limit::TimePoint now = kStart;
  SharedBudget budget(0.2, 0, 0.05);
  EXPECT_EQ(budget.take_hedge(asked(19), kClient, false, now), HedgeRefusal::share);
  EXPECT_FALSE(budget.take_hedge(asked(1), kClient, false, now));
  EXPECT_EQ(budget.take_hedge({}, kClient, false, now), HedgeRefusal::share);
  // A suspect's requests go beyond it, as far as the budget goes: three of the four that twenty requests laid aside are left.
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(budget.take_hedge({}, kClient, true, now));
  EXPECT_EQ(budget.take_hedge({}, kClient, true, now), HedgeRefusal::budget);
  EXPECT_EQ(budget.take({}, kClient, now), RetryRefusal::budget);
}

TEST(HedgeBudget, ARetryCostsNothingOfTheShare) {
  const limit::TimePoint now = kStart;
  SharedBudget budget(1, 0, 0.05);
  EXPECT_FALSE(budget.take(asked(20), kClient, now));
  EXPECT_FALSE(budget.take_hedge({}, kClient, false, now));
}

// ---- between clients -------------------------------------------------------------------------------------------------

TEST(FairBudget, OneClientUsesUpHalfWhileThereAreOthersAndEachOfThoseFindsSome) {
  SharedBudget budget(1, 0, 0.05);
  budget.deposit(asked(50, kHog), kStart);
  budget.deposit(asked(50, kOther), kStart);
  unsigned taken = 0;
  while (!budget.take({}, kHog, kStart)) ++taken;
  EXPECT_EQ(taken, 50U);
  EXPECT_EQ(budget.take({}, kHog, kStart), RetryRefusal::client);
  EXPECT_EQ(budget.take_hedge({}, kHog, true, kStart), HedgeRefusal::client);
  for (std::uint64_t i = 0; i < 50; ++i) EXPECT_FALSE(budget.take({}, kOther + i, kStart)) << i;
  EXPECT_EQ(budget.take({}, kOther + 50, kStart), RetryRefusal::budget);
}

TEST(FairBudget, NoMoreIsKeptThanTheOthersAskFor) {
  SharedBudget budget(1, 0, 0.05);
  budget.deposit(asked(96, kHog), kStart);
  budget.deposit(asked(4, kOther), kStart);
  unsigned taken = 0;
  while (!budget.take({}, kHog, kStart)) ++taken;
  EXPECT_EQ(taken, 96U);
}

struct Scenario {
  std::mt19937_64 random;
  explicit Scenario(std::uint64_t seed) : random(seed) {}
  double between(double low, double high) { return std::uniform_real_distribution<>(low, high)(random); }
  bool chance(double p) { return between(0, 1) < p; }
};

// Its requests are handed in as a worker does it: 64 at a time, or after a second.
class Hand {
public:
  explicit Hand(SharedBudget& budget) : budget_(budget) {}
  void ask(std::uint64_t client, limit::TimePoint now) {
    if (asked_.requests() == 0) since_ = now;
    asked_.add(client);
    if (asked_.requests() >= 64 || now >= since_ + 1s) budget_.deposit(std::exchange(asked_, {}), now);
  }
  std::optional<RetryRefusal> take(std::uint64_t client, limit::TimePoint now) {
    return budget_.take(std::exchange(asked_, {}), client, now);
  }

private:
  SharedBudget& budget_;
  limit::Asked asked_;
  limit::TimePoint since_{};
};

// Whatever a few clients do, others whose repetitions alone would not empty the budget have all of them paid.
TEST(FairBudget, WhateverOneClientDoesTheOthersRepetitionsArePaid) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Scenario s(seed);
    const double floor = s.between(5, 20), ratio = s.between(0, 0.3);
    const auto hogs = static_cast<unsigned>(s.between(1, 4));
    const double others_ask = s.between(2, 60), wanted = std::min(others_ask, floor * 0.4);
    SharedBudget budget(ratio, floor, 0.05);
    std::vector<Hand> workers(4, Hand(budget));
    double asks = 0, wants = 0, hog_rate = s.between(0, 2'000);
    std::uint64_t other = kOther, paid = 0, of_hogs = 0;
    for (int ms = 0; ms < 30'000; ++ms) {
      const limit::TimePoint now = kStart + ms * 1ms;
      for (asks += others_ask / 1000; asks >= 1; --asks) workers[s.random() % 4].ask(++other, now);
      if (ms < 3'000) continue;  // others are there before it begins
      if (ms % 1'000 == 0) hog_rate = s.chance(0.3) ? 0 : s.between(0, 2'000);
      for (double n = hog_rate / 1000; n > 0 && s.chance(n); --n) {
        const std::uint64_t hog = kHog + s.random() % hogs;
        Hand& worker = workers[hog % 4];  // on connections of one worker
        worker.ask(hog, now);
        if (!worker.take(hog, now)) ++of_hogs;
      }
      for (wants += wanted / 1000; wants >= 1; --wants) {
        ASSERT_FALSE(workers[s.random() % 4].take(other, now))
            << "seed " << seed << ", after " << ms << " ms, " << of_hogs << " paid for " << hogs << " hogs";
        ++paid;
      }
    }
    EXPECT_GT(of_hogs, paid) << "what the others don't need is not lost, seed " << seed;
  }
}

TEST(FairBudget, AllTogetherNeverTakeMoreThanTheBudgetEarned) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Scenario s(seed);
    const double floor = s.between(0, 20), ratio = s.between(0, 1);
    SharedBudget budget(ratio, floor, 0.05);
    budget.deposit({}, kStart);
    limit::TimePoint now = kStart;
    std::uint64_t taken = 0, requests = 0;
    const auto clients = static_cast<std::uint64_t>(s.between(1, 40));
    for (int step = 0; step < 5'000; ++step) {
      now += std::chrono::microseconds(static_cast<int>(s.between(0, 20'000)));
      const std::uint64_t client = s.random() % clients;
      ++requests;
      const bool granted = s.chance(0.5) ? !budget.take(asked(1, client), client, now)
                                         : !budget.take_hedge(asked(1, client), client, s.chance(0.5), now);
      taken += granted ? 1 : 0;
      const double seconds = std::chrono::duration<double>(now - kStart).count();
      ASSERT_LE(static_cast<double>(taken), floor + floor * seconds + ratio * static_cast<double>(requests) + 1e-6)
          << "seed " << seed;
    }
  }
}

// Behind a CDN everybody has one address: it is given what the budget gives without a look at who asks.
TEST(FairBudget, AClientThatIsAloneCountsFully) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Scenario s(seed);
    const double floor = s.between(0, 20), ratio = s.between(0, 1);
    SharedBudget budget(ratio, floor, 0.05);
    limit::RetryBudget plain(ratio, floor);
    limit::TimePoint now = kStart;
    for (int step = 0; step < 2'000; ++step) {
      now += std::chrono::microseconds(static_cast<int>(s.between(0, 20'000)));
      const auto requests = static_cast<unsigned>(s.between(0, 5));
      plain.deposit(requests, now);
      const auto refused = budget.take(asked(requests), kClient, now);
      ASSERT_EQ(!refused, plain.take(now)) << "seed " << seed << ", step " << step;
      ASSERT_NE(refused, RetryRefusal::client);
    }
  }
}

}  // namespace
}  // namespace understudy::net
