// What is noted about every attempt: outcome by cause, touched slots, latency estimate, histogram. With one endpoint, and over 1,000.
#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>

#include "proxy/net/worker.hpp"
#include "proxy/observe/histogram.hpp"
#include "tests/balance/tier.hpp"

namespace {

using namespace understudy;

struct Bench {
  explicit Bench(std::size_t endpoints) : tier(balance::testing::tier_of(endpoints)) {
    for (health::EndpointView& endpoint : tier.endpoints) {
      endpoint.load = std::make_shared<health::SharedLoad>();
      worker->latency_sample(endpoint, std::chrono::microseconds(900));  // its slot exists afterwards
    }
  }
  const health::EndpointView& next() {
    if (++at >= tier.endpoints.size()) at = 0;
    return tier.endpoints[at];
  }
  net::WorkerShared shared{1};
  std::unique_ptr<net::Worker> worker = std::make_unique<net::Worker>(0, shared, nullptr);
  health::TierView tier;
  std::size_t at = 0;
};

void NoteSuccess(benchmark::State& state) {
  Bench bench(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) bench.worker->outcome(bench.next(), health::Cause::none, 1);
}
BENCHMARK(NoteSuccess)->Arg(1)->Arg(1000);

void NoteFailure(benchmark::State& state) {
  Bench bench(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) bench.worker->outcome(bench.next(), health::Cause::http_status, 1);
}
BENCHMARK(NoteFailure)->Arg(1)->Arg(1000);

void NoteLatency(benchmark::State& state) {
  Bench bench(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) bench.worker->latency_sample(bench.next(), std::chrono::microseconds(900));
}
BENCHMARK(NoteLatency)->Arg(1)->Arg(1000);

void RecordInHistogram(benchmark::State& state) {
  observe::Histogram histogram;
  std::int64_t us = 1;
  for (auto _ : state) {
    us = us * 5 % 1'000'003;
    histogram.record(std::chrono::microseconds(us));
  }
}
BENCHMARK(RecordInHistogram);

}  // namespace
