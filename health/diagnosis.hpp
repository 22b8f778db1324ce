// What is wrong, in one sentence of plain words: for somebody who was woken up by it. Text only, no decisions.
#pragma once

#include <optional>
#include <string>

#include "health/types.hpp"

namespace understudy::health {

struct Endpoint;
struct Pool;

// What is wrong with an endpoint, from its probes and its traffic; none: nothing.
CauseClass class_of(const Endpoint& endpoint);

// "2 of 2 primaries accept connections but have not answered for 8 s: the application is stalled or its CPU is starved".
// Names one of: the application, the host, the network path, this proxy. Empty when nothing is wrong.
std::string diagnose(const Pool& pool, const std::optional<TimePoint>& starved_until, TimePoint now);

}  // namespace understudy::health
