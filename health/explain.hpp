// Sentences for people: why the core decided as it did (design law 5). Text only, no decisions.
#pragma once

#include <string>

#include "health/core_state.hpp"

namespace understudy::health {

std::string describe(Duration duration);   // "350 ms", "1.5 s", "12 s", "2 min 5 s", "3 h 10 min"
std::string describe_share(double share);  // "50 %"
// "p1: unhealthy, tcp_refused, 3 failed probes in a row (fall 3) since 12 s"
std::string describe(const Endpoint& endpoint, const Pool& pool, TimePoint now);
// "0 of 2 endpoints available, needs 1 (p1: …; p2: …)"; at most eight endpoints are spelled out.
std::string describe(const Tier& tier, const Pool& pool, TimePoint now);
// "'standby' has 1 of 1 available, needs 1": every tier but `except`.
std::string describe_others(const Pool& pool, std::uint32_t except);
std::string name_and_address(const Endpoint& endpoint);  // "p1 (10.0.0.11:3000)"
std::string quoted(const std::string& name);             // "'primary'"

}  // namespace understudy::health
