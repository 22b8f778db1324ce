#include "health/core.hpp"

#include <algorithm>
#include <utility>

#include "health/coordinator.hpp"
#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

// For half the time that the process was starved, the workers work off what piled up meanwhile, and servers are slow under
// that burst.
constexpr Duration least_backlog = std::chrono::milliseconds(250);
constexpr Duration longest_backlog = std::chrono::seconds(3);

}  // namespace

// ---- parts that every file of the core uses

TimePoint Core::State::advance(TimePoint now) {
  last_now = std::max(last_now, now);
  return last_now;
}

Endpoint* Core::State::find(EndpointId id) const { return slots.alive(id) ? endpoints[id.slot].get() : nullptr; }

Pool* Core::State::find_pool(std::string_view name) const {
  const auto at = pool_index.find(name);
  return at == pool_index.end() ? nullptr : pools[at->second].get();
}

void Core::State::emit(Event::Kind kind, const Pool& pool, const Tier* tier, const Endpoint* endpoint,
                       std::string reason, Cause cause, std::optional<TimePoint> since) {
  Event event;
  event.kind = kind;
  event.at = last_now;
  event.pool = pool.config.name;
  if (tier != nullptr) event.tier = tier->name;
  if (endpoint != nullptr) event.endpoint = endpoint->label;
  event.epoch = pool.failover.epoch();
  event.reason = std::move(reason);
  event.cause = cause;
  event.cause_class = class_of(cause);
  event.since = since.value_or(last_now);
  actions.emplace_back(std::move(event));
}

void Core::State::touch(Pool& pool) {
  if (std::exchange(pool.touched, true)) return;
  touched.push_back(&pool);
}

TimePoint later(TimePoint now, Duration left) {
  if (left <= Duration::zero()) return now;
  return left >= TimePoint::max() - now ? TimePoint::max() : now + left;
}

// ---- the public object

Core::Core(std::uint64_t seed) : state_(std::make_unique<State>(seed)) {}
Core::~Core() = default;

void Core::on_resolved(const Resolution& resolution, TimePoint now) {
  now = state_->advance(now);
  state_->resolved(resolution, now);
  state_->settle(now);
}

void Core::on_probe_result(EndpointId id, const ProbeResult& result, TimePoint now) {
  now = state_->advance(now);
  Endpoint* endpoint = state_->find(id);
  if (endpoint == nullptr) return;  // removed meanwhile
  state_->probed(*endpoint, result, now);
  if (endpoint->asked_after_drill) state_->drill_probed(*endpoint, result, now);
  state_->settle(now);
}

void Core::on_agent_answer(EndpointId id, const AgentAnswer& answer, TimePoint now) {
  now = state_->advance(now);
  Endpoint* endpoint = state_->find(id);
  if (endpoint == nullptr) return;  // removed meanwhile
  state_->agent_answered(*endpoint, answer, now);
  state_->settle(now);
}

void Core::on_mirrored(EndpointId id, const Mirrored& ours, const ProbeResult& theirs, TimePoint now) {
  now = state_->advance(now);
  Endpoint* endpoint = state_->find(id);
  if (endpoint == nullptr) return;  // removed meanwhile
  state_->mirrored(*endpoint, ours, theirs, now);
  state_->settle(now);
}

void Core::on_synthetic_result(EndpointId id, std::uint64_t run, const ProbeResult& result, TimePoint now) {
  now = state_->advance(now);
  Endpoint* endpoint = state_->find(id);
  if (endpoint == nullptr) return;  // removed meanwhile
  state_->synthetic_answered(*endpoint, run, result, now);
  state_->settle(now);
}

void Core::on_traffic(std::span<const TrafficSample> samples, TimePoint now) {
  now = state_->advance(now);
  for (const TrafficSample& sample : samples) {
    if (Endpoint* endpoint = state_->find(sample.endpoint)) state_->sampled(*endpoint, sample, now);
  }
  state_->settle(now);
}

void Core::on_arrivals(std::span<const ArrivalSample> samples, TimePoint now) {
  now = state_->advance(now);
  for (const ArrivalSample& sample : samples) {
    if (sample.pool < state_->pools.size()) state_->arrived(*state_->pools[sample.pool], sample, now);
  }
  state_->settle(now);
}

void Core::on_starved(TimePoint from, TimePoint to) {
  if (to <= from) return;
  State& state = *state_;
  to = state.advance(to);
  state.starved_until = to;
  state.evidence_from = to + std::clamp<Duration>((to - from) / 2, least_backlog, longest_backlog);
  Event event;
  event.kind = Event::Kind::starved;
  event.at = to;
  event.reason = "this process did not run as it should for " + describe(to - from) +
                 ": nothing seen in that time counts as evidence, probes under way are repeated";
  state.emit(std::move(event));
  for (const auto& pool : state.pools) {
    pool->failover.skip(to - from);
    if (pool->verification) {
      pool->verification->began += to - from;
      pool->verification->bad.skip(to - from);
    }
    for (Tier& tier : pool->tiers) {
      tier.watch.skip(to - from);
      tier.shedder.skip(to - from);
      for (Source& source : tier.sources) {
        if (source.endpoints.empty()) source.added_at += to - from;
      }
    }
    state.touch(*pool);
  }
  for (const auto& endpoint : state.endpoints) {
    if (endpoint) state.forgive_starved(*endpoint, from, to);
  }
  state.settle(to);
}

void Core::on_drill(const DrillFaults& faults, TimePoint now) {
  now = state_->advance(now);
  state_->drill_seen(faults, now);
  state_->settle(now);
}

void Core::on_drill_over(const std::string& name, bool cut, TimePoint now) {
  now = state_->advance(now);
  if (Pool* const pool = state_->find_pool(name)) state_->drill_over(*pool, cut, now);
  state_->settle(now);
}

CommandResult Core::on_command(const Command& command, TimePoint now) {
  now = state_->advance(now);
  CommandResult result = std::visit([&](const auto& c) { return state_->execute(c, now); }, command);
  state_->settle(now);
  return result;
}

void Core::on_gate_result(const GateResult& result, TimePoint now) {
  now = state_->advance(now);
  state_->gate_answered(result, now);
  state_->settle(now);
}

void Core::on_committed(const Decision& decision, TimePoint now) {
  State& state = *state_;
  now = state.advance(now);
  Pool* pool = state.find_pool(decision.pool);
  const auto odd = [&](const std::string& what) {
    Event event;
    event.kind = Event::Kind::proposal_refused;
    event.at = now;
    event.pool = decision.pool;
    event.epoch = decision.epoch;
    event.reason =
        "the coordinator's decision of epoch " + std::to_string(decision.epoch) + " is not followed: " + what;
    state.emit(std::move(event));
  };
  if (pool == nullptr) return odd("there is no pool " + quoted(decision.pool));
  const bool pinned = pool->failover.moved_by_operator();
  const Failover::Committed committed = pool->failover.commit(decision, now);
  switch (committed.kind) {
    case Failover::Committed::Kind::stale: return;  // a duplicate or one that arrives late
    case Failover::Committed::Kind::unknown_tier:
      odd("pool " + quoted(decision.pool) + " has no tier " + std::to_string(decision.tier));
      break;
    case Failover::Committed::Kind::confirmed: state.view_changed(); break;
    case Failover::Committed::Kind::moved: {
      const bool back = pool->failover.active() < committed.from;
      const std::string& from = pool->tiers[committed.from].name;
      Tier& tier = pool->active();
      const std::string why =
          committed.answered ? committed.answered->reason : "decided by the coordinator, not proposed by this process";
      ++(back ? pool->failbacks : pool->failovers);
      pool->active_since = now;
      pool->active_reason = why;
      pool->hold_told.reset();
      const bool by_operator = committed.answered && committed.answered->by_operator;
      const auto until = by_operator ? pool->moved_until : std::exchange(pool->moved_until, std::nullopt);
      state.moved(*pool, committed.from, by_operator, committed.drill_over, now);
      state.drill_moved(*pool, committed.from, by_operator, pinned, until, now);
      for (Endpoint* endpoint : tier.endpoints) state.arm(*endpoint, now);  // what they have to show has a time now
      state.emit(back ? Event::Kind::failback : Event::Kind::failover, *pool, &tier, nullptr,
                 "traffic of pool " + quoted(pool->config.name) + " moved from " + quoted(from) + " to " +
                     quoted(tier.name) + ": " + why);
      state.view_changed();
      break;
    }
  }
  state.touch(*pool);
  state.settle(now);
}

void Core::on_refused(const Proposal& proposal, const std::string& why, TimePoint now) {
  State& state = *state_;
  now = state.advance(now);
  Pool* pool = state.find_pool(proposal.pool);
  if (pool == nullptr) return;
  const Failover::Outcome outcome = pool->failover.refused(proposal, now);
  state.tell_unanswered(*pool, proposal, outcome,
                        "the coordinator refused it: " + (why.empty() ? "without a reason" : why));
  state.settle(now);
}

void Core::on_proposal_timeout(const Proposal& proposal, TimePoint now) {
  State& state = *state_;
  now = state.advance(now);
  Pool* pool = state.find_pool(proposal.pool);
  if (pool == nullptr) return;
  const Failover::Outcome outcome = pool->failover.timed_out(proposal, now);
  state.tell_unanswered(*pool, proposal, outcome, "the coordinator did not answer in time");
  state.settle(now);
}

void Core::on_time(TimePoint now) {
  State& state = *state_;
  now = state.advance(now);
  while (const auto slot = state.endpoint_timers.pop_due(now)) {
    if (Endpoint* endpoint = state.endpoints[*slot].get()) state.endpoint_due(*endpoint, now);
  }
  while (const auto index = state.pool_timers.pop_due(now)) state.pool_due(*state.pools[*index], now);
  state.settle(now);
}

std::optional<TimePoint> Core::next_timeout() const {
  const auto endpoint = state_->endpoint_timers.next();
  const auto pool = state_->pool_timers.next();
  if (!endpoint) return pool;
  return pool ? std::min(*endpoint, *pool) : *endpoint;
}

std::optional<Action> Core::poll_action() {
  if (state_->actions.empty()) return std::nullopt;
  Action action = std::move(state_->actions.front());
  state_->actions.pop_front();
  return action;
}

void Core::on_view_acknowledged(std::uint64_t version) { state_->slots.acknowledged(version); }

}  // namespace understudy::health
