// What one rung of the ladder cannot do or measure: refused before anything starts, never silently left out.
#include <algorithm>

#include "config/reader.hpp"
#include "config/scenario_keys.hpp"
#include "config/text.hpp"

namespace understudy::config {
namespace {

constexpr double most_drilled = 2'000'000;  // requests of a drill, each of which is kept
constexpr Duration longest_drill = std::chrono::hours(1);

class RungRules {
public:
  RungRules(const Scenario& scenario, Reader& reader) : scenario_(scenario), reader_(reader) {}

  void rehearse() {
    for (std::size_t i = 0; i < scenario_.faults.size(); ++i) {
      const FaultKind kind = scenario_.faults[i].kind;
      const bool is_of_sockets = kind == FaultKind::slow_body || kind == FaultKind::slow_websocket ||
                                 kind == FaultKind::cold || kind == FaultKind::overload;
      if (is_of_sockets && known(i, "kind")) {
        blame(path(i, "kind"), "kind = " + word(kind) + " can't be rehearsed: it needs real connections",
              "run it with 'understudy drill'");
      }
    }
    for (const char* key : {"sockets_dropped", "sockets_cut", "drops_per_second", "slow_openings", "least_open"}) {
      if (known(std::string("expect.") + key))
        blame_key(std::string("expect.") + key,
                  std::string("'") + key + "' can't be measured in a rehearsal, which has no WebSockets",
                  "run it with 'understudy drill'");
    }
    if (known("expect.alerts"))
      blame_key("expect.alerts", "'alerts' can't be measured in a rehearsal, which tells nobody",
                "run it with 'understudy drill'");
    refuse_scopes();
  }

  void drill() {
    refuse_scopes();
    if (scenario_.length > longest_drill && known("length"))
      blame("length", "a drill of more than an hour is refused: it takes as long as it says",
            "shorten it, or run it with 'understudy rehearse'");
    const double requests = scenario_.load.rate * std::chrono::duration<double>(scenario_.length).count();
    if (requests > most_drilled && scenario_.length <= longest_drill && known("load.rate"))
      blame("load.rate", "'rate' and 'length' make more than 2000000 requests, each of which a drill keeps",
            "lower one of them");
    for (std::size_t i = 0; i < scenario_.faults.size(); ++i) fault(i);
    const bool upgrades = std::any_of(scenario_.acts.begin(), scenario_.acts.end(),
                                      [](const ScenarioAct& act) { return act.act == ActKind::upgrade; });
    if (upgrades && known("expect.alerts"))
      blame_key("expect.alerts", "'alerts' can't be measured over an upgrade: each process knows only its own",
                "leave it out, or make a scenario of its own for it");
  }

  void live() {
    if (scenario_.length > longest_drill && known("length"))
      blame("length", "a drill of more than an hour is refused: it takes as long as it says", "shorten it");
    if (scenario_.faults.empty() && known("name"))
      blame("name", "a live drill without a fault shows nothing", "add a [[fault]]");
    for (std::size_t i = 0; i < scenario_.faults.size(); ++i) live_fault(i);
    for (std::size_t i = 0; i < scenario_.acts.size(); ++i) {
      const std::string where = "operator[" + std::to_string(i + 1) + "]";
      reader_.error(reader_.span_of(where), "a live drill orders nothing: what an operator ordered would outlast it",
                    "leave [[operator]] out, and order it yourself");
    }
    for (const char* key : {"failed_repeatable", "doubled", "sockets_cut", "drops_per_second", "least_open"}) {
      if (known(std::string("expect.") + key))
        blame_key(std::string("expect.") + key, std::string("'") + key + "' can't be measured in a running proxy",
                  "run it with 'understudy drill', in the sandbox");
    }
  }

private:
  // Sandbox and rehearsal have endpoints of their own to fail; requests are not told apart there.
  void refuse_scopes() {
    for (std::size_t i = 0; i < scenario_.faults.size(); ++i)
      for (const char* key : {"requests", "header"})
        if (known(i, key))
          blame_key(path(i, key), std::string("'") + key + "' picks requests of a running proxy",
                    "run it with 'understudy drill --live'");
  }

  void live_fault(std::size_t i) {
    const ScenarioFault& fault = scenario_.faults[i];
    if (!known(i, "kind")) return;
    switch (fault.kind) {
      case FaultKind::starve:
      case FaultKind::backlog:
      case FaultKind::half_response:
      case FaultKind::slow_body:
      case FaultKind::cold:
      case FaultKind::overload:
        blame(path(i, "kind"), "kind = " + word(fault.kind) + " can't be injected into a running proxy",
              "run it with 'understudy drill', in the sandbox");
        return;
      case FaultKind::kill:
      case FaultKind::unreachable:
      case FaultKind::freeze:
      case FaultKind::hang:
      case FaultKind::flap: refuse_total(i); break;
      case FaultKind::errors:
      case FaultKind::reset:
        if (fault.share >= 1) refuse_total(i);
        break;
      case FaultKind::slow:
      case FaultKind::slow_websocket: break;
    }
    refuse_green_page(i);
    if (known(i, "header") && !is_header(fault.header))
      blame(path(i, "header"), "'" + printable(fault.header) + "' is no header field",
            "write header = \"X-Drill\", or header = \"X-Drill: yes\"");
    if (fault.requests == 0 && known(i, "requests"))
      blame(path(i, "requests"), "a share of 0% is no fault", "write requests = \"10%\"");
  }

  void refuse_total(std::size_t i) {
    const ScenarioFault& fault = scenario_.faults[i];
    if (fault.where != "all" || fault.requests < 1 || !fault.header.empty() || !known(i, "where")) return;
    blame(path(i, "where"), "this would leave nothing to serve the clients: kind = " + word(fault.kind) + " everywhere",
          "name a tier or an endpoint, or pick requests, as in requests = \"1%\"");
  }

  static bool is_header(const std::string& text) {
    const std::size_t colon = text.find(':');
    const std::string name = text.substr(0, colon);
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
    const auto is_token = [&](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             marks.find(c) != std::string_view::npos;
    };
    return !name.empty() && std::all_of(name.begin(), name.end(), is_token);
  }

  void refuse_green_page(std::size_t i) {
    const ScenarioFault& fault = scenario_.faults[i];
    const bool is_unheard = fault.kind == FaultKind::kill || fault.kind == FaultKind::unreachable ||
                            fault.kind == FaultKind::backlog || fault.kind == FaultKind::flap;
    if (is_unheard && fault.health == FaultHealth::good && known(i, "health")) {
      blame(path(i, "health"),
            "a health page can't be good behind kind = " + word(fault.kind) + ": it is asked at the same port",
            "write kind = \"hang\", or leave 'health' out");
    }
  }

  void fault(std::size_t i) {
    const ScenarioFault& fault = scenario_.faults[i];
    refuse_green_page(i);
    if (fault.kind == FaultKind::slow_websocket && scenario_.load.websockets == 0 && known(i, "kind"))
      blame(path(i, "kind"), "kind = " + word(fault.kind) + " does nothing without WebSockets",
            "write websockets = 100 in [load]");
  }

  bool known(const std::string& where) const { return reader_.mark(where) != nullptr && !reader_.is_refused(where); }
  bool known(std::size_t i, const char* key) const { return known(path(i, key)); }
  static std::string path(std::size_t i, const char* key) { return "fault[" + std::to_string(i + 1) + "]." + key; }
  static std::string word(FaultKind kind) { return toml_string(fault_kinds().at(static_cast<std::size_t>(kind))); }
  void blame(const std::string& where, const std::string& message, const std::string& hint) {
    reader_.error(reader_.span_of(where), message, hint);
  }
  void blame_key(const std::string& where, const std::string& message, const std::string& hint) {
    reader_.error(reader_.key_span_of(where), message, hint);
  }

  const Scenario& scenario_;
  Reader& reader_;
};

}  // namespace

void validate_rung(const Scenario& scenario, Reader& reader, Rung rung) {
  RungRules rules(scenario, reader);
  if (rung == Rung::rehearse) rules.rehearse();
  if (rung == Rung::drill) rules.drill();
  if (rung == Rung::live) rules.live();
}

}  // namespace understudy::config
