// Tiers and loads for the tests of balancing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proxy/balance/balancer.hpp"
#include "proxy/balance/weight_table.hpp"

namespace understudy::balance::testing {

class Loads : public LoadSource {
public:
  std::uint32_t in_flight(const health::EndpointView& endpoint) const override {
    return endpoint.id.slot < flights.size() ? flights[endpoint.id.slot] : 0;
  }
  double latency(const health::EndpointView& endpoint) const override {
    return endpoint.id.slot < latencies.size() ? latencies[endpoint.id.slot] : 0;
  }
  std::vector<std::uint32_t> flights;  // by slot
  std::vector<double> latencies;       // by slot
};

// Endpoint i has slot i, generation 1, address 10.0.x.y:80 and the given weight; all are usable.
inline health::TierView tier_of(const std::vector<double>& weights) {
  health::TierView tier;
  tier.membership = 1;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    health::EndpointView endpoint;
    endpoint.id = {static_cast<std::uint32_t>(i), 1};
    endpoint.address.family = config::SocketAddress::Family::v4;
    endpoint.address.ip = {10, 0, static_cast<std::uint8_t>(i / 256), static_cast<std::uint8_t>(i % 256)};
    endpoint.address.port = 80;
    endpoint.label = "e" + std::to_string(i);
    endpoint.available = true;
    endpoint.weight = weights[i];
    tier.endpoints.push_back(endpoint);
    tier.usable.push_back(static_cast<std::uint32_t>(i));
  }
  return tier;
}
inline health::TierView tier_of(std::size_t count) { return tier_of(std::vector<double>(count, 1.0)); }

inline void set_usable(health::TierView& tier, std::vector<std::uint32_t> usable) {
  tier.usable = std::move(usable);
  ++tier.membership;
}

// Seeded numbers, the same on every machine.
class Randoms {
public:
  explicit Randoms(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() { return next_random(state_); }
  double unit() { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }

private:
  std::uint64_t state_;
};

// How often each endpoint is picked in `picks` picks without load.
inline std::vector<std::size_t> count_picks(Balancer& balancer, const health::TierView& tier, const LoadSource& load,
                                            std::size_t picks, std::uint64_t seed, PickInput input = {}) {
  std::vector<std::size_t> counts(tier.endpoints.size());
  Randoms randoms(seed);
  for (std::size_t i = 0; i < picks; ++i) {
    input.random = randoms.next();
    input.hash = randoms.next();
    if (const auto index = balancer.pick(tier, input, load)) ++counts[*index];
  }
  return counts;
}

}  // namespace understudy::balance::testing
