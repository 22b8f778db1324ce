#include "health/drill/history.hpp"

#include <algorithm>
#include <utility>

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

constexpr std::size_t most_missed = 4000;  // ten years of a daily one

// The last one up to `wall`, by the clock that shows `now`.
Wall newest_due(const config::WeekTime& at, Wall wall, const LocalTime& now) {
  constexpr std::int64_t week = 7 * 24 * 60;
  const auto back =
      (std::chrono::floor<std::chrono::minutes>(now.wall) - std::chrono::floor<std::chrono::minutes>(wall)).count();
  std::int64_t minute = (static_cast<std::int64_t>(now.weekday) * 24 * 60 + now.minute - back) % week;
  if (minute < 0) minute += week;
  return std::chrono::floor<std::chrono::minutes>(wall) -
         std::chrono::minutes(
             at.minutes_since(static_cast<unsigned>(minute / (24 * 60)), static_cast<unsigned>(minute % (24 * 60))));
}

// Between two times that it is due, in the week before `due`.
Wall::duration shortest_gap(const config::WeekTime& at, Wall due, const LocalTime& now) {
  Wall::duration gap = std::chrono::hours(7 * 24);
  for (const Wall week = due - gap; due > week;) {
    const Wall before = newest_due(at, due - std::chrono::minutes(1), now);
    gap = std::min(gap, due - before);
    due = before;
  }
  return gap;
}

}  // namespace

void DrillHistory::begin(DrillRecord record) {
  std::erase_if(under_way, [&](const DrillRecord& one) { return one.pool == record.pool; });
  under_way.push_back(std::move(record));
}

bool DrillHistory::end_orphans(Wall now) {
  std::vector<DrillRecord> orphans = std::exchange(under_way, {});
  for (DrillRecord& record : orphans) {
    record.ended = std::max(record.began, now);
    record.why = "the end of the process that ran it, which had no time to write down what came of it";
    add(std::move(record));
  }
  return !orphans.empty();
}

void DrillHistory::add(DrillRecord record) {
  std::erase_if(under_way, [&](const DrillRecord& one) { return one.pool == record.pool && one.name == record.name; });
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
      // What was made a little before it was due is made; of what is due every day, not long before.
      one.due = newest_due(*at, now.wall, now);
      const auto early = std::min<Wall::duration>(drill.grace, shortest_gap(*at, *one.due, now) / 4);
      one.after = one.made ? std::max(duty->since, *one.made + early + std::chrono::milliseconds(1)) : duty->since;
      if (*one.due < duty->since) {
        one.due.reset();
        continue;
      }
      if (*one.due < one.after) continue;  // the last was made
      // The first that was missed, however many came after it.
      Wall missed = *one.due;
      for (std::size_t i = 0; i < most_missed; ++i) {
        const Wall before = newest_due(*at, missed - std::chrono::minutes(1), now);
        if (before < one.after) break;
        missed = before;
      }
      one.due = missed;
      one.overdue = now.wall > missed + drill.grace;
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
