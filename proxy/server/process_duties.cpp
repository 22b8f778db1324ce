// Live drills that were made, kept over restarts; and those that have to be made, and who is told when they are not.
#include <boost/json.hpp>

#include <ctime>

#include "health/incident/words.hpp"
#include "proxy/server/process.hpp"

namespace understudy::server {

namespace json = boost::json;

namespace {

constexpr std::chrono::seconds kLookEvery{1};

health::LocalTime local_time() {
  const auto wall = std::chrono::round<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const std::time_t now = std::chrono::system_clock::to_time_t(wall);
  std::tm local{};
  ::localtime_r(&now, &local);
  return {wall, (static_cast<unsigned>(local.tm_wday) + 6) % 7,
          static_cast<unsigned>(local.tm_hour * 60 + local.tm_min)};
}

json::value instant_or_null(const std::optional<health::Wall>& at) {
  return at ? json::value(incident::instant(*at)) : json::value(nullptr);
}

json::value ms_or_null(const std::optional<std::chrono::milliseconds>& time) {
  return time ? json::value(time->count()) : json::value(nullptr);
}

}  // namespace

// Waits for the disk, before anything is served.
void Process::open_drill_book() {
  std::string problem;
  drill_book_.open(
      state_dir_.kept() ? state_dir_.drills() : std::string(),
      [this](std::function<void()> work) { return files_->write_later("drills", std::move(work)); }, local_time().wall,
      problem);
  if (!problem.empty()) log(observe::Level::warn, problem);
}

// `now`: also those of which the last second is not counted yet, since nobody may be here to write it down later.
void Process::record_drills(bool now) {
  for (health::DrillRecord& record : drills_.take_records(instant(), now)) drill_book_.add(std::move(record));
}

void Process::look_at_duties(TimePoint now) {
  record_drills(false);
  if (now - duties_looked_at_ < kLookEvery || taking_over_) return;
  duties_looked_at_ = now;
  const std::vector<config::DrillConfig>& drills = plan_->config.drills;
  if (drills.empty() && drill_book_.history().duties.empty()) {
    duties_.clear();
    return;
  }
  const health::LocalTime local = local_time();
  drill_book_.follow(drills, local.wall);
  duties_ = drills_due(drills, drill_book_.history(), local);
  std::set<std::string> overdue;
  for (const health::DrillDue& duty : duties_) {
    if (!duty.overdue) continue;
    const std::string key =
        "drill-overdue-" + duty.drill + "-" + duty.pool + "-" + std::to_string(duty.after.time_since_epoch().count());
    overdue.insert(key);
    if (overdue_told_.contains(key)) continue;
    const std::string text = "drill '" + duty.drill + "' of pool '" + duty.pool + "' is overdue: it was due " +
                             incident::instant(*duty.due) + ", and was last made " +
                             (duty.made ? incident::instant(*duty.made) : std::string("never"));
    log(observe::Level::warn, text);
    alerts_->announce("drill.overdue", key, duty.pool, text);
  }
  overdue_told_ = std::move(overdue);
}

json::array Process::describe_duties() const {
  json::array out;
  for (const health::DrillDue& duty : duties_)
    out.push_back(json::object{{"drill", duty.drill},
                               {"pool", duty.pool},
                               {"due", instant_or_null(duty.due)},
                               {"made", instant_or_null(duty.made)},
                               {"overdue", duty.overdue}});
  return out;
}

json::value Process::drill_history() {
  json::array history;
  for (const health::DrillRecord& record : drill_book_.history().records)
    history.push_back(json::object{{"name", record.name},
                                   {"pool", record.pool},
                                   {"who", record.who},
                                   {"began", incident::instant(record.began)},
                                   {"ended", incident::instant(record.ended)},
                                   {"verdict", !record.complete ? "cut"
                                               : record.passed  ? "passed"
                                                                : "failed"},
                                   {"why", record.why},
                                   {"requests", record.requests},
                                   {"failed", record.failed},
                                   {"detected_ms", ms_or_null(record.detected)},
                                   {"shifted_ms", ms_or_null(record.shifted)},
                                   {"returned_ms", ms_or_null(record.returned)}});
  return json::object{{"history", std::move(history)}, {"duties", describe_duties()}};
}

}  // namespace understudy::server
