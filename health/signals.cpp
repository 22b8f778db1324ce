#include "health/signals.hpp"

#include <algorithm>
#include <cmath>

namespace understudy::health {
namespace {

constexpr double learning_limit = 1.5;  // times the baseline's median: beyond it nothing is learned
constexpr Duration least_overdue = std::chrono::milliseconds(100);
constexpr Duration least_hedge = std::chrono::milliseconds(10);
constexpr Duration least_margin = std::chrono::milliseconds(20);

struct Counted {
  double good = 0, bad = 0;
};
Counted count(const TrafficSample& sample) {
  Counted result;
  result.good = static_cast<double>(sample.successes);
  for (std::size_t i = 1; i < sample.failures.size(); ++i) {
    if (static_cast<Cause>(i) != Cause::own_error) result.bad += static_cast<double>(sample.failures[i]);
  }
  return result;
}

}  // namespace

void OutcomeMemory::add(double good, double bad, TimePoint now) {
  if (now > faded_at_ && weight() > 0) {
    const double halves = std::chrono::duration<double>(now - faded_at_) / std::chrono::duration<double>(half_life_);
    const double factor = std::exp2(-halves);
    good_ *= factor;
    bad_ *= factor;
  }
  faded_at_ = std::max(faded_at_, now);
  good_ += good;
  bad_ += bad;
}

void OutcomeMemory::merge(const OutcomeMemory& other) {
  good_ += other.good_;
  bad_ += other.bad_;
  faded_at_ = std::max(faded_at_, other.faded_at_);
}

void SignalWindow::add(const TrafficSample& sample, TimePoint now) {
  first_byte.add(sample.first_byte, now);
  first_byte.add_at_least(sample.superseded, now);
  websocket_open.add(sample.websocket_open, now);
  const Counted counted = count(sample);
  outcomes.add(counted.good, counted.bad, now);
}

void SignalWindow::merge(const SignalWindow& other) {
  first_byte.merge(other.first_byte);
  websocket_open.merge(other.websocket_open);
  outcomes.merge(other.outcomes);
}

bool Signals::usual(const LatencyCounts& counts) const {
  if (normal_.weight() < thin_baseline) return true;
  const auto limit =
      Duration(static_cast<Duration::rep>(static_cast<double>(normal_.quantile(0.5).count()) * learning_limit)) +
      std::chrono::milliseconds(1);
  return counts.above(limit) * 2 <= counts.total;
}

void Signals::observe(const TrafficSample& sample, bool learn, TimePoint now) {
  const Counted counted = count(sample);
  if (counted.good + counted.bad > 0) {
    if (newest_ && silent(now)) forget_recent();
    newest_ = now;
  }
  brief_.add(sample, now);
  recent_.add(sample, now);
  connect_.add(sample.connect, now);
  if (sample.first_byte.total > 0) newest_answers_ = sample.first_byte;
  if (learn && sample.first_byte.total > 0 && usual(sample.first_byte)) {
    normal_.add(sample.first_byte, now);
    normal_.add_at_least(sample.superseded, now);  // or the slow tail would be forgotten, and ever more be hedged
  }
}

void Signals::observe_probe(const ProbeResult& result, TimePoint now) {
  if (result.cause == Cause::own_error) return;
  LatencyCounts took;
  if (result.ok()) took.record(result.elapsed);
  probe_time_.add(took, now);
  probe_outcomes_.add(result.ok() ? 1 : 0, result.ok() ? 0 : 1, now);
}

void Signals::forget_recent() {
  brief_ = SignalWindow(brief_half_life);
  recent_ = SignalWindow(recent_half_life);
  newest_answers_ = {};
}

const SignalWindow* Signals::window(double least, TimePoint now) const {
  if (silent(now)) return nullptr;
  if (brief_.outcomes.weight() >= least) return &brief_;
  if (recent_.outcomes.weight() >= least) return &recent_;
  return nullptr;
}

std::optional<Duration> Signals::overdue_after() const {
  if (normal_.weight() < thin_baseline) return std::nullopt;
  return std::max<Duration>(3 * normal_.quantile(0.99), least_overdue);
}

std::optional<Duration> Signals::hedge_after() const {
  if (normal_.weight() < thin_baseline) return std::nullopt;
  return std::max<Duration>({normal_.quantile(0.99), 3 * normal_.quantile(0.5), least_hedge});
}

std::optional<Duration> Signals::normal_limit() const {
  if (normal_.weight() < thin_baseline) return std::nullopt;
  const Duration p95 = normal_.quantile(0.95);
  return std::max<Duration>(2 * p95, p95 + least_margin);
}

std::optional<Duration> Signals::far_limit() const {
  if (normal_.weight() < thin_baseline) return std::nullopt;
  const Duration p95 = normal_.quantile(0.95);
  return std::max<Duration>(5 * p95, p95 + 2 * least_margin);
}

void Signals::restore_normal(Duration p50, Duration p95, TimePoint now) {
  LatencyCounts counts;
  counts.record(p50, 180);
  counts.record(p95, 20);
  normal_.clear();
  normal_.add(counts, now);
}

}  // namespace understudy::health
