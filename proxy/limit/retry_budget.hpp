// Budgets against retry storms (design §6): each first attempt deposits `ratio`, capped at 10 s of deposits, with a floor
// per second; a retry costs 1. Shared by the workers of a pool through leases, so that the sum is exact.
#pragma once

#include <chrono>
#include <cstdint>

namespace understudy::limit {

using TimePoint = std::chrono::steady_clock::time_point;

// The pool's budget, owned by the control thread. Pure.
class RetryBudget {
public:
  RetryBudget(double ratio, double floor_per_second);
  void deposit(std::uint64_t first_attempts, TimePoint now);   // reported by the workers every 10 ms at most
  // Tokens handed to one of `workers` workers for its next slice: what is there, fairly split.
  double lease(unsigned workers, TimePoint now);
  void give_back(double tokens);
  double balance(TimePoint now) const;

private:
  double ratio_;
  double floor_;
  double tokens_;
  double recent_ = 0;
  TimePoint last_{};
};

// Plain token bucket whose only clock is an argument (rates of log lines, auth attempts, accepts).
class TokenBucket {
public:
  TokenBucket(double rate_per_second, double burst) : rate_(rate_per_second), burst_(burst), tokens_(burst) {}
  bool take(double tokens, TimePoint now);
  TimePoint ready_at(double tokens, TimePoint now) const;   // when take() would succeed

private:
  double rate_, burst_, tokens_;
  TimePoint last_{};
};

}  // namespace understudy::limit
