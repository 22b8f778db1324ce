// A rehearsal or drill as the operator writes it: load, faults on a timetable, and what is expected. Plain values with every
// default filled in; loaded like the configuration, all problems at once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/calendar.hpp"
#include "config/load.hpp"
#include "config/model.hpp"

namespace understudy::config {

struct ScenarioLoad {
  double rate = 100;         // requests per second, open loop: they come whether or not earlier ones were answered
  double post = 0;           // share of them that may not be repeated
  std::uint64_t body = 100;  // bytes of those
  std::uint32_t websockets = 0;
  Duration message_interval{1'000};  // each asks for an echo that often
  Duration reconnect{1'000};         // and comes back so long after it was dropped, at random up to twice as long
  MaybeDuration session;             // and leaves by itself after that time, to come back the same way
  Duration patience{10'000};         // a client gives up then
  Duration latency{5};               // what an endpoint needs for a request when all is well
  Duration probe_latency{1};         // and for its health page
};

// kill: nothing listens. unreachable: no answer to a connection. freeze: connections are accepted, nothing is answered.
// hang: real requests are not answered, the health page is. slow: answers take `latency`. errors: a share of the answers is
// of failure class. flap: killed and well in turns of `period`. starve: the proxy itself stands still. backlog: as freeze,
// and the queue of connections is full. reset: a share of the requests is answered with a reset. half_response: of a share
// of the answers half the body comes. slow_body: the head comes in time, the body takes `latency`. slow_websocket: openings
// take `latency`, all else is well. cold: above `limit` connections per second all takes `latency`. overload: `limit`
// requests are worked on at a time, others wait.
enum class FaultKind : std::uint8_t {
  kill,
  unreachable,
  freeze,
  hang,
  slow,
  errors,
  flap,
  starve,
  backlog,
  reset,
  half_response,
  slow_body,
  slow_websocket,
  cold,
  overload
};
enum class FaultHealth : std::uint8_t { as_fault, good, bad };  // what the health page says meanwhile
struct ScenarioFault {
  Duration at{0};
  MaybeDuration until;  // none: to the end
  std::string where;    // a tier, an endpoint's label, or "all"; not for starve
  FaultKind kind = FaultKind::kill;
  Duration latency{0};      // slow, slow_body, slow_websocket, cold
  Duration ramp{0};         // slow: grows from normal to `latency` over this time
  Duration jitter{0};       // slow: up to so much more, drawn for each answer
  double share = 1;         // errors, reset, half_response
  std::uint32_t limit = 0;  // cold, overload
  std::uint16_t status = 500;
  Duration period{3'000};  // flap
  FaultHealth health = FaultHealth::as_fault;
  double requests = 1;  // of a live drill: share of the requests that meet it
  std::string header;   // of a live drill: only requests that have it, "Name" or "Name: value"; "" all
};

// upgrade: the program takes over from itself in a new process (SIGUSR2); in a rehearsal it is what a reload is.
enum class ActKind : std::uint8_t { failover, failback, hold, release, approve, reload, upgrade };
struct ScenarioAct {  // what an operator does meanwhile
  Duration at{0};
  ActKind act = ActKind::failover;
  std::string to;  // failover: a tier; approve: a gate
};

struct ExpectServing {
  Duration at{0};
  std::string tier;
};
// What must hold in the end. Empty ones are not looked at. Times count from the first fault, `returned` from the last heal.
struct ScenarioExpect {
  std::optional<std::uint64_t> failed;             // at most so many requests failed
  std::optional<std::uint64_t> failed_repeatable;  // and so many that could have been repeated
  std::optional<std::uint64_t> bad;                // failed, or took longer than slow_after
  Duration slow_after{1'000};
  std::optional<std::uint64_t> least_answered;   // at least so many were answered well, not slowly
  std::optional<std::uint64_t> doubled;          // at most so many that may not be repeated ran twice
  std::optional<std::uint64_t> sockets_dropped;  // at most so often a WebSocket ended that its client still wanted
  std::optional<std::uint64_t> sockets_cut;  // and so often without the Close that its route says of those who leave
  std::optional<std::uint64_t> drops_per_second;    // at most so many ended so within any second
  std::optional<std::uint64_t> slow_openings;       // at most so many were opened after slow_after, or not at all
  std::optional<std::uint64_t> least_open;          // at least so many of them are open at the end
  std::optional<std::uint64_t> moves, least_moves;  // failovers and failbacks, at most and at least
  MaybeDuration detected, shifted, returned;        // within
  std::vector<ExpectServing> serving;
  std::vector<std::string> events, no_events;  // kinds that must, or must not, occur
  std::vector<std::string> alerts;             // types of message that must be sent
};

// What ends a live drill, and what keeps it from beginning.
struct ScenarioGuards {
  std::optional<double> error_share = 0.1;  // of the pool's answers, over `over`; "none": not looked at
  MaybeDuration latency_p95;                // of its answers, and of what waits for one
  Duration over{5'000};
  std::uint32_t min_requests = 20;     // below which nothing is judged
  bool standby_fit = true;             // another tier can serve, and nothing says that it is not fit
  bool no_incident = true;             // nobody has an incident on their hands
  bool leave_gated = false;            // it may take traffic off a tier to which only gates let it return
  std::vector<std::string> block_out;  // windows in which there is no drill, as calendar.hpp reads them
  Duration lease{800};                 // it ends by itself when nobody has asked for it for so long
};

struct Scenario {
  std::string name;
  std::string proves;  // one sentence
  std::string config;  // file that it runs against where no other is named; relative to the scenario's; "" none
  std::string pool;    // "": the only one
  Duration length{60'000};
  MaybeDuration short_length;  // of the shortened form; key `short`
  ScenarioLoad load;
  std::vector<ScenarioFault> faults;  // [[fault]]
  std::vector<ScenarioAct> acts;      // [[operator]]
  ScenarioExpect expect;
  ScenarioGuards guards;
};

struct ScenarioResult {
  std::optional<Scenario> scenario;  // only without errors
  std::vector<Diagnostic> diagnostics;
};
// Who is to run it. What that one cannot do or measure is an error; `any` asks for no more than sense.
enum class Rung : std::uint8_t { any, rehearse, drill, live };
// `file` is what diagnostics name. Touches no file and no network.
ScenarioResult load_scenario(std::string_view text, const std::string& file, Rung rung = Rung::any);
// The kinds of event that an expectation can name, as the core names them and in its order.
const std::vector<std::string_view>& event_kinds();
// The types of message that an expectation can name, as alerts have them.
const std::vector<std::string_view>& alert_types();
// The form for tests that cannot wait: it ends at `short`. Faults, acts and expectations from then on are left out; so are
// `least_moves` and `least_answered`, which count over the whole, and `returned` where there is no time for it. What is left
// out of the expectations is told. REQUIRES: it has `short`.
Scenario shortened(Scenario scenario, std::vector<std::string>& left_out);
// Cross-checks a scenario with a configuration: its pool, tiers and endpoints exist. Messages without a position.
std::vector<std::string> mismatches(const Scenario& scenario, const Config& config);

std::string scenario_schema();          // draft-04, from the declarations of its keys
std::string scenario_reference_page();  // Markdown, from the same

}  // namespace understudy::config
