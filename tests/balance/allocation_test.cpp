// A pick allocates nothing once the tables are built: counted by this binary's own operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "tests/balance/tier.hpp"

namespace {
std::atomic<std::size_t> allocations{0};
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {  // std::inplace_merge asks this way
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace understudy::balance::testing {
namespace {

TEST(Balancers, APickAllocatesNothingOnceItsTablesAreBuilt) {
  const health::TierView tier = tier_of({1, 2, 3, 4, 5, 6, 7, 8});
  const std::vector<health::EndpointId> tried = {tier.endpoints[3].id, tier.endpoints[7].id};
  Loads loads;
  loads.flights = {4, 0, 2, 4, 1, 0, 4, 3};
  for (int kind = 0; kind < 5; ++kind) {
    const auto balancer = make_balancer(static_cast<config::BalanceKind>(kind));
    Randoms randoms(1);
    std::size_t start = 0;
    for (int i = 0; i < 2000; ++i) {
      if (i == 200) start = allocations;  // tables and scratch are there by now
      PickInput input;
      input.random = randoms.next();
      input.hash = randoms.next();
      input.max_in_flight = i % 3 == 0 ? 4 : 0;
      if (i % 2 == 0) input.excluded = tried;
      balancer->pick(tier, input, loads);
    }
    EXPECT_EQ(allocations, start) << "kind " << kind;
    EXPECT_GT(allocations, 0U);
  }
}

}  // namespace
}  // namespace understudy::balance::testing
