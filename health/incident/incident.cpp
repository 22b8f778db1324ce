#include "health/incident/incident.hpp"

#include <algorithm>

namespace understudy::incident {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(Entry::Kind::count)> kKinds = {
    "signal", "recovery", "diagnosis", "decision", "action", "verdict", "gate", "person", "milestone", "note"};

Severity severity_of(const Entry& entry) {
  if (entry.event == "all_down") return Severity::critical;
  for (const std::string_view grave : {"tier_lost", "tier_degraded", "failover", "shedding", "nothing_better"})
    if (entry.event == grave) return Severity::major;
  return Severity::minor;
}

void set_once(std::optional<Wall>& time, Wall at) {
  if (!time) time = at;
}

void take(Incident& incident, const Entry& entry) {
  // What happened before the first signal is told as context and moves no times.
  const bool context = entry.at < incident.opened.began;
  if (!context) {
    incident.severity = std::max(incident.severity, severity_of(entry));
    if (entry.event == "failover" || entry.event == "nothing_better") set_once(incident.decided, entry.at);
    if (entry.event == "failover") {
      if (!incident.moved) incident.moved_to = entry.tier;
      set_once(incident.moved, entry.at);
    }
    if (entry.event == "traffic_moved" && incident.moved) set_once(incident.traffic_moved, entry.at);
    if (entry.kind == Entry::Kind::verdict) {
      incident.verdict = entry.text;
      if (incident.moved) set_once(incident.verified, entry.at);
    }
    if (entry.event == "failback") incident.went_back = entry.at;
    if (entry.event == "normal") incident.returned = entry.at;
    if (entry.event == "relapse") {
      ++incident.relapses;
      incident.returned.reset();
    }
    if (entry.kind == Entry::Kind::diagnosis && (!incident.moved || incident.diagnosis.empty()))
      incident.diagnosis = entry.text;
    if (entry.event == "restarted") ++incident.restarts;
  }
  if (entry.event == "configured") incident.configured = entry.cause;
  incident.epoch = std::max(incident.epoch, entry.epoch);
  // Context of the same second may be told after the signals: the timeline is in the order of what happened.
  const auto place = std::upper_bound(incident.entries.begin(), incident.entries.end(), entry.at,
                                      [](Wall at, const Entry& other) { return at < other.at; });
  incident.entries.insert(place, entry);
}

}  // namespace

void Counts::add(const Counts& other) {
  for (const CountName& one : kCounts) this->*one.member += other.*one.member;
}

std::string_view name_of(Entry::Kind kind) {
  const auto index = static_cast<std::size_t>(kind);
  return index < kKinds.size() ? kKinds[index] : "note";
}

std::optional<Entry::Kind> entry_kind(std::string_view name) {
  const auto found = std::find(kKinds.begin(), kKinds.end(), name);
  if (found == kKinds.end()) return std::nullopt;
  return static_cast<Entry::Kind>(found - kKinds.begin());
}

std::string_view name_of(Severity severity) {
  switch (severity) {
    case Severity::minor: return "minor";
    case Severity::major: return "major";
    case Severity::critical: return "critical";
  }
  return "minor";
}

Wall Incident::last() const {
  Wall last = std::max(opened.began, opened.detected);
  if (!entries.empty()) last = std::max(last, entries.back().at);
  if (!samples.empty()) last = std::max(last, samples.back().end());
  return closed ? closed->at : last;
}

void apply(Incident& incident, const Record& record) {
  if (const auto* opened = std::get_if<Opened>(&record.what)) {
    incident.number = record.incident;
    incident.opened = *opened;
    incident.configured = opened->config;
    incident.epoch = opened->epoch;
  } else if (const auto* entry = std::get_if<Entry>(&record.what)) {
    take(incident, *entry);
  } else if (const auto* sample = std::get_if<Sample>(&record.what)) {
    if (sample->end() > incident.opened.began) incident.counts.add(sample->counts);
    incident.samples.push_back(*sample);
  } else {
    incident.closed = std::get<Closed>(record.what);
  }
}

}  // namespace understudy::incident
