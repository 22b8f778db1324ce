// Is an endpoint fit to serve? What synthetic requests prove of it, whatever its health page says, and whether its data is
// as new as that of the serving tier.
//
//   unknown ── every request answered well once ──► fit ◄────────── `rise` good answers in a row ───┐
//      │                                           │   │                                            │
//      │                                           │   └─ `fall` bad answers in a row of one ──► unfit
//      └───────────── `fall` bad ones ─────────────┼────────────────────────────────────────────────▲
//                                                  └─ behind by more than max_lag, or not proven for long ──► stale
//
// Pure: told when a request is sent and what came of it. Timers: each request's schedule, and the end of its proof.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "health/probe_schedule.hpp"
#include "health/threshold.hpp"
#include "health/types.hpp"

namespace understudy::health {

// What one value (a version, a count, a hash) was in the answers of the serving tier, over time. Bounded by time, not by
// how often the value changes: old ones are thinned so that a lag is told a sixteenth too small at most, and it is told
// truly until it is far beyond anything that is compared with it.
class DataHistory {
public:
  static constexpr std::size_t most_exact = 128;   // so many are all kept
  static constexpr std::size_t most_values = 768;  // ever; sixteenths of any time between 10 ms and some days fit in
  static constexpr int precision = 16;
  static constexpr int memory = 4;  // of the longest lag of interest; beyond it one value is kept

  // A lower number than the newest comes from a peer that is behind, unless nobody has shown the newest for `patience`, which
  // is more than the longest lag of interest.
  void observe(const std::string& value, Duration patience, TimePoint at);
  bool empty() const { return values_.empty(); }
  void clear() { values_.clear(); }
  // How long at least the serving tier has been ahead of `value`; zero: it is not. Nothing: it never showed that value, and
  // there is no order between them.
  std::optional<Duration> lag(const std::string& value, TimePoint at) const;

private:
  struct Seen {
    std::string value;
    std::optional<double> number;
    TimePoint first{}, last{};
  };
  void thin(Duration longest, TimePoint at);

  std::deque<Seen> values_;  // newest last
};

class Fitness {
public:
  using Requests = std::shared_ptr<const std::vector<config::FitnessConfig>>;
  // A proof counts for that many intervals, and the time of one request.
  static constexpr int proof_intervals = 3;

  struct Start {
    std::uint32_t request = 0;  // index
    std::uint64_t run = 0;      // names it in the answer
    TimePoint deadline{};
  };
  // One request, for people and metrics.
  struct Report {
    std::string name;
    Fit fit = Fit::unknown;
    std::string detail;                 // of the last answer
    std::optional<TimePoint> asked_at;  // the last answer came
    Duration elapsed{};
    std::uint64_t passed = 0, failed = 0;
    std::string value;  // of `compare`
    std::optional<Duration> lag;
  };

  // What is to be asked. Requests that are the same as before keep what they proved; new ones begin at `first`, or soon
  // after: not all at once.
  void configure(Requests requests, TimePoint first, Random& random);
  // Asks no more (disabled by the operator); what was proven is old then.
  void stop();
  bool running() const { return running_; }

  // A request that is due; it counts as sent.
  std::optional<Start> start_due(std::uint64_t& last_run, TimePoint now);
  // What came of it. `serving`: of an endpoint of the serving tier, whose values others are compared with. True when it
  // was evidence.
  bool finish(std::uint64_t run, const ProbeResult& result, DataHistory* history, bool serving, Random& random,
              TimePoint now);
  // Nothing seen from `from` on is evidence; what is under way is asked again.
  void starved(TimePoint from, TimePoint to);
  std::optional<std::uint32_t> request_of(std::uint64_t run) const;

  Fit verdict(TimePoint now) const;
  // The worst request and what is wrong with it, in words; "" when there is nothing to say.
  std::string reason(TimePoint now) const;
  // When the weakest proof was made: its request was sent then. Nothing while one is missing.
  std::optional<TimePoint> proven_at() const;
  std::vector<Report> report(TimePoint now) const;
  std::optional<TimePoint> next_timeout(TimePoint now) const;

private:
  struct Asked {
    config::CheckConfig pace;  // interval and timeout, as the schedule takes them
    ProbeSchedule schedule;
    Threshold threshold;
    ActiveState before = ActiveState::unknown;  // of the last change
    TimePoint changed_at{}, streak_since{}, started{};
    std::uint64_t run = 0, passed = 0, failed = 0;
    std::optional<ProbeResult> last, last_bad;
    std::optional<TimePoint> last_at;
    std::optional<TimePoint> proven_at;
    TimePoint starved_until{};  // a proof does not grow old while nobody could ask
    std::string value;
    std::optional<Duration> lag;
    std::optional<TimePoint> differs_since;  // from the serving tier, without an order between them
    std::optional<TimePoint> behind_since;   // by the history
  };
  const config::FitnessConfig& config_of(const Asked& asked) const;
  Fit fit_of(const Asked& asked, TimePoint now) const;
  std::string trouble_of(const Asked& asked, TimePoint now) const;
  static TimePoint proof_ends(const Asked& asked);
  void compare(Asked& asked, const config::CompareConfig& how, const ProbeResult& result, DataHistory& history,
               bool serving, TimePoint now);

  Requests requests_;
  std::vector<Asked> asked_;  // as requests_
  bool running_ = false;
};

}  // namespace understudy::health
