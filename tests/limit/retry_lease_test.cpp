// The retry budget shared by workers: told what each did, the sum of all retries must be payable by one ideal
// bucket that sees every first attempt at once and keeps exactly ten seconds of them.
#include "proxy/limit/retry_lease.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

namespace understudy::limit {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};

// The words of the design, without leases: deposits of the last 10 s and 10 s of the floor at most, one of them at the start.
class IdealBucket {
public:
  IdealBucket(double ratio, double floor) : ratio_(ratio), floor_(floor), tokens_(floor) {}
  void first_attempt(TimePoint now) {
    advance(now);
    recent_.push_back(now);
    tokens_ += ratio_;
  }
  bool pay(TimePoint now) {
    advance(now);
    if (tokens_ < 1 - 1e-6) return false;
    tokens_ -= 1;
    return true;
  }

private:
  void advance(TimePoint now) {
    tokens_ += floor_ * std::chrono::duration<double>(now - last_).count();
    last_ = now;
    while (!recent_.empty() && recent_.front() < now - 10s) recent_.pop_front();
    tokens_ = std::min(tokens_, ratio_ * static_cast<double>(recent_.size()) + 10 * floor_);
  }
  double ratio_, floor_, tokens_;
  TimePoint last_ = kStart;
  std::deque<TimePoint> recent_;
};

struct Phase {
  std::chrono::milliseconds length;
  double requests_per_ms;
  double retry_share;  // of the requests
};

struct Totals {
  std::uint64_t first_attempts = 0, granted = 0, refused = 0;
};

// `delay` is how long a message takes each way between worker and control thread.
Totals run(unsigned workers, double ratio, double floor, const std::vector<Phase>& phases,
           std::chrono::milliseconds delay, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> unit(0, 1);
  RetryBudget budget(ratio, floor);
  IdealBucket ideal(ratio, floor);
  std::vector<RetryLease> leases(workers);
  std::deque<std::tuple<TimePoint, unsigned, LeaseReport>> reports;
  std::deque<std::tuple<TimePoint, unsigned, LeaseGrant>> grants;
  budget.deposit(0, kStart);
  Totals totals;
  TimePoint now = kStart;
  for (const Phase& phase : phases) {
    for (const TimePoint end = now + phase.length; now < end; now += 1ms) {
      while (!reports.empty() && std::get<0>(reports.front()) <= now) {
        const auto [at, worker, report] = reports.front();
        reports.pop_front();
        grants.emplace_back(now + delay, worker, settle(budget, report, workers, now));
      }
      while (!grants.empty() && std::get<0>(grants.front()) <= now) {
        leases[std::get<1>(grants.front())].on_grant(std::get<2>(grants.front()));
        grants.pop_front();
      }
      int arrivals = static_cast<int>(phase.requests_per_ms);
      arrivals += unit(random) < phase.requests_per_ms - arrivals ? 1 : 0;
      for (int i = 0; i < arrivals; ++i) {
        RetryLease& lease = leases[random() % workers];
        lease.on_first_attempt();
        ideal.first_attempt(now);
        ++totals.first_attempts;
        for (int attempt = 0; attempt < 3 && unit(random) < phase.retry_share; ++attempt) {
          if (!lease.take()) {
            ++totals.refused;
            break;
          }
          ++totals.granted;
          EXPECT_TRUE(ideal.pay(now)) << "granted what was never deposited, at "
                                      << std::chrono::duration<double>(now - kStart).count() << " s";
        }
      }
      for (unsigned w = 0; w < workers; ++w) {
        if (const auto report = leases[w].report(now)) reports.emplace_back(now + delay, w, *report);
      }
    }
  }
  const double seconds = std::chrono::duration<double>(now - kStart).count();
  EXPECT_LE(static_cast<double>(totals.granted),
            ratio * static_cast<double>(totals.first_attempts) + floor * (seconds + 1) + 1e-6);
  return totals;
}

class RetryLeaseSum : public ::testing::TestWithParam<std::tuple<unsigned, int>> {
protected:
  unsigned workers() const { return std::get<0>(GetParam()); }
  std::chrono::milliseconds delay() const { return std::chrono::milliseconds(std::get<1>(GetParam())); }
};

TEST_P(RetryLeaseSum, KeepsTheBudgetWhenEverythingFails) {
  const auto totals = run(workers(), 0.2, 10, {{30s, 1, 1.0}}, delay(), 1);
  EXPECT_GT(totals.refused, 10'000U);
  // And it is no miser: what may be retried is, but for what lies with workers at the end.
  EXPECT_GT(static_cast<double>(totals.granted), 0.9 * (0.2 * static_cast<double>(totals.first_attempts) + 10 * 30));
}

TEST_P(RetryLeaseSum, KeepsTheBudgetOverBurstsAndSilences) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    run(workers(), 0.2, 10,
        {{12s, 2, 0}, {2s, 2, 1}, {9s, 0.01, 0}, {1s, 0.5, 1}, {20s, 0, 0}, {2s, 3, 1}, {5s, 1, 0.1}, {3s, 1, 1}},
        delay(), seed);
  }
}

TEST_P(RetryLeaseSum, KeepsTheBudgetWithoutAFloor) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    run(workers(), 0.2, 0, {{15s, 0.5, 0}, {9500ms, 0.002, 0}, {3s, 0.3, 1}, {12s, 0.05, 0.5}}, delay(), seed);
  }
}

TEST_P(RetryLeaseSum, AnOutageAfterNormalTrafficCanSpendWhatWasSaved) {
  const auto totals = run(workers(), 0.2, 10, {{20s, 0.3, 0}, {300ms, 1, 1}}, delay(), 2);
  // 300/s saved 0.2 × 300 × 8.75 s = 525 and the floor 100; 300 first attempts then fail at once, each up to
  // three times.
  EXPECT_GT(totals.granted, 450U);
}

TEST_P(RetryLeaseSum, NothingFailingCostsNothing) {
  const auto totals = run(workers(), 0.2, 10, {{5s, 5, 0}}, delay(), 3);
  EXPECT_EQ(totals.granted, 0U);
  EXPECT_EQ(totals.refused, 0U);
}

TEST_P(RetryLeaseSum, RareFailuresAreNeverRefused) {
  const auto totals = run(workers(), 0.2, 10, {{3s, 0.5, 0}, {60s, 0.5, 0.02}}, delay(), 4);
  EXPECT_GT(totals.granted, 300U);
  EXPECT_EQ(totals.refused, 0U);
}

INSTANTIATE_TEST_SUITE_P(Workers, RetryLeaseSum,
                         ::testing::Combine(::testing::Values(1U, 4U), ::testing::Values(0, 1, 7)));

TEST(RetryLease, ReportsAtMostEvery10MsAndOnlyWithSomethingToSay) {
  RetryLease lease;
  EXPECT_FALSE(lease.report(kStart).has_value());
  lease.on_first_attempt();
  ASSERT_TRUE(lease.report(kStart).has_value());
  lease.on_grant({5, 0});
  lease.on_first_attempt();
  EXPECT_FALSE(lease.report(kStart + 9ms).has_value());
  const auto report = lease.report(kStart + 10ms);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->first_attempts, 1U);
  EXPECT_EQ(report->held, 5);
  lease.on_grant({0, 0});
  EXPECT_FALSE(lease.report(kStart + 400ms).has_value());  // idle
  EXPECT_TRUE(lease.report(kStart + 510ms).has_value());   // renewal
}

TEST(RetryLease, TokensStayUsableWhileAReportIsUnderWay) {
  RetryLease lease;
  lease.on_first_attempt();
  lease.report(kStart);
  lease.on_grant({2, 0});
  lease.on_first_attempt();
  ASSERT_EQ(lease.report(kStart + 10ms)->held, 2);
  EXPECT_TRUE(lease.take());
  EXPECT_TRUE(lease.take());
  EXPECT_FALSE(lease.take());
  EXPECT_EQ(lease.refused(), 1U);
  lease.on_grant({1, 0});
  EXPECT_EQ(lease.held(), 1);
  EXPECT_EQ(lease.report(kStart + 20ms)->spent, 2);
}

TEST(RetryLease, ALostAnswerDoesNotSilenceIt) {
  RetryLease lease;
  lease.on_first_attempt();
  ASSERT_TRUE(lease.report(kStart).has_value());
  lease.on_first_attempt();
  EXPECT_FALSE(lease.report(kStart + 20ms).has_value());  // one report at a time
  EXPECT_EQ(lease.report(kStart + 500ms)->first_attempts, 1U);
}

TEST(RetryLease, WhatIsReclaimedIsUnusableAtOnceAndReturned) {
  RetryLease lease;
  lease.on_first_attempt();
  lease.report(kStart);
  lease.on_grant({10, 0});
  lease.on_grant({0, 4});
  EXPECT_EQ(lease.held(), 6);
  EXPECT_TRUE(lease.take(6));
  EXPECT_FALSE(lease.take(1));
  lease.on_grant({0, 9});  // no more there
  const auto report = lease.report(kStart + 10ms);
  EXPECT_EQ(report->returned, 4);
  EXPECT_EQ(report->spent, 6);
  EXPECT_EQ(report->held, 0);
}

TEST(RetryLease, ARefusedConnectCostsNothingEvenWithAnEmptyPurse) {
  RetryLease lease;
  EXPECT_TRUE(lease.take(0));
  EXPECT_FALSE(lease.take(1));
}

}  // namespace
}  // namespace understudy::limit
