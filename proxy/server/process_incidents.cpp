// What is written down about outages, and who is told of them.
#include <boost/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>

#include "health/incident/words.hpp"
#include "proxy/admin/describe_incident.hpp"
#include "proxy/server/process.hpp"

namespace understudy::server {

namespace json = boost::json;

namespace {

constexpr std::chrono::seconds kSeries{1};
constexpr std::size_t kReadsMax = 16;  // incidents being read from a disk that does not answer

// Of what is effective; secrets are not in it. FNV-1a.
std::string fingerprint(const config::LoadResult& loaded) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : config::show(loaded, false)) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash));
  return text.data();
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

// What was ordered, in a few words.
std::string words_of(const health::Command& command) {
  const auto because = [](const std::string& reason) { return reason.empty() ? std::string() : ": " + reason; };
  struct Words {
    std::string operator()(const health::SetEndpointState& c) const {
      return std::string("endpoint ") + c.endpoint + " to be " + std::string(health::name_of(c.state));
    }
    std::string operator()(const health::MoveTier& c) const {
      return "failover" + (c.to ? " to " + *c.to : std::string());
    }
    std::string operator()(const health::Failback&) const { return "failback"; }
    std::string operator()(const health::HoldPool& c) const { return c.on ? "hold" : "release"; }
    std::string operator()(const health::SetMaintenance& c) const {
      return c.on ? "maintenance on" : "maintenance off";
    }
    std::string operator()(const health::Approve& c) const { return "approval of '" + c.gate + "' by " + c.who; }
  };
  return std::visit(Words{}, command) + std::visit([&](const auto& c) { return because(c.reason); }, command);
}

}  // namespace

incident::Moment Process::moment() const {
  return {std::chrono::steady_clock::now(),
          std::chrono::round<std::chrono::milliseconds>(std::chrono::system_clock::now())};
}

// Before the first event of the core: what a former process left open goes on.
void Process::open_incidents() {
  const auto told = [this](bool problem, const std::string& text) {
    log(problem ? observe::Level::warn : observe::Level::info, text);
  };
  alerts_ = std::make_unique<Alerts>(io_, *resolver_, host_name(), told, std::random_device()());
  alerts_->configure(prepare_alerts(*loaded_.config));
  Incidents::Options options;
  if (state_dir_.kept()) options.folder = state_dir_.incidents();
  options.config = loaded_.config->incidents;
  options.fingerprint = fingerprint(loaded_);
  options.later = [this](std::function<void()> work) { return files_->write_later("incidents", std::move(work)); };
  options.log = told;
  incidents_ = std::make_unique<Incidents>(std::move(options), moment());
  incidents_->listen([this](const incident::Incident& incident, const incident::Record* record) {
    alerts_->on_record(incident, record);
  });
  incidents_->watch([this](const std::string& pool, const incident::Series& series) { on_pool_series(pool, series); });
}

void Process::look_at_incidents(TimePoint now) {
  if (now - series_at_ >= kSeries) {
    series_at_ = now;
    incidents_->on_series(plan_->config, counters_, moment());
  }
  if (now < status_due_ || !incidents_->wants_status(now)) return;
  incidents_->on_status(core_.status(), moment());
  // With very many endpoints a look takes its time; the loop has other things to do.
  const TimePoint done = std::chrono::steady_clock::now();
  status_due_ = done + 10 * (done - now);
}

// What the core tells an event of has `acting_` in it; everything else that was ordered is noted here.
void Process::note_act(const health::Command& command, const std::string& pool, const std::string& who,
                       const health::CommandResult& result) {
  if (pool.empty()) return;
  incidents_->on_act(pool, who, words_of(command) + (result.ok ? "" : " (refused: " + result.error + ")"), moment());
}

json::value Process::incidents() {
  json::array list;
  std::vector<const incident::Incident*> all;
  for (const auto& [number, incident] : incidents_->closed()) all.push_back(&incident);
  for (const auto& [pool, incident] : incidents_->open()) all.push_back(&incident);
  std::sort(all.begin(), all.end(), [](const auto* a, const auto* b) { return a->number > b->number; });
  for (const incident::Incident* incident : all) list.push_back(admin::describe_incident(*incident));
  return json::object{{"incidents", std::move(list)}};
}

void Process::incident(std::uint64_t number, std::function<void(admin::IncidentReply)> done) {
  if (const incident::Incident* whole = incidents_->whole(number)) return done(*whole);
  const admin::Problem unknown{404, "No such incident",
                               "there is no incident " + std::to_string(number) + "; /api/v1/incidents lists them"};
  if (!incidents_->closed().contains(number)) return done(unknown);
  if (loader_.pending() >= kReadsMax)
    return done(admin::Problem{503, "Busy", "incidents are still being read; look for a disk that does not answer"});
  struct Found {
    std::optional<incident::Incident> incident;
    std::string why;
  };
  const auto found = std::make_shared<Found>();
  try {
    loader_.run([found, folder = incidents_->folder(),
                 number] { found->incident = IncidentStore::read(folder, number, found->why); },
                [found, done] {
                  if (found->incident) return done(std::move(*found->incident));
                  done(admin::Problem{404, "Not readable", found->why});
                });
  } catch (const std::system_error& e) {
    done(admin::Problem{503, "Not read", std::string("no thread can be started to read it: ") + e.what()});
  }
}

json::value Process::alerts() {
  json::array list;
  for (const Alerts::Raised& one : alerts_->raised())
    list.push_back(
        json::object{{"id", one.id}, {"type", one.type}, {"pool", one.pool}, {"at", incident::instant(one.at)}});
  return json::object{{"alerts", std::move(list)}};
}

void Process::test_alert(const std::string& name, std::function<void(admin::Reply)> done) {
  std::string known;
  for (const config::AlertConfig& alert : plan_->config.alerts) {
    if (alert.name == name) {
      return alerts_->test(name, [done](const std::string& why) {
        if (why.empty()) return done(json::value{{"result", "delivered"}});
        done(admin::Problem{502, "Not delivered", why});
      });
    }
    known += (known.empty() ? "" : ", ") + alert.name;
  }
  done(admin::Problem{
      404, "No such alert",
      "no alert '" + name + "'; " + (known.empty() ? "there are none: add [alerts.NAME]" : "alerts: " + known)});
}

std::string Process::describe_config() const { return fingerprint(loaded_); }

}  // namespace understudy::server
