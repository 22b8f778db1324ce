// What a worker serves by: one immutable snapshot of configuration (Plan) and health (View). The control thread builds it and
// posts it to every worker; a worker holds ONE shared_ptr in a locally counted handle, and exchanges count locally.
// Tunnels and idle connections hold none.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/model.hpp"
#include "health/types.hpp"
#include "proxy/exchange/state.hpp"
#include "proxy/limit/fair_share.hpp"
#include "proxy/limit/retry_budget.hpp"
#include "proxy/net/faults.hpp"
#include "proxy/net/object.hpp"
#include "proxy/net/openings.hpp"
#include "proxy/net/tls.hpp"
#include "proxy/observe/counters.hpp"
#include "proxy/route/route_table.hpp"

namespace understudy::net {

// A pool's retry budget and its share of hedges, shared by the workers under one lock. Leases of tokens to workers (design §3)
// would save a lock that is not worth saving: a first attempt only counts in its worker, which hands its deposits in 64 at a time,
// so one request in 64 locks for some 20 ns; and a retry, which locks once, has just paid for a failed attempt and is about to pay
// for another, a thousand times that. In return the budget is exact over all workers at every moment, and nothing is lent that
// another worker lacks. What a worker has not handed in yet goes in with its next retry. No client uses all of it up while there
// are others (limit::FairShare).
class SharedBudget {
public:
  SharedBudget(double ratio, double floor, double hedge_share = 0.05) : budget_(ratio, floor), hedges_(hedge_share) {}
  // Deposits `first_attempts`, then takes one token for `client` if there is one for it. Nothing if granted.
  std::optional<observe::RetryRefusal> take(const limit::Asked& first_attempts, std::uint64_t client,
                                            limit::TimePoint now) {
    const std::lock_guard lock(mutex_);
    put(first_attempts, now);
    return pay(client, now);
  }
  // A hedge costs a token of the budget and one of the share. Beyond the share it takes what is there of that.
  std::optional<observe::HedgeRefusal> take_hedge(const limit::Asked& first_attempts, std::uint64_t client,
                                                  bool beyond_share, limit::TimePoint now) {
    const std::lock_guard lock(mutex_);
    put(first_attempts, now);
    if (!beyond_share && !hedges_.has_one()) return observe::HedgeRefusal::share;
    if (const auto refused = pay(client, now))
      return *refused == observe::RetryRefusal::client ? observe::HedgeRefusal::client : observe::HedgeRefusal::budget;
    hedges_.take_one();
    return {};
  }
  void deposit(const limit::Asked& first_attempts, limit::TimePoint now) {
    const std::lock_guard lock(mutex_);
    put(first_attempts, now);
  }

private:
  void put(const limit::Asked& first_attempts, limit::TimePoint now) {
    budget_.deposit(first_attempts.requests(), now);
    hedges_.deposit(first_attempts.requests());
    shares_.asked(first_attempts, now);
  }
  std::optional<observe::RetryRefusal> pay(std::uint64_t client, limit::TimePoint now) {
    const double kept = shares_.kept_from(client, now);
    if (!budget_.take(now, kept))
      return kept > 0 && budget_.balance(now) >= 1 ? observe::RetryRefusal::client : observe::RetryRefusal::budget;
    shares_.took(client, now);
    return {};
  }

  std::mutex mutex_;
  limit::RetryBudget budget_;
  limit::RequestShare hedges_;
  limit::FairShare shares_;
};

struct ListenerPlan {
  const config::ListenerConfig* config = nullptr;  // points into Plan::config
  std::shared_ptr<const config::Limits> limits;    // idle connections hold this and not the plan
  std::shared_ptr<const TlsServer> tls;
  http::HeadLimits head;
};

struct PoolPlan {
  const config::PoolConfig* config = nullptr;
  std::shared_ptr<const TlsClient> tls;
  std::shared_ptr<SharedBudget> budget;      // the same object over reloads
  std::shared_ptr<SharedOpenings> openings;  // likewise
  exchange::Policy policy;
};

// What a tunnel keeps of the plan; looked up again when the plan changes.
struct TunnelPolicy {
  std::uint64_t generation = 0;  // of its plan
  const std::string route, pool;
  config::RouteMatch match;
  config::WebSocketConfig websocket;
};

struct Plan {
  explicit Plan(config::Config c) : config(std::move(c)), routes(config) {}
  std::uint64_t generation = 0;
  config::Config config;
  route::RouteTable routes;
  std::vector<ListenerPlan> listeners;  // same order as config.listeners
  // Listeners of the plan before that live on under another name, since the address is the same: {from, to}.
  std::vector<std::pair<std::string, std::string>> renamed;
  std::vector<PoolPlan> pools;                               // same order as config.pools
  std::vector<int> route_pool;                               // per route: index of its pool, or -1
  std::vector<std::shared_ptr<const TunnelPolicy>> tunnels;  // per route; null where there can be none
  std::uint64_t hash_seed = 0;                               // process-wide, for keys that clients choose
};

struct Snapshot {
  Snapshot() { alive().fetch_add(1, std::memory_order_relaxed); }
  ~Snapshot() { alive().fetch_sub(1, std::memory_order_relaxed); }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  static std::atomic<int>& alive() {
    static std::atomic<int> count{0};
    return count;
  }
  std::uint64_t version = 0;
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<const health::View> view;
  std::vector<std::shared_ptr<const observe::PlanCounters>> counters;  // per worker
  std::shared_ptr<const Faults> faults;                                // of live drills; null: none
};

// A worker's own handle of a snapshot, counted without atomics.
class HeldSnapshot final : public Object {
public:
  HeldSnapshot(std::shared_ptr<const Snapshot> snapshot, unsigned worker)
      : snapshot_(std::move(snapshot)), counters_(snapshot_->counters[worker].get()) {}
  const Plan& plan() const { return *snapshot_->plan; }
  const health::View& view() const { return *snapshot_->view; }
  const observe::PlanCounters& counters() const { return *counters_; }
  std::uint64_t version() const { return snapshot_->version; }
  const Faults* faults() const { return snapshot_->faults.get(); }

private:
  std::shared_ptr<const Snapshot> snapshot_;
  const observe::PlanCounters* counters_;
};
using SnapshotRef = Ref<HeldSnapshot>;

}  // namespace understudy::net
