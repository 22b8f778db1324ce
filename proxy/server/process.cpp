#include "proxy/server/process.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>

#include "proxy/admin/listener.hpp"

namespace understudy::server {

namespace {
std::uint64_t seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}
constexpr std::chrono::milliseconds kStopPoll{20};
constexpr std::chrono::seconds kExtendBy{15};  // asked of the service manager while a stop takes its time
}  // namespace

Process::Process(const RunOptions& options, config::LoadResult loaded)
    : options_(options),
      loaded_(std::move(loaded)),
      io_(1),
      core_timer_(io_),
      sample_timer_(io_),
      stop_timer_(io_),
      watch_timer_(io_),
      upgrade_timer_(io_),
      signals_(io_),
      plans_(std::make_shared<PlanBuilder>()),
      core_(seed()),
      loader_(io_) {}

Process::~Process() {
  keeper_.reset();  // with it whoever waits for the disk
  for (const auto& worker : workers_) worker->post([w = worker.get()] { w->finish(); });
  for (std::thread& thread : threads_) thread.join();
}

void Process::log(observe::Level level, const std::string& text) {
  if (files_) files_->event(level, text);
}

admin::Instant Process::instant() const { return {std::chrono::steady_clock::now(), std::chrono::system_clock::now()}; }

// ---- start ---------------------------------------------------------------------------------------------------------

std::string Process::start() {
  const config::Config& config = *loaded_.config;
  started_wall_ = last_reload_at_ = std::chrono::system_clock::now();
  started_ = std::chrono::steady_clock::now();
  std::signal(SIGPIPE, SIG_IGN);
  program_ = own_program();
  inheritance_.read();
  taking_over_ = inheritance_.any();
  std::signal(SIGCHLD, SIG_DFL);  // as SIG_IGN, which may be inherited, exit codes of gates are lost

  Identity identity;
  std::string why;
  if (!find_identity(config.server, options_.keep_root, static_cast<bool>(options_.builtin), identity, why)) return why;
  const unsigned workers = config.server.workers.value_or(usable_cores());
  descriptors_ = raise_descriptor_limit();

  std::shared_ptr<const net::Plan> plan;
  try {
    plan = plans_->build(config, nullptr);
    probes_ = ProbeSettings(plan->config);
  } catch (const std::exception& e) {
    return e.what();
  }
  listeners_.adopt_inherited();
  listeners_.adopt(inheritance_.take_listening());
  if (std::string error = listeners_.open(*plan, workers); !error.empty()) return error;
  if (std::string error = open_state(); !error.empty()) return error;
  const admin::Opened admin_socket = open_admin_socket(config);
  if (admin_socket.fd < 0) return admin_socket.error;

  if (!identity.name.empty()) hand_over(config, identity);
  forbid_new_privileges();
  try {
    observe::FileThread::Options files;
    files.log = config.log;
    files.workers = workers;
    files_ = std::make_unique<observe::FileThread>(std::move(files));
  } catch (const std::exception& e) {
    ::close(admin_socket.fd);
    return e.what();
  }
  if (std::string error = become(identity); !error.empty()) {
    ::close(admin_socket.fd);
    return error;
  }
  if (!identity.name.empty()) listeners_.privileges_dropped();
  for (const config::Diagnostic& d : loaded_.diagnostics)
    log(observe::Level::warn,
        d.file + ":" + std::to_string(d.line) + ": " + d.message + (d.hint.empty() ? "" : "; " + d.hint));
  for (const std::string& note : start_notes_) log(observe::Level::warn, note);

  prober_ = std::make_unique<probe::Prober>(io_);
  synthetic_prober_ = std::make_unique<probe::Prober>(io_);
  resolver_ = std::make_unique<probe::Resolver>(io_, config.dns);
  names_ = std::make_unique<probe::NameWatcher>(
      io_, *resolver_, seed(),
      [this](const health::Resolution& resolution) {
        core_.on_resolved(resolution, note_time());
        pump();
      },
      [this](const probe::NameFailure& failure) {
        if (failure.in_a_row == 1) log(observe::Level::warn, "cannot resolve '" + failure.host + "': " + failure.error);
      });

  gates_ = std::make_unique<GateRunner>(io_, *resolver_);

  const TimePoint now = std::chrono::steady_clock::now();
  last_beat_ = tickets_rotated_ = now;
  adopt_tickets(now);
  core_.configure(config, now);
  restore_state(now);
  begin_keeping_state();
  open_drill_book();
  try {
    open_incidents();
  } catch (const std::exception& e) {
    ::close(admin_socket.fd);
    return e.what();
  }
  start_workers(workers);
  publish(plan);
  pump();
  names_->reconfigure(probe::names_of(config));
  admin_ = std::make_unique<admin::Server>(io_, admin::Options::from(config.admin), *this);
  if (taking_over_) {
    admin_socket_ = admin_socket.fd;
  } else {
    listeners_.serve(workers_);
    try {
      admin_->start(admin_socket.fd);
    } catch (const std::exception& e) {
      return e.what();
    }
  }
  arm_signals();
  beat();
  if (config.server.watch_config && !options_.config_path.empty()) watch_config();
  log(observe::Level::info, describe_start());
  if (taking_over_)
    take_over(now);
  else
    manager_.say("READY=1\nSTATUS=" + describe_start());
  if (options_.on_ready) options_.on_ready(describe_start());
  return {};
}

// What was made as root, and what the lesser user will have to write, replace or open from now on.
void Process::hand_over(const config::Config& config, const Identity& identity) {
  std::vector<std::string> paths;
  if (state_dir_.kept()) {
    paths = {state_dir_.path(), state_dir_.file(), state_dir_.lock_file(), state_dir_.drills()};
    for (std::string& file : IncidentStore::files(state_dir_.incidents())) paths.push_back(std::move(file));
  }
  if (config.admin.listen.is_unix()) paths.push_back(config.admin.listen.path);
  for (const std::string& path : paths) {
    // A second name of a file could be anybody's: the folder may have been the lesser user's before.
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink > 1) continue;
    if (::lchown(path.c_str(), identity.uid, identity.gid) != 0 && errno != ENOENT)
      start_notes_.push_back("cannot give '" + path + "' to user '" + identity.name + "': " + std::strerror(errno));
  }
}

std::string Process::open_state() {
  std::string why;
  switch (state_dir_.open(loaded_.config->server.state_dir, why, inheritance_.take_lock())) {
    case StateDir::Outcome::kept: return {};
    case StateDir::Outcome::in_use: return why;
    case StateDir::Outcome::not_kept:
      if (!loaded_.config->server.state_dir.empty())
        start_notes_.push_back(why + "; the active tier and operator states will not survive a restart");
      return {};
  }
  return {};
}

admin::Opened Process::open_admin_socket(const config::Config& config) {
  if (const int inherited = inheritance_.take_admin(config.admin.listen.text); inherited >= 0) return {inherited, ""};
  if (config.admin.listen.is_unix()) {
    // The runtime directory is ours to make.
    const std::string& path = config.admin.listen.path;
    if (const auto slash = path.rfind('/'); slash != std::string::npos && slash > 0)
      ::mkdir(path.substr(0, slash).c_str(), 0755);
  }
  return admin::open_listener(config.admin.listen);
}

void Process::start_workers(unsigned count) {
  const config::ServerConfig& server = loaded_.config->server;
  shared_ = std::make_unique<net::WorkerShared>(seed());
  const std::uint64_t fit =
      connections_that_fit(descriptors_, server.fd_reserve, count, loaded_.config->listeners.size());
  shared_->max_connections = server.max_connections ? std::min(*server.max_connections, fit) : fit;
  if (server.max_connections && *server.max_connections > fit)
    log(observe::Level::warn, "max_connections is " + std::to_string(*server.max_connections) +
                                  ", but the descriptor limit of " + std::to_string(descriptors_) + " allows " +
                                  std::to_string(fit) + "; raise LimitNOFILE");
  shared_->addresses.set_limit(server.max_connections_per_ip);
  shared_->max_buffer_blocks = server.max_buffer_memory.value_or(default_buffer_memory()) / net::kBlockSize;
  shared_->urgent = [this](health::EndpointId id) { boost::asio::post(io_, [this, id] { on_urgent(id); }); };
  shared_->warn = [files = files_.get()](const std::string& line) { files->event(observe::Level::warn, line); };
  for (unsigned i = 0; i < count; ++i) {
    books_.push_back(std::make_unique<observe::CounterBook>());
    workers_.push_back(std::make_unique<net::Worker>(i, *shared_, files_->ring(i)));
  }
  for (const auto& worker : workers_) shared_->workers.push_back(worker.get());
  for (const auto& worker : workers_) threads_.emplace_back([w = worker.get()] { w->run(); });
}

std::string Process::describe_start() const {
  std::string text = "understudy " UNDERSTUDY_VERSION " serves";
  for (const auto& bound : listeners_.bound()) text += " " + bound.name + " on " + bound.address + ",";
  text += " " + std::to_string(workers_.size()) + (workers_.size() == 1 ? " worker, " : " workers, ") +
          std::to_string(shared_->max_connections.load()) + " connections at most (" + std::to_string(descriptors_) +
          " descriptors), admin on " + loaded_.config->admin.listen.text;
  return text;
}

// For the service manager's status line.
std::string Process::describe_pools() const {
  constexpr std::size_t kShown = 3;
  std::string text;
  const auto pools = core_.status();
  for (std::size_t i = 0; i < pools.size() && i < kShown; ++i) {
    const health::PoolStatus& pool = pools[i];
    if (!text.empty()) text += "; ";
    text += "pool " + pool.name + ": ";
    if (pool.maintenance) {
      text += "maintenance";
    } else if (pool.active >= pool.tiers.size()) {
      text += "no tier serves";
    } else {
      const auto& tier = pool.tiers[pool.active];
      const auto up =
          std::count_if(tier.endpoints.begin(), tier.endpoints.end(), [](const auto& e) { return e.available; });
      text += tier.name + " serves, " + std::to_string(up) + "/" + std::to_string(tier.endpoints.size()) + " available";
    }
  }
  if (pools.size() > kShown) text += "; " + std::to_string(pools.size() - kShown) + " more";
  return text;
}

// ---- signals and the end -------------------------------------------------------------------------------------------

void Process::arm_signals() {
  if (!signals_armed_)
    for (const int number : {SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2}) signals_.add(number);
  signals_armed_ = true;
  signals_.async_wait([this](const boost::system::error_code& error, int number) {
    if (error) return;
    arm_signals();  // first: whatever the signal leads to, the next one is heard
    on_signal(number);
  });
}

void Process::on_signal(int number) {
  switch (number) {
    case SIGHUP:
      if (!pass_on(SIGHUP)) reload([](const admin::Reply&) {});  // the log tells how it went
      break;
    case SIGUSR1: reopen_logs(); break;
    case SIGUSR2: begin_upgrade(); break;
    case SIGINT: begin_stop(stop_ != Stop::no); break;  // a second Ctrl-C does not wait
    case SIGQUIT:
      if (stop_ == Stop::no) stop_deadline_ = TimePoint::max();
      begin_stop(false);
      break;
    default: begin_stop(false); break;
  }
}

void Process::begin_stop(bool now) {
  const TimePoint t = std::chrono::steady_clock::now();
  if (now) {
    stop_deadline_ = t;
    if (stop_ == Stop::no) log(observe::Level::info, "stopping at once");
  } else if (stop_ != Stop::no) {
    return;
  } else {
    const auto& server = loaded_.config->server;
    if (stop_deadline_ != TimePoint::max()) stop_deadline_ = t + server.shutdown_lead + server.shutdown_grace;
    log(observe::Level::info, "stopping: no new connections, what is under way is finished");
    manager_.say("STOPPING=1\nSTATUS=stopping");
  }
  if (stop_ == Stop::no) {
    cut_drills("", "the stop of this process");
    record_drills(true);
    upgrade_begun_ = false;
    successor_.reset();  // nobody is left to hand over to it
    stop_ = Stop::leading;
    lead_until_ = now ? t : t + loaded_.config->server.shutdown_lead;
  }
  continue_stop();
}

void Process::continue_stop() {
  if (stop_ == Stop::finishing) return;
  const TimePoint now = std::chrono::steady_clock::now();
  stop_timer_.expires_at(now + kStopPoll);
  stop_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) continue_stop();
  });
  if (now >= next_extension_) {
    next_extension_ = now + kExtendBy / 3;
    manager_.say("EXTEND_TIMEOUT_USEC=" + std::to_string(std::chrono::microseconds(kExtendBy).count()));
  }
  if (stop_ == Stop::leading && now >= std::min(lead_until_, stop_deadline_)) {
    stop_ = Stop::draining;
    drain_workers();
  }
  if (stop_ == Stop::draining) {
    bool empty = not_draining_->load(std::memory_order_acquire) == 0;
    for (const auto& worker : workers_) empty = empty && worker->drained();
    if (!empty && now < stop_deadline_) return;
    stop_ = Stop::finishing;
    if (!empty) log(observe::Level::warn, "the grace period is over; what is left is closed");
    finish_stop();
  }
}

// Listening sockets close once their queues are empty, so that who comes now is refused at once instead of waiting for nothing.
void Process::drain_workers() {
  listeners_.withdraw_all(workers_);
  not_draining_ = std::make_shared<std::atomic<std::size_t>>(workers_.size());
  for (const auto& worker : workers_)
    worker->post([w = worker.get(), left = not_draining_, until = stop_deadline_] {
      w->drain(until);
      left->fetch_sub(1, std::memory_order_release);
    });
}

void Process::finish_stop() {
  for (const auto& worker : workers_) worker->post([w = worker.get()] { w->finish(); });
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  if (admin_) admin_->stop();
  incidents_->on_series(plan_->config, counters_, moment());
  incidents_->on_stop(moment());
  if (state_dir_.kept()) keeper_->write("state", nullptr);
  log(observe::Level::info, "stopped");
  prober_->cancel_all();
  synthetic_prober_->cancel_all();
  release_probes("", false, std::chrono::steady_clock::now());
  gates_->cancel_all();
  io_.stop();
}

// The control loop outlives its errors: whoever waits for something re-arms before it works.
int Process::run() {
  for (;;) {
    try {
      io_.run();
      return exit_code_;
    } catch (const std::exception& e) {
      ++exceptions_;
      log(observe::Level::error, std::string("an error in the control loop, which goes on: ") + e.what());
    }
  }
}

// One set of keys for all listeners, changed as often as the most demanding one wants.
void Process::rotate_tickets(TimePoint now) {
  std::optional<config::Duration> every;
  for (const config::ListenerConfig& listener : plan_->config.listeners)
    if (listener.tls) every = every ? std::min(*every, listener.tls->ticket_rotation) : listener.tls->ticket_rotation;
  if (!every || now < tickets_rotated_ + *every) return;
  tickets_rotated_ = now;
  plans_->tickets().rotate();
  log(observe::Level::debug, "the keys of TLS session tickets were rotated");
}

}  // namespace understudy::server
