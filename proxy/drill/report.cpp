#include "proxy/drill/report.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <optional>

#include "config/markup.hpp"
#include "config/text.hpp"
#include "config/units.hpp"
#include "health/explain.hpp"

namespace understudy::drill {

namespace json = boost::json;

namespace {

std::string milliseconds(Micros time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f ms", static_cast<double>(time.count()) / 1000);
  return text;
}

double as_ms(Micros time) { return static_cast<double>(time.count()) / 1000; }

const char* plural(std::uint64_t count) { return count == 1 ? "" : "s"; }

std::string counted(std::uint64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + plural(count);
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

std::string listed(const std::map<std::string, std::uint64_t>& counts) {
  std::string text;
  for (const auto& [what, count] : counts) text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + what;
  return text;
}

std::string latency_text(const Latencies& latency) {
  return "p50 " + milliseconds(latency.p50) + ", p95 " + milliseconds(latency.p95) + ", p99 " +
         milliseconds(latency.p99) + ", worst " + milliseconds(latency.worst);
}

std::string live_text(const Result& result) {
  const health::ScenarioFacts& facts = result.facts;
  return counted(result.requests, "request") + " of its clients: " + std::to_string(result.requests - facts.failed) +
         " answered, " + std::to_string(facts.failed) + " failed; " + counted(facts.sockets_dropped, "WebSocket") +
         " dropped\nlatency as they waited: " + latency_text(result.latency) + "\n" + counted(result.met, "attempt") +
         " met a fault\n";
}

std::string requests_text(const Result& result) {
  if (result.live) return live_text(result);
  const health::ScenarioFacts& facts = result.facts;
  std::string text = counted(result.requests, "request") + ": " + std::to_string(result.requests - facts.failed) +
                     " answered, " + std::to_string(facts.failed) + " failed";
  if (!result.failures.empty()) text += " (" + listed(result.failures) + ")";
  text += "; " + std::to_string(facts.doubled) + " doubled, " + std::to_string(result.repeated) + " repeated\n";
  text += "latency from when they were due: " + latency_text(result.latency) + "\nanswered by";
  for (std::size_t i = 0; i < result.answers.size(); ++i) {
    text += (i == 0 ? " " : ", ") + config::printable(result.answers[i].first, 100) + " " +
            std::to_string(result.answers[i].second);
  }
  const DeviceCounts& sockets = result.devices;
  if (result.scenario.load.websockets > 0) {
    text += "\n" + counted(result.scenario.load.websockets, "WebSocket") + ": " + std::to_string(sockets.open) +
            " open at the end, " + std::to_string(sockets.dropped) + " dropped";
    if (!sockets.reasons.empty()) text += " (" + listed(sockets.reasons) + ")";
    text += ", " + counted(sockets.failed_openings, "failed opening") + ", " + std::to_string(sockets.lost) + " of " +
            counted(sockets.sent, "message") + " lost";
    if (sockets.out_of_order > 0) text += ", " + std::to_string(sockets.out_of_order) + " out of order";
  }
  return text + "\nthe load was " + milliseconds(result.pace.p99) + " late at p99, " + milliseconds(result.pace.worst) +
         " at worst\n";
}

std::string checks_text(const Result& result) {
  std::string text;
  std::size_t width = 0, failed = 0;
  for (const auto& check : result.checks) width = std::max(width, check.what.size());
  for (const auto& check : result.checks) {
    failed += check.passed ? 0 : 1;
    text += std::string(check.passed ? "passed  " : "FAILED  ") + padded(check.what, width) + "  " + check.found + "\n";
  }
  text += "\n";
  const std::string all = counted(result.checks.size(), "expectation");
  if (result.verdict == Verdict::invalid) {
    text += "INVALID: " + result.why_invalid + "; nothing can be said of the proxy\n";
  } else if (failed == 0) {
    text += "passed: all of " + all + "\n";
  } else {
    text += "FAILED: " + std::to_string(failed) + " of " + all + "\n";
  }
  if (result.attempts > 1) text += "it took " + std::to_string(result.attempts) + " runs: earlier ones were invalid\n";
  return text;
}

json::value ms_or_null(const std::optional<health::Duration>& time) {
  if (!time) return nullptr;
  return std::chrono::duration<double, std::milli>(*time).count();
}

json::object latency_json(const Result& result) {
  return {{"p50_ms", as_ms(result.latency.p50)},
          {"p95_ms", as_ms(result.latency.p95)},
          {"p99_ms", as_ms(result.latency.p99)},
          {"worst_ms", as_ms(result.latency.worst)}};
}

json::object pace_json(const Pace& pace) {
  return {{"p99_ms", as_ms(pace.p99)}, {"worst_ms", as_ms(pace.worst)}, {"late_share", pace.late_share}};
}

template <class Pairs>
json::object counts_json(const Pairs& pairs) {
  json::object object;
  for (const auto& [name, count] : pairs) object[name] = count;
  return object;
}

json::object sockets_json(const DeviceCounts& counts) {
  return {{"opened", counts.opened}, {"failed_openings", counts.failed_openings},
          {"open", counts.open},     {"dropped", counts.dropped},
          {"cut", counts.cut},       {"most_dropped_in_a_second", busiest_second(counts.drop_times)},
          {"left", counts.left},     {"reasons", counts_json(counts.reasons)},
          {"sent", counts.sent},     {"echoed", counts.echoed},
          {"lost", counts.lost},     {"out_of_order", counts.out_of_order}};
}

json::object result_json(const Result& result) {
  json::array checks, log, notes;
  for (const auto& check : result.checks)
    checks.push_back(json::object{{"what", check.what}, {"passed", check.passed}, {"found", check.found}});
  for (const std::string& line : result.log) log.emplace_back(line);
  for (const std::string& line : result.notes) notes.emplace_back(line);
  const health::ScenarioFacts& facts = result.facts;
  return {{"name", result.scenario.name},
          {"file", result.file},
          {"proves", result.scenario.proves},
          {"config", result.config_file},
          {"live", result.live},
          {"verdict", name_of(result.verdict)},
          {"why_invalid", result.why_invalid},
          {"attempts", result.attempts},
          {"requests", result.requests},
          {"answered", result.requests - facts.failed},
          {"answered_in_time", facts.answered},
          {"failed", facts.failed},
          {"failed_repeatable", facts.failed_repeatable},
          {"bad", facts.bad},
          {"doubled", facts.doubled},
          {"repeated", result.repeated},
          {"met", result.met},
          {"failures", counts_json(result.failures)},
          {"answered_by", counts_json(result.answers)},
          {"moves", health::moves_of(facts)},
          {"detected_ms", ms_or_null(result.times.detected)},
          {"shifted_ms", ms_or_null(result.times.shifted)},
          {"returned_ms", ms_or_null(result.times.returned)},
          {"latency", latency_json(result)},
          {"websockets", sockets_json(result.devices)},
          {"load_lateness", pace_json(result.pace)},
          {"origin_lateness", pace_json(result.origins_pace)},
          {"expectations", std::move(checks)},
          {"log", std::move(log)},
          {"notes", std::move(notes)}};
}

// One cell: a bar would begin the next one.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : config::printable(text, 300)) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string time_cell(const std::optional<health::Duration>& time) {
  if (!time) return "–";
  char text[32];
  std::snprintf(text, sizeof text, "%.2f s", std::chrono::duration<double>(*time).count());
  return text;
}

}  // namespace

std::string stamp(std::chrono::steady_clock::duration since) {
  char text[32];
  std::snprintf(text, sizeof text, "%8.3f s  ", std::chrono::duration<double>(since).count());
  return text;
}

std::string report_text(const Result& result, bool with_log) {
  std::string text = config::printable(result.scenario.name, 200) + "\n";
  if (!result.scenario.proves.empty()) text += config::printable(result.scenario.proves, 400) + "\n";
  text +=
      (result.live ? "in " : "with ") + config::printable(result.config_file, 400) + (result.live ? ":\n" : ", but:\n");
  for (const std::string& note : result.notes) text += "  " + config::printable(note, 400) + "\n";
  text += "\n";
  if (with_log) {
    for (const std::string& line : result.log) text += config::printable(line, 600) + "\n";
    text += "\n";
  }
  return text + requests_text(result) + "\n" + checks_text(result);
}

std::string report_json(const std::vector<Result>& results) {
  json::array drills;
  bool passed = true;
  for (const Result& result : results) {
    passed = passed && result.verdict == Verdict::passed;
    drills.push_back(result_json(result));
  }
  return json::serialize(json::object{{"passed", passed}, {"drills", std::move(drills)}}) + "\n";
}

std::string report_junit(const std::vector<Result>& results) {
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"understudy drill\">\n";
  for (const Result& result : results) {
    const bool invalid = result.verdict == Verdict::invalid;
    const auto failed =
        std::count_if(result.checks.begin(), result.checks.end(), [](const auto& c) { return !c.passed; });
    const double time = std::chrono::duration<double>(result.scenario.length).count() /
                        static_cast<double>(std::max<std::size_t>(1, result.checks.size()));
    out += "  <testsuite name=\"" + config::xml_escaped(result.scenario.name) + "\" tests=\"" +
           std::to_string(result.checks.size()) + "\" failures=\"" + std::to_string(invalid ? 0 : failed) +
           "\" errors=\"" + std::to_string(invalid ? result.checks.size() : 0) + "\">\n";
    for (const auto& check : result.checks) {
      char seconds[32];
      std::snprintf(seconds, sizeof seconds, "%.3f", time);
      out += "    <testcase classname=\"" + config::xml_escaped(result.scenario.name) + "\" name=\"" +
             config::xml_escaped(check.what) + "\" time=\"" + seconds + "\"";
      if (invalid) {
        out += "><error message=\"" + config::xml_escaped(result.why_invalid) + "\"/></testcase>\n";
      } else if (!check.passed) {
        out += "><failure message=\"" + config::xml_escaped("found: " + check.found) + "\"/></testcase>\n";
      } else {
        out += "/>\n";
      }
    }
    out += "    <system-out>" + config::xml_escaped(report_text(result, true)) + "</system-out>\n  </testsuite>\n";
  }
  return out + "</testsuites>\n";
}

std::string report_markdown(const std::vector<Result>& results) {
  std::string out =
      "| Drill | What it proves | Verdict | Requests | Failed | Repeatable ones | Ran twice | Detected | Shifted | "
      "Returned | p99 |\n|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n";
  for (const Result& result : results) {
    const health::ScenarioFacts& facts = result.facts;
    out += "| " + cell(result.scenario.name) + " | " + cell(result.scenario.proves) + " | " +
           std::string(name_of(result.verdict)) + " | " + std::to_string(result.requests) + " | " +
           std::to_string(facts.failed) + " | " + std::to_string(facts.failed_repeatable) + " | " +
           std::to_string(facts.doubled) + " | " + time_cell(result.times.detected) + " | " +
           time_cell(result.times.shifted) + " | " + time_cell(result.times.returned) + " | " +
           milliseconds(result.latency.p99) + " |\n";
  }
  return out;
}

std::string requests_csv(const Result& result) {
  std::string out = "id,method,due_ms,late_ms,outcome,status,latency_ms,origin\n";
  for (std::size_t id = 0; id < result.records.size(); ++id) {
    const RequestRecord& record = result.records[id];
    const bool is_known = record.origin >= 0 && static_cast<std::size_t>(record.origin) < result.origins.size();
    char line[160];
    std::snprintf(line, sizeof line, "%zu,%s,%.3f,%.3f,%s,%u,%.3f,", id, record.post ? "POST" : "GET",
                  as_ms(record.due), as_ms(record.late), std::string(name_of(record.outcome)).c_str(), record.status,
                  as_ms(record.latency));
    out += line + (is_known ? result.origins[static_cast<std::size_t>(record.origin)] : std::string()) + "\n";
  }
  return out;
}

}  // namespace understudy::drill
