// How many WebSockets are being opened, and who waits, for the admin API and the metrics.
#include <boost/json.hpp>

#include <algorithm>
#include <cmath>

#include "proxy/observe/exposition.hpp"
#include "proxy/server/process.hpp"

namespace understudy::server {

namespace json = boost::json;

// The core has the pools in the plan's order, but for the moment of a reload.
std::size_t Process::plan_index(std::string_view pool, std::size_t likely) const {
  const auto& pools = plan_->config.pools;
  if (likely < pools.size() && pools[likely].name == pool) return likely;
  const auto found = std::find_if(pools.begin(), pools.end(), [&](const auto& p) { return p.name == pool; });
  return static_cast<std::size_t>(found - pools.begin());
}

Process::OpeningsSeen Process::look_at_openings(std::size_t pool) const {
  OpeningsSeen out;
  if (pool >= plan_->pools.size()) return out;
  const TimePoint now = std::chrono::steady_clock::now();
  plan_->pools[pool].openings->with([&](const limit::OpeningDesk& desk) {
    out.waiting = desk.waiting();
    out.estimate = desk.estimate(now);
    for (const auto& seen : desk.look(now)) out.endpoints.emplace(seen.endpoint, seen);
  });
  return out;
}

void Process::add_openings(json::object& described, const health::PoolStatus& pool, std::size_t index) const {
  const OpeningsSeen seen = look_at_openings(index);
  json::object& openings = described["openings"].as_object();
  openings["waiting"] = seen.waiting;
  openings["estimated_wait_ms"] =
      seen.estimate ? json::value(std::chrono::ceil<config::Duration>(*seen.estimate).count()) : json::value(nullptr);
  json::array& tiers = described["tiers"].as_array();
  for (std::size_t t = 0; t < tiers.size() && t < pool.tiers.size(); ++t) {
    json::array& endpoints = tiers[t].as_object()["endpoints"].as_array();
    for (std::size_t e = 0; e < endpoints.size() && e < pool.tiers[t].endpoints.size(); ++e) {
      const auto found = seen.endpoints.find(net::opening_key(pool.tiers[t].endpoints[e].id));
      json::value about = nullptr;
      if (found != seen.endpoints.end())
        about = {{"in_progress", found->second.in_progress},
                 {"limit", found->second.limit},
                 {"allowed_per_second", std::round(found->second.pace)},
                 {"opened_per_second", std::round(found->second.rate * 10) / 10}};
      endpoints[e].as_object()["openings"] = std::move(about);
    }
  }
}

void Process::expose_openings(observe::Exposition& out, const std::vector<health::PoolStatus>& pools) const {
  using Type = observe::Exposition::Type;
  std::vector<OpeningsSeen> seen;
  for (std::size_t i = 0; i < pools.size(); ++i) seen.push_back(look_at_openings(plan_index(pools[i].name, i)));
  out.family("websocket_opening_queue", Type::gauge, "WebSockets that wait for their turn to be opened.");
  for (std::size_t i = 0; i < pools.size(); ++i) out.sample({{"pool", pools[i].name}}, std::uint64_t{seen[i].waiting});
  out.family("websocket_opening_queue_estimate_seconds", Type::gauge, "How long the last of them will wait.");
  for (std::size_t i = 0; i < pools.size(); ++i) {
    const auto estimate = seen[i].estimate.value_or(health::Duration{0});
    out.sample({{"pool", pools[i].name}}, std::chrono::duration<double>(estimate).count());
  }
  out.family("tier_openings", Type::gauge, "1 for the tier that new tunnels go to.");
  for (const auto& pool : pools)
    for (std::size_t t = 0; t < pool.tiers.size(); ++t)
      out.sample({{"pool", pool.name}, {"tier", pool.tiers[t].name}},
                 std::uint64_t{pool.openings_to.value_or(pool.active) == t});
  // Of all endpoints, or of those that were asked to open one.
  const auto each = [&](std::string_view family, Type type, std::string_view help, bool all, auto tell) {
    out.family(family, type, help);
    for (std::size_t i = 0; i < pools.size(); ++i)
      for (const auto& tier : pools[i].tiers)
        for (const auto& e : tier.endpoints) {
          const auto found = seen[i].endpoints.find(net::opening_key(e.id));
          if (found == seen[i].endpoints.end() && !all) continue;
          const std::initializer_list<observe::Label> labels{
              {"pool", pools[i].name}, {"tier", tier.name}, {"endpoint", e.label}, {"address", e.address}};
          tell(labels, e, found != seen[i].endpoints.end() ? found->second : limit::OpeningDesk::Seen{});
        }
  };
  each("endpoint_slow_to_open", Type::gauge, "1 while new tunnels avoid it because it is slow to open WebSockets.",
       true, [&](const auto& labels, const auto& e, const auto&) {
         out.sample(labels, std::uint64_t{!e.slow_to_open.empty()});
       });
  each("endpoint_websocket_openings", Type::gauge, "WebSockets that are being opened.", false,
       [&](const auto& labels, const auto&, const auto& s) { out.sample(labels, std::uint64_t{s.in_progress}); });
  each("endpoint_websocket_openings_limit", Type::gauge, "How many may be opened at the same time.", false,
       [&](const auto& labels, const auto&, const auto& s) { out.sample(labels, std::uint64_t{s.limit}); });
  each("endpoint_websocket_openings_allowed_per_second", Type::gauge, "How many may begin in a second.", false,
       [&](const auto& labels, const auto&, const auto& s) { out.sample(labels, s.pace); });
  const auto of_workers = [&](const auto& e, auto f) {
    for (const auto& worker : workers_)
      if (const auto* counters = worker->endpoint_counters().get(e.id)) f(*counters);
  };
  each("endpoint_websocket_openings_left_total", Type::counter,
       "Openings that took too long and were given up to be opened elsewhere.", false,
       [&](const auto& labels, const auto& e, const auto&) {
         std::uint64_t total = 0;
         of_workers(e, [&](const auto& counters) { total += counters.openings_left.get(); });
         out.sample(labels, total);
       });
  each("endpoint_websocket_open_seconds", Type::histogram, "Attempt begun to 101.", false,
       [&](const auto& labels, const auto& e, const auto&) {
         observe::HistogramCounts counts;
         of_workers(e, [&](const auto& counters) { counters.websocket_open.add_to(counts); });
         out.histogram(labels, counts);
       });
}

json::object Process::describe_pool(const health::PoolStatus& pool) const {
  json::object out = admin::describe_pool(pool, instant());
  const std::size_t index = plan_index(pool.name, 0);
  add_openings(out, pool, index);
  add_parked(out, index);
  return out;
}

}  // namespace understudy::server
