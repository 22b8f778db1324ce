#include "proxy/server/incidents.hpp"

#include <set>
#include <utility>

namespace understudy::server {

using incident::Incident;
using incident::Moment;
using incident::Record;

namespace {

constexpr std::size_t kKeptInMemory = 20;  // whole, where nothing is kept on disk
constexpr std::chrono::minutes kTellEvery{1};

incident::Settings settings_of(const config::IncidentsConfig& config, std::string fingerprint) {
  return {config.settle, std::move(fingerprint), UNDERSTUDY_VERSION};
}

IncidentStore::Limits limits_of(const config::IncidentsConfig& config) { return {config.keep, config.max_bytes}; }

}  // namespace

Incidents::Incidents(Options options, const Moment& now) : options_(std::move(options)) {
  recorder_.emplace(settings_of(options_.config, options_.fingerprint));
  if (options_.folder.empty()) return;
  IncidentStore::Loaded loaded = IncidentStore::load(options_.folder);
  for (const std::string& note : loaded.notes) options_.log(true, note);
  store_ = std::make_unique<IncidentStore>(options_.folder, limits_of(options_.config), options_.later);
  for (Incident& incident : loaded.closed) {
    const std::uint64_t number = incident.number;
    closed_.emplace(number, std::move(incident));
  }
  for (const Incident& incident : loaded.open) {
    options_.log(false, "incident " + std::to_string(incident.number) + " of pool " + incident.opened.pool +
                            " was open when the former process ended; it goes on");
    told_.emplace(incident.number, incident);
  }
  recorder_->resume(std::move(loaded.open), loaded.next, now);
  flush();
}

void Incidents::on_event(const health::Event& event, const std::string& who, const Moment& now) {
  recorder_->on_event(event, who, now);
  flush();
}

void Incidents::on_act(const std::string& pool, const std::string& who, const std::string& text, const Moment& now) {
  recorder_->on_act(pool, who, text, now);
  flush();
}

void Incidents::on_drill_faults(const std::string& pool, const std::set<std::string>& endpoints,
                                const std::set<std::string>& tiers, const Moment& now) {
  recorder_->on_drill_faults(pool, endpoints, tiers, now);
}

void Incidents::on_drill(const std::string& pool, const std::string& name, const Moment& now) {
  recorder_->on_drill(pool, name, now);
}

void Incidents::on_config(const config::IncidentsConfig& config, std::string fingerprint, const Moment& now) {
  options_.config = config;
  if (store_) store_->set_limits(limits_of(config));
  recorder_->configure(settings_of(config, std::move(fingerprint)), now);
  flush();
}

void Incidents::on_status(std::span<const health::PoolStatus> pools, const Moment& now) {
  recorder_->on_status(pools, now);
  flush();
}

void Incidents::on_series(const config::Config& config, const PoolSeries::Counters& counters, const Moment& now) {
  const std::vector<incident::Series> series = series_.take(config, counters, now.at);
  for (std::size_t p = 0; p < series.size(); ++p) {
    const std::string& pool = config.pools[p].name;
    if (watcher_) watcher_(pool, series[p]);
    if (series[p].counts != incident::Counts{} || open().contains(pool)) recorder_->on_series(pool, series[p], now);
  }
  flush();
  look_after_disk(now.at);
}

void Incidents::on_stop(const Moment& now) {
  recorder_->on_stop(now);
  flush();
}

void Incidents::flush() {
  std::set<std::uint64_t> touched;
  while (const auto record = recorder_->poll_record()) {
    Incident& incident = told_[record->incident];
    apply(incident, *record);
    if (store_) store_->append(*record);
    if (std::holds_alternative<incident::Opened>(record->what)) {
      ++totals_.opened;
      options_.log(true, "incident " + std::to_string(incident.number) + " of pool " + incident.opened.pool +
                             " opened; see 'understudy incident show " + std::to_string(incident.number) + "'");
    }
    if (listener_) listener_(incident, &*record);
    if (incident.open()) {
      touched.insert(record->incident);
      continue;
    }
    touched.erase(record->incident);
    if (listener_) listener_(incident, nullptr);
    ++totals_.by_severity[static_cast<std::size_t>(incident.severity)];
    options_.log(false, "incident " + std::to_string(incident.number) + " of pool " + incident.opened.pool +
                            " closed: " + incident.closed->text);
    auto node = told_.extract(record->incident);
    if (store_) {
      node.mapped().entries = {};
      node.mapped().samples = {};
    }
    closed_.insert(std::move(node));
    while (!store_ && closed_.size() > kKeptInMemory) closed_.erase(closed_.begin());
  }
  for (const std::uint64_t number : touched)
    if (listener_) listener_(told_.at(number), nullptr);
}

void Incidents::look_after_disk(health::TimePoint now) {
  if (!store_) return;
  const IncidentStore::Report report = store_->tick();
  for (const std::uint64_t number : report.removed) closed_.erase(number);
  totals_.dropped = report.dropped;
  totals_.errors = report.errors;
  if (!report.trouble.empty() && (trouble_.empty() || now - trouble_told_ >= kTellEvery)) {
    options_.log(true, "incidents cannot be written, " + std::to_string(report.waiting) +
                           " lines wait and are tried again each second: " + report.trouble);
    trouble_told_ = now;
  } else if (report.trouble.empty() && !trouble_.empty()) {
    options_.log(false, "incidents can be written again");
  }
  if (report.dropped > dropped_told_ && (dropped_told_ == 0 || report.trouble.empty())) {
    options_.log(true,
                 std::to_string(report.dropped - dropped_told_) + " lines of incidents found no room and are lost");
    dropped_told_ = report.dropped;
  }
  trouble_ = report.trouble;
}

const Incident* Incidents::whole(std::uint64_t number) const {
  for (const auto& [pool, incident] : recorder_->open())
    if (incident.number == number) return &incident;
  const auto found = closed_.find(number);
  return !store_ && found != closed_.end() ? &found->second : nullptr;
}

}  // namespace understudy::server
