// The JSON that /api/v1/status, /pools and /events speak, built from what the health core tells. The shape:
//
//   status  {"sentence", "state": "ok"|"degraded"|"down"|"maintenance", "pools": [POOL…], and the server adds
//            "listeners": [{"name", "address", "tls"}…], "process": {"version", "pid", "started_at",
//            "config", …}}
//   POOL    {"name", "sentence", "state", "active", "active_since", "active_reason", "epoch", "held",
//   "held_until",
//            "maintenance", "maintenance_until", "failback_at", "failback_waits", "failovers", "failbacks", "phase",
//            "diagnosis", "last_verdict", "relapses", "gates": [{"name", "passed", "detail"}…],
//            "openings": {"tier" of new tunnels, and the server adds "waiting", "estimated_wait_ms"}, "tiers": [TIER…]}
//   TIER    {"name", "active", "serviceable", "panic", "available", "degraded", "degraded_reason", "failed",
//            "quality", "share", "max_unanswered" or null, "endpoints": [ENDPOINT…]}
//   ENDPOINT {"label", "address", "available", "operator", "operator_until", "checks", "passive",
//   "ejected_until", "since",
//            "last_check": {"ok", "cause", "status", "detail", "elapsed_ms", "at"} or null, "weight",
//            "in_flight", "tunnels", "quarantined", "suspicion", "slow_to_open": why new tunnels avoid it or "", "class",
//            "traffic": {"samples", "error_share", "first_byte_p50_ms", "first_byte_p95_ms", "first_byte_p99_ms", "normal_p95_ms", "connect_p95_ms",
//            "websocket_open_p95_ms"} or null while there was none}
//   EVENT   {"id", "at", "kind", "pool", "tier", "endpoint", "epoch", "reason", "cause"}
//
// Times are RFC 3339 in UTC with milliseconds; a time that does not apply is null.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include "health/core.hpp"

namespace understudy::admin {

// The same instant on both clocks: turns the core's steady times into wall-clock ones.
struct Instant {
  health::TimePoint steady{};
  std::chrono::system_clock::time_point wall{};
};

std::string rfc3339(std::chrono::system_clock::time_point at);
boost::json::object describe_pool(const health::PoolStatus& pool, const Instant& now);
boost::json::object describe_event(const health::Event& event, std::uint64_t id, const Instant& now);
// "sentence", "state" and "pools".
boost::json::object describe_status(std::span<const health::PoolStatus> pools, const Instant& now);

}  // namespace understudy::admin
