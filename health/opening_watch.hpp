// How an endpoint opens WebSockets: where that takes longer than the operator allows, or far longer than is normal for it, it is
// slow to open. New tunnels then go elsewhere where they can, while requests stay: the two have different reasons to be slow.
//
//   normal ── most of the newest took too long, three in a row did, or several wait for too long already ──► late
//   late, returned ── three trials in a row took what is normal ───────────────────────────────────────────► normal
//   it was away, or doubted, and is back ──► returned ── a trial took too long ──► late
//                                            └── nobody wanted a tunnel for a while ──► normal
//
// Trials are openings of clients, given up in time to go where they open well; and probes, where those open WebSockets. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/model.hpp"
#include "health/latency.hpp"
#include "health/signals.hpp"
#include "health/types.hpp"

namespace understudy::health {

class OpeningWatch {
public:
  enum class State : std::uint8_t { normal, late, returned };

  // What an opening may take elsewhere in the pool, for as long as too little is known of this endpoint.
  void compare_with(std::optional<Duration> peers) { peers_ = peers; }
  // What a sample of traffic tells; what a probe tells that opened a WebSocket. True when state() changed.
  bool observe(const TrafficSample& sample, const config::DegradedConfig& policy, TimePoint now);
  bool observe_probe(const ProbeResult& result, const config::DegradedConfig& policy, TimePoint now);
  // The endpoint was away, or doubted. True when state() changed: where something is known to compare with.
  bool returned(const config::DegradedConfig& policy, TimePoint now);
  // It would get tunnels since `serving` (nothing: it would not), but nobody wanted one: it is taken as normal. True when
  // state() changed.
  bool expire(std::optional<TimePoint> serving, TimePoint now);
  std::optional<TimePoint> expires(std::optional<TimePoint> serving) const;
  // What was seen while this process was starved.
  void forgive();

  State state() const { return state_; }
  bool slow() const { return state_ != State::normal; }
  bool opened_any() const { return !normal_.empty(); }
  TimePoint since() const { return since_; }
  // How it is tried; nothing while it is normal.
  std::optional<OpeningTrials> trials(const config::DegradedConfig& policy) const;
  // What an opening may take; nothing: neither the operator nor its past nor its peers say. Own: by its past alone.
  std::optional<Duration> own_limit(const config::DegradedConfig& policy) const;
  std::optional<Duration> limit(const config::DegradedConfig& policy) const;
  std::string describe(const config::DegradedConfig& policy) const;  // "openings take 2 s, limit 103 ms (…)"

private:
  struct Seen {
    std::uint32_t good = 0, late = 0;
    Duration longest{};      // of the late ones
    bool timed_out = false;  // some of the late ones were given up altogether
    bool waiting = false;    // several wait for too long already
    bool one_waits = false;
  };
  bool enter(State state, TimePoint now);
  bool judge(const Seen& seen, Duration most, const config::DegradedConfig& policy, TimePoint now);
  bool judge_trials(const Seen& seen, TimePoint now);
  bool usual(const LatencyCounts& opened) const;

  OutcomeMemory brief_{std::chrono::seconds(2)};
  LatencyMemory normal_{normal_half_life};
  std::optional<Duration> peers_;
  State state_ = State::normal;
  TimePoint since_{}, last_{};  // of the state; of the newest opening
  std::optional<TimePoint> breached_since_;
  std::uint32_t late_in_row_ = 0;
  Duration value_{};             // what was too slow
  bool timed_out_ = false;       // or not opened at all
  std::uint32_t went_well_ = 0;  // trials in a row
  Duration pause_{};             // between two trials, while it is late
};

std::string_view name_of(OpeningWatch::State state);  // "", "slow", "returning"

}  // namespace understudy::health
