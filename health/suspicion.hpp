// Doubt about one endpoint, raised by traffic within a few hundred milliseconds, long before a timeout or a probe. A suspect
// is avoided where there is a choice, but for a trickle of trial requests; it comes back only when trials succeed at normal
// latency, and then by a ramp: never because a timer ran out or a health page is green.
//
//            overdue answers, errors, far slower than normal, an ejection is over
//   trusted ─────────────────────────────────────────────────────────────────────► suspect
//      ▲                                                                            │  ▲
//      └──────── enough trials in a row at normal latency (then the ramp) ──────────┘  │ a bad trial: the pause
//                                                                                      │ until the next doubles
//                                                                                      └─┘
// `gone`: overdue and not one answer for a second: it does not count for its tier any more (outage C).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "health/types.hpp"

namespace understudy::health {

// What a sample means to the doubt. Limits come from the endpoint's baseline (signals.hpp) or from its peers.
struct SuspicionInput {
  std::uint64_t good = 0;        // answers that were neither failures nor slow
  std::uint64_t bad = 0;         // upstream-side failures
  std::uint64_t slow = 0;        // successes slower than normal
  std::uint64_t much_slow = 0;   // of them those at least five times as slow as is normal
  std::uint64_t superseded = 0;  // unanswered when another endpoint answered for it (hedging)
  Duration superseded_wait{};    // the longest of them
  std::uint32_t pending = 0;
  std::optional<TimePoint> oldest_pending;
  std::optional<Duration> overdue_after;  // nothing: no baseline yet
  double bad_share = 0.05;                // share of failures that is tolerated
  Cause cause = Cause::none;              // of the failures
};

class Suspicion {
public:
  enum class Why : std::uint8_t { none, overdue, erroring, slow, returning };
  static constexpr Duration gone_after = std::chrono::seconds(1);
  static constexpr Duration least_pause = std::chrono::milliseconds(100);
  static constexpr Duration longest_pause = std::chrono::seconds(1);

  // True when the doubt began, ended, or became `gone` or no longer so.
  bool observe(const SuspicionInput& input, TimePoint now);
  // On trial from now on: an ejection is over, or it is compared with its peers and found wanting.
  void raise(Why why, TimePoint now);
  void clear(TimePoint now);
  // What was seen until now is void (law 12).
  void forgive(TimePoint now);
  void skip(Duration starved);

  bool suspect() const { return why_ != Why::none; }
  bool gone() const { return gone_; }
  // Not yet a doubt by itself, but one when a peer of the same tier fails too: what they share has broken.
  bool half_erroring() const;
  Why why() const { return why_; }
  TimePoint since() const { return since_; }
  Cause cause() const { return cause_; }
  // How long to wait between two trial requests.
  Duration trial_pause() const { return pause_; }
  std::uint32_t good_trials() const { return good_trials_; }
  std::uint32_t needed_trials() const;
  // When it was last asked and something came of it; a suspect that nobody tries stays one for ever.
  std::optional<TimePoint> last_tried() const { return last_tried_; }

private:
  std::uint32_t base_trials() const;
  bool overdue(const SuspicionInput& input, TimePoint now);
  void note_superseded(const SuspicionInput& input, TimePoint now);
  // How long it has left requests unanswered, by those that wait and those that others had to answer.
  Duration silence(const SuspicionInput& input, TimePoint now) const;
  bool erroring(const SuspicionInput& input);
  bool far_slower(const SuspicionInput& input);
  void on_trials(const SuspicionInput& input, TimePoint now);

  Why why_ = Why::none;
  TimePoint since_{};
  std::optional<TimePoint> last_answer_;  // any answer, good or bad
  std::optional<TimePoint> last_tried_;   // that, or what others had to answer
  std::uint64_t superseded_ = 0;          // since the last answer
  TimePoint superseded_from_{}, superseded_to_{};
  bool gone_ = false;
  Cause cause_ = Cause::none;
  double error_score_ = 0;  // log-likelihood of "too many failures" against "as tolerated", never below zero
  double slow_score_ = 0;
  std::uint32_t good_trials_ = 0;
  Duration pause_ = least_pause;
  std::uint32_t repeats_ = 0;  // doubts soon after the last one ended
  std::optional<TimePoint> cleared_at_;
};
std::string_view name_of(Suspicion::Why why);

}  // namespace understudy::health
