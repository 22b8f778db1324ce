// Reload: all of it or nothing (law 10), without losing a connection.
#include <boost/json.hpp>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "proxy/server/process.hpp"

namespace understudy::server {

namespace json = boost::json;

namespace {
constexpr std::chrono::seconds kWatchEvery{1};

std::string stamp_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  return std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec) + ":" +
         std::to_string(info.st_size) + ":" + std::to_string(info.st_ino);
}
}  // namespace

config::LoadResult Process::load_again(std::string& text) {
  if (options_.builtin) return options_.builtin();
  std::ifstream in(options_.config_path);
  if (!in) {
    config::LoadResult failed;
    config::Diagnostic d;
    d.file = options_.config_path;
    d.message = "cannot read the configuration file";
    failed.diagnostics.push_back(d);
    return failed;
  }
  std::stringstream content;
  content << in.rdbuf();
  text = content.str();
  return config::load(text, options_.config_path, system_context());
}

void Process::prepare_probes(const net::Plan& plan) {
  checks_.clear();
  check_tls_.clear();
  static const config::UpstreamTls plain_tls_check{};
  for (const config::PoolConfig& pool : plan.config.pools) {
    checks_.push_back(std::make_shared<const config::CheckConfig>(pool.check));
    std::shared_ptr<const probe::TlsSettings> tls;
    if (pool.tls)
      tls = std::make_shared<const probe::TlsSettings>(*pool.tls);
    else if (pool.check.kind == config::CheckKind::tls)
      tls = std::make_shared<const probe::TlsSettings>(plain_tls_check);
    check_tls_.push_back(std::move(tls));
  }
}

admin::Reply Process::apply_config(config::LoadResult loaded) {
  const config::Config before = plan_->config;
  std::vector<std::string> restart = config::restart_only_changes(before, *loaded.config);
  std::shared_ptr<const net::Plan> plan;
  try {
    plan = plans_.build(*loaded.config);
    for (const config::PoolConfig& pool : plan->config.pools)
      if (pool.tls) probe::TlsSettings check(*pool.tls);
  } catch (const std::exception& e) {
    return admin::Problem{422, "The configuration was refused", e.what()};
  }
  if (std::string error = listeners_.open(plan->config.listeners, static_cast<unsigned>(workers_.size()));
      !error.empty())
    return admin::Problem{422, "The configuration was refused", error};

  // From here on nothing can fail.
  const TimePoint now = note_time();
  core_.configure(plan->config, now);
  prepare_probes(*plan);
  publish(plan);
  loaded_ = std::move(loaded);
  resolver_->configure(plan_->config.dns);
  names_->reconfigure(probe::names_of(plan_->config));
  listeners_.apply(plan_->config.listeners, workers_);
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
  notify_manager("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_us()));
  std::string text;
  config::LoadResult loaded = load_again(text);
  admin::Reply reply;
  if (!loaded.config) {
    reply = admin::Problem{422, "The configuration was refused", config::render(loaded.diagnostics, text)};
  } else {
    reply = apply_config(std::move(loaded));
  }
  notify_manager("READY=1");
  if (std::holds_alternative<admin::Problem>(reply)) {
    ++reloads_refused_;
    last_reload_ok_ = false;
    log(observe::Level::error,
        "reload refused, the old configuration keeps serving: " + std::get<admin::Problem>(reply).detail);
    done(std::move(reply));
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
  reloads_.push_back({snapshot_version_, value, std::move(done)});
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
  const std::string stamp = stamp_of(options_.config_path);
  if (!config_stamp_.empty() && !stamp.empty() && stamp != config_stamp_) {
    // Editors write in steps: only a file that has not changed since the last look is taken.
    if (stamp == pending_stamp_) {
      config_stamp_ = stamp;
      pending_stamp_.clear();
      reload([](const admin::Reply&) {});
    } else {
      pending_stamp_ = stamp;
    }
  } else if (config_stamp_.empty()) {
    config_stamp_ = stamp;
  }
  watch_timer_.expires_after(kWatchEvery);
  watch_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) watch_config();
  });
}

admin::Reply Process::check_config() {
  std::string text;
  const config::LoadResult loaded = load_again(text);
  if (!loaded.config)
    return admin::Problem{422, "The configuration has errors", config::render(loaded.diagnostics, text)};
  return json::value{{"result", "valid"}, {"diagnostics", config::render(loaded.diagnostics, text)}};
}

}  // namespace understudy::server
