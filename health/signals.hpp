// What traffic and probes say about one endpoint, over sliding windows: how long, how often wrong, and what is normal.
//
//   brief   half-life 0.5 s   what it is like now
//   recent  half-life 15 s    where there is too little traffic for `brief`
//   normal  half-life 1 h     its baseline. Learned only while nothing is suspicious and the newest answers take less than
//                             1.5 times what is normal, so that a slow ramp never becomes the norm (outage B)
//
// A request that is still unanswered counts as an answer that took as long as it waits: when nothing finishes, histograms of
// what finished show nothing. One that another endpoint answered meanwhile (hedging) counts as one that takes longer than it
// waited, and as no outcome.
#pragma once

#include <optional>

#include "health/latency.hpp"
#include "health/types.hpp"

namespace understudy::health {

// Good and bad outcomes, fading.
class OutcomeMemory {
public:
  explicit OutcomeMemory(Duration half_life) : half_life_(half_life) {}
  void add(double good, double bad, TimePoint now);
  void merge(const OutcomeMemory& other);
  double weight() const { return good_ + bad_; }
  double bad() const { return bad_; }
  double bad_share() const { return weight() < 0.5 ? 0 : bad_ / weight(); }

private:
  Duration half_life_;
  TimePoint faded_at_{};
  double good_ = 0, bad_ = 0;
};

// One window: everything that is judged by.
struct SignalWindow {
  explicit SignalWindow(Duration half_life) : first_byte(half_life), websocket_open(half_life), outcomes(half_life) {}
  LatencyMemory first_byte, websocket_open;
  OutcomeMemory outcomes;

  void add(const TrafficSample& sample, TimePoint now);
  void merge(const SignalWindow& other);
};

inline constexpr Duration brief_half_life = std::chrono::milliseconds(500);
inline constexpr Duration recent_half_life = std::chrono::seconds(15);
inline constexpr Duration normal_half_life = std::chrono::hours(1);
inline constexpr Duration probe_half_life = std::chrono::seconds(20);
// After that long without an outcome what was before is another story.
inline constexpr Duration signal_silence = std::chrono::seconds(10);

// Outcomes below which nothing is called normal.
inline constexpr double thin_baseline = 50;

class Signals {
public:
  // Takes a sample in. `learn`: nothing speaks against the endpoint, so what it does is what is normal.
  void observe(const TrafficSample& sample, bool learn, TimePoint now);
  void observe_probe(const ProbeResult& result, TimePoint now);
  // What was seen in a time of starvation is forgotten; the baseline stays.
  void forget_recent();

  // The briefest window with at least `least` outcomes; null: too little traffic, or none of late, to say anything.
  const SignalWindow* window(double least, TimePoint now) const;
  bool silent(TimePoint now) const { return !newest_ || now - *newest_ >= signal_silence; }
  // The newest answers, as one sample brought them.
  const LatencyCounts& newest_answers() const { return newest_answers_; }
  const SignalWindow& brief() const { return brief_; }
  const SignalWindow& recent() const { return recent_; }
  const LatencyMemory& normal() const { return normal_; }
  std::optional<TimePoint> newest() const { return newest_; }  // outcome of any kind
  const LatencyMemory& connect() const { return connect_; }
  const LatencyMemory& probe_time() const { return probe_time_; }
  const OutcomeMemory& probe_outcomes() const { return probe_outcomes_; }

  // When an unanswered request is overdue: three times the slowest hundredth of what is normal, at least 100 ms. Nothing
  // while the baseline is thin.
  std::optional<Duration> overdue_after() const;
  // When a safe request is worth a second attempt elsewhere (design §6, retry budget).
  std::optional<Duration> hedge_after() const;
  // What an answer takes at most when all is well: twice p95 of the baseline, at least 20 ms more than it.
  std::optional<Duration> normal_limit() const;
  // Far slower than that: five times p95, at least 40 ms more. Between the two nothing begins and nothing ends.
  std::optional<Duration> far_limit() const;

  // Baselines survive restarts as their two quantiles.
  void restore_normal(Duration p50, Duration p95, TimePoint now);

private:
  bool usual(const LatencyCounts& counts) const;

  SignalWindow brief_{brief_half_life}, recent_{recent_half_life};
  LatencyMemory normal_{normal_half_life}, connect_{recent_half_life}, probe_time_{probe_half_life};
  OutcomeMemory probe_outcomes_{probe_half_life};
  std::optional<TimePoint> newest_;
  LatencyCounts newest_answers_;
};

}  // namespace understudy::health
