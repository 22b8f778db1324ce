// One worker: a thread with its own reactor, buffers, listening sockets, upstream pools, balancers and counters.
// Nothing on the request path is shared with other workers but the in-flight counts of the endpoints.
//
//   accept ► TLS ► H1Connection ► Exchange ► pick(snapshot) ► borrow/dial ► pump both ways ► recycle ► access log
//
// The control thread talks to it by post(); everything else here belongs to the worker's thread, except what says "any thread".
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "health/choice.hpp"
#include "proxy/balance/balancer.hpp"
#include "proxy/balance/peak_ewma.hpp"
#include "proxy/http/h1_parser.hpp"
#include "proxy/limit/address_counter.hpp"
#include "proxy/limit/retry_budget.hpp"
#include "proxy/limit/busiest.hpp"
#include "proxy/net/buffer.hpp"
#include "proxy/net/openings.hpp"
#include "proxy/net/random.hpp"
#include "proxy/net/reactor.hpp"
#include "proxy/net/snapshot.hpp"
#include "proxy/net/upstream_connection.hpp"
#include "proxy/observe/counters.hpp"
#include "proxy/observe/log.hpp"

namespace understudy::net {

class Acceptor;
class Worker;
class H1Connection;
class Tunnel;
class Departures;
class Exchange;

inline constexpr std::size_t kMaxSlots = observe::EndpointTable::kPageSlots * observe::EndpointTable::kPages;

// What was asked of one pool since it was last told, and by whom.
struct Arrivals {
  std::uint64_t requests = 0;
  limit::Busiest clients;
};

// A safe request of which a standby gets a copy: its head as it was sent, and what came of it.
struct MirrorSample {
  std::uint64_t generation = 0;  // of the plan
  std::uint32_t pool = 0;        // index there
  bool head_only = false;        // HEAD
  std::string head;
  std::uint16_t status = 0;
  std::chrono::nanoseconds first_byte{};  // since it was sent
};

// What all workers share: limits that must be exact, and the way to tell the control thread something urgent.
struct WorkerShared {
  std::atomic<std::uint64_t> connections{0};
  std::atomic<std::uint64_t> max_connections{10'000};
  std::atomic<std::uint64_t> buffer_blocks{0};  // taken, all workers
  std::atomic<std::uint64_t> max_buffer_blocks{UINT64_MAX};
  // Bytes that all tunnels keep of their clients for the next endpoint. At most half of the memory for buffers: what is kept may
  // wait for long, and must not stop all other traffic.
  std::atomic<std::int64_t> kept_bytes{0};
  std::size_t room_to_keep() const;
  limit::AddressCounter addresses;                 // locks at accept and close only, never per request
  std::function<void(health::EndpointId)> urgent;  // any thread; must not block
  std::function<void(std::string)> warn;           // a line for the event log; any thread; must not block
  std::atomic<bool> draining{false};               // answers say Connection: close
  // What workers were asked to hand in: by generation of the plan and index of the pool. Locked once a second.
  struct HandedIn {
    std::uint64_t generation;
    std::vector<std::pair<std::uint32_t, Arrivals>> pools;  // those that were asked anything, ascending
  };
  // Copies to be sent, at most kMaxMirrors; what is more is dropped and counted. Locked for each, 20 times a second at most by a
  // worker.
  static constexpr std::size_t kMaxMirrors = 64;
  std::mutex mirrors_mutex;
  std::vector<MirrorSample> mirrors;
  std::mutex arrivals_mutex;
  std::vector<HandedIn> arrivals;
  std::vector<Worker*> workers;       // all of them, complete before the first runs
  std::uint64_t mirrors_dropped = 0;  // of `mirrors`, and under its lock

  explicit WorkerShared(std::uint64_t hash_seed);
};

// Where a request may go now.
struct Picked {
  const health::EndpointView* endpoint = nullptr;  // inside `snapshot`
  SnapshotRef snapshot;
  std::uint32_t tier = 0;
  std::uint64_t epoch = 0;
  bool fallthrough = false;
  bool trial = false;  // a suspect is being tried: give it up when the answer is overdue
  std::optional<std::chrono::nanoseconds> leave_after;  // an opening that takes longer is to go elsewhere
  bool risked = false;                                  // sent there for our sake: what fails is repeated
  bool maintenance = false;
  bool shed = false;              // the serving tier has as many requests as it can answer
  bool may_wait = false;          // none now, but a move of tiers is possible
  bool full = false;              // as many WebSockets are being opened as the endpoints can take, or others wait
  std::uint32_t retry_after = 0;  // maintenance: seconds left
};
struct PickRequest {
  std::uint32_t pool = 0;  // index in the exchange's own plan
  const Plan* plan = nullptr;
  bool safe = false;
  bool hedge = false;  // a second attempt beside one that waits: only where nobody is in trouble
  bool again = false;  // not the first attempt: what was let in is not shed
  std::uint64_t hash = 0;
  std::optional<std::uint64_t> sticky;
  std::span<const health::EndpointId> excluded;
  limit::OpeningDesk* openings = nullptr;  // the opening of a WebSocket: only where there is room for one
  bool called = false;                     // its turn has come: it need not wait because others do
};

// An exchange that waits for an endpoint to be available.
struct WaitHook : ListHook {};
// An exchange that met a fault of a live drill which may be lifted while it waits.
struct FaultHook : ListHook {};
// An attempt that waits for its first byte, in the list of its endpoint. An exchange may have two.
struct AwaitHook : ListHook {
  Exchange* exchange = nullptr;
  bool opening = false;  // a WebSocket
  TimePoint since{};
};

class Worker final : public balance::LoadSource {
public:
  Worker(unsigned index, WorkerShared& shared, observe::AccessRing* access);
  ~Worker() override;

  // ---- any thread
  void post(std::function<void()> work) { reactor_.post(std::move(work)); }
  std::uint64_t applied_version() const { return applied_version_.load(std::memory_order_acquire); }
  const observe::WorkerCounters& counters() const { return counters_; }
  const observe::EndpointTable& endpoint_counters() const { return endpoints_; }
  TimePoint last_turn() const { return reactor_.last_turn(); }
  unsigned index() const { return index_; }
  // Slots touched since the last call, by 64; control thread only.
  template <typename F>
  void take_touched(F f) {
    for (std::size_t w = 0; w < touched_.size(); ++w) {
      if (touched_[w].load(std::memory_order_relaxed) == 0) continue;
      std::uint64_t bits = touched_[w].exchange(0, std::memory_order_acquire);
      while (bits != 0) {
        f(static_cast<std::uint32_t>(w * 64 + static_cast<std::size_t>(std::countr_zero(bits))));
        bits &= bits - 1;
      }
    }
  }
  struct Pending {
    std::uint32_t count = 0;
    std::optional<TimePoint> oldest;
  };
  Pending pending(std::uint32_t slot) const { return read(pending_[slot]); }
  Pending opening(std::uint32_t slot) const { return read(opening_[slot]); }  // WebSockets, not in pending()
  std::uint64_t open_connections() const { return open_connections_.load(std::memory_order_relaxed); }
  std::uint64_t open_tunnels() const { return open_tunnels_.load(std::memory_order_relaxed); }

  // ---- thread body; returns after finish()
  void run();

  // ---- own thread (through post)
  void apply(std::shared_ptr<const Snapshot> snapshot);
  // Serves a listening socket that belongs to the server; `name` finds its configuration in each snapshot.
  void listen(const std::string& name, int fd, bool shared);
  void unlisten(int fd);  // takes what is queued first
  // Stop: accept what is queued, answer `Connection: close`, let idle connections ask once more for a second, let tunnels leave
  // at their pace but before `until`.
  void drain(TimePoint until);
  // After drain(): nothing is open any more. Any thread.
  bool drained() const;
  // Closes what is left and ends run().
  void finish();

  // ---- for the parts of proxy/net
  observe::WorkerCounters& counters() { return counters_; }
  Reactor& reactor() { return reactor_; }
  BlockPool& blocks() { return blocks_; }
  WorkerShared& shared() { return shared_; }
  const SnapshotRef& snapshot() const { return snapshot_; }
  observe::AccessRing* access() { return access_; }
  observe::EndpointCounters& endpoint(std::uint32_t slot) { return endpoints_.at(slot); }
  bool draining() const { return draining_; }
  bool finishing() const { return finishing_; }
  std::uint64_t random() { return random_(); }
  // Bytes that one download may gather before it writes: less when much memory is out.
  std::size_t gather_limit() const;
  bool memory_short();
  void publish_blocks();  // the blocks in use, to the other workers

  // Scratch space for the head being parsed and the head being written; valid until somebody else uses it.
  struct Scratch {
    http::RequestHead request;
    const void* request_owner = nullptr;
    http::ResponseHead response;
    std::array<char, kBlockSize> out;  // never more than HeadOut::secure() can keep
  };
  Scratch& scratch() { return *scratch_; }

  Picked pick(const PickRequest& request);
  // The same for the opening of a WebSocket, which has then begun.
  Picked pick_opening(const PickRequest& request, SharedOpenings& desk);
  // The endpoint in this slot took too long to open a WebSocket that is now opened elsewhere.
  void opening_left(std::uint32_t slot);
  // Endpoints of the pool that new tunnels may go to.
  std::vector<health::EndpointId> opening_targets(const std::string& pool) const;
  Openings& openings() { return openings_; }
  Ref<UpstreamConnection> borrow(health::EndpointId endpoint, bool careful);
  void put_idle(UpstreamConnection& connection, const config::PoolConfig& pool);
  void forget_idle(UpstreamConnection& connection);
  // From the budget of a pool, by its index in `plan`, for the client whose address `client` stands for. Nothing if granted.
  std::optional<observe::RetryRefusal> take_retry_token(const Plan& plan, std::uint32_t pool, std::uint64_t client);
  // That client got none, as it has had its share. Told in the event log, now and then.
  void share_used_up(const std::string& pool, const config::SocketAddress& client);
  void note_first_attempt(const Plan& plan, std::uint32_t pool, std::uint64_t client,
                          const config::SocketAddress& address);
  void hand_in_arrivals();
  // May a request be copied by now? One in 50 ms at most.
  bool mirror_due() const { return reactor_.now() >= mirror_due_; }
  // Is this request one of the share that is copied? At most one in a second from the address that `client` stands for: what
  // is known of a standby is not up to one client.
  bool wants_mirror(double share, std::uint64_t client);
  void hand_in(MirrorSample sample);
  // The same for a second attempt beside the first: within the share of hedges too, but for `beyond_share`. Nothing if granted.
  std::optional<observe::HedgeRefusal> take_hedge_token(const Plan& plan, std::uint32_t pool, std::uint64_t client,
                                                        bool beyond_share);
  // In the newest view: is this endpoint of the request's pool suspect or unhealthy?
  bool doubted(const PickRequest& request, health::EndpointId endpoint) const;
  // Is there an endpoint for it that was not tried?
  bool has_another(const PickRequest& request) const;

  // Bookkeeping of attempts (urgent evidence, passive signals, latency).
  void attempt_sent(AwaitHook& attempt, std::uint32_t slot);      // begins to wait for its first byte
  void attempt_answered(AwaitHook& attempt, std::uint32_t slot);  // or is over: waits no more
  // Says why in the event log, once in ten seconds per endpoint and twice a second at most, each worker.
  void tls_failed(const health::EndpointView& endpoint, const std::string& pool, const std::string& why);
  // `client`: a hash of the address that asked.
  void outcome(const health::EndpointView& endpoint, health::Cause cause, std::uint64_t client);
  void latency_sample(const health::EndpointView& endpoint, std::chrono::nanoseconds value);
  // An attempt that another one outran: its endpoint needs at least that long.
  void superseded(const health::EndpointView& endpoint, std::chrono::nanoseconds waited);

  // Connections.
  void adopt(int fd, const config::SocketAddress& peer, const std::string& listener);
  void connection_opened(H1Connection& connection);
  void connection_closed(H1Connection& connection);
  void tunnel_opened(Tunnel& tunnel);
  void tunnel_parked(Tunnel& tunnel);           // it has nothing to leave any more
  void tunnel_resumed(Tunnel& tunnel);          // it has another endpoint
  bool ill(health::EndpointId endpoint) const;  // or gone, or to be left, as of the last view
  void tunnel_closed(Tunnel& tunnel);
  void wait_for_endpoint(Exchange& exchange);  // woken by the next snapshot
  std::uint32_t waiting() const { return waiting_count_; }
  void stopped_waiting() { --waiting_count_; }
  void meets_fault(Exchange& exchange);  // told when the faults change
  // Closes up to `count` connections that were idle for so long, among the next `looked_at`.
  void reclaim_idle(std::size_t count, std::size_t looked_at = 256, std::chrono::milliseconds idle_for = {});
  // The connection being served, closed when something throws.
  H1Connection* serving = nullptr;
  std::uint32_t handshakes = 0;
  std::size_t parked_tunnels = 0;

private:
  struct Slot;
  // balance::LoadSource
  std::uint32_t in_flight(const health::EndpointView& endpoint) const override;
  double latency(const health::EndpointView& endpoint) const override;

  Slot& slot(health::EndpointId id);
  const health::PoolView* pool_view(const PickRequest& request) const;
  std::optional<std::uint32_t> pick_in_tier(const health::PoolView& pool, std::uint32_t pool_index, std::uint32_t tier,
                                            const PickRequest& request, std::uint32_t max_in_flight);
  std::optional<std::uint32_t> pick_with_room(const health::PoolView& pool, std::uint32_t pool_index,
                                              std::uint32_t tier, const PickRequest& request,
                                              std::uint32_t max_in_flight, bool& full);
  void openings_follow(const health::View& view);
  void find_slow_openings(const health::PoolView& pool, const health::EndpointView& endpoint,
                          std::vector<std::pair<Exchange*, std::uint32_t>>& out);
  health::Choice opening_trial(const health::PoolView& pool, const config::PoolConfig& config,
                               const PickRequest& request);
  bool chance(double share);
  limit::Asked take_deposits(const Plan& plan, std::uint32_t pool);
  std::optional<std::uint32_t> spill_tier(const health::PoolView& pool, const config::PoolConfig& config,
                                          const PickRequest& request);
  std::optional<std::uint32_t> pick_trial(const health::TierView& tier);
  void touch(std::uint32_t slot_index);
  void publish_pending(std::uint32_t slot_index, Slot& s);
  void rename_listeners();
  void apply_view_changes(const health::View& view);
  void tell_faults();
  void finish_if_empty();
  void release_client(const config::SocketAddress& peer);
  const Slot* slot_of(health::EndpointId id) const;  // null when it is gone
  void tunnels_follow();
  void tunnels_follow_plan(const Plan& plan);
  void settle(Tunnel& tunnel);
  void parked_follow();
  void drain_tunnels();
  std::chrono::nanoseconds departure_bound() const;

  unsigned index_;
  WorkerShared& shared_;
  observe::AccessRing* access_;
  Reactor reactor_;
  BlockPool blocks_;
  std::unique_ptr<Scratch> scratch_;
  observe::WorkerCounters counters_;
  observe::EndpointTable endpoints_;
  Random random_;
  SnapshotRef snapshot_;
  std::atomic<std::uint64_t> applied_version_{0};
  std::atomic<std::uint64_t> open_connections_{0}, open_tunnels_{0};
  std::array<std::atomic<std::uint64_t>, kMaxSlots / 64> touched_{};
  struct PendingCell {
    std::atomic<std::uint32_t> count{0};
    std::atomic<TimePoint::rep> oldest{0};
  };
  static Pending read(const PendingCell& cell);
  std::unique_ptr<PendingCell[]> pending_, opening_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::vector<std::unique_ptr<balance::Balancer>>> balancers_;  // [pool][tier] of the newest plan
  std::uint64_t balancer_generation_ = 0;
  std::unordered_map<std::string, std::uint32_t> pool_by_name_;  // of the newest plan
  struct FirstAttempts {
    limit::Asked asked;
    TimePoint since{};
  };
  std::vector<FirstAttempts> first_attempts_;  // by pool of the newest plan, not yet deposited
  TimePoint mirror_due_{};
  std::vector<Arrivals> arrivals_;  // likewise, not yet handed in
  std::vector<Ref<Acceptor>> acceptors_;
  struct ConnectionList;
  std::unique_ptr<ConnectionList> lists_;
  std::unique_ptr<Departures> departures_;
  Openings openings_{*this};
  List<Exchange, WaitHook> waiting_;  // for an endpoint
  std::uint32_t waiting_count_ = 0;
  List<Exchange, FaultHook> at_fault_;
  bool draining_ = false, finishing_ = false;
  TimePoint drain_until_ = TimePoint::max();
  std::atomic<bool> drained_{false};
  std::uint64_t published_blocks_ = 0;
  limit::TokenBucket tls_lines_{2, 20};          // lines of tls_failed()
  limit::TokenBucket share_lines_{1.0 / 60, 3};  // lines of share_used_up()
  // When one was copied last, by hash of the client's address: who shares a place shares the turn.
  std::array<TimePoint, 512> mirror_clients_{};
};

}  // namespace understudy::net
