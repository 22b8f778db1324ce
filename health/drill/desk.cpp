#include "health/drill/desk.hpp"

#include <algorithm>
#include <utility>

#include "config/scenario_keys.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

using config::ScenarioFault;
using config::ScenarioGuards;

// Faults of one drill have numbers of their own.
constexpr std::uint64_t faults_each = 1000;

std::string words_of(const ScenarioFault& fault) {
  std::string text = config::fault_kinds().at(static_cast<std::size_t>(fault.kind)) + " at " + fault.where;
  if (fault.requests < 1) text += ", " + describe_share(fault.requests) + " of the requests";
  if (!fault.header.empty()) text += ", requests with '" + fault.header + "'";
  return text;
}

TimePoint end_of(const LiveDrill& drill, const ScenarioFault& fault) {
  return drill.began + fault.until.value_or(drill.scenario.length);
}

}  // namespace

std::string_view name_of(LiveDrill::State state) {
  switch (state) {
    case LiveDrill::State::running: return "running";
    case LiveDrill::State::complete: return "complete";
    case LiveDrill::State::cut: return "cut";
  }
  return "?";
}

std::optional<std::uint64_t> DrillDesk::begin(config::Scenario scenario, const std::string& pool,
                                              const std::string& tier, const std::string& who, TimePoint now) {
  if (running(pool) != nullptr) return std::nullopt;
  forget_oldest();
  LiveDrill drill;
  drill.id = next_++;
  drill.who = who;
  drill.pool = pool;
  drill.tier = tier;
  drill.scenario = std::move(scenario);
  drill.began = drill.heard = now;
  LiveDrill& kept = drills_.emplace(drill.id, std::move(drill)).first->second;
  ++version_;
  tell(News::Kind::began, kept,
       "drill " + quoted(kept.scenario.name) + " of pool " + quoted(pool) + " began, for " +
           describe(Duration(kept.scenario.length)) + ", by " + who);
  advance(kept, now);
  return kept.id;
}

bool DrillDesk::renew(std::uint64_t id, TimePoint now) {
  on_time(now);  // a lease that is over is not renewed
  const auto found = drills_.find(id);
  if (found == drills_.end() || found->second.state != LiveDrill::State::running) return false;
  found->second.heard = now;
  return true;
}

bool DrillDesk::cut(std::uint64_t id, const std::string& why, TimePoint now) {
  const auto found = drills_.find(id);
  if (found == drills_.end() || found->second.state != LiveDrill::State::running) return false;
  end(found->second, LiveDrill::State::cut, why, now);
  return true;
}

void DrillDesk::on_starved(TimePoint now) {
  for (auto& [id, drill] : drills_) drill.heard = std::max(drill.heard, now);
}

void DrillDesk::on_reading(const std::string& pool, const GuardReading& reading, TimePoint now) {
  for (auto& [id, drill] : drills_) {
    if (drill.counted || drill.pool != pool) continue;
    const bool over = drill.state != LiveDrill::State::running;
    if (now - reading.over < drill.began) continue;  // part of it is of before
    drill.counted = over;
    if (over && now - reading.over >= drill.ended) continue;
    const std::uint64_t slow = reading.duration.above(drill.scenario.expect.slow_after);
    drill.counts.requests += reading.requests;
    drill.counts.failed += reading.failed;
    drill.counts.bad += std::min(reading.requests, slow + reading.failed);
    drill.counts.tunnels_dropped += reading.tunnels_dropped;
    drill.duration.add(reading.duration);
    if (over) continue;
    drill.readings.push_back(reading);
    Duration held{};
    for (const GuardReading& one : drill.readings) held += one.over;
    while (drill.readings.size() > 1 && held - drill.readings.front().over >= drill.scenario.guards.over) {
      held -= drill.readings.front().over;
      drill.readings.pop_front();
    }
    if (auto broken = guard_broken(drill.scenario.guards, drill.readings))
      end(drill, LiveDrill::State::cut, std::move(*broken), now);
  }
}

std::optional<std::string> DrillDesk::guard_broken(const ScenarioGuards& guards,
                                                   const std::deque<GuardReading>& readings) {
  if (readings.empty()) return std::nullopt;
  GuardReading sum;
  for (const GuardReading& one : readings) {
    sum.over += one.over;
    sum.requests += one.requests;
    sum.failed += one.failed;
    sum.duration.add(one.duration);
  }
  const std::string over = " in the last " + describe(sum.over);
  const double share = sum.requests == 0 ? 0 : static_cast<double>(sum.failed) / static_cast<double>(sum.requests);
  if (guards.error_share && sum.requests >= guards.min_requests && share > *guards.error_share)
    return "its guard error_share: " + describe_share(share) + " of " + std::to_string(sum.requests) + " answers" +
           over + " were failures, " + describe_share(*guards.error_share) + " are allowed";
  if (!guards.latency_p95) return std::nullopt;
  // What waits for longer than an answer may take is slow already; only where more wait than were answered of late, so that one
  // request that hangs does not speak for all that are under way.
  const GuardReading& newest = readings.back();
  const Duration limit = *guards.latency_p95;
  const std::uint64_t stuck = newest.oldest > limit && newest.waiting > newest.requests ? newest.waiting : 0;
  const std::uint64_t all = sum.duration.total + stuck, slow = sum.duration.above(limit) + stuck;
  if (all < guards.min_requests || slow * 20 <= all) return std::nullopt;
  return "its guard latency_p95: " + std::to_string(slow) + " of " + std::to_string(all) + " requests" + over +
         " took longer than " + describe(limit) + ", a twentieth is allowed" +
         (stuck > 0 ? "; " + std::to_string(stuck) + " of them wait still" : "");
}

void DrillDesk::on_time(TimePoint now) {
  for (auto& [id, drill] : drills_) {
    if (drill.state != LiveDrill::State::running) continue;
    const Duration lease = drill.scenario.guards.lease;
    const TimePoint over = drill.began + drill.scenario.length;
    if (now - drill.heard >= lease && drill.heard + lease < over) {
      end(drill, LiveDrill::State::cut,
          "its lease: the command that ran it has not been heard of for " + describe(now - drill.heard), now);
    } else if (now >= over) {
      advance(drill, now);
      end(drill, LiveDrill::State::complete, "", now);
    } else {
      advance(drill, now);
    }
  }
}

std::optional<TimePoint> DrillDesk::next_timeout() const {
  std::optional<TimePoint> next;
  const auto at = [&next](TimePoint t) { next = next ? std::min(*next, t) : t; };
  for (const auto& [id, drill] : drills_) {
    if (drill.state != LiveDrill::State::running) continue;
    at(drill.heard + drill.scenario.guards.lease);
    at(drill.began + drill.scenario.length);
    const std::vector<Step> steps = steps_of(drill);
    if (drill.told < steps.size()) at(steps[drill.told].at);
  }
  return next;
}

std::optional<DrillDesk::News> DrillDesk::poll_news() {
  if (news_.empty()) return std::nullopt;
  std::optional<News> news(std::move(news_.front()));
  news_.pop_front();
  return news;
}

std::vector<FaultInForce> DrillDesk::in_force(const std::string& pool, TimePoint now) const {
  std::vector<FaultInForce> out;
  const LiveDrill* const drill = running(pool);
  if (drill == nullptr) return out;
  for (std::size_t i = 0; i < drill->scenario.faults.size(); ++i) {
    const ScenarioFault& fault = drill->scenario.faults[i];
    const TimePoint from = drill->began + fault.at;
    if (now >= from && now < end_of(*drill, fault)) out.push_back({drill->id * faults_each + i, &fault, from});
  }
  return out;
}

bool DrillDesk::any_running() const {
  return std::any_of(drills_.begin(), drills_.end(),
                     [](const auto& one) { return one.second.state == LiveDrill::State::running; });
}

const LiveDrill* DrillDesk::running(const std::string& pool) const {
  for (const auto& [id, drill] : drills_)
    if (drill.state == LiveDrill::State::running && drill.pool == pool) return &drill;
  return nullptr;
}

const LiveDrill* DrillDesk::find(std::uint64_t id) const {
  const auto found = drills_.find(id);
  return found != drills_.end() ? &found->second : nullptr;
}

// In order of time; a fault that ends when another begins ends first.
std::vector<DrillDesk::Step> DrillDesk::steps_of(const LiveDrill& drill) {
  std::vector<Step> steps;
  for (std::size_t i = 0; i < drill.scenario.faults.size(); ++i) {
    const ScenarioFault& fault = drill.scenario.faults[i];
    steps.push_back({drill.began + fault.at, i, false});
    if (fault.until) steps.push_back({drill.began + *fault.until, i, true});
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.at != b.at ? a.at < b.at : a.heals && !b.heals; });
  return steps;
}

void DrillDesk::advance(LiveDrill& drill, TimePoint now) {
  const std::vector<Step> steps = steps_of(drill);
  while (drill.told < steps.size() && steps[drill.told].at <= now) {
    const Step& step = steps[drill.told++];
    ++version_;
    tell(step.heals ? News::Kind::heals : News::Kind::fault, drill,
         "drill " + quoted(drill.scenario.name) + (step.heals ? " lifts: " : " injects: ") +
             words_of(drill.scenario.faults[step.fault]));
  }
}

void DrillDesk::end(LiveDrill& drill, LiveDrill::State state, std::string why, TimePoint now) {
  drill.state = state;
  drill.why = std::move(why);
  drill.ended = now;
  ++version_;
  const std::string name = "drill " + quoted(drill.scenario.name) + " of pool " + quoted(drill.pool);
  if (state == LiveDrill::State::cut) {
    tell(News::Kind::cut, drill, name + " was cut short after " + describe(now - drill.began) + " by " + drill.why);
  } else {
    tell(News::Kind::complete, drill, name + " is complete, after " + describe(now - drill.began));
  }
}

void DrillDesk::tell(News::Kind kind, const LiveDrill& drill, std::string text) {
  news_.push_back({kind, drill.id, std::move(text)});
}

void DrillDesk::forget_oldest() {
  std::size_t over = 0;
  for (const auto& [id, drill] : drills_) over += drill.state != LiveDrill::State::running ? 1 : 0;
  for (auto it = drills_.begin(); it != drills_.end() && over >= kKept;) {
    if (it->second.state == LiveDrill::State::running) {
      ++it;
      continue;
    }
    it = drills_.erase(it);
    --over;
  }
}

}  // namespace understudy::health
