#include "health/suspicion.hpp"

#include <algorithm>
#include <cmath>

namespace understudy::health {
namespace {

// Evidence that ends in a doubt: a thousand times likelier than what is tolerated; for failures, which hurt at once and of
// which trials soon tell the truth, a hundred times.
constexpr double convincing = 6.9;
constexpr double convincing_failures = 4.6;
constexpr Duration erroring_pause = std::chrono::milliseconds(500);
// With fewer unanswered requests than this, longer patience: one slow request is no pattern.
constexpr std::uint32_t several = 3;
constexpr int patience = 3;
// A doubt that comes back this soon asks for twice as many good trials.
constexpr Duration soon = std::chrono::minutes(1);
constexpr std::uint32_t most_repeats = 4;

// Wald's sequential test, kept from below by zero: how much likelier the outcomes are under `alternative` than `tolerated`.
double score(double before, std::uint64_t good, std::uint64_t bad, double tolerated, double alternative) {
  const double up = std::log(alternative / tolerated), down = std::log((1 - tolerated) / (1 - alternative));
  // Good and bad of one sample came in unknown order: spread evenly.
  return std::clamp(before + static_cast<double>(bad) * up - static_cast<double>(good) * down, 0.0, 3 * convincing);
}

}  // namespace

std::string_view name_of(Suspicion::Why why) {
  switch (why) {
    case Suspicion::Why::none: return "none";
    case Suspicion::Why::overdue: return "overdue";
    case Suspicion::Why::erroring: return "erroring";
    case Suspicion::Why::slow: return "slow";
    case Suspicion::Why::returning: return "returning";
  }
  return "none";
}

std::uint32_t Suspicion::needed_trials() const { return base_trials() << std::min(repeats_, most_repeats); }

std::uint32_t Suspicion::base_trials() const {
  switch (why_) {
    case Why::erroring: return 20;  // 30 % failures pass that once in a thousand times
    case Why::slow: return 8;
    case Why::overdue:
    case Why::returning: return 5;
    case Why::none: break;
  }
  return 0;
}

bool Suspicion::observe(const SuspicionInput& input, TimePoint now) {
  const bool was = suspect(), was_gone = gone_;
  if (input.good + input.bad + input.slow > 0) {
    last_answer_ = last_tried_ = now;
    superseded_ = 0;
  }
  note_superseded(input, now);
  if (input.bad > 0) cause_ = input.cause;
  const bool late = overdue(input, now);
  if (suspect()) {
    on_trials(input, now);
  } else if (late) {
    raise(Why::overdue, now);
    cause_ = Cause::http_timeout;
  } else if (erroring(input)) {
    raise(Why::erroring, now);
  } else if (far_slower(input)) {
    raise(Why::slow, now);
  }
  // Silence: unanswered requests of that age, and nothing but what was under way before has come since. Requests that hedging
  // took away do not tell: they might have been answered, late.
  const bool silent = !last_answer_ || now - *last_answer_ >= gone_after * 3 / 4;
  const bool waits = input.pending > 0 && input.oldest_pending && now - *input.oldest_pending >= gone_after;
  gone_ = suspect() && late && silent && waits;
  return was != suspect() || was_gone != gone_;
}

// Hedging takes requests away before they are overdue: together they are what one of them would have been.
void Suspicion::note_superseded(const SuspicionInput& input, TimePoint now) {
  if (input.superseded == 0) return;
  last_tried_ = now;
  if (superseded_ == 0) superseded_from_ = now - input.superseded_wait;
  superseded_ += input.superseded;
  superseded_to_ = now;
}

Duration Suspicion::silence(const SuspicionInput& input, TimePoint now) const {
  const bool others = superseded_ >= several;
  const TimePoint from = others ? superseded_from_ : now;
  if (input.pending > 0 && input.oldest_pending) return now - std::min(from, *input.oldest_pending);
  return others ? superseded_to_ - from : Duration::zero();  // nobody waits: no longer than they did
}

// Unanswered longer than this endpoint normally needs, and nothing came meanwhile.
bool Suspicion::overdue(const SuspicionInput& input, TimePoint now) {
  if (!input.overdue_after) return false;
  const std::uint64_t unanswered = input.pending + superseded_;
  const Duration limit = unanswered >= several ? *input.overdue_after : patience * *input.overdue_after;
  const Duration age = silence(input, now);
  const bool silent = !last_answer_ || now - *last_answer_ >= std::min<Duration>(limit, age);
  return age >= limit && silent;
}

bool Suspicion::erroring(const SuspicionInput& input) {
  const double tolerated = std::clamp(input.bad_share, 0.001, 0.5);
  error_score_ =
      score(error_score_, input.good + input.slow, input.bad, tolerated, std::clamp(6 * tolerated, 0.3, 0.9));
  return error_score_ >= convincing_failures;
}

bool Suspicion::half_erroring() const { return !suspect() && error_score_ >= convincing_failures / 2; }

bool Suspicion::far_slower(const SuspicionInput& input) {
  if (!input.overdue_after) return false;
  slow_score_ = score(slow_score_, input.good + (input.slow - input.much_slow), input.much_slow, 0.05, 0.4);
  return slow_score_ >= convincing;
}

void Suspicion::on_trials(const SuspicionInput& input, TimePoint now) {
  const std::uint64_t poor = input.bad + (why_ == Why::erroring ? 0 : input.slow + input.superseded);
  const std::uint64_t fine = input.good + (why_ == Why::erroring ? input.slow : 0);
  if (poor > 0 && poor * 5 > poor + fine) {
    good_trials_ = 0;
    pause_ = std::min<Duration>(2 * pause_, longest_pause);
    return;
  }
  if (fine == 0) return;
  good_trials_ += static_cast<std::uint32_t>(std::min<std::uint64_t>(fine, 1000));
  // Sooner again once several in a row were good: where a third fails, two good ones mean little.
  if (good_trials_ * 4 >= needed_trials()) pause_ = std::max<Duration>(pause_ / 2, least_pause);
  // Requests that were sent before the doubt may still be unanswered: they must not be forgotten by an early good one.
  const bool still_waiting = input.oldest_pending && *input.oldest_pending <= since_;
  if (good_trials_ >= needed_trials() && (!still_waiting || now - since_ >= gone_after)) clear(now);
}

void Suspicion::raise(Why why, TimePoint now) {
  if (!suspect()) {
    since_ = now;
    repeats_ = cleared_at_ && now - *cleared_at_ < soon ? std::min(repeats_ + 1, most_repeats) : 0;
  }
  why_ = why;
  good_trials_ = 0;
  pause_ = why == Why::erroring ? erroring_pause : least_pause;
}

void Suspicion::clear(TimePoint now) {
  if (suspect()) cleared_at_ = now;
  why_ = Why::none;
  gone_ = false;
  error_score_ = slow_score_ = 0;
  good_trials_ = 0;
  pause_ = least_pause;
}

void Suspicion::forgive(TimePoint now) {
  clear(now);
  cleared_at_.reset();
  last_answer_ = last_tried_ = now;
  superseded_ = 0;
}

void Suspicion::skip(Duration starved) {
  since_ += starved;
  if (last_answer_) *last_answer_ += starved;
  if (last_tried_) *last_tried_ += starved;
  superseded_ = 0;
}

}  // namespace understudy::health
