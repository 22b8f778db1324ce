#include "health/drill/history.hpp"

#include <algorithm>

namespace understudy::health {
namespace {

constexpr std::size_t trend_of_last = 5, trend_needs = 2;

// The newest run of that scenario in that pool that went to its end.
std::optional<Wall> last_made(const DrillHistory& history, const std::string& title, const std::string& pool) {
  std::optional<Wall> made;
  for (const DrillRecord& record : history.records)
    if (record.complete && record.name == title && record.pool == pool)
      made = std::max(made.value_or(Wall{}), record.began);
  return made;
}

}  // namespace

void DrillHistory::add(DrillRecord record) {
  records.push_back(std::move(record));
  if (records.size() > kMost) records.erase(records.begin());
}

bool DrillHistory::follow(const std::vector<config::DrillConfig>& drills, Wall now) {
  std::vector<DrillDuty> wanted;
  for (const config::DrillConfig& drill : drills) {
    for (const std::string& pool : drill.pools) {
      const auto known = std::find_if(duties.begin(), duties.end(), [&](const DrillDuty& duty) {
        return duty.drill == drill.name && duty.pool == pool;
      });
      wanted.push_back(known != duties.end() ? *known : DrillDuty{drill.name, pool, now});
    }
  }
  const bool same =
      std::equal(duties.begin(), duties.end(), wanted.begin(), wanted.end(),
                 [](const DrillDuty& a, const DrillDuty& b) { return a.drill == b.drill && a.pool == b.pool; });
  duties = std::move(wanted);
  return !same;
}

std::vector<DrillDue> drills_due(const std::vector<config::DrillConfig>& drills, const DrillHistory& history,
                                 const LocalTime& now) {
  std::vector<DrillDue> out;
  for (const config::DrillConfig& drill : drills) {
    std::string problem;
    const auto at = config::parse_week_time(drill.at, &problem);
    for (const std::string& pool : drill.pools) {
      DrillDue& one = out.emplace_back();
      one.drill = drill.name;
      one.pool = pool;
      one.made = last_made(history, drill.title, pool);
      const auto duty = std::find_if(history.duties.begin(), history.duties.end(),
                                     [&](const DrillDuty& d) { return d.drill == drill.name && d.pool == pool; });
      if (!at || duty == history.duties.end()) continue;
      const Wall due = std::chrono::floor<std::chrono::minutes>(now.wall) -
                       std::chrono::minutes(at->minutes_since(now.weekday, now.minute));
      if (due < duty->since) continue;
      one.due = due;
      // Made a little before is made.
      const bool made = one.made && *one.made >= due - drill.grace;
      one.overdue = !made && now.wall > due + drill.grace;
    }
  }
  return out;
}

Trend trend_of(const std::vector<std::optional<std::chrono::milliseconds>>& values) {
  Trend trend;
  if (values.empty()) return trend;
  std::vector<std::chrono::milliseconds> before;
  for (auto it = values.rbegin() + 1; it != values.rend() && before.size() < trend_of_last; ++it)
    if (*it) before.push_back(**it);
  if (before.size() < trend_needs) return trend;
  std::sort(before.begin(), before.end());
  trend.usual = before[before.size() / 2];
  if (values.back() && trend.usual->count() > 0)
    trend.change = static_cast<double>(values.back()->count()) / static_cast<double>(trend.usual->count()) - 1;
  return trend;
}

}  // namespace understudy::health
