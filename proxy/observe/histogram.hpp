// Latency histogram with fixed log-linear buckets (four per doubling, 16 µs to about 70 s), written by one worker with relaxed
// atomics and summed by the control thread.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>

namespace understudy::observe {

inline constexpr std::size_t kBuckets = 90;

// Bucket of a duration in microseconds: 0 below 16 µs, then four per doubling, the last takes the rest.
constexpr std::size_t bucket_of(std::uint64_t us) {
  if (us < 16) return 0;
  const unsigned exponent = static_cast<unsigned>(std::bit_width(us)) - 1;  // >= 4
  const std::size_t index = 1 + (exponent - 4) * 4 + ((us >> (exponent - 2)) & 3);
  return index < kBuckets ? index : kBuckets - 1;
}
// Upper bound of a bucket in microseconds (exclusive); the last has none.
constexpr std::uint64_t bucket_bound(std::size_t index) {
  if (index == 0) return 16;
  const std::size_t exponent = 4 + (index - 1) / 4, quarter = (index - 1) % 4;
  return (std::uint64_t{1} << exponent) + ((quarter + 1) << (exponent - 2));
}

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

private:
  static void bump(std::atomic<std::uint64_t>& c, std::uint64_t by) {
    c.store(c.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);  // single writer
  }
  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
  std::atomic<std::uint64_t> sum_us_{0};
};

}  // namespace understudy::observe
