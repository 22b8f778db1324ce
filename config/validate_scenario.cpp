// Rules between the keys of a scenario.
#include <algorithm>
#include <array>

#include "config/scenario_keys.hpp"
#include "config/reader.hpp"
#include "config/text.hpp"
#include "config/units.hpp"

namespace understudy::config {
namespace {

constexpr double most_requests = 20'000'000;  // of a whole scenario: what a rehearsal can do in a minute

std::string quoted_kind(FaultKind kind) {
  return "kind = " + toml_string(fault_kinds().at(static_cast<std::size_t>(kind)));
}

class Rules {
public:
  Rules(const Scenario& scenario, Reader& reader) : scenario_(scenario), reader_(reader) {}

  void check() {
    check_load();
    if (scenario_.short_length && given("short") && sound("length") && *scenario_.short_length >= scenario_.length)
      blame_value("short",
                  "'short' is not shorter than 'length', which is " + toml_string(format_duration(scenario_.length)));
    for (std::size_t i = 0; i < scenario_.faults.size(); ++i)
      check_fault(scenario_.faults[i], "fault[" + std::to_string(i + 1) + "]");
    for (std::size_t i = 0; i < scenario_.acts.size(); ++i)
      check_act(scenario_.acts[i], "operator[" + std::to_string(i + 1) + "]");
    check_expectations();
    check_counts();
    check_times();
    check_serving();
  }

private:
  // Written, and with a value that says something.
  bool given(const std::string& path) const { return reader_.mark(path) != nullptr && !reader_.is_refused(path); }
  // Written or not: whether the model's value is what is meant.
  bool sound(const std::string& path) const { return !reader_.is_refused(path); }

  void blame_value(const std::string& path, const std::string& message, const std::string& hint = "") {
    reader_.error(reader_.span_of(path), message, hint);
  }
  void blame_key(const std::string& path, const std::string& message, const std::string& hint = "") {
    reader_.error(reader_.key_span_of(path), message, hint);
  }

  void check_load() {
    const double requests = scenario_.load.rate * std::chrono::duration<double>(scenario_.length).count();
    if (requests <= most_requests) return;
    blame_value(given("load.rate") ? "load.rate" : "length",
                "'rate' and 'length' make more than " + std::to_string(static_cast<long>(most_requests)) + " requests",
                "lower one of them");
  }

  // Whether it lies within the scenario.
  bool check_within(const std::string& path, const char* key, Duration at, bool may_be_end) {
    if (!given(path) || !sound("length") || at < scenario_.length || (may_be_end && at == scenario_.length))
      return true;
    blame_value(
        path, std::string("'") + key + "' is " + (at == scenario_.length ? "at" : "after") + " the end of the scenario",
        "'length' is " + toml_string(format_duration(scenario_.length)));
    return false;
  }

  void check_fault(const ScenarioFault& fault, const std::string& path) {
    check_within(path + ".at", "at", fault.at, false);
    if (fault.until) check_within(path + ".until", "until", *fault.until, true);
    const bool is_ordered = !fault.until || !sound(path + ".at") || *fault.until > fault.at;
    if (!is_ordered) blame_value(path + ".until", "'until' is not after 'at'");
    if (!given(path + ".kind")) return;
    check_keys_of_kind(fault, path);
    if (is_ordered) check_durations(fault, path);
  }

  void check_keys_of_kind(const ScenarioFault& fault, const std::string& path) {
    for (const Key& key : fault_section().keys) {
      const Mark* mark = reader_.mark(path + "." + key.name);
      if (mark == nullptr || fault_key_applies(key.name, fault.kind)) continue;
      reader_.error(mark->key, "'" + key.name + "' does nothing in a fault of " + quoted_kind(fault.kind),
                    fault.kind == FaultKind::starve ? "it is the proxy that stands still" : "");
    }
    need(path, "where", fault.kind != FaultKind::starve, "write where = \"primary\"", fault.kind);
    need(path, "latency", fault_key_applies("latency", fault.kind), "write latency = \"3s\"", fault.kind);
    need(path, "limit", fault_key_applies("limit", fault.kind), "write limit = 20", fault.kind);
    need(path, "period", fault.kind == FaultKind::flap, "write period = \"3s\"", fault.kind);
    need(path, "until", fault.kind == FaultKind::starve, "a proxy that never wakes up decides nothing", fault.kind);
    const bool is_idle = fault_key_applies("share", fault.kind) && fault.share == 0 && fault.health != FaultHealth::bad;
    if (is_idle && given(path + ".share") && sound(path + ".health"))
      blame_value(path + ".share", "a share of 0% is no fault", "add health = \"bad\" for a health page that lies");
  }

  void need(const std::string& path, const char* key, bool is_needed, const char* hint, FaultKind kind) {
    if (!is_needed || reader_.mark(path + "." + key) != nullptr) return;
    blame_value(path, std::string("'") + key + "' is missing in a fault of " + quoted_kind(kind), hint);
  }

  void check_durations(const ScenarioFault& fault, const std::string& path) {
    const Duration lasts = fault.until.value_or(scenario_.length) - fault.at;
    if (lasts <= Duration::zero() || !sound(path + ".at") || !sound(path + ".until")) return;
    if (fault_key_applies("latency", fault.kind) && given(path + ".latency") &&
        fault.latency <= scenario_.load.latency) {
      blame_value(path + ".latency",
                  "'latency' is not above that of [load], " + toml_string(format_duration(scenario_.load.latency)));
    }
    if (fault.kind == FaultKind::slow && given(path + ".ramp") && fault.ramp > lasts)
      blame_value(path + ".ramp", "'ramp' is longer than the fault, so that 'latency' is never reached");
    if (fault.kind == FaultKind::flap && given(path + ".period") && fault.period >= lasts)
      blame_value(path + ".period", "'period' is not shorter than the fault, so that it never comes back",
                  "write kind = \"kill\" if that is meant");
  }

  void check_act(const ScenarioAct& act, const std::string& path) {
    check_within(path + ".at", "at", act.at, false);
    if (!given(path + ".act")) return;
    const bool has_to = reader_.mark(path + ".to") != nullptr;
    if (act.act == ActKind::approve && !has_to) {
      blame_value(path + ".act", "an approval needs the gate that is approved", "add to = \"data compared\"");
    } else if (has_to && act.act != ActKind::approve && act.act != ActKind::failover) {
      blame_key(path + ".to", "'to' does nothing with this 'act'");
    }
  }

  void check_expectations() {
    for (const Key& key : expect_section().keys) {
      if (key.name != "slow_after" && reader_.mark("expect." + key.name) != nullptr) return;
    }
    const bool has_table = reader_.mark("expect") != nullptr;
    reader_.error(has_table ? reader_.key_span_of("expect") : Span{}, "nothing is expected, so that nothing can fail",
                  has_table ? "add failed = 0" : "add [expect] with failed = 0");
  }

  void check_counts() {
    const ScenarioExpect& expect = scenario_.expect;
    if (expect.failed && expect.bad && *expect.failed > *expect.bad)
      blame_value("expect.failed", "'failed' is above 'bad', which counts them too");
    if (expect.moves && expect.least_moves && *expect.least_moves > *expect.moves)
      blame_value("expect.least_moves", "'least_moves' is above 'moves'");
    if (expect.failed_repeatable && expect.failed && *expect.failed_repeatable > *expect.failed)
      blame_value("expect.failed_repeatable", "'failed_repeatable' is above 'failed', which counts them too");
    for (const char* key : {"failed", "failed_repeatable", "bad", "least_answered", "doubled"}) {
      const std::string path = std::string("expect.") + key;
      if (scenario_.load.rate == 0 && given("load.rate") && given(path))
        blame_key(path, std::string("'") + key + "' can't be measured without requests", "raise 'rate' in [load]");
    }
    if (scenario_.load.rate > 0 && scenario_.load.post == 0 && sound("load.post") && given("expect.doubled")) {
      blame_key("expect.doubled", "'doubled' can't be measured: every request may be repeated",
                "write post = \"30%\" in [load]");
    }
    for (const char* key : {"sockets_dropped", "sockets_cut", "drops_per_second", "slow_openings", "least_open"}) {
      const std::string path = std::string("expect.") + key;
      if (scenario_.load.websockets == 0 && sound("load.websockets") && given(path)) {
        blame_key(path, std::string("'") + key + "' can't be measured without WebSockets",
                  "write websockets = 100 in [load]");
      }
    }
    if (expect.least_open && *expect.least_open > scenario_.load.websockets && scenario_.load.websockets > 0 &&
        given("expect.least_open"))
      blame_value("expect.least_open", "'least_open' is above 'websockets' in [load], which is " +
                                           std::to_string(scenario_.load.websockets));
    if (expect.sockets_cut && expect.sockets_dropped && *expect.sockets_cut > *expect.sockets_dropped)
      blame_value("expect.sockets_cut", "'sockets_cut' is above 'sockets_dropped', which counts them too");
    if (expect.moves == 0U && expect.shifted)
      blame_key("expect.shifted", "'shifted' needs a move, and 'moves' allows none");
    if (expect.moves && *expect.moves < 2 && expect.returned)
      blame_key("expect.returned",
                "'returned' needs a move there and one back, and 'moves' allows " + std::to_string(*expect.moves));
    for (const std::string& kind : expect.events) {
      if (std::find(expect.no_events.begin(), expect.no_events.end(), kind) != expect.no_events.end())
        blame_key("expect.no_events", "'" + kind + "' must occur and must not");
    }
  }

  // Times that count from faults.
  void check_times() {
    const ScenarioExpect& expect = scenario_.expect;
    check_from_fault("detected", expect.detected);
    check_from_fault("shifted", expect.shifted);
    if (!expect.returned) return;
    Duration heal{0};
    for (std::size_t i = 0; i < scenario_.faults.size(); ++i) {
      const std::string path = "fault[" + std::to_string(i + 1) + "]";
      const MaybeDuration& until = scenario_.faults[i].until;
      if (!until && reader_.mark(path + ".until") != nullptr) return;  // it was complained about
      if (!until) {
        return blame_key("expect.returned",
                         "'returned' counts from the end of the last fault, and that at line " +
                             std::to_string(reader_.span_of(path).line) + " never ends",
                         "give it an 'until'");
      }
      heal = std::max(heal, *until);
    }
    check_room("returned", *expect.returned, heal, "last fault ends");
  }

  void check_from_fault(const char* key, const MaybeDuration& limit) {
    if (!limit) return;
    Duration first = scenario_.length;
    for (std::size_t i = 0; i < scenario_.faults.size(); ++i) {
      if (!given("fault[" + std::to_string(i + 1) + "].at")) return;
      first = std::min(first, scenario_.faults[i].at);
    }
    check_room(key, *limit, first, "first fault begins");
  }

  void check_room(const std::string& key, Duration limit, Duration from, const char* what) {
    if (reader_.mark("fault") == nullptr)
      return blame_key("expect." + key, "'" + key + "' can't be measured without a fault", "add a [[fault]]");
    if (scenario_.faults.empty() || !sound("length") || from + limit <= scenario_.length) return;
    blame_value("expect." + key, "'" + key + "' can't be measured: the scenario ends before",
                std::string("the ") + what + " at " + format_duration(from) + ", 'length' is " +
                    toml_string(format_duration(scenario_.length)));
  }

  void check_serving() {
    const auto& serving = scenario_.expect.serving;
    for (std::size_t i = 0; i < serving.size(); ++i) {
      const std::string path = "expect.serving[" + std::to_string(i) + "]";
      check_within(path + ".at", "at", serving[i].at, true);
      for (std::size_t j = 0; j < i; ++j) {
        if (serving[j].at != serving[i].at || !given(path + ".at")) continue;
        if (!given("expect.serving[" + std::to_string(j) + "].at")) continue;
        blame_value(path + ".at", "'serving' says twice what serves at " + format_duration(serving[i].at));
        break;
      }
    }
  }

  const Scenario& scenario_;
  Reader& reader_;
};

}  // namespace

void validate_scenario(const Scenario& scenario, Reader& reader) { Rules(scenario, reader).check(); }

}  // namespace understudy::config
