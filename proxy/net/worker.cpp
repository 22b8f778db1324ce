#include "proxy/net/worker.hpp"

#include <unistd.h>

#include <algorithm>

#include "proxy/net/acceptor.hpp"
#include "proxy/net/exchange_driver.hpp"
#include "proxy/net/h1_connection.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/net/departure.hpp"
#include "proxy/net/worker_lists.hpp"
#include "proxy/net/worker_slot.hpp"

namespace understudy::net {

namespace {
constexpr std::chrono::seconds kDrainIdle{1};  // idle connections may ask once more for this long
constexpr std::size_t kLookedAt = 8;           // connections for each that is accepted when there are many
constexpr std::chrono::milliseconds kLongIdle{1000};
constexpr std::size_t kGather = 512 * 1024;
constexpr std::size_t kGatherBlocks = 512;  // 32 MiB out: gather no more than a block
}  // namespace

WorkerShared::WorkerShared(std::uint64_t hash_seed) : addresses(512, std::size_t{1} << 20, hash_seed) {}

Worker::Worker(unsigned index, WorkerShared& shared, observe::AccessRing* access)
    : index_(index),
      shared_(shared),
      access_(access),
      scratch_(std::make_unique<Scratch>()),
      pending_(std::make_unique<PendingCell[]>(kMaxSlots)),
      opening_(std::make_unique<PendingCell[]>(kMaxSlots)),
      lists_(std::make_unique<ConnectionList>()),
      departures_(std::make_unique<Departures>(reactor_, index)) {
  reactor_.on_exception = [this](const char*) {
    counters_.exceptions.add();
    if (serving != nullptr) {
      H1Connection* broken = serving;
      serving = nullptr;
      broken->close(true);
    }
  };
}

Worker::~Worker() = default;

void Worker::run() {
  reactor_.run();
  // The order of ends: acceptors, connections and tunnels (finish() closed them), upstream pools, snapshot, buffers.
  acceptors_.clear();
  slots_.clear();
  snapshot_.reset();
}

// ---- snapshots -----------------------------------------------------------------------------------------------------

void Worker::apply(std::shared_ptr<const Snapshot> snapshot) {
  const std::uint64_t version = snapshot->version;
  snapshot_ = make_ref<HeldSnapshot>(std::move(snapshot), index_);
  const Plan& plan = snapshot_->plan();
  const health::View& view = snapshot_->view();
  if (plan.generation != balancer_generation_) {
    balancer_generation_ = plan.generation;
    balancers_.clear();
    pool_by_name_.clear();
    for (const health::PoolView& pool : view.pools) {
      pool_by_name_.emplace(pool.name, static_cast<std::uint32_t>(balancers_.size()));
      auto& tiers = balancers_.emplace_back();
      const config::PoolConfig* config = plan.config.pool(pool.name);
      for (std::size_t t = 0; t < pool.tiers.size(); ++t)
        tiers.push_back(balance::make_balancer(config ? config->balance : config::BalanceKind::least_request));
    }
    first_attempts_.assign(plan.pools.size(), {});
    if (!plan.renamed.empty()) rename_listeners();
    tunnels_follow_plan(plan);
    arrivals_.assign(plan.pools.size(), {});
  }
  apply_view_changes(view);
  openings_follow(view);
  if (!at_fault_.empty()) tell_faults();
  parked_follow();
  applied_version_.store(version, std::memory_order_release);
}

// Together with the plan that knows the new names, so that no connection meets one that does not know its own.
void Worker::rename_listeners() {
  const Plan& plan = snapshot_->plan();
  const auto new_name = [&plan](const std::string& name) -> const std::string* {
    for (const auto& [from, to] : plan.renamed)
      if (from == name) return &to;
    return nullptr;
  };
  for (const auto& acceptor : acceptors_)
    if (const std::string* to = new_name(acceptor->name())) acceptor->rename(*to);
  lists_->connections.for_each([&](H1Connection& connection) {
    const std::string* to = new_name(connection.listener());
    if (to == nullptr) return;
    for (std::size_t i = 0; i < plan.config.listeners.size(); ++i)
      if (plan.config.listeners[i].name == *to) connection.rename_listener(*to, snapshot_->counters().listeners[i]);
  });
}

// Endpoints that came, went or fell ill since the last view.
void Worker::apply_view_changes(const health::View& view) {
  std::vector<bool> present(slots_.size(), false);
  bool tunnels_concerned = false;
  std::vector<std::pair<Exchange*, std::uint32_t>> lost;  // and the slot of the endpoint they wait for
  auto slow = lost;                                       // wait for too long to be opened
  const Plan& plan = snapshot_->plan();
  for (std::size_t p = 0; p < view.pools.size(); ++p) {
    const health::PoolView& pool = view.pools[p];
    const bool shared = p < plan.pools.size() && plan.pools[p].config->tiers_mode == config::TiersMode::shared;
    for (std::uint32_t t = 0; t < pool.tiers.size(); ++t) {
      for (const health::EndpointView& endpoint : pool.tiers[t].endpoints) {
        if (endpoint.id.slot >= kMaxSlots) continue;
        endpoints_.prepare(endpoint.id);
        Slot& s = slot(endpoint.id);
        if (endpoint.id.slot < present.size()) present[endpoint.id.slot] = true;
        const unsigned ill = endpoint.dead || endpoint.disabled ? 2 : endpoint.unhealthy ? 1 : 0;
        const bool worse = ill > std::exchange(s.ill, ill);
        const bool moved = std::exchange(s.epoch, pool.epoch) != pool.epoch;
        if (worse || (ill > 0 && moved)) {
          // What waits for a first byte may be sent elsewhere, again when another tier takes over; pooled connections to
          // it are worth nothing.
          s.pool.close_all();
          const auto leave = [&](AwaitHook& attempt) { lost.emplace_back(attempt.exchange, endpoint.id.slot); };
          s.awaiting.for_each(leave);
          s.opening.for_each(leave);
        }
        find_slow_openings(pool, endpoint, slow);
        tunnels_concerned |= s.follow(endpoint, t, pool, shared, moved);
      }
    }
  }
  // Only now that every endpoint they may be sent to has its place.
  for (const auto& [exchange, slot_index] : lost) exchange->on_endpoint_lost(slot_index, reactor_.now());
  for (const auto& [exchange, slot_index] : slow) exchange->leave_slow_opening(slot_index, reactor_.now());
  for (std::size_t i = 0; i < present.size(); ++i) {
    if (present[i] || !slots_[i]) continue;
    slots_[i]->pool.close_all();
    tunnels_concerned |= std::exchange(slots_[i]->fate, Slot::Fate::removed) != Slot::Fate::removed;
  }
  if (tunnels_concerned) tunnels_follow();
  // Requests that wait for a tier to take over ask again.
  std::vector<Exchange*> waiting;
  waiting_.for_each([&waiting](Exchange& exchange) { waiting.push_back(&exchange); });
  for (Exchange* exchange : waiting) exchange->on_snapshot(reactor_.now());
}

// What a fault holds up goes on where that was lifted.
void Worker::tell_faults() {
  std::vector<Exchange*> met;
  at_fault_.for_each([&met](Exchange& exchange) { met.push_back(&exchange); });
  for (Exchange* exchange : met) exchange->on_faults(reactor_.now());
}

void Worker::meets_fault(Exchange& exchange) { at_fault_.push_back(exchange); }

// ---- listening -----------------------------------------------------------------------------------------------------

void Worker::listen(const std::string& name, int fd, bool shared) {
  auto acceptor = make_ref<Acceptor>(*this, name, fd, shared);
  if (acceptor->start()) acceptors_.push_back(std::move(acceptor));
}

void Worker::unlisten(int fd) {
  for (auto it = acceptors_.begin(); it != acceptors_.end();) {
    if ((*it)->fd() == fd) {
      (*it)->stop();
      it = acceptors_.erase(it);
    } else {
      ++it;
    }
  }
}

void Worker::adopt(int fd, const config::SocketAddress& peer, const std::string& listener) {
  const auto& listeners = snapshot_->plan().config.listeners;
  const auto found =
      std::find_if(listeners.begin(), listeners.end(), [&](const auto& l) { return l.name == listener; });
  if (found == listeners.end()) {
    ::close(fd);
    return;
  }
  const auto index = static_cast<std::uint32_t>(found - listeners.begin());
  observe::ListenerCounters& counters = *snapshot_->counters().listeners[index];
  counters.accepted.add();
  const auto refuse = [&](observe::Rejection why) {
    counters.rejected.add(why);
    counters.closed.add();
    ::close(fd);
  };
  const std::uint64_t open = shared_.connections.fetch_add(1, std::memory_order_relaxed) + 1;
  const std::uint64_t most = shared_.max_connections.load(std::memory_order_relaxed);
  if (open > most) reclaim_idle(4);
  if (open > most && shared_.connections.load(std::memory_order_relaxed) > most) {
    shared_.connections.fetch_sub(1, std::memory_order_relaxed);
    refuse(observe::Rejection::max_connections);
    return;
  }
  if (open * 5 > most * 4) reclaim_idle(1, kLookedAt, kLongIdle);
  const auto& plan = snapshot_->plan().listeners[index];
  if (plan.tls && handshakes >= plan.config->tls->max_handshakes) {
    shared_.connections.fetch_sub(1, std::memory_order_relaxed);
    refuse(observe::Rejection::handshakes);
    return;
  }
  if (shared_.addresses.acquire(peer) != limit::Admission::admitted) {
    shared_.connections.fetch_sub(1, std::memory_order_relaxed);
    refuse(observe::Rejection::per_ip);
    return;
  }
  auto connection =
      make_ref<H1Connection>(*this, make_ref<Stream>(reactor_, fd), peer, listener, plan.tls, snapshot_, index);
  connection_opened(*connection);
  connection->start();
}

void Worker::connection_opened(H1Connection& connection) {
  connection.retain();
  lists_->connections.push_back(connection);
  counters_.connections.add(1);
  open_connections_.fetch_add(1, std::memory_order_relaxed);
  if (draining_) connection.drain(reactor_.now() + kDrainIdle);
}

void Worker::connection_closed(H1Connection& connection) {
  connection.ConnectionHook::unlink();
  counters_.connections.add(-1);
  open_connections_.fetch_sub(1, std::memory_order_relaxed);
  if (!connection.handed_over()) release_client(connection.peer());
  connection.listener_counters().closed.add();
  connection.release();
  finish_if_empty();
}

// A client's place in the shared counts; a tunnel keeps the one of the connection it came from.
void Worker::release_client(const config::SocketAddress& peer) {
  shared_.connections.fetch_sub(1, std::memory_order_relaxed);
  shared_.addresses.release(peer);
}

// The list is gone round a few at a time, so that an accepted connection costs the same beside ten others and ten thousand.
void Worker::reclaim_idle(std::size_t count, std::size_t looked_at, std::chrono::milliseconds idle_for) {
  const auto all = static_cast<std::size_t>(std::max<std::int64_t>(0, counters_.connections.get()));
  for (looked_at = std::min(looked_at, all); count > 0 && looked_at > 0; --looked_at) {
    H1Connection* const next = lists_->connections.front();
    if (!next) return;
    lists_->connections.push_back(*next);
    if (!next->idle_since(reactor_.now() - idle_for)) continue;
    next->close();
    --count;
  }
}

std::size_t WorkerShared::room_to_keep() const {
  const std::uint64_t blocks = max_buffer_blocks.load(std::memory_order_relaxed) / 2;
  const std::uint64_t most = blocks < SIZE_MAX / kBlockSize ? blocks * kBlockSize : SIZE_MAX;
  const auto kept = static_cast<std::uint64_t>(std::max<std::int64_t>(0, kept_bytes.load(std::memory_order_relaxed)));
  return most - std::min(most, kept);
}

// ---- stopping ------------------------------------------------------------------------------------------------------

void Worker::drain(TimePoint until) {
  if (draining_) return;
  draining_ = true;
  drain_until_ = until;
  for (const auto& acceptor : acceptors_) acceptor->stop();
  acceptors_.clear();
  std::vector<Ref<H1Connection>> all;
  lists_->connections.for_each([&all](H1Connection& connection) { all.emplace_back(&connection); });
  for (const auto& connection : all) connection->drain(reactor_.now() + kDrainIdle);
  drain_tunnels();
}

void Worker::finish() {
  drain(reactor_.now());
  finishing_ = true;
  std::vector<Ref<H1Connection>> all;
  lists_->connections.for_each([&all](H1Connection& connection) { all.emplace_back(&connection); });
  for (const auto& connection : all) connection->close();
  std::vector<Ref<Tunnel>> tunnels;
  lists_->tunnels.for_each([&tunnels](Tunnel& tunnel) { tunnels.emplace_back(&tunnel); });
  for (const auto& tunnel : tunnels) tunnel->cut(observe::TunnelEnd::shutdown);
  for (auto& s : slots_)
    if (s) s->pool.close_all();
  reactor_.stop();
}

void Worker::finish_if_empty() {
  if (draining_ && lists_->connections.empty() && lists_->tunnels.empty())
    drained_.store(true, std::memory_order_release);
}

bool Worker::drained() const {
  return drained_.load(std::memory_order_acquire) || (open_connections() == 0 && open_tunnels() == 0);
}

// ---- memory --------------------------------------------------------------------------------------------------------

std::size_t Worker::gather_limit() const { return blocks_.outstanding() < kGatherBlocks ? kGather : kReadSize; }

// A few blocks more or less are not worth a write to what all workers share.
void Worker::publish_blocks() {
  constexpr std::uint64_t kStep = 4;
  const auto mine = static_cast<std::uint64_t>(blocks_.outstanding());
  const std::uint64_t apart = mine > published_blocks_ ? mine - published_blocks_ : published_blocks_ - mine;
  if (apart < kStep) return;
  shared_.buffer_blocks.fetch_add(mine - published_blocks_, std::memory_order_relaxed);
  published_blocks_ = mine;
  counters_.buffer_bytes.set(static_cast<std::int64_t>(mine * kBlockSize));
}

bool Worker::memory_short() {
  publish_blocks();
  const std::uint64_t most = shared_.max_buffer_blocks.load(std::memory_order_relaxed);
  return shared_.buffer_blocks.load(std::memory_order_relaxed) > most;
}

}  // namespace understudy::net
