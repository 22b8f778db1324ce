#include "health/incident/words.hpp"

#include <cstdio>

#include "health/explain.hpp"

namespace understudy::incident {
namespace {

using std::chrono::milliseconds;

std::string sentence(std::string text) {
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') text.front() = static_cast<char>(text.front() - 32);
  if (!text.empty() && text.back() != '.' && text.back() != '!' && text.back() != '?') text += '.';
  return text;
}

std::string impact(const Incident& incident) {
  const Counts& counts = incident.counts;
  if (counts.requests == 0) return "No request was answered meanwhile.";
  if (counts.failed == 0) return "None of " + thousands(counts.requests) + " requests failed.";
  return thousands(counts.failed) + " of " + thousands(counts.requests) + " requests failed (" +
         share(counts.error_share()) + ").";
}

}  // namespace

std::string date(Wall at) {
  const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(at));
  char text[32];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                static_cast<unsigned>(day.day()));
  return text;
}

std::string clock(Wall at) {
  const auto time = at - std::chrono::floor<std::chrono::days>(at);
  const std::chrono::hh_mm_ss parts(time);
  char text[32];
  std::snprintf(text, sizeof text, "%02d:%02d:%02d.%03d", static_cast<int>(parts.hours().count()),
                static_cast<int>(parts.minutes().count()), static_cast<int>(parts.seconds().count()),
                static_cast<int>(parts.subseconds().count()));
  return text;
}

std::string instant(Wall at) { return date(at) + "T" + clock(at) + "Z"; }

std::string length(milliseconds time) { return health::describe(time); }

std::string after(Wall at, Wall began) { return at < began ? "-" + length(began - at) : "+" + length(at - began); }

std::string share(double value) {
  char text[32];
  const double percent = value * 100;
  std::snprintf(text, sizeof text, percent != 0 && percent < 1 ? "%.2f %%" : "%.1f %%", percent);
  return text;
}

std::string thousands(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

std::string summary(const Incident& incident) {
  const Wall began = incident.opened.began;
  std::string text = (incident.opened.drill.empty() ? "Pool " : "In a drill, pool ") + incident.opened.pool +
                     " was not well from " + date(began) + " " + clock(began) + " UTC";
  if (incident.returned)
    text += " for " + length(*incident.returned - began);
  else
    text += " on";
  text += ". ";
  if (!incident.diagnosis.empty()) text += sentence(incident.diagnosis) + " ";
  if (incident.moved) {
    text += "Traffic was moved to tier '" + incident.moved_to + "' " + length(*incident.moved - began) +
            " after the first sign";
    if (incident.went_back) text += ", and back after " + length(*incident.went_back - began);
    text += ". ";
  } else if (incident.severity != Severity::minor) {
    text += "Traffic was not moved. ";
  }
  if (incident.relapses > 0)
    text += "It came back " + std::to_string(incident.relapses) + (incident.relapses == 1 ? " time. " : " times. ");
  return text + impact(incident);
}

}  // namespace understudy::incident
