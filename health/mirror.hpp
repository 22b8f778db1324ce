// What copies of real requests prove of a standby: their answers are thrown away, and status and time compared with the answers
// that the clients got from the serving tier. A standby that answers a green health page and fails what is really asked is found
// out before it is needed.
//
// Pure. Fades: what was seen two minutes ago counts half. Below `least` copies nothing is known. A verdict is entered by no
// fewer than three copies that are different or late, and is left only when their part has fallen well below the limit: one
// answer that changed between the request and its copy is no news.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/model.hpp"
#include "health/latency.hpp"
#include "health/signals.hpp"
#include "health/types.hpp"

namespace understudy::health {

// One request that both have answered.
struct Mirrored {
  std::uint16_t status = 0;  // the client's answer
  Duration elapsed{};        // to its first byte
};

class MirrorWatch {
public:
  static constexpr double least = 20;
  static constexpr double least_bad = 2.5;   // three, the first a little faded
  static constexpr double leave_part = 0.5;  // of the limit on differences
  static constexpr double leave_late = 0.8;  // of the limit on time
  static constexpr Duration half_life = std::chrono::minutes(2);
  // Where the pool names no limit on errors.
  static constexpr double usual_difference = 0.05;

  // `theirs`: what the copy came to. Another class of status (2xx, 4xx ..) or no answer is a difference. `limits` are those
  // of the pool at that moment; new ones count from the next copy on.
  void add(const Mirrored& ours, const ProbeResult& theirs, const config::DegradedConfig& limits, TimePoint now);
  void forget() { *this = MirrorWatch{}; }

  // `unfit` when more answers differ than `error_rate` allows, or they take longer than `latency_p95`; without that limit:
  // three times as long as the serving tier's, and 50 ms more.
  // What was seen last ten minutes ago tells nothing.
  Fit verdict(TimePoint now) const;
  // In words, with the numbers; "" when nothing is known.
  std::string describe() const;
  std::uint64_t total() const { return total_; }
  std::uint64_t different() const { return different_; }

private:
  bool still_failing(const config::DegradedConfig& limits) const;
  bool still_slow(const config::DegradedConfig& limits) const;
  Duration longest(const config::DegradedConfig& limits) const;

  OutcomeMemory outcomes_{half_life}, in_time_{half_life};
  LatencyMemory ours_{half_life}, theirs_{half_life};
  std::uint64_t total_ = 0, different_ = 0;
  std::string last_difference_;
  TimePoint newest_{};
  bool failing_ = false, slow_ = false;
};

}  // namespace understudy::health
