// How many WebSockets are being opened, and who waits, for the admin API and the metrics.
#include <boost/json.hpp>
#include <cmath>

#include "proxy/server/process.hpp"

namespace understudy::server {

namespace json = boost::json;

Process::OpeningsSeen Process::look_at_openings(std::string_view pool) const {
  OpeningsSeen out;
  const TimePoint now = std::chrono::steady_clock::now();
  for (const net::PoolPlan& plan : plan_->pools) {
    if (plan.config->name != pool) continue;
    plan.openings->with([&](const limit::OpeningDesk& desk) {
      out.waiting = desk.waiting();
      out.estimate = desk.estimate(now);
      for (const auto& seen : desk.look(now)) out.endpoints.emplace(seen.endpoint, seen);
    });
  }
  return out;
}

void Process::add_openings(json::object& described, const health::PoolStatus& pool) const {
  const OpeningsSeen seen = look_at_openings(pool.name);
  described["openings"] = {
      {"waiting", seen.waiting},
      {"estimated_wait_ms", seen.estimate ? json::value(std::chrono::ceil<config::Duration>(*seen.estimate).count())
                                          : json::value(nullptr)}};
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

json::object Process::describe_pool(const health::PoolStatus& pool) const {
  json::object out = admin::describe_pool(pool, instant());
  add_openings(out, pool);
  add_parked(out, pool.name);
  return out;
}

}  // namespace understudy::server
