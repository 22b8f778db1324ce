// How times and shares are written for people.
#pragma once

#include <string>

#include "health/incident/incident.hpp"

namespace understudy::incident {

std::string date(Wall at);                           // "2026-11-26"
std::string clock(Wall at);                          // "10:04:05.250"
std::string instant(Wall at);                        // "2026-11-26T10:04:05.250Z"
std::string length(std::chrono::milliseconds time);  // "1.5 s", "2 min 5 s"
std::string after(Wall at, Wall began);              // "+1.5 s", "-3 s"
std::string share(double value);                     // "0.3 %"
std::string thousands(std::uint64_t count);          // "12,345"
// One sentence or two: what happened, how long, what it cost.
std::string summary(const Incident& incident);

}  // namespace understudy::incident
