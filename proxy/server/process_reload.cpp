// Reload: all of it or nothing (law 10), without losing a connection.
#include <boost/json.hpp>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "proxy/server/process.hpp"

namespace understudy::server {

namespace json = boost::json;

namespace {
constexpr std::chrono::seconds kWatchEvery{1};
constexpr std::size_t kCallersMax = 64;

std::string stamp_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  return std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec) + ":" +
         std::to_string(info.st_size) + ":" + std::to_string(info.st_ino);
}

// Reads the file, or asks whoever stands in for it. Any thread.
config::LoadResult load(const RunOptions& options, std::string& text) {
  if (options.builtin) return options.builtin();
  std::ifstream in(options.config_path);
  if (!in) {
    config::LoadResult failed;
    config::Diagnostic d;
    d.file = options.config_path;
    d.message = "cannot read the configuration file";
    failed.diagnostics.push_back(d);
    return failed;
  }
  std::stringstream content;
  content << in.rdbuf();
  text = content.str();
  return config::load(text, options.config_path, system_context());
}

admin::Reply check(const RunOptions& options) {
  try {
    std::string text;
    const config::LoadResult loaded = load(options, text);
    if (!loaded.config)
      return admin::Problem{422, "The configuration has errors", config::render(loaded.diagnostics, text)};
    return json::value{{"result", "valid"}, {"diagnostics", config::render(loaded.diagnostics, text)}};
  } catch (const std::exception& e) {
    return admin::Problem{500, "Not checked", e.what()};
  }
}
}  // namespace

namespace {
// The question to an agent, as a check: a connection to its port, for as long as a probe may take.
std::shared_ptr<const config::CheckConfig> agent_check(const config::CheckConfig& written) {
  if (written.agent_port == 0) return nullptr;
  auto check = std::make_shared<config::CheckConfig>();
  check->kind = config::CheckKind::tcp;
  check->port = written.agent_port;
  check->agent_send = written.agent_send;
  return check;
}
}  // namespace

Process::ProbeSettings::ProbeSettings(const config::Config& config) {
  static const config::UpstreamTls plain_tls_check{};
  for (const config::PoolConfig& pool : config.pools) {
    checks.push_back(std::make_shared<const config::CheckConfig>(pool.check));
    agents.push_back(agent_check(pool.check));
    auto& requests = synthetic.emplace_back();
    for (const config::FitnessConfig& request : pool.fitness) requests.emplace_back(request);
    const bool only_checked = !pool.tls && pool.check.kind == config::CheckKind::tls;
    tls.push_back(pool.tls || only_checked
                      ? std::make_shared<const probe::TlsSettings>(pool.tls ? *pool.tls : plain_tls_check)
                      : nullptr);
  }
}

struct Process::Candidate {
  RunOptions options;
  std::shared_ptr<const net::Plan> previous;
  // What comes of it: a plan with all that belongs to it, or why not.
  config::LoadResult loaded;
  std::shared_ptr<const net::Plan> plan;
  ProbeSettings probes;
  std::vector<PreparedAlert> alerts;
  std::string refusal;
};

// Everything that may wait for a disk.
void Process::prepare(Candidate& candidate, const PlanBuilder& plans) {
  try {
    std::string text;
    candidate.loaded = load(candidate.options, text);
    if (!candidate.loaded.config) {
      candidate.refusal = config::render(candidate.loaded.diagnostics, text);
      return;
    }
    candidate.plan = plans.build(*candidate.loaded.config, candidate.previous.get());
    candidate.probes = ProbeSettings(candidate.plan->config);
    candidate.alerts = prepare_alerts(candidate.plan->config);
  } catch (const std::exception& e) {
    candidate.refusal = e.what();
    candidate.plan = nullptr;
  }
}

admin::Reply Process::apply_config(Candidate& candidate) {
  const auto refused = [](const std::string& why) { return admin::Problem{422, "The configuration was refused", why}; };
  if (!candidate.plan) return refused(candidate.refusal);
  const config::Config& before = plan_->config;
  const std::shared_ptr<const net::Plan> plan = candidate.plan;
  std::vector<std::string> restart = config::restart_only_changes(before, plan->config);
  try {
    resolver_->configure(plan->config.dns);
  } catch (const std::exception& e) {
    return refused(e.what());
  }
  if (std::string error = listeners_.open(*plan, static_cast<unsigned>(workers_.size())); !error.empty()) {
    resolver_->configure(before.dns);
    return refused(error);
  }

  // From here on nothing can fail.
  const TimePoint now = note_time();
  cut_drills("", "a reload of the configuration");
  core_.configure(plan->config, now);
  probes_ = std::move(candidate.probes);
  listeners_.withdraw(workers_);
  series_at_ = now;
  incidents_->on_series(before, counters_, moment());
  publish(plan);
  loaded_ = std::move(candidate.loaded);
  incidents_->on_series(plan_->config, counters_, moment());
  incidents_->on_config(plan_->config.incidents, describe_config(), moment());
  alerts_->configure(candidate.alerts);
  names_->reconfigure(probe::names_of(plan_->config));
  listeners_.serve(workers_);
  admin_->update(plan_->config.admin);
  files_->set_level(static_cast<observe::Level>(plan_->config.log.level));
  const std::uint64_t fit =
      connections_that_fit(descriptors_, plan_->config.server.fd_reserve, static_cast<unsigned>(workers_.size()),
                           plan_->config.listeners.size());
  shared_->max_connections =
      plan_->config.server.max_connections ? std::min(*plan_->config.server.max_connections, fit) : fit;
  shared_->addresses.set_limit(plan_->config.server.max_connections_per_ip);
  pump();
  save_state_soon();

  json::array warnings;
  for (const config::Diagnostic& d : loaded_.diagnostics)
    warnings.emplace_back(d.file + ":" + std::to_string(d.line) + ": " + d.message);
  json::array needs_restart;
  for (std::string& key : restart) needs_restart.emplace_back(std::move(key));
  return json::value{{"result", "reloaded"},
                     {"generation", plan_->generation},
                     {"warnings", warnings},
                     {"needs_restart", needs_restart}};
}

void Process::reload(std::function<void(admin::Reply)> done) {
  if (stop_ != Stop::no) {
    done(admin::Problem{409, "Stopping", "this process is stopping; there is nothing to reload"});
    return;
  }
  if (reload_callers_.size() >= kCallersMax) {
    done(admin::Problem{503, "Busy",
                        "a reload is still reading its files, and " + std::to_string(kCallersMax) +
                            " more wait for it; look for a disk that does not answer"});
    return;
  }
  reload_callers_.push_back(std::move(done));
  begin_reload();
}

// All who asked by now share one reload; who asks while it reads gets the next one, since the file may have changed meanwhile.
void Process::begin_reload() {
  if (reload_callers_.empty() || reading_) return;
  reading_ = true;
  manager_.say("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_us()));
  auto candidate = std::make_shared<Candidate>();
  candidate->options = options_;
  candidate->previous = plan_;
  auto callers = std::exchange(reload_callers_, {});
  const auto finish = [this, candidate, callers] {
    finish_reload(*candidate, callers);
    begin_reload();
  };
  try {
    loader_.run([candidate, plans = plans_] { prepare(*candidate, *plans); }, finish);
  } catch (const std::system_error& e) {
    candidate->refusal = std::string("no thread can be started to read the configuration: ") + e.what();
    finish_reload(*candidate, callers);
  }
}

void Process::finish_reload(Candidate& candidate, const ReloadCallers& callers) {
  reading_ = false;
  admin::Reply reply = stop_ == Stop::no
                           ? apply_config(candidate)
                           : admin::Problem{409, "Stopping", "this process began to stop; nothing was reloaded"};
  manager_.say("READY=1");
  if (std::holds_alternative<admin::Problem>(reply)) {
    ++reloads_refused_;
    last_reload_ok_ = false;
    log(observe::Level::error,
        "reload refused, the old configuration keeps serving: " + std::get<admin::Problem>(reply).detail);
    for (const auto& done : callers) done(reply);
    return;
  }
  ++reloads_ok_;
  last_reload_ok_ = true;
  last_reload_at_ = std::chrono::system_clock::now();
  const json::value& value = std::get<json::value>(reply);
  std::string note = "configuration reloaded, generation " + std::to_string(plan_->generation);
  for (const json::value& key : value.at("needs_restart").as_array())
    note += "; " + std::string(key.as_string()) + " changes only with a restart";
  log(observe::Level::info, note);
  for (const auto& done : callers) reloads_.push_back({snapshot_version_, value, done});
  finish_reloads();
}

// A reload has happened when every worker serves by it.
void Process::finish_reloads() {
  std::uint64_t oldest = UINT64_MAX;
  for (const auto& worker : workers_) oldest = std::min(oldest, worker->applied_version());
  for (auto it = reloads_.begin(); it != reloads_.end();) {
    if (it->version > oldest) {
      ++it;
      continue;
    }
    auto finished = std::move(*it);
    it = reloads_.erase(it);
    finished.done(std::move(finished.reply));
  }
}

void Process::watch_config() {
  watch_timer_.expires_after(kWatchEvery);
  watch_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) watch_config();
  });
  if (loader_.pending() > 0 || stop_ != Stop::no || successor_) return;
  auto stamp = std::make_shared<std::string>();
  loader_.run([stamp, path = options_.config_path] { *stamp = stamp_of(path); },
              [this, stamp] { look_at_config(*stamp); });
}

void Process::look_at_config(const std::string& stamp) {
  if (stamp.empty() || stamp == config_stamp_) return;
  if (config_stamp_.empty()) {
    config_stamp_ = stamp;
  } else if (stamp == pending_stamp_) {
    config_stamp_ = stamp;
    pending_stamp_.clear();
    reload([](const admin::Reply&) {});
  } else {
    pending_stamp_ = stamp;  // editors write in steps: only a file that has not changed since the last look is taken
  }
}

void Process::check_config(std::function<void(admin::Reply)> done) {
  if (loader_.pending() >= kCallersMax) {
    done(admin::Problem{503, "Busy",
                        "a reload or a check is still reading its files; look for a disk that does not answer"});
    return;
  }
  auto reply = std::make_shared<admin::Reply>();
  try {
    loader_.run([reply, options = options_] { *reply = check(options); }, [reply, done] { done(*reply); });
  } catch (const std::system_error& e) {
    done(admin::Problem{503, "Not checked", std::string("no thread can be started to read it: ") + e.what()});
  }
}

}  // namespace understudy::server
