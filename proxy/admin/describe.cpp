#include "proxy/admin/describe.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <ctime>

namespace understudy::admin {
namespace {

namespace json = boost::json;

std::chrono::system_clock::time_point wall_time(health::TimePoint at, const Instant& now) {
  return now.wall + std::chrono::duration_cast<std::chrono::system_clock::duration>(at - now.steady);
}

json::value time_or_null(const std::optional<health::TimePoint>& at, const Instant& now) {
  return at ? json::value(rfc3339(wall_time(*at, now))) : json::value(nullptr);
}

double ms(health::Duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

json::value describe_check(const health::EndpointStatus& endpoint, const Instant& now) {
  if (!endpoint.last_probe) return nullptr;
  const health::ProbeResult& probe = *endpoint.last_probe;
  return json::object{{"ok", probe.ok()},
                      {"cause", health::name_of(probe.cause)},
                      {"status", probe.status},
                      {"detail", probe.detail},
                      {"elapsed_ms", ms(probe.elapsed)},
                      {"at", time_or_null(endpoint.last_probe_at, now)}};
}

// What real requests told, over the newest window in which there were enough.
json::value describe_traffic(const health::EndpointStatus& endpoint) {
  if (endpoint.samples <= 0) return nullptr;
  return json::object{{"samples", endpoint.samples},
                      {"error_share", endpoint.error_share},
                      {"first_byte_p50_ms", ms(endpoint.first_byte_p50)},
                      {"first_byte_p95_ms", ms(endpoint.first_byte_p95)},
                      {"first_byte_p99_ms", ms(endpoint.first_byte_p99)},
                      {"normal_p95_ms", ms(endpoint.normal_p95)},
                      {"connect_p95_ms", ms(endpoint.connect_p95)},
                      {"websocket_open_p95_ms", ms(endpoint.websocket_open_p95)}};
}

// What synthetic requests prove; null where a pool has none.
json::value describe_fitness(const health::EndpointStatus& endpoint, const Instant& now) {
  if (endpoint.synthetic.empty() && endpoint.mirrored == 0) return nullptr;
  json::array requests;
  for (const health::Fitness::Report& request : endpoint.synthetic) {
    requests.push_back(
        json::object{{"name", request.name},
                     {"verdict", health::name_of(request.fit)},
                     {"detail", request.detail},
                     {"asked_at", time_or_null(request.asked_at, now)},
                     {"elapsed_ms", ms(request.elapsed)},
                     {"passed", request.passed},
                     {"failed", request.failed},
                     {"value", request.value.empty() ? json::value(nullptr) : json::value(request.value)},
                     {"lag_ms", request.lag ? json::value(ms(*request.lag)) : json::value(nullptr)}});
  }
  return json::object{{"verdict", health::name_of(endpoint.fit)},
                      {"reason", endpoint.fit_reason},
                      {"proven_at", time_or_null(endpoint.proven_at, now)},
                      {"requests", std::move(requests)},
                      {"mirrored", endpoint.mirrored},
                      {"mirrored_differently", endpoint.mirrored_differently},
                      {"mirror", endpoint.mirror}};
}

// What its agent says; null where none has said anything.
json::value describe_agent(const health::Agent& agent, const Instant& now) {
  if (!agent.heard_at() && agent.complaint().empty()) return nullptr;
  return json::object{{"state", health::name_of(agent.state())},
                      {"weight_share", agent.share()},
                      {"reason", agent.reason()},
                      {"heard_at", time_or_null(agent.heard_at(), now)},
                      {"complaint", agent.complaint()}};
}

json::object describe_endpoint(const health::EndpointStatus& endpoint, const Instant& now) {
  const auto* load = endpoint.load.get();
  return json::object{{"label", endpoint.label},
                      {"address", endpoint.address},
                      {"available", endpoint.available},
                      {"operator", health::name_of(endpoint.operator_state)},
                      {"operator_since", time_or_null(endpoint.operator_since, now)},
                      {"operator_until", time_or_null(endpoint.operator_until, now)},
                      {"checks", health::name_of(endpoint.active)},
                      {"passive", health::name_of(endpoint.passive)},
                      {"ejected_until", time_or_null(endpoint.ejected_until, now)},
                      {"since", time_or_null(endpoint.since, now)},
                      {"last_check", describe_check(endpoint, now)},
                      {"weight", endpoint.weight},
                      {"in_flight", load ? load->in_flight.load(std::memory_order_relaxed) : 0U},
                      {"tunnels", load ? load->tunnels.load(std::memory_order_relaxed) : 0U},
                      {"quarantined", endpoint.quarantined},
                      {"suspicion", endpoint.suspicion},
                      {"slow_to_open", endpoint.slow_to_open},
                      {"class", health::name_of(endpoint.cause_class)},
                      {"traffic", describe_traffic(endpoint)},
                      {"fitness", describe_fitness(endpoint, now)},
                      {"agent", describe_agent(endpoint.agent, now)}};
}

std::size_t available_in(const health::TierStatus& tier) {
  return static_cast<std::size_t>(std::count_if(tier.endpoints.begin(), tier.endpoints.end(),
                                                [](const auto& endpoint) { return endpoint.available; }));
}

// "primary: 0/3 available, standby: …" for every tier better than `below`.
std::string tiers_above(const health::PoolStatus& pool, std::size_t below) {
  std::string out;
  for (std::size_t i = 0; i < std::min(below, pool.tiers.size()); ++i) {
    const health::TierStatus& tier = pool.tiers[i];
    out += (out.empty() ? "" : ", ") + tier.name + ": " + std::to_string(available_in(tier)) + "/" +
           std::to_string(tier.endpoints.size()) + " available";
  }
  return out;
}

// ", but standby is unfit" for the tiers below `from` that synthetic requests speak against.
std::string unfit_below(const health::PoolStatus& pool, std::size_t from) {
  std::string out;
  for (std::size_t i = from + 1; i < pool.tiers.size(); ++i) {
    const health::Fit fit = pool.tiers[i].fit;
    if (fit != health::Fit::unfit && fit != health::Fit::stale) continue;
    out += (out.empty() ? ", but " : ", ") + pool.tiers[i].name + " is " + std::string(health::name_of(fit));
  }
  return out;
}

// ", new tunnels go to standby" while that is not where requests go.
std::string tunnels_elsewhere(const health::PoolStatus& pool) {
  const bool elsewhere = pool.openings_to && *pool.openings_to < pool.tiers.size();
  return elsewhere ? ", new tunnels go to " + pool.tiers[*pool.openings_to].name : "";
}

struct Verdict {
  std::string state;
  std::string sentence;
};

Verdict judge(const health::PoolStatus& pool) {
  const std::string name = "pool " + pool.name;
  if (pool.maintenance) return {"maintenance", name + " is in maintenance and answers 503"};
  if (pool.active >= pool.tiers.size()) return {"down", name + " has no tier"};
  const health::TierStatus& tier = pool.tiers[pool.active];
  const std::size_t available = available_in(tier);
  const std::string share = std::to_string(available) + "/" + std::to_string(tier.endpoints.size());
  if (tier.endpoints.empty()) return {"down", name + " is down: tier " + tier.name + " has no endpoint"};
  const bool untried = std::all_of(tier.endpoints.begin(), tier.endpoints.end(), [](const auto& endpoint) {
    return endpoint.active == health::ActiveState::unknown && endpoint.passive == health::PassiveState::in &&
           endpoint.operator_state == health::OperatorState::enabled;
  });
  if (available == 0 && untried) {
    return {"starting", name + " is starting: no endpoint of tier " + tier.name + " has been checked yet"};
  }
  if (available == 0) {
    return {"down", name + " is down: no endpoint of tier " + tier.name + " is available" +
                        (tier.panic ? " (panic: all are tried)" : "")};
  }
  if (tier.panic) {
    return {"degraded", name + " serves from " + tier.name + " in panic mode (" + share + " available, all are used)"};
  }
  if (tier.degraded) {
    return {"degraded", name + " serves from " + tier.name + ", which is degraded: " + tier.degraded_reason};
  }
  if (tier.failed) {
    return {"degraded", name + " serves from " + tier.name + ", but the move there failed: " + tier.quality};
  }
  if (pool.active > 0) {
    return {"degraded", name + " serves from " + tier.name + " (" + tiers_above(pool, pool.active) + ")"};
  }
  if (available < tier.endpoints.size()) {
    return {"degraded", name + " serves from " + tier.name + " (" + share + " available)"};
  }
  const std::string but = tunnels_elsewhere(pool) + unfit_below(pool, pool.active);
  return {but.empty() ? "ok" : "degraded", name + " serves from " + tier.name + " (" + share + " available)" + but};
}

int severity(std::string_view state) {
  if (state == "down") return 3;
  if (state == "maintenance") return 2;
  return state == "degraded" || state == "starting" ? 1 : 0;
}

}  // namespace

std::string rfc3339(std::chrono::system_clock::time_point at) {
  const auto since_epoch = std::chrono::floor<std::chrono::milliseconds>(at.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const std::time_t time = static_cast<std::time_t>(seconds.count());
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[48];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  const std::string milliseconds = std::to_string((since_epoch - seconds).count());
  return std::string(text, length) + "." + std::string(3 - milliseconds.size(), '0') + milliseconds + "Z";
}

json::object describe_pool(const health::PoolStatus& pool, const Instant& now) {
  json::array tiers;
  for (std::size_t i = 0; i < pool.tiers.size(); ++i) {
    const health::TierStatus& tier = pool.tiers[i];
    json::array endpoints;
    for (const auto& endpoint : tier.endpoints) endpoints.push_back(describe_endpoint(endpoint, now));
    tiers.push_back(
        json::object{{"name", tier.name},
                     {"active", i == pool.active},
                     {"serviceable", tier.serviceable},
                     {"panic", tier.panic},
                     {"available", available_in(tier)},
                     {"degraded", tier.degraded},
                     {"degraded_reason", tier.degraded_reason},
                     {"failed", tier.failed},
                     {"quality", tier.quality},
                     {"fitness", pool.has_fitness ? json::value{{"verdict", health::name_of(tier.fit)},
                                                                {"reason", tier.fit_reason},
                                                                {"proven_at", time_or_null(tier.proven_at, now)}}
                                                  : json::value(nullptr)},
                     {"endpoints", std::move(endpoints)}});
  }
  json::array gates;
  for (const auto& gate : pool.gates)
    gates.push_back(json::object{{"name", gate.name}, {"passed", gate.passed}, {"detail", gate.detail}});
  const Verdict verdict = judge(pool);
  const std::uint32_t openings = pool.openings_to.value_or(pool.active);
  return json::object{
      {"name", pool.name},
      {"sentence", verdict.sentence},
      {"state", verdict.state},
      {"active", pool.active < pool.tiers.size() ? json::value(pool.tiers[pool.active].name) : json::value(nullptr)},
      {"active_since", time_or_null(pool.active_since, now)},
      {"active_reason", pool.active_reason},
      {"epoch", pool.epoch},
      {"held", pool.held},
      {"held_until", time_or_null(pool.held_until, now)},
      {"maintenance", pool.maintenance},
      {"maintenance_until", time_or_null(pool.maintenance_until, now)},
      {"failback_at", time_or_null(pool.failback_at, now)},
      {"failback_waits", pool.failback_waits},
      {"failovers", pool.failovers},
      {"failbacks", pool.failbacks},
      {"phase", pool.phase},
      {"diagnosis", pool.diagnosis},
      {"last_verdict", pool.last_verdict},
      {"relapses", pool.relapses},
      {"gates", std::move(gates)},
      {"openings",
       json::object{{"tier", openings < pool.tiers.size() ? json::value(pool.tiers[openings].name) : nullptr}}},
      {"tiers", std::move(tiers)}};
}

json::object describe_event(const health::Event& event, std::uint64_t id, const Instant& now) {
  return json::object{{"id", id},
                      {"at", rfc3339(wall_time(event.at, now))},
                      {"kind", health::name_of(event.kind)},
                      {"pool", event.pool},
                      {"tier", event.tier},
                      {"endpoint", event.endpoint},
                      {"epoch", event.epoch},
                      {"reason", event.reason},
                      {"cause", health::name_of(event.cause)}};
}

json::object describe_status(std::span<const health::PoolStatus> pools, const Instant& now) {
  Verdict worst{"ok", pools.empty() ? "no pool is configured" : ""};
  std::size_t troubled = 0;
  json::array described;
  for (const health::PoolStatus& pool : pools) {
    const Verdict verdict = judge(pool);
    if (verdict.state != "ok") ++troubled;
    if (worst.sentence.empty() || severity(verdict.state) > severity(worst.state)) worst = verdict;
    described.push_back(describe_pool(pool, now));
  }
  if (pools.size() > 1) {
    worst.sentence = troubled == 0 ? "all " + std::to_string(pools.size()) + " pools serve from their first tier"
                                   : worst.sentence + "; " + std::to_string(pools.size() - troubled) + " of " +
                                         std::to_string(pools.size()) + " pools are fine";
  }
  return json::object{{"sentence", worst.sentence}, {"state", worst.state}, {"pools", std::move(described)}};
}

}  // namespace understudy::admin
