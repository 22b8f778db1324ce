#include "health/opening_watch.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "health/explain.hpp"

namespace understudy::health {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double thin = 10;   // openings below which nothing is called normal
constexpr double enough = 3;  // openings that say something about now
constexpr std::uint32_t in_a_row = 3;
constexpr std::uint32_t several = 2;  // one that waits may have a reason of its own
constexpr std::uint32_t proofs = 3;
constexpr Duration least_margin = milliseconds(200);  // beyond what is normal, where the operator says nothing
constexpr Duration learning_margin = milliseconds(20);
constexpr Duration least_dwell = milliseconds(200);
constexpr Duration forgotten = seconds(60);  // what was opened before says nothing of now
constexpr Duration untried = seconds(10);
// Trials: few where it is known to be late, in quick succession once it may be well.
constexpr Duration least_pause = seconds(1), longest_pause = seconds(4), brief_pause = milliseconds(100);
constexpr double trial_share = 0.1;
// Who opens well with little to do need not do so with much: it gets more step by step before it gets all.
constexpr std::array<double, 3> step_share{0.25, 0.5, 0.9};
constexpr Duration step_time = milliseconds(1500);
constexpr Duration step_patience = seconds(5);  // where few are opened there is no load to be proven under
constexpr Duration unwanted = seconds(30);      // who is late and not asked: perhaps it no longer is
constexpr Duration relapse_memory = seconds(300);
constexpr Duration least_wait = seconds(10), longest_wait = seconds(300);  // for proofs, after a relapse
constexpr std::uint32_t most_relapses = 6;

}  // namespace

std::string_view name_of(OpeningWatch::State state) {
  switch (state) {
    case OpeningWatch::State::normal: return "";
    case OpeningWatch::State::late: return "slow";
    case OpeningWatch::State::returned: return "returning";
  }
  return "";
}

std::optional<Duration> OpeningWatch::limit(const config::DegradedConfig& policy) const {
  if (policy.websocket_open_p95) return *policy.websocket_open_p95;
  const std::optional<Duration> own = own_limit(policy);
  return own ? own : peers_;
}

std::optional<Duration> OpeningWatch::own_limit(const config::DegradedConfig& policy) const {
  if (!policy.latency_factor || normal_.weight() < thin) return std::nullopt;
  const Duration usual = normal_.quantile(0.95);
  const double times = static_cast<double>(usual.count()) * *policy.latency_factor;
  return std::max<Duration>(Duration(static_cast<Duration::rep>(times)), usual + least_margin);
}

std::optional<OpeningTrials> OpeningWatch::trials(const config::DegradedConfig& policy) const {
  if (!slow()) return std::nullopt;
  OpeningTrials trials;
  const bool hopeful = state_ == State::returned || went_well_ > 0;
  trials.pause = hopeful ? brief_pause : pause_;
  trials.share = hopeful ? 1 : trial_share;
  if (step_ > 0) {
    trials.pause = Duration::zero();
    trials.share = step_share.at(step_ - 1);
  }
  trials.limit = limit(policy);
  return trials;
}

std::uint32_t OpeningWatch::relapses(TimePoint now) const {
  const auto forgotten_since =
      static_cast<std::uint32_t>(std::clamp<Duration::rep>((now - relapsed_at_) / relapse_memory, 0, most_relapses));
  return relapses_ - std::min(relapses_, forgotten_since);
}

void OpeningWatch::relapsed(TimePoint now) {
  relapses_ = std::min(relapses(now) + 1, most_relapses);
  relapsed_at_ = now;
  proofs_from_ = now + std::min<Duration>(least_wait * (1 << (relapses_ - 1)), longest_wait);
}

void OpeningWatch::begin_step(std::uint32_t step, TimePoint now) {
  step_ = step;
  step_since_ = now;
  step_good_ = step_late_ = went_well_ = 0;
  pause_ = least_pause;
}

bool OpeningWatch::enter(State state, TimePoint now) {
  const bool changed = state != state_;
  if (state == State::late && trusted_at_ && now - *trusted_at_ < relapse_memory) relapsed(now);
  if (state == State::late) {
    was_late_ = true;
    trusted_at_.reset();
  } else if (state == State::normal && std::exchange(was_late_, false)) {
    trusted_at_ = now;
  }
  state_ = state;
  since_ = now;
  late_in_row_ = 0;
  begin_step(0, now);
  breached_since_.reset();
  brief_ = OutcomeMemory(seconds(2));
  return changed;
}

bool OpeningWatch::returned(const config::DegradedConfig& policy, TimePoint now) {
  if (slow() || !limit(policy)) return false;
  return enter(State::returned, now);
}

std::optional<TimePoint> OpeningWatch::expires(std::optional<TimePoint> serving) const {
  if (step_ > 0 && step_late_ == 0) return step_since_ + step_patience;
  if (state_ == State::late || step_ > 0) {
    return std::max({since_, last_, step_since_, proofs_from_}) + unwanted;
  }
  if (state_ != State::returned || !serving) return std::nullopt;
  return std::max({since_, last_, *serving}) + untried;
}

bool OpeningWatch::expire(std::optional<TimePoint> serving, TimePoint now) {
  const auto at = expires(serving);
  if (!at || now < *at) return false;
  if (step_ > 0 && step_late_ == 0) {
    end_step(now);
    return true;
  }
  enter(state_ == State::returned && step_ == 0 ? State::normal : State::returned, now);
  return true;
}

void OpeningWatch::forgive() {
  went_well_ = late_in_row_ = step_good_ = step_late_ = 0;
  breached_since_.reset();
  brief_ = OutcomeMemory(seconds(2));
}

// So that a slow ramp never becomes the norm.
bool OpeningWatch::usual(const LatencyCounts& opened) const {
  if (normal_.weight() < thin) return true;
  return opened.above(normal_.quantile(0.5) * 3 / 2 + learning_margin) * 2 <= opened.total;
}

bool OpeningWatch::observe(const TrafficSample& sample, const config::DegradedConfig& policy, TimePoint now) {
  const LatencyCounts& opened = sample.websocket_open;
  const std::optional<Duration> most = limit(policy);
  if (!most) {
    if (opened.total > 0) normal_.add(opened, now);
    return slow() && enter(State::normal, now);
  }
  Seen seen;
  const Duration waits = sample.oldest_opening ? now - *sample.oldest_opening : Duration::zero();
  const auto timed_out = sample.failures[static_cast<std::size_t>(Cause::ws_timeout)];
  const std::uint32_t above = std::min(opened.above(*most), opened.total);
  seen.good = opened.total - above;
  seen.late =
      above + sample.openings_left + static_cast<std::uint32_t>(std::min<std::uint64_t>(timed_out, UINT32_MAX / 4));
  seen.timed_out = timed_out > 0;
  seen.one_waits = waits > *most;
  seen.waiting = seen.one_waits && sample.opening_pending >= several;
  if (seen.late > 0) seen.longest = std::max(above > 0 ? opened.longest() : *most, *most);
  if (seen.one_waits) seen.longest = std::max(seen.longest, waits);
  if (seen.good + seen.late > 0) {
    if (now - last_ >= forgotten) forgive();
    last_ = now;
  } else if (slow() && seen.one_waits) {
    last_ = now;  // it is asked
  }
  if (!slow() && opened.total > 0 && seen.late == 0 && usual(opened)) normal_.add(opened, now);
  return judge(seen, *most, policy, now);
}

bool OpeningWatch::observe_probe(const ProbeResult& result, const config::DegradedConfig& policy, TimePoint now) {
  const std::optional<Duration> most = limit(policy);
  const bool late = result.cause == Cause::ws_timeout || (result.ok() && most && result.elapsed > *most);
  if (!most || (!result.ok() && !late)) return false;
  Seen seen;
  (late ? seen.late : seen.good) = 1;
  if (late) seen.longest = result.elapsed;
  seen.timed_out = late && !result.ok();
  last_ = now;
  if (step_ > 0 && !late) return end_step(now);  // one more is no proof that it bears many
  return judge(seen, *most, policy, now);
}

bool OpeningWatch::judge(const Seen& seen, Duration most, const config::DegradedConfig& policy, TimePoint now) {
  if (slow()) return judge_trials(seen, now);
  if (seen.good + seen.late > 0) brief_.add(seen.good, seen.late, now);
  if (seen.good > 0) late_in_row_ = 0;
  late_in_row_ += seen.late;
  const bool row = late_in_row_ + (seen.one_waits ? 1 : 0) >= in_a_row;
  if (!seen.waiting && !row && !(brief_.weight() >= enough && brief_.bad_share() > 0.5)) {
    breached_since_.reset();
    return false;
  }
  if (!breached_since_) {
    breached_since_ = now;
    timed_out_ = false;
  }
  if (seen.longest > Duration::zero()) value_ = seen.longest;
  timed_out_ |= seen.timed_out;
  // The worse it is, the less time is given to it.
  const bool far = timed_out_ || value_ >= most * 3 / 2;
  const Duration dwell = far ? least_dwell : std::max<Duration>(policy.dwell, least_dwell);
  return now - *breached_since_ >= dwell && enter(State::late, now);
}

// Does it bear what it is given? A few may be late for reasons of their own.
bool OpeningWatch::judge_step(const Seen& seen, TimePoint now) {
  step_good_ += seen.good;
  step_late_ += seen.late;
  if (seen.longest > Duration::zero()) {
    value_ = seen.longest;
    timed_out_ = seen.timed_out;
  }
  if (!seen.waiting && (step_late_ < several || step_late_ * 10 <= step_good_)) return end_step(now);
  relapsed(now);
  return enter(State::late, now);
}

bool OpeningWatch::end_step(TimePoint now) {
  const bool well = step_good_ >= proofs && step_late_ * 3 <= step_good_;
  const bool idle = step_late_ == 0 && now - step_since_ >= step_patience;
  if (!idle && (!well || now - step_since_ < step_time)) return false;
  if (step_ == step_share.size()) return enter(State::normal, now);
  begin_step(step_ + 1, now);
  return false;
}

bool OpeningWatch::judge_trials(const Seen& seen, TimePoint now) {
  if (step_ > 0) return judge_step(seen, now);
  if (seen.late > 0 || seen.one_waits) {
    value_ = seen.longest;
    timed_out_ = seen.timed_out;
    // One that waits is the same trial all the time.
    if (seen.late > 0 && state_ == State::late)
      pause_ = went_well_ > 0 ? least_pause : std::min(pause_ * 2, longest_pause);
    went_well_ = 0;
    return state_ == State::returned && enter(State::late, now);
  }
  if (state_ == State::late && now < proofs_from_) return false;
  went_well_ += seen.good;
  if (went_well_ < proofs) return false;
  if (!was_late_) return enter(State::normal, now);
  begin_step(1, now);
  return false;
}

std::string OpeningWatch::describe(const config::DegradedConfig& policy) const {
  if (state_ == State::normal) return {};
  if (state_ == State::returned)
    return "it was away, and " + std::to_string(proofs) + " openings in a row have to take what is normal first";
  std::string text = timed_out_ ? "openings time out" : "openings take " + health::describe(value_);
  if (const auto most = limit(policy))
    text += ", limit " + health::describe(*most) +
            (policy.websocket_open_p95 ? " (websocket_open_p95)" : " (latency_factor times what is normal)");
  if (step_ > 0) text += "; better since, and given more step by step";
  return text;
}

}  // namespace understudy::health
