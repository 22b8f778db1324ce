#include "health/latency.hpp"

#include <algorithm>
#include <cmath>

namespace understudy::health {
namespace {

constexpr double us_of(Duration duration) { return static_cast<double>(duration.count()) / 1e3; }

double lower_bound_of(std::size_t bucket) {
  return bucket == 0 ? 0 : static_cast<double>(latency_bucket_bound(bucket - 1));
}

// Share of a bucket that lies above `us`. The last bucket has no upper bound: all or nothing.
double part_above(std::size_t bucket, double us) {
  const double low = lower_bound_of(bucket), high = static_cast<double>(latency_bucket_bound(bucket));
  if (us < low) return 1;
  if (us >= high) return 0;
  return (high - us) / (high - low);
}

}  // namespace

void LatencyCounts::record(Duration value, std::uint32_t times) {
  const std::int64_t us = std::max<std::int64_t>(value.count() / 1000, 0);
  buckets[latency_bucket_of(static_cast<std::uint64_t>(us))] += times;
  total += times;
}

void LatencyCounts::add(const LatencyCounts& other) {
  if (other.total == 0) return;
  for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
  total += other.total;
}

std::uint32_t LatencyCounts::above(Duration limit) const {
  if (total == 0) return 0;
  double count = 0;
  for (std::size_t i = latency_bucket_of(static_cast<std::uint64_t>(std::max<std::int64_t>(limit.count() / 1000, 0)));
       i < buckets.size(); ++i) {
    if (buckets[i] != 0) count += buckets[i] * part_above(i, us_of(limit));
  }
  return static_cast<std::uint32_t>(std::lround(count));
}

Duration LatencyCounts::longest() const {
  for (std::size_t i = buckets.size(); i-- > 0;)
    if (buckets[i] != 0) return Duration(static_cast<Duration::rep>(lower_bound_of(i) * 1e3));
  return Duration::zero();
}

void LatencyMemory::fade(TimePoint now) {
  if (now <= faded_at_ || weight_ == 0) {
    faded_at_ = std::max(faded_at_, now);
    return;
  }
  const double halves = std::chrono::duration<double>(now - faded_at_) / std::chrono::duration<double>(half_life_);
  const auto factor = static_cast<float>(std::exp2(-halves));
  for (float& count : buckets_) count *= factor;
  weight_ *= factor;
  faded_at_ = now;
}

void LatencyMemory::add(const LatencyCounts& counts, TimePoint now) { add(counts, 1, now); }

void LatencyMemory::add(const LatencyCounts& counts, double share, TimePoint now) {
  fade(now);
  if (counts.total == 0 || share <= 0) return;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    if (counts.buckets[i] != 0) buckets_[i] += static_cast<float>(counts.buckets[i] * share);
  }
  weight_ += counts.total * share;
}

void LatencyMemory::add_at_least(const LatencyCounts& counts, TimePoint now) {
  if (counts.total == 0) return;
  fade(now);
  weight_ += counts.total;
  double beyond = 0;  // what is remembered above the bucket in hand, before these are added
  std::array<float, latency_buckets> more{};
  for (std::size_t i = buckets_.size(); i-- > 0;) {
    if (counts.buckets[i] > 0) {
      if (beyond < 0.5) {
        more[i] += static_cast<float>(counts.buckets[i]);
      } else {
        for (std::size_t j = i + 1; j < buckets_.size(); ++j)
          more[j] += static_cast<float>(counts.buckets[i] * buckets_[j] / beyond);
      }
    }
    beyond += buckets_[i];
  }
  for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += more[i];
}

void LatencyMemory::clear() {
  buckets_.fill(0);
  weight_ = 0;
}

void LatencyMemory::merge(const LatencyMemory& other) {
  if (other.weight_ == 0) return;
  for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  weight_ += other.weight_;
  faded_at_ = std::max(faded_at_, other.faded_at_);
}

Duration LatencyMemory::quantile(double q) const {
  if (empty()) return Duration::zero();
  const double wanted = q * weight_;
  double seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    const double here = buckets_[i];
    if (here > 0 && seen + here >= wanted) {
      const double low = lower_bound_of(i), high = static_cast<double>(latency_bucket_bound(i));
      const double us = low + (high - low) * std::clamp((wanted - seen) / here, 0.0, 1.0);
      return Duration(static_cast<Duration::rep>(us * 1e3));
    }
    seen += here;
  }
  return Duration(static_cast<Duration::rep>(latency_bucket_bound(latency_buckets - 1) * 1000));
}

double LatencyMemory::share_above(Duration limit) const {
  if (empty()) return 0;
  double above = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    if (buckets_[i] > 0) above += buckets_[i] * part_above(i, us_of(limit));
  }
  return above / weight_;
}

}  // namespace understudy::health
