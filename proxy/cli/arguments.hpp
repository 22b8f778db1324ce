// Arguments of the command line as values. The only user of CLI11 is arguments.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace understudy::cli {

inline constexpr const char* kDefaultConfig = "/etc/understudy/understudy.toml";

enum class Verb : std::uint8_t {
  // Done here.
  run,
  check,
  config_show,
  init,
  schema,
  quick,
  demo,
  rehearse,
  drill,
  version,
  // Asked of a running process.
  reload,
  status,
  failover,
  failback,
  hold,
  release,
  approve,
  maintenance,
  set_state,
  events,
  incidents,
  incident_show,
  drill_history,
  alert_test,
  healthcheck,
  logs_reopen,
  stop
};
constexpr bool asks_daemon(Verb verb) { return verb >= Verb::reload; }

struct Arguments {
  Verb verb = Verb::status;
  std::string config;        // file; "" when not given
  std::string admin, token;  // "" when not given, not by the environment either
  std::string pool, endpoint, tier, reason;
  std::string state;                          // set_state: "enabled", "draining", "disabled"
  std::string duration;                       // --for, already validated; "" none
  std::string path = "understudy.toml";       // init
  std::string listen, builtin_admin;          // quick, demo
  std::vector<std::string> primary, standby;  // quick
  std::uint64_t since = 0;                    // events
  std::uint64_t number = 0;                   // incident_show
  std::string alert;                          // alert_test
  bool markdown = false;                      // incident_show
  bool on = false;                            // maintenance
  bool json = false, strict = false, no_files = false, defaults = false, keep_root = false, now = false, once = false;
  bool ready = false;         // healthcheck
  bool reference = false;     // schema
  bool of_scenarios = false;  // schema
  std::string scenario;       // rehearse: its file; `config` is the other one
  std::uint64_t seed = 1;     // rehearse

  std::vector<std::string> scenarios;                     // drill: their files
  std::string json_file, junit, markdown_file, requests;  // drill: where its reports go; "" nowhere
  bool in_short = false;                                  // drill
  bool live = false;                                      // drill
  std::uint64_t retries = 0;                              // drill: of a run that was invalid

  std::string gate, who;                        // approve
  std::optional<std::uint64_t> expected_epoch;  // failover, failback, hold, release, approve
};

// Nothing to run: help (code 0, text in out) or a usage error (code 2, text in err).
struct Finished {
  int code = 0;
  std::string out, err;
};

// `arguments` without the program's name. Reads UNDERSTUDY_ADMIN and UNDERSTUDY_TOKEN.
std::variant<Arguments, Finished> parse_arguments(const std::vector<std::string>& arguments);

}  // namespace understudy::cli
