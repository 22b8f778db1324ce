// Where a request goes, and the books that are kept about it.
#include <algorithm>

#include "proxy/net/exchange_driver.hpp"
#include "proxy/net/worker.hpp"
#include "proxy/net/worker_slot.hpp"

namespace understudy::net {

using health::Cause;

namespace {
constexpr std::uint32_t kDepositEvery = 64;  // first attempts per hand-in to the shared budget
constexpr std::chrono::seconds kTlsToldEvery{10};
constexpr std::chrono::milliseconds kUrgentEvery{5};  // messages per endpoint to the control thread
constexpr std::uint32_t kMaxWaiting = 1024;           // requests of a worker that wait for a tier

// Worth telling the control thread now: the endpoint failed before it said anything useful.
bool is_urgent(Cause cause) {
  switch (health::class_of(cause)) {
    case health::CauseClass::refused:
    case health::CauseClass::unreachable:
    case health::CauseClass::stalled:
    case health::CauseClass::erroring: return true;
    default: return false;
  }
}
}  // namespace

Worker::Slot& Worker::slot(health::EndpointId id) {
  if (id.slot >= slots_.size()) slots_.resize(id.slot + 1);
  auto& s = slots_[id.slot];
  if (!s) {
    s = std::make_unique<Slot>();
    s->owner = s->pool.owner = id;
  } else if (s->owner.generation < id.generation) {
    // Given out anew: nothing of the old endpoint may serve the new one.
    s->pool.close_all();
    s->owner = s->pool.owner = id;
    s->ewma = balance::PeakEwma{};
    s->ill = 0;
    s->tls_told.reset();
    s->tls_untold = 0;
    s->fate = Slot::Fate::stays;
    s->aside.reset();
  }
  return *s;
}

std::uint32_t Worker::in_flight(const health::EndpointView& endpoint) const {
  return endpoint.load->in_flight.load(std::memory_order_relaxed);
}

double Worker::latency(const health::EndpointView& endpoint) const {
  const auto slot_index = endpoint.id.slot;
  if (slot_index >= slots_.size() || !slots_[slot_index]) return 0;
  return slots_[slot_index]->ewma.seconds(reactor_.now());
}

Picked Worker::pick(const PickRequest& request) {
  Picked out;
  const Plan& plan = snapshot_->plan();
  const health::View& view = snapshot_->view();
  // The exchange's own plan may be older: then the pool is found by its name.
  std::uint32_t index = request.pool;
  if (request.plan->generation != plan.generation) {
    const std::string& name = request.plan->pools[request.pool].config->name;
    const auto found =
        std::find_if(view.pools.begin(), view.pools.end(), [&](const auto& p) { return p.name == name; });
    if (found == view.pools.end()) return out;
    index = static_cast<std::uint32_t>(found - view.pools.begin());
  }
  const health::PoolView& pool = view.pools[index];
  if (pool.maintenance) {
    out.maintenance = true;
    out.retry_after =
        static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::seconds>(pool.maintenance_left).count());
    return out;
  }
  const config::PoolConfig& config = *plan.pools[index].config;
  const auto take = [&](std::uint32_t tier, std::uint32_t endpoint) {
    out.endpoint = &pool.tiers[tier].endpoints[endpoint];
    out.snapshot = snapshot_;
    out.tier = tier;
    out.epoch = pool.epoch;
    out.fallthrough = tier != pool.active;
  };
  // Law 11: other tiers only for safe methods, unless shared.
  const bool shared = config.tiers_mode == config::TiersMode::shared;
  const bool others = request.safe || shared;
  const bool first = request.excluded.empty() && pool.active < pool.tiers.size();
  const bool aside = pool.side && (request.safe || (shared && !pool.side->safe_only));
  if (first && aside && pool.side->tier < pool.tiers.size() && chance(pool.side->share)) {
    if (const auto e = pick_in_tier(pool, index, pool.side->tier, request, config.max_in_flight)) {
      take(pool.side->tier, *e);
      return out;
    }
  }
  const bool spill = first && shared && pool.tiers[pool.active].doubtful;
  if (first && request.safe && (spill || !pool.tiers[pool.active].doubtful)) {
    if (const auto e = pick_trial(pool.tiers[pool.active])) {
      take(pool.active, *e);
      out.trial = true;
      return out;
    }
  }
  if (spill) {  // nobody in the serving tier is trusted: those who are do the work meanwhile
    for (std::uint32_t t = 0; t < pool.tiers.size(); ++t) {
      if (t == pool.active || !pool.tiers[t].serviceable || pool.tiers[t].doubtful) continue;
      if (const auto e = pick_in_tier(pool, index, t, request, config.max_in_flight)) {
        take(t, *e);
        return out;
      }
    }
  }
  if (pool.active < pool.tiers.size()) {
    if (const auto e = pick_in_tier(pool, index, pool.active, request, config.max_in_flight)) {
      take(pool.active, *e);
      return out;
    }
  }
  // Law 9: everything in the serving tier refused this request.
  bool elsewhere = false;
  for (std::uint32_t t = 0; t < pool.tiers.size(); ++t) {
    if (t == pool.active || !pool.tiers[t].serviceable || pool.tiers[t].usable.empty()) continue;
    elsewhere = true;
    if (!others) continue;
    if (const auto e = pick_in_tier(pool, index, t, request, config.max_in_flight)) {
      take(t, *e);
      return out;
    }
  }
  out.may_wait = (elsewhere || pool.settling) && request.excluded.empty() && waiting_count_ < kMaxWaiting;
  return out;
}

bool Worker::chance(double share) { return static_cast<double>(random_() >> 11U) * 0x1.0p-53 < share; }

// A suspect whose turn for a trial request has come: one at a time, paced over all workers by one shared word.
std::optional<std::uint32_t> Worker::pick_trial(const health::TierView& tier) {
  for (const std::uint32_t i : tier.trials) {
    const health::EndpointView& endpoint = tier.endpoints[i];
    if (endpoint.load->in_flight.load(std::memory_order_relaxed) > 0) continue;
    const auto now = reactor_.now().time_since_epoch().count();
    auto due = endpoint.load->next_trial.load(std::memory_order_relaxed);
    if (now < due) continue;
    const auto next = now + std::chrono::duration_cast<TimePoint::duration>(endpoint.trial_pause).count();
    if (endpoint.load->next_trial.compare_exchange_strong(due, next, std::memory_order_relaxed)) return i;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> Worker::pick_in_tier(const health::PoolView& pool, std::uint32_t pool_index,
                                                  std::uint32_t tier, const PickRequest& request,
                                                  std::uint32_t max_in_flight) {
  const health::TierView& view = pool.tiers[tier];
  // An endpoint beyond the table has no books here: better none than one (the server says so loudly).
  const auto booked = [&view](std::optional<std::uint32_t> e) {
    return e && view.endpoints[*e].id.slot < kMaxSlots ? e : std::nullopt;
  };
  if (request.sticky) {
    if (const auto e = booked(balance::find_sticky(view, pool.name, *request.sticky, request.excluded))) return e;
  }
  balance::PickInput input;
  input.hash = request.hash;
  input.random = random_();
  input.excluded = request.excluded;
  input.max_in_flight = max_in_flight;
  return booked(balancers_[pool_index][tier]->pick(view, input, *this));
}

Ref<UpstreamConnection> Worker::borrow(health::EndpointId endpoint, bool careful) {
  Slot& s = slot(endpoint);
  return s.owner == endpoint ? s.pool.borrow(reactor_.now(), careful) : Ref<UpstreamConnection>{};
}

void Worker::put_idle(UpstreamConnection& connection, const config::PoolConfig& pool) {
  Slot& s = slot(connection.endpoint());  // of its successor, if the endpoint is gone
  if (s.owner != connection.endpoint() || draining_) {
    connection.close();
    return;
  }
  s.pool.put(connection, reactor_.now());
  s.pool.trim(pool.keepalive_connections);
  if (connection.IdleHook::linked()) reactor_.wheel().set(connection, reactor_.now() + pool.keepalive_timeout);
}

void Worker::forget_idle(UpstreamConnection& connection) {
  const Ref<UpstreamConnection> self(&connection);
  const auto id = connection.endpoint();
  if (id.slot < slots_.size() && slots_[id.slot]) slots_[id.slot]->pool.remove(connection);
  connection.close();
}

// ---- retry budget --------------------------------------------------------------------------------------------------

void Worker::note_first_attempt(const Plan& plan, std::uint32_t pool) {
  if (plan.generation != balancer_generation_ || pool >= first_attempts_.size()) return;
  if (++first_attempts_[pool] < kDepositEvery) return;
  plan.pools[pool].budget->deposit(first_attempts_[pool], reactor_.now());
  first_attempts_[pool] = 0;
}

bool Worker::take_retry_token(const Plan& plan, std::uint32_t pool) {
  std::uint32_t deposits = 0;
  if (plan.generation == balancer_generation_ && pool < first_attempts_.size())
    std::swap(deposits, first_attempts_[pool]);
  return plan.pools[pool].budget->take(deposits, reactor_.now());
}

// ---- evidence ------------------------------------------------------------------------------------------------------

void Worker::touch(std::uint32_t slot_index) {
  auto& word = touched_[slot_index / 64];
  const std::uint64_t bit = std::uint64_t{1} << (slot_index % 64);
  if ((word.load(std::memory_order_relaxed) & bit) == 0) word.fetch_or(bit, std::memory_order_release);
}

void Worker::publish_pending(std::uint32_t slot_index, Slot& s) {
  PendingCell& cell = pending_[slot_index];
  cell.count.store(s.awaiting_count, std::memory_order_relaxed);
  const Exchange* oldest = s.awaiting.front();
  cell.oldest.store(oldest != nullptr ? oldest->awaiting_since().time_since_epoch().count() : 0,
                    std::memory_order_relaxed);
}

Worker::Pending Worker::pending(std::uint32_t slot_index) const {
  Pending out;
  const PendingCell& cell = pending_[slot_index];
  out.count = cell.count.load(std::memory_order_relaxed);
  if (const auto since = cell.oldest.load(std::memory_order_relaxed); since != 0)
    out.oldest = TimePoint(TimePoint::duration(since));
  return out;
}

void Worker::attempt_sent(Exchange& exchange, std::uint32_t slot_index) {
  Slot& s = *slots_[slot_index];
  s.awaiting.push_back(exchange);
  ++s.awaiting_count;
  touch(slot_index);
  publish_pending(slot_index, s);
}

void Worker::attempt_answered(Exchange& exchange, std::uint32_t slot_index) {
  Slot& s = *slots_[slot_index];
  if (!exchange.AwaitHook::linked()) return;
  exchange.AwaitHook::unlink();
  --s.awaiting_count;
  publish_pending(slot_index, s);
}

void Worker::outcome(const health::EndpointView& endpoint, Cause cause) {
  const std::uint32_t slot_index = endpoint.id.slot;
  if (slot(endpoint.id).owner != endpoint.id) return;  // it is gone, and says nothing about who has its place now
  if (cause != Cause::none && reactor_.starved()) cause = Cause::own_error;  // law 12: suspect yourself first
  endpoints_.at(slot_index).outcomes.add(cause);
  touch(slot_index);
  auto& consecutive = endpoint.load->consecutive_failures;
  if (cause == Cause::none) {
    if (consecutive.load(std::memory_order_relaxed) != 0) consecutive.store(0, std::memory_order_relaxed);
    return;
  }
  if (cause == Cause::own_error) return;
  consecutive.fetch_add(1, std::memory_order_relaxed);
  if (!is_urgent(cause) || !shared_.urgent) return;
  Slot& s = slot(endpoint.id);
  if (reactor_.now() - s.last_urgent < kUrgentEvery) return;  // the 100 ms sample carries the rest
  s.last_urgent = reactor_.now();
  shared_.urgent(endpoint.id);
}

void Worker::tls_failed(const health::EndpointView& endpoint, const std::string& pool, const std::string& why) {
  Slot& s = slot(endpoint.id);
  if (s.owner != endpoint.id || !shared_.warn) return;
  const TimePoint now = reactor_.now();
  ++s.tls_untold;
  if (s.tls_told && now - *s.tls_told < kTlsToldEvery) return;
  if (!tls_lines_.take(1, now)) return;
  std::string line = "upstream_tls_failed pool=" + pool + " endpoint=" + endpoint.label + ": the TLS handshake with " +
                     endpoint.address.to_string() + " failed: " + (why.empty() ? "no reason was given" : why);
  if (s.tls_told && s.tls_untold > 1) line += " (" + std::to_string(s.tls_untold) + " times since this was last told)";
  s.tls_told = now;
  s.tls_untold = 0;
  shared_.warn(std::move(line));
}

void Worker::latency_sample(const health::EndpointView& endpoint, std::chrono::nanoseconds value) {
  Slot& s = slot(endpoint.id);
  if (s.owner == endpoint.id) s.ewma.add(value, reactor_.now());
}

void Worker::wait_for_endpoint(Exchange& exchange) {
  waiting_.push_back(exchange);
  ++waiting_count_;
}

}  // namespace understudy::net
