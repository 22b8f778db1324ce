#include "proxy/observe/histogram.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace understudy::observe {

std::uint64_t HistogramCounts::quantile_us(double q) const {
  const std::uint64_t total = std::accumulate(buckets.begin(), buckets.end(), std::uint64_t{0});
  if (total == 0) return 0;
  // The nearest-rank definition: the smallest value with at least q of all values at or below it.
  const double wanted = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(total));
  const std::uint64_t rank = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, total);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i + 1 < kBuckets; ++i) {
    below += buckets[i];
    if (below >= rank) return bucket_bound(i);
  }
  return bucket_bound(kBuckets - 2);  // the last bucket has no upper bound: what is known is "at least"
}

void HistogramCounts::add(const HistogramCounts& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) buckets[i] += other.buckets[i];
  count += other.count;
  sum_seconds += other.sum_seconds;
}

void Histogram::add_to(HistogramCounts& out) const {
  // The count is the sum of what was read, so that buckets and count agree whatever the worker does
  // meanwhile.
  for (std::size_t i = 0; i < kBuckets; ++i) {
    const std::uint64_t n = buckets_[i].load(std::memory_order_relaxed);
    out.buckets[i] += n;
    out.count += n;
  }
  out.sum_seconds += static_cast<double>(sum_us_.load(std::memory_order_relaxed)) / 1e6;
}

}  // namespace understudy::observe
