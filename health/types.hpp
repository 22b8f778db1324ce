// The words of the health core: identities, states, causes, and the immutable view that the workers read.
//
// `available` is derived from three independent axes (operator × active checks × passive):
//
//   operator    | active               | passive | available for new work
//   ------------+----------------------+---------+----------------------------------------
//   enabled     | healthy              | in      | yes
//   enabled     | healthy              | ejected | no
//   enabled     | unknown              | in      | by the start policy (wait D: no until D has passed, then yes)
//   enabled     | unhealthy            | any     | no
//   enabled     | quarantined          | any     | no, until the gates have passed (failover.quarantine)
//   draining    | any                  | any     | no for new clients; sticky and existing work continues
//   disabled    | any                  | any     | no; its tunnels and idle connections are closed
//   held        | any                  | any     | as observed when the hold began (a held endpoint is not judged)
//
// Panic mode: when fewer than the threshold of a tier are available, and none better is to be had in a lower tier, every
// enabled endpoint of the tier is used.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.hpp"
#include "health/latency.hpp"
#include "health/time.hpp"

namespace understudy::health {

// A slot in per-worker tables, and how often it was given out. A slot is reused only after every worker acknowledged a
// view without it; the generation catches what is late all the same.
struct EndpointId {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  auto operator<=>(const EndpointId&) const = default;  // NOLINT(modernize-use-nullptr): clang 14 misreads it
};

// How far a probe or a request got and what stopped it. The rung names the layer.
enum class Cause : std::uint8_t {
  none,  // success
  dns_failed,
  tcp_refused,
  tcp_unreachable,
  tcp_timeout,
  tcp_reset,  // after connecting, before any answer byte
  tls_failed,
  tls_timeout,
  http_timeout,  // connected, no complete head in time
  http_status,   // an answer, but of failure class (traffic: 5xx; probe: not expected)
  http_malformed,
  http_body,  // probe: expected text missing
  body_cut,   // answer ended early
  body_timeout,
  ws_refused,
  ws_timeout,
  ws_malformed,
  own_error,  // our side could not try (descriptors, memory): never evidence
  count
};
enum class CauseClass : std::uint8_t { none, refused, unreachable, stalled, overloaded, erroring, slow, own };
CauseClass class_of(Cause cause);
std::string_view name_of(Cause cause);     // "tcp_refused"
std::string_view name_of(CauseClass cls);  // "refused"

enum class OperatorState : std::uint8_t { enabled, draining, disabled, held };
enum class ActiveState : std::uint8_t { unknown, healthy, unhealthy };
enum class PassiveState : std::uint8_t { in, ejected };
std::string_view name_of(OperatorState state);
std::string_view name_of(ActiveState state);
std::string_view name_of(PassiveState state);

// What synthetic requests prove of an endpoint or a tier. The less fit, the greater. Unknown: not asked, or not answered yet.
// Stale: its data is behind that of the serving tier, or its last proof is old.
enum class Fit : std::uint8_t { fit, unknown, stale, unfit };
std::string_view name_of(Fit fit);

struct ProbeResult {
  Cause cause = Cause::none;
  std::uint16_t status = 0;  // HTTP status if one came
  Duration elapsed{};
  std::string detail;  // one line for a person, at most 200 bytes
  // What a header field or a JSON pointer of the answer said, where that was asked for.
  std::optional<std::string> value = {};
  bool ok() const { return cause == Cause::none; }
};

// What an agent on an endpoint's machine said: its line, or why there is none.
struct AgentAnswer {
  bool ok = false;
  std::string text;
};

// Shared by all workers, one per endpoint, own cache line. Lives as long as anything refers to it.
// in_flight is exact (it carries max_in_flight). Workers write consecutive_failures with each outcome:
// success stores 0 if it was not, failure adds one; the core reads it.
struct alignas(64) SharedLoad {
  std::atomic<std::uint32_t> in_flight{0};
  std::atomic<std::uint32_t> consecutive_failures{0};
  std::atomic<std::uint32_t> tunnels{0};
  std::atomic<std::uint32_t> unanswered{0};   // of in_flight: without the head of an answer; carries max_unanswered
  std::atomic<TimePoint::rep> next_trial{0};  // when a suspect may be tried again
  std::atomic<TimePoint::rep> next_opening_trial{0};  // and one that is slow to open WebSockets
  std::atomic<TimePoint::rep> heard{0};               // when it last gave a sign of life to a tunnel that may be parked
};

// What traffic told about one endpoint since the last sample, summed over workers. Posted every 100 ms for touched
// endpoints, and at once (coalesced to one per 5 ms) when something urgent happened.
struct TrafficSample {
  EndpointId endpoint;
  std::uint64_t successes = 0;
  std::array<std::uint64_t, static_cast<std::size_t>(Cause::count)> failures{};  // by Cause
  std::uint32_t consecutive_failures = 0;                                        // now
  std::uint32_t pending = 0;                                                     // sent, no first byte yet, now
  std::optional<TimePoint> oldest_pending;
  std::uint32_t opening_pending = 0;  // WebSockets that are being opened, not in `pending`
  std::optional<TimePoint> oldest_opening;
  std::uint32_t openings_left = 0;  // given up because they took too long, and opened elsewhere
  LatencyCounts first_byte;         // request sent to first byte of the answer, errors too that were passed on
  LatencyCounts superseded;      // sent to the answer that another endpoint gave (hedging): it takes at least that long
  LatencyCounts connect;         // dial to connected (TLS: to the end of the handshake)
  LatencyCounts websocket_open;  // attempt begun to 101
  bool urgent = false;
  // Part of the above that belongs to the client address behind most of the failures and slow answers, and who asks most.
  // `id`: a number for the address, 0 for nobody.
  struct Client {
    std::uint64_t id = 0;
    std::uint64_t successes = 0, failures = 0;
    LatencyCounts first_byte;
  } client;
  struct Busiest {
    std::uint64_t id = 0, requests = 0;
  } busiest;
};

// How much was asked of a pool in a while, and who asked most.
struct ArrivalSample {
  std::uint32_t pool = 0;  // index into Config::pools
  std::uint64_t requests = 0;
  Duration over{};
  struct Client {
    std::string address;
    std::uint64_t requests = 0;
  };
  std::vector<Client> most;  // a few, the busiest first; counts may be a little low, never high
};

// ---- what workers read -------------------------------------------------------------------------------------------

// How an endpoint that is slow to open WebSockets is tried, by those that clients ask for.
struct OpeningTrials {
  Duration pause{};  // between two, over all workers together
  double share = 0;  // of the openings that are asked for meanwhile, in [0, 1]; 0: its tier may not be tried now
  std::optional<Duration> limit;  // an opening that takes longer goes elsewhere, where there is a better place
  bool operator==(const OpeningTrials&) const = default;
};

struct EndpointView {
  EndpointId id;
  config::SocketAddress address;
  std::string label;        // name or address as written
  std::string server_name;  // for TLS and Host of probes: host as written
  bool available = false;   // derived; new work may go here
  bool draining = false;    // by the operator: sticky and existing work only, tunnels leave at their pace
  bool eased = false;       // its agent takes load off it: sticky and existing work goes on
  bool disabled = false;    // close tunnels and idle connections
  bool unhealthy = false;   // marked by checks or ejected: a waiting repeatable request may leave it
  bool dead = false;        // marked unhealthy by its checks: its tunnels are ended
  double weight = 1;        // configured × slow start; > 0
  bool suspect = false;     // traffic doubts it: avoided where there is a choice, but for trial requests
  Duration trial_pause{};   // between two trial requests of a suspect, over all workers together
  std::optional<OpeningTrials> opening_trials;  // slow to open WebSockets: avoided for them, but for trials
  std::optional<Duration> overdue_after;        // an answer that takes longer is overdue; a trial is given up then
  std::optional<Duration> hedge_after;          // a safe request unanswered for that long is worth a second attempt
  std::shared_ptr<SharedLoad> load;
};

// A part of the traffic that goes to another tier than the designated one. An audition measures a tier before it is trusted
// with more, by safe requests only (law 2); a ramp moves traffic in steps, in `shared` pools all of it.
struct SideTraffic {
  std::uint32_t tier = 0;
  double share = 0;  // in [0, 1]
  bool safe_only = true;
};

// Part of a `shared` pool's traffic that another tier takes because the serving one cannot carry all of it.
struct SpillShare {
  std::uint32_t tier = 0;
  double share = 0;  // of all first attempts, in (0, 1)
  bool operator==(const SpillShare&) const = default;
};

struct TierView {
  std::string name;
  std::vector<EndpointView> endpoints;  // all, config order
  std::vector<std::uint32_t> usable;    // indices to balance over (all enabled ones in panic mode), without suspects
  std::vector<std::uint32_t> trials;    // suspects that may get a trial request (safe methods only)
  bool doubtful = false;                // `usable` holds nothing but suspects: there was no choice in this tier
  bool serviceable = false;             // meets min_available
  bool panic = false;
  std::optional<std::uint32_t> max_unanswered;  // of all its endpoints together: what is beyond is shed, tunnels never
  std::uint64_t membership = 0;                 // changes exactly when `usable` or a weight does; cache key for tables
};

struct PoolView {
  std::string name;
  std::vector<TierView> tiers;
  std::uint32_t active = 0;  // designated tier
  std::uint64_t epoch = 0;
  std::optional<std::uint32_t> openings_to;  // tier for new tunnels, while it is not the designated one
  std::optional<SideTraffic> side;           // audition or ramp
  std::vector<SpillShare> spill;             // what is left by them and not in here stays with the serving tier
  bool settling = false;                     // some endpoint still waits for its first verdict (start policy)
  bool maintenance = false;                  // answer 503 with a page
  config::Duration maintenance_left{0};      // for Retry-After; 0 unknown
};

struct View {
  std::uint64_t version = 0;
  std::vector<PoolView> pools;  // same order as Config::pools
};

// ---- events ------------------------------------------------------------------------------------------------------

// One line of the event log: every decision explains itself (signal, value, threshold, since when, alternatives).
struct Event {
  enum class Kind : std::uint8_t {
    endpoint_healthy,
    endpoint_unhealthy,
    endpoint_ejected,
    endpoint_unejected,
    endpoint_operator,
    endpoint_added,
    endpoint_removed,
    tier_lost,
    tier_restored,
    panic_entered,
    panic_left,
    failover,
    failback,
    failback_pending,
    held,
    maintenance,
    all_down,
    proposal_refused,
    starved,
    endpoint_suspect,       // traffic doubts it
    endpoint_trusted,       // and does so no more
    tier_degraded,          // a threshold was breached for long enough
    tier_recovered,         // and no longer is
    nothing_better,         // degraded, but no other tier measures better: traffic stays (law 3)
    verdict,                // what came of a move
    gate,                   // a condition of the return passed or failed
    probe_doubted,          // probes and traffic disagree
    endpoint_quarantined,   // it was down, and is out until the gates have passed; or no longer
    spill,                  // the serving tier cannot carry all of the traffic, or can again
    shedding,               // what is more than the serving tier can answer is refused, or no longer
    surge,                  // far more is asked than is usual, or no longer
    endpoint_unfit,         // synthetic requests speak against it, or its data is stale
    endpoint_fit,           // and no longer do
    tier_unfit,             // too few of its endpoints are fit
    tier_fit,               // enough are again
    agent,                  // an endpoint's agent takes it out or back in, or can't be understood
    endpoint_slow_to_open,  // WebSockets take too long to open; requests are not concerned
    endpoint_opens_again,
    openings_moved,     // new tunnels go to another tier than the requests
    openings_returned,  // and no longer do
    drill,              // a live drill began, or did something, or ended; never told by the core
    tunnels_parked      // many WebSocket tunnels have no endpoint, or none any more
  };
  Kind kind{};
  TimePoint at{};
  std::string pool, tier, endpoint;  // names; empty where not meant
  std::uint64_t epoch = 0;
  std::string reason;  // full sentence, names the signal, the value, the threshold and since when
  Cause cause = Cause::none;
  // Of `cause`; tier_degraded, which has none, tells its own here.
  CauseClass cause_class = CauseClass::none;
  TimePoint since{};  // when what it tells of began; `at` where nothing earlier is known
};
std::string_view name_of(Event::Kind kind);

}  // namespace understudy::health
