// What the data plane counts. Every block belongs to exactly one worker, which alone writes it (no lock
// prefix, no lock); the control thread reads it at any time and sums over the workers.
//
//   WorkerCounters    one per worker, for the life of the process: what has no name from the configuration.
//   ListenerCounters, RouteCounters, PoolCounters
//                     one per worker and configured name. CounterBook hands out the same block for the same
//                     name after a reload, so that totals never go back; a PlanCounters is one generation's
//                     table of them, indexed as the generation indexes its listeners, routes and pools.
//   EndpointTable     one per worker: a block per endpoint slot, grown in pages, zeroed when the slot is
//   given out anew.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "health/types.hpp"
#include "proxy/observe/client_evidence.hpp"
#include "proxy/observe/histogram.hpp"

namespace understudy::observe {

// A count that only its worker raises. Any thread may read.
class Counter {
public:
  void add(std::uint64_t by = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }
  // Owner only, when what it counted for has gone.
  void reset() { value_.store(0, std::memory_order_relaxed); }

private:
  std::atomic<std::uint64_t> value_{0};
};

// A level that only its worker sets. Any thread may read.
class Gauge {
public:
  void add(std::int64_t by) { value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed); }
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::int64_t get() const { return value_.load(std::memory_order_relaxed); }

private:
  std::atomic<std::int64_t> value_{0};
};

// One counter per value of an enumeration that ends in `count`.
template <typename Enum>
class Counters {
public:
  static constexpr std::size_t kSize = static_cast<std::size_t>(Enum::count);
  void add(Enum which, std::uint64_t by = 1) { slots_[static_cast<std::size_t>(which)].add(by); }
  std::uint64_t get(Enum which) const { return slots_[static_cast<std::size_t>(which)].get(); }
  std::uint64_t sum() const {
    std::uint64_t total = 0;
    for (const Counter& c : slots_) total += c.get();
    return total;
  }
  void reset() {
    for (Counter& c : slots_) c.reset();
  }

private:
  std::array<Counter, kSize> slots_{};
};

// ---- the words of the labels ----

// Why a connection was refused before it could ask anything.
enum class Rejection : std::uint8_t { max_connections, per_ip, memory, descriptors, handshakes, draining, count };
// A limit that ended or refused an exchange or a connection; the names are those of the configuration where
// it has one.
enum class Limit : std::uint8_t {
  header_timeout,
  first_byte_timeout,
  idle_timeout,
  body_timeout,
  write_timeout,
  handshake_timeout,
  min_rate,
  max_header_bytes,
  max_headers,
  max_uri_bytes,
  max_body_bytes,
  drain_body_bytes,
  max_requests_per_connection,
  max_in_flight,
  buffer_memory,
  retry_budget,
  request_timeout,
  response_timeout,
  key_update,
  count
};
enum class CodeClass : std::uint8_t { informational, success, redirect, client_error, server_error, other, count };
enum class TlsVersion : std::uint8_t { tls12, tls13, unknown, count };
// `refused`: our side said no (no common version or cipher, no certificate for the name, client certificate
// missing or bad).
enum class TlsResult : std::uint8_t { full, resumed, refused, malformed, timeout, aborted, count };
// Why a tunnel ended.
enum class TunnelEnd : std::uint8_t {
  client_closed,
  upstream_closed,
  client_reset,
  upstream_reset,
  idle,
  max_duration,
  no_pong,
  protocol_error,
  message_too_big,
  endpoint_dead,
  endpoint_disabled,
  endpoint_removed,
  draining,
  failover,
  failback,
  route_removed,
  shutdown,
  own_error,
  park_timeout,    // no other endpoint took over in time
  resume_refused,  // another endpoint said no
  count
};
// Why a tunnel was parked. `upstream_leaves`: the endpoint said with a Close that it goes away or restarts.
enum class ParkReason : std::uint8_t {
  upstream_reset,
  upstream_closed,
  upstream_leaves,
  endpoint_dead,
  endpoint_disabled,
  endpoint_removed,
  draining,
  failover,
  failback,
  count
};
// How parking ended. `late`: nobody took over in time; `refused`, `protocol`: the next endpoint said no, or chose another
// subprotocol; `client`: the client left; `ended`: the tunnel had to, for reasons of its own.
enum class ParkEnd : std::uint8_t { resumed, late, refused, protocol, client, ended, count };
// Why a tunnel that was to be parked could not be.
// `handshake_too_long` is counted when it is opened.
enum class NotParked : std::uint8_t {
  message_cut,
  message_too_long,
  opening_too_long,
  opening_no_room,
  handshake_too_long,
  count
};
// What became of a second attempt beside one that was slow. `won`: its answer went to the client; `lost`: that of the first
// did; `failed`: it failed, or both did; `abandoned`: the client left.
enum class HedgeResult : std::uint8_t { won, lost, failed, abandoned, count };
// Why there was none, though one was wanted.
enum class HedgeRefusal : std::uint8_t { share, budget, client, no_endpoint, count };
// Why a retry was refused: the budget is empty, or what is left in it is kept for other clients.
enum class RetryRefusal : std::uint8_t { budget, client, count };
// Why a WebSocket was not opened though an endpoint was there: no place in the queue, its place went to another client, or its
// turn did not come in time.
enum class OpeningRefusal : std::uint8_t { queue_full, displaced, late, count };
// Who sent the first Close frame of a tunnel, or left without one.
enum class Closer : std::uint8_t { none, client, endpoint, proxy, count };
enum class AcceptError : std::uint8_t { descriptors, memory, aborted, other, count };

std::string_view name_of(Rejection value);
std::string_view name_of(Limit value);
std::string_view name_of(CodeClass value);   // "1xx" … "5xx", "other"
std::string_view name_of(TlsVersion value);  // "TLSv1.2"
std::string_view name_of(TlsResult value);
std::string_view name_of(TunnelEnd value);
std::string_view name_of(Closer value);
std::string_view name_of(ParkReason value);
std::string_view name_of(ParkEnd value);
std::string_view name_of(NotParked value);
std::string_view name_of(AcceptError value);
std::string_view name_of(HedgeResult value);  // `count`: ""
std::string_view name_of(HedgeRefusal value);
std::string_view name_of(RetryRefusal value);
std::string_view name_of(OpeningRefusal value);

constexpr CodeClass code_class_of(unsigned status) {
  return status >= 100 && status < 600 ? static_cast<CodeClass>(status / 100 - 1) : CodeClass::other;
}

// Tunnels ended, by who closed and with which code. Codes that applications make up share a place.
class CloseCounters {
public:
  static constexpr std::size_t kCodes = 19;  // none, 1000 … 1015, 3000 … 4999, any other
  static constexpr std::size_t place_of(std::uint16_t code) {
    if (code == 0) return 0;
    if (code >= 1000 && code <= 1015) return code - 999U;
    return code >= 3000 && code <= 4999 ? 17 : 18;
  }
  static std::string_view name_of(std::size_t place);  // "none", "1000", "3000-4999", "other"
  void add(Closer who, std::uint16_t code) { slots_[static_cast<std::size_t>(who) * kCodes + place_of(code)].add(); }
  std::uint64_t get(Closer who, std::size_t place) const {
    return slots_[static_cast<std::size_t>(who) * kCodes + place].get();
  }

private:
  std::array<Counter, static_cast<std::size_t>(Closer::count) * kCodes> slots_{};
};

// ---- blocks ----

struct alignas(64) ListenerCounters {
  Counter accepted;  // connections taken, rejected ones too
  Counter closed;    // of those, gone again
  Counters<Rejection> rejected;
  Counters<Limit> limit_hits;
  Counter bytes_in, bytes_out;  // plain bytes from and to clients, tunnels included
  // Open now. Two reads, so it may be off by what happened between them; never negative.
  std::uint64_t active() const {
    const std::uint64_t gone = closed.get(), came = accepted.get();
    return came > gone ? came - gone : 0;
  }
};

// A route on a listener.
struct alignas(64) RouteCounters {
  Counters<CodeClass> requests;  // by the class of the answer the client was sent
  Histogram duration;            // first byte of the head to last byte of the answer; tunnels, which last, don't count
};

struct alignas(64) PoolCounters {
  Histogram connect;                       // dial to connected (TLS: to the end of the handshake)
  Histogram websocket_open;                // attempt begun to 101
  Histogram opening_wait;                  // waited for its turn, of those that did
  Histogram first_byte;                    // request sent to first byte of the answer
  Counter connections_opened;              // upstream connections dialled with success
  Counter connections_reused;              // attempts that rode on an idle one
  Counter retries;                         // attempts after the first
  Counters<RetryRefusal> retries_refused;  // wanted, but not paid for
  Counters<HedgeResult> hedges;
  Counters<HedgeRefusal> hedges_refused;  // requests, once each
  Counter fallthrough;                    // attempts on another tier than the designated one
  Counter unavailable;                    // requests answered 503 because no endpoint was available
  Counter shed;                           // requests answered 503 because the serving tier has as many as it can answer
  // Requests, once each: those that waited for a tier which can take them, or to open a WebSocket for their turn; and these alone.
  Counter queued, openings_queued;
  Counters<OpeningRefusal> openings_refused;
  Counter openings_busy;  // refused by an endpoint that opens others, and tried again
  Counter tunnels_opened;
  Counters<TunnelEnd> tunnels_closed;
  CloseCounters closes;
  Counter messages_in, messages_out;  // WebSocket messages from and to clients
  Counter pings;                      // of the proxy, to silent clients
  Counter tunnels_leaving;            // told to leave at a pace
  Counters<ParkReason> parked;        // tunnels, each time
  Counters<ParkEnd> park_ends;
  Counters<NotParked> not_parked;
  Counter resume_failed;  // attempts to open at another endpoint
  Counter
      messages_at_risk;  // from clients, passed on to an endpoint that was lost, or held for one that did not come; and
                         // those of endpoints that were cut, or that the client was not told any more
  Gauge kept_bytes;      // of clients, for the next endpoint
  Counter park_buffer_full;  // tunnels, each time they are parked: the client was not read any more
  Histogram parked_for;      // until another endpoint took over
  std::uint64_t parked_now() const {
    const std::uint64_t gone = park_ends.sum(), came = parked.sum();
    return came > gone ? came - gone : 0;
  }
  // Tunnels with invalid framing from clients and from endpoints, by exchange::FrameError as an index.
  static constexpr std::size_t kFrameErrors = 16;
  std::array<std::array<Counter, kFrameErrors>, 2> frame_errors{};
  std::uint64_t tunnels_active() const {
    const std::uint64_t gone = tunnels_closed.sum(), came = tunnels_opened.get();
    return came > gone ? came - gone : 0;
  }
};

struct EndpointCounters {
  Counter requests;                  // attempts begun
  Counters<health::Cause> outcomes;  // attempts ended; Cause::none is success
  Counter abandoned;                 // ended without success or failure: the client left, superseded by a hedge
  Counter bytes_in, bytes_out;       // from and to the endpoint
  Histogram first_byte;              // request sent to first byte of the answer
  Histogram superseded;      // request sent to the answer that another endpoint gave: it takes at least that long
  Histogram connect;         // dial to connected (TLS: to the end of the handshake)
  Histogram websocket_open;  // attempt begun to 101
  Counter openings_left;     // given up because they took too long, and opened elsewhere
  LazyClientEvidence client;
  BusiestClient busiest;
  void reset();
};

struct alignas(64) WorkerCounters {
  static constexpr std::size_t kParseErrors = 64;
  // By http::ParseError, as an index; the reader supplies the names.
  std::array<Counter, kParseErrors> request_errors{};   // from clients
  std::array<Counter, kParseErrors> response_errors{};  // from endpoints
  template <typename ParseError>
  static constexpr std::size_t index_of(ParseError error) {
    static_assert(static_cast<std::size_t>(ParseError::count) <= kParseErrors);
    return static_cast<std::size_t>(error);
  }

  Counters<AcceptError> accept_errors;
  std::array<Counters<TlsResult>, static_cast<std::size_t>(TlsVersion::count)> tls_handshakes{};
  void tls_handshake(TlsVersion version, TlsResult result) {
    tls_handshakes[static_cast<std::size_t>(version)].add(result);
  }
  Counter upstream_tls_failed;  // handshakes with endpoints that failed, certificate refused included
  Counter exceptions;           // handlers that threw; the connection was closed

  Histogram wheel_lateness;  // deadline to its expiry being handled
  Histogram loop_lag;        // how late a turn of the loop began
  Gauge connections;         // downstream, open now, all listeners
  Gauge upstream_idle;       // kept-alive upstream connections
  Gauge buffer_bytes;        // blocks taken from the pool
};

// Blocks by endpoint slot. at() and prepare() belong to the worker; get() to any other thread.
class EndpointTable {
public:
  static constexpr std::size_t kPageSlots = 64, kPages = 256;  // 16,384 slots
  EndpointTable() = default;
  ~EndpointTable();
  EndpointTable(const EndpointTable&) = delete;
  EndpointTable& operator=(const EndpointTable&) = delete;

  // Called for every endpoint of a newly applied view: makes room and zeroes the block of a slot given out
  // anew, so that at() never allocates afterwards.
  void prepare(health::EndpointId id);
  // The block to count in. Slots that were never prepared, or above the bound, share one spare block that
  // nobody reads.
  EndpointCounters& at(std::uint32_t slot) {
    Page* page = slot < kPageSlots * kPages ? pages_[slot / kPageSlots].load(std::memory_order_relaxed) : nullptr;
    return page != nullptr ? page->blocks[slot % kPageSlots] : spare_;
  }
  // Null while this worker has not prepared exactly this endpoint. A block changes hands only after every
  // worker acknowledged a view without its old owner; the reader is the thread that decides that.
  const EndpointCounters* get(health::EndpointId id) const;

private:
  struct alignas(64) Page {
    std::array<EndpointCounters, kPageSlots> blocks;
    std::array<std::atomic<std::uint64_t>, kPageSlots> owner{};  // generation + 1; 0 is nobody
  };
  std::array<std::atomic<Page*>, kPages> pages_{};
  EndpointCounters spare_;
};

// One generation's table for one worker. Read-only after it was made; the blocks live as long as any table
// holds them.
struct PlanCounters {
  std::vector<std::shared_ptr<ListenerCounters>> listeners;  // by the generation's index
  std::vector<std::shared_ptr<PoolCounters>> pools;
  std::vector<std::shared_ptr<RouteCounters>> routes;  // listener-major
  std::size_t route_count = 0;
  RouteCounters& route(std::size_t listener, std::size_t route_index) const {
    return *routes[listener * route_count + route_index];
  }
};

// Hands out one worker's blocks by name. Control thread only.
class CounterBook {
public:
  // The table for a generation with these names, in this order. Names met before get their old blocks.
  std::shared_ptr<const PlanCounters> plan(std::span<const std::string> listeners, std::span<const std::string> routes,
                                           std::span<const std::string> pools);
  // Forgets blocks that no table holds any more, so that reloads with ever new names don't grow the book.
  // Call it when an old generation has been let go. Returns how many went.
  std::size_t forget_unused();

private:
  std::map<std::string, std::shared_ptr<ListenerCounters>, std::less<>> listeners_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<RouteCounters>> routes_;
  std::map<std::string, std::shared_ptr<PoolCounters>, std::less<>> pools_;
};

}  // namespace understudy::observe
