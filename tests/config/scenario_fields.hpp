// Every field of a scenario, by name; see model_fields.hpp.
#pragma once

#include "config/scenario.hpp"
#include "tests/config/model_fields.hpp"

namespace understudy::config {

template <class Visit>
void each_field(const ScenarioLoad& object, const Visit& visit) {
  const auto& [rate, post, body, websockets, message_interval, reconnect, session, patience, latency, probe_latency] =
      object;
  visit("rate", rate);
  visit("post", post);
  visit("body", body);
  visit("websockets", websockets);
  visit("message_interval", message_interval);
  visit("reconnect", reconnect);
  visit("session", session);
  visit("patience", patience);
  visit("latency", latency);
  visit("probe_latency", probe_latency);
}

template <class Visit>
void each_field(const ScenarioFault& object, const Visit& visit) {
  const auto& [at, until, where, kind, latency, ramp, jitter, share, limit, status, period, health, requests, header] =
      object;
  visit("at", at);
  visit("until", until);
  visit("where", where);
  visit("kind", kind);
  visit("latency", latency);
  visit("ramp", ramp);
  visit("jitter", jitter);
  visit("share", share);
  visit("limit", limit);
  visit("status", status);
  visit("period", period);
  visit("health", health);
  visit("requests", requests);
  visit("header", header);
}

template <class Visit>
void each_field(const ScenarioAct& object, const Visit& visit) {
  const auto& [at, act, to] = object;
  visit("at", at);
  visit("act", act);
  visit("to", to);
}

template <class Visit>
void each_field(const ExpectServing& object, const Visit& visit) {
  const auto& [at, tier] = object;
  visit("at", at);
  visit("tier", tier);
}

template <class Visit>
void each_field(const ScenarioExpect& object, const Visit& visit) {
  const auto& [failed, failed_repeatable, bad, slow_after, least_answered, doubled, sockets_dropped, sockets_cut,
               drops_per_second, slow_openings, least_open, moves, least_moves, detected, shifted, returned, serving,
               events, no_events, alerts] = object;
  visit("failed", failed);
  visit("failed_repeatable", failed_repeatable);
  visit("bad", bad);
  visit("slow_after", slow_after);
  visit("least_answered", least_answered);
  visit("doubled", doubled);
  visit("sockets_dropped", sockets_dropped);
  visit("sockets_cut", sockets_cut);
  visit("drops_per_second", drops_per_second);
  visit("slow_openings", slow_openings);
  visit("least_open", least_open);
  visit("moves", moves);
  visit("least_moves", least_moves);
  visit("detected", detected);
  visit("shifted", shifted);
  visit("returned", returned);
  visit("serving", serving);
  visit("events", events);
  visit("no_events", no_events);
  visit("alerts", alerts);
}

template <class Visit>
void each_field(const ScenarioGuards& object, const Visit& visit) {
  const auto& [error_share, latency_p95, over, min_requests, standby_fit, no_incident, leave_gated, block_out, lease] =
      object;
  visit("error_share", error_share);
  visit("latency_p95", latency_p95);
  visit("over", over);
  visit("min_requests", min_requests);
  visit("standby_fit", standby_fit);
  visit("no_incident", no_incident);
  visit("leave_gated", leave_gated);
  visit("block_out", block_out);
  visit("lease", lease);
}

template <class Visit>
void each_field(const Scenario& object, const Visit& visit) {
  const auto& [name, proves, config, pool, length, short_length, load, faults, acts, expect, guards] = object;
  visit("name", name);
  visit("proves", proves);
  visit("config", config);
  visit("pool", pool);
  visit("length", length);
  visit("short_length", short_length);
  visit("load", load);
  visit("faults", faults);
  visit("acts", acts);
  visit("expect", expect);
  visit("guards", guards);
}

inline std::vector<std::string> dump(const Scenario& scenario) { return Dump("scenario", scenario).lines(); }

}  // namespace understudy::config
