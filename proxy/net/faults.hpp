// What live drills do to the way to endpoints. Part of a snapshot, and absent from it while there is no drill, so that a request
// pays for it with one test of a pointer. Built by the control thread, read by the workers.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "health/types.hpp"

namespace understudy::net {

struct Fault {
  // Of several that an attempt meets the first in this order counts.
  enum class Kind : std::uint8_t {
    refuse,     // the connection is refused
    blackhole,  // the connection never comes about
    stall,      // it does, and nothing is ever answered
    reset,      // the request is answered with a reset
    error,      // or with a status of failure
    delay       // the answer comes later
  };
  std::uint64_t id = 0;  // the same as long as it lasts
  Kind kind{};
  bool openings_only = false;  // of WebSockets
  double requests = 1;         // share of the requests that meet it
  std::string header, value;   // only requests that have it; "" all, or any value
  std::uint16_t status = 500;
  std::chrono::nanoseconds delay{}, ramp{}, jitter{};  // ramp: from nothing to `delay`, since `since`
  std::chrono::nanoseconds period{};                   // in force and not in turns; zero: always
  std::chrono::steady_clock::time_point since{};
  std::shared_ptr<std::atomic<std::uint64_t>> met;  // attempts; never null
};

class Faults {
public:
  void add(health::EndpointId endpoint, std::shared_ptr<const Fault> fault) {
    endpoints_[{endpoint.slot, endpoint.generation}].push_back(std::move(fault));
  }
  // Null: the endpoint is left alone.
  const std::vector<std::shared_ptr<const Fault>>* of(health::EndpointId endpoint) const {
    const auto found = endpoints_.find({endpoint.slot, endpoint.generation});
    return found != endpoints_.end() ? &found->second : nullptr;
  }
  bool has(health::EndpointId endpoint, std::uint64_t id) const {
    const auto* faults = of(endpoint);
    if (faults == nullptr) return false;
    for (const auto& fault : *faults)
      if (fault->id == id) return true;
    return false;
  }

private:
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::vector<std::shared_ptr<const Fault>>> endpoints_;
};

// The fault that an attempt at `endpoint` meets now, and is counted for it; null: none. `opening`: of a WebSocket. `has_header`
// says whether the request has a field of that name (any case), with that value unless it is empty. Bits of `random()` decide
// about shares. On a worker's thread.
const Fault* met_fault(const Faults& faults, health::EndpointId endpoint, bool opening,
                       std::chrono::steady_clock::time_point now, const std::function<std::uint64_t()>& random,
                       const std::function<bool(const std::string& name, const std::string& value)>& has_header);

// What a delay has come to by now, and up to its jitter more: `random` are evenly spread bits.
std::chrono::nanoseconds delay_of(const Fault& fault, std::chrono::steady_clock::time_point now, std::uint64_t random);

}  // namespace understudy::net
