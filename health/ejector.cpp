#include "health/ejector.hpp"

#include <algorithm>
#include <limits>

namespace understudy::health {
namespace {

struct Failures {
  std::uint64_t upstream = 0, connections = 0;
  Cause most = Cause::none;
  bool own = false;
};

Failures sum(const TrafficSample& sample) {
  Failures result;
  std::uint64_t highest = 0;
  for (std::size_t i = 1; i < sample.failures.size(); ++i) {
    const std::uint64_t n = sample.failures[i];
    const auto cause = static_cast<Cause>(i);
    if (n == 0) continue;
    if (cause == Cause::own_error) {
      result.own = true;
      continue;
    }
    result.upstream += n;
    const CauseClass cls = class_of(cause);
    if (cls == CauseClass::refused || cls == CauseClass::unreachable) result.connections += n;
    if (n > highest) {
      highest = n;
      result.most = cause;
    }
  }
  return result;
}

std::uint32_t narrow(std::uint64_t n) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(n, std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace

Evidence Ejector::observe(const TrafficSample& sample) {
  Failures failures = sum(sample);
  const std::uint32_t now = sample.consecutive_failures;
  // The running count fell: there was a success in between, and what was forgiven before it is gone with it.
  const bool interrupted = sample.successes > 0 || now < last_consecutive_;
  if (now < last_consecutive_ || (sample.successes > 0 && now <= failures.upstream)) forgiven_ = 0;
  if (interrupted) run_ = run_connections_ = 0;
  // A sample may be a bare "this many in a row by now", without causes.
  if (failures.upstream == 0 && !failures.own && !interrupted) failures.upstream = now - last_consecutive_;
  run_ += failures.upstream;
  run_connections_ += failures.connections;
  if (failures.most != Cause::none) run_cause_ = failures.most;
  last_consecutive_ = now;

  const std::uint32_t unforgiven = now > forgiven_ ? now - forgiven_ : 0;
  grounds_.failures = narrow(std::min<std::uint64_t>(unforgiven, run_));
  grounds_.connections = narrow(std::min<std::uint64_t>(unforgiven, run_connections_));
  grounds_.cause = run_cause_;
  return grounds_;
}

void Ejector::forgive() {
  forgiven_ = last_consecutive_;
  run_ = run_connections_ = 0;
  grounds_ = {};
}

void Ejector::disregard(const TrafficSample& sample) {
  last_consecutive_ = sample.consecutive_failures;
  forgive();
}

void Ejector::take_out(State state, const config::PassiveConfig& policy, TimePoint now) {
  const std::uint32_t again = state_ == State::suspect ? 1 : 0;  // a suspect that is ejected is out once, not twice
  const std::uint32_t earlier = ejections(policy, now) - again;
  since_ = now;
  until_ = now + ejection_time(policy, earlier);
  ejections_ = earlier < std::numeric_limits<std::uint32_t>::max() ? earlier + 1 : earlier;
  good_since_.reset();
  state_ = state;
}

void Ejector::eject(const config::PassiveConfig& policy, TimePoint now) { take_out(State::ejected, policy, now); }

void Ejector::suspect(const config::PassiveConfig& policy, TimePoint now) { take_out(State::suspect, policy, now); }

void Ejector::readmit(TimePoint now) {
  state_ = State::in;
  good_since_ = now;
  forgive();
}

void Ejector::revoke() {
  if (state_ != State::in && ejections_ > 0) --ejections_;
  state_ = State::in;
  forgive();
}

void Ejector::restore(std::uint32_t ejections, std::optional<Duration> left, TimePoint now) {
  ejections_ = ejections;
  if (left && *left > Duration::zero()) {
    state_ = State::ejected;
    since_ = now;
    until_ = now + *left;
  } else {
    good_since_ = now;
  }
}

std::optional<TimePoint> Ejector::until() const {
  if (state_ == State::in) return std::nullopt;
  return until_;
}

std::uint32_t Ejector::ejections(const config::PassiveConfig& policy, TimePoint now) const {
  if (!good_since_ || now <= *good_since_) return ejections_;
  const auto earned = (now - *good_since_) / ejection_good_time(policy);
  return earned >= static_cast<std::int64_t>(ejections_) ? 0 : ejections_ - static_cast<std::uint32_t>(earned);
}

Duration ejection_time(const config::PassiveConfig& policy, std::uint32_t earlier) {
  const Duration most = policy.max_ejection;
  Duration time = policy.base_ejection;
  const std::uint32_t doublings = std::min<std::uint32_t>(earlier, 40);  // 2^40 times anything is above any maximum
  for (std::uint32_t i = 0; i < doublings && time < most; ++i) time *= 2;
  return std::min(time, most);
}

Duration ejection_good_time(const config::PassiveConfig& policy) {
  return std::max<Duration>(policy.base_ejection * 6, std::chrono::milliseconds(1));
}

bool may_eject(const config::PassiveConfig& policy, std::size_t size, std::size_t ejected,
               std::size_t others_available) {
  if (others_available == 0) return false;
  // A share that rounds to nothing still lets one of several go; the rule above keeps the last.
  const auto share = static_cast<std::size_t>(policy.max_ejected * static_cast<double>(size));
  const std::size_t most = policy.max_ejected <= 0 ? 0 : std::max<std::size_t>(share, 1);
  return ejected < most;
}

}  // namespace understudy::health
