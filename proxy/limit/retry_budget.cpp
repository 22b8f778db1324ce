#include "proxy/limit/retry_budget.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace understudy::limit {
namespace {

constexpr double kFloorKept = 10;   // seconds
constexpr double kRounding = 1e-9;  // sums of fractions such as 0.2 may miss a whole token by this

double seconds_between(TimePoint from, TimePoint to) {
  return to <= from ? 0 : std::chrono::duration<double>(to - from).count();
}

}  // namespace

RetryBudget::RetryBudget(double ratio, double floor_per_second)
    : ratio_(std::max(ratio, 0.0)), floor_(std::max(floor_per_second, 0.0)), tokens_(floor_) {}

double RetryBudget::cap() const { return recent_ + floor_ * kFloorKept; }

void RetryBudget::advance(TimePoint now) {
  const std::int64_t slice = now.time_since_epoch() / kSlice;
  if (!started_) {
    started_ = true;
    last_ = now;
    slice_ = slice;
  }
  if (slice > slice_) {
    const auto passed = std::min<std::int64_t>(slice - slice_, static_cast<std::int64_t>(kSlices));
    for (std::int64_t i = 1; i <= passed; ++i) {
      const auto at = (slice_ + i) % static_cast<std::int64_t>(kSlices);
      slices_[static_cast<std::size_t>(at < 0 ? at + static_cast<std::int64_t>(kSlices) : at)] = 0;
    }
    // Summed anew, so that rounding does not pile up.
    recent_ = std::accumulate(slices_.begin(), slices_.end(), 0.0);
    slice_ = slice;
  }
  tokens_ += floor_ * seconds_between(last_, now);
  last_ = std::max(last_, now);
  tokens_ = std::min(cap(), tokens_);
}

void RetryBudget::deposit(std::uint64_t first_attempts, TimePoint now) {
  advance(now);
  const double tokens = ratio_ * static_cast<double>(first_attempts);
  const auto at = slice_ % static_cast<std::int64_t>(kSlices);
  slices_[static_cast<std::size_t>(at < 0 ? at + static_cast<std::int64_t>(kSlices) : at)] += tokens;
  recent_ += tokens;
  tokens_ = std::min(cap(), tokens_ + tokens);
}

bool RetryBudget::take(TimePoint now, double kept) {
  advance(now);
  if (tokens_ + kRounding < 1 + std::max(kept, 0.0)) return false;
  tokens_ = std::max(0.0, tokens_ - 1);
  return true;
}

double RetryBudget::balance(TimePoint now) const {
  RetryBudget then = *this;
  then.advance(now);
  return then.tokens_;
}

double TokenBucket::available(TimePoint now) const {
  return std::min(burst_, tokens_ + rate_ * seconds_between(last_, now));
}

bool TokenBucket::take(double tokens, TimePoint now) {
  const double there = available(now);
  if (there < tokens) return false;
  tokens_ = there - tokens;
  last_ = std::max(last_, now);
  return true;
}

TimePoint TokenBucket::ready_at(double tokens, TimePoint now) const {
  if (available(now) >= tokens) return now;
  if (tokens > burst_ || rate_ <= 0) return TimePoint::max();
  const double wait = (tokens - tokens_) / rate_;
  constexpr double longest = 1e9;  // seconds; beyond the clock's range there is no "when"
  if (wait > longest) return TimePoint::max();
  TimePoint ready = last_ + std::chrono::nanoseconds(static_cast<std::int64_t>(std::ceil(wait * 1e9)));
  while (available(ready) < tokens) ready += std::chrono::nanoseconds(1);  // rounding of the product, not of the sum
  return std::max(ready, now);
}

}  // namespace understudy::limit
