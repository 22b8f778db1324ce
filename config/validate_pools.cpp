// Rules of [check] and [pool.NAME].
#include <algorithm>
#include <array>
#include <unordered_map>

#include "config/suggest.hpp"
#include "config/text.hpp"
#include "config/units.hpp"
#include "config/validate.hpp"

namespace understudy::config {
namespace {

// Where the endpoints of a tier stand: "pool.app.primary" or "pool.app.tiers[0].endpoints".
std::string tier_path(const PoolConfig& pool, std::size_t index, const Reader& reader) {
  const std::string path = "pool." + pool.name;
  const std::string listed = path + ".tiers[" + std::to_string(index) + "]";
  if (reader.mark(listed) != nullptr) return listed + ".endpoints";
  return path + "." + pool.tiers[index].name;
}

struct Seen {
  std::size_t tier;
  std::string path;
};

void validate_endpoints(const PoolConfig& pool, Reader& reader) {
  std::unordered_map<std::string, Seen> addresses;
  std::unordered_map<std::string, Seen> labels;
  for (std::size_t t = 0; t < pool.tiers.size(); ++t) {
    const TierConfig& tier = pool.tiers[t];
    const std::string path = tier_path(pool, t, reader);
    const Mark* list = reader.mark(path);
    if (list != nullptr && list->kind == Node::Kind::array && !list->unread && reader.mark(path + "[0]") == nullptr) {
      reader.error(list->value, "tier '" + tier.name + "' of [pool." + pool.name + "] has no endpoint");
    }
    for (std::size_t i = 0; i < tier.endpoints.size(); ++i) {
      const EndpointConfig& endpoint = tier.endpoints[i];
      if (endpoint.address.text.empty()) continue;
      const std::string item = path + "[" + std::to_string(i) + "]";
      const auto numeric = endpoint.address.numeric();
      const std::string key = numeric && !endpoint.address.host.empty() ? numeric->to_string() : endpoint.address.text;
      const auto [earlier, fresh] = addresses.try_emplace(key, Seen{t, item});
      if (!fresh) {
        reader.error(reader.span_of(item),
                     "endpoint '" + printable(endpoint.address.text) + "' is already in tier '" +
                         pool.tiers[earlier->second.tier].name + "'",
                     "first at line " + std::to_string(reader.span_of(earlier->second.path).line));
      } else if (!labels.try_emplace(endpoint.label(), Seen{t, item}).second) {
        reader.error(reader.span_of(item), "the name '" + printable(endpoint.label()) +
                                               "' is taken by another endpoint of [pool." + pool.name + "]");
      }
      if (!endpoint.address.is_unix() && endpoint.address.host.empty()) {
        reader.error(reader.span_of(item), "endpoint '" + printable(endpoint.address.text) + "' has no host",
                     "write \"127.0.0.1" + printable(endpoint.address.text) + "\"");
      } else if (!endpoint.address.is_unix() && endpoint.address.port == 0) {
        reader.error(reader.span_of(item), "endpoint '" + printable(endpoint.address.text) + "' has port 0");
      }
    }
  }
}

void validate_tiers(const PoolConfig& pool, const std::string& path, Reader& reader) {
  if (pool.tiers.empty()) {
    // `tiers = "shared"` is a mode, not a list; anything else that is wrong with it was said already.
    const Mark* tiers = reader.mark(path + ".tiers");
    if (tiers != nullptr && tiers->kind == Node::Kind::array && reader.mark(path + ".tiers[0]") == nullptr) {
      reader.error(tiers->value, "'tiers' of [" + path + "] is empty",
                   "add { name = \"primary\", endpoints = [\"10.0.0.11:8080\"] }");
      return;
    }
    if (tiers != nullptr && tiers->kind != Node::Kind::text) return;
    reader.error(reader.span_of(path), "[" + path + "] has no endpoints", "add primary = [\"10.0.0.11:8080\"]");
    return;
  }
  if (pool.tiers.front().name == "standby" && reader.mark(path + ".standby") != nullptr) {
    reader.error(reader.key_span_of(path + ".standby"), "[" + path + "] has a standby but no primary",
                 "add primary = [\"10.0.0.11:8080\"]");
  }
  for (std::size_t i = 0; i < pool.tiers.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (pool.tiers[i].name != pool.tiers[j].name || pool.tiers[i].name.empty()) continue;
      reader.error(reader.span_of(path + ".tiers[" + std::to_string(i) + "]"),
                   "tier '" + pool.tiers[i].name + "' is given twice");
      break;
    }
  }
  validate_endpoints(pool, reader);
}

// A tier can only be counted when no name in it may turn into several addresses.
bool is_countable(const TierConfig& tier) {
  return std::all_of(tier.endpoints.begin(), tier.endpoints.end(),
                     [](const EndpointConfig& endpoint) { return endpoint.address.numeric().has_value(); });
}

std::optional<CheckKind> kind_of(std::string_view key) {
  static constexpr std::array<std::pair<std::string_view, CheckKind>, 5> kinds{{{"path", CheckKind::http},
                                                                                {"tcp", CheckKind::tcp},
                                                                                {"tls", CheckKind::tls},
                                                                                {"websocket", CheckKind::websocket},
                                                                                {"off", CheckKind::none}}};
  for (const auto& [name, kind] : kinds) {
    if (name == key) return kind;
  }
  return std::nullopt;
}

// The kind that the keys of a table choose, whether their values are right or not.
std::optional<CheckKind> kind_written(const std::string& path, const Reader& reader) {
  for (const Key& key : check_section().keys) {
    const auto kind = kind_of(key.name);
    if (kind && reader.mark(path + "." + key.name) != nullptr) return kind;
  }
  return std::nullopt;
}

// The same, and an error where two of them exclude each other.
std::optional<CheckKind> validate_kind(const std::string& path, const std::string& where, Reader& reader) {
  const Key* first = nullptr;
  for (const Key& key : check_section().keys) {
    const Mark* mark = kind_of(key.name) ? reader.mark(path + "." + key.name) : nullptr;
    if (mark == nullptr) continue;
    if (first != nullptr)
      reader.error(mark->key, "'" + first->name + "' and '" + key.name + "' in " + where + " exclude each other",
                   "keep one of them");
    if (first == nullptr) first = &key;
  }
  return first == nullptr ? std::nullopt : kind_of(first->name);
}

void refuse_idle_key(const std::string& key, CheckKind kind, const Mark& mark, Reader& reader) {
  const bool off = kind == CheckKind::none;
  reader.error(mark.key, "'" + key + "' does nothing in a check " + (off ? "that is off" : "without 'path'"),
               off ? "" : "add path = \"/healthz\" for an HTTP check");
}

void validate_min_available(const PoolConfig& pool, const std::string& path, Reader& reader) {
  if (pool.failover.min_available_share) return;
  const std::string key = path + ".failover.min_available";
  if (reader.mark(key) == nullptr) return;
  for (const TierConfig& tier : pool.tiers) {
    if (tier.endpoints.empty() || !is_countable(tier) || pool.failover.min_available_count <= tier.endpoints.size())
      continue;
    reader.warning(reader.span_of(key),
                   "tier '" + tier.name + "' of [" + path + "] can never serve: it has " +
                       std::to_string(tier.endpoints.size()) +
                       (tier.endpoints.size() == 1 ? " endpoint" : " endpoints"),
                   "'min_available' is " + std::to_string(pool.failover.min_available_count));
  }
}

void validate_gates(const std::vector<GateConfig>& gates, const std::string& path, Reader& reader) {
  std::unordered_map<std::string, std::size_t> names;
  for (std::size_t i = 0; i < gates.size(); ++i) {
    const std::string item = path + "[" + std::to_string(i) + "]";
    // An approval's name is its text; that of others may be written, or be made from what they are.
    const std::string own = gates[i].kind == GateKind::approval ? ".approval" : ".name";
    const std::string spot = reader.mark(item + own) != nullptr ? item + own : item;
    const auto [earlier, is_fresh] = names.try_emplace(gates[i].name, i);
    if (gates[i].name.empty() || is_fresh) continue;
    const Span first = reader.span_of(path + "[" + std::to_string(earlier->second) + "]");
    reader.error(reader.span_of(spot), "a gate '" + printable(gates[i].name) + "' is there already",
                 "first at line " + std::to_string(first.line) + "; give one of them another " +
                     (gates[i].kind == GateKind::approval ? "text" : "name"));
  }
}

void validate_fitness(const PoolConfig& pool, const std::string& path, Reader& reader) {
  std::unordered_map<std::string, std::size_t> names;
  for (std::size_t i = 0; i < pool.fitness.size(); ++i) {
    const FitnessConfig& request = pool.fitness[i];
    const std::string item = path + ".fitness[" + std::to_string(i) + "]";
    const auto [earlier, is_fresh] = names.try_emplace(request.name, i);
    if (!request.name.empty() && !is_fresh) {
      const Span first = reader.span_of(path + ".fitness[" + std::to_string(earlier->second) + "]");
      reader.error(reader.span_of(reader.mark(item + ".name") != nullptr ? item + ".name" : item),
                   "a synthetic request '" + printable(request.name) + "' is there already",
                   "first at line " + std::to_string(first.line) + "; give one of them another name");
    }
    if (request.compare.given() && pool.tiers.size() == 1) {
      reader.error(reader.key_span_of(item + ".compare"), "'compare' does nothing in a pool with one tier",
                   "it compares with the tier that serves");
    }
  }
  const Mark* required = reader.mark(path + ".failover.require_fit");
  if (required != nullptr && pool.failover.require_fit && pool.fitness.empty() &&
      reader.mark(path + ".fitness") == nullptr) {
    reader.error(required->key, "'require_fit' does nothing without synthetic requests",
                 "add [[" + path + ".fitness]] with a 'path'");
  }
}

void validate_failover(const PoolConfig& pool, const std::string& path, Reader& reader) {
  validate_min_available(pool, path, reader);
  const std::string inner = path + ".failover";
  const FailoverConfig& failover = pool.failover;
  if (failover.failback == FailbackMode::after && failover.max_hold < failover.failback_after) {
    reader.error(reader.span_of(inner + ".max_hold"),
                 "'max_hold' is below the " + format_duration(failover.failback_after) + " of 'failback'");
  }
  validate_gates(failover.gates, inner + ".gates", reader);
  const Mark* quarantine = reader.mark(inner + ".quarantine");
  if (failover.quarantine && failover.gates.empty() && quarantine != nullptr &&
      reader.mark(inner + ".gates") == nullptr)
    reader.error(quarantine->key, "'quarantine' needs a gate that ends it",
                 "add gates = [{ approval = \"data compared\" }]");
  // The default may be written out, as `config show` does.
  const Mark* carries = reader.mark(inner + ".overprovisioning");
  const bool own = failover.overprovisioning != FailoverConfig{}.overprovisioning;
  if (carries != nullptr && own && pool.tiers_mode != TiersMode::shared)
    reader.error(carries->key, "'overprovisioning' does nothing without tiers = \"shared\"",
                 "leave it out, or add tiers_mode = \"shared\" to [" + path + "]");
}

void validate_degraded(const PoolConfig& pool, const std::string& path, Reader& reader) {
  const Mark* latency = reader.mark(path + ".degraded.latency_p95");
  if (latency != nullptr && pool.degraded.latency_p95 && *pool.degraded.latency_p95 > pool.response_timeout) {
    reader.warning(latency->value,
                   "'latency_p95' is above the " + format_duration(pool.response_timeout) + " of 'response_timeout'",
                   "so late an answer has timed out already, which counts for 'error_rate'");
  }
}

void validate_balance(const PoolConfig& pool, const std::string& path, Reader& reader) {
  if (pool.balance != BalanceKind::hash && reader.mark(path + ".hash_on") != nullptr) {
    reader.error(reader.key_span_of(path + ".hash_on"), "'hash_on' does nothing without balance = \"hash\"",
                 "add balance = \"hash\"");
  }
}

void validate_upstream_tls(const PoolConfig& pool, const std::string& path, Reader& reader) {
  if (!pool.tls) return;
  const UpstreamTls& tls = *pool.tls;
  const std::string inner = path + ".tls";
  validate_file(tls.ca, inner + ".ca", false, reader);
  validate_file(tls.certificate, inner + ".certificate", false, reader);
  validate_file(tls.key, inner + ".key", true, reader);
  const bool certificate = reader.mark(inner + ".certificate") != nullptr;
  const bool key = reader.mark(inner + ".key") != nullptr;
  if (certificate != key) {
    reader.error(reader.key_span_of(inner + (certificate ? ".certificate" : ".key")),
                 std::string("'") + (certificate ? "certificate" : "key") + "' needs '" +
                     (certificate ? "key" : "certificate") + "' beside it");
  }
  if (tls.insecure) {
    reader.warning(reader.key_span_of(inner + ".insecure"), "certificates of [" + path + "] are not verified");
    if (reader.mark(inner + ".ca") != nullptr)
      reader.error(reader.key_span_of(inner + ".ca"), "'ca' does nothing with insecure = true");
    return;
  }
  if (!tls.server_name.empty() || reader.mark(inner + ".server_name") != nullptr) return;
  for (std::size_t t = 0; t < pool.tiers.size(); ++t) {
    for (std::size_t i = 0; i < pool.tiers[t].endpoints.size(); ++i) {
      const Address& address = pool.tiers[t].endpoints[i].address;
      if (address.text.empty() || !address.numeric()) continue;
      reader.error(
          reader.span_of(tier_path(pool, t, reader) + "[" + std::to_string(i) + "]"),
          "endpoint '" + printable(address.text) + "' has no name that its certificate could be verified against",
          "add server_name = \"app.internal\" to [" + inner + "]");
    }
  }
}

// `doubt` without trust = "both". An unread `trust` may say so.
void refuse_idle_doubt(const Mark* doubt, const Mark* trust, Reader& reader) {
  if (doubt == nullptr || (trust != nullptr && trust->unread)) return;
  reader.error(doubt->key, "'doubt' does nothing without trust = \"both\"", "add trust = \"both\"");
}

void validate_pool(const PoolConfig& pool, Reader& reader) {
  const std::string path = "pool." + pool.name;
  const Mark* tiers = reader.mark(path + ".tiers");
  const Mark* mode = reader.mark(path + ".tiers_mode");
  if (tiers != nullptr && mode != nullptr && reader.mark(path + ".tiers[0]") == nullptr) {
    reader.error(mode->key, "'tiers_mode' stands beside a 'tiers' that says the same", "keep one of them");
  }
  validate_tiers(pool, path, reader);
  validate_failover(pool, path, reader);
  validate_fitness(pool, path, reader);
  validate_degraded(pool, path, reader);
  validate_balance(pool, path, reader);
  validate_upstream_tls(pool, path, reader);
  validate_check(pool.check, path + ".check", "[" + path + ".check]", reader);
  if (const Mark* send = reader.mark(path + ".check.agent_send"); send != nullptr && pool.check.agent_port == 0)
    reader.error(send->key, "'agent_send' does nothing without 'agent_port'", "add agent_port = 9707");
  if (pool.passive.max_ejection < pool.passive.base_ejection) {
    reader.error(
        reader.span_of(path + ".passive." +
                       (reader.mark(path + ".passive.max_ejection") != nullptr ? "max_ejection" : "base_ejection")),
        "'max_ejection' is below 'base_ejection'");
  }
  for (const char* key : {"consecutive", "base_ejection", "max_ejection", "max_ejected"}) {
    const Mark* mark = pool.passive.enabled ? nullptr : reader.mark(path + ".passive." + key);
    if (mark != nullptr) reader.error(mark->key, "'" + std::string(key) + "' does nothing with enabled = false");
  }
  if (pool.check.kind == CheckKind::none && !pool.passive.enabled && pool.tiers.size() > 1) {
    reader.warning(reader.span_of(path),
                   "[" + path + "] has neither checks nor passive ejection: its standby will never serve by itself");
  }
}

}  // namespace

void validate_check(const CheckConfig& check, const std::string& path, const std::string& where, Reader& reader) {
  // Nothing of its own: then what is wrong with it is said of [check].
  if (reader.mark(path) == nullptr) return;
  const std::optional<CheckKind> chosen = validate_kind(path, where, reader);
  const bool inherits = !chosen && path != "check";
  const std::optional<CheckKind> wanted = inherits ? kind_written("check", reader) : chosen;
  // Where the kind itself is wrong, what goes with it can't be told.
  if (!wanted || *wanted == check.kind) {
    for (const Key& key : check_section().keys) {
      const Mark* mark = path == "check" ? nullptr : reader.mark(path + "." + key.name);
      if (mark != nullptr && !check_key_applies(key.name, check.kind))
        refuse_idle_key(key.name, check.kind, *mark, reader);
    }
  }
  const auto given = [&](const char* key) -> const Mark* {
    if (const Mark* mark = reader.mark(path + "." + key)) return mark;
    return reader.mark(std::string("check.") + key);
  };
  const Mark* timeout = given("timeout");
  if (check.timeout > check.interval && timeout != nullptr) {
    reader.warning(timeout->value, "'timeout' is longer than 'interval'",
                   "probes of one endpoint never overlap, so they come later than 'interval' says");
  }
  const Mark* fast = given("fast_interval");
  if (check.fast_interval > check.interval && fast != nullptr)
    reader.error(fast->value, "'fast_interval' is longer than 'interval'");
  if (path != "check" && check_key_applies("doubt", check.kind) && check.trust != Trust::both)
    refuse_idle_doubt(reader.mark(path + ".doubt"), given("trust"), reader);
}

void validate_check_defaults(const CheckConfig& check, const Config& config, Reader& reader) {
  validate_check(check, "check", "[check]", reader);
  if (reader.failed() || config.pools.empty()) return;
  for (const Key& key : check_section().keys) {
    const Mark* mark = reader.mark("check." + key.name);
    if (mark == nullptr) continue;
    const bool used = std::any_of(config.pools.begin(), config.pools.end(),
                                  [&](const PoolConfig& pool) { return check_key_applies(key.name, pool.check.kind); });
    const bool chooses = kind_of(key.name).has_value();
    if (!used && !chooses) refuse_idle_key(key.name, config.pools.front().check.kind, *mark, reader);
  }
  if (reader.failed()) return;
  const bool doubts = std::any_of(config.pools.begin(), config.pools.end(),
                                  [](const PoolConfig& pool) { return pool.check.trust == Trust::both; });
  if (!doubts) refuse_idle_doubt(reader.mark("check.doubt"), reader.mark("check.trust"), reader);
}

void validate_pools(const Config& config, Reader& reader) {
  for (const PoolConfig& pool : config.pools) validate_pool(pool, reader);
}

}  // namespace understudy::config
