// The control side of the running process: one thread, one io_context. It owns the health core, the probes, the names, the
// listening sockets, the workers and the admin API, and carries facts between them. Decisions are the core's, bytes are the
// workers'.
//
//   workers ── outcomes (sampled every 100 ms, urgent ones posted) ─┐
//   prober  ── results ─────────────────────────────────────────────┼─► core ─► snapshot to every worker
//   admin, signals ── commands ─────────────────────────────────────┤        └► events, state file
//   coordinator ── decisions ───────────────────────────────────────┘
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "config/load.hpp"
#include "health/coordinator.hpp"
#include "health/core.hpp"
#include "proxy/admin/control_plane.hpp"
#include "proxy/admin/describe.hpp"
#include "proxy/admin/listener.hpp"
#include "proxy/admin/server.hpp"
#include "proxy/net/worker.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/probe/name_watcher.hpp"
#include "proxy/probe/prober.hpp"
#include "proxy/probe/resolver.hpp"
#include "proxy/server/event_log.hpp"
#include "proxy/server/gates.hpp"
#include "proxy/server/listeners.hpp"
#include "proxy/server/machine.hpp"
#include "proxy/server/plan_builder.hpp"
#include "proxy/server/run.hpp"
#include "proxy/server/state_file.hpp"

namespace understudy::server {

using TimePoint = std::chrono::steady_clock::time_point;

class Process final : public admin::ControlPlane {
public:
  Process(const RunOptions& options, config::LoadResult loaded);
  ~Process() override;

  // Everything up to accepting traffic. Empty on success, else why it cannot start.
  std::string start();
  // Until a signal or the admin API ends it. Exit code.
  int run();

  // admin::ControlPlane
  admin::Readiness livez() override;
  admin::Readiness readyz() override;
  std::string metrics(bool openmetrics) override;
  boost::json::value status() override;
  boost::json::value pools() override;
  admin::Reply pool(const std::string& name) override;
  boost::json::value events(std::uint64_t since) override;
  boost::json::value config() override;
  boost::json::value version() override;
  void reload(std::function<void(admin::Reply)> done) override;
  admin::Reply command(const health::Command& command, const std::string& pool, const std::string& who) override;
  admin::Reply check_config() override;
  admin::Reply reopen_logs() override;
  admin::Reply stop(bool now) override;

private:
  // process_core.cpp: what drives the core
  TimePoint note_time();
  void pump();
  void perform(const health::StartProbe& probe);
  void perform(const health::RunGate& gate);
  void on_event(const health::Event& event);
  void arm_core_timer();
  void sample(TimePoint now);
  health::TrafficSample collect(std::uint32_t slot, bool urgent);
  void on_urgent(health::EndpointId endpoint);
  void publish(std::shared_ptr<const net::Plan> plan);
  void index_view(const health::View& view);
  void acknowledge();
  void beat();

  // process_reload.cpp
  config::LoadResult load_again(std::string& text);
  admin::Reply apply_config(config::LoadResult loaded);
  void prepare_probes(const net::Plan& plan);
  void watch_config();
  void finish_reloads();

  // process.cpp
  std::string open_state();
  static admin::Opened open_admin_socket(const config::Config& config);
  void start_workers(unsigned count);
  void arm_signals();
  void begin_stop(bool now);
  void continue_stop();
  void save_state_soon();
  void log(observe::Level level, const std::string& text);
  admin::Instant instant() const;
  std::string describe_start() const;

  // process_metrics.cpp
  struct Metrics;

  RunOptions options_;
  config::LoadResult loaded_;
  boost::asio::io_context io_;
  boost::asio::steady_timer core_timer_, sample_timer_, save_timer_, stop_timer_, watch_timer_;
  boost::asio::signal_set signals_;
  TimePoint last_beat_{};
  std::chrono::system_clock::time_point started_wall_{};
  TimePoint started_{};

  std::unique_ptr<observe::FileThread> files_;
  StateDir state_dir_;
  PlanBuilder plans_;
  std::shared_ptr<const net::Plan> plan_;
  std::shared_ptr<const health::View> view_;
  std::uint64_t snapshot_version_ = 0;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> unacknowledged_;  // snapshot version, view version
  health::Core core_;
  health::LocalCoordinator coordinator_;
  std::unique_ptr<probe::Prober> prober_;
  std::unique_ptr<probe::Resolver> resolver_;
  std::unique_ptr<probe::NameWatcher> names_;
  std::unique_ptr<GateRunner> gates_;
  std::vector<std::shared_ptr<const config::CheckConfig>> checks_;    // by pool
  std::vector<std::shared_ptr<const probe::TlsSettings>> check_tls_;  // by pool
  Listeners listeners_;
  std::unique_ptr<net::WorkerShared> shared_;
  std::vector<std::unique_ptr<observe::CounterBook>> books_;
  std::vector<std::shared_ptr<const observe::PlanCounters>> counters_;  // of plan_, per worker
  std::vector<std::unique_ptr<net::Worker>> workers_;
  std::vector<std::thread> threads_;
  std::unique_ptr<admin::Server> admin_;

  // Sampling: what was counted up to the last sample, by slot.
  struct Totals {
    health::EndpointId id;
    bool known = false;
    std::array<std::uint64_t, static_cast<std::size_t>(health::Cause::count)> outcomes{};
    using Buckets = std::array<std::uint64_t, health::latency_buckets>;
    Buckets first_byte{}, connect{}, websocket_open{};
    std::shared_ptr<health::SharedLoad> load;
  };
  std::vector<Totals> totals_;
  std::set<std::uint32_t> waiting_slots_;  // had unanswered requests at the last sample
  EventLog events_;
  std::uint64_t ticks_ = 0;

  struct PendingReload {
    std::uint64_t version;
    boost::json::value reply;
    std::function<void(admin::Reply)> done;
  };
  std::vector<PendingReload> reloads_;
  std::uint64_t reloads_ok_ = 0, reloads_refused_ = 0;
  bool last_reload_ok_ = true;
  std::chrono::system_clock::time_point last_reload_at_{};
  std::string config_stamp_;
  bool save_pending_ = false;
  bool pumping_ = false;
  enum class Stop { no, leading, draining, finishing } stop_ = Stop::no;
  TimePoint stop_deadline_{}, lead_until_{}, drain_begun_{};
  bool signals_armed_ = false;
  std::vector<std::string> start_notes_;
  std::string pending_stamp_;
  std::uint64_t starved_times_ = 0;
  std::uint64_t descriptors_ = 0;
  int exit_code_ = 0;
};

}  // namespace understudy::server
