#include "proxy/drill/sandbox.hpp"

#include <algorithm>

namespace understudy::drill {
namespace {

config::Address loopback(std::uint16_t port) {
  config::Address address;
  address.host = "127.0.0.1";
  address.port = port;
  address.text = "127.0.0.1:" + std::to_string(port);
  return address;
}

config::Address unix_socket(const std::string& path) {
  config::Address address;
  address.path = path;
  address.text = "unix:" + path;
  return address;
}

// The first listener that serves, plain and on a port that the kernel picks.
void replace_listeners(config::Config& config, std::vector<std::string>& notes) {
  const auto serves = [](const config::ListenerConfig& listener) { return !listener.redirect_to_https; };
  auto found = std::find_if(config.listeners.begin(), config.listeners.end(), serves);
  if (found == config.listeners.end()) found = config.listeners.begin();
  if (found == config.listeners.end()) return;
  if (found != config.listeners.begin()) std::swap(*found, config.listeners.front());
  config::ListenerConfig& listener = config.listeners.front();
  notes.push_back("listen." + listener.name + " listens on loopback" + (listener.tls ? ", without TLS" : "") +
                  (config.listeners.size() > 1 ? "; the other listeners are left out" : ""));
  listener.address = loopback(0);
  listener.tls.reset();
  listener.redirect_to_https = false;
  config.listeners.resize(1);
}

void replace_pool(config::PoolConfig& pool, std::vector<std::uint16_t>::const_iterator& port,
                  std::vector<std::string>& notes) {
  for (config::TierConfig& tier : pool.tiers) {
    for (config::EndpointConfig& endpoint : tier.endpoints) {
      endpoint.name = endpoint.label();
      endpoint.address = loopback(*port++);
    }
  }
  if (pool.tls) notes.push_back("pool." + pool.name + " is spoken to without TLS");
  pool.tls.reset();
  if (pool.check.port != 0) notes.push_back("pool." + pool.name + " is checked at the endpoints' own ports");
  pool.check.port = 0;
  if (pool.check.kind == config::CheckKind::tls) pool.check.kind = config::CheckKind::tcp;
}

void replace_gates(config::PoolConfig& pool, std::vector<std::uint16_t>::const_iterator& port,
                   std::vector<std::string>& notes) {
  for (config::GateConfig& gate : pool.failover.gates) {
    if (gate.kind == config::GateKind::approval) continue;
    notes.push_back("gate '" + gate.name + "' of pool." + pool.name + " is not asked: it passes");
    if (gate.kind == config::GateKind::url) gate.url = "http://127.0.0.1:" + std::to_string(*port++) + "/gate";
    if (gate.kind == config::GateKind::command) gate.command = {"/bin/true"};
  }
}

}  // namespace

std::vector<Place> places_of(const config::Config& config) {
  std::vector<Place> places;
  for (const config::PoolConfig& pool : config.pools) {
    for (const config::TierConfig& tier : pool.tiers) {
      for (const config::EndpointConfig& endpoint : tier.endpoints)
        places.push_back({pool.name, tier.name, endpoint.label(), pool.check, false});
    }
  }
  for (const config::PoolConfig& pool : config.pools) {
    for (const config::GateConfig& gate : pool.failover.gates) {
      if (gate.kind != config::GateKind::url) continue;
      config::CheckConfig says;
      says.body = gate.expect;
      places.push_back({pool.name, "", gate.name, says, true});
    }
  }
  return places;
}

Sandbox make_sandbox(const config::Config& config, const std::vector<std::uint16_t>& ports, const std::string& folder) {
  Sandbox sandbox{config, {}};
  config::Config& made = sandbox.config;
  auto port = ports.begin();
  replace_listeners(made, sandbox.notes);
  for (config::PoolConfig& pool : made.pools) replace_pool(pool, port, sandbox.notes);
  sandbox.notes.push_back("the endpoints are embedded origins on loopback");
  for (config::PoolConfig& pool : made.pools) replace_gates(pool, port, sandbox.notes);
  if (!made.alerts.empty()) sandbox.notes.emplace_back("alerts are delivered to nobody");
  made.alerts.clear();
  made.drills.clear();
  made.server.state_dir = folder + "/state";
  made.server.user.clear();
  made.server.group.clear();
  made.server.watch_config = false;
  made.server.shutdown_lead = config::Duration(0);
  made.server.shutdown_grace = std::chrono::seconds(1);
  made.admin = {};
  made.admin.listen = unix_socket(folder + "/admin.sock");
  made.log.path = folder + "/events.log";
  if (made.log.access_format != config::AccessFormat::off) made.log.access_path = folder + "/access.log";
  sandbox.notes.emplace_back("state, logs and the admin socket are in a temporary folder");
  return sandbox;
}

void rename_for_file(Sandbox& sandbox) {
  constexpr std::size_t longest = 64;
  std::string renamed;
  for (config::PoolConfig& pool : sandbox.config.pools) {
    for (config::TierConfig& tier : pool.tiers) {
      for (config::EndpointConfig& endpoint : tier.endpoints) {
        const std::string before = endpoint.name;
        if (endpoint.name.size() > longest) endpoint.name.erase(0, endpoint.name.size() - longest);
        for (char& c : endpoint.name) {
          const bool allowed = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                               c == '_' || c == '.';
          if (!allowed) c = '-';
        }
        if (renamed.empty() && endpoint.name != before) renamed = before + " is called " + endpoint.name;
      }
    }
  }
  if (!renamed.empty()) sandbox.notes.push_back("the proxy reads names from a file: " + renamed);
}

}  // namespace understudy::drill
