// Whether what was expected of a scenario holds: one judge for the rehearsal in virtual time and the drill on sockets. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/scenario.hpp"
#include "health/types.hpp"

namespace understudy::health {

// One expectation of the scenario, and what was found.
struct RehearsalCheck {
  std::string what;  // "at most 50 requests failed or took longer than 1 s"
  bool passed = false;
  std::string found;  // "41"
};

struct Told {
  TimePoint at{};
  Event event;
};

// What there is to judge by. The scenario began at `begin`; only the events of its pool are in here, in order.
struct ScenarioFacts {
  // answered: well, and within slow_after. failed: no good answer. bad: not answered so. doubled: not repeatable, and carried out
  // more than once.
  std::uint64_t answered = 0, failed = 0, failed_repeatable = 0, bad = 0, doubled = 0;
  std::uint64_t sockets_dropped = 0, sockets_open = 0;  // while it ran; at its end
  std::uint64_t sockets_cut = 0;                        // of those dropped: without the Close of those who leave
  std::uint64_t drops_per_second = 0;                   // most of them within a second
  std::uint64_t slow_openings = 0;                      // of WebSockets: after slow_after, or not at all
  TimePoint begin{};
  std::optional<TimePoint> first_fault, last_heal;
  std::string first_tier;  // that serves at `begin`
  std::vector<Told> events;
  std::vector<std::string> alerts;  // types of messages that were sent
};

// Failovers and failbacks.
std::uint64_t moves_of(const ScenarioFacts& facts);
// The tier that was designated at a time.
std::string serving_at(const ScenarioFacts& facts, TimePoint at);
// When something first spoke against an endpoint or tier, traffic moved away, and came back; since the first fault, and the
// last heal. Nothing: never.
struct ScenarioTimes {
  std::optional<Duration> detected, shifted, returned;
};
ScenarioTimes times_of(const ScenarioFacts& facts);

std::vector<RehearsalCheck> judge(const config::ScenarioExpect& expect, const ScenarioFacts& facts);

}  // namespace understudy::health
