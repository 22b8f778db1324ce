// How long things take, as counts in log-linear buckets (four per doubling, 16 µs to about 70 s): what traffic reported
// since the last sample, and what is remembered of it with old news fading. No clock.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "health/time.hpp"

namespace understudy::health {

inline constexpr std::size_t latency_buckets = 90;

// Bucket of a duration in microseconds: 0 below 16 µs, then four per doubling, the last takes the rest.
constexpr std::size_t latency_bucket_of(std::uint64_t us) {
  if (us < 16) return 0;
  const unsigned exponent = static_cast<unsigned>(std::bit_width(us)) - 1;  // >= 4
  const std::size_t index = 1 + (exponent - 4) * 4 + ((us >> (exponent - 2)) & 3);
  return index < latency_buckets ? index : latency_buckets - 1;
}
// Upper bound of a bucket in microseconds (exclusive); the last has none.
constexpr std::uint64_t latency_bucket_bound(std::size_t index) {
  if (index == 0) return 16;
  const std::size_t exponent = 4 + (index - 1) / 4, quarter = (index - 1) % 4;
  return (std::uint64_t{1} << exponent) + ((quarter + 1) << (exponent - 2));
}

// Exact counts of a short time.
struct LatencyCounts {
  std::array<std::uint32_t, latency_buckets> buckets{};
  std::uint32_t total = 0;

  void record(Duration value, std::uint32_t times = 1);
  void add(const LatencyCounts& other);
  // How many took longer than `limit`. A bucket that holds the limit counts by the share of it above.
  std::uint32_t above(Duration limit) const;
  // What the slowest took, rounded down to its bucket.
  Duration longest() const;
};

// Counts that fade: after `half_life` without news everything weighs half. Quantiles are interpolated within a bucket, so
// that a threshold between two bounds is met neither early nor late.
class LatencyMemory {
public:
  explicit LatencyMemory(Duration half_life) : half_life_(half_life) {}

  void add(const LatencyCounts& counts, TimePoint now);
  // Adds a part of the counts only: what is learned slowly.
  void add(const LatencyCounts& counts, double share, TimePoint now);
  // Of these it is known only that they would have taken longer: spread like what is remembered beyond them, or where nothing
  // is, taken as they are.
  void add_at_least(const LatencyCounts& counts, TimePoint now);
  void clear();
  // What several endpoints of a tier amount to.
  void merge(const LatencyMemory& other);

  // Weight of all that is remembered, as of the last add().
  double weight() const { return weight_; }
  bool empty() const { return weight_ < 0.5; }
  // The duration that a share `q` (0 to 1) stayed below. Zero when empty.
  Duration quantile(double q) const;
  // Share that took longer.
  double share_above(Duration limit) const;

private:
  void fade(TimePoint now);

  Duration half_life_;
  TimePoint faded_at_{};
  std::array<float, latency_buckets> buckets_{};
  double weight_ = 0;
};

}  // namespace understudy::health
