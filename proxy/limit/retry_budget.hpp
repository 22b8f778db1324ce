// Budgets against retry storms (design §6): each first attempt deposits `ratio`, capped at 10 s of deposits,
// with a floor per second, of which at most 10 s are kept too; a retry costs 1.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace understudy::limit {

using TimePoint = std::chrono::steady_clock::time_point;

// A pool's budget. Pure; who shares it between threads guards it.
class RetryBudget {
public:
  // Starts with what the floor gives in a second, so that the first requests may be repeated too; it counts on from the first
  // call that tells the time.
  RetryBudget(double ratio, double floor_per_second);
  void deposit(std::uint64_t first_attempts, TimePoint now);
  // Pays for one retry, or refuses it. `kept`: tokens that have to be left (FairShare).
  bool take(TimePoint now, double kept = 0);
  double balance(TimePoint now) const;

private:
  static constexpr std::chrono::milliseconds kSlice{250};
  static constexpr std::size_t kSlices = 40;  // 10 s

  void advance(TimePoint now);
  double cap() const;

  double ratio_;
  double floor_;
  double tokens_ = 0;
  double recent_ = 0;  // deposits of the last 10 s: the sum of slices_
  std::array<double, kSlices> slices_{};
  std::int64_t slice_ = 0;  // number of the current one
  bool started_ = false;
  TimePoint last_{};
};

// At most a share of all requests: each lays aside that much of a token, up to `most` of them. No time is involved, so that
// a site with few requests has its share too.
class RequestShare {
public:
  explicit RequestShare(double share, double most = 50) : share_(share), most_(most) {}
  void deposit(std::uint64_t requests) { tokens_ = std::min(most_, tokens_ + share_ * static_cast<double>(requests)); }
  bool has_one() const { return tokens_ + kRounding >= 1; }
  void take_one() { tokens_ = std::max(0.0, tokens_ - 1); }  // or what is left

private:
  static constexpr double kRounding = 1e-9;
  double share_, most_;
  double tokens_ = 0;
};

// Plain token bucket whose only clock is an argument (rates of log lines, auth attempts, accepts).
class TokenBucket {
public:
  // Starts full. A rate of 0 never refills.
  TokenBucket(double rate_per_second, double burst) : rate_(rate_per_second), burst_(burst), tokens_(burst) {}
  bool take(double tokens, TimePoint now);
  TimePoint ready_at(double tokens, TimePoint now) const;  // when take() would succeed; max() for never

private:
  double available(TimePoint now) const;

  double rate_, burst_, tokens_;
  TimePoint last_{};
};

}  // namespace understudy::limit
