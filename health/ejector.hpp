// Passive ejection of one endpoint: failures in a row, told by real traffic, take it out for a time that
// grows with repetition (base × 2^n, at most max) and shrinks again with good time.
//
//        N failures in a row, and the tier can spare it
//   in ────────────────────────────────────────────────► ejected ──── until T ────► in
//    │   N of them connections refused or unreachable,
//    └── but the tier cannot spare it ─────────────────► suspect ── until T, or success ──► in
//
// A suspect stays in the balance, but does not count for its tier: the cap on ejections limits the balance
// inside a tier, never the move to another one. Answers of failure class make no suspect, so that one client
// that knows a failing URL cannot move a whole pool.
//
// Timers: `until` (ejected or suspect).
#pragma once

#include <cstdint>
#include <optional>

#include "config/model.hpp"
#include "health/types.hpp"

namespace understudy::health {

// What the traffic of one endpoint says now.
struct Evidence {
  std::uint32_t failures = 0;     // in a row, upstream-side, that count
  std::uint32_t connections = 0;  // those of them that were refused or unreachable
  Cause cause = Cause::none;      // the most frequent of them
};

class Ejector {
public:
  // Takes a sample in; returns the evidence so far. Own errors never count.
  Evidence observe(const TrafficSample& sample);
  // Everything seen up to now is no evidence: counting begins with what comes later.
  void forgive();
  // As forgive(), and the sample's failures too (it tells of a time in which this process was starved).
  void disregard(const TrafficSample& sample);

  void eject(const config::PassiveConfig& policy, TimePoint now);
  void suspect(const config::PassiveConfig& policy, TimePoint now);
  // Back in, whatever the time; the memory of earlier ejections stays.
  void readmit(TimePoint now);
  // Undoes the last ejection as if it had never been (its evidence was void).
  void revoke();
  // Restored from a stored state.
  void restore(std::uint32_t ejections, std::optional<Duration> left, TimePoint now);

  bool ejected() const { return state_ == State::ejected; }
  bool suspected() const { return state_ == State::suspect; }
  std::optional<TimePoint> until() const;
  TimePoint since() const { return since_; }
  Evidence grounds() const { return grounds_; }
  // How often it was ejected, after decay: each good_time without ejection takes one off.
  std::uint32_t ejections(const config::PassiveConfig& policy, TimePoint now) const;

private:
  enum class State : std::uint8_t { in, ejected, suspect };
  void take_out(State state, const config::PassiveConfig& policy, TimePoint now);

  State state_ = State::in;
  TimePoint since_{}, until_{};
  std::optional<TimePoint> good_since_;  // readmitted at
  std::uint32_t ejections_ = 0;
  std::uint32_t last_consecutive_ = 0;  // of the newest sample
  std::uint32_t forgiven_ = 0;          // part of the running count that is no evidence
  std::uint64_t run_ = 0;               // upstream-side failures since the last success
  std::uint64_t run_connections_ = 0;
  Cause run_cause_ = Cause::none;
  Evidence grounds_;  // what the last observe() said
};

// Ejection time after `earlier` ejections: base × 2^earlier, at most max.
Duration ejection_time(const config::PassiveConfig& policy, std::uint32_t earlier);
// Good time that takes one ejection off the memory.
Duration ejection_good_time(const config::PassiveConfig& policy);
// May one more of `size` endpoints be ejected, `ejected` being out already and `others_available` of the rest
// in?
bool may_eject(const config::PassiveConfig& policy, std::size_t size, std::size_t ejected,
               std::size_t others_available);

}  // namespace understudy::health
