// What is shut out: endpoints that were down, until the gates have passed; requests beyond what a slow tier can answer; and
// the surge of clients that may be behind it.
#include <algorithm>
#include <cmath>
#include <utility>

#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {

double trusted_part(const Tier& tier) {
  double trusted = 0, all = 0;
  for (const Source& source : tier.sources) {
    if (source.endpoints.empty()) all += source.weight;
  }
  for (const Endpoint* endpoint : tier.endpoints) {
    all += endpoint->configured_weight;
    const bool doubted = endpoint->suspicion.suspect() || endpoint->ejector.suspected();
    if (endpoint->available && !doubted) trusted += endpoint->weight;
  }
  return all > 0 ? trusted / all : 0;
}

// ---- quarantine

// Called whenever an endpoint is down. One that never served has lost nothing that a gate could look at.
void Core::State::quarantine(Endpoint& endpoint, TimePoint now) {
  Pool& pool = *pools[endpoint.pool];
  if (!pool.config.failover.quarantine || pool.gates.empty() || endpoint.quarantined || !endpoint.was_available) return;
  const CauseClass cls = class_of(endpoint.last_failure);
  if (cls != CauseClass::refused && cls != CauseClass::unreachable && cls != CauseClass::stalled) return;
  endpoint.quarantined = true;
  endpoint.quarantined_at = now;
  reset_gates(pool, "not asked since " + endpoint.label + " was found down");
  std::string gates;
  for (const Gate& gate : pool.gates) gates += (gates.empty() ? "" : ", ") + quoted(gate.config.name);
  emit(Event::Kind::endpoint_quarantined, pool, &pool.tiers[endpoint.tier], &endpoint,
       name_and_address(endpoint) + " was found down (" + std::string(name_of(endpoint.last_failure)) +
           "): when it is back it gets no traffic until gate " + gates + " passed, or the operator enables it",
       endpoint.last_failure);
}

// Somebody is back: what was asked by machine before does not speak of them. An approval does, people know when they give it.
void Core::State::ask_again(Pool& pool) {
  for (Gate& gate : pool.gates) {
    if (gate.config.kind == config::GateKind::approval) continue;
    gate.passed = false;
    gate.asked_at.reset();
    gate.answered_at.reset();
    gate.run = 0;
  }
}

void Core::State::release(Endpoint& endpoint, const std::string& why, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  endpoint.quarantined = false;
  emit(Event::Kind::endpoint_quarantined, pool, &pool.tiers[endpoint.tier], &endpoint,
       name_and_address(endpoint) + " leaves quarantine after " + describe(now - endpoint.quarantined_at) + ": " + why);
  refresh(endpoint, now);
}

bool Core::State::waits_in_quarantine(const Pool& pool) const {
  return std::any_of(pool.tiers.begin(), pool.tiers.end(), [](const Tier& tier) {
    return std::any_of(tier.endpoints.begin(), tier.endpoints.end(), [](const Endpoint* endpoint) {
      return endpoint->quarantined && endpoint->threshold.state() == ActiveState::healthy;
    });
  });
}

void Core::State::release_quarantined(Pool& pool, TimePoint now) {
  if (!std::all_of(pool.gates.begin(), pool.gates.end(), [](const Gate& gate) { return gate.passed; })) return;
  for (Tier& tier : pool.tiers) {
    for (Endpoint* endpoint : tier.endpoints) {
      if (endpoint->quarantined && endpoint->threshold.state() == ActiveState::healthy)
        release(*endpoint, "its checks are well and every gate passed", now);
    }
  }
}

// ---- shedding

void Core::State::shed(Pool& pool, std::uint32_t index, const TierSignals& signals, TimePoint now) {
  Tier& tier = pool.tiers[index];
  ShedInput input;
  input.endpoints = 0;
  input.served = std::exchange(tier.served, 0);
  input.failed = std::exchange(tier.unserved, 0);
  if (!pool.config.degraded.shed || index != pool.failover.active()) {
    const bool had_cap = tier.shedder.cap().has_value();
    tier.shedder.reset();
    if (had_cap) tell_shedding(pool, tier, now);
    return;
  }
  input.overloaded = tier.watch.degraded() && (pool.failover.nothing_better() || pool.held);
  for (const Endpoint* endpoint : tier.endpoints) {
    input.under_way += endpoint->load->unanswered.load(std::memory_order_relaxed);
    if (endpoint->available) input.endpoints += 1;
  }
  input.took = signals.brief.first_byte.quantile(0.5);
  if (signals.waiting) input.took = std::max(input.took, *signals.waiting);
  if (signals.normal.weight() >= thin_baseline) input.usual = signals.normal.quantile(0.5);
  if (tier.shedder.observe(input, now)) tell_shedding(pool, tier, now);
}

// Once when it begins and once when it ends; the cap itself is in the status and the metrics.
void Core::State::tell_shedding(Pool& pool, Tier& tier, TimePoint now) {
  view_changed();
  const std::optional<std::uint32_t> cap = tier.shedder.cap();
  if (cap.has_value() == tier.shedding_since.has_value()) return;
  if (cap) {
    tier.shedding_since = now;
    return emit(Event::Kind::shedding, pool, &tier, nullptr,
                "tier " + quoted(tier.name) + " is too slow and nothing better is to be had: " +
                    describe(tier.watch.quality()) + ", " + std::to_string(std::lround(tier.shedder.goodput())) +
                    " good answers/s; at most " + std::to_string(*cap) +
                    " requests wait for an answer at once, the rest is answered 503; open tunnels stay");
  }
  const Duration lasted = now - *std::exchange(tier.shedding_since, std::nullopt);
  std::string why = "another tier serves";
  if (&tier == &pool.active()) {
    why = tier.shedder.was_futile() ? "fewer requests at once were answered no faster, it is slow for another reason"
                                    : "there were no more requests than it can answer";
  }
  emit(Event::Kind::shedding, pool, &tier, nullptr,
       "tier " + quoted(tier.name) + " is asked everything again after " + describe(lasted) + ": " + why);
}

// ---- arrivals

void Core::State::arrived(Pool& pool, const ArrivalSample& sample, TimePoint now) {
  if (!pool.surge.observe(sample, now)) return;
  emit(Event::Kind::surge, pool, nullptr, nullptr,
       pool.surge.surging() ? "pool " + quoted(pool.config.name) + ": " + pool.surge.text()
                            : "pool " + quoted(pool.config.name) + " is asked as usual again: " +
                                  std::to_string(std::lround(pool.surge.rate())) + " requests/s");
}

}  // namespace understudy::health
