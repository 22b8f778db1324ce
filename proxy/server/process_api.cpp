// What the admin API shows and does.
#include <boost/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "proxy/admin/describe_incident.hpp"
#include "proxy/server/build_commit.hpp"
#include "proxy/server/process.hpp"

namespace understudy::server {

namespace json = boost::json;

namespace {
constexpr std::chrono::seconds kWedged{5};  // a worker that has not come round for this long, with work waiting
}

admin::Readiness Process::livez() {
  // Reached this thread, so the control loop ticks. Workers sleep without bound when idle; a posted message wakes them.
  admin::Readiness out{true, "control: ok\n"};
  const std::uint64_t newest = snapshot_version_;
  for (const auto& worker : workers_) {
    const bool behind =
        worker->applied_version() < newest && std::chrono::steady_clock::now() - worker->last_turn() > kWedged;
    out.lines += "worker " + std::to_string(worker->index()) + (behind ? ": stuck\n" : ": ok\n");
    out.ready &= !behind;
  }
  return out;
}

admin::Readiness Process::readyz() {
  admin::Readiness out;
  if (stop_ != Stop::no) {
    out.lines = "draining: shutting down\n";
    return out;
  }
  for (const health::PoolStatus& pool : core_.status()) {
    const bool serves = pool.active < pool.tiers.size() && pool.tiers[pool.active].serviceable && !pool.maintenance;
    out.ready |= serves;
    out.lines += "pool " + pool.name + ": " +
                 (pool.maintenance ? "maintenance"
                  : serves         ? "ok"
                                   : "no available endpoint") +
                 "\n";
  }
  return out;
}

json::value Process::status() {
  const auto pools = core_.status();
  json::object out = admin::describe_status(pools, instant());
  json::array& described = out["pools"].as_array();
  for (std::size_t i = 0; i < described.size(); ++i) {
    const std::size_t index = plan_index(pools[i].name, i);
    add_openings(described[i].as_object(), pools[i], index);
    add_parked(described[i].as_object(), index);
  }
  json::array listeners;
  for (const auto& bound : listeners_.bound()) {
    bool tls = false;
    for (const auto& listener : plan_->config.listeners)
      if (listener.name == bound.name) tls = listener.tls.has_value();
    listeners.push_back({{"name", bound.name}, {"address", bound.address}, {"tls", tls}});
  }
  out["listeners"] = std::move(listeners);
  json::array open;
  for (const auto& [pool, incident] : incidents_->open()) open.push_back(admin::describe_incident(incident));
  out["incidents"] = std::move(open);
  json::array drilled;
  for (const auto& [id, drill] : drills_.desk().all())
    if (drill.state == health::LiveDrill::State::running) drilled.push_back(drills_.describe(drill, instant()));
  out["drills"] = std::move(drilled);
  out["drill_duties"] = describe_duties();
  std::uint64_t connections = 0, tunnels = 0;
  for (const auto& worker : workers_) {
    connections += worker->open_connections();
    tunnels += worker->open_tunnels();
  }
  out["process"] = {{"version", UNDERSTUDY_VERSION},
                    {"pid", static_cast<std::int64_t>(::getpid())},
                    {"started_at", admin::rfc3339(started_wall_)},
                    {"config", options_.config_path.empty() ? std::string("built in") : options_.config_path},
                    {"generation", plan_->generation},
                    {"last_reload_ok", last_reload_ok_},
                    {"last_reload_at", admin::rfc3339(last_reload_at_)},
                    {"workers", workers_.size()},
                    {"connections", connections},
                    {"tunnels", tunnels},
                    {"max_connections", shared_->max_connections.load()},
                    {"snapshots_alive", net::Snapshot::alive().load()},
                    {"starved", starved_times_},
                    {"stopping", stop_ != Stop::no}};
  return out;
}

json::value Process::pools() {
  json::array out;
  for (const health::PoolStatus& pool : core_.status()) out.push_back(describe_pool(pool));
  return json::object{{"pools", std::move(out)}};
}

admin::Reply Process::pool(const std::string& name) {
  std::string known;
  for (const health::PoolStatus& pool : core_.status()) {
    if (pool.name == name) return json::value(describe_pool(pool));
    known += (known.empty() ? "" : ", ") + pool.name;
  }
  return admin::Problem{404, "No such pool", "no pool '" + name + "'; pools: " + known};
}

json::value Process::events(std::uint64_t since) {
  json::array list;
  for (const auto& entry : events_.entries())
    if (entry.id > since) list.push_back(admin::describe_event(entry.event, entry.id, instant()));
  // Whose numbers these are: they begin anew in the process that takes over in a binary upgrade.
  return json::object{
      {"events", std::move(list)}, {"next", events_.last_id()}, {"pid", static_cast<std::int64_t>(::getpid())}};
}

json::value Process::config() { return json::object{{"toml", config::show(loaded_, true)}}; }

json::value Process::version() {
  return json::object{{"version", UNDERSTUDY_VERSION}, {"commit", build_commit()}, {"compiler", __VERSION__}};
}

namespace {
// What the caller of a command saw, if the command rests on it.
std::optional<std::uint64_t> expected_epoch(const health::Command& command) {
  return std::visit(
      [](const auto& order) -> std::optional<std::uint64_t> {
        if constexpr (requires { order.expected_epoch; }) return order.expected_epoch;
        return std::nullopt;
      },
      command);
}
}  // namespace

admin::Reply Process::command(const health::Command& command, const std::string& pool_name, const std::string& who) {
  const TimePoint now = note_time();
  const health::CommandResult result = core_.on_command(command, now);
  note_act(command, pool_name, who, result);
  if (!result.ok) {
    bool stale = false;
    if (const auto expected = expected_epoch(command))
      for (const health::PoolStatus& pool : core_.status()) stale |= pool.name == pool_name && pool.epoch != *expected;
    return admin::Problem{409, stale ? "Stale epoch" : "Not done", result.error};
  }
  log(observe::Level::info,
      "operator (" + who + ") changed " + (pool_name.empty() ? std::string("an endpoint") : "pool " + pool_name));
  const struct Acting {
    std::string& name;
    ~Acting() { name.clear(); }
  } acting{acting_ = who};
  pump();
  cut_drills(pool_name, "an order of " + who);  // law 4
  save_state_soon();
  if (!pool_name.empty()) return pool(pool_name);
  return pools();
}

admin::Reply Process::reopen_logs() {
  files_->reopen();
  pass_on(SIGUSR1);
  log(observe::Level::info, "logs reopened");
  return json::value{{"result", "reopened"}};
}

admin::Reply Process::stop(bool now) {
  begin_stop(now);
  return json::value{{"result", now ? "stopping at once" : "stopping"}};
}

}  // namespace understudy::server
