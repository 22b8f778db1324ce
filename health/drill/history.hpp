// Live drills that were made, and whether those that have to be made again and again are overdue. Values and functions of them; who
// keeps them and knows the time of day is the owner.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/calendar.hpp"
#include "config/model.hpp"

namespace understudy::health {

using Wall = std::chrono::sys_time<std::chrono::milliseconds>;

// What came of one.
struct DrillRecord {
  std::string name, pool, who;  // name: the scenario's
  Wall began{}, ended{};
  bool complete = false;  // else it was cut short, `why` says by what
  bool passed = false;    // complete, and everything that was expected held
  std::string why;        // cut short by that; or the first expectation that did not hold
  std::uint64_t requests = 0, failed = 0;
  std::optional<std::chrono::milliseconds> detected, shifted, returned;
};

// From when on it counts that a drill of the configuration is made in a pool: nobody is late with what was only just asked for.
struct DrillDuty {
  std::string drill, pool;  // drill: its name in the configuration
  Wall since{};
};

struct DrillHistory {
  static constexpr std::size_t kMost = 500;  // records; the oldest go
  std::vector<DrillRecord> records;          // the oldest first
  std::vector<DrillDuty> duties;
  std::vector<DrillRecord> under_way;  // begun and without an end so far, one per pool at most

  void begin(DrillRecord record);
  void add(DrillRecord record);
  // A process that knows of none has started: those under way were cut short by the end of the one before. True when there were any.
  bool end_orphans(Wall now);
  // Duties that the configuration has, and no others; true when that changed anything.
  bool follow(const std::vector<config::DrillConfig>& drills, Wall now);
};

// The time of day where the process runs.
struct LocalTime {
  Wall wall{};
  unsigned weekday = 0;  // 0: Monday
  unsigned minute = 0;   // of the day
};

struct DrillDue {
  std::string drill, pool;
  std::optional<Wall> due;   // the first time that was missed, else the last; nothing: not yet since it is a duty
  std::optional<Wall> made;  // complete, the last time
  Wall after{};              // what is due from then on is not made yet; the same as long as none is made
  bool overdue = false;      // missed longer ago than its grace
};
// Of each pool of each drill, in the order of the configuration.
std::vector<DrillDue> drills_due(const std::vector<config::DrillConfig>& drills, const DrillHistory& history,
                                 const LocalTime& now);

// How the newest value of a drill compares with the median of up to five before it.
struct Trend {
  std::optional<std::chrono::milliseconds> usual;  // nothing: fewer than two before it
  double change = 0;                               // +0.2: a fifth more than usual
};
// Of `values`, the oldest first; those that are nothing (it never happened) are left out of the median.
Trend trend_of(const std::vector<std::optional<std::chrono::milliseconds>>& values);

}  // namespace understudy::health
