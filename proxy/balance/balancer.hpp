// Choosing an endpoint inside a tier. One object per pool, tier and worker; never shared between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "config/model.hpp"
#include "health/types.hpp"

namespace understudy::balance {

// What the balancer may ask about an endpoint. Implemented by the worker.
class LoadSource {
public:
  virtual ~LoadSource() = default;
  virtual std::uint32_t in_flight(const health::EndpointView& endpoint) const = 0;
  // Peak-EWMA of time to first byte in seconds, 0 when nothing is known yet; decays by itself with time.
  virtual double latency(const health::EndpointView& endpoint) const = 0;
};

struct PickInput {
  std::uint64_t hash = 0;                        // of the route's hash key (hash balancers)
  std::uint64_t random = 0;                      // drawn by the caller
  std::span<const health::EndpointId> excluded;  // already tried by this request
  std::uint32_t max_in_flight = 0;               // 0: no limit; endpoints at the limit are passed over
};

class Balancer {
public:
  virtual ~Balancer() = default;
  // Index into tier.endpoints, only from tier.usable, never an excluded one; nullopt when none is left.
  virtual std::optional<std::uint32_t> pick(const health::TierView& tier, const PickInput& input,
                                            const LoadSource& load) = 0;
};

// round_robin (smooth weighted), least_request (two random choices, weighted), latency (two choices by EWMA ×
// (in-flight + 1)), random (weighted), hash (ring with bounded load 1.25, weights, minimal movement; table
// cached by tier.membership).
std::unique_ptr<Balancer> make_balancer(config::BalanceKind kind);

// Seeded 64-bit hash for keys that clients choose (xxHash).
std::uint64_t hash_key(std::string_view key, std::uint64_t seed);

// Sticky cookie value of an endpoint: opaque, stable over restarts for the same pool, label and address, 16
// hex digits.
std::uint64_t sticky_token(std::string_view pool, const health::EndpointView& endpoint);
void write_sticky(char out[16], std::uint64_t token);
std::optional<std::uint64_t> parse_sticky(std::string_view text);
// The endpoint a sticky cookie names, if it may take this client: available or draining, and not excluded.
std::optional<std::uint32_t> find_sticky(const health::TierView& tier, std::string_view pool, std::uint64_t token,
                                         std::span<const health::EndpointId> excluded);

}  // namespace understudy::balance
