// Cost of finding a route. Run one at a time on a quiet core; compare within one run.
#include <benchmark/benchmark.h>

#include <deque>
#include <string>
#include <vector>

#include "tests/route/route_request.hpp"

namespace {

using namespace understudy;
using route::testing::Request;

route::RouteTable table_of_hosts(std::int64_t count) {
  std::vector<config::RouteConfig> list;
  for (std::int64_t i = 0; i < count; ++i) {
    list.push_back(route::testing::route("host" + std::to_string(i) + ".example.org", "/app/*"));
  }
  list.push_back(route::testing::route("*.example.net", "/x"));
  list.push_back(route::testing::route("", "/status"));
  return route::RouteTable(route::testing::routes(list));
}

void run(benchmark::State& state, const route::RouteTable& table, const std::deque<Request>& requests) {
  std::size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(requests[next].in(table));
    if (++next == requests.size()) next = 0;
  }
}

std::deque<Request> requests_to(std::int64_t hosts, const std::string& path) {
  std::deque<Request> out;
  for (std::int64_t i = 0; i < 64; ++i) {
    out.emplace_back("host" + std::to_string(i * 7919 % hosts) + ".example.org:8080", path);
  }
  return out;
}

std::deque<Request> one(const std::string& host, const std::string& path) {
  std::deque<Request> out;
  out.emplace_back(host, path);
  return out;
}

void ExactHost(benchmark::State& state) {
  run(state, table_of_hosts(state.range(0)), requests_to(state.range(0), "/app/devices/17/state"));
}
BENCHMARK(ExactHost)->Arg(1)->Arg(100)->Arg(1000)->Arg(10'000);

void ExactHostInCapitals(benchmark::State& state) {
  const auto table = table_of_hosts(1000);
  run(state, table, one("HOST517.Example.ORG", "/app/x"));
}
BENCHMARK(ExactHostInCapitals);

void SuffixHost(benchmark::State& state) {
  const auto table = table_of_hosts(1000);
  run(state, table, one("a.b.c.example.net", "/x"));
}
BENCHMARK(SuffixHost);

void UnknownHost(benchmark::State& state) {
  const auto table = table_of_hosts(1000);
  run(state, table, one("nobody.knows.it", "/status"));
}
BENCHMARK(UnknownHost);

void EncodedPath(benchmark::State& state) {
  run(state, table_of_hosts(1000), requests_to(1000, "/app/caf%C3%A9/a%20b/c"));
}
BENCHMARK(EncodedPath);

void DotSegments(benchmark::State& state) { run(state, table_of_hosts(1000), requests_to(1000, "/app/a/../b/./c")); }
BENCHMARK(DotSegments);

void LongEncodedPath(benchmark::State& state) {
  std::string path = "/app/";
  while (path.size() < 8000) path += "%41bcdefgh/";
  run(state, table_of_hosts(1000), requests_to(1000, path));
}
BENCHMARK(LongEncodedPath);

// All routes on one host, in file order.
void PathsOfOneHost(benchmark::State& state) {
  std::vector<config::RouteConfig> list;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    list.push_back(route::testing::route("example.org", "/service" + std::to_string(i) + "/*"));
  }
  const route::RouteTable table(route::testing::routes(list));
  run(state, table, one("example.org", "/service" + std::to_string(state.range(0) - 1) + "/x"));
}
BENCHMARK(PathsOfOneHost)->Arg(10)->Arg(100)->Arg(1000);

// The same below a segment that they share.
void PathsBelowOneSegment(benchmark::State& state) {
  std::vector<config::RouteConfig> list;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    list.push_back(route::testing::route("example.org", "/api/v1/service" + std::to_string(i) + "/*"));
  }
  const route::RouteTable table(route::testing::routes(list));
  run(state, table, one("example.org", "/api/v1/service" + std::to_string(state.range(0) - 1) + "/x/y/z"));
}
BENCHMARK(PathsBelowOneSegment)->Arg(10)->Arg(1000);

}  // namespace
