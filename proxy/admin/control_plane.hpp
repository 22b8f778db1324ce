// What the admin API asks of the running process. Implemented by the server; every call is made on the
// control thread.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "health/core.hpp"
#include "health/incident/incident.hpp"

namespace understudy::admin {

// RFC 9457 problem: what went wrong and how to mend it.
struct Problem {
  unsigned status = 400;
  std::string title;
  std::string detail;
};
// The JSON shapes of status, pools, pool and events stand in describe.hpp, which also builds them from the
// health core.
using Reply = std::variant<boost::json::value, Problem>;

struct Readiness {
  bool ready = false;
  std::string lines;  // one line per check, for ?verbose and for the 503 body
};

// What is known of one incident, or why there is nothing.
using IncidentReply = std::variant<incident::Incident, Problem>;

class ControlPlane {
public:
  virtual ~ControlPlane() = default;
  // Asked before every change: why none can be made now, or nothing. `lasting`: the process that serves next would have to know
  // of it (an order, a reload), as opposed to what is done here and now (a stop, a check).
  virtual std::optional<Problem> refuses_changes([[maybe_unused]] bool lasting) { return std::nullopt; }
  virtual Readiness livez() = 0;
  virtual Readiness readyz() = 0;
  virtual std::string metrics(bool openmetrics) = 0;
  virtual boost::json::value status() = 0;  // one screen: sentence, pools, tiers, endpoints, listeners, process
  virtual boost::json::value pools() = 0;
  virtual Reply pool(const std::string& name) = 0;
  virtual boost::json::value events(std::uint64_t since) = 0;  // {"events":[{"id":..,"at":..,"kind":..,...}],"next":N}
  virtual boost::json::value incidents() = 0;  // {"incidents":[…]}, the newest first, without timeline and series
  // One whole incident, as JSON or as a Markdown draft of a post-mortem. Answers when it was read.
  virtual void incident(std::uint64_t number, std::function<void(IncidentReply)> done) = 0;
  virtual boost::json::value alerts() = 0;  // {"alerts":[…]}: the newest messages, the oldest first
  // Sends a test message and answers what came of it.
  virtual void test_alert(const std::string& name, std::function<void(Reply)> done) = 0;
  // Live drills. Begins the one that `scenario` (TOML, of that file) describes; Problem 422 with every diagnostic, 409 where a
  // guard or another drill is in the way. Every answer is the drill (live_drills.hpp).
  virtual Reply begin_drill(const std::string& scenario, const std::string& file, const std::string& who) = 0;
  virtual Reply renew_drill(std::uint64_t id) = 0;  // its lease; Problem 409 when it is over
  virtual Reply stop_drill(std::uint64_t id, const std::string& reason, const std::string& who) = 0;
  virtual Reply drill(std::uint64_t id) = 0;
  virtual boost::json::value drills() = 0;  // {"drills":[…]}, the newest first
  // {"history":[…],"duties":[…]}: what came of them over restarts, the oldest first, and which have to be made.
  virtual boost::json::value drill_history() = 0;
  virtual boost::json::value config() = 0;  // effective, secrets hidden
  virtual boost::json::value version() = 0;
  // Answers once the reload has happened or was refused (Problem 422 with every diagnostic in detail).
  virtual void reload(std::function<void(Reply)> done) = 0;
  // Failover, failback, hold, approval, maintenance, endpoint states. `who` goes to the audit event. Answers the pool's
  // new state.
  virtual Reply command(const health::Command& command, const std::string& pool, const std::string& who) = 0;
  // Calls back when what was ordered until now survives a crash; kept is false when that failed or takes too long.
  virtual void when_kept(std::function<void(bool kept)> done) { done(true); }
  virtual void check_config(std::function<void(Reply)> done) = 0;  // loads the file without applying it
  virtual Reply reopen_logs() = 0;
  virtual Reply stop(bool now) = 0;
};

}  // namespace understudy::admin
