// Whether the record that the proxy made of an outage tells what the load met: nobody believes a post-mortem that counts otherwise
// than the clients. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "health/rehearsal/judge.hpp"
#include "proxy/drill/device.hpp"
#include "proxy/drill/load.hpp"

namespace understudy::drill {

// Of an incident of the drill's pool; `began` since the drill did.
struct IncidentSeen {
  Micros began{0};
  std::uint64_t failed = 0;  // answered with a 5xx, WebSockets too
};

// How far the record's times may be off.
inline constexpr Micros kIncidentSlack{1'000'000};

// Nothing: nothing happened that one could have written down. `first_fault`: since the drill began. A failure whose answer is not
// a 5xx (a reset in the middle of it, a client that gave up) is no figure that the proxy could have.
std::optional<health::RehearsalCheck> check_incidents(const std::vector<IncidentSeen>& incidents,
                                                      const std::vector<RequestRecord>& records,
                                                      const DeviceCounts& devices, std::optional<Micros> first_fault);

}  // namespace understudy::drill
