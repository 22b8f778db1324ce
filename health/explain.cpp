#include "health/explain.hpp"

#include <algorithm>
#include <cstdio>

namespace understudy::health {
namespace {

constexpr std::size_t spelled_out = 8;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 10 && value != static_cast<int>(value) ? "%.1f" : "%.0f", value);
  return text;
}

std::string name_in_tier(const Endpoint& endpoint) {
  // A name may stand for several addresses; a written address is its own label.
  if (endpoint.label == endpoint.address_text) return endpoint.label;
  return endpoint.label + " (" + endpoint.address_text + ")";
}

std::string since(TimePoint then, TimePoint now) { return std::string(" since ").append(describe(now - then)); }

}  // namespace

std::string describe(Duration duration) {
  using std::chrono::duration_cast;
  const auto ms = std::max<std::int64_t>(duration_cast<std::chrono::milliseconds>(duration).count(), 0);
  if (ms < 1000) return std::to_string(ms) + " ms";
  if (ms < 60'000) {
    const std::int64_t tenths = ms / 100;
    return number(static_cast<double>(tenths) / 10) + " s";
  }
  const std::int64_t seconds = ms / 1000;
  const auto pair = [](std::int64_t high, const char* high_unit, std::int64_t low, const char* low_unit) {
    std::string text = std::to_string(high) + high_unit;
    if (low > 0) text.append(" ").append(std::to_string(low)).append(low_unit);
    return text;
  };
  if (seconds < 3600) return pair(seconds / 60, " min", seconds % 60, " s");
  return pair(seconds / 3600, " h", seconds % 3600 / 60, " min");
}

std::string describe_share(double share) { return number(share * 100) + " %"; }

std::string quoted(const std::string& name) {
  std::string text(1, '\'');
  text.append(name).push_back('\'');
  return text;
}

std::string name_and_address(const Endpoint& endpoint) { return endpoint.label + " (" + endpoint.address_text + ")"; }

std::string describe(const Endpoint& endpoint, const Pool& pool, TimePoint now) {
  std::string text = name_in_tier(endpoint) + ": ";
  switch (endpoint.order.state) {
    case OperatorState::draining: return text + "draining by the operator";
    case OperatorState::disabled: return text + "disabled by the operator";
    case OperatorState::held:
      return text + "held by the operator as " + (endpoint.held_available ? "available" : "not available");
    case OperatorState::enabled: break;
  }
  if (!endpoint.agent.takes_new()) {
    text += "out by its agent, " + std::string(name_of(endpoint.agent.state()));
    if (endpoint.agent.share() == 0) text += ", 0 % of its weight";
    return text + (endpoint.agent.reason().empty() ? "" : " (" + endpoint.agent.reason() + ")");
  }
  if (endpoint.threshold.state() == ActiveState::unhealthy) {
    text += "unhealthy, " + std::string(name_of(endpoint.last_failure));
    if (endpoint.threshold.changing()) {
      return text + " until now, " + std::to_string(endpoint.threshold.streak()) + " of " +
             std::to_string(pool.config.check.rise) + " good probes to come back";
    }
    return text + ", " + std::to_string(endpoint.threshold.streak()) + " failed probes in a row (fall " +
           std::to_string(pool.config.check.fall) + ")" + since(endpoint.streak_since, now);
  }
  if (endpoint.quarantined)
    return text + "in quarantine until the gates have passed" + since(endpoint.quarantined_at, now);
  if (endpoint.ejector.ejected() || endpoint.ejector.suspected()) {
    const Evidence grounds = endpoint.ejector.grounds();
    text += endpoint.ejector.ejected() ? "ejected" : "failing in real traffic";
    if (grounds.failures > 0) {
      text += std::string(" for ") + std::to_string(grounds.failures) + " failures in a row (" +
              std::string(name_of(grounds.cause)) + ", limit " + std::to_string(pool.config.passive.consecutive) + ")";
    }
    return text + since(endpoint.ejector.since(), now);
  }
  if (endpoint.suspicion.suspect() && endpoint.available) {
    text += std::string("suspect (") + std::string(name_of(endpoint.suspicion.why())) + ")" +
            since(endpoint.suspicion.since(), now);
    if (endpoint.suspicion.gone()) {
      text += std::string(", ") + std::to_string(endpoint.pending) + " requests unanswered and no answer since";
    }
    return text;
  }
  if (endpoint.available) return text + "available";
  if (endpoint.threshold.streak() > 0 && endpoint.last_failure != Cause::none) {
    return text + "no verdict yet, " + std::to_string(endpoint.threshold.streak()) + " failed probes (" +
           std::string(name_of(endpoint.last_failure)) + ")";
  }
  return text + "no verdict yet";
}

std::string describe(const Tier& tier, const Pool& pool, TimePoint now) {
  const TierCount& count = tier.count;
  std::string text = std::to_string(count.sound()) + " of " + std::to_string(count.size) +
                     " endpoints available, needs " + std::to_string(count.needed);
  std::string list;
  std::size_t left_out = 0, spelled = 0;
  const auto add = [&](const std::string& item) {
    if (spelled++ >= spelled_out) {
      ++left_out;
      return;
    }
    if (!list.empty()) list += "; ";
    list += item;
  };
  for (const Endpoint* endpoint : tier.endpoints) add(describe(*endpoint, pool, now));
  for (const Source& source : tier.sources) {
    if (source.endpoints.empty()) add(source.label + ": name not resolved");
  }
  if (left_out > 0) list.append("; and ").append(std::to_string(left_out)).append(" more");
  return list.empty() ? text : text + " (" + list + ")";
}

std::string describe_others(const Pool& pool, std::uint32_t except) {
  std::string text;
  for (std::uint32_t i = 0; i < pool.tiers.size(); ++i) {
    if (i == except) continue;
    const TierCount& count = pool.tiers[i].count;
    if (!text.empty()) text += ", ";
    text += quoted(pool.tiers[i].name) + " has " + std::to_string(count.sound()) + " of " + std::to_string(count.size) +
            " available, needs " + std::to_string(count.needed);
    if (proves_fitness(pool)) text += ", " + std::string(name_of(pool.tiers[i].fitness.fit));
  }
  return text.empty() ? "there is no other tier" : text;
}

}  // namespace understudy::health
