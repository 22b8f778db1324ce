// Is a tier degraded: slower or more erroneous than the operator allows, or than it normally is? Openings of WebSockets are
// judged apart, by endpoint (opening_watch.hpp).
// Folds what its endpoints' signals amount to; each signal has a dwell of its own. And what a tier measures like, to be
// compared with another: never to something worse (law 3).
#pragma once

#include <array>
#include <optional>
#include <string>

#include "config/model.hpp"
#include "health/dwell.hpp"
#include "health/signals.hpp"

namespace understudy::health {

// What the endpoints of a tier amount to, now.
struct TierSignals {
  SignalWindow brief{brief_half_life}, recent{recent_half_life};
  LatencyMemory normal{normal_half_life};
  LatencyMemory probe_time{probe_half_life};
  OutcomeMemory probe_outcomes{probe_half_life};
  LatencyCounts newest_answers;
  std::optional<TimePoint> newest;  // outcome of any kind
  double suspects = 0;              // share of the available endpoints that traffic doubts
  std::optional<Duration> waiting;  // age of the oldest request that nobody answers, where several wait in silence

  void merge(const Signals& endpoint, TimePoint now);
};

// One way to measure a tier; two are compared only in the same way.
struct Measure {
  double samples = 0;
  double bad_share = 0;
  Duration p95{};
};
struct Quality {
  std::optional<Measure> traffic, probes;  // nothing: fewer than five samples
};
enum class Comparison : std::uint8_t { unknown, better, same_or_worse };
// Is `candidate` better than `serving`? Lower error share, or p95 lower by at least a fifth, and in neither worse by much; at
// five or more samples each. Traffic with traffic when both have it, else probe with probe. Beyond `tolerated` failures it does
// not matter how fast they come.
Comparison compare(const Quality& candidate, const Quality& serving, double tolerated = 0.05);
std::string describe(const Quality& quality);  // "p95 620 ms, 3 % errors in 180 requests"

class TierWatch {
public:
  enum class Signal : std::uint8_t { errors, latency, latency_factor, doubted, count };
  struct Finding {
    Signal signal{};
    double value = 0, threshold = 0;  // seconds, or a share
    double samples = 0;
    TimePoint since{};
  };

  // `serving`: the tier has the pool's traffic. One that has not is forgiven with time: nothing new speaks against it.
  void observe(const config::DegradedConfig& policy, const TierSignals& signals, bool serving, TimePoint now);
  void reset();
  void skip(Duration starved);
  // What traffic measured is void; the next observation measures anew.
  void forget_traffic() { quality_.traffic.reset(); }

  // The worst signal that was beyond its threshold for long enough.
  std::optional<Finding> degraded() const;
  // Beyond a threshold by half as much again: no time to leave in steps.
  bool unbearable() const;
  // Some signal is beyond its threshold now: no time to learn what is normal.
  bool charging() const;
  const Quality& quality() const { return quality_; }
  // p95 and error share of better days, for the verdict after a move.
  const Measure& normal() const { return normal_; }
  CauseClass cause() const;

private:
  struct Judged {
    Dwell dwell;
    double value = 0, threshold = 0, samples = 0;
  };
  void judge(Signal signal, double value, double threshold, bool enough, double samples, Duration dwell, TimePoint now);
  Judged& at(Signal signal) { return judged_[static_cast<std::size_t>(signal)]; }

  std::array<Judged, static_cast<std::size_t>(Signal::count)> judged_;
  Quality quality_;
  Measure normal_;
};
std::string_view name_of(TierWatch::Signal signal);  // "latency_p95", as in the configuration
std::string describe(const TierWatch::Finding& finding, TimePoint now);

}  // namespace understudy::health
