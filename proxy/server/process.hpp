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
#include <atomic>
#include <deque>
#include <memory>
#include <map>
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
#include "proxy/server/background.hpp"
#include "proxy/server/copies_under_way.hpp"
#include "proxy/server/decision_counts.hpp"
#include "proxy/server/drill_book.hpp"
#include "proxy/server/event_log.hpp"
#include "proxy/server/alerts.hpp"
#include "proxy/server/gates.hpp"
#include "proxy/server/handover.hpp"
#include "proxy/server/incidents.hpp"
#include "proxy/server/listeners.hpp"
#include "proxy/server/live_drills.hpp"
#include "proxy/server/machine.hpp"
#include "proxy/server/parked_watch.hpp"
#include "proxy/server/plan_builder.hpp"
#include "proxy/server/run.hpp"
#include "proxy/server/service_manager.hpp"
#include "proxy/server/state_file.hpp"
#include "proxy/server/state_keeper.hpp"

namespace understudy::observe {
class Exposition;
}
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
  std::optional<admin::Problem> refuses_changes(bool lasting) override;
  admin::Readiness livez() override;
  admin::Readiness readyz() override;
  std::string metrics(bool openmetrics) override;
  boost::json::value status() override;
  boost::json::value pools() override;
  admin::Reply pool(const std::string& name) override;
  boost::json::value events(std::uint64_t since) override;
  boost::json::value incidents() override;
  void incident(std::uint64_t number, std::function<void(admin::IncidentReply)> done) override;
  boost::json::value alerts() override;
  void test_alert(const std::string& name, std::function<void(admin::Reply)> done) override;
  admin::Reply begin_drill(const std::string& scenario, const std::string& file, const std::string& who) override;
  admin::Reply renew_drill(std::uint64_t id) override;
  admin::Reply stop_drill(std::uint64_t id, const std::string& reason, const std::string& who) override;
  admin::Reply drill(std::uint64_t id) override;
  boost::json::value drills() override;
  boost::json::value drill_history() override;
  boost::json::value config() override;
  boost::json::value version() override;
  void reload(std::function<void(admin::Reply)> done) override;
  admin::Reply command(const health::Command& command, const std::string& pool, const std::string& who) override;
  void when_kept(std::function<void(bool kept)> done) override;
  void check_config(std::function<void(admin::Reply)> done) override;
  admin::Reply reopen_logs() override;
  admin::Reply stop(bool now) override;

private:
  // process_core.cpp: what drives the core
  TimePoint note_time();
  void pump();
  void perform(const health::StartProbe& probe);
  void perform(const health::RunGate& gate);
  void perform(const health::StartSynthetic& start);
  void on_event(const health::Event& event);
  std::string_view serving_tier(std::string_view pool_name) const;
  void arm_core_timer();
  void sample(TimePoint now);
  health::TrafficSample collect(std::uint32_t slot, bool urgent);
  void on_urgent(health::EndpointId endpoint);
  void take_arrivals(TimePoint now);
  void ask_agent(const health::StartProbe& probe);
  void take_mirrors(TimePoint now);
  void send_mirror(net::MirrorSample sample, TimePoint now);
  void publish(std::shared_ptr<const net::Plan> plan);
  void index_view(const health::View& view);
  void acknowledge();
  void beat();

  // process_incidents.cpp
  void open_incidents();
  incident::Moment moment() const;
  std::string describe_config() const;  // its fingerprint
  void note_act(const health::Command& command, const std::string& pool, const std::string& who,
                const health::CommandResult& result);
  void look_at_incidents(TimePoint now);

  // process_drill.cpp
  void look_at_drills(TimePoint now);
  void look_at_guards(TimePoint now);
  void cut_drills(const std::string& pool, const std::string& why);  // "": of every pool
  void tell_drill(const health::LiveDrill& drill, TimePoint now);
  void on_drill_news(const health::DrillDesk::News& news, TimePoint now);
  void on_pool_series(const std::string& pool, const incident::Series& series);
  bool hold_probe(const health::StartProbe& probe);
  void release_probes(const std::string& pool, bool again, TimePoint now);

  // process_duties.cpp: drills that were made, and those that have to be
  void open_drill_book();
  void record_drills(bool now);
  void look_at_duties(TimePoint now);
  boost::json::array describe_duties() const;

  // process_reload.cpp
  // A configuration on its way: read, checked and built off the control thread, then taken or refused on it.
  struct Candidate;
  using ReloadCallers = std::vector<std::function<void(admin::Reply)>>;
  static void prepare(Candidate& candidate, const PlanBuilder& plans);
  void begin_reload();
  void finish_reload(Candidate& candidate, const ReloadCallers& callers);
  admin::Reply apply_config(Candidate& candidate);
  void watch_config();
  void look_at_config(const std::string& stamp);
  void finish_reloads();

  // process.cpp
  std::string open_state();
  void restore_state(TimePoint now);
  void hand_over(const config::Config& config, const Identity& identity);
  admin::Opened open_admin_socket(const config::Config& config);
  void start_workers(unsigned count);
  void arm_signals();
  void on_signal(int number);
  void begin_stop(bool now);
  void continue_stop();
  void drain_workers();
  void finish_stop();
  void rotate_tickets(TimePoint now);
  void log(observe::Level level, const std::string& text);
  admin::Instant instant() const;
  std::string describe_start() const;
  std::string describe_pools() const;

  // process_state.cpp
  void begin_keeping_state();
  void save_state_soon();
  bool write_state(const std::string& key, std::function<void()> written);

  // process_upgrade.cpp
  void begin_upgrade();
  void save_for_successor();
  void launch_successor();
  bool pass_on(int signal);
  void succeeded(const std::string& why);
  void take_over(TimePoint since);
  void adopt_tickets(TimePoint now);

  // process_metrics.cpp
  struct Metrics;

  // process_openings.cpp: what is seen of a pool's WebSocket openings
  struct OpeningsSeen {
    std::size_t waiting = 0;
    std::optional<health::Duration> estimate;  // of the last in the queue
    std::map<limit::OpeningDesk::Endpoint, limit::OpeningDesk::Seen> endpoints;
  };
  OpeningsSeen look_at_openings(std::size_t pool) const;  // its index in the plan
  void expose_openings(observe::Exposition& out, const std::vector<health::PoolStatus>& pools) const;
  boost::json::object describe_pool(const health::PoolStatus& pool) const;
  void add_openings(boost::json::object& described, const health::PoolStatus& pool, std::size_t index) const;
  // Where the plan has this pool; `likely` is looked at first. Beyond its end: nowhere.
  std::size_t plan_index(std::string_view pool, std::size_t likely) const;

  // process_parked.cpp: tunnels without an endpoint
  struct ParkedSeen {
    ParkedWatch::Seen tunnels;
    std::uint64_t kept_bytes = 0;
  };
  ParkedSeen look_at_parked(std::size_t pool) const;  // its index in the plan
  void watch_parked(TimePoint now);
  void note_heard(health::EndpointId endpoint);  // its program answered, not just its machine
  void add_parked(boost::json::object& described, std::size_t pool) const;

  RunOptions options_;
  config::LoadResult loaded_;
  boost::asio::io_context io_;
  boost::asio::steady_timer core_timer_, sample_timer_, stop_timer_, watch_timer_, upgrade_timer_;
  boost::asio::signal_set signals_;
  TimePoint last_beat_{};
  std::chrono::system_clock::time_point started_wall_{};
  TimePoint started_{};

  std::unique_ptr<observe::FileThread> files_;
  StateDir state_dir_;
  std::unique_ptr<StateKeeper> keeper_;
  ServiceManager manager_;
  std::shared_ptr<PlanBuilder> plans_;  // shared with a reload under way
  std::shared_ptr<const net::Plan> plan_;
  std::shared_ptr<const health::View> view_;
  std::uint64_t snapshot_version_ = 0;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> unacknowledged_;  // snapshot version, view version
  health::Core core_;
  health::LocalCoordinator coordinator_;
  std::unique_ptr<probe::Prober> prober_;
  std::unique_ptr<probe::Prober> synthetic_prober_;  // of its own, so that what hangs there keeps no check waiting
  std::unique_ptr<probe::Resolver> resolver_;
  std::unique_ptr<probe::NameWatcher> names_;
  // What probes need, by pool.
  struct ProbeSettings {
    std::vector<std::shared_ptr<const config::CheckConfig>> checks;
    std::vector<std::shared_ptr<const probe::TlsSettings>> tls;
    std::vector<std::vector<probe::SyntheticRequest>> synthetic;     // by pool
    std::vector<std::shared_ptr<const config::CheckConfig>> agents;  // null: none is asked
    explicit ProbeSettings(const config::Config& config);  // reads certificates; throws naming the file and the remedy
    ProbeSettings() = default;
  };
  ProbeSettings probes_;
  std::unique_ptr<GateRunner> gates_;
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
    Buckets first_byte{}, superseded{}, connect{}, websocket_open{};
    std::uint64_t openings_left = 0;
    std::shared_ptr<health::SharedLoad> load;
    observe::ClientEvidenceReader client;
  };
  std::vector<Totals> totals_;
  std::set<std::uint32_t> waiting_slots_;  // had unanswered requests at the last sample
  EventLog events_;
  std::map<std::string, ParkedWatch> parked_watch_;  // by pool
  TimePoint parked_looked_{};
  DecisionCounts counts_;
  std::unique_ptr<Incidents> incidents_;
  std::unique_ptr<Alerts> alerts_;
  LiveDrills drills_;
  TimePoint drills_looked_at_{}, duties_looked_at_{};
  DrillBook drill_book_;
  std::vector<health::DrillDue> duties_;  // as of the last look
  std::set<std::string> overdue_told_;
  struct HeldProbe {
    health::StartProbe probe;
    std::shared_ptr<boost::asio::steady_timer> timer;
  };
  std::map<std::uint32_t, HeldProbe> held_probes_;  // by slot: of endpoints that a drill makes look ill
  std::string acting_;                              // who ordered what is being carried out; "" the machine
  TimePoint series_at_{}, status_due_{};
  std::uint64_t ticks_ = 0;
  TimePoint arrivals_asked_{};
  std::uint64_t mirror_turn_ = 0;
  std::uint64_t endpoints_beyond_ = 0;  // more than the workers have room for

  struct PendingReload {
    std::uint64_t version;
    boost::json::value reply;
    std::function<void(admin::Reply)> done;
  };
  std::vector<PendingReload> reloads_;  // applied, not yet by every worker
  ReloadCallers reload_callers_;        // want a reload that has not begun to read
  bool reading_ = false;                // a reload is being prepared
  Background loader_;
  std::uint64_t reloads_ok_ = 0, reloads_refused_ = 0;
  bool last_reload_ok_ = true;
  std::chrono::system_clock::time_point last_reload_at_{};
  std::string config_stamp_;
  bool pumping_ = false;
  bool view_changed_ = false;  // the core has a view that was not published
  TimePoint publish_due_{};    // and it is not told before that
  enum class Stop { no, leading, draining, finishing } stop_ = Stop::no;
  TimePoint stop_deadline_{}, lead_until_{}, next_extension_{};
  std::shared_ptr<std::atomic<std::size_t>> not_draining_;  // workers that have not heard of it yet
  TimePoint tickets_rotated_{};
  bool signals_armed_ = false;
  std::vector<std::string> start_notes_;
  std::string pending_stamp_;
  std::uint64_t starved_times_ = 0;
  std::uint64_t exceptions_ = 0;
  std::uint64_t descriptors_ = 0;
  // A binary upgrade: as the new process, and as the old one.
  Inheritance inheritance_;
  bool taking_over_ = false;
  int admin_socket_ = -1;  // until it is served
  std::string program_;
  bool upgrade_begun_ = false;  // the state is being written
  std::unique_ptr<Successor> successor_;
  std::set<int> passed_on_;   // signals that the new process is to hear of too, once it serves
  bool handed_over_ = false;  // another process serves
  std::uint64_t upgrades_failed_ = 0;
  int exit_code_ = 0;
  CopiesUnderWay copies_;
};

}  // namespace understudy::server
