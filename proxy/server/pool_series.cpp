#include "proxy/server/pool_series.hpp"

#include <unordered_map>

namespace understudy::server {

using incident::Counts;
using incident::Series;

namespace {

std::uint64_t grown(std::uint64_t before, std::uint64_t now) { return now >= before ? now - before : 0; }

// Ended by a fault or a move, not by either side's wish.
std::uint64_t dropped(const observe::PoolCounters& pool) {
  using End = observe::TunnelEnd;
  std::uint64_t total = pool.closes.get(observe::Closer::endpoint, 0);  // left without a Close frame
  for (const End end : {End::endpoint_dead, End::endpoint_disabled, End::endpoint_removed, End::failover, End::failback,
                        End::own_error, End::park_timeout, End::resume_refused})
    total += pool.tunnels_closed.get(end);
  return total;
}

void add(const observe::PoolCounters& pool, Counts& counts) {
  counts.retried += pool.retries.get();
  counts.retries_refused += pool.retries_refused.sum();
  counts.unavailable += pool.unavailable.get();
  counts.shed += pool.shed.get();
  counts.tunnels_opened += pool.tunnels_opened.get();
  counts.tunnels_dropped += dropped(pool);
  counts.queued += pool.queued.get();
  counts.openings_queued += pool.openings_queued.get();
  counts.openings_refused += pool.openings_refused.sum();
  counts.tunnels_parked += pool.parked.sum();
  counts.tunnels_resumed += pool.park_ends.get(observe::ParkEnd::resumed);
}

}  // namespace

Series PoolSeries::step(Sums& before, const Sums& now) {
  Series out;
  for (std::size_t c = 0; c < kClasses; ++c) {
    const std::uint64_t delta = grown(before.requests[c], now.requests[c]);
    out.counts.requests += delta;
    if (static_cast<observe::CodeClass>(c) == observe::CodeClass::server_error) out.counts.failed += delta;
  }
  for (std::size_t b = 0; b < observe::kBuckets; ++b) {
    const auto delta = static_cast<std::uint32_t>(grown(before.duration[b], now.duration[b]));
    out.duration.buckets[b] = delta;
    out.duration.total += delta;
  }
  for (const incident::CountName& one : incident::kCounts)
    out.counts.*one.member += grown(before.counts.*one.member, now.counts.*one.member);
  before = now;
  return out;
}

std::vector<Series> PoolSeries::take(const config::Config& config, const Counters& counters, health::TimePoint now) {
  std::vector<Sums> sums(config.pools.size());
  std::unordered_map<std::string_view, std::size_t> pools;
  for (std::size_t p = 0; p < config.pools.size(); ++p) pools.emplace(config.pools[p].name, p);
  for (const auto& plan : counters)
    for (std::size_t p = 0; p < sums.size() && p < plan->pools.size(); ++p) add(*plan->pools[p], sums[p].counts);
  for (std::size_t r = 0; r < config.routes.size(); ++r) {
    const auto pool = pools.find(config.routes[r].pool);
    if (pool == pools.end()) continue;  // a route that answers by itself
    Sums& sum = sums[pool->second];
    for (const auto& plan : counters) {
      for (std::size_t at = r; at < plan->routes.size(); at += plan->route_count) {  // one per listener
        const observe::RouteCounters& route = *plan->routes[at];
        std::uint64_t any = 0;
        for (std::size_t c = 0; c < kClasses; ++c) {
          const std::uint64_t count = route.requests.get(static_cast<observe::CodeClass>(c));
          sum.requests[c] += count;
          any += count;
        }
        for (std::size_t b = 0; any > 0 && b < observe::kBuckets; ++b) sum.duration[b] += route.duration.bucket(b);
      }
    }
  }
  const auto generation = counters.empty() ? nullptr : counters.front();
  std::vector<Series> out;
  if (generation == generation_ && before_.size() == sums.size()) {
    out.reserve(sums.size());
    for (std::size_t p = 0; p < sums.size(); ++p) {
      out.push_back(step(before_[p], sums[p]));
      out.back().over = now - last_;
    }
  } else {
    before_ = std::move(sums);
    generation_ = generation;
  }
  last_ = now;
  return out;
}

}  // namespace understudy::server
