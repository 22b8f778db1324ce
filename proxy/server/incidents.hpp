// The incident record of the running process: what the control thread learns goes to the recorder, what that writes goes to the
// disk and to whoever wants to be told (alerts). Control thread only; never waits.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "health/incident/recorder.hpp"
#include "proxy/server/incident_store.hpp"
#include "proxy/server/pool_series.hpp"

namespace understudy::server {

class Incidents {
public:
  // A line for the event log: a problem, or that it is over.
  using Log = std::function<void(bool problem, const std::string& text)>;
  // Every record, after the incident has taken it in; null when that was all for now.
  using Listener = std::function<void(const incident::Incident&, const incident::Record*)>;
  struct Options {
    std::string folder;  // "": nothing is kept beyond this process
    config::IncidentsConfig config;
    std::string fingerprint;  // of the configuration
    IncidentStore::Later later;
    Log log;
  };

  // Reads what a former process left: waits for the disk.
  Incidents(Options options, const incident::Moment& now);
  void listen(Listener listener) { listener_ = std::move(listener); }
  // Every second, each pool: for whoever watches the clients too.
  using Watcher = std::function<void(const std::string& pool, const incident::Series&)>;
  void watch(Watcher watcher) { watcher_ = std::move(watcher); }

  void on_event(const health::Event& event, const std::string& who, const incident::Moment& now);
  void on_act(const std::string& pool, const std::string& who, const std::string& text, const incident::Moment& now);
  void on_drill(const std::string& pool, const std::string& name, const incident::Moment& now);
  void on_drill_faults(const std::string& pool, const std::set<std::string>& endpoints,
                       const std::set<std::string>& tiers, const incident::Moment& now);
  void on_config(const config::IncidentsConfig& config, std::string fingerprint, const incident::Moment& now);
  void on_status(std::span<const health::PoolStatus> pools, const incident::Moment& now);
  bool wants_status(health::TimePoint now) const { return recorder_->wants_status(now); }
  // Each second.
  void on_series(const config::Config& config, const PoolSeries::Counters& counters, const incident::Moment& now);

  // At the end of a stop in good order, after the last series.
  void on_stop(const incident::Moment& now);

  // By number. Closed ones without entries and samples where they are kept on disk.
  const std::map<std::uint64_t, incident::Incident>& closed() const { return closed_; }
  const std::map<std::string, incident::Incident, std::less<>>& open() const { return recorder_->open(); }
  const std::string& folder() const { return options_.folder; }
  // Whole, if it need not be read from the disk.
  const incident::Incident* whole(std::uint64_t number) const;

  struct Totals {
    std::array<std::uint64_t, 3> by_severity{};  // closed since the start of this process
    std::uint64_t opened = 0, dropped = 0, errors = 0;
  };
  const Totals& totals() const { return totals_; }

private:
  void flush();
  void look_after_disk(health::TimePoint now);

  Options options_;
  Listener listener_;
  Watcher watcher_;
  std::optional<incident::Recorder> recorder_;
  std::unique_ptr<IncidentStore> store_;
  PoolSeries series_;
  std::map<std::uint64_t, incident::Incident> closed_;
  // Those under way as far as flush() has told: the recorder may be ahead.
  std::map<std::uint64_t, incident::Incident> told_;
  Totals totals_;
  std::string trouble_;
  health::TimePoint trouble_told_{};
  std::uint64_t dropped_told_ = 0;
};

}  // namespace understudy::server
