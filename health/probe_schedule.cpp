#include "health/probe_schedule.hpp"

#include <algorithm>

namespace understudy::health {

void ProbeSchedule::resume(TimePoint first) {
  running_ = true;
  next_ = first;
  if (under_way_) void_ = true;
}

void ProbeSchedule::stop() {
  running_ = false;
  if (under_way_) void_ = true;
}

TimePoint ProbeSchedule::start(const config::CheckConfig& check, TimePoint now) {
  under_way_ = true;
  void_ = false;
  started_ = now;
  given_up_ = now + check.timeout + answer_slack;
  return now + check.timeout;
}

bool ProbeSchedule::finish() {
  const bool counts = !void_;
  under_way_ = false;
  void_ = false;
  return counts;
}

void ProbeSchedule::plan(const config::CheckConfig& check, bool changing, Random& random, TimePoint now) {
  next_ = std::max(now, started_ + jittered_interval(check, changing, random));
}

void ProbeSchedule::void_current(TimePoint now) {
  if (!under_way_) return;
  void_ = true;
  given_up_ = now + void_slack;
}

void ProbeSchedule::hurry(TimePoint now) { next_ = std::min(next_, now); }

std::optional<TimePoint> ProbeSchedule::next_timeout() const {
  if (under_way_) return given_up_;
  return next_probe();
}

std::optional<TimePoint> ProbeSchedule::next_probe() const {
  if (!running_ || under_way_) return std::nullopt;
  return next_;
}

Duration jittered_interval(const config::CheckConfig& check, bool changing, Random& random) {
  const Duration interval = changing ? std::min(check.fast_interval, check.interval) : check.interval;
  const double factor = 0.9 + 0.2 * random.fraction();
  return Duration(static_cast<Duration::rep>(static_cast<double>(interval.count()) * factor));
}

Duration first_probe_spread(const config::CheckConfig& check, std::size_t endpoints) {
  const Duration wanted = std::chrono::milliseconds(std::max<std::size_t>(endpoints, 50));
  return std::min<Duration>(wanted, check.interval);
}

}  // namespace understudy::health
