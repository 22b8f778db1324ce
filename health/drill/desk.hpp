// Live drills: at most one per pool, each a scenario on its way through its timetable, held by a lease and watched by guards.
// Pure and told the time; what it decides is carried out by its owner, the control thread.
//
//             begin()                 its length is over
//   nothing ───────────► running ────────────────────────► complete
//                           │
//                           └── lease over, a guard, cut() ──► cut: no fault is in force any more when that call returns
//
// Timers: the next fault's beginning or end, the lease, the end.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/scenario.hpp"
#include "health/latency.hpp"
#include "health/time.hpp"

namespace understudy::health {

// What clients of a pool met in a second or so, and who of them waits.
struct GuardReading {
  Duration over{};
  std::uint64_t requests = 0, failed = 0, tunnels_dropped = 0;  // answered; of them with a 5xx
  LatencyCounts duration;                                       // head's first byte to the answer's last
  std::uint32_t waiting = 0;                                    // sent to an endpoint and without an answer, now
  Duration oldest{};                                            // for how long the first of them
};

// What drills met, summed.
struct DrillCounts {
  std::uint64_t requests = 0, failed = 0, bad = 0, tunnels_dropped = 0;  // bad: failed, or slower than `slow_after`
};

struct LiveDrill {
  enum class State : std::uint8_t { running, complete, cut };
  std::uint64_t id = 0;
  State state = State::running;
  std::string why;         // it was cut
  std::string who;         // began it
  std::string pool, tier;  // that served when it began
  config::Scenario scenario;
  TimePoint began{}, ended{};
  TimePoint heard{};  // of its owner, the last time
  DrillCounts counts;
  LatencyCounts duration;  // of all that was answered
  std::deque<GuardReading> readings;
  std::size_t told = 0;  // steps of its timetable
  bool counted = false;  // it is over, and the last second of it was counted
};
std::string_view name_of(LiveDrill::State state);

// A fault in force. `id` is the same as long as it lasts, and never another's.
struct FaultInForce {
  std::uint64_t id = 0;
  const config::ScenarioFault* fault = nullptr;
  TimePoint since{};
};

class DrillDesk {
public:
  static constexpr std::size_t kKept = 16;  // drills that are over

  // News for the audit, the log and the incident record.
  struct News {
    enum class Kind : std::uint8_t { began, fault, heals, complete, cut };
    Kind kind{};
    std::uint64_t drill = 0;
    std::string text;  // a sentence
  };

  // REQUIRES: the scenario was loaded for Rung::live and fits the configuration. Its number; nothing when the pool has one under
  // way already.
  std::optional<std::uint64_t> begin(config::Scenario scenario, const std::string& pool, const std::string& tier,
                                     const std::string& who, TimePoint now);
  // Its owner is there still; false when it is not running.
  bool renew(std::uint64_t id, TimePoint now);
  // Ends it, whatever the reason; false when it is not running.
  bool cut(std::uint64_t id, const std::string& why, TimePoint now);
  // The control thread did not run for a while: nobody can be blamed for not having been heard.
  void on_starved(TimePoint now);
  // Of a pool, about each second.
  void on_reading(const std::string& pool, const GuardReading& reading, TimePoint now);
  void on_time(TimePoint now);
  std::optional<TimePoint> next_timeout() const;

  std::optional<News> poll_news();
  // Of a running drill of that pool.
  std::vector<FaultInForce> in_force(const std::string& pool, TimePoint now) const;
  bool any_running() const;
  const LiveDrill* running(const std::string& pool) const;
  const LiveDrill* find(std::uint64_t id) const;
  const std::map<std::uint64_t, LiveDrill>& all() const { return drills_; }
  // The first guard that these readings, the newest last, do not satisfy, in words.
  static std::optional<std::string> guard_broken(const config::ScenarioGuards& guards,
                                                 const std::deque<GuardReading>& readings);
  // Grows whenever faults began or ended.
  std::uint64_t version() const { return version_; }

private:
  struct Step {
    TimePoint at{};
    std::size_t fault = 0;
    bool heals = false;
  };
  static std::vector<Step> steps_of(const LiveDrill& drill);
  void advance(LiveDrill& drill, TimePoint now);
  void end(LiveDrill& drill, LiveDrill::State state, std::string why, TimePoint now);
  void tell(News::Kind kind, const LiveDrill& drill, std::string text);
  void forget_oldest();

  std::uint64_t next_ = 1;
  std::uint64_t version_ = 0;
  std::map<std::uint64_t, LiveDrill> drills_;
  std::deque<News> news_;
};

}  // namespace understudy::health
