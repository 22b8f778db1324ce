// From a configuration to pools, tiers and endpoints, at the start and at a reload: who stays, who comes, who
// goes.
#include <algorithm>
#include <utility>

#include "health/coordinator.hpp"
#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

// An endpoint's identity within its pool.
using Identity = std::pair<std::string, config::SocketAddress>;

bool same_check(const config::CheckConfig& a, const config::CheckConfig& b) {
  const auto same_range = [](const config::StatusRange& x, const config::StatusRange& y) {
    return x.low == y.low && x.high == y.high;
  };
  return a.kind == b.kind && a.path == b.path && a.host == b.host && a.body == b.body && a.port == b.port &&
         a.interval == b.interval && a.fast_interval == b.fast_interval && a.timeout == b.timeout && a.rise == b.rise &&
         a.fall == b.fall && a.start == b.start && a.start_wait == b.start_wait &&
         std::equal(a.expect.begin(), a.expect.end(), b.expect.begin(), b.expect.end(), same_range);
}

std::size_t configured_endpoints(const config::Config& config) {
  std::size_t count = 0;
  for (const config::PoolConfig& pool : config.pools) {
    for (const config::TierConfig& tier : pool.tiers) count += tier.endpoints.size();
  }
  return count;
}

}  // namespace

Pool::Pool(const config::PoolConfig& written, std::uint64_t epoch)
    : config(written), failover(written.tiers.size(), epoch) {}

// What the pool had before: endpoints that may be taken over, and addresses that names had.
struct Core::State::Retired {
  std::multimap<Identity, Endpoint*> endpoints;                        // the same address may be written twice
  std::map<std::string, Source> sources;                               // by label; without endpoints
  std::map<std::string, std::vector<config::SocketAddress>> resolved;  // by the name as written
};

void Core::configure(const config::Config& config, TimePoint now) {
  State& state = *state_;
  now = state.advance(now);
  // Timers and marks refer to pools by index; all are set anew below.
  state.pool_timers.clear();
  for (Pool* pool : std::exchange(state.touched, {})) pool->touched = false;

  std::vector<std::unique_ptr<Pool>> before = std::exchange(state.pools, {});
  const std::map<std::string, std::uint32_t, std::less<>> index_before = std::exchange(state.pool_index, {});
  // The pools that go first, so that nothing of them is seen any more.
  for (const auto& [name, index] : index_before) {
    const bool stays = std::any_of(config.pools.begin(), config.pools.end(),
                                   [&, &n = name](const config::PoolConfig& pool) { return pool.name == n; });
    if (stays) continue;
    for (Tier& tier : before[index]->tiers) {
      for (Endpoint* endpoint : tier.endpoints) {
        state.remove_endpoint(*before[index], *endpoint, "its pool is no longer configured");
      }
    }
    state.retired_epochs[name] = before[index]->failover.epoch();
    before[index].reset();
  }
  for (const config::PoolConfig& written : config.pools) {
    const auto old = index_before.find(written.name);
    const bool is_new = old == index_before.end() || !before[old->second];
    const auto retired = state.retired_epochs.find(written.name);
    const std::uint64_t epoch = retired == state.retired_epochs.end() ? first_epoch : retired->second + 1;
    auto pool = is_new ? std::make_unique<Pool>(written, epoch) : std::move(before[old->second]);
    pool->index = static_cast<std::uint32_t>(state.pools.size());
    state.pool_index[written.name] = pool->index;
    Pool& at_home = *state.pools.emplace_back(std::move(pool));
    state.rebuild(at_home, written, is_new, now);
  }

  const std::size_t total = configured_endpoints(config);
  for (const auto& endpoint : state.endpoints) {
    if (!endpoint) continue;
    Pool& pool = *state.pools[endpoint->pool];
    if (pool.checked() && !endpoint->probes.running() && endpoint->order.state != OperatorState::disabled) {
      const Duration spread = first_probe_spread(pool.config.check, total);
      const double share = state.random.fraction();
      state.begin_probing(*endpoint,
                          now + Duration(static_cast<Duration::rep>(static_cast<double>(spread.count()) * share)));
    }
    state.begin_fitness(*endpoint, now);
    state.refresh(*endpoint, now);
  }
  for (const auto& pool : state.pools) state.touch(*pool);
  state.configured = true;
  state.view_changed();
  state.settle(now);
}

void Core::State::rebuild(Pool& pool, const config::PoolConfig& written, bool is_new, TimePoint now) {
  Retired retired;
  std::vector<std::string> tiers_before;
  if (!is_new) {
    for (Tier& tier : pool.tiers) {
      tiers_before.push_back(tier.name);
      for (Source& source : tier.sources) {
        for (Endpoint* endpoint : source.endpoints) {
          retired.endpoints.emplace(Identity(source.label, endpoint->address), endpoint);
          if (!source.numeric) retired.resolved[source.text].push_back(endpoint->address);
        }
        retired.sources.emplace(source.label, source);
      }
    }
  }
  const bool checked_before = !is_new && pool.checked();
  const bool check_changed = !is_new && !same_check(pool.config.check, written.check);
  pool.config = written;
  rebuild_tiers(pool, written, retired, is_new, now);
  for (auto& [identity, endpoint] : retired.endpoints) {
    remove_endpoint(pool, *endpoint, "it is no longer configured");
  }
  rebuild_gates(pool);
  if (!pool.fitness || *pool.fitness != written.fitness) {
    pool.fitness = std::make_shared<const std::vector<config::FitnessConfig>>(written.fitness);
    pool.histories.assign(written.fitness.size(), DataHistory());
  }
  if (is_new) {
    pool.active_since = now;
    pool.active_reason = "the first tier serves from the start";
    return;
  }
  remap_failover(pool, tiers_before, now);
  for (Tier& tier : pool.tiers) {
    for (Endpoint* endpoint : tier.endpoints) {
      if (!written.passive.enabled && endpoint->ejector.until()) endpoint->ejector.readmit(now);
      if (endpoint->quarantined && !written.failover.quarantine)
        release(*endpoint, "quarantine is no longer configured", now);
      if (!check_changed) continue;
      // The verdict stays; what is asked from now on is another question, so begin anew.
      endpoint->probes.stop();
      endpoint->threshold.forget_streak();
      if (!pool.checked()) endpoint->threshold.assume(ActiveState::unknown);
      if (pool.checked() && !checked_before && endpoint->available) endpoint->threshold.assume(ActiveState::healthy);
    }
  }
}

void Core::State::rebuild_tiers(Pool& pool, const config::PoolConfig& written, Retired& retired, bool is_new,
                                TimePoint now) {
  std::vector<Tier> before = std::exchange(pool.tiers, {});
  pool.tiers.reserve(written.tiers.size());
  for (const config::TierConfig& tier_written : written.tiers) {
    const auto tier_index = static_cast<std::uint32_t>(pool.tiers.size());
    Tier& tier = pool.tiers.emplace_back();
    tier.name = tier_written.name;
    const auto old = std::find_if(before.begin(), before.end(), [&](const Tier& t) { return t.name == tier.name; });
    if (old != before.end()) {
      tier.told = old->told;
      tier.told_at = old->told_at;
      tier.panic = old->panic;
      tier.serviceable = old->serviceable;
      tier.usable_key = std::move(old->usable_key);
      tier.membership = old->membership;
      tier.watch = old->watch;
      tier.told_degraded = old->told_degraded;
      tier.failed = old->failed;
      tier.failed_at = old->failed_at;
      tier.doubtful = old->doubtful;
      tier.shedder = old->shedder;
      tier.shedding_since = old->shedding_since;
      tier.told_fit = old->told_fit;
    }
    tier.sources.reserve(tier_written.endpoints.size());
    for (const config::EndpointConfig& endpoint_written : tier_written.endpoints) {
      Source& source = tier.sources.emplace_back();
      source.label = endpoint_written.label();
      source.text = endpoint_written.address.text;
      source.server_name = endpoint_written.address.host;
      source.weight = endpoint_written.weight;
      source.added_at = now;
      if (const auto known = retired.sources.find(source.label); known != retired.sources.end()) {
        source.added_at = known->second.added_at;
        source.order = known->second.order;
      }
      std::vector<config::SocketAddress> addresses;
      if (const auto numeric = endpoint_written.address.numeric()) {
        source.numeric = true;
        addresses.push_back(*numeric);
      } else if (const auto names = retired.resolved.find(source.text); names != retired.resolved.end()) {
        addresses = names->second;
      }
      for (const config::SocketAddress& address : addresses) {
        const auto known = retired.endpoints.find(Identity(source.label, address));
        if (known == retired.endpoints.end()) {
          add_endpoint(pool, tier_index, source, address, !is_new, now);
          continue;
        }
        Endpoint& kept = *known->second;
        retired.endpoints.erase(known);
        kept.pool = pool.index;
        kept.tier = tier_index;
        kept.server_name = source.server_name;
        kept.configured_weight = source.weight;
        if (!asks_agents(pool)) kept.agent.forget();
        if (pool.config.failover.mirror == 0) kept.mirror.reset();
        source.endpoints.push_back(&kept);
      }
    }
    list_endpoints(tier);
  }
}

// A gate that is asked the same thing keeps its answer.
void Core::State::rebuild_gates(Pool& pool) {
  const auto same = [](const config::GateConfig& a, const config::GateConfig& b) {
    return a.kind == b.kind && a.name == b.name && a.url == b.url && a.expect == b.expect && a.command == b.command;
  };
  std::vector<Gate> before = std::exchange(pool.gates, {});
  for (const config::GateConfig& written : pool.config.failover.gates) {
    const auto old =
        std::find_if(before.begin(), before.end(), [&](const Gate& gate) { return same(gate.config, written); });
    Gate& gate = pool.gates.emplace_back();
    if (old != before.end()) gate = std::move(*old);
    gate.config = written;
  }
}

void Core::State::remap_failover(Pool& pool, const std::vector<std::string>& before, TimePoint now) {
  std::vector<std::optional<std::uint32_t>> now_at(before.size());
  for (std::size_t old = 0; old < before.size(); ++old) {
    for (std::uint32_t i = 0; i < pool.tiers.size(); ++i) {
      if (pool.tiers[i].name == before[old]) now_at[old] = i;
    }
  }
  const std::string& gone = before[pool.failover.active()];
  const std::uint32_t index_before = pool.failover.active();
  // What was being judged or moved in steps refers to tiers by index.
  const auto now_index = [&](std::uint32_t tier) { return tier < now_at.size() ? now_at[tier] : std::nullopt; };
  if (pool.verification) {
    const auto from_tier = now_index(pool.verification->from);
    if (from_tier)
      pool.verification->from = *from_tier;
    else
      pool.verification.reset();
  }
  if (pool.ramp) {
    const auto from_tier = now_index(pool.ramp->from);
    if (from_tier)
      pool.ramp->from = *from_tier;
    else
      pool.ramp.reset();
  }
  if (pool.openings_to) pool.openings_to = now_index(*pool.openings_to);
  pool.side.reset();
  pool.spill.clear();
  if (!pool.verification && !pool.ramp) pool.failover.settled();
  if (pool.failover.remap(now_at, pool.tiers.size())) {
    if (pool.failover.active() != index_before) pool.hold_told.reset();
    return;
  }
  pool.active_since = now;
  pool.active_reason = "tier " + quoted(gone) + ", which served, is no longer configured";
  pool.hold_told.reset();
  ++pool.failovers;
  emit(Event::Kind::failover, pool, &pool.active(), nullptr,
       "traffic of pool " + quoted(pool.config.name) + " moved to " + quoted(pool.active().name) + ": " +
           pool.active_reason + "; the first tier takes over");
}

Endpoint& Core::State::add_endpoint(Pool& pool, std::uint32_t tier, Source& source,
                                    const config::SocketAddress& address, bool newcomer, TimePoint now) {
  const EndpointId id = slots.take();
  if (endpoints.size() < slots.size()) endpoints.resize(slots.size());
  endpoints[id.slot] = std::make_unique<Endpoint>();
  Endpoint& endpoint = *endpoints[id.slot];
  endpoint.id = id;
  endpoint.pool = pool.index;
  endpoint.tier = tier;
  endpoint.label = source.label;
  endpoint.address = address;
  endpoint.address_text = address.to_string();
  endpoint.server_name = source.server_name;
  endpoint.configured_weight = source.weight;
  endpoint.weight = source.weight;
  endpoint.added_at = now;
  endpoint.since = now;
  endpoint.verdict_since = now;
  endpoint.newcomer = newcomer;
  // Draining and disabled were said of the name, so they hold for what it means now. Held means "as it was",
  // and a new address never was anything.
  const bool inherits = source.order.state == OperatorState::draining || source.order.state == OperatorState::disabled;
  if (inherits && (!source.order.until || *source.order.until > now)) endpoint.order = source.order;
  source.endpoints.push_back(&endpoint);
  claim(endpoint, now);
  if (newcomer) {
    emit(Event::Kind::endpoint_added, pool, &pool.tiers[tier], &endpoint,
         endpoint.label + " (" + endpoint.address_text + ") was added to tier " + quoted(pool.tiers[tier].name) +
             (source.numeric ? ": it is newly configured" : ": the name has this address now"));
  }
  return endpoint;
}

void Core::State::remove_endpoint(Pool& pool, Endpoint& endpoint, const std::string& reason) {
  Event event;
  event.kind = Event::Kind::endpoint_removed;
  event.at = last_now;
  event.pool = pool.config.name;
  event.endpoint = endpoint.label;
  event.epoch = pool.failover.epoch();
  event.reason = endpoint.label + " (" + endpoint.address_text + ") was removed: " + reason;
  emit(std::move(event));
  const EndpointId id = endpoint.id;
  endpoint_timers.set(id.slot, std::nullopt);
  slots.release(id, newest->version + 1);
  view_changed();
  endpoints[id.slot].reset();
}

void Core::State::list_endpoints(Tier& tier) {
  tier.endpoints.clear();
  for (const Source& source : tier.sources) {
    tier.endpoints.insert(tier.endpoints.end(), source.endpoints.begin(), source.endpoints.end());
  }
}

void Core::State::resolved(const Resolution& resolution, TimePoint now) {
  if (resolution.pool >= pools.size() || resolution.addresses.empty()) return;
  Pool& pool = *pools[resolution.pool];
  if (resolution.tier >= pool.tiers.size()) return;
  Tier& tier = pool.tiers[resolution.tier];
  if (resolution.endpoint >= tier.sources.size()) return;
  Source& source = tier.sources[resolution.endpoint];
  if (source.numeric) return;

  std::vector<config::SocketAddress> wanted = resolution.addresses;
  // Servers rotate their answers; sorted, the same set of addresses is the same tier.
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  std::vector<Endpoint*> had = std::exchange(source.endpoints, {});
  const bool first_answer = had.empty();
  bool changed = false;
  for (const config::SocketAddress& address : wanted) {
    const auto known = std::find_if(had.begin(), had.end(), [&](const Endpoint* e) { return e->address == address; });
    if (known != had.end()) {
      source.endpoints.push_back(*known);
      had.erase(known);
      continue;
    }
    Endpoint& endpoint = add_endpoint(pool, resolution.tier, source, address, true, now);
    endpoint.newcomer = !first_answer;
    begin_probing(endpoint, now);
    changed = true;
  }
  for (Endpoint* endpoint : had) {
    remove_endpoint(pool, *endpoint, "the name no longer has this address");
    changed = true;
  }
  if (!changed) return;
  list_endpoints(tier);
  for (Endpoint* endpoint : source.endpoints) refresh(*endpoint, now);
  view_changed();
  touch(pool);
}

}  // namespace understudy::health
