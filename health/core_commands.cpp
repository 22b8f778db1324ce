// Operator commands: checked whole before anything changes; a refused one changes nothing and says what would
// be right.
#include <algorithm>
#include <set>
#include <utility>

#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

constexpr std::size_t listed_names = 12;

CommandResult refuse(std::string error) { return {false, std::move(error)}; }

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < listed_names; ++i) text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > listed_names) text += " and " + std::to_string(names.size() - listed_names) + " more";
  return text;
}

std::string tier_names(const Pool& pool) {
  std::vector<std::string> names;
  for (const Tier& tier : pool.tiers) names.push_back(tier.name);
  return list(names);
}

std::optional<std::string> bad_expiry(const std::optional<TimePoint>& expires, TimePoint now) {
  if (expires && *expires <= now) return "the time given is over already; give a duration above zero";
  return std::nullopt;
}

std::string for_how_long(const std::optional<TimePoint>& expires, TimePoint now) {
  return expires ? " for " + describe(*expires - now) : " until the operator ends it";
}

std::string with_reason(const std::string& reason) { return reason.empty() ? reason : ": " + reason; }

// What the caller saw is not what is: somebody else decided meanwhile.
std::optional<std::string> stale_epoch(const Pool& pool, const std::optional<std::uint64_t>& expected) {
  if (!expected || *expected == pool.failover.epoch()) return std::nullopt;
  return "the order rests on epoch " + std::to_string(*expected) + ", but pool " + quoted(pool.config.name) +
         " is at epoch " + std::to_string(pool.failover.epoch()) + ", served by tier " +
         quoted(pool.tiers[pool.failover.active()].name) + "; look again and repeat it";
}

// An endpoint, or all addresses of a label, that a command means.
struct Meant {
  Pool* pool = nullptr;
  Source* source = nullptr;  // set when the label was named: later addresses of it follow
  std::vector<Endpoint*> endpoints;
};

std::vector<Meant> find_meant(Pool& pool, const std::string& name) {
  std::vector<Meant> found;
  for (Tier& tier : pool.tiers) {
    for (Source& source : tier.sources) {
      if (source.label == name || source.text == name) {
        found.push_back({&pool, &source, source.endpoints});
        continue;
      }
      for (Endpoint* endpoint : source.endpoints) {
        if (endpoint->address_text == name) found.push_back({&pool, nullptr, {endpoint}});
      }
    }
  }
  return found;
}

}  // namespace

Pool* Core::State::named_pool(const std::string& name, CommandResult& result) const {
  Pool* pool = find_pool(name);
  if (pool != nullptr) return pool;
  std::vector<std::string> names;
  for (const auto& known : pools) names.push_back(known->config.name);
  result = refuse("no pool " + quoted(name) + (names.empty() ? "; there are no pools" : "; pools: " + list(names)));
  return nullptr;
}

CommandResult Core::State::execute(const SetEndpointState& command, TimePoint now) {
  CommandResult result;
  if (auto wrong = bad_expiry(command.expires, now)) return refuse(std::move(*wrong));
  if (command.state == OperatorState::enabled && command.expires) {
    return refuse("'enabled' is the normal state and cannot expire; leave the duration out");
  }
  std::vector<Meant> meant;
  std::vector<std::string> labels;
  std::vector<Pool*> searched;
  if (command.pool.empty()) {
    for (const auto& pool : pools) searched.push_back(pool.get());
  } else {
    Pool* pool = named_pool(command.pool, result);
    if (pool == nullptr) return result;
    searched.push_back(pool);
  }
  for (Pool* pool : searched) {
    for (Meant& one : find_meant(*pool, command.endpoint)) meant.push_back(std::move(one));
    for (const Tier& tier : pool->tiers) {
      for (const Source& source : tier.sources) labels.push_back(source.label);
    }
  }
  if (meant.empty()) {
    const std::string where = command.pool.empty() ? "in any pool" : "in pool " + quoted(command.pool);
    return refuse("no endpoint " + quoted(command.endpoint) + " " + where + "; endpoints: " + list(labels));
  }
  std::set<std::string> in_pools;
  for (const Meant& one : meant) in_pools.insert(one.pool->config.name);
  if (in_pools.size() > 1) {
    return refuse("endpoint " + quoted(command.endpoint) + " is in several pools (" +
                  list({in_pools.begin(), in_pools.end()}) + "); name the pool");
  }
  for (const Meant& one : meant) {
    const OperatorOrder order{command.state, command.expires, now};
    if (one.source != nullptr) one.source->order = order;
    const std::string why = "by the operator's order" + (command.reason.empty() ? "" : ": " + command.reason);
    for (Endpoint* endpoint : one.endpoints) set_operator(*endpoint, order, why, true, now);
  }
  return result;
}

CommandResult Core::State::execute(const MoveTier& command, TimePoint now) {
  CommandResult result;
  Pool* pool = named_pool(command.pool, result);
  if (pool == nullptr) return result;
  if (auto wrong = bad_expiry(command.expires, now)) return refuse(std::move(*wrong));
  if (auto stale = stale_epoch(*pool, command.expected_epoch)) return refuse(std::move(*stale));
  const std::uint32_t active = pool->failover.active();
  const auto tiers = static_cast<std::uint32_t>(pool->tiers.size());
  const auto can_serve = [&](std::uint32_t tier) { return tier != active && pool->tiers[tier].count.serviceable(); };
  std::optional<std::uint32_t> target;
  if (command.to) {
    for (std::uint32_t i = 0; i < tiers; ++i) {
      if (pool->tiers[i].name == *command.to) target = i;
    }
    if (!target) {
      return refuse("pool " + quoted(command.pool) + " has no tier " + quoted(*command.to) +
                    "; tiers: " + tier_names(*pool));
    }
    if (*target == active && std::exchange(pool->drill_return, std::nullopt)) {
      // It is there because of a drill, and was about to go back.
      pool->left_by_drill.reset();
      pool->failover.pin();
      pool->moved_until = command.expires;
      touch(*pool);
      return result;
    }
    if (*target == active) {
      return refuse("pool " + quoted(command.pool) + " is served by tier " + quoted(*command.to) +
                    " already; to keep it there, hold the pool");
    }
  } else {
    // Proven ones first, then in order.
    for (std::uint32_t i = 1; i < tiers; ++i) {
      const std::uint32_t tier = (active + i) % tiers;
      if (can_serve(tier) && (!target || pool->tiers[tier].fitness.fit < pool->tiers[*target].fitness.fit))
        target = tier;
    }
    if (!target) {
      return refuse("no other tier of pool " + quoted(command.pool) + " can serve: " + describe_others(*pool, active));
    }
  }
  // Never to something worse: from a tier that serves to one that cannot is a mistake, whoever asks.
  if (!can_serve(*target) && pool->active().count.serviceable()) {
    return refuse("tier " + quoted(pool->tiers[*target].name) + " cannot serve: it has " +
                  describe(pool->tiers[*target], *pool, now) + ", while " + quoted(pool->active().name) +
                  " can; bring its endpoints up first, or disable those of " + quoted(pool->active().name));
  }
  pool->drill_return.reset();
  pool->failover.order(*target, false, command.reason, now);
  pool->moved_until = command.expires;
  touch(*pool);
  return result;
}

CommandResult Core::State::execute(const Failback& command, TimePoint now) {
  CommandResult result;
  Pool* pool = named_pool(command.pool, result);
  if (pool == nullptr) return result;
  if (auto stale = stale_epoch(*pool, command.expected_epoch)) return refuse(std::move(*stale));
  const std::uint32_t active = pool->failover.active();
  if (active == 0) {
    return refuse("pool " + quoted(command.pool) + " is served by its first tier " + quoted(pool->active().name) +
                  " already");
  }
  for (std::uint32_t tier = 0; tier < active; ++tier) {
    if (!pool->tiers[tier].count.serviceable()) continue;
    pool->failover.order(tier, true, command.reason.empty() ? "failback" : command.reason, now);
    pool->moved_until.reset();
    touch(*pool);
    return result;
  }
  return refuse("no tier above " + quoted(pool->active().name) + " can serve yet: " + describe_others(*pool, active));
}

CommandResult Core::State::execute(const HoldPool& command, TimePoint now) {
  CommandResult result;
  Pool* pool = named_pool(command.pool, result);
  if (pool == nullptr) return result;
  if (auto wrong = bad_expiry(command.expires, now)) return refuse(std::move(*wrong));
  if (auto stale = stale_epoch(*pool, command.expected_epoch)) return refuse(std::move(*stale));
  if (!command.on && !pool->held) return refuse("pool " + quoted(command.pool) + " is not held");
  pool->held = command.on;
  pool->held_until = command.on ? command.expires : std::nullopt;
  const std::string name = "pool " + quoted(command.pool);
  emit(Event::Kind::held, *pool, &pool->active(), nullptr,
       command.on ? name + " is held on tier " + quoted(pool->active().name) + for_how_long(command.expires, now) +
                        ": the machine moves nothing, by the operator's order" + with_reason(command.reason)
                  : name + " is no longer held: by the operator's order" + with_reason(command.reason));
  touch(*pool);
  return result;
}

CommandResult Core::State::execute(const SetMaintenance& command, TimePoint now) {
  CommandResult result;
  Pool* pool = named_pool(command.pool, result);
  if (pool == nullptr) return result;
  if (auto wrong = bad_expiry(command.expires, now)) return refuse(std::move(*wrong));
  if (!command.on && !pool->maintenance) return refuse("pool " + quoted(command.pool) + " is not in maintenance");
  pool->maintenance = command.on;
  pool->maintenance_until = command.on ? command.expires : std::nullopt;
  const std::string name = "maintenance of pool " + quoted(command.pool);
  emit(Event::Kind::maintenance, *pool, nullptr, nullptr,
       (command.on ? name + " began" + for_how_long(command.expires, now) + ": requests are answered 503"
                   : name + " ended") +
           (command.on ? ", by the operator's order" : ": by the operator's order") + with_reason(command.reason));
  view_changed();
  touch(*pool);
  return result;
}

CommandResult Core::State::execute(const Approve& command, TimePoint now) {
  CommandResult result;
  Pool* pool = named_pool(command.pool, result);
  if (pool == nullptr) return result;
  if (auto stale = stale_epoch(*pool, command.expected_epoch)) return refuse(std::move(*stale));
  if (command.who.empty() || command.reason.empty()) {
    return refuse("an approval needs a name and a reason: who vouches for it, and what was compared");
  }
  std::vector<std::string> approvals;
  for (Gate& gate : pool->gates) {
    if (gate.config.kind != config::GateKind::approval) continue;
    approvals.push_back(gate.config.name);
    if (gate.config.name != command.gate) continue;
    gate.passed = true;
    gate.approved_by = command.who + ": " + command.reason;
    emit(Event::Kind::gate, *pool, nullptr, nullptr,
         "gate " + quoted(command.gate) + " of pool " + quoted(command.pool) + " is approved by " + gate.approved_by);
    touch(*pool);
    return result;
  }
  (void)now;
  return refuse(
      "pool " + quoted(command.pool) + " has no approval " + quoted(command.gate) +
      (approvals.empty() ? "; none is configured in [pool.failover].gates" : "; approvals: " + list(approvals)));
}

}  // namespace understudy::health
