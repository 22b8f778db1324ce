#include "proxy/balance/balancer.hpp"

#include <xxhash.h>

#include "proxy/balance/ring_hash.hpp"
#include "proxy/balance/round_robin.hpp"
#include "proxy/balance/two_choices.hpp"
#include "proxy/balance/weighted_random.hpp"

namespace understudy::balance {

std::unique_ptr<Balancer> make_balancer(config::BalanceKind kind) {
  switch (kind) {
    case config::BalanceKind::round_robin: return std::make_unique<RoundRobin>();
    case config::BalanceKind::least_request: return std::make_unique<LeastRequest>();
    case config::BalanceKind::latency: return std::make_unique<LeastLatency>();
    case config::BalanceKind::random: return std::make_unique<WeightedRandom>();
    case config::BalanceKind::hash: return std::make_unique<RingHash>();
  }
  return std::make_unique<LeastRequest>();
}

std::uint64_t hash_key(std::string_view key, std::uint64_t seed) {
  return XXH3_64bits_withSeed(key.data(), key.size(), seed);
}

}  // namespace understudy::balance
