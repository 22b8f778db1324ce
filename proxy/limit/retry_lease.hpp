// A worker's part of a pool's retry budget. It counts first attempts and takes tokens from what was lent to
// it, without asking anybody; the control thread settles what it reports. Pure; one object per pool and
// worker.
//
//   worker                                             control thread
//   on_first_attempt(), take() ─► report(now) ───────► settle(budget, report, workers, now)
//          on_grant() ◄──────────────────────────────┘
//
// Tokens held while a report is under way stay usable; no token is ever in two hands, so the sum of retries
// taken by all workers keeps the budget exactly, however late the messages are.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "proxy/limit/retry_budget.hpp"

namespace understudy::limit {

// Since the report before.
struct LeaseReport {
  std::uint64_t first_attempts = 0;
  double spent = 0;
  double returned = 0;  // reclaimed, and no longer usable
  double held = 0;      // still usable
};

struct LeaseGrant {
  double tokens = 0;   // to add
  double reclaim = 0;  // to stop using, as far as still there, and to return with the next report
};

// Books a report and answers with the worker's next slice.
inline LeaseGrant settle(RetryBudget& budget, const LeaseReport& report, unsigned workers, TimePoint now) {
  budget.deposit(report.first_attempts,
                 now);  // first: while tokens were lent, the floor could not refill their place
  budget.spent(report.spent);
  budget.give_back(report.returned);
  LeaseGrant grant;
  if (const double excess = budget.excess(now); excess > 0) {
    grant.reclaim = std::min(excess, report.held);
    return grant;
  }
  const double fair = (budget.balance(now) + report.held) / std::max(workers, 1U);
  grant.tokens = budget.lease(workers, now, report.held);
  grant.reclaim = std::max(0.0, report.held - std::max(fair, 1.0));
  return grant;
}

class RetryLease {
public:
  void on_first_attempt() { ++first_attempts_; }

  // Pays for a retry, hedge or fall-through, or refuses it. A refused connect with proof of no byte sent
  // costs 0.
  bool take(double cost = 1) {
    constexpr double rounding = 1e-9;
    if (tokens_ + rounding < cost) {
      wants_ = true;
      ++refused_;
      return false;
    }
    tokens_ = std::max(0.0, tokens_ - cost);
    spent_ += cost;
    return true;
  }

  // What is to be sent to the control thread now: at most one report every 10 ms while there is something to
  // say, one every 0.5 s while tokens are held, and none before the answer to the one before has come (then
  // again after 0.5 s).
  std::optional<LeaseReport> report(TimePoint now) {
    const bool something = first_attempts_ > 0 || spent_ > 0 || returning_ > 0 || wants_;
    const auto wait = something && !asked_ ? kSlice : kRenewal;
    if (reported_ && now - *reported_ < wait) return std::nullopt;
    if (!something && tokens_ <= 0) return std::nullopt;
    reported_ = now;
    asked_ = true;
    wants_ = false;
    return LeaseReport{std::exchange(first_attempts_, 0), std::exchange(spent_, 0), std::exchange(returning_, 0),
                       tokens_};
  }

  void on_grant(const LeaseGrant& grant) {
    asked_ = false;
    tokens_ += grant.tokens;
    const double reclaimed = std::min(grant.reclaim, tokens_);
    tokens_ -= reclaimed;
    returning_ += reclaimed;
  }

  double held() const { return tokens_; }
  std::uint64_t refused() const { return refused_; }  // retries that the budget did not allow; for the metrics

  static constexpr std::chrono::milliseconds kSlice{10};
  static constexpr std::chrono::milliseconds kRenewal{500};

private:
  std::uint64_t first_attempts_ = 0;
  std::uint64_t refused_ = 0;
  double tokens_ = 0;
  double spent_ = 0;
  double returning_ = 0;
  bool wants_ = false;
  bool asked_ = false;
  std::optional<TimePoint> reported_;
};

}  // namespace understudy::limit
