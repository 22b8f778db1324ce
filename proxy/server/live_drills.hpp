// Live drills of the running process: the desk that decides about them, and what it means to workers, probes and the API.
// Control thread only; knows neither workers nor prober.
#pragma once

#include <boost/json/object.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "config/model.hpp"
#include "health/core.hpp"
#include "health/drill/desk.hpp"
#include "health/drill/history.hpp"
#include "health/incident/incident.hpp"
#include "health/rehearsal/judge.hpp"
#include "proxy/admin/describe.hpp"
#include "proxy/net/faults.hpp"

namespace understudy::server {

// What becomes of a probe of an endpoint that a drill makes look ill.
struct DrilledProbe {
  health::ProbeResult result;
  bool at_deadline = false;  // it hangs until then
};

class LiveDrills {
public:
  using TimePoint = health::TimePoint;
  using Incidents = std::map<std::string, incident::Incident, std::less<>>;

  health::DrillDesk& desk() { return desk_; }
  const health::DrillDesk& desk() const { return desk_; }

  // Why this scenario may not begin now, or (with `drill`) not go on; nothing: it may. `local`: the time of day here.
  struct Situation {
    const health::PoolStatus& pool;
    const Incidents& incidents;  // open ones
    std::tm local{};
    TimePoint now{};
    std::chrono::milliseconds response_timeout{};
  };
  std::optional<std::string> obstacle(const config::Scenario& scenario, const Situation& situation,
                                      const health::LiveDrill* drill) const;
  // Each second, of every pool.
  void on_reading(const std::string& pool, health::GuardReading reading, TimePoint now);

  // Of the core, of any pool.
  void on_event(const health::Event& event);
  // What came of those that are over since the last call, once all of it is counted; `at_once`: as far as it is.
  std::vector<health::DrillRecord> take_records(const admin::Instant& now, bool at_once);
  // Of one that has just begun.
  health::DrillRecord begun(const health::LiveDrill& drill, const admin::Instant& now) const;

  // Null while nothing is in force.
  std::shared_ptr<const net::Faults> faults_of(const health::View& view, TimePoint now);
  std::optional<DrilledProbe> probe(const std::string& pool, const std::string& tier, const std::string& endpoint,
                                    config::CheckKind check, TimePoint now);
  // What is in force in that pool now, for the core.
  health::DrillFaults met_in(const health::LiveDrill& drill, const health::View& view, TimePoint now) const;
  // And for the record: labels of endpoints, and names of tiers that have such.
  void places_in(const health::LiveDrill& drill, const health::PoolView& pool, TimePoint now,
                 std::set<std::string>& endpoints, std::set<std::string>& tiers) const;

  boost::json::object describe(const health::LiveDrill& drill, const admin::Instant& now) const;
  std::uint64_t met() const { return met_before_ + met_now(); }  // attempts, over all drills
  struct Ended {
    std::uint64_t complete = 0, cut = 0, refused = 0;
  } ended;

private:
  static std::optional<std::string> too_much(const config::Scenario& scenario, const Situation& situation);
  std::optional<std::string> nothing_beside(const health::LiveDrill& drill, const health::PoolStatus& pool,
                                            TimePoint now) const;
  health::DrillRecord record_of(const health::LiveDrill& drill, std::vector<health::Told> events,
                                const admin::Instant& now) const;
  std::uint64_t met_now() const;
  std::uint64_t met_by(const health::LiveDrill& drill) const;

  health::DrillDesk desk_;
  std::map<std::uint64_t, std::shared_ptr<std::atomic<std::uint64_t>>> met_;  // by fault
  std::uint64_t met_before_ = 0;
  std::map<std::uint64_t, std::vector<health::Told>> told_;                      // by drill, until it is recorded
  std::map<std::string, std::deque<health::GuardReading>, std::less<>> recent_;  // by pool
};

}  // namespace understudy::server
