// When one endpoint is probed next. At most one probe is under way at a time.
//
//   idle ──stop/resume──► waiting ──due──► under way ──result──► waiting
//                                             └─ void ──► the result is thrown away and asked for again
//
// Timers: `next` (waiting), `given up` (under way: the prober answers by its deadline; if it never does, the
// probe counts as lost, which is no evidence, and a new one starts).
#pragma once

#include <optional>

#include "config/model.hpp"
#include "health/random.hpp"
#include "health/types.hpp"

namespace understudy::health {

class ProbeSchedule {
public:
  // A lost answer is waited for this long after the prober's deadline.
  static constexpr Duration answer_slack = std::chrono::seconds(1);
  static constexpr Duration void_slack = std::chrono::milliseconds(100);

  // Begins anew at `first`, forgetting nothing of a probe under way except that its result is void.
  void resume(TimePoint first);
  // No more probes (disabled, or no check).
  void stop();
  // The due probe starts; returns when the prober gives up.
  TimePoint start(const config::CheckConfig& check, TimePoint now);
  // A result came; false when it is void and the probe has to be repeated at once.
  bool finish();
  // After a result: the next probe, an interval ±10 % after the start of the last, never before now.
  void plan(const config::CheckConfig& check, bool changing, Random& random, TimePoint now);
  // The probe under way is no evidence. The owner cancels it, or its answer, overdue as it is, comes right
  // away: that is waited for a moment, so that it is not taken for the answer to the next one.
  void void_current(TimePoint now);
  // Something suspicious was seen: not later than now.
  void hurry(TimePoint now);

  bool running() const { return running_; }
  bool under_way() const { return under_way_; }
  std::optional<TimePoint> started() const { return under_way_ ? std::optional(started_) : std::nullopt; }
  // When to look at it again, and for `waiting` when the next probe starts.
  std::optional<TimePoint> next_timeout() const;
  std::optional<TimePoint> next_probe() const;

private:
  bool running_ = false;
  bool under_way_ = false;
  bool void_ = false;
  TimePoint started_{};
  TimePoint given_up_{};
  TimePoint next_{};
};

// The check's interval, or the fast one while a verdict is changing, ±10 %.
Duration jittered_interval(const config::CheckConfig& check, bool changing, Random& random);

// First probes of `endpoints` endpoints are spread over this time: about one a millisecond, at least 50 ms so
// that they do not coincide, at most an interval.
Duration first_probe_spread(const config::CheckConfig& check, std::size_t endpoints);

}  // namespace understudy::health
