// Latency histogram with fixed log-linear buckets (four per doubling, 16 µs to about 70 s), written by one worker with relaxed
// atomics and summed by the control thread.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "health/latency.hpp"

namespace understudy::observe {

inline constexpr std::size_t kBuckets = health::latency_buckets;
constexpr std::size_t bucket_of(std::uint64_t us) { return health::latency_bucket_of(us); }
constexpr std::uint64_t bucket_bound(std::size_t index) { return health::latency_bucket_bound(index); }

struct HistogramCounts {
  std::array<std::uint64_t, kBuckets> buckets{};
  std::uint64_t count = 0;
  double sum_seconds = 0;
  // Upper bound in microseconds of the bucket that holds this quantile (0..1); 0 when empty.
  std::uint64_t quantile_us(double q) const;
  void add(const HistogramCounts& other);
};

class Histogram {
public:
  void record(std::chrono::nanoseconds value) {
    const auto us = static_cast<std::uint64_t>(value.count() < 0 ? 0 : value.count() / 1000);
    bump(buckets_[bucket_of(us)], 1);
    bump(sum_us_, us);
  }
  void add_to(HistogramCounts& out) const;
  std::uint64_t bucket(std::size_t index) const { return buckets_[index].load(std::memory_order_relaxed); }
  void reset() {
    for (auto& bucket : buckets_) bucket.store(0, std::memory_order_relaxed);
    sum_us_.store(0, std::memory_order_relaxed);
  }

private:
  static void bump(std::atomic<std::uint64_t>& c, std::uint64_t by) {
    c.store(c.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);  // single writer
  }
  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
  std::atomic<std::uint64_t> sum_us_{0};
};

}  // namespace understudy::observe
