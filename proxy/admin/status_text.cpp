#include "proxy/admin/status_text.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cmath>
#include <ctime>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace understudy::admin {
namespace {

namespace json = boost::json;
using Parts = std::initializer_list<std::string_view>;
using Wall = std::chrono::system_clock::time_point;

std::string concat(Parts parts) {
  std::string out;
  for (const std::string_view part : parts) out += part;
  return out;
}

std::string whole(double value) { return std::to_string(std::llround(value)); }

// Breaks at blanks before column 62; following lines are indented.
std::string wrapped(std::string_view line, std::string_view indent) {
  constexpr std::size_t kWidth = 62;
  std::string out;
  while (line.size() + (out.empty() ? 0 : indent.size()) > kWidth) {
    const std::size_t room = kWidth - (out.empty() ? 0 : indent.size());
    const std::size_t at = line.rfind(' ', room);
    // A word that does not fit alone stays whole.
    if (at == std::string_view::npos || line.find_first_not_of(' ') > at) break;
    out += concat({out.empty() ? "" : indent, line.substr(0, at), "\n"});
    line.remove_prefix(at + 1);
  }
  return out + concat({out.empty() ? "" : indent, line, "\n"});
}

const json::value* get(const json::value& from, std::string_view key) {
  const auto* object = from.if_object();
  return object ? object->if_contains(key) : nullptr;
}

std::string text(const json::value& from, std::string_view key) {
  const auto* value = get(from, key);
  const auto* string = value ? value->if_string() : nullptr;
  return string ? printable(std::string_view(string->data(), string->size())) : std::string{};
}

bool flag(const json::value& from, std::string_view key) {
  const auto* value = get(from, key);
  const bool* truth = value ? value->if_bool() : nullptr;
  return truth && *truth;
}

std::optional<double> number(const json::value& from, std::string_view key) {
  const auto* value = get(from, key);
  if (!value || !value->is_number()) return std::nullopt;
  return value->to_number<double>();
}

const json::array& list(const json::value& from, std::string_view key) {
  static const json::array kNone;
  const auto* value = get(from, key);
  const auto* array = value ? value->if_array() : nullptr;
  return array ? *array : kNone;
}

std::optional<Wall> time_of(const json::value& from, std::string_view key) {
  std::tm utc{};
  const std::string written = text(from, key);
  if (written.empty() || !strptime(written.c_str(), "%Y-%m-%dT%H:%M:%S", &utc)) return std::nullopt;
  return std::chrono::system_clock::from_time_t(timegm(&utc));
}

std::string length_of(Wall::duration duration) {
  const auto seconds = std::max<long long>(0, std::chrono::duration_cast<std::chrono::seconds>(duration).count());
  const auto two = [](long long a, const char* big, long long b, const char* small) {
    return concat({std::to_string(a), big, b ? " " : "", b ? std::to_string(b) : "", b ? small : ""});
  };
  if (seconds < 60) return std::to_string(seconds) + "s";
  if (seconds < 3600) return two(seconds / 60, "m", seconds % 60, "s");
  if (seconds < 86400) return two(seconds / 3600, "h", seconds % 3600 / 60, "m");
  return two(seconds / 86400, "d", seconds % 86400 / 3600, "h");
}

// "02:14:05", with the date when it is not of the last day.
std::string clock_of(Wall at, Wall now) {
  const std::time_t time = std::chrono::system_clock::to_time_t(at);
  std::tm local{};
  localtime_r(&time, &local);
  const bool near = at > now - std::chrono::hours(24) && at < now + std::chrono::hours(24);
  char out[48];
  return {out, std::strftime(out, sizeof out, near ? "%H:%M:%S" : "%Y-%m-%d %H:%M", &local)};
}

std::string since(const json::value& from, std::string_view key, Wall now) {
  const auto at = time_of(from, key);
  return at ? concat({" since ", clock_of(*at, now), " (", length_of(now - *at), ")"}) : "";
}

std::string until(const json::value& from, std::string_view key, Wall now) {
  const auto at = time_of(from, key);
  return at ? concat({" until ", clock_of(*at, now), " (", length_of(*at - now), " left)"}) : "";
}

// The one word that says what to know about an endpoint, the operator's will first.
std::string word_of(const json::value& endpoint) {
  std::string will = text(endpoint, "operator");
  const std::string checks = text(endpoint, "checks");
  if (!will.empty() && will != "enabled") return will;
  if (checks == "unhealthy") return "unhealthy";
  if (flag(endpoint, "quarantined")) return "in quarantine";
  if (text(endpoint, "passive") == "ejected") return "ejected";
  return checks == "unknown" ? "unchecked" : "healthy";
}

std::string last_check(const json::value& endpoint, Wall now) {
  const auto* check = get(endpoint, "last_check");
  if (!check || !check->is_object()) return "";
  std::string out = flag(*check, "ok") ? "ok" : text(*check, "cause");
  if (const auto status = number(*check, "status"); status && *status > 0) {
    out += concat({" ", whole(*status)});
  }
  if (const auto elapsed = number(*check, "elapsed_ms")) {
    out += concat({" in ", whole(*elapsed), "ms"});
  }
  if (const auto at = time_of(*check, "at")) out += concat({", ", length_of(now - *at), " ago"});
  const std::string detail = text(*check, "detail");
  if (!flag(*check, "ok") && !detail.empty()) out += concat({"\n        ", detail});
  return out;
}

// "12 ms", "3.4 ms" below ten.
std::string milliseconds_of(double value) {
  if (value >= 9.95) return whole(value) + " ms";
  const auto tenths = std::llround(value * 10);
  return concat({std::to_string(tenths / 10), tenths % 10 ? "." + std::to_string(tenths % 10) : "", " ms"});
}

std::string share_of(double share) { return share > 0 && share < 0.005 ? "under 1 %" : whole(share * 100) + " %"; }

// What real requests told: doubt first, then how fast and how often it failed.
std::string traffic_text(const json::value& endpoint) {
  std::string out;
  const std::string doubt = text(endpoint, "suspicion"), cls = text(endpoint, "class");
  const bool ill = !cls.empty() && cls != "none";
  if (!doubt.empty() || ill) {
    out += concat({"      ", doubt.empty() ? "" : concat({"suspect: ", doubt}), !doubt.empty() && ill ? ", " : "",
                   ill ? concat({"class ", cls}) : "", "\n"});
  }
  if (const std::string slow = text(endpoint, "slow_to_open"); !slow.empty())
    out += wrapped(concat({"      slow to open WebSockets: ", slow}), "        ");
  const auto* traffic = get(endpoint, "traffic");
  const auto p50 = traffic ? number(*traffic, "first_byte_p50_ms") : std::nullopt;
  if (p50) {
    const auto of = [traffic](const char* key) { return number(*traffic, key).value_or(0); };
    out += concat({"      first byte ", milliseconds_of(*p50), ", p95 ", milliseconds_of(of("first_byte_p95_ms")),
                   ", p99 ", milliseconds_of(of("first_byte_p99_ms")), "; ", share_of(of("error_share")), " failed\n"});
  }
  return out;
}

std::string agent_text(const json::value& endpoint) {
  const auto* agent = get(endpoint, "agent");
  if (!agent || !agent->is_object()) return "";
  const std::string reason = text(*agent, "reason"), complaint = text(*agent, "complaint");
  std::string line = concat({"      its agent says ", text(*agent, "state"), ", ",
                             share_of(number(*agent, "weight_share").value_or(1)), " of its weight"});
  if (!reason.empty()) line += concat({" (", reason, ")"});
  if (!complaint.empty()) line += concat({"; of no use now: ", complaint});
  return wrapped(line, "        ");
}

// What synthetic requests prove of an endpoint: one line when it is fit, else what is wrong.
std::string fitness_text(const json::value& endpoint, Wall now) {
  const auto* fitness = get(endpoint, "fitness");
  if (!fitness || !fitness->is_object()) return "";
  const std::string reason = text(*fitness, "reason");
  std::string line = "      " + text(*fitness, "verdict");
  if (const auto at = time_of(*fitness, "proven_at")) line += concat({", proven ", length_of(now - *at), " ago"});
  if (!reason.empty()) line += concat({": ", reason});
  return wrapped(line, "        ");
}

std::string endpoint_text(const json::value& endpoint, Wall now) {
  const std::string word = word_of(endpoint), label = text(endpoint, "label"), address = text(endpoint, "address");
  std::string out = flag(endpoint, "available") ? "    + " : "    - ";
  out += label;
  if (!address.empty() && address != label) out += concat({" (", address, ")"});
  out += "\n";
  const bool ordered = word == text(endpoint, "operator");
  const bool dated = ordered && !text(endpoint, "operator_since").empty();
  out += concat({"      ", word, since(endpoint, dated ? "operator_since" : "since", now)});
  if (word == "ejected") out += until(endpoint, "ejected_until", now);
  if (ordered) out += until(endpoint, "operator_until", now);
  out += "\n";
  const std::string check = last_check(endpoint, now);
  if (!check.empty()) out += concat({"      check: ", check, "\n"});
  out += fitness_text(endpoint, now);
  out += agent_text(endpoint);
  out += traffic_text(endpoint);
  const double in_flight = number(endpoint, "in_flight").value_or(0), tunnels = number(endpoint, "tunnels").value_or(0);
  if (in_flight > 0 || tunnels > 0) {
    out += concat({"      ", whole(in_flight), " in flight, ", whole(tunnels), " tunnels\n"});
  }
  return out;
}

std::string upper(std::string word) {
  for (char& c : word)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return word;
}

std::string tier_text(const json::value& tier, Wall now) {
  const json::array& endpoints = list(tier, "endpoints");
  std::string out = flag(tier, "active") ? "  > " : "    ";
  out += text(tier, "name");
  if (const auto available = number(tier, "available")) {
    out += concat({" ", whole(*available), "/", std::to_string(endpoints.size()), " available"});
  }
  if (flag(tier, "active")) out += ", serving";
  if (flag(tier, "panic")) out += ", panic: all are used";
  if (flag(tier, "degraded")) out += ", DEGRADED";
  if (flag(tier, "failed")) out += ", verdict failed";
  const double share = number(tier, "share").value_or(0);
  if (share > 0 && share < 1) out += concat({", ", share_of(share), " of the traffic"});
  if (const auto* fitness = get(tier, "fitness"); fitness && fitness->is_object()) {
    const std::string verdict = text(*fitness, "verdict");
    const bool bad = verdict == "unfit" || verdict == "stale";
    out += concat({", ", verdict == "unknown" ? "fitness unknown" : bad ? upper(verdict) : verdict});
  }
  out += "\n";
  if (const auto most = number(tier, "max_unanswered"))
    out += concat({"      SHEDDING: at most ", whole(*most), " requests at once\n"});
  const std::string reason = text(tier, "degraded_reason"), quality = text(tier, "quality");
  if (!reason.empty()) out += wrapped(concat({"      degraded: ", reason}), "        ");
  if (!quality.empty() && quality != "not measured") out += wrapped(concat({"      measures ", quality}), "        ");
  for (const json::value& endpoint : endpoints) out += endpoint_text(endpoint, now);
  return out;
}

}  // namespace

std::string printable(std::string_view from) {
  std::string out(from);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto byte = static_cast<unsigned char>(out[i]);
    // C1 controls in UTF-8 are 0xC2 0x80 to 0xC2 0x9F.
    const bool c1 = byte >= 0x80 && byte <= 0x9f && i > 0 && static_cast<unsigned char>(from[i - 1]) == 0xc2;
    if (byte < 0x20 || byte == 0x7f) out[i] = '?';
    if (c1) out[i - 1] = out[i] = '?';
  }
  return out;
}

namespace {

// What the machine is about, what came of the last move, and what a return waits for.
std::string moves_text(const json::value& pool) {
  std::string out, phase = text(pool, "phase");
  for (char& c : phase)
    if (c == '_') c = ' ';
  if (!phase.empty() && phase != "serving") out += concat({"  phase: ", phase, "\n"});
  if (const std::string verdict = text(pool, "last_verdict"); !verdict.empty())
    out += wrapped(concat({"  last move ", verdict}), "    ");
  if (const double relapses = number(pool, "relapses").value_or(0); relapses > 0)
    out += concat({"  relapses: ", whole(relapses), ", each doubles the wait before a return\n"});
  for (const json::value& gate : list(pool, "gates")) {
    const std::string detail = text(gate, "detail");
    out += wrapped(concat({flag(gate, "passed") ? "  gate passed: " : "  gate waits: ", text(gate, "name"),
                           detail.empty() ? "" : concat({" (", detail, ")"})}),
                   "    ");
  }
  return out;
}

}  // namespace

std::string pool_text(const json::value& pool, Wall now) {
  std::string out = concat({"pool ", text(pool, "name")});
  if (const auto epoch = number(pool, "epoch")) out += concat({" (epoch ", whole(*epoch), ")"});
  out += "\n";
  if (const std::string diagnosis = text(pool, "diagnosis"); !diagnosis.empty())
    out += wrapped(concat({"  ", diagnosis}), "    ");
  const std::string active = text(pool, "active"), reason = text(pool, "active_reason");
  if (!active.empty()) out += concat({"  ", active, " serves", since(pool, "active_since", now), "\n"});
  if (!reason.empty()) out += wrapped(concat({"  because: ", reason}), "    ");
  const auto* openings = get(pool, "openings");
  const std::string tunnels = openings && openings->is_object() ? text(*openings, "tier") : "";
  if (tunnels != active && !tunnels.empty()) out += concat({"  new tunnels go to ", tunnels, "\n"});
  if (flag(pool, "maintenance")) out += concat({"  MAINTENANCE", until(pool, "maintenance_until", now), "\n"});
  if (flag(pool, "held")) out += concat({"  held", until(pool, "held_until", now), "\n"});
  if (const auto at = time_of(pool, "failback_at")) {
    out += concat({"  failback at ", clock_of(*at, now), " (in ", length_of(*at - now), ")\n"});
  } else if (const std::string waits = text(pool, "failback_waits"); !waits.empty()) {
    out += wrapped(concat({"  failback waits for ", waits}), "    ");
  }
  out += moves_text(pool);
  if (const auto* parked = get(pool, "parked")) {
    const double waiting = number(*parked, "tunnels").value_or(0);
    if (waiting > 0) out += concat({"  PARKED: ", whole(waiting), " tunnels have no endpoint and look for one\n"});
  }
  for (const json::value& tier : list(pool, "tiers")) out += tier_text(tier, now);
  return out;
}

namespace {

std::string drill_text(const json::value& drill) {
  std::string faults;
  for (const json::value& one : list(drill, "in_force"))
    if (const json::string* words = one.if_string())
      faults += (faults.empty() ? "" : ", ") + printable({words->data(), words->size()});
  const auto seconds = [&drill](const char* key) { return whole(number(drill, key).value_or(0) / 1000); };
  return wrapped(concat({"\nDRILL ", whole(number(drill, "id").value_or(0)), ": ", text(drill, "name"), ", pool ",
                         text(drill, "pool"), ", ", seconds("elapsed_ms"), " of ", seconds("length_ms"), " s, by ",
                         text(drill, "who"), faults.empty() ? "" : ": " + faults}),
                 "  ");
}

}  // namespace

std::string status_text(const json::value& status, Wall now) {
  const std::string state = text(status, "state");
  std::string out = state.empty() ? "" : concat({"[", state, "] "});
  out += concat({text(status, "sentence"), "\n"});
  for (const json::value& pool : list(status, "pools")) out += concat({"\n", pool_text(pool, now)});
  for (const json::value& incident : list(status, "incidents"))
    out += wrapped(concat({"\nincident ", whole(number(incident, "number").value_or(0)), " (", text(incident, "state"),
                           ", ", text(incident, "severity"), "): ", text(incident, "summary")}),
                   "  ");
  for (const json::value& drill : list(status, "drills")) out += drill_text(drill);
  for (const json::value& duty : list(status, "drill_duties"))
    if (flag(duty, "overdue"))
      out += wrapped(concat({"\ndrill ", text(duty, "drill"), " of pool ", text(duty, "pool"), " is OVERDUE: due ",
                             text(duty, "due").substr(0, 16), ", last made ",
                             text(duty, "made").empty() ? "never" : text(duty, "made").substr(0, 16)}),
                     "  ");
  const json::array& listeners = list(status, "listeners");
  if (!listeners.empty()) out += "\n";
  for (const json::value& listener : listeners) {
    out += concat(
        {"listen ", text(listener, "name"), " ", text(listener, "address"), flag(listener, "tls") ? " tls\n" : "\n"});
  }
  if (const auto* process = get(status, "process")) {
    out += concat({"understudy ", text(*process, "version")});
    if (const auto pid = number(*process, "pid")) out += concat({", pid ", whole(*pid)});
    if (const auto at = time_of(*process, "started_at")) out += concat({", up ", length_of(now - *at)});
    out += "\n";
  }
  return out;
}

std::string events_text(const json::value& events) {
  std::string out;
  for (const json::value& event : list(events, "events")) {
    const std::string at = text(event, "at");
    out += concat({at.substr(0, 19), at.size() > 19 ? "Z " : " ", text(event, "kind")});
    std::string where;
    for (const char* key : {"pool", "tier", "endpoint"}) {
      const std::string part = text(event, key);
      if (!part.empty()) where += (where.empty() ? "" : "/") + part;
    }
    if (!where.empty()) out += concat({" ", where});
    if (const std::string reason = text(event, "reason"); !reason.empty()) out += concat({": ", reason});
    out += "\n";
  }
  return out;
}

}  // namespace understudy::admin
