// What the operator wrote, as plain values with every default filled in. No behaviour, no I/O.
// Durations are milliseconds; an empty optional means "none" (no limit).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/address.hpp"

namespace understudy::config {

using Duration = std::chrono::milliseconds;
using MaybeDuration = std::optional<Duration>;
using MaybeSize = std::optional<std::uint64_t>;
using NameValue = std::pair<std::string, std::string>;

// A value that must never be printed. `config show` writes "***".
struct Secret {
  std::string value;
  bool operator==(const Secret&) const = default;
};

struct ServerConfig {
  std::optional<unsigned> workers;  // empty: "auto", one per usable core. Restart only.
  std::string state_dir;            // default: $STATE_DIRECTORY, else /var/lib/understudy; "" with "none"
  Duration shutdown_grace{30'000};
  Duration shutdown_lead{0};  // readyz answers 503 this long before listeners stop accepting
  std::string user;           // drop to this user when started as root; "" keeps
  std::string group;
  std::optional<std::uint64_t> max_connections;  // empty: "auto", from the descriptor limit
  std::uint64_t max_connections_per_ip = 512;
  std::uint64_t fd_reserve = 32;
  bool watch_config = false;    // reload when the file changes
  MaybeSize max_buffer_memory;  // "auto": a quarter of memory
};

struct AdminConfig {
  Address listen;  // default unix:<runtime dir>/admin.sock
  std::optional<Secret> token;
  std::vector<std::string> hosts;  // extra Host values accepted on TCP
  std::uint64_t max_connections = 32;
};

enum class AccessFormat : std::uint8_t { off, json, combined };
enum class LogLevel : std::uint8_t { trace, debug, info, warn, error };
struct LogConfig {
  LogLevel level = LogLevel::info;
  std::string path;  // event log; "" is stderr
  AccessFormat access_format = AccessFormat::off;
  std::string access_path;  // "" is stderr
  bool query = true;        // log query strings
};

// A head lies in one buffer block of the data plane, and its fields in one table.
inline constexpr std::uint64_t kLargestHead = 64 * 1024;
inline constexpr std::uint64_t kMostHeadFields = 256;

// Per-listener protocol limits (defaults of the security table).
struct Limits {
  Duration header_timeout{10'000};      // from the first byte, absolute
  Duration first_byte_timeout{10'000};  // accept to first byte
  Duration idle_timeout{60'000};        // keep-alive between requests
  Duration body_timeout{60'000};        // without progress, client's body
  Duration write_timeout{60'000};       // without progress, towards the client
  std::uint64_t min_rate = 240;         // bytes per second after 5 s; 0 from "none"
  std::uint64_t max_header_bytes = 16 * 1024;
  std::uint64_t max_headers = 100;
  std::uint64_t max_uri_bytes = 8 * 1024;
  MaybeSize max_body_bytes;
  std::uint64_t drain_body_bytes = 64 * 1024;
  std::uint64_t max_requests_per_connection = 100'000;
};

struct CertificateFiles {
  std::string certificate;  // PEM chain; absolute after loading (relative to the config file)
  std::string key;
};
enum class ClientAuth : std::uint8_t { off, request, require };
struct ListenTls {
  std::vector<CertificateFiles> certificates;
  std::string client_ca;
  ClientAuth client_auth = ClientAuth::off;
  bool allow_tls12 = true;
  Duration handshake_timeout{5'000};
  std::uint64_t max_handshakes = 256;  // concurrent, per worker
  Duration ticket_rotation{std::chrono::hours(12)};
};

struct ListenerConfig {
  std::string name;
  Address address;
  std::optional<ListenTls> tls;
  bool redirect_to_https = false;
  std::vector<Cidr> trusted_proxies;
  Limits limits;
};

struct EndpointConfig {
  Address address;
  std::string name;  // "" when not given: identity then is the address as written
  std::uint32_t weight = 1;
  // What identifies it in status, metrics and commands.
  const std::string& label() const { return name.empty() ? address.text : name; }
};
struct TierConfig {
  std::string name;  // "primary", "standby", or as written
  std::vector<EndpointConfig> endpoints;
};

enum class CheckKind : std::uint8_t { http, tcp, tls, websocket, none };
struct StatusRange {
  std::uint16_t low = 200, high = 299;
  bool operator==(const StatusRange&) const = default;
};
enum class StartPolicy : std::uint8_t { wait, assume_healthy, assume_unhealthy };
// Whom to believe when probes fail while real requests are answered well.
// `probe`: the probes. `traffic`: the requests. `both`: the requests, for the time of CheckConfig::doubt.
enum class Trust : std::uint8_t { probe, traffic, both };
struct CheckConfig {
  CheckKind kind = CheckKind::tcp;  // http as soon as `path` is given
  std::string path;
  std::string host;  // Host header; "" is the endpoint's own address
  std::string body;  // text the body must contain; "" any
  std::vector<StatusRange> expect{{200, 299}};
  std::uint16_t port = 0;  // 0: the endpoint's
  Duration interval{2'000};
  Duration fast_interval{500};  // while a verdict is changing (never above interval)
  Duration timeout{1'000};
  std::uint32_t rise = 2;
  std::uint32_t fall = 3;
  StartPolicy start = StartPolicy::wait;
  Duration start_wait{3'000};  // with `wait`: after this an unprobed endpoint counts as available
  Trust trust = Trust::probe;
  Duration doubt{30'000};        // with `both`: failing probes are held that long while traffic is well
  std::uint16_t agent_port = 0;  // 0: none is asked
  std::string agent_send;        // what is sent to it first; "" nothing
  std::string agent_header;      // field of an HTTP check's answer that says the same; "" none
};

struct PassiveConfig {
  bool enabled = true;
  std::uint32_t consecutive = 5;  // failures in a row that eject
  Duration base_ejection{10'000};
  Duration max_ejection{300'000};
  double max_ejected = 0.5;  // share of a tier, at least one endpoint stays
};

enum class BalanceKind : std::uint8_t { round_robin, least_request, latency, random, hash };
enum class HashKey : std::uint8_t { client_address, header, cookie, path };
struct StickyConfig {
  std::string cookie;  // "" off
  bool secure = false;
};

struct UpstreamTls {
  std::string server_name;
  std::string ca;  // "" is the system's
  std::string certificate;
  std::string key;
  bool insecure = false;
};

struct RetryConfig {
  std::uint32_t max = 3;      // attempts after the first
  double budget = 0.2;        // deposited by each first attempt
  double budget_floor = 10;   // per second
  bool on_5xx = false;        // repeat idempotent requests answered 502, 503 or 504
  bool safe_on_5xx = true;    // repeat safe requests answered 500 or above, once
  bool hedge = true;          // a second attempt beside one that is slow, for safe requests
  double hedge_share = 0.05;  // of requests, while the slow endpoint is not suspect
};

// How many WebSockets are opened at a time and endpoint; who is too much waits, or is told when to come back.
struct OpeningsConfig {
  bool adaptive = true;                     // found by trying, below the two that follow
  std::optional<std::uint32_t> max = 1024;  // in progress
  std::optional<double> rate;               // per second
  std::uint32_t queue = 4096;               // of a pool; 0 from "none": nobody waits
  Duration wait{10'000};                    // in the queue
  bool operator==(const OpeningsConfig&) const = default;
};

// What counts as degraded, beyond dead. An empty threshold is not judged.
struct DegradedConfig {
  MaybeDuration latency_p95;         // request sent to first byte
  std::optional<double> error_rate;  // share of upstream-side failures, 5xx among them
  MaybeDuration websocket_open_p95;
  std::optional<std::uint32_t> latency_factor = 5;  // times the tier's own baseline, and at least 100 ms more
  Duration dwell{10'000};                           // key `for`: how long, at the threshold; shorter when it is worse
  std::uint32_t min_requests = 20;                  // fewer outcomes say nothing
  bool shed = true;                                 // refuse what is too much when nothing better is to be had
};

// A condition that must hold before traffic returns to a tier.
enum class GateKind : std::uint8_t { url, command, approval };
struct GateConfig {
  GateKind kind = GateKind::approval;
  std::string name;                  // never empty, unique in its pool; an approval's text
  std::string url;                   // as parse_http_url takes it
  std::string expect;                // text that the answer must contain; "" any 2xx
  std::vector<std::string> command;  // argv, no shell; passed when it ends with 0
  Duration timeout{10'000};
};

// A value of an answer that tells how new an endpoint's data is: a header field, or what a JSON pointer finds in the body.
struct CompareConfig {
  std::string header;  // "" not that
  std::string json;    // RFC 6901, "/data/version"; "" not that
  Duration max_lag{60'000};
  bool given() const { return !header.empty() || !json.empty(); }
  bool operator==(const CompareConfig&) const = default;
};
// A synthetic request that every endpoint of the pool must answer well to count as fit for traffic.
struct FitnessConfig {
  std::string name;  // never empty after loading, unique in its pool
  bool websocket = false;
  std::string method = "GET";
  bool is_unsafe = false;  // key `unsafe`: the operator vouches that repeating it does no harm
  std::string path;
  std::string host;  // Host field; "" is the endpoint's own address
  std::vector<NameValue> headers;
  std::string body;
  std::vector<StatusRange> expect{{200, 299}};
  std::string expect_body;  // text that the answer's body must contain; "" any
  MaybeDuration max_latency;
  Duration interval{10'000};
  Duration timeout{2'000};
  std::uint32_t rise = 2;
  std::uint32_t fall = 2;
  CompareConfig compare;
  bool operator==(const FitnessConfig&) const = default;
};

enum class TiersMode : std::uint8_t { exclusive, shared };
enum class FailbackMode : std::uint8_t { automatic, after, manual };
struct FailoverConfig {
  std::uint32_t min_available_count = 1;
  std::optional<double> min_available_share;  // given as percent; overrides the count
  FailbackMode failback = FailbackMode::after;
  Duration failback_after{60'000};
  Duration max_hold{1'800'000};  // relapses double the time until failback up to this
  Duration verify{30'000};       // how long a move is judged after it happened
  Duration ramp{10'000};         // traffic moves in steps over this time; 0: at once
  bool quarantine = false;       // who was down serves only once the gates passed
  // How much more than its share of the traffic an endpoint can carry; nothing: `shared` pools do not spill.
  std::optional<double> overprovisioning = 1.4;
  std::vector<GateConfig> gates;
  double mirror = 0;         // share of the safe requests that a standby gets a copy of
  bool require_fit = false;  // only tiers that are proven fit are moved to, while the serving one still has an endpoint
};

struct PoolConfig {
  std::string name;
  std::vector<TierConfig> tiers;  // in priority order, at least one
  BalanceKind balance = BalanceKind::least_request;
  HashKey hash_on = HashKey::client_address;
  std::string hash_name;  // header or cookie name
  StickyConfig sticky;
  CheckConfig check;
  PassiveConfig passive;
  DegradedConfig degraded;
  std::vector<FitnessConfig> fitness;
  FailoverConfig failover;
  RetryConfig retry;
  OpeningsConfig openings;
  TiersMode tiers_mode = TiersMode::exclusive;
  std::optional<UpstreamTls> tls;
  Duration connect_timeout{1'000};
  Duration response_timeout{30'000};         // request sent to first byte of the answer
  MaybeDuration try_timeout;                 // one attempt, repeatable requests only
  Duration idle_body_timeout{60'000};        // answer body without progress
  MaybeDuration request_timeout;             // everything
  Duration keepalive_timeout{30'000};        // idle upstream connections
  std::uint32_t keepalive_connections = 64;  // idle ones kept per endpoint and worker
  std::uint32_t max_in_flight = 0;           // per endpoint, exact over workers; 0 from "none"
  std::uint64_t max_response_header_bytes = 64 * 1024;
  Duration slow_start{0};
  double panic_threshold = 0.5;  // share of a tier; below it all endpoints are used (never with check none)
  bool epoch_header = false;     // send Understudy-Epoch upstream
};

enum class HeaderOp : std::uint8_t { set, add, remove };
struct HeaderRule {
  HeaderOp op = HeaderOp::set;
  std::string name;
  std::string value;
};
struct RouteMatch {
  std::string host;  // "", "example.org", "*.example.org"
  std::string path;  // "", "/exact", "/prefix/*", "/**/x.ext" glob
  std::vector<std::string> methods;
  std::vector<NameValue> headers;  // all must match; value "*" means present
  bool operator==(const RouteMatch&) const = default;
};
struct RedirectConfig {
  std::string to;  // absolute URL or path; {path}, {query}, {host} are replaced
  std::uint16_t status = 308;
};
struct RespondConfig {
  std::uint16_t status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
};
enum class EndpointLoss : std::uint8_t { close, resume };
struct WebSocketConfig {
  bool allowed = true;
  MaybeDuration idle_timeout{std::chrono::hours(1)};
  MaybeDuration max_duration;
  MaybeSize max_message;        // payload of a message, all its frames; implies strict
  bool strict = false;          // close with 1002 what does not keep to the framing rules
  MaybeDuration ping_interval;  // the proxy pings a client that is silent for so long
  Duration pong_timeout{10'000};
  Duration close_over{30'000};  // tunnels that have to leave are closed evenly over this window
  std::uint16_t close_code = 1012;
  std::string close_reason;
  EndpointLoss on_endpoint_loss = EndpointLoss::close;
  Duration park_timeout{30'000};       // a tunnel without an endpoint is ended after that
  std::uint64_t park_buffer = 262144;  // bytes held of its client, and as many of the messages that are told again
  std::uint32_t replay_first = 0;      // messages of the client that each next endpoint is told again
};
struct RouteConfig {
  std::string name;  // "" becomes "route-N"
  RouteMatch match;
  std::string pool;  // exactly one of pool, redirect, respond
  std::optional<RedirectConfig> redirect;
  std::optional<RespondConfig> respond;
  std::string strip_prefix;
  std::string add_prefix;
  std::vector<HeaderRule> request_headers;
  std::vector<HeaderRule> response_headers;
  WebSocketConfig websocket;
  MaybeSize max_body_bytes;  // overrides the listener's
  bool allow_encoded_slash = false;
  bool retry_with_idempotency_key = false;
};

struct DnsConfig {
  std::vector<Address> servers;  // empty: the system's
  Duration min_ttl{1'000};
  Duration max_ttl{300'000};
  Duration timeout{5'000};
  std::uint32_t max_addresses = 64;
};

// What is written down about outages, in state_dir.
struct IncidentsConfig {
  Duration settle{300'000};  // a pool that is well for so long closes its incident
  std::uint32_t keep = 200;  // incidents on disk; the oldest closed ones go
  std::uint64_t max_bytes = 64 * 1024 * 1024;
};

// Somebody to tell when something happens: a URL that takes signed JSON (Standard Webhooks).
struct AlertConfig {
  std::string name;
  std::string url;               // as parse_web_url takes it
  std::optional<Secret> secret;  // signs each message
  std::string ca;                // of an https URL; "" is the system's
  Duration timeout{5'000};       // of one attempt
  Duration give_up_after{3'600'000};
  bool minor = false;  // tells of minor incidents too
};

// A live drill that has to be made again and again. Who makes it is not said: a timer, or people.
struct DrillConfig {
  std::string name;
  std::string scenario;  // file
  std::string title;     // the scenario's own name, which its runs are known by; "" where the file was not read
  std::string at;        // as parse_week_time takes it
  std::vector<std::string> pools;
  Duration grace{86'400'000};  // overdue so long after it was due
};

struct Config {
  ServerConfig server;
  AdminConfig admin;
  LogConfig log;
  DnsConfig dns;
  IncidentsConfig incidents;
  std::vector<AlertConfig> alerts;        // sorted by name
  std::vector<DrillConfig> drills;        // sorted by name
  std::vector<ListenerConfig> listeners;  // sorted by name
  std::vector<PoolConfig> pools;          // sorted by name
  std::vector<RouteConfig> routes;        // file order; never empty after loading (a catch-all is added for one pool)
  const PoolConfig* pool(const std::string& name) const;
};

}  // namespace understudy::config
