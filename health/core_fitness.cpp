// Synthetic requests of the core: when they are sent, what they amount to for a tier, and whom that is told.
#include <algorithm>
#include <utility>

#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

// What the operator took out does not count.
bool counts_for_fitness(const Endpoint& endpoint) {
  const OperatorState state = state_in_force(endpoint);
  return state != OperatorState::disabled && state != OperatorState::draining;
}

}  // namespace

void Core::State::begin_fitness(Endpoint& endpoint, TimePoint first) {
  const Pool& pool = *pools[endpoint.pool];
  if (endpoint.order.state == OperatorState::disabled) return endpoint.fitness.stop();
  endpoint.fitness.configure(pool.fitness, first, random);
}

void Core::State::start_synthetic(Endpoint& endpoint, TimePoint now) {
  while (const auto due = endpoint.fitness.start_due(last_synthetic, now)) {
    StartSynthetic start;
    start.endpoint = endpoint.id;
    start.pool = endpoint.pool;
    start.tier = endpoint.tier;
    start.request = due->request;
    start.run = due->run;
    start.address = endpoint.address;
    start.server_name = endpoint.server_name;
    start.deadline = due->deadline;
    actions.emplace_back(std::move(start));
  }
  fitness_seen(endpoint, now);  // a proof may have grown old
}

// Answers come all the time, and weighing a tier takes all its endpoints: only when one says something else than before, or
// when a newer proof is waited for.
void Core::State::fitness_seen(const Endpoint& endpoint, TimePoint now) {
  Pool& pool = *pools[endpoint.pool];
  if (pool.tiers[endpoint.tier].failed || fit_of(endpoint, pool, now) != endpoint.weighed_fit) touch(pool);
}

void Core::State::synthetic_answered(Endpoint& endpoint, std::uint64_t run, const ProbeResult& result, TimePoint now) {
  Pool& pool = *pools[endpoint.pool];
  if (pool.histories_of != pool.active().name) {
    pool.histories_of = pool.active().name;
    for (DataHistory& history : pool.histories) history.clear();
  }
  const auto request = endpoint.fitness.request_of(run);
  const bool serving = endpoint.tier == pool.failover.active();
  const bool starved = starved_until && now <= *starved_until;
  ProbeResult seen = result;
  if (starved) seen.cause = Cause::own_error;
  DataHistory* history = request && *request < pool.histories.size() ? &pool.histories[*request] : nullptr;
  if (request && *request < pool.config.fitness.size() && pool.config.fitness[*request].websocket)
    openings_probed(endpoint, seen, now);
  if (endpoint.fitness.finish(run, seen, history, serving, random, now)) fitness_seen(endpoint, now);
  arm(endpoint, now);
}

// As many endpoints as the tier needs must be fit; those that the operator took out do not count.
void Core::State::weigh_fitness(Pool& pool, TimePoint now) {
  if (!proves_fitness(pool)) {
    for (Tier& tier : pool.tiers) {
      tier.fitness = {};
      tier.told_fit = Fit::unknown;
      for (Endpoint* endpoint : tier.endpoints) endpoint->weighed_fit = Fit::unknown;
    }
    return;
  }
  for (Tier& tier : pool.tiers) {
    std::vector<Fit> found;
    found.reserve(tier.endpoints.size());
    for (Endpoint* endpoint : tier.endpoints) {
      endpoint->weighed_fit = fit_of(*endpoint, pool, now);
      if (counts_for_fitness(*endpoint)) found.push_back(endpoint->weighed_fit);
    }
    const std::size_t needed = tier.count.needed;
    const auto fit = std::count(found.begin(), found.end(), Fit::fit);
    tier.fitness.proven = static_cast<std::size_t>(fit);
    if (needed > 0 && found.size() >= needed) {
      const auto weakest = found.begin() + static_cast<std::ptrdiff_t>(needed) - 1;
      std::nth_element(found.begin(), weakest, found.end());
      tier.fitness.fit = *weakest;
    } else {
      tier.fitness.fit = found.empty() ? Fit::unknown : Fit::unfit;
    }
    tell_fitness(pool, tier, now);
  }
}

std::string fitness_reason(const Tier& tier, const Pool& pool, TimePoint now) {
  constexpr std::size_t long_enough = 600;
  if (!proves_fitness(pool)) return "";
  std::string troubles;
  for (const Endpoint* endpoint : tier.endpoints) {
    if (troubles.size() >= long_enough) break;
    if (!counts_for_fitness(*endpoint) || fit_of(*endpoint, pool, now) == Fit::fit) continue;
    const std::string trouble = fit_reason(*endpoint, pool, now);
    if (!trouble.empty()) troubles += (troubles.empty() ? "" : "; ") + endpoint->label + ": " + trouble;
  }
  if (tier.fitness.fit == Fit::fit && troubles.empty()) return "";
  return std::string(name_of(tier.fitness.fit)) + ": " + std::to_string(tier.fitness.proven) + " of " +
         std::to_string(tier.count.size) + " endpoints proven fit, needs " + std::to_string(tier.count.needed) +
         (troubles.empty() ? "" : " (" + troubles + ")");
}

std::optional<TimePoint> proven_since(const Tier& tier, const Pool& pool, TimePoint now) {
  std::vector<TimePoint> proofs;
  for (const Endpoint* endpoint : tier.endpoints) {
    if (!counts_for_fitness(*endpoint) || fit_of(*endpoint, pool, now) != Fit::fit) continue;
    if (const auto proven = endpoint->fitness.proven_at()) proofs.push_back(*proven);
  }
  const std::size_t needed = tier.count.needed;
  if (proofs.size() < needed || needed == 0) return std::nullopt;
  std::sort(proofs.begin(), proofs.end(), std::greater<>());
  return proofs[needed - 1];
}

// An endpoint or tier that can't serve anyway is no news.
void Core::State::tell_fitness(Pool& pool, Tier& tier, TimePoint now) {
  const auto bad = [](Fit fit) { return fit == Fit::unfit || fit == Fit::stale; };
  const auto news = [&](Fit& told, Fit fit) {
    if (fit == Fit::unknown) return false;  // what was told stands until something else is known
    const Fit before = std::exchange(told, fit);
    return bad(before) ? before != fit : bad(fit);
  };
  for (Endpoint* endpoint : tier.endpoints) {
    const Fit fit = endpoint->weighed_fit;
    if (!endpoint->available || !news(endpoint->told_fit, fit)) continue;
    const std::string who = endpoint->label + " (" + endpoint->address_text + ") is ";
    if (bad(fit)) {
      emit(Event::Kind::endpoint_unfit, pool, &tier, endpoint,
           who + std::string(name_of(fit)) + ": " + fit_reason(*endpoint, pool, now));
    } else {
      emit(Event::Kind::endpoint_fit, pool, &tier, endpoint, who + "fit again: what it is asked is answered well");
    }
  }
  if (!tier.count.serviceable() || !news(tier.told_fit, tier.fitness.fit)) return;
  const Tier& serving = pool.active();
  const std::string who = "tier " + quoted(tier.name) + " is ";
  if (!bad(tier.fitness.fit)) {
    return emit(Event::Kind::tier_fit, pool, &tier, nullptr, who + "fit to serve again");
  }
  std::string reason = who + fitness_reason(tier, pool, now);
  if (&tier == &serving) {
    reason += "; it serves; ";
  } else {
    reason += "; " + quoted(serving.name) + " serves; until this is mended a failover " +
              (pool.config.failover.require_fit ? "does not go there while anything is left of the serving tier; "
                                                : "goes there only when no fit tier can serve; ");
  }
  emit(Event::Kind::tier_unfit, pool, &tier, nullptr,
       std::move(reason) + describe_others(pool, static_cast<std::uint32_t>(&tier - pool.tiers.data())));
}

}  // namespace understudy::health
