#include "health/tier_watch.hpp"

#include <algorithm>
#include <cmath>

#include "health/explain.hpp"

namespace understudy::health {
namespace {

constexpr double comparable_samples = 5;
constexpr double lower_p95 = 0.8;      // a fifth lower is better
constexpr double error_margin = 0.02;  // error shares nearer than this are alike
constexpr Duration relative_margin = std::chrono::milliseconds(100);
constexpr double hysteresis = 0.9;  // neither beyond the threshold nor well below it
constexpr double most_suspects = 0.8;
constexpr Duration fresh_time = std::chrono::seconds(1);
constexpr Duration newest_time = std::chrono::milliseconds(300);  // a few samples
// Slower than itself is weaker evidence than slower than the operator allows: no hurry, whatever the factor.
constexpr double most_relative_severity = 1.2;
constexpr Duration traffic_margin = std::chrono::milliseconds(2);
constexpr Duration probe_margin = std::chrono::milliseconds(50);

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
Duration from_seconds(double value) { return Duration(static_cast<Duration::rep>(value * 1e9)); }

std::optional<Measure> measure(const LatencyMemory& time, const OutcomeMemory& outcomes) {
  if (outcomes.weight() < comparable_samples) return std::nullopt;
  return Measure{outcomes.weight(), outcomes.bad_share(), time.quantile(0.95)};
}

// `margin`: differences below it are noise.
std::optional<bool> better(const std::optional<Measure>& candidate, const std::optional<Measure>& serving,
                           Duration margin, double tolerated) {
  if (!candidate || !serving) return std::nullopt;
  const double errors = candidate->bad_share - serving->bad_share;
  if (errors > error_margin) return false;
  // Nothing of the serving tier is answered: any answer is faster.
  const bool faster = candidate->p95 > Duration::zero() && serving->p95 > Duration::zero() &&
                      seconds(candidate->p95) <= lower_p95 * seconds(serving->p95) &&
                      candidate->p95 + margin <= serving->p95;
  const bool slower = candidate->p95 > Duration::zero() && serving->p95 > Duration::zero() &&
                      seconds(candidate->p95) * lower_p95 >= seconds(serving->p95);
  if (errors < -error_margin) return !slower || errors < -0.1;
  return faster && candidate->bad_share <= tolerated;
}

}  // namespace

void TierSignals::merge(const Signals& endpoint, TimePoint now) {
  if (!endpoint.silent(now)) {
    brief.merge(endpoint.brief());
    recent.merge(endpoint.recent());
    // Of one that is asked no more, the newest tell of the time before.
    if (endpoint.newest() && now - *endpoint.newest() <= newest_time) newest_answers.add(endpoint.newest_answers());
  }
  normal.merge(endpoint.normal());
  probe_time.merge(endpoint.probe_time());
  probe_outcomes.merge(endpoint.probe_outcomes());
  if (endpoint.newest() && (!newest || *endpoint.newest() > *newest)) newest = endpoint.newest();
}

Comparison compare(const Quality& candidate, const Quality& serving, double tolerated) {
  std::optional<bool> result = better(candidate.traffic, serving.traffic, traffic_margin, tolerated);
  if (!result) {
    // Probes may call a tier better, when the difference is plain; alike they say nothing: a fast health page proves no
    // fast application.
    const std::optional<bool> by_probes = better(candidate.probes, serving.probes, probe_margin, tolerated);
    if (by_probes && *by_probes) result = true;
  }
  if (!result) return Comparison::unknown;
  return *result ? Comparison::better : Comparison::same_or_worse;
}

std::string describe(const Quality& quality) {
  const auto text = [](const Measure& m, const char* what) {
    return "p95 " + describe(m.p95) + ", " + describe_share(m.bad_share) + " failures in " +
           std::to_string(std::lround(m.samples)) + " " + what;
  };
  if (quality.traffic) return text(*quality.traffic, "requests");
  if (quality.probes) return text(*quality.probes, "probes");
  return "not measured";
}

void TierWatch::judge(Signal signal, double value, double threshold, bool enough, double samples, Duration dwell,
                      TimePoint now) {
  Judged& judged = at(signal);
  if (threshold <= 0) return judged.dwell.reset();
  judged.dwell.observe(value / threshold, enough, dwell, now);
  if (!enough) return;
  judged.value = value;
  judged.threshold = threshold;
  judged.samples = samples;
}

void TierWatch::observe(const config::DegradedConfig& policy, const TierSignals& signals, bool serving, TimePoint now) {
  const bool fresh = signals.waiting || (signals.newest && now - *signals.newest <= fresh_time);
  if (!fresh && !serving) {
    for (Judged& judged : judged_) judged.dwell.observe(0, true, policy.dwell, now);
    quality_.traffic.reset();
    quality_.probes = measure(signals.probe_time, signals.probe_outcomes);
    return;
  }
  const double least = policy.min_requests;
  const bool brisk = signals.brief.outcomes.weight() >= least;
  const SignalWindow& window = brisk ? signals.brief : signals.recent;
  const double samples = window.outcomes.weight();
  const bool enough = samples >= least && fresh;
  // Little traffic is judged over a long time, so what is over must not be held against it: the newest answers decide
  // whether it still is so.
  const auto still = [&](double newest_share, double share_allowed) {
    return brisk || signals.brief.outcomes.weight() < 1 || newest_share > share_allowed;
  };

  const double errors = window.outcomes.bad_share();
  const bool errors_now = still(signals.brief.outcomes.bad_share(), 0);
  judge(Signal::errors, errors_now ? errors : 0, policy.error_rate.value_or(0), enough, samples, policy.dwell, now);

  double p95 = seconds(window.first_byte.quantile(0.95));
  if (signals.waiting) p95 = std::max(p95, seconds(*signals.waiting));
  const bool timed = window.first_byte.weight() + (window.outcomes.bad_share() * samples) >= least;
  const auto latency = [&](Signal signal, double threshold) {
    const bool now_too = threshold > 0 && still(signals.brief.first_byte.share_above(from_seconds(threshold)), 0.05);
    double value = now_too ? p95 : 0;
    // The windows still hold what is over; the newest answers do not.
    const bool over = !signals.waiting && signals.newest_answers.total >= comparable_samples && threshold > 0 &&
                      signals.newest_answers.above(from_seconds(threshold)) == 0;
    if (over) value = std::min(value, threshold * hysteresis);
    if (signal == Signal::latency_factor && threshold > 0) value = std::min(value, threshold * most_relative_severity);
    judge(signal, value, threshold, enough && timed, samples, policy.dwell, now);
    if (enough && now_too) at(signal).value = p95;
  };
  latency(Signal::latency, policy.latency_p95 ? seconds(*policy.latency_p95) : 0);
  const Duration usual = signals.normal.quantile(0.95);
  const bool known = policy.latency_factor && signals.normal.weight() >= thin_baseline;
  latency(Signal::latency_factor,
          known ? std::max(seconds(usual) * *policy.latency_factor, seconds(usual + relative_margin)) : 0);

  // A tier of suspects is left alone where there is a choice, and so has little traffic to be judged by.
  judge(Signal::doubted, signals.suspects, most_suspects, serving, samples, policy.dwell, now);

  quality_.traffic = measure(signals.brief.first_byte, signals.brief.outcomes);
  if (!quality_.traffic) quality_.traffic = measure(signals.recent.first_byte, signals.recent.outcomes);
  if (quality_.traffic && signals.waiting) quality_.traffic->p95 = std::max(quality_.traffic->p95, *signals.waiting);
  quality_.probes = measure(signals.probe_time, signals.probe_outcomes);
  normal_ = {signals.normal.weight(), 0, usual};
}

void TierWatch::reset() {
  for (Judged& judged : judged_) judged.dwell.reset();
}

void TierWatch::skip(Duration starved) {
  for (Judged& judged : judged_) judged.dwell.skip(starved);
}

std::optional<TierWatch::Finding> TierWatch::degraded() const {
  std::optional<Finding> worst;
  double severity = -1;  // what was breached stays so until it has been well for long enough, also when nobody asks
  for (std::size_t i = 0; i < judged_.size(); ++i) {
    const Judged& judged = judged_[i];
    if (!judged.dwell.breached() || judged.dwell.severity() <= severity) continue;
    severity = judged.dwell.severity();
    worst = Finding{static_cast<Signal>(i), judged.value, judged.threshold, judged.samples,
                    judged.dwell.since().value_or(TimePoint{})};
  }
  return worst;
}

bool TierWatch::unbearable() const {
  return std::any_of(judged_.begin(), judged_.end(), [](const Judged& judged) {
    return judged.dwell.breached() && judged.threshold > 0 && judged.value > 1.5 * judged.threshold;
  });
}

bool TierWatch::charging() const {
  return std::any_of(judged_.begin(), judged_.end(), [](const Judged& j) { return j.dwell.charging(); });
}

CauseClass TierWatch::cause() const {
  const std::optional<Finding> found = degraded();
  if (!found) return CauseClass::none;
  return found->signal == Signal::errors ? CauseClass::erroring : CauseClass::slow;
}

std::string_view name_of(TierWatch::Signal signal) {
  switch (signal) {
    case TierWatch::Signal::errors: return "error_rate";
    case TierWatch::Signal::latency: return "latency_p95";
    case TierWatch::Signal::latency_factor: return "latency_factor";
    case TierWatch::Signal::doubted: return "suspects";
    case TierWatch::Signal::count: break;
  }
  return "?";
}

std::string describe(const TierWatch::Finding& finding, TimePoint now) {
  const bool share = finding.signal == TierWatch::Signal::errors || finding.signal == TierWatch::Signal::doubted;
  const auto value = [share](double v) { return share ? describe_share(v) : describe(from_seconds(v)); };
  std::string text;
  switch (finding.signal) {
    case TierWatch::Signal::errors: text = "failures "; break;
    case TierWatch::Signal::latency:
    case TierWatch::Signal::latency_factor: text = "time to first byte p95 "; break;
    case TierWatch::Signal::doubted: text = "suspect endpoints "; break;
    case TierWatch::Signal::count: break;
  }
  text += value(finding.value) + ", limit " + value(finding.threshold) + " (" + std::string(name_of(finding.signal)) +
          ") since " + describe(now - finding.since) + " in " + std::to_string(std::lround(finding.samples)) +
          " requests";
  return text;
}

}  // namespace understudy::health
