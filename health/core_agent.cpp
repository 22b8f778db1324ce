// What an agent says of an endpoint's load, and what copies of real requests prove of a standby.
#include <utility>

#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {

bool asks_agents(const Pool& pool) {
  return pool.config.check.agent_port != 0 || !pool.config.check.agent_header.empty();
}

bool eased(const Endpoint& endpoint) {
  return endpoint.order.state == OperatorState::enabled && endpoint.agent.leaves_in_peace();
}

OperatorState state_in_force(const Endpoint& endpoint) {
  return eased(endpoint) ? OperatorState::draining : endpoint.order.state;
}

void Core::State::agent_answered(Endpoint& endpoint, const AgentAnswer& answer, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  if (!asks_agents(pool)) return;  // asked before a reload: nobody would ever take back what it says
  const Agent before = endpoint.agent;
  const bool news = answer.ok ? endpoint.agent.take(answer.text, now) : endpoint.agent.miss(answer.text);
  if (!news) return;
  const Agent& agent = endpoint.agent;
  const Tier& tier = pool.tiers[endpoint.tier];
  const std::string because = agent.reason().empty() ? "" : " (" + agent.reason() + ")";
  if (agent.state() != before.state() || agent.takes_new() != before.takes_new()) {
    std::string text = name_and_address(endpoint) + ": its agent says " + std::string(name_of(agent.state()));
    if (agent.share() < 1) text += ", " + describe_share(agent.share()) + " of its weight";
    emit(Event::Kind::agent, pool, &tier, &endpoint,
         text + because + (agent.takes_new() ? "; it takes requests again" : "; it gets no new requests"));
  }
  if (!agent.complaint().empty() && agent.complaint() != before.complaint()) {
    emit(
        Event::Kind::agent, pool, &tier, &endpoint,
        name_and_address(endpoint) + ": its agent is of no use: " + agent.complaint() + "; what it said before stands");
  }
  refresh(endpoint, now);
}

void Core::State::mirrored(Endpoint& endpoint, const Mirrored& ours, const ProbeResult& theirs, TimePoint now) {
  const Pool& pool = *pools[endpoint.pool];
  if (pool.config.failover.mirror == 0) return;  // copied before a reload
  if (endpoint.tier == pool.failover.active() || (starved_until && now <= *starved_until)) return;
  if (!endpoint.mirror) endpoint.mirror.emplace();
  endpoint.mirror->add(ours, theirs, pool.config.degraded, now);
  fitness_seen(endpoint, now);
}

bool proves_fitness(const Pool& pool) { return !pool.config.fitness.empty() || pool.config.failover.mirror > 0; }

// A copy that is answered badly outweighs every synthetic request that is answered well.
Fit fit_of(const Endpoint& endpoint, const Pool& pool, TimePoint now) {
  const bool counts = endpoint.mirror && endpoint.tier != pool.failover.active();
  const Fit copied = counts ? endpoint.mirror->verdict(now) : Fit::unknown;
  if (pool.config.fitness.empty()) return copied;
  return copied == Fit::unfit ? Fit::unfit : endpoint.fitness.verdict(now);
}

std::string fit_reason(const Endpoint& endpoint, const Pool& pool, TimePoint now) {
  std::string reason = endpoint.fitness.reason(now);
  const bool counts = endpoint.mirror && endpoint.tier != pool.failover.active();
  if (counts && endpoint.mirror->verdict(now) == Fit::unfit)
    reason += (reason.empty() ? "" : "; ") + endpoint.mirror->describe();
  return reason;
}

}  // namespace understudy::health
