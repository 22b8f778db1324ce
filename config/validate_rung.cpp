// What one rung of the ladder cannot do or measure: refused before anything starts, never silently left out.
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
    for (const char* key : {"sockets_dropped", "slow_openings", "least_open"}) {
      if (known(std::string("expect.") + key))
        blame_key(std::string("expect.") + key,
                  std::string("'") + key + "' can't be measured in a rehearsal, which has no WebSockets",
                  "run it with 'understudy drill'");
    }
  }

  void drill() {
    if (scenario_.length > longest_drill && known("length"))
      blame("length", "a drill of more than an hour is refused: it takes as long as it says",
            "shorten it, or run it with 'understudy rehearse'");
    const double requests = scenario_.load.rate * std::chrono::duration<double>(scenario_.length).count();
    if (requests > most_drilled && scenario_.length <= longest_drill && known("load.rate"))
      blame("load.rate", "'rate' and 'length' make more than 2000000 requests, each of which a drill keeps",
            "lower one of them");
    for (std::size_t i = 0; i < scenario_.faults.size(); ++i) fault(i);
  }

private:
  void fault(std::size_t i) {
    const ScenarioFault& fault = scenario_.faults[i];
    const bool is_unheard = fault.kind == FaultKind::kill || fault.kind == FaultKind::unreachable ||
                            fault.kind == FaultKind::backlog || fault.kind == FaultKind::flap;
    if (is_unheard && fault.health == FaultHealth::good && known(i, "health")) {
      blame(path(i, "health"),
            "a health page can't be good behind kind = " + word(fault.kind) + ": it is asked at the same port",
            "write kind = \"hang\", or leave 'health' out");
    }
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
}

}  // namespace understudy::config
