#include "health/rehearsal/world.hpp"

#include <algorithm>
#include <utility>

namespace understudy::health {
namespace {

constexpr Duration sample_time = std::chrono::milliseconds(100);
constexpr Duration gate_time = std::chrono::milliseconds(50);
constexpr Duration connect_time = std::chrono::microseconds(200);

// The scenario's pool alone, so that nothing else is probed or told.
config::Config only_pool(config::Config config, const std::string& name) {
  if (name.empty()) return config;
  std::erase_if(config.pools, [&](const config::PoolConfig& pool) { return pool.name != name; });
  return config;
}

}  // namespace

RehearsalWorld::RehearsalWorld(const config::Config& config, const config::Scenario& scenario, std::uint64_t seed)
    : scenario_(scenario),
      config_(only_pool(config, scenario.pool)),
      end_(begin_ + scenario.length),
      script_(scenario, begin_),
      core_(seed),
      random_(seed ^ 0x5ca1ab1eU) {
  core_.configure(config_, now_);
  push(now_ + sample_time, Kind::sample);
  if (scenario_.load.rate > 0) push(now_, Kind::request);
  for (std::size_t i = 0; i < scenario_.faults.size(); ++i) {
    if (scenario_.faults[i].kind == config::FaultKind::starve) push(begin_ + scenario_.faults[i].at, Kind::starve, i);
  }
  for (std::size_t i = 0; i < scenario_.acts.size(); ++i) push(begin_ + scenario_.acts[i].at, Kind::act, i);
  drain();
}

void RehearsalWorld::push(TimePoint at, Kind kind, std::uint64_t id, std::uint32_t attempt) {
  queue_.push({at, ++order_, kind, id, attempt});
}

void RehearsalWorld::run() {
  while (true) {
    const std::optional<TimePoint> core_due = core_.next_timeout();
    const bool core_first = core_due && (queue_.empty() || *core_due <= queue_.top().at);
    if (!core_first && queue_.empty()) break;
    const TimePoint next = core_first ? *core_due : queue_.top().at;
    if (next > end_) break;
    now_ = std::max(now_, next);
    if (core_first) {
      core_.on_time(now_);
    } else {
      const Item item = queue_.top();
      queue_.pop();
      handle(item);
    }
    drain();
  }
  now_ = end_;
  // Who still waits when the time is over was not served.
  for (std::uint64_t id = 0; id < requests_.size(); ++id) {
    if (requests_[id].open && now_ - requests_[id].came > scenario_.expect.slow_after) done(id, false);
  }
}

void RehearsalWorld::handle(const Item& item) {
  switch (item.kind) {
    case Kind::request: return arrive();
    case Kind::answer:
    case Kind::deadline: {
      const Request& request = requests_[item.id];
      if (!request.open || request.attempt != item.attempt) return;
      return end_attempt(item.id, item.kind == Kind::deadline ? Cause::http_timeout : request.coming, true);
    }
    case Kind::hedge:
      if (requests_[item.id].open && requests_[item.id].attempt == item.attempt) hedge(item.id);
      return;
    case Kind::ask:
      if (!requests_[item.id].open || requests_[item.id].attempt != item.attempt) return;
      requests_[item.id].asks = false;
      if (requests_[item.id].waits_since) pick(item.id);
      return;
    case Kind::probe: return probe_ends(item.id);
    case Kind::synthetic: {
      const auto found = synthetics_.find(item.id);
      if (found == synthetics_.end()) return;
      const SyntheticRun run = std::move(found->second);
      synthetics_.erase(found);
      return core_.on_synthetic_result(run.endpoint, run.run, run.result, now_);
    }
    case Kind::sample: give_samples(false); return push(now_ + sample_time, Kind::sample);
    case Kind::urgent: return give_samples(true);
    case Kind::gate: {
      const RunGate gate = gates_.at(item.id);
      gates_.erase(item.id);
      return core_.on_gate_result({gate.pool, gate.gate.name, gate.run, true, "the rehearsal says yes"}, now_);
    }
    case Kind::starve: return starve(scenario_.faults[item.id]);
    case Kind::act: return act(scenario_.acts[item.id]);
  }
}

void RehearsalWorld::drain() {
  bool more = true;
  while (more) {
    more = false;
    while (auto action = core_.poll_action()) {
      more = true;
      if (const auto* probe = std::get_if<StartProbe>(&*action)) {
        const std::uint64_t id = ++last_probe_;
        const config::PoolConfig& pool = config_.pools[probe->pool];
        ProbeRun run{probe->endpoint, now_, probe->deadline, pool.tiers[probe->tier].name,
                     label_of(probe->endpoint, probe->pool, probe->tier, probe->address)};
        const Behaviour is = script_.at(run.tier, run.label, now_);
        const bool silent = is.connect == Behaviour::Connect::silent || !is.probe_latency;
        const TimePoint due =
            silent ? probe->deadline : std::min(now_ + *is.probe_latency + connect_time, probe->deadline);
        probes_.emplace(id, std::move(run));
        push(due, Kind::probe, id);
      } else if (const auto* proposal = std::get_if<Proposal>(&*action)) {
        coordinator_.propose(*proposal);
      } else if (const auto* event = std::get_if<Event>(&*action)) {
        if (event->kind == Event::Kind::failover || event->kind == Event::Kind::failback) {
          ++totals_.moves;
          serving_.emplace_back(now_, event->tier);
        }
        events_.push_back({now_, *event});
      } else if (const auto* gate = std::get_if<RunGate>(&*action)) {
        gates_.emplace(++last_gate_, *gate);
        push(now_ + gate_time, Kind::gate, last_gate_);
      } else if (const auto* synthetic = std::get_if<StartSynthetic>(&*action)) {
        begin_synthetic(*synthetic);
      } else {
        refresh_view();
      }
    }
    while (auto answer = coordinator_.poll_answer()) {
      more = true;
      if (const auto* decision = std::get_if<Decision>(&*answer)) {
        core_.on_committed(*decision, now_);
      } else {
        const auto& refusal = std::get<Refusal>(*answer);
        core_.on_refused(refusal.proposal, refusal.why, now_);
      }
    }
  }
}

void RehearsalWorld::refresh_view() {
  view_ = core_.view();
  core_.on_view_acknowledged(view_->version);
  if (watch_.view) watch_.view(*view_, now_);
  std::vector<EndpointId> fell;
  for (const PoolView& pool : view_->pools) {
    for (const TierView& tier : pool.tiers) {
      for (const EndpointView& endpoint : tier.endpoints) {
        Target& target = targets_[endpoint.id];
        target.tier = tier.name;
        target.label = endpoint.label;
        target.load = endpoint.load;
        target.sample.endpoint = endpoint.id;
        target.overdue_after = endpoint.overdue_after;
        if (std::exchange(target.unhealthy, endpoint.unhealthy) != endpoint.unhealthy && endpoint.unhealthy)
          fell.push_back(endpoint.id);
      }
    }
  }
  for (const EndpointId id : fell) lost(id);
  for (const std::uint64_t id : std::exchange(waiting_, std::set<std::uint64_t>{})) {
    if (requests_[id].open && requests_[id].waits_since) pick(id);
  }
}

std::string RehearsalWorld::serving_at(TimePoint at) const {
  std::string tier = config_.pools.front().tiers.front().name;
  for (const auto& [when, name] : serving_) {
    if (when <= at) tier = name;
  }
  return tier;
}

// ---- probes, synthetic requests, gates, faults of our own, operators

std::string RehearsalWorld::label_of(EndpointId id, std::uint32_t pool, std::uint32_t tier,
                                     const config::SocketAddress& address) const {
  if (const auto target = targets_.find(id); target != targets_.end()) return target->second.label;
  for (const auto& endpoint : config_.pools[pool].tiers[tier].endpoints) {
    const auto numeric = endpoint.address.numeric();
    if (numeric && *numeric == address) return endpoint.label();
  }
  return {};
}

void RehearsalWorld::begin_synthetic(const StartSynthetic& start) {
  const std::string& tier = config_.pools[start.pool].tiers[start.tier].name;
  const Behaviour is = script_.at(tier, label_of(start.endpoint, start.pool, start.tier, start.address), now_);
  TimePoint due = start.deadline;
  SyntheticRun run{start.endpoint, start.run, {}};
  if (is.connect == Behaviour::Connect::refuses) {
    run.result.cause = Cause::tcp_refused;
    due = now_ + connect_time;
  } else if (is.connect == Behaviour::Connect::silent) {
    run.result.cause = Cause::tcp_timeout;
  } else if (!is.latency || now_ + *is.latency + connect_time > start.deadline) {
    run.result.cause = Cause::http_timeout;
  } else {
    due = now_ + *is.latency + connect_time;
    run.result.status = 200;
    if (is.error_share > 0 && random_.fraction() < is.error_share) {
      run.result.cause = Cause::http_status;
      run.result.status = is.error_status;
      run.result.detail = "answered " + std::to_string(is.error_status);
    }
  }
  run.result.elapsed = due - now_;
  synthetics_.emplace(start.run, std::move(run));
  push(due, Kind::synthetic, start.run);
}

void RehearsalWorld::probe_ends(std::uint64_t id) {
  const auto found = probes_.find(id);
  if (found == probes_.end()) return;
  const ProbeRun run = std::move(found->second);
  probes_.erase(found);
  const Behaviour is = script_.at(run.tier, run.label, run.started);
  ProbeResult result;
  result.elapsed = now_ - run.started;
  if (is.connect == Behaviour::Connect::silent) {
    result.cause = Cause::tcp_timeout;
  } else if (is.connect == Behaviour::Connect::refuses) {
    result.cause = Cause::tcp_refused;
  } else if (!is.probe_latency || now_ >= run.deadline) {
    result.cause = Cause::http_timeout;
  } else if (!is.probe_ok) {
    result.cause = Cause::http_status;
    result.status = 503;
  } else {
    result.status = 200;
  }
  core_.on_probe_result(run.endpoint, result, now_);
}

void RehearsalWorld::starve(const config::ScenarioFault& fault) {
  const TimePoint from = now_;
  now_ = fault.until ? begin_ + *fault.until : now_ + std::chrono::seconds(1);
  probes_.clear();  // the prober gives up what was under way
  synthetics_.clear();
  core_.on_starved(from, now_);
}

void RehearsalWorld::act(const config::ScenarioAct& act) {
  const std::string& pool = config_.pools.front().name;
  const std::string why = "by the scenario";
  CommandResult result;
  switch (act.act) {
    case config::ActKind::failover:
      result = core_.on_command(
          MoveTier{pool, act.to.empty() ? std::nullopt : std::optional<std::string>(act.to), why, {}, {}}, now_);
      break;
    case config::ActKind::failback: result = core_.on_command(Failback{pool, why, {}}, now_); break;
    case config::ActKind::hold: result = core_.on_command(HoldPool{pool, true, {}, why, {}}, now_); break;
    case config::ActKind::release: result = core_.on_command(HoldPool{pool, false, {}, why, {}}, now_); break;
    case config::ActKind::approve: result = core_.on_command(Approve{pool, act.to, "the scenario", why}, now_); break;
    // An upgrade hands the state on: to the core it is what a reload of the same configuration is.
    case config::ActKind::upgrade:
    case config::ActKind::reload: core_.configure(config_, now_); break;
  }
  if (result.ok) return;
  Event refused;
  refused.kind = Event::Kind::proposal_refused;
  refused.pool = pool;
  refused.reason = "the operator's order was refused: " + result.error;
  events_.push_back({now_, std::move(refused)});
}

}  // namespace understudy::health
