// Budgets against retry storms (design §6): each first attempt deposits `ratio`, capped at 10 s of deposits,
// with a floor per second; a retry costs 1. Shared by the workers of a pool through leases, so that the sum
// is exact.
//
// Every token is in one place: here, or lent to a worker until that says what became of it, and what is lent
// counts against the cap. Deposits stop counting after 9 s: with reports and renewals at most 0.5 s late
// (retry_lease.hpp) no retry is ever paid by a deposit older than 10 s. Of the floor, too, at most 10 s are
// kept.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace understudy::limit {

using TimePoint = std::chrono::steady_clock::time_point;

// The pool's budget, owned by the control thread. Pure.
class RetryBudget {
public:
  // Starts with what the floor gives in a second, so that the first requests may be repeated too; it counts on from the first
  // call that tells the time.
  RetryBudget(double ratio, double floor_per_second);
  void deposit(std::uint64_t first_attempts, TimePoint now);  // reported by the workers every 10 ms at most
  // Tokens handed to one of `workers` workers for its next slice: what is there, fairly split, less what it
  // still has (`held`). A share below one token is of no use to anybody: then the first to ask gets what it
  // lacks to a whole one.
  double lease(unsigned workers, TimePoint now, double held = 0);
  // What became of lent tokens; to be told after deposit() brought the budget to the present.
  void give_back(double tokens);  // lent and not used
  void spent(double tokens);      // lent and used: gone, no longer counts against the cap
  // How far what is lent is above the cap; the first to renew gives it back.
  double excess(TimePoint now) const;
  double balance(TimePoint now) const;

private:
  static constexpr std::chrono::milliseconds kSlice{250};
  static constexpr std::size_t kSlices = 36;  // 9 s

  void advance(TimePoint now);
  double cap() const;

  double ratio_;
  double floor_;
  double tokens_ = 0;
  double lent_ = 0;
  double recent_ = 0;  // deposits of the last 9 s: the sum of slices_
  std::array<double, kSlices> slices_{};
  std::int64_t slice_ = 0;  // number of the current one
  bool started_ = false;
  TimePoint last_{};
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
