// Every field of the model, by name. A structured binding stops compiling when a field is added: then add it
// here, declare its key, and give it a value in good/everything.toml.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "config/model.hpp"

namespace understudy::config {

template <class Visit>
void each_field(const ServerConfig& object, const Visit& visit) {
  const auto& [workers, state_dir, shutdown_grace, shutdown_lead, user, group, max_connections, max_connections_per_ip,
               fd_reserve, watch_config, max_buffer_memory] = object;
  visit("workers", workers);
  visit("state_dir", state_dir);
  visit("shutdown_grace", shutdown_grace);
  visit("shutdown_lead", shutdown_lead);
  visit("user", user);
  visit("group", group);
  visit("max_connections", max_connections);
  visit("max_connections_per_ip", max_connections_per_ip);
  visit("fd_reserve", fd_reserve);
  visit("watch_config", watch_config);
  visit("max_buffer_memory", max_buffer_memory);
}

template <class Visit>
void each_field(const AdminConfig& object, const Visit& visit) {
  const auto& [listen, token, hosts, max_connections] = object;
  visit("listen", listen);
  visit("token", token);
  visit("hosts", hosts);
  visit("max_connections", max_connections);
}

template <class Visit>
void each_field(const LogConfig& object, const Visit& visit) {
  const auto& [level, path, access_format, access_path, query] = object;
  visit("level", level);
  visit("path", path);
  visit("access_format", access_format);
  visit("access_path", access_path);
  visit("query", query);
}

template <class Visit>
void each_field(const Limits& object, const Visit& visit) {
  const auto& [header_timeout, first_byte_timeout, idle_timeout, body_timeout, write_timeout, min_rate,
               max_header_bytes, max_headers, max_uri_bytes, max_body_bytes, drain_body_bytes,
               max_requests_per_connection] = object;
  visit("header_timeout", header_timeout);
  visit("first_byte_timeout", first_byte_timeout);
  visit("idle_timeout", idle_timeout);
  visit("body_timeout", body_timeout);
  visit("write_timeout", write_timeout);
  visit("min_rate", min_rate);
  visit("max_header_bytes", max_header_bytes);
  visit("max_headers", max_headers);
  visit("max_uri_bytes", max_uri_bytes);
  visit("max_body_bytes", max_body_bytes);
  visit("drain_body_bytes", drain_body_bytes);
  visit("max_requests_per_connection", max_requests_per_connection);
}

template <class Visit>
void each_field(const CertificateFiles& object, const Visit& visit) {
  const auto& [certificate, key] = object;
  visit("certificate", certificate);
  visit("key", key);
}

template <class Visit>
void each_field(const ListenTls& object, const Visit& visit) {
  const auto& [certificates, client_ca, client_auth, allow_tls12, handshake_timeout, max_handshakes, ticket_rotation] =
      object;
  visit("certificates", certificates);
  visit("client_ca", client_ca);
  visit("client_auth", client_auth);
  visit("allow_tls12", allow_tls12);
  visit("handshake_timeout", handshake_timeout);
  visit("max_handshakes", max_handshakes);
  visit("ticket_rotation", ticket_rotation);
}

template <class Visit>
void each_field(const ListenerConfig& object, const Visit& visit) {
  const auto& [name, address, tls, redirect_to_https, trusted_proxies, limits] = object;
  visit("name", name);
  visit("address", address);
  visit("tls", tls);
  visit("redirect_to_https", redirect_to_https);
  visit("trusted_proxies", trusted_proxies);
  visit("limits", limits);
}

template <class Visit>
void each_field(const EndpointConfig& object, const Visit& visit) {
  const auto& [address, name, weight] = object;
  visit("address", address);
  visit("name", name);
  visit("weight", weight);
}

template <class Visit>
void each_field(const TierConfig& object, const Visit& visit) {
  const auto& [name, endpoints] = object;
  visit("name", name);
  visit("endpoints", endpoints);
}

template <class Visit>
void each_field(const StatusRange& object, const Visit& visit) {
  const auto& [low, high] = object;
  visit("low", low);
  visit("high", high);
}

template <class Visit>
void each_field(const CheckConfig& object, const Visit& visit) {
  const auto& [kind, path, host, body, expect, port, interval, fast_interval, timeout, rise, fall, start, start_wait,
               trust, doubt, agent_port, agent_send, agent_header] = object;
  visit("kind", kind);
  visit("path", path);
  visit("host", host);
  visit("body", body);
  visit("expect", expect);
  visit("port", port);
  visit("interval", interval);
  visit("fast_interval", fast_interval);
  visit("timeout", timeout);
  visit("rise", rise);
  visit("fall", fall);
  visit("start", start);
  visit("start_wait", start_wait);
  visit("trust", trust);
  visit("doubt", doubt);
  visit("agent_port", agent_port);
  visit("agent_send", agent_send);
  visit("agent_header", agent_header);
}

template <class Visit>
void each_field(const PassiveConfig& object, const Visit& visit) {
  const auto& [enabled, consecutive, base_ejection, max_ejection, max_ejected] = object;
  visit("enabled", enabled);
  visit("consecutive", consecutive);
  visit("base_ejection", base_ejection);
  visit("max_ejection", max_ejection);
  visit("max_ejected", max_ejected);
}

template <class Visit>
void each_field(const StickyConfig& object, const Visit& visit) {
  const auto& [cookie, secure] = object;
  visit("cookie", cookie);
  visit("secure", secure);
}

template <class Visit>
void each_field(const UpstreamTls& object, const Visit& visit) {
  const auto& [server_name, ca, certificate, key, insecure] = object;
  visit("server_name", server_name);
  visit("ca", ca);
  visit("certificate", certificate);
  visit("key", key);
  visit("insecure", insecure);
}

template <class Visit>
void each_field(const RetryConfig& object, const Visit& visit) {
  const auto& [max, budget, budget_floor, on_5xx, safe_on_5xx, hedge, hedge_share] = object;
  visit("max", max);
  visit("budget", budget);
  visit("budget_floor", budget_floor);
  visit("on_5xx", on_5xx);
  visit("safe_on_5xx", safe_on_5xx);
  visit("hedge", hedge);
  visit("hedge_share", hedge_share);
}

template <class Visit>
void each_field(const OpeningsConfig& object, const Visit& visit) {
  const auto& [adaptive, max, rate, queue, wait] = object;
  visit("adaptive", adaptive);
  visit("max", max);
  visit("rate", rate);
  visit("queue", queue);
  visit("wait", wait);
}

template <class Visit>
void each_field(const DegradedConfig& object, const Visit& visit) {
  const auto& [latency_p95, error_rate, websocket_open_p95, latency_factor, dwell, min_requests, shed] = object;
  visit("latency_p95", latency_p95);
  visit("error_rate", error_rate);
  visit("websocket_open_p95", websocket_open_p95);
  visit("latency_factor", latency_factor);
  visit("dwell", dwell);
  visit("min_requests", min_requests);
  visit("shed", shed);
}

template <class Visit>
void each_field(const GateConfig& object, const Visit& visit) {
  const auto& [kind, name, url, expect, command, timeout] = object;
  visit("kind", kind);
  visit("name", name);
  visit("url", url);
  visit("expect", expect);
  visit("command", command);
  visit("timeout", timeout);
}

template <class Visit>
void each_field(const CompareConfig& object, const Visit& visit) {
  const auto& [header, json, max_lag] = object;
  visit("header", header);
  visit("json", json);
  visit("max_lag", max_lag);
}

template <class Visit>
void each_field(const FitnessConfig& object, const Visit& visit) {
  const auto& [name, websocket, method, is_unsafe, path, host, headers, body, expect, expect_body, max_latency,
               interval, timeout, rise, fall, compare] = object;
  visit("name", name);
  visit("websocket", websocket);
  visit("method", method);
  visit("is_unsafe", is_unsafe);
  visit("path", path);
  visit("host", host);
  visit("headers", headers);
  visit("body", body);
  visit("expect", expect);
  visit("expect_body", expect_body);
  visit("max_latency", max_latency);
  visit("interval", interval);
  visit("timeout", timeout);
  visit("rise", rise);
  visit("fall", fall);
  visit("compare", compare);
}

template <class Visit>
void each_field(const FailoverConfig& object, const Visit& visit) {
  const auto& [min_available_count, min_available_share, failback, failback_after, max_hold, verify, ramp, quarantine,
               overprovisioning, gates, mirror, require_fit] = object;
  visit("min_available_count", min_available_count);
  visit("min_available_share", min_available_share);
  visit("failback", failback);
  visit("failback_after", failback_after);
  visit("max_hold", max_hold);
  visit("verify", verify);
  visit("ramp", ramp);
  visit("quarantine", quarantine);
  visit("overprovisioning", overprovisioning);
  visit("gates", gates);
  visit("mirror", mirror);
  visit("require_fit", require_fit);
}

template <class Visit>
void each_field(const PoolConfig& object, const Visit& visit) {
  const auto& [name, tiers, balance, hash_on, hash_name, sticky, check, passive, degraded, fitness, failover, retry,
               openings, tiers_mode, tls, connect_timeout, response_timeout, try_timeout, idle_body_timeout,
               request_timeout, keepalive_timeout, keepalive_connections, max_in_flight, max_response_header_bytes,
               slow_start, panic_threshold, epoch_header] = object;
  visit("name", name);
  visit("tiers", tiers);
  visit("balance", balance);
  visit("hash_on", hash_on);
  visit("hash_name", hash_name);
  visit("sticky", sticky);
  visit("check", check);
  visit("passive", passive);
  visit("degraded", degraded);
  visit("fitness", fitness);
  visit("failover", failover);
  visit("retry", retry);
  visit("openings", openings);
  visit("tiers_mode", tiers_mode);
  visit("tls", tls);
  visit("connect_timeout", connect_timeout);
  visit("response_timeout", response_timeout);
  visit("try_timeout", try_timeout);
  visit("idle_body_timeout", idle_body_timeout);
  visit("request_timeout", request_timeout);
  visit("keepalive_timeout", keepalive_timeout);
  visit("keepalive_connections", keepalive_connections);
  visit("max_in_flight", max_in_flight);
  visit("max_response_header_bytes", max_response_header_bytes);
  visit("slow_start", slow_start);
  visit("panic_threshold", panic_threshold);
  visit("epoch_header", epoch_header);
}

template <class Visit>
void each_field(const HeaderRule& object, const Visit& visit) {
  const auto& [op, name, value] = object;
  visit("op", op);
  visit("name", name);
  visit("value", value);
}

template <class Visit>
void each_field(const RouteMatch& object, const Visit& visit) {
  const auto& [host, path, methods, headers] = object;
  visit("host", host);
  visit("path", path);
  visit("methods", methods);
  visit("headers", headers);
}

template <class Visit>
void each_field(const RedirectConfig& object, const Visit& visit) {
  const auto& [to, status] = object;
  visit("to", to);
  visit("status", status);
}

template <class Visit>
void each_field(const RespondConfig& object, const Visit& visit) {
  const auto& [status, body, content_type] = object;
  visit("status", status);
  visit("body", body);
  visit("content_type", content_type);
}

template <class Visit>
void each_field(const WebSocketConfig& object, const Visit& visit) {
  const auto& [allowed, idle_timeout, max_duration, max_message, strict, ping_interval, pong_timeout, close_over,
               close_code, close_reason, on_endpoint_loss, park_timeout, park_buffer, replay_first] = object;
  visit("allowed", allowed);
  visit("idle_timeout", idle_timeout);
  visit("max_duration", max_duration);
  visit("max_message", max_message);
  visit("strict", strict);
  visit("ping_interval", ping_interval);
  visit("pong_timeout", pong_timeout);
  visit("close_over", close_over);
  visit("close_code", close_code);
  visit("close_reason", close_reason);
  visit("on_endpoint_loss", on_endpoint_loss);
  visit("park_timeout", park_timeout);
  visit("park_buffer", park_buffer);
  visit("replay_first", replay_first);
}

template <class Visit>
void each_field(const RouteConfig& object, const Visit& visit) {
  const auto& [name, match, pool, redirect, respond, strip_prefix, add_prefix, request_headers, response_headers,
               websocket, max_body_bytes, allow_encoded_slash, retry_with_idempotency_key] = object;
  visit("name", name);
  visit("match", match);
  visit("pool", pool);
  visit("redirect", redirect);
  visit("respond", respond);
  visit("strip_prefix", strip_prefix);
  visit("add_prefix", add_prefix);
  visit("request_headers", request_headers);
  visit("response_headers", response_headers);
  visit("websocket", websocket);
  visit("max_body_bytes", max_body_bytes);
  visit("allow_encoded_slash", allow_encoded_slash);
  visit("retry_with_idempotency_key", retry_with_idempotency_key);
}

template <class Visit>
void each_field(const DnsConfig& object, const Visit& visit) {
  const auto& [servers, min_ttl, max_ttl, timeout, max_addresses] = object;
  visit("servers", servers);
  visit("min_ttl", min_ttl);
  visit("max_ttl", max_ttl);
  visit("timeout", timeout);
  visit("max_addresses", max_addresses);
}

template <class Visit>
void each_field(const IncidentsConfig& object, const Visit& visit) {
  const auto& [settle, keep, max_bytes] = object;
  visit("settle", settle);
  visit("keep", keep);
  visit("max_bytes", max_bytes);
}

template <class Visit>
void each_field(const AlertConfig& object, const Visit& visit) {
  const auto& [name, url, secret, ca, timeout, give_up_after, minor] = object;
  visit("name", name);
  visit("url", url);
  visit("secret", secret);
  visit("ca", ca);
  visit("timeout", timeout);
  visit("give_up_after", give_up_after);
  visit("minor", minor);
}

template <class Visit>
void each_field(const DrillConfig& object, const Visit& visit) {
  const auto& [name, scenario, title, at, pools, grace] = object;
  visit("name", name);
  visit("scenario", scenario);
  visit("title", title);
  visit("at", at);
  visit("pools", pools);
  visit("grace", grace);
}

template <class Visit>
void each_field(const Config& object, const Visit& visit) {
  const auto& [server, admin, log, dns, incidents, alerts, drills, listeners, pools, routes] = object;
  visit("server", server);
  visit("admin", admin);
  visit("log", log);
  visit("dns", dns);
  visit("incidents", incidents);
  visit("alerts", alerts);
  visit("drills", drills);
  visit("listeners", listeners);
  visit("pools", pools);
  visit("routes", routes);
}

// "pools[0].check.path = /healthz", one line a value.
class Dump {
public:
  template <class T>
  Dump(const std::string& name, const T& object) {
    add(name, object);
  }
  std::vector<std::string> lines() const { return lines_; }

private:
  void line(const std::string& path, const std::string& value) { lines_.push_back(path + " = " + value); }

  void add(const std::string& path, const std::string& value) { line(path, "'" + value + "'"); }
  void add(const std::string& path, const Secret& value) { line(path, "secret '" + value.value + "'"); }
  void add(const std::string& path, const Duration& value) { line(path, std::to_string(value.count()) + "ms"); }
  void add(const std::string& path, const Address& value) {
    line(path, value.text + "|" + value.host + "|" + std::to_string(value.port) + "|" + value.path);
  }
  void add(const std::string& path, const Cidr& value) {
    line(path, value.base.ip_string() + "/" + std::to_string(value.prefix));
  }
  void add(const std::string& path, const NameValue& value) { line(path, value.first + ": " + value.second); }
  template <class T>
  void add(const std::string& path, const std::optional<T>& value) {
    if (value) {
      add(path, *value);
    } else {
      line(path, "nothing");
    }
  }
  template <class T>
  void add(const std::string& path, const std::vector<T>& values) {
    line(path + ".size", std::to_string(values.size()));
    for (std::size_t i = 0; i < values.size(); ++i) add(path + "[" + std::to_string(i) + "]", values[i]);
  }
  template <class T>
  void add(const std::string& path, const T& value) {
    if constexpr (std::is_enum_v<T>) {
      line(path, "#" + std::to_string(static_cast<int>(value)));
    } else if constexpr (std::is_floating_point_v<T>) {
      std::ostringstream exact;
      exact << std::hexfloat << value;
      line(path, exact.str());
    } else if constexpr (std::is_arithmetic_v<T>) {
      line(path, std::to_string(value));
    } else {
      each_field(value, [&](const char* name, const auto& field) { add(path + "." + name, field); });
    }
  }

  std::vector<std::string> lines_;
};

inline std::vector<std::string> dump(const Config& config) { return Dump("config", config).lines(); }

}  // namespace understudy::config
