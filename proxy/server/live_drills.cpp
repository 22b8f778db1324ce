#include "proxy/server/live_drills.hpp"

#include <boost/json/array.hpp>
#include <algorithm>

#include "config/calendar.hpp"
#include "config/scenario_keys.hpp"
#include "health/explain.hpp"
#include "health/incident/wellness.hpp"
#include "health/rehearsal/script.hpp"

namespace understudy::server {

namespace json = boost::json;
using config::FaultHealth;
using config::FaultKind;
using config::ScenarioFault;
using health::LiveDrill;

namespace {

constexpr std::size_t kReadings = 70;        // the longest that guards may look back, and a little more
constexpr std::uint64_t kFaultsEach = 1000;  // ids of one drill, as the desk gives them
constexpr std::size_t kMetKept = 1000;
constexpr std::size_t kMostTold = 2000;            // events of one drill
constexpr std::chrono::seconds kCountedWithin{3};  // after its end

bool is_meant(const ScenarioFault& fault, const std::string& tier, const std::string& endpoint) {
  return fault.where == "all" || fault.where == tier || fault.where == endpoint;
}

// A fault that only some requests meet is none of the endpoint's.
bool meets_checks(const ScenarioFault& fault) {
  if (fault.health != FaultHealth::as_fault) return fault.health == FaultHealth::bad;
  if (fault.requests < 1 || !fault.header.empty()) return false;
  return fault.kind == FaultKind::kill || fault.kind == FaultKind::flap || fault.kind == FaultKind::unreachable ||
         fault.kind == FaultKind::freeze;
}

std::string trimmed(const std::string& text) {
  const std::size_t from = text.find_first_not_of(' ');
  return from == std::string::npos ? std::string() : text.substr(from, text.find_last_not_of(' ') - from + 1);
}

net::Fault::Kind kind_of(FaultKind kind) {
  using Kind = net::Fault::Kind;
  switch (kind) {
    case FaultKind::kill:
    case FaultKind::flap: return Kind::refuse;
    case FaultKind::unreachable: return Kind::blackhole;
    case FaultKind::freeze:
    case FaultKind::hang: return Kind::stall;
    case FaultKind::reset: return Kind::reset;
    case FaultKind::errors: return Kind::error;
    default: return Kind::delay;  // slow, slow_websocket; the others are refused before
  }
}

std::shared_ptr<const net::Fault> make_fault(const health::FaultInForce& in_force,
                                             const std::shared_ptr<std::atomic<std::uint64_t>>& met) {
  const ScenarioFault& from = *in_force.fault;
  auto fault = std::make_shared<net::Fault>();
  fault->id = in_force.id;
  fault->kind = kind_of(from.kind);
  fault->openings_only = from.kind == FaultKind::slow_websocket;
  const bool shared = from.kind == FaultKind::errors || from.kind == FaultKind::reset;
  fault->requests = from.requests * (shared ? from.share : 1);
  const std::size_t colon = from.header.find(':');
  fault->header = from.header.substr(0, colon);
  if (colon != std::string::npos) fault->value = trimmed(from.header.substr(colon + 1));
  fault->status = from.status;
  fault->delay = from.latency;
  fault->ramp = from.ramp;
  fault->jitter = from.jitter;
  if (from.kind == FaultKind::flap) fault->period = from.period;
  fault->since = in_force.since;
  fault->met = met;
  return fault;
}

bool in_block_out(const config::ScenarioGuards& guards, const std::tm& local, std::string& window) {
  const unsigned weekday = (static_cast<unsigned>(local.tm_wday) + 6) % 7;
  const unsigned minute = static_cast<unsigned>(local.tm_hour * 60 + local.tm_min);
  std::string problem;
  for (const std::string& text : guards.block_out) {
    const auto parsed = config::parse_week_window(text, &problem);
    if (!parsed || !parsed->covers(weekday, minute)) continue;
    window = text;
    return true;
  }
  return false;
}

// A fault of it that is in force after `from`, on any endpoint of that tier.
bool is_to_meet(const config::Scenario& scenario, const health::TierStatus& tier, health::Duration from) {
  const auto meant = [&](const ScenarioFault& fault) {
    if (health::Duration(fault.until.value_or(scenario.length)) <= from) return false;
    return is_meant(fault, tier.name, "") ||
           std::any_of(tier.endpoints.begin(), tier.endpoints.end(),
                       [&](const auto& endpoint) { return is_meant(fault, tier.name, endpoint.label); });
  };
  return std::any_of(scenario.faults.begin(), scenario.faults.end(), meant);
}

// Why no other tier could take over from `tier`. What is out because of `drill` is nobody's outage, and counts as well.
std::optional<std::string> unfit_standby(const health::PoolStatus& pool, const std::string& tier,
                                         const std::set<std::string>& drilled) {
  std::string others;
  for (const health::TierStatus& other : pool.tiers) {
    if (other.name == tier) continue;
    const bool bad = other.fit == health::Fit::unfit || other.fit == health::Fit::stale;
    if ((other.serviceable && !bad && !other.failed) || drilled.contains(other.name)) return std::nullopt;
    others += (others.empty() ? "'" : ", '") + other.name + "' is " +
              (!other.serviceable ? "not able to serve"
               : bad              ? std::string(health::name_of(other.fit)) + ": " + other.fit_reason
                                  : "known to serve badly");
  }
  return "its guard standby_fit: " + (others.empty() ? "the pool has no other tier" : others);
}

double ms(health::Duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

}  // namespace

std::optional<std::string> LiveDrills::obstacle(const config::Scenario& scenario, const Situation& situation,
                                                const LiveDrill* drill) const {
  const config::ScenarioGuards& guards = scenario.guards;
  const health::PoolStatus& pool = situation.pool;
  std::string window;
  if (in_block_out(guards, situation.local, window)) return "its guard block_out: no drill in '" + window + "'";
  if (guards.no_incident) {
    for (const auto& [name, incident] : situation.incidents) {
      if (incident.opened.drill.empty())  // one that a drill made is nobody's trouble
        return "its guard no_incident: incident " + std::to_string(incident.number) + " of pool '" + name + "' is open";
      if (!incident.beyond_drill.empty())
        return "its guard no_incident: something that no fault of a drill is on went wrong: " + incident.beyond_drill;
    }
  }
  const std::string& tier = drill != nullptr ? drill->tier : pool.tiers.at(pool.active).name;
  if (guards.standby_fit) {
    if (auto why = unfit_standby(pool, tier, {})) return why;
    if (auto why = drill != nullptr ? nothing_beside(*drill, pool, situation.now) : std::nullopt) return why;
  }
  if (drill != nullptr) return std::nullopt;
  if (pool.maintenance) return "pool '" + pool.name + "' is in maintenance";
  if (auto why = too_much(scenario, situation)) return why;
  if (pool.held) return "pool '" + pool.name + "' is held on its tier";
  const incident::Wellness wellness = incident::wellness_of(pool, false);
  if (wellness.bad || wellness.doubtful) return "pool '" + pool.name + "' is not well: " + wellness.why;
  const auto recent = recent_.find(pool.name);
  if (recent == recent_.end()) return std::nullopt;
  std::deque<health::GuardReading> readings;
  health::Duration over{};
  for (auto it = recent->second.rbegin(); it != recent->second.rend() && over < guards.over; ++it) {
    over += it->over;
    readings.push_front(*it);
  }
  return health::DrillDesk::guard_broken(guards, readings);
}

// What no guard could make up for.
std::optional<std::string> LiveDrills::too_much(const config::Scenario& scenario, const Situation& situation) {
  const health::PoolStatus& pool = situation.pool;
  const health::TierStatus& serving = pool.tiers.at(pool.active);
  if (!pool.gates.empty() && !scenario.guards.leave_gated && is_to_meet(scenario, serving, {}))
    return "the gates of pool '" + pool.name + "': what leaves tier '" + serving.name +
           "' returns only through them, also when a drill is cut short; write leave_gated = true in its [guards] "
           "where "
           "that is meant";
  for (const ScenarioFault& fault : scenario.faults) {
    const bool all = fault.where == "all" && fault.requests >= 1 && fault.header.empty();
    if (all && fault.kind == FaultKind::slow && fault.latency >= situation.response_timeout)
      return "its fault 'slow' at all: with a latency above the response_timeout of pool '" + pool.name +
             "' nothing would be left to serve the clients";
  }
  return std::nullopt;
}

// Where the tier that serves now is another than the drill began with, and a fault of it is in force there or to come: another one
// must be able to serve, or be out only because of this drill.
std::optional<std::string> LiveDrills::nothing_beside(const LiveDrill& drill, const health::PoolStatus& pool,
                                                      TimePoint now) const {
  const health::TierStatus& serving = pool.tiers.at(pool.active);
  if (serving.name == drill.tier || !is_to_meet(drill.scenario, serving, now - drill.began)) return std::nullopt;
  std::set<std::string> drilled;
  for (const health::FaultInForce& one : desk_.in_force(drill.pool, now)) {
    for (const health::TierStatus& tier : pool.tiers) {
      for (const health::EndpointStatus& endpoint : tier.endpoints)
        if (is_meant(*one.fault, tier.name, endpoint.label)) drilled.insert(tier.name);
    }
  }
  return unfit_standby(pool, serving.name, drilled);
}

void LiveDrills::on_reading(const std::string& pool, health::GuardReading reading, TimePoint now) {
  desk_.on_reading(pool, reading, now);
  auto& recent = recent_[pool];
  recent.push_back(std::move(reading));
  if (recent.size() > kReadings) recent.pop_front();
}

void LiveDrills::on_event(const health::Event& event) {
  for (const auto& [id, drill] : desk_.all()) {
    if (drill.state != LiveDrill::State::running || (!event.pool.empty() && event.pool != drill.pool)) continue;
    auto& told = told_[id];
    if (told.size() < kMostTold) told.push_back({event.at, event});
  }
}

std::vector<health::DrillRecord> LiveDrills::take_records(const admin::Instant& now, bool at_once) {
  std::vector<health::DrillRecord> out;
  for (auto it = told_.begin(); it != told_.end();) {
    const LiveDrill* const drill = desk_.find(it->first);
    const bool over = drill != nullptr && drill->state != LiveDrill::State::running &&
                      (at_once || drill->counted || now.steady - drill->ended > kCountedWithin);
    if (over) out.push_back(record_of(*drill, std::move(it->second), now));
    it = drill == nullptr || over ? told_.erase(it) : std::next(it);
  }
  return out;
}

health::DrillRecord LiveDrills::begun(const LiveDrill& drill, const admin::Instant& now) const {
  health::DrillRecord record;
  record.name = drill.scenario.name;
  record.pool = drill.pool;
  record.who = drill.who;
  record.began = record.ended = std::chrono::round<std::chrono::milliseconds>(now.wall);
  return record;
}

health::DrillRecord LiveDrills::record_of(const LiveDrill& drill, std::vector<health::Told> events,
                                          const admin::Instant& now) const {
  const auto wall = [&now](TimePoint at) {
    return std::chrono::round<std::chrono::milliseconds>(
        now.wall + std::chrono::duration_cast<std::chrono::system_clock::duration>(at - now.steady));
  };
  health::ScenarioFacts facts;
  facts.begin = drill.began;
  facts.first_tier = drill.tier;
  facts.failed = drill.counts.failed;
  facts.bad = drill.counts.bad;
  facts.answered = drill.counts.requests - drill.counts.bad;
  facts.sockets_dropped = drill.counts.tunnels_dropped;
  facts.events = std::move(events);
  const health::Script script(drill.scenario, drill.began);
  facts.first_fault = script.first_fault();
  facts.last_heal = script.last_heal();
  const health::ScenarioTimes times = health::times_of(facts);
  const auto in_ms = [](const std::optional<health::Duration>& time) {
    return time ? std::optional(std::chrono::round<std::chrono::milliseconds>(*time)) : std::nullopt;
  };
  health::DrillRecord record;
  record.name = drill.scenario.name;
  record.pool = drill.pool;
  record.who = drill.who;
  record.began = wall(drill.began);
  record.ended = wall(drill.ended);
  record.complete = drill.state == LiveDrill::State::complete;
  record.why = drill.why;
  record.requests = drill.counts.requests;
  record.failed = drill.counts.failed;
  record.detected = in_ms(times.detected);
  record.shifted = in_ms(times.shifted);
  record.returned = in_ms(times.returned);
  const auto checks = health::judge(drill.scenario.expect, facts);
  const auto broken = std::find_if(checks.begin(), checks.end(), [](const auto& check) { return !check.passed; });
  record.passed = record.complete && broken == checks.end();
  if (record.complete && broken != checks.end()) record.why = broken->what + ", found: " + broken->found;
  return record;
}

std::shared_ptr<const net::Faults> LiveDrills::faults_of(const health::View& view, TimePoint now) {
  if (!desk_.any_running()) return nullptr;
  auto faults = std::make_shared<net::Faults>();
  bool any = false;
  for (const health::PoolView& pool : view.pools) {
    for (const health::FaultInForce& one : desk_.in_force(pool.name, now)) {
      auto& met = met_[one.id];
      if (!met) met = std::make_shared<std::atomic<std::uint64_t>>(0);
      const auto fault = make_fault(one, met);
      for (const health::TierView& tier : pool.tiers) {
        for (const health::EndpointView& endpoint : tier.endpoints) {
          if (!is_meant(*one.fault, tier.name, endpoint.label)) continue;
          faults->add(endpoint.id, fault);
          any = true;
        }
      }
    }
  }
  while (met_.size() > kMetKept) {
    met_before_ += met_.begin()->second->load(std::memory_order_relaxed);
    met_.erase(met_.begin());
  }
  if (!any) return nullptr;
  return faults;
}

std::optional<DrilledProbe> LiveDrills::probe(const std::string& pool, const std::string& tier,
                                              const std::string& endpoint, config::CheckKind check, TimePoint now) {
  const bool speaks = check != config::CheckKind::tcp && check != config::CheckKind::tls;
  std::optional<DrilledProbe> out;
  const auto fails = [&out](health::Cause cause, bool at_deadline, const char* detail) {
    out = DrilledProbe{{}, at_deadline};
    out->result.cause = cause;
    out->result.detail = detail;
  };
  for (const health::FaultInForce& one : desk_.in_force(pool, now)) {
    const ScenarioFault& fault = *one.fault;
    if (!is_meant(fault, tier, endpoint)) continue;
    if (!meets_checks(fault)) continue;
    if (fault.health == FaultHealth::bad) {
      fails(speaks ? health::Cause::http_status : health::Cause::tcp_refused, false, "a drill makes its page bad");
      out->result.status = speaks ? 503 : 0;
      continue;
    }
    const bool up = fault.kind == FaultKind::flap && (now - one.since) / health::Duration(fault.period) % 2 != 0;
    if ((fault.kind == FaultKind::kill || fault.kind == FaultKind::flap) && !up)
      fails(health::Cause::tcp_refused, false, "a drill refuses it");
    if (fault.kind == FaultKind::unreachable) fails(health::Cause::tcp_timeout, true, "a drill makes it unreachable");
    if (fault.kind == FaultKind::freeze && speaks)
      fails(check == config::CheckKind::websocket ? health::Cause::ws_timeout : health::Cause::http_timeout, true,
            "a drill freezes it");
  }
  return out;
}

health::DrillFaults LiveDrills::met_in(const LiveDrill& drill, const health::View& view, TimePoint now) const {
  health::DrillFaults out{drill.pool, drill.tier, {}};
  const auto faults = desk_.in_force(drill.pool, now);
  for (const health::PoolView& pool : view.pools) {
    if (pool.name != drill.pool) continue;
    for (const health::TierView& tier : pool.tiers) {
      for (const health::EndpointView& endpoint : tier.endpoints) {
        bool met = false, checks = false;
        for (const health::FaultInForce& one : faults) {
          if (!is_meant(*one.fault, tier.name, endpoint.label)) continue;
          met = true;
          checks = checks || meets_checks(*one.fault);
        }
        if (met) out.in_force.push_back({endpoint.id, checks});
      }
    }
  }
  return out;
}

void LiveDrills::places_in(const LiveDrill& drill, const health::PoolView& pool, TimePoint now,
                           std::set<std::string>& endpoints, std::set<std::string>& tiers) const {
  for (const health::FaultInForce& one : desk_.in_force(drill.pool, now)) {
    for (const health::TierView& tier : pool.tiers) {
      for (const health::EndpointView& endpoint : tier.endpoints) {
        if (!is_meant(*one.fault, tier.name, endpoint.label)) continue;
        endpoints.insert(endpoint.label);
        tiers.insert(tier.name);
      }
    }
  }
}

std::uint64_t LiveDrills::met_now() const {
  std::uint64_t sum = 0;
  for (const auto& [id, met] : met_) sum += met->load(std::memory_order_relaxed);
  return sum;
}

std::uint64_t LiveDrills::met_by(const LiveDrill& drill) const {
  std::uint64_t sum = 0;
  for (auto it = met_.lower_bound(drill.id * kFaultsEach); it != met_.end() && it->first < (drill.id + 1) * kFaultsEach;
       ++it)
    sum += it->second->load(std::memory_order_relaxed);
  return sum;
}

json::object LiveDrills::describe(const LiveDrill& drill, const admin::Instant& now) const {
  const bool running = drill.state == LiveDrill::State::running;
  const auto wall = [&now](TimePoint at) {
    return admin::rfc3339(now.wall + std::chrono::duration_cast<std::chrono::system_clock::duration>(at - now.steady));
  };
  health::LatencyMemory latency(std::chrono::hours(24));
  latency.add(drill.duration, TimePoint{});
  json::array in_force;
  for (const health::FaultInForce& one : desk_.in_force(drill.pool, now.steady))
    if (running)
      in_force.emplace_back(config::fault_kinds().at(static_cast<std::size_t>(one.fault->kind)) + " at " +
                            one.fault->where);
  return {{"id", drill.id},
          {"name", drill.scenario.name},
          {"pool", drill.pool},
          {"tier", drill.tier},
          {"state", health::name_of(drill.state)},
          {"why", drill.why},
          {"who", drill.who},
          {"began", wall(drill.began)},
          {"ended", running ? json::value(nullptr) : json::value(wall(drill.ended))},
          {"elapsed_ms", ms((running ? now.steady : drill.ended) - drill.began)},
          {"length_ms", drill.scenario.length.count()},
          {"lease_ms", drill.scenario.guards.lease.count()},
          {"in_force", std::move(in_force)},
          {"met", met_by(drill)},
          {"requests", drill.counts.requests},
          {"failed", drill.counts.failed},
          {"bad", drill.counts.bad},
          {"tunnels_dropped", drill.counts.tunnels_dropped},
          {"p50_ms", ms(latency.quantile(0.5))},
          {"p95_ms", ms(latency.quantile(0.95))},
          {"p99_ms", ms(latency.quantile(0.99))},
          {"worst_ms", ms(drill.duration.longest())}};
}

}  // namespace understudy::server
