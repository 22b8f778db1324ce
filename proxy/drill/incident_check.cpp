#include "proxy/drill/incident_check.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

namespace understudy::drill {

namespace {

std::string seconds(Micros time) {
  char text[40];
  std::snprintf(text, sizeof text, "%.1f s", static_cast<double>(time.count()) / 1e6);
  return text;
}

}  // namespace

std::optional<health::RehearsalCheck> check_incidents(const std::vector<IncidentSeen>& incidents,
                                                      const std::vector<RequestRecord>& records,
                                                      const DeviceCounts& devices, std::optional<Micros> first_fault) {
  std::uint64_t met = devices.refused_openings;
  std::optional<Micros> first_met;
  for (const RequestRecord& record : records) {
    if (record.outcome != Outcome::status || record.status < 500) continue;
    ++met;
    const Micros ended = record.due + record.latency;
    first_met = std::min(first_met.value_or(ended), ended);
  }
  if (incidents.empty() && met == 0) return std::nullopt;
  health::RehearsalCheck check;
  check.what = "the incident record tells what the load met, times within " + seconds(kIncidentSlack);
  if (incidents.empty()) {
    check.found = "no incident, though " + std::to_string(met) + " requests failed";
    return check;
  }
  std::uint64_t written = 0;
  for (const IncidentSeen& incident : incidents) written += incident.failed;
  const IncidentSeen& first = *std::min_element(incidents.begin(), incidents.end(),
                                                [](const auto& a, const auto& b) { return a.began < b.began; });
  const bool late = first_met && first.began > *first_met + kIncidentSlack;
  const bool early = first_fault && first.began < *first_fault - kIncidentSlack;
  check.passed = written == met && !late && !early;
  check.found = std::to_string(written) + " of " + std::to_string(met) + " failed, from " + seconds(first.began) +
                (first_met ? " (the load: " + seconds(*first_met) + ")" : "");
  return check;
}

}  // namespace understudy::drill
