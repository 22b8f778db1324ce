// Cost of choosing an endpoint, with 3 and with 1,000 of them. "Loaded": requests stay in flight, so that
// balancers which look at load have some to look at.
#include <benchmark/benchmark.h>

#include "proxy/balance/peak_ewma.hpp"
#include "tests/balance/tier.hpp"

namespace {

using namespace understudy;
using namespace understudy::balance;
using namespace understudy::balance::testing;

const char* name_of(config::BalanceKind kind) {
  switch (kind) {
    case config::BalanceKind::round_robin: return "round_robin";
    case config::BalanceKind::least_request: return "least_request";
    case config::BalanceKind::latency: return "latency";
    case config::BalanceKind::random: return "random";
    case config::BalanceKind::hash: return "hash";
  }
  return "?";
}

Loads loads_of(std::size_t count, Randoms& randoms) {
  Loads loads;
  for (std::size_t i = 0; i < count; ++i) {
    loads.flights.push_back(static_cast<std::uint32_t>(randoms.next() % 8));
    loads.latencies.push_back(0.001 + 0.01 * randoms.unit());
  }
  return loads;
}

void Pick(benchmark::State& state) {
  const auto kind = static_cast<config::BalanceKind>(state.range(0));
  const auto count = static_cast<std::size_t>(state.range(1));
  Randoms randoms(1);
  const health::TierView tier = tier_of(count);
  const Loads loads = loads_of(count, randoms);
  const auto balancer = make_balancer(kind);
  PickInput input;
  for (auto _ : state) {
    input.random = randoms.next();
    input.hash = randoms.next();
    benchmark::DoNotOptimize(balancer->pick(tier, input, loads));
  }
  state.SetLabel(name_of(kind));
}

void PickForRetry(benchmark::State& state) {  // two endpoints tried already
  const auto kind = static_cast<config::BalanceKind>(state.range(0));
  const auto count = static_cast<std::size_t>(state.range(1));
  Randoms randoms(2);
  const health::TierView tier = tier_of(count);
  const Loads loads = loads_of(count, randoms);
  const auto balancer = make_balancer(kind);
  std::vector<health::EndpointId> tried = {tier.endpoints[0].id, tier.endpoints[count / 2].id};
  PickInput input;
  input.excluded = tried;
  for (auto _ : state) {
    input.random = randoms.next();
    input.hash = randoms.next();
    benchmark::DoNotOptimize(balancer->pick(tier, input, loads));
  }
  state.SetLabel(name_of(kind));
}

void AfterAChange(benchmark::State& state) {  // the first pick after one endpoint came or went
  const auto kind = static_cast<config::BalanceKind>(state.range(0));
  const auto count = static_cast<std::size_t>(state.range(1));
  Randoms randoms(3);
  health::TierView tier = tier_of(count);
  const Loads loads = loads_of(count, randoms);
  const auto balancer = make_balancer(kind);
  PickInput input;
  std::vector<std::uint32_t> all = tier.usable, fewer = tier.usable;
  fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(count / 2));
  bool whole = true;
  for (auto _ : state) {
    state.PauseTiming();
    whole = !whole;
    set_usable(tier, whole ? all : fewer);
    input.random = randoms.next();
    input.hash = randoms.next();
    state.ResumeTiming();
    benchmark::DoNotOptimize(balancer->pick(tier, input, loads));
  }
  state.SetLabel(name_of(kind));
}

void every_kind(benchmark::internal::Benchmark* bench) {
  for (std::int64_t kind = 0; kind < 5; ++kind) {
    for (const std::int64_t count : {3, 1000}) bench->Args({kind, count});
  }
}
BENCHMARK(Pick)->Apply(every_kind);
BENCHMARK(PickForRetry)->Apply(every_kind);
BENCHMARK(AfterAChange)->Apply(every_kind)->Iterations(500);

void FindSticky(benchmark::State& state) {
  const health::TierView tier = tier_of(static_cast<std::size_t>(state.range(0)));
  const auto token = sticky_token("app", tier.endpoints.back());
  for (auto _ : state) benchmark::DoNotOptimize(find_sticky(tier, "app", token, {}));
}
BENCHMARK(FindSticky)->Arg(3)->Arg(1000);

void EwmaAddAndRead(benchmark::State& state) {
  PeakEwma latency;
  health::TimePoint now{};
  for (auto _ : state) {
    now += std::chrono::microseconds(50);
    latency.add(std::chrono::microseconds(900), now);
    benchmark::DoNotOptimize(latency.seconds(now));
  }
}
BENCHMARK(EwmaAddAndRead);

}  // namespace
