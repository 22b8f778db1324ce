// Live drills: begun and held by whoever runs one, carried out at the workers and the probes, and taken back.
#include <boost/json.hpp>

#include <algorithm>
#include <ctime>

#include "config/scenario_fit.hpp"
#include "proxy/server/process.hpp"

namespace understudy::server {

namespace json = boost::json;
using health::DrillDesk;
using health::LiveDrill;

namespace {

constexpr std::chrono::seconds kLookEvery{1};  // at guards that cost more than a look at a clock

std::tm local_time() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local{};
  ::localtime_r(&now, &local);
  return local;
}

admin::Problem refused(std::string why) { return {409, "The drill is refused", std::move(why)}; }

}  // namespace

// ---- what the API asks ---------------------------------------------------------------------------------------------

admin::Reply Process::begin_drill(const std::string& text, const std::string& file, const std::string& who) {
  const TimePoint now = note_time();
  if (stop_ != Stop::no || successor_ || upgrade_begun_) return refused("this process is about to end");
  config::ScenarioResult loaded = config::load_scenario(text, file, config::Rung::live);
  if (!loaded.scenario) return admin::Problem{422, "The scenario has errors", config::render(loaded.diagnostics, text)};
  const auto misfits = config::placed_mismatches(*loaded.scenario, plan_->config, text, file);
  if (!misfits.empty()) return admin::Problem{422, "The scenario does not fit", config::render(misfits, text)};
  config::Scenario& scenario = *loaded.scenario;
  const std::string pool = scenario.pool.empty() ? plan_->config.pools.front().name : scenario.pool;
  if (const LiveDrill* other = drills_.desk().running(pool))
    return refused("drill " + std::to_string(other->id) + ", '" + other->scenario.name + "', is under way in pool '" +
                   pool + "'; one at a time");
  for (const health::PoolStatus& status : core_.status()) {
    if (status.name != pool) continue;
    std::chrono::milliseconds timeout{};
    for (const config::PoolConfig& one : plan_->config.pools)
      if (one.name == pool) timeout = one.response_timeout;
    if (const auto why =
            drills_.obstacle(scenario, {status, incidents_->open(), local_time(), now, timeout}, nullptr)) {
      ++drills_.ended.refused;
      log(observe::Level::warn, "drill '" + scenario.name + "' (" + who + ") is refused by " + *why);
      return refused(*why);
    }
    const auto id = drills_.desk().begin(std::move(scenario), pool, status.tiers.at(status.active).name, who, now);
    look_at_drills(now);
    return drill(*id);
  }
  return refused("pool '" + pool + "' is not there");
}

admin::Reply Process::renew_drill(std::uint64_t id) {
  const TimePoint now = note_time();
  const bool running = drills_.desk().renew(id, now);
  look_at_drills(now);
  if (running) return drill(id);
  const LiveDrill* known = drills_.desk().find(id);
  if (known == nullptr) return admin::Problem{404, "No such drill", "there is no drill " + std::to_string(id)};
  return admin::Problem{
      409, "The drill is over",
      "it is " + std::string(health::name_of(known->state)) + (known->why.empty() ? "" : ", by " + known->why)};
}

admin::Reply Process::stop_drill(std::uint64_t id, const std::string& reason, const std::string& who) {
  const TimePoint now = note_time();
  if (drills_.desk().find(id) == nullptr)
    return admin::Problem{404, "No such drill", "there is no drill " + std::to_string(id)};
  drills_.desk().cut(id, who + (reason.empty() ? "" : ": " + reason), now);
  look_at_drills(now);
  return drill(id);
}

admin::Reply Process::drill(std::uint64_t id) {
  const LiveDrill* known = drills_.desk().find(id);
  if (known == nullptr) return admin::Problem{404, "No such drill", "there is no drill " + std::to_string(id)};
  return json::value(drills_.describe(*known, instant()));
}

json::value Process::drills() {
  json::array list;
  const auto& all = drills_.desk().all();
  for (auto it = all.rbegin(); it != all.rend(); ++it) list.push_back(drills_.describe(it->second, instant()));
  return json::object{{"drills", std::move(list)}};
}

// ---- while one is under way ----------------------------------------------------------------------------------------

// At every beat, and whenever something was asked about one.
void Process::look_at_drills(TimePoint now) {
  DrillDesk& desk = drills_.desk();
  if (desk.any_running()) {
    desk.on_time(now);
    if (now - drills_looked_at_ >= kLookEvery) {
      drills_looked_at_ = now;
      look_at_guards(now);
      for (const auto& [id, drill] : desk.all())
        if (drill.state == LiveDrill::State::running) tell_drill(drill, now);
    }
  }
  bool any = false;
  while (const auto news = desk.poll_news()) {
    any = true;
    on_drill_news(*news, now);
  }
  if (!any) return;
  // What is lifted must not wait for its turn.
  view_changed_ = true;
  publish_due_ = now;
  pump();
}

void Process::look_at_guards(TimePoint now) {
  const std::vector<health::PoolStatus> pools = core_.status();
  std::vector<std::pair<std::uint64_t, std::string>> broken;
  for (const auto& [id, drill] : drills_.desk().all()) {
    if (drill.state != LiveDrill::State::running) continue;
    const auto pool = std::find_if(pools.begin(), pools.end(), [&](const auto& p) { return p.name == drill.pool; });
    if (pool == pools.end()) {
      broken.emplace_back(id, "a reload: its pool is gone");
    } else if (auto why =
                   drills_.obstacle(drill.scenario, {*pool, incidents_->open(), local_time(), now, {}}, &drill)) {
      broken.emplace_back(id, std::move(*why));
    }
  }
  for (const auto& [id, why] : broken) drills_.desk().cut(id, why, now);
}

// Everything that may no longer be as it was when the drill began ends it.
void Process::cut_drills(const std::string& pool, const std::string& why) {
  const TimePoint now = std::chrono::steady_clock::now();
  std::vector<std::uint64_t> running;
  for (const auto& [id, drill] : drills_.desk().all())
    if (drill.state == LiveDrill::State::running && (pool.empty() || drill.pool == pool)) running.push_back(id);
  for (const std::uint64_t id : running) drills_.desk().cut(id, why, now);
  if (!running.empty()) look_at_drills(now);
}

void Process::on_drill_news(const DrillDesk::News& news, TimePoint now) {
  const LiveDrill& drill = *drills_.desk().find(news.drill);
  using Kind = DrillDesk::News::Kind;
  if (news.kind == Kind::began) {
    incidents_->on_drill(drill.pool, drill.scenario.name, moment());
    drill_book_.begin(drills_.begun(drill, instant()));
  }
  health::Event event;
  event.kind = health::Event::Kind::drill;
  event.at = event.since = now;
  event.pool = drill.pool;
  event.reason = news.text;
  {
    const struct Acting {
      std::string& name;
      std::string before;
      ~Acting() { name = before; }
    } acting{acting_, std::exchange(acting_, drill.who)};
    on_event(event);
  }
  if (news.kind == Kind::fault || news.kind == Kind::heals) tell_drill(drill, now);
  if (news.kind == Kind::cut || news.kind == Kind::complete) {
    ++(news.kind == Kind::cut ? drills_.ended.cut : drills_.ended.complete);
    core_.on_drill_over(drill.pool, news.kind == Kind::cut, now);
    incidents_->on_drill(drill.pool, "", moment());
  }
  // After the core knows that they tell nothing: it asks anew at once.
  if (news.kind == Kind::heals || news.kind == Kind::cut || news.kind == Kind::complete)
    release_probes(drill.pool, true, now);
}

// What its faults are on, to those who judge by what they see.
void Process::tell_drill(const LiveDrill& drill, TimePoint now) {
  if (drill.state != LiveDrill::State::running) return;
  core_.on_drill(drills_.met_in(drill, *view_, now), now);
  std::set<std::string> endpoints, tiers;
  for (const health::PoolView& pool : view_->pools) {
    if (pool.name == drill.pool) drills_.places_in(drill, pool, now, endpoints, tiers);
  }
  incidents_->on_drill_faults(drill.pool, endpoints, tiers, moment());
}

// What the clients of a pool met in the last second, for the guards.
void Process::on_pool_series(const std::string& pool, const incident::Series& series) {
  const TimePoint now = std::chrono::steady_clock::now();
  health::GuardReading reading;
  reading.over = series.over;
  reading.requests = series.counts.requests;
  reading.failed = series.counts.failed;
  reading.tunnels_dropped = series.counts.tunnels_dropped;
  reading.duration = series.duration;
  std::optional<TimePoint> oldest;
  for (const health::PoolView& view : view_->pools) {
    if (view.name != pool || !drills_.desk().any_running()) continue;
    for (const health::TierView& tier : view.tiers)
      for (const health::EndpointView& endpoint : tier.endpoints)
        for (const auto& worker : workers_) {
          if (endpoint.id.slot >= net::kMaxSlots) continue;
          const auto pending = worker->pending(endpoint.id.slot);
          reading.waiting += pending.count;
          if (pending.oldest && (!oldest || *pending.oldest < *oldest)) oldest = pending.oldest;
        }
  }
  if (oldest) reading.oldest = now - *oldest;
  drills_.on_reading(pool, std::move(reading), now);
}

// ---- probes --------------------------------------------------------------------------------------------------------

// Is this endpoint made to look ill, to its checks too? Then nothing is asked of it.
bool Process::hold_probe(const health::StartProbe& probe) {
  if (!drills_.desk().any_running()) return false;
  const config::PoolConfig& pool = plan_->config.pools[probe.pool];
  const health::PoolView* const view = probe.pool < view_->pools.size() ? &view_->pools[probe.pool] : nullptr;
  if (view == nullptr || probe.tier >= view->tiers.size()) return false;
  std::string label;
  for (const health::EndpointView& endpoint : view->tiers[probe.tier].endpoints)
    if (endpoint.id == probe.endpoint) label = endpoint.label;
  const TimePoint now = std::chrono::steady_clock::now();
  const auto drilled = drills_.probe(pool.name, view->tiers[probe.tier].name, label, pool.check.kind, now);
  if (!drilled) return false;
  auto timer = std::make_shared<boost::asio::steady_timer>(io_, drilled->at_deadline ? probe.deadline : now);
  held_probes_[probe.endpoint.slot] = {probe, timer};
  timer->async_wait(
      [this, timer, id = probe.endpoint, result = drilled->result](const boost::system::error_code& error) {
        const auto held = held_probes_.find(id.slot);
        if (error || held == held_probes_.end() || held->second.timer != timer) return;
        held_probes_.erase(held);
        counts_.on_check(id, result);
        core_.on_probe_result(id, result, note_time());
        pump();
      });
  return true;
}

// Those that would have hung on: they tell nothing, and where `again` the core asks anew at once.
void Process::release_probes(const std::string& pool, bool again, TimePoint now) {
  std::vector<health::EndpointId> asked;
  for (auto it = held_probes_.begin(); it != held_probes_.end();) {
    const std::uint32_t index = it->second.probe.pool;
    if (!pool.empty() && (index >= plan_->config.pools.size() || plan_->config.pools[index].name != pool)) {
      ++it;
      continue;
    }
    it->second.timer->cancel();
    asked.push_back(it->second.probe.endpoint);
    it = held_probes_.erase(it);
  }
  if (!again) return;
  health::ProbeResult nothing;
  nothing.cause = health::Cause::own_error;
  nothing.detail = "a drill held it";
  for (const health::EndpointId id : asked) core_.on_probe_result(id, nothing, now);
}

}  // namespace understudy::server
