#include "proxy/observe/histogram.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace understudy::observe {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

HistogramCounts counts_of(const Histogram& histogram) {
  HistogramCounts counts;
  histogram.add_to(counts);
  return counts;
}

TEST(HistogramBuckets, HoldEveryValueBelowTheirBoundAndNoneAtIt) {
  for (std::size_t i = 0; i + 1 < kBuckets; ++i) {
    EXPECT_EQ(bucket_of(bucket_bound(i) - 1), i);
    EXPECT_EQ(bucket_of(bucket_bound(i)), i + 1);
    EXPECT_LT(bucket_bound(i), bucket_bound(i + 1));
  }
  EXPECT_EQ(bucket_of(0), 0U);
  EXPECT_EQ(bucket_of(UINT64_MAX), kBuckets - 1);
  EXPECT_GT(bucket_bound(kBuckets - 2), 60'000'000U) << "a minute is still told apart from for ever";
}

TEST(HistogramBuckets, AreNeverWiderThanAQuarter) {
  for (std::size_t i = 1; i + 1 < kBuckets; ++i) {
    const double lower = static_cast<double>(bucket_bound(i - 1)), upper = static_cast<double>(bucket_bound(i));
    EXPECT_LE(upper / lower, 1.25 + 1e-9) << i;
  }
}

TEST(Histogram, SumsCountsAndTime) {
  Histogram histogram;
  histogram.record(milliseconds(2));
  histogram.record(milliseconds(3));
  histogram.record(std::chrono::nanoseconds(-1));  // a clock that went back counts as nothing
  const HistogramCounts counts = counts_of(histogram);
  EXPECT_EQ(counts.count, 3U);
  EXPECT_DOUBLE_EQ(counts.sum_seconds, 0.005);
  EXPECT_EQ(counts.buckets[0], 1U);
  EXPECT_EQ(counts.buckets[bucket_of(2000)], 1U);
}

TEST(Histogram, QuantilesAreTheBoundOfTheBucketThatHoldsTheRank) {
  Histogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.record(milliseconds(i));
  const HistogramCounts counts = counts_of(histogram);
  for (const auto& [q, us] : std::vector<std::pair<double, std::uint64_t>>{{0.0, 1'000},
                                                                           {0.01, 1'000},
                                                                           {0.5, 50'000},
                                                                           {0.95, 95'000},
                                                                           {0.99, 99'000},
                                                                           {1.0, 100'000},
                                                                           {2.0, 100'000}}) {
    EXPECT_EQ(counts.quantile_us(q), bucket_bound(bucket_of(us))) << q;
  }
}

TEST(Histogram, QuantileOfNothingIsZero) { EXPECT_EQ(HistogramCounts{}.quantile_us(0.95), 0U); }

TEST(Histogram, QuantileInTheOpenBucketIsItsLowerBound) {
  Histogram histogram;
  histogram.record(seconds(1000));
  EXPECT_EQ(counts_of(histogram).quantile_us(0.5), bucket_bound(kBuckets - 2));
}

TEST(Histogram, AddsWorkersUp) {
  Histogram one, two;
  one.record(microseconds(100));
  two.record(microseconds(100));
  two.record(seconds(1));
  HistogramCounts total = counts_of(one);
  total.add(counts_of(two));
  EXPECT_EQ(total.count, 3U);
  EXPECT_EQ(total.buckets[bucket_of(100)], 2U);
  EXPECT_DOUBLE_EQ(total.sum_seconds, 1.0002);
  HistogramCounts same;  // the other way to sum
  one.add_to(same);
  two.add_to(same);
  EXPECT_EQ(same.buckets, total.buckets);
}

TEST(Histogram, IsReadWhileItsWorkerWrites) {
  constexpr std::uint64_t kRecords = 50'000;
  Histogram histogram;
  std::thread worker([&] {
    for (std::uint64_t i = 0; i < kRecords; ++i) histogram.record(microseconds(i % 5000));
  });
  std::uint64_t last = 0;
  while (last < kRecords) {
    const HistogramCounts counts = counts_of(histogram);
    ASSERT_GE(counts.count, last);
    last = counts.count;
  }
  worker.join();
  EXPECT_EQ(counts_of(histogram).count, kRecords);
}

}  // namespace
}  // namespace understudy::observe
