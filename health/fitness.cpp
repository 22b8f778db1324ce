#include "health/fitness.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "health/explain.hpp"

namespace understudy::health {
namespace {

constexpr config::Duration first_spread{500};
constexpr config::Duration fast_interval{1000};  // while a verdict is changing

std::optional<double> number_of(const std::string& text) {
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = result.ec == std::errc() && result.ptr == text.data() + text.size();
  if (text.empty() || !whole || !std::isfinite(value)) return std::nullopt;
  return value;
}

config::CheckConfig pace_of(const config::FitnessConfig& request) {
  config::CheckConfig pace;
  pace.interval = request.interval;
  // What is not safe is not asked more often than it was said to be.
  pace.fast_interval = request.is_unsafe ? request.interval : std::min(request.interval, fast_interval);
  pace.timeout = request.timeout;
  return pace;
}

}  // namespace

// ---- values over time

void DataHistory::observe(const std::string& value, Duration patience, TimePoint at) {
  const auto known =
      std::find_if(values_.begin(), values_.end(), [&](const Seen& seen) { return seen.value == value; });
  if (known != values_.end()) {
    known->last = at;
    return;
  }
  const std::optional<double> number = number_of(value);
  if (!values_.empty()) {
    const Seen& newest = values_.back();
    const bool lower = number && newest.number && *number < *newest.number;
    if (lower && at - newest.last <= patience) return;
    if (lower) values_.clear();  // it began anew
  }
  values_.push_back({value, number, at, at});
  if (values_.size() > most_exact) thin(patience, at);
}

// Drops what leaves a gap of less than a sixteenth of its age, and what is older than the oldest one needed. The oldest stays:
// whoever shows something older still is behind by at least its age.
void DataHistory::thin(Duration longest, TimePoint at) {
  while (values_.size() > 2 && at - values_[1].first > memory * longest) values_.pop_front();
  std::size_t kept = 1;
  for (std::size_t i = 1; i < values_.size(); ++i) {
    const bool newest = i + 1 == values_.size();
    if (!newest) {
      const TimePoint next = values_[i + 1].first;
      if ((next - values_[kept - 1].first) * precision <= at - next) continue;
    }
    if (kept != i) values_[kept] = std::move(values_[i]);
    ++kept;
  }
  values_.resize(kept);
  // Only if it changes thousands of times a second.
  while (values_.size() > most_values) values_.erase(values_.begin() + 1);
}

std::optional<Duration> DataHistory::lag(const std::string& value, TimePoint at) const {
  if (values_.empty()) return Duration::zero();
  const auto since = [at](TimePoint then) { return std::max<Duration>(at - then, Duration::zero()); };
  for (auto seen = values_.begin(); seen != values_.end(); ++seen) {
    if (seen->value != value) continue;
    const auto next = std::next(seen);
    return next == values_.end() ? Duration::zero() : since(std::max(seen->last, next->first));
  }
  const std::optional<double> number = number_of(value);
  if (!number || !values_.back().number) return std::nullopt;
  for (const Seen& seen : values_) {
    if (seen.number && *seen.number > *number) return since(seen.first);
  }
  return Duration::zero();  // it is ahead of what was seen last
}

// ---- asking

void Fitness::configure(Requests requests, TimePoint first, Random& random) {
  const Requests had = std::exchange(requests_, std::move(requests));
  std::vector<Asked> before = std::exchange(asked_, {});
  for (const config::FitnessConfig& request : *requests_) {
    Asked& asked = asked_.emplace_back();
    for (std::size_t i = 0; i < before.size(); ++i) {
      if ((*had)[i] == request) asked = std::move(before[i]);
    }
    asked.pace = pace_of(request);
    if (asked.schedule.running()) continue;
    const double spread = static_cast<double>(Duration(std::min(request.interval, first_spread)).count());
    asked.schedule.resume(first + Duration(static_cast<Duration::rep>(spread * random.fraction())));
  }
  running_ = true;
}

void Fitness::stop() {
  running_ = false;
  for (Asked& asked : asked_) {
    asked.schedule.stop();
    asked.threshold.assume(ActiveState::unknown);
    asked.proven_at.reset();
    asked.lag.reset();
    asked.differs_since.reset();
    asked.behind_since.reset();
  }
}

std::optional<Fitness::Start> Fitness::start_due(std::uint64_t& last_run, TimePoint now) {
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    Asked& asked = asked_[i];
    // The answer to the last one is lost: that tells nothing about the endpoint.
    if (asked.schedule.started() && asked.schedule.next_timeout() <= now) {
      asked.schedule.finish();
      if (asked.schedule.running()) asked.schedule.hurry(now);
    }
    const auto next = asked.schedule.next_probe();
    if (!next || *next > now) continue;
    const TimePoint deadline = asked.schedule.start(asked.pace, now);
    asked.started = now;
    asked.run = ++last_run;
    return Start{static_cast<std::uint32_t>(i), asked.run, deadline};
  }
  return std::nullopt;
}

std::optional<std::uint32_t> Fitness::request_of(std::uint64_t run) const {
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    if (asked_[i].run == run && asked_[i].schedule.under_way()) return static_cast<std::uint32_t>(i);
  }
  return std::nullopt;
}

bool Fitness::finish(std::uint64_t run, const ProbeResult& result, DataHistory* history, bool serving, Random& random,
                     TimePoint now) {
  const auto index = request_of(run);
  if (!index) return false;
  Asked& asked = asked_[*index];
  const config::FitnessConfig& request = (*requests_)[*index];
  const bool counts = asked.schedule.finish();
  if (!asked.schedule.running()) return false;
  if (!counts) {
    asked.schedule.hurry(now);
    return false;
  }
  if (result.cause == Cause::own_error) {  // we could not try
    asked.schedule.plan(asked.pace, true, random, now);
    return false;
  }
  ProbeResult weighed = result;
  if (weighed.ok() && request.max_latency && weighed.elapsed > *request.max_latency) {
    weighed.cause = Cause::http_timeout;
    weighed.detail = "answered well, but after " + describe(weighed.elapsed) + " (max_latency " +
                     describe(Duration(*request.max_latency)) + ")";
  }
  const bool good = weighed.ok();
  ++(good ? asked.passed : asked.failed);
  if (good) {
    asked.proven_at = asked.started;
  } else {
    asked.last_bad = weighed;
  }
  const ActiveState before = asked.threshold.state();
  if (asked.threshold.add(good, {request.rise, request.fall, 1})) {
    asked.before = before;
    asked.changed_at = now;
  }
  if (asked.threshold.streak() == 1) asked.streak_since = now;
  asked.last = std::move(weighed);
  asked.last_at = now;
  asked.schedule.plan(asked.pace, asked.threshold.changing(), random, now);
  if (good && history != nullptr) compare(asked, request.compare, result, *history, serving, now);
  return true;
}

void Fitness::compare(Asked& asked, const config::CompareConfig& how, const ProbeResult& result, DataHistory& history,
                      bool serving, TimePoint now) {
  if (!how.given() || !result.value) return;
  const bool same = asked.value == *result.value;
  asked.value = *result.value;
  if (serving) {
    history.observe(*result.value, how.max_lag + 2 * Duration(asked.pace.interval), now);
    asked.lag = Duration::zero();
    asked.differs_since.reset();
    asked.behind_since.reset();
    return;
  }
  // What was behind and still says the same goes on being behind, though the history has forgotten that value by now.
  const std::optional<TimePoint> before = std::exchange(asked.behind_since, std::nullopt);
  asked.lag = history.lag(*result.value, now);
  if (asked.lag) {
    if (*asked.lag > Duration::zero()) asked.behind_since = now - *asked.lag;
    return asked.differs_since.reset();
  }
  if (!asked.differs_since) asked.differs_since = same ? before.value_or(now) : now;
  asked.lag = now - *asked.differs_since;
}

void Fitness::starved(TimePoint from, TimePoint to) {
  for (Asked& asked : asked_) {
    asked.schedule.void_current(to);
    if (asked.last_at && *asked.last_at >= from && !asked.last->ok()) {
      if (asked.changed_at >= from && asked.threshold.state() == ActiveState::unhealthy) {
        asked.threshold.assume(asked.before);
      } else {
        asked.threshold.forget_streak();
      }
    }
    asked.starved_until = to;
    if (asked.differs_since) *asked.differs_since += to - from;
  }
}

// ---- what it amounts to

TimePoint Fitness::proof_ends(const Asked& asked) {
  return std::max(*asked.proven_at, asked.starved_until) + proof_intervals * Duration(asked.pace.interval) +
         Duration(asked.pace.timeout);
}

const config::FitnessConfig& Fitness::config_of(const Asked& asked) const {
  return (*requests_)[static_cast<std::size_t>(&asked - asked_.data())];
}

Fit Fitness::fit_of(const Asked& asked, TimePoint now) const {
  switch (asked.threshold.state()) {
    case ActiveState::unhealthy: return Fit::unfit;
    case ActiveState::unknown: return Fit::unknown;
    case ActiveState::healthy: break;
  }
  const bool behind = asked.lag && *asked.lag > config_of(asked).compare.max_lag;
  // One bad answer is no verdict yet; a proof that is old by itself is.
  const bool old = !asked.threshold.changing() && asked.proven_at && now >= proof_ends(asked);
  return behind || old ? Fit::stale : Fit::fit;
}

std::string Fitness::trouble_of(const Asked& asked, TimePoint now) const {
  const config::FitnessConfig& request = config_of(asked);
  std::string text = request.name + ": ";
  switch (fit_of(asked, now)) {
    case Fit::fit: return "";
    case Fit::unknown: return text + "not answered yet";
    case Fit::unfit:
      text += asked.last_bad ? asked.last_bad->detail : std::string();
      if (asked.last_bad && asked.last_bad->detail.empty()) text += std::string(name_of(asked.last_bad->cause));
      if (asked.threshold.changing()) {
        return text + " until now, " + std::to_string(asked.threshold.streak()) + " of " +
               std::to_string(request.rise) + " good answers to come back";
      }
      return text + "; " + std::to_string(asked.threshold.streak()) + " bad answers in a row (fall " +
             std::to_string(request.fall) + ") since " + describe(now - asked.streak_since);
    case Fit::stale: break;
  }
  if (asked.lag && *asked.lag > request.compare.max_lag) {
    const std::string& what = request.compare.header.empty() ? request.compare.json : request.compare.header;
    return text + what + " is '" + asked.value + "', behind the serving tier by " + describe(*asked.lag) +
           " or more (max_lag " + describe(Duration(request.compare.max_lag)) + ")";
  }
  return text + "not proven since " + describe(now - *asked.proven_at);
}

Fit Fitness::verdict(TimePoint now) const {
  Fit worst = asked_.empty() || !running_ ? Fit::unknown : Fit::fit;
  for (const Asked& asked : asked_) worst = std::max(worst, fit_of(asked, now));
  return worst;
}

std::string Fitness::reason(TimePoint now) const {
  const Fit worst = verdict(now);
  for (const Asked& asked : asked_) {
    if (fit_of(asked, now) == worst && worst != Fit::fit) return trouble_of(asked, now);
  }
  return "";
}

std::optional<TimePoint> Fitness::proven_at() const {
  std::optional<TimePoint> weakest;
  for (const Asked& asked : asked_) {
    if (!asked.proven_at) return std::nullopt;
    weakest = weakest ? std::min(*weakest, *asked.proven_at) : *asked.proven_at;
  }
  return weakest;
}

std::vector<Fitness::Report> Fitness::report(TimePoint now) const {
  std::vector<Report> all;
  all.reserve(asked_.size());
  for (const Asked& asked : asked_) {
    Report& out = all.emplace_back();
    out.name = config_of(asked).name;
    out.fit = fit_of(asked, now);
    if (asked.last) {
      out.detail = asked.last->detail;
      out.elapsed = asked.last->elapsed;
    }
    out.asked_at = asked.last_at;
    out.passed = asked.passed;
    out.failed = asked.failed;
    out.value = asked.value;
    out.lag = asked.lag;
  }
  return all;
}

std::optional<TimePoint> Fitness::next_timeout(TimePoint now) const {
  std::optional<TimePoint> earliest;
  const auto take = [&](std::optional<TimePoint> at) {
    if (at && (!earliest || *at < *earliest)) earliest = at;
  };
  for (const Asked& asked : asked_) {
    take(asked.schedule.next_timeout());
    if (asked.proven_at && asked.threshold.state() == ActiveState::healthy && proof_ends(asked) > now)
      take(proof_ends(asked));
  }
  return earliest;
}

std::string_view name_of(Fit fit) {
  switch (fit) {
    case Fit::fit: return "fit";
    case Fit::unknown: return "unknown";
    case Fit::stale: return "stale";
    case Fit::unfit: return "unfit";
  }
  return "?";
}

}  // namespace understudy::health
