// Where a request goes, and the books that are kept about it.
#include <algorithm>
#include <utility>

#include "health/choice.hpp"
#include "proxy/net/exchange_driver.hpp"
#include "proxy/net/worker.hpp"
#include "proxy/net/worker_slot.hpp"

namespace understudy::net {

using health::Cause;

namespace {
// First attempts per hand-in to the shared budget, and how long the first of them may wait for that: where few ask, it has to be
// known too that there are others.
constexpr std::uint32_t kDepositEvery = 64;
constexpr std::chrono::seconds kDepositWithin{1};
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
    s->served = false;
    s->due.reset();
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

// The exchange's own plan may be older: then the pool is found by its name.
const health::PoolView* Worker::pool_view(const PickRequest& request) const {
  const std::vector<health::PoolView>& pools = snapshot_->view().pools;
  if (request.plan->generation == snapshot_->plan().generation) return &pools[request.pool];
  const auto found = pool_by_name_.find(request.plan->pools[request.pool].config->name);
  return found != pool_by_name_.end() ? &pools[found->second] : nullptr;
}

bool Worker::doubted(const PickRequest& request, health::EndpointId id) const {
  const health::PoolView* const pool = pool_view(request);
  if (pool == nullptr) return false;
  for (const health::TierView& tier : pool->tiers)
    for (const health::EndpointView& endpoint : tier.endpoints)
      if (endpoint.id == id) return endpoint.suspect || endpoint.unhealthy;
  return false;
}

bool Worker::has_another(const PickRequest& request) const {
  const health::PoolView* const pool = pool_view(request);
  if (pool == nullptr) return false;
  for (std::uint32_t t = 0; t < pool->tiers.size(); ++t) {
    const health::TierView& tier = pool->tiers[t];
    if (t != pool->active && !tier.serviceable) continue;
    for (const std::uint32_t i : tier.usable) {
      const health::EndpointId id = tier.endpoints[i].id;
      if (std::find(request.excluded.begin(), request.excluded.end(), id) == request.excluded.end()) return true;
    }
  }
  return false;
}

Picked Worker::pick(const PickRequest& request) {
  Picked out;
  const Plan& plan = snapshot_->plan();
  const health::PoolView* const found = pool_view(request);
  if (found == nullptr) return out;
  const health::PoolView& pool = *found;
  const auto index = static_cast<std::uint32_t>(found - snapshot_->view().pools.data());
  if (pool.maintenance) {
    out.maintenance = true;
    out.retry_after =
        static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::seconds>(pool.maintenance_left).count());
    return out;
  }
  const config::PoolConfig& config = *plan.pools[index].config;
  health::Asking asking;
  asking.safe = request.safe;
  asking.shared = config.tiers_mode == config::TiersMode::shared;
  asking.first = request.excluded.empty() && !request.again;
  asking.again = request.again;
  asking.hedge = request.hedge;
  asking.opening = request.openings != nullptr;
  health::Choice choice = opening_trial(pool, config, request);
  const bool opening_tried = choice.endpoint.has_value();
  if (!opening_tried)
    choice = health::choose(
        pool, asking,
        [&](std::uint32_t tier) {
          return request.openings != nullptr
                     ? pick_with_room(pool, index, tier, request, config.max_in_flight, out.full)
                     : pick_in_tier(pool, index, tier, request, config.max_in_flight);
        },
        [&](std::uint32_t tier) { return pick_trial(pool.tiers[tier]); },
        [&] { return spill_tier(pool, config, request); }, [this](double share) { return chance(share); });
  if (choice.endpoint) {
    out.full = false;
    out.endpoint = &pool.tiers[choice.tier].endpoints[*choice.endpoint];
    out.snapshot = snapshot_;
    out.tier = choice.tier;
    out.epoch = pool.epoch;
    const bool wanted = opening_tried || (asking.opening && choice.tier == health::tier_for_openings(pool));
    out.fallthrough = choice.tier != pool.active && !wanted;
    if (opening_tried) out.leave_after = out.endpoint->opening_trials->limit;
    out.trial = choice.trial && !opening_tried;
    out.risked = choice.risked;
    return out;
  }
  out.shed = choice.shed && !out.full;  // what waits to be opened where it opens well is not shed
  out.may_wait =
      !choice.shed && (choice.elsewhere || pool.settling) && request.excluded.empty() && waiting_count_ < kMaxWaiting;
  return out;
}

bool Worker::chance(double share) { return static_cast<double>(random_() >> 11U) * 0x1.0p-53 < share; }

// The tier that takes this request from a serving one that cannot carry all of them. A client that is at home in the serving
// tier stays; a hashed key always goes the same way.
std::optional<std::uint32_t> Worker::spill_tier(const health::PoolView& pool, const config::PoolConfig& config,
                                                const PickRequest& request) {
  if (request.sticky && balance::find_sticky(pool.tiers[pool.active], pool.name, *request.sticky, request.excluded))
    return std::nullopt;
  const bool hashed = config.balance == config::BalanceKind::hash;
  const std::uint64_t bits = hashed ? request.hash * 0x9e3779b97f4a7c15U : random_();
  double at = static_cast<double>(bits >> 11U) * 0x1.0p-53;
  for (const health::SpillShare& part : pool.spill) {
    if (at < part.share) return part.tier;
    at -= part.share;
  }
  return std::nullopt;
}

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

void Worker::note_first_attempt(const Plan& plan, std::uint32_t pool, std::uint64_t client,
                                const config::SocketAddress& address) {
  if (plan.generation != balancer_generation_ || pool >= first_attempts_.size()) return;
  ++arrivals_[pool].requests;
  arrivals_[pool].clients.add(client, address);
  auto& [asked, since] = first_attempts_[pool];
  if (asked.requests() == 0) since = reactor_.now();
  asked.add(client);
  if (asked.requests() < kDepositEvery && reactor_.now() < since + kDepositWithin) return;
  plan.pools[pool].budget->deposit(asked, reactor_.now());
  asked = {};
}

limit::Asked Worker::take_deposits(const Plan& plan, std::uint32_t pool) {
  const bool newest = plan.generation == balancer_generation_ && pool < first_attempts_.size();
  return newest ? std::exchange(first_attempts_[pool].asked, {}) : limit::Asked{};
}

// What was asked since the last time, to where the control thread finds it.
void Worker::hand_in_arrivals() {
  const std::lock_guard lock(shared_.arrivals_mutex);
  auto& handed_in = shared_.arrivals.emplace_back();
  handed_in.generation = balancer_generation_;
  for (std::uint32_t pool = 0; pool < arrivals_.size(); ++pool) {
    if (arrivals_[pool].requests == 0) continue;
    handed_in.pools.emplace_back(pool, arrivals_[pool]);
    arrivals_[pool] = Arrivals{};
  }
}

bool Worker::wants_mirror(double share, std::uint64_t client) {
  constexpr std::chrono::milliseconds pause{50};
  constexpr std::chrono::seconds same_client{1};
  if (!mirror_due() || !chance(share)) return false;
  TimePoint& copied = mirror_clients_[client % mirror_clients_.size()];
  if (reactor_.now() < copied + same_client) return false;
  copied = reactor_.now();
  mirror_due_ = reactor_.now() + pause;
  return true;
}

void Worker::hand_in(MirrorSample sample) {
  const std::lock_guard lock(shared_.mirrors_mutex);
  if (shared_.mirrors.size() >= WorkerShared::kMaxMirrors) {
    ++shared_.mirrors_dropped;
    return;
  }
  shared_.mirrors.push_back(std::move(sample));
}

std::optional<observe::RetryRefusal> Worker::take_retry_token(const Plan& plan, std::uint32_t pool,
                                                              std::uint64_t client) {
  return plan.pools[pool].budget->take(take_deposits(plan, pool), client, reactor_.now());
}

std::optional<observe::HedgeRefusal> Worker::take_hedge_token(const Plan& plan, std::uint32_t pool,
                                                              std::uint64_t client, bool beyond_share) {
  return plan.pools[pool].budget->take_hedge(take_deposits(plan, pool), client, beyond_share, reactor_.now());
}

void Worker::share_used_up(const std::string& pool, const config::SocketAddress& client) {
  if (!shared_.warn || !share_lines_.take(1, reactor_.now())) return;
  shared_.warn(
      "retry_share_used_up pool=" + pool + " client=" + limit::client_name(client) +
      ": so many requests of this client fail that half of the retry budget went to them; what is left is for the "
      "others");
}

// ---- evidence ------------------------------------------------------------------------------------------------------

void Worker::touch(std::uint32_t slot_index) {
  auto& word = touched_[slot_index / 64];
  const std::uint64_t bit = std::uint64_t{1} << (slot_index % 64);
  if ((word.load(std::memory_order_relaxed) & bit) == 0) word.fetch_or(bit, std::memory_order_release);
}

void Worker::publish_pending(std::uint32_t slot_index, Slot& s) {
  const auto publish = [](PendingCell& cell, std::uint32_t count, const AwaitHook* oldest) {
    cell.count.store(count, std::memory_order_relaxed);
    cell.oldest.store(oldest != nullptr ? oldest->since.time_since_epoch().count() : 0, std::memory_order_relaxed);
  };
  publish(pending_[slot_index], s.awaiting_count, s.awaiting.front());
  publish(opening_[slot_index], s.opening_count, s.opening.front());
}

Worker::Pending Worker::read(const PendingCell& cell) {
  Pending out;
  out.count = cell.count.load(std::memory_order_relaxed);
  if (const auto since = cell.oldest.load(std::memory_order_relaxed); since != 0)
    out.oldest = TimePoint(TimePoint::duration(since));
  return out;
}

void Worker::attempt_sent(AwaitHook& attempt, std::uint32_t slot_index) {
  Slot& s = *slots_[slot_index];
  (attempt.opening ? s.opening : s.awaiting).push_back(attempt);
  ++(attempt.opening ? s.opening_count : s.awaiting_count);
  touch(slot_index);
  publish_pending(slot_index, s);
}

void Worker::attempt_answered(AwaitHook& attempt, std::uint32_t slot_index) {
  Slot& s = *slots_[slot_index];
  if (!attempt.linked()) return;
  attempt.unlink();
  --(attempt.opening ? s.opening_count : s.awaiting_count);
  publish_pending(slot_index, s);
}

void Worker::outcome(const health::EndpointView& endpoint, Cause cause, std::uint64_t client) {
  const std::uint32_t slot_index = endpoint.id.slot;
  if (slot(endpoint.id).owner != endpoint.id) return;  // it is gone, and says nothing about who has its place now
  if (cause != Cause::none && reactor_.starved()) cause = Cause::own_error;  // law 12: suspect yourself first
  observe::EndpointCounters& counters = endpoints_.at(slot_index);
  counters.outcomes.add(cause);
  counters.client.ended(client, cause);
  counters.busiest.ended(client);
  touch(slot_index);
  Slot& s = slot(endpoint.id);
  auto& consecutive = endpoint.load->consecutive_failures;
  if (cause == Cause::none) {
    if (consecutive.load(std::memory_order_relaxed) != 0) consecutive.store(0, std::memory_order_relaxed);
    return;
  }
  if (cause == Cause::own_error) return;
  consecutive.fetch_add(1, std::memory_order_relaxed);
  if (!is_urgent(cause) || !shared_.urgent) return;
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

void Worker::superseded(const health::EndpointView& endpoint, std::chrono::nanoseconds waited) {
  Slot& s = slot(endpoint.id);
  if (s.owner != endpoint.id || reactor_.starved()) return;
  observe::EndpointCounters& counters = endpoints_.at(endpoint.id.slot);
  counters.superseded.record(waited);
  counters.abandoned.add();
  touch(endpoint.id.slot);
  const double seconds = std::chrono::duration<double>(waited).count();
  if (seconds > s.ewma.seconds(reactor_.now())) s.ewma.add(waited, reactor_.now());  // "at least" makes nobody faster
}

void Worker::wait_for_endpoint(Exchange& exchange) {
  waiting_.push_back(exchange);
  ++waiting_count_;
}

}  // namespace understudy::net
