#include "config/validate.hpp"

#include <algorithm>

#include "config/text.hpp"

namespace understudy::config {
namespace {

std::string first_of_list(const std::string& list) { return list.substr(0, list.find(':')); }

void complete_server(Config& config, Reader& reader) {
  if (config.admin.listen.text.empty()) {
    config.admin.listen.path = reader.context().runtime_dir + "/admin.sock";
    config.admin.listen.text = "unix:" + config.admin.listen.path;
  }
  if (reader.mark("server.state_dir") != nullptr) return;
  const auto& environment = reader.context().environment;
  const auto given = environment ? environment("STATE_DIRECTORY") : std::nullopt;  // systemd's StateDirectory=
  config.server.state_dir = given && !given->empty() ? first_of_list(*given) : "/var/lib/understudy";
  if (given && !given->empty()) reader.set_origin("server.state_dir", "environment STATE_DIRECTORY");
}

// Defaults that follow `interval` down, and fields without a meaning for the kind of check.
void complete_check(CheckConfig& check, const std::string& path, Reader& reader) {
  const auto written = [&](const char* key) {
    return reader.mark(path + "." + key) != nullptr || reader.mark(std::string("check.") + key) != nullptr;
  };
  if (!written("timeout")) check.timeout = std::min(check.timeout, check.interval);
  if (!written("fast_interval")) check.fast_interval = std::min(check.fast_interval, check.interval);
  const CheckConfig usual;
  if (check.kind != CheckKind::http) {
    check.expect = usual.expect;
    check.agent_header.clear();
    check.body.clear();
  }
  if (check.kind != CheckKind::http && check.kind != CheckKind::websocket) {
    check.path.clear();
    check.host.clear();
  }
  if (check.kind == CheckKind::none) {
    check = usual;
    check.kind = CheckKind::none;
  }
  if (check.trust != Trust::both) check.doubt = usual.doubt;
  if (check.agent_port == 0) check.agent_send.clear();
}

// The longest hold follows a long hold up.
void complete_failover(FailoverConfig& failover, const std::string& path, Reader& reader) {
  if (failover.failback == FailbackMode::after && reader.mark(path + ".max_hold") == nullptr)
    failover.max_hold = std::max(failover.max_hold, failover.failback_after);
}

}  // namespace

void complete(Root& root, Reader& reader) {
  Config& config = root.config;
  complete_server(config, reader);
  for (PoolConfig& pool : config.pools) {
    complete_check(pool.check, "pool." + pool.name + ".check", reader);
    complete_failover(pool.failover, "pool." + pool.name + ".failover", reader);
    if (!pool.passive.enabled) pool.passive = PassiveConfig{.enabled = false};
    if (pool.balance != BalanceKind::hash) {
      pool.hash_on = HashKey::client_address;
      pool.hash_name.clear();
    }
  }
  if (config.routes.empty() && config.pools.size() == 1) {
    RouteConfig& route = config.routes.emplace_back();
    route.pool = config.pools.front().name;
  }
  for (std::size_t i = 0; i < config.routes.size(); ++i) {
    if (config.routes[i].name.empty()) config.routes[i].name = "route-" + std::to_string(i + 1);
  }
}

void validate_file(const std::string& file, const std::string& path, bool is_private, Reader& reader) {
  const Mark* mark = reader.mark(path);
  if (file.empty() || mark == nullptr || mark->unread) return;
  if (reader.context().read_file && !reader.context().read_file(file)) {
    reader.error(mark->value, "can't read '" + printable(file, 200) + "'",
                 "name a file that exists and that this user may read; 'check --no-files' leaves files out");
  } else if (is_private && reader.context().readable_by_others && reader.context().readable_by_others(file)) {
    reader.warning(mark->value, "every user of this machine can read the private key '" + printable(file, 200) + "'",
                   "chmod 640");
  }
}

void validate_alerts(const Config& config, Reader& reader) {
  for (const AlertConfig& alert : config.alerts) {
    const std::string path = "alerts." + alert.name;
    validate_file(alert.ca, path + ".ca", false, reader);
    const Mark* ca = reader.mark(path + ".ca");
    if (!alert.ca.empty() && ca != nullptr && !alert.url.starts_with("https:"))
      reader.error(ca->key, "'ca' does nothing without an https URL");
  }
}

void validate(const Config& config, Reader& reader) {
  validate_listeners(config, reader);
  validate_pools(config, reader);
  validate_routes(config, reader);
  validate_alerts(config, reader);
  validate_drills(config, reader);
  if (config.dns.min_ttl > config.dns.max_ttl)
    reader.error(reader.span_of("dns.min_ttl"), "'min_ttl' is above 'max_ttl'");
}

}  // namespace understudy::config
