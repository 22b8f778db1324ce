#include "proxy/server/plan_builder.hpp"

#include <algorithm>
#include <random>
#include <stdexcept>

#include "proxy/net/buffer.hpp"

namespace understudy::server {

namespace {

exchange::Policy policy_of(const config::PoolConfig& pool) {
  exchange::Policy policy;
  policy.connect_timeout = pool.connect_timeout;
  policy.response_timeout = pool.response_timeout;
  policy.idle_body_timeout = pool.idle_body_timeout;
  policy.try_timeout = pool.try_timeout;
  policy.request_timeout = pool.request_timeout;
  policy.max_retries = pool.retry.max;
  policy.retry_on_5xx = pool.retry.on_5xx;
  policy.opening_wait = pool.openings.wait;
  policy.wait_for_endpoint = std::min<config::Duration>(pool.response_timeout, std::chrono::seconds(1));
  return policy;
}

http::HeadLimits head_limits(const config::Limits& limits) {
  static_assert(config::kLargestHead <= net::kBlockSize, "a head must fit into one buffer block");
  static_assert(config::kMostHeadFields == http::kMaxFields);
  http::HeadLimits head;
  head.max_bytes = static_cast<std::uint32_t>(limits.max_header_bytes);
  head.max_fields = static_cast<std::uint32_t>(limits.max_headers);
  head.max_uri_bytes = static_cast<std::uint32_t>(limits.max_uri_bytes);
  return head;
}

// A pool that stays keeps its budget, unless the terms of it changed.
std::shared_ptr<net::SharedBudget> budget_of(const config::PoolConfig& pool, const net::Plan* previous) {
  if (previous != nullptr)
    for (const net::PoolPlan& known : previous->pools)
      if (known.config->name == pool.name && known.config->retry.budget == pool.retry.budget &&
          known.config->retry.budget_floor == pool.retry.budget_floor &&
          known.config->retry.hedge_share == pool.retry.hedge_share)
        return known.budget;
  auto fresh = std::make_shared<net::SharedBudget>(pool.retry.budget, pool.retry.budget_floor, pool.retry.hedge_share);
  fresh->deposit({}, std::chrono::steady_clock::now());  // its floor counts from now, not from the first retry
  return fresh;
}

// Likewise what is known of its endpoints' openings, and who waits.
std::shared_ptr<net::SharedOpenings> openings_of(const config::PoolConfig& pool, const net::Plan* previous) {
  if (previous != nullptr)
    for (const net::PoolPlan& known : previous->pools)
      if (known.config->name == pool.name && known.config->openings == pool.openings) return known.openings;
  return std::make_shared<net::SharedOpenings>(pool.name, pool.openings);
}

// A socket is known by its address: who keeps the address under a new name keeps the socket, and connections stay.
std::vector<std::pair<std::string, std::string>> renamed(const std::vector<config::ListenerConfig>& before,
                                                         const std::vector<config::ListenerConfig>& now) {
  std::vector<std::pair<std::string, std::string>> pairs;
  std::vector<bool> taken(before.size(), false);
  std::vector<const config::ListenerConfig*> newcomers;
  const auto claim = [&](const config::ListenerConfig& listener, bool same_name) {
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (taken[i] || before[i].address != listener.address) continue;
      if (same_name && before[i].name != listener.name) continue;
      taken[i] = true;
      if (!same_name) pairs.emplace_back(before[i].name, listener.name);
      return true;
    }
    return false;
  };
  for (const config::ListenerConfig& listener : now)
    if (!claim(listener, true)) newcomers.push_back(&listener);
  for (const config::ListenerConfig* listener : newcomers) claim(*listener, false);
  return pairs;
}

}  // namespace

PlanBuilder::PlanBuilder() {
  std::random_device device;
  hash_seed_ = (static_cast<std::uint64_t>(device()) << 32) | device();
}

std::shared_ptr<const net::Plan> PlanBuilder::build(config::Config config, const net::Plan* previous) const {
  auto plan = std::make_shared<net::Plan>(std::move(config));
  plan->generation = previous != nullptr ? previous->generation + 1 : 1;
  plan->hash_seed = hash_seed_;
  for (const config::ListenerConfig& listener : plan->config.listeners) {
    net::ListenerPlan out;
    out.config = &listener;
    out.limits = std::make_shared<const config::Limits>(listener.limits);
    out.head = head_limits(listener.limits);
    if (listener.tls) {
      try {
        out.tls = std::make_shared<const net::TlsServer>(*listener.tls, listener.name, tickets_.data());
      } catch (const std::exception& e) {
        throw std::runtime_error("[listen." + listener.name + "].tls: " + e.what());
      }
    }
    plan->listeners.push_back(std::move(out));
  }
  for (const config::PoolConfig& pool : plan->config.pools) {
    net::PoolPlan out;
    out.config = &pool;
    out.policy = policy_of(pool);
    if (pool.tls) {
      try {
        out.tls = std::make_shared<const net::TlsClient>(*pool.tls);
      } catch (const std::exception& e) {
        throw std::runtime_error("[pool." + pool.name + "].tls: " + e.what());
      }
    }
    out.budget = budget_of(pool, previous);
    out.openings = openings_of(pool, previous);
    plan->pools.push_back(std::move(out));
  }
  for (const config::RouteConfig& route : plan->config.routes) {
    int index = -1;
    for (std::size_t i = 0; i < plan->config.pools.size(); ++i)
      if (plan->config.pools[i].name == route.pool) index = static_cast<int>(i);
    plan->route_pool.push_back(index);
    const bool tunnels = index >= 0 && route.websocket.allowed;
    plan->tunnels.push_back(tunnels ? std::make_shared<const net::TunnelPolicy>(net::TunnelPolicy{
                                          plan->generation, route.name, route.pool, route.match, route.websocket})
                                    : nullptr);
  }
  if (previous != nullptr) plan->renamed = renamed(previous->config.listeners, plan->config.listeners);
  return plan;
}

}  // namespace understudy::server
