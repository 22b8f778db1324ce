#include <gtest/gtest.h>

#include <chrono>

#include "proxy/limit/retry_budget.hpp"

namespace understudy::limit {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};

TEST(TokenBucket, StartsFullAndEmptiesByWhatIsTaken) {
  TokenBucket bucket(10, 5);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(bucket.take(1, kStart)) << i;
  EXPECT_FALSE(bucket.take(1, kStart));
  EXPECT_TRUE(bucket.take(0, kStart));
}

TEST(TokenBucket, RefillsAtItsRate) {
  TokenBucket bucket(10, 5);
  EXPECT_TRUE(bucket.take(5, kStart));
  EXPECT_FALSE(bucket.take(1, kStart + 99ms));
  EXPECT_TRUE(bucket.take(1, kStart + 101ms));
  EXPECT_FALSE(bucket.take(1, kStart + 101ms));
  EXPECT_TRUE(bucket.take(2, kStart + 301ms));
}

TEST(TokenBucket, NeverHoldsMoreThanItsBurst) {
  TokenBucket bucket(10, 5);
  EXPECT_TRUE(bucket.take(5, kStart + 24h));
  EXPECT_FALSE(bucket.take(1, kStart + 24h));
  EXPECT_FALSE(bucket.take(6, kStart + 48h));
}

TEST(TokenBucket, TakesExactlyWhenItSaysItWillBeReady) {
  for (const double rate : {0.3, 1.0, 3.0, 7.0, 50.0, 1e6}) {
    TokenBucket bucket(rate, 2);
    EXPECT_TRUE(bucket.take(2, kStart));
    TimePoint now = kStart;
    for (int i = 0; i < 20; ++i) {
      const TimePoint ready = bucket.ready_at(1, now);
      ASSERT_GT(ready, now) << rate;
      EXPECT_LE(std::chrono::duration<double>(ready - now).count(), 1 / rate + 1e-6) << rate;
      EXPECT_FALSE(bucket.take(1, ready - 2ns)) << rate;
      EXPECT_TRUE(bucket.take(1, ready)) << rate;
      now = ready;
    }
  }
}

TEST(TokenBucket, IsReadyNowWithEnoughAndNeverForMoreThanItsBurst) {
  TokenBucket bucket(10, 5);
  EXPECT_EQ(bucket.ready_at(5, kStart), kStart);
  EXPECT_EQ(bucket.ready_at(5.5, kStart), TimePoint::max());
  TokenBucket dry(0, 1);
  EXPECT_TRUE(dry.take(1, kStart));
  EXPECT_EQ(dry.ready_at(1, kStart), TimePoint::max());
}

TEST(TokenBucket, TimeThatRunsBackGivesNothing) {
  TokenBucket bucket(10, 1);
  EXPECT_TRUE(bucket.take(1, kStart));
  EXPECT_FALSE(bucket.take(1, kStart - 10s));
  EXPECT_FALSE(bucket.take(1, kStart + 50ms));
  EXPECT_TRUE(bucket.take(1, kStart + 101ms));
}

}  // namespace
}  // namespace understudy::limit
