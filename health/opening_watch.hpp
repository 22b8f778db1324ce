// How an endpoint opens WebSockets: where that takes longer than the operator allows, or far longer than is normal for it, it is
// slow to open. New tunnels then go elsewhere where they can, while requests stay: the two have different reasons to be slow.
//
//   normal ── most of the newest took too long, three in a row did, or several wait for too long already ──► late
//   late ── three trials in a row took what is normal ──► given more, in steps ── it bears them ───────────► normal
//     │                                                     └── it does not (a relapse) ──► late
//     └── nobody wanted a tunnel of it for a while ──► returned
//   it was away, or doubted, and is back ──► returned ── three trials in a row took what is normal ────────► normal
//                                            │ └── nobody wanted a tunnel for a while ────────────────────► normal
//                                            └── a trial took too long ──► late
//
// Who is late again not long after it was trusted, or under the steps, relapsed: each relapse doubles the time in which trials prove
// nothing, up to five minutes, and is forgotten after five good ones.
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
  // Nobody wanted a tunnel of it for a while: who was late may be tried by all, who has returned and would get tunnels since `serving`
  // (nothing: it would not) is taken as normal, and who bears what it is given gets more. True when state() or trials() changed.
  bool expire(std::optional<TimePoint> serving, TimePoint now);
  std::optional<TimePoint> expires(std::optional<TimePoint> serving) const;
  // What was seen while this process was starved.
  void forgive();

  State state() const { return state_; }
  bool slow() const { return state_ != State::normal; }
  bool opened_any() const { return !normal_.empty(); }
  TimePoint since() const { return since_; }
  bool proving() const { return step_ > 0; }  // late, and given more step by step
  std::uint32_t relapses(TimePoint now) const;
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
  void begin_step(std::uint32_t step, TimePoint now);
  void relapsed(TimePoint now);
  bool judge_step(const Seen& seen, TimePoint now);
  bool end_step(TimePoint now);
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
  std::uint32_t step_ = 0;       // of the way back from late, 0: not on it
  TimePoint step_since_{};
  std::uint32_t step_good_ = 0, step_late_ = 0;
  TimePoint proofs_from_{};              // before that, trials of one that is late prove nothing
  bool was_late_ = false;                // since it was last normal
  std::optional<TimePoint> trusted_at_;  // when it was last normal again after it was late
  std::uint32_t relapses_ = 0;
  TimePoint relapsed_at_{};
};

std::string_view name_of(OpeningWatch::State state);  // "", "slow", "returning"

}  // namespace understudy::health
