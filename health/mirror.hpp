// What copies of real requests prove of a standby: their answers are thrown away, and status and time compared with the answers
// that the clients got from the serving tier. A standby that answers a green health page and fails what is really asked is found
// out before it is needed.
//
// Pure. Fades: what was seen two minutes ago counts half. Below `least` copies nothing is known.
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
  static constexpr Duration half_life = std::chrono::minutes(2);
  // Where the pool names no limit on errors.
  static constexpr double usual_difference = 0.05;

  // `theirs`: what the copy came to. Another class of status (2xx, 4xx ..) or no answer is a difference.
  void add(const Mirrored& ours, const ProbeResult& theirs, TimePoint now);
  void forget() { *this = MirrorWatch{}; }

  // `unfit` when more answers differ than `error_rate` allows, or they take longer than `latency_p95`; without that limit:
  // three times as long as the serving tier's, and 50 ms more.
  // What was seen last ten minutes ago tells nothing.
  Fit verdict(const config::DegradedConfig& limits, TimePoint now) const;
  // In words, with the numbers; "" when nothing is known.
  std::string describe(const config::DegradedConfig& limits) const;
  std::uint64_t total() const { return total_; }
  std::uint64_t different() const { return different_; }

private:
  bool failing(const config::DegradedConfig& limits) const;
  bool slow(const config::DegradedConfig& limits) const;

  OutcomeMemory outcomes_{half_life};
  LatencyMemory ours_{half_life}, theirs_{half_life};
  std::uint64_t total_ = 0, different_ = 0;
  std::string last_difference_;
  TimePoint newest_{};
};

}  // namespace understudy::health
