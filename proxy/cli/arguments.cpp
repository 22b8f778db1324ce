#include "proxy/cli/arguments.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string_view>

#include "config/suggest.hpp"
#include "proxy/admin/api.hpp"

namespace understudy::cli {
namespace {

// One App per parse; the values land in `values`.
class Grammar {
public:
  Grammar();
  std::variant<Arguments, Finished> parse(std::vector<std::string> words);

private:
  CLI::App* verb(CLI::App& parent, const std::string& name, const std::string& what, Verb verb,
                 const std::string& examples);
  CLI::App* daemon_verb(CLI::App& parent, const std::string& name, const std::string& what, Verb verb,
                        const std::string& examples);
  void add_duration(CLI::App* sub);
  void add_switch(CLI::App* sub);
  void add_reason(CLI::App* sub);
  void add_epoch(CLI::App* sub);
  void add_moving_verbs();
  void add_local_verbs();
  void add_drill();
  void add_reading_verbs();
  void add_pool_verbs();
  void add_endpoint_verb(const std::string& name, const std::string& state, const std::string& what);
  void add_process_verbs();
  std::string unknown_verb(const CLI::App& parent, const std::string& word) const;
  std::string unknown_option(const CLI::App& sub) const;
  Finished usage(const std::string& message, const CLI::App* sub) const;

  CLI::App app_{"Understudy, a failover load balancer and reverse proxy.", "understudy"};
  Arguments values_;
  std::string on_off_;
  std::vector<std::string> files_;  // rehearse
  bool wait_ = false;               // accepted for clarity; a reload always waits
};

// Said as two words: `drill` takes files, and has no commands under it.
constexpr const char* kDrillHistory = "drill-history";

std::vector<std::string> split_commas(const std::vector<std::string>& lists) {
  std::vector<std::string> items;
  for (const std::string& list : lists) {
    std::istringstream stream(list);
    for (std::string item; std::getline(stream, item, ',');) {
      if (!item.empty()) items.push_back(item);
    }
  }
  return items;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool has_control_bytes(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// CLI11 takes "-1" for the largest number.
CLI::Validator whole_number() {
  return {[](const std::string& text) {
            const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
            return digits ? std::string{} : "'" + text + "' is no whole number from 0 on";
          },
          "NUMBER"};
}

CLI::App* Grammar::verb(CLI::App& parent, const std::string& name, const std::string& what, Verb verb,
                        const std::string& examples) {
  CLI::App* sub = parent.add_subcommand(name, what);
  sub->callback([this, verb] { values_.verb = verb; });
  sub->footer("Examples:\n" + examples);
  return sub;
}

CLI::App* Grammar::daemon_verb(CLI::App& parent, const std::string& name, const std::string& what, Verb kind,
                               const std::string& examples) {
  CLI::App* sub = verb(parent, name, what, kind, examples);
  sub->add_option("--admin", values_.admin, "Admin address: unix:PATH or HOST:PORT (or $UNDERSTUDY_ADMIN)");
  sub->add_option("--token", values_.token, "Bearer token; better given as $UNDERSTUDY_TOKEN, which ps does not show");
  sub->add_option("-c,--config", values_.config, "Take admin address and token from this configuration file");
  return sub;
}

void Grammar::add_duration(CLI::App* sub) {
  const auto check = [](const std::string& text) {
    std::string error;
    return admin::parse_for(text, &error) ? std::string{} : error;
  };
  sub->add_option("--for", values_.duration, "Undo it by itself after this time, as in 30m or 1h30m")
      ->check(CLI::Validator(check, "DURATION"));
}

void Grammar::add_switch(CLI::App* sub) {
  sub->add_option("state", on_off_, "on or off")->required()->check(CLI::IsMember({"on", "off"}));
}

void Grammar::add_reason(CLI::App* sub) { sub->add_option("--reason", values_.reason, "Why, for the event log"); }

void Grammar::add_epoch(CLI::App* sub) {
  sub->add_option("--expected-epoch", values_.expected_epoch,
                  "Epoch that 'status' showed: refused when somebody decided otherwise since")
      ->check(whole_number());
}

void Grammar::add_local_verbs() {
  CLI::App* run = verb(app_, "run", "Run in the foreground", Verb::run, "  understudy run -c understudy.toml");
  run->add_option("-c,--config", values_.config, std::string("Configuration file [") + kDefaultConfig + "]");
  run->add_flag("--keep-root", values_.keep_root, "Run on as root when started as root and server.user is not set");

  CLI::App* check = verb(app_, "check", "Validate a configuration file and report every error (also: understudy -t)",
                         Verb::check, "  understudy check understudy.toml\n  understudy check --json --strict");
  check->add_option("-c,--config,file", values_.config, std::string("Configuration file [") + kDefaultConfig + "]");
  check->add_flag("--json", values_.json, "Print the findings as JSON");
  check->add_flag("--strict", values_.strict, "Fail on warnings too");
  check->add_flag("--no-files", values_.no_files, "Do not read certificates, keys and ${file:}");

  CLI::App* config = app_.add_subcommand("config", "Show the effective configuration");
  config->require_subcommand(1);
  CLI::App* show = verb(*config, "show", "Print the effective configuration, secrets hidden", Verb::config_show,
                        "  understudy config show -c understudy.toml --defaults");
  show->add_option("-c,--config,file", values_.config, std::string("Configuration file [") + kDefaultConfig + "]");
  show->add_flag("--defaults", values_.defaults, "Every key, and where its value came from");

  CLI::App* init = verb(app_, "init", "Write a starter configuration; never overwrites", Verb::init,
                        "  understudy init\n  understudy init /etc/understudy/understudy.toml");
  init->add_option("path", values_.path, "File to write [understudy.toml]");

  CLI::App* schema =
      verb(app_, "schema", "Print the JSON Schema of the configuration for editors", Verb::schema,
           "  understudy schema > understudy.schema.json\n  understudy schema --scenario > scenario.schema.json");
  schema->add_flag("--reference", values_.reference, "Print the reference page (Markdown) instead");
  schema->add_flag("--scenario", values_.of_scenarios, "That of scenarios for rehearse");

  CLI::App* quick =
      verb(app_, "quick", "Run without a file: one listener, one pool", Verb::quick,
           "  understudy quick --listen :8080 --primary 10.0.0.11:3000,10.0.0.12:3000 --standby 10.0.1.11:3000");
  quick->add_option("--listen", values_.listen, "Address to listen on [:8080]");
  quick->add_option("--primary", values_.primary, "Endpoints that serve, with commas")
      ->required()
      ->allow_extra_args(false);
  quick->add_option("--standby", values_.standby, "Endpoints that take over, with commas")->allow_extra_args(false);
  quick->add_option("--admin", values_.builtin_admin, "Admin address [127.0.0.1:9900]");

  CLI::App* demo = verb(app_, "demo", "Show a failover with embedded servers and load", Verb::demo,
                        "  understudy demo\n  understudy demo --once");
  demo->add_flag("--once", values_.once, "End after one run, with an exit code");
  demo->add_option("--listen", values_.listen, "Address to listen on [127.0.0.1:8080]");
  demo->add_option("--admin", values_.builtin_admin, "Admin address [127.0.0.1:9900]");

  CLI::App* rehearse =
      verb(app_, "rehearse", "Run a scenario in virtual time: what would be decided, and is that as expected",
           Verb::rehearse,
           "  understudy rehearse understudy.toml drills/frozen.toml\n  understudy rehearse "
           "deploy/drills/outage_b.toml --json");
  rehearse
      ->add_option("files", files_,
                   "Configuration and scenario; without a configuration the one that the scenario names")
      ->required()
      ->expected(1, 2);
  rehearse->add_flag("--json", values_.json, "Print log, counts and expectations as JSON");
  rehearse->add_option("--seed", values_.seed, "Seed of what is drawn; the same seed decides the same [1]");

  add_drill();

  CLI::App* version = verb(app_, "version", "Print the version and how it was built (also: understudy -v)",
                           Verb::version, "  understudy version --json");
  version->add_flag("--json", values_.json, "As JSON");
}

void Grammar::add_drill() {
  CLI::App* drill = verb(
      app_, "drill", "Run scenarios on real sockets against embedded servers, and judge what came of them", Verb::drill,
      "  understudy drill deploy/drills/sandbox/primary_dies.toml\n  understudy drill my.toml -c understudy.toml "
      "--json verdict.json\n  understudy drill deploy/drills/sandbox/*.toml --markdown table.md --junit "
      "drills.xml\n  understudy drill --live primary_dies.toml --admin 127.0.0.1:9900\nExit codes: 0 passed, 1 an "
      "expectation failed, 2 refused before anything was started, 4 "
      "invalid: the load\ndid not keep its pace, so that nothing can be said of the proxy; --live: 3 no daemon "
      "answers");
  drill->add_option("files", values_.scenarios, "Scenarios, one after the other")->required();
  drill->add_option(
      "-c,--config", values_.config,
      "Configuration; without it the one that each scenario names. With --live: where the admin address stands");
  drill->add_flag(
      "--live", values_.live,
      "In the running proxy, whose clients are the load: faults are injected into its connections to endpoints, "
      "and taken back when a guard of the scenario breaks or this command is gone");
  drill->add_option("--admin", values_.admin,
                    "With --live: admin address, unix:PATH or HOST:PORT (or $UNDERSTUDY_ADMIN)");
  drill->add_option("--token", values_.token, "With --live: bearer token; better given as $UNDERSTUDY_TOKEN");
  drill->add_flag("--short", values_.in_short, "The shortened form, which ends where the scenario says 'short'");
  drill->add_option("--json", values_.json_file, "File for everything that was measured, as JSON");
  drill->add_option("--junit", values_.junit, "File for the verdicts as JUnit XML");
  drill->add_option("--markdown", values_.markdown_file, "File for a table of the results");
  drill->add_option("--requests", values_.requests, "File for every request of a drill, as CSV");
  drill->add_option("--retries", values_.retries, "Runs again so often what was invalid [0]")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{2}));
}

void Grammar::add_reading_verbs() {
  CLI::App* status = daemon_verb(app_, "status", "Show what serves, what is down and since when", Verb::status,
                                 "  understudy status\n  understudy status --admin 127.0.0.1:9900 --json");
  status->add_flag("--json", values_.json, "As JSON");
  CLI::App* events = daemon_verb(app_, "events", "Show what happened, with reasons", Verb::events,
                                 "  understudy events\n  understudy events --since 120 --json");
  events->add_option("--since", values_.since, "Only events after this number")->check(whole_number());
  events->add_flag("--json", values_.json, "As JSON");
  CLI::App* incidents = daemon_verb(app_, "incidents", "List what was written down about outages, the newest first",
                                    Verb::incidents, "  understudy incidents\n  understudy incidents --json");
  incidents->add_flag("--json", values_.json, "As JSON");
  CLI::App* incident = app_.add_subcommand("incident", "Look at one incident");
  incident->require_subcommand(1);
  CLI::App* show =
      daemon_verb(*incident, "show", "Show times, impact, cause and timeline of an incident", Verb::incident_show,
                  "  understudy incident show 12\n  understudy incident show 12 --markdown > post-mortem.md");
  show->add_option("number", values_.number, "Its number, as 'incidents' lists it")->required()->check(whole_number());
  CLI::Option* as_json = show->add_flag("--json", values_.json, "Everything, as JSON");
  show->add_flag("--markdown", values_.markdown, "A draft of a post-mortem with charts, as Markdown")
      ->excludes(as_json);
  CLI::App* drills = daemon_verb(app_, kDrillHistory, "List live drills that were made, with how their times develop",
                                 Verb::drill_history, "  understudy drill history\n  understudy drill history --json");
  drills->add_flag("--json", values_.json, "As JSON");
  CLI::App* health = daemon_verb(app_, "healthcheck", "Exit with 0 if the process lives, else 1 (for containers)",
                                 Verb::healthcheck, "  understudy healthcheck\n  understudy healthcheck --ready");
  health->add_flag("--ready", values_.ready, "Ask whether it can serve, not only whether it lives");
}

void Grammar::add_moving_verbs() {
  const auto moving = [this](const char* name, const char* what, Verb kind, const char* examples) {
    CLI::App* sub = daemon_verb(app_, name, what, kind, examples);
    sub->add_option("pool", values_.pool, "Name of the pool")->required();
    add_reason(sub);
    add_epoch(sub);
    return sub;
  };
  CLI::App* failover = moving("failover", "Move a pool to its next tier, or to a named one", Verb::failover,
                              "  understudy failover app\n"
                              "  understudy failover app --to standby --for 2h --reason \"primary slow\"");
  failover->add_option("--to", values_.tier, "Tier to serve from");
  add_duration(failover);
  moving("failback", "Return a pool to its first tier", Verb::failback, "  understudy failback app");
  add_duration(moving("hold", "Keep a pool on its tier: the machine moves nothing", Verb::hold,
                      "  understudy hold app --for 2h --reason \"maintenance of the site\""));
  moving("release", "End a hold: the machine decides again", Verb::release, "  understudy release app");
}

void Grammar::add_pool_verbs() {
  add_moving_verbs();
  CLI::App* approve = daemon_verb(app_, "approve", "Say that a condition of the return holds", Verb::approve,
                                  "  understudy approve app \"data compared\" --who anna --reason \"0 rows differ\"");
  approve->add_option("pool", values_.pool, "Name of the pool")->required();
  approve->add_option("gate", values_.gate, "Name of the approval")->required();
  approve->add_option("--who", values_.who, "Who vouches for it")->required();
  approve->add_option("--reason", values_.reason, "What was found")->required();
  add_epoch(approve);

  CLI::App* maintenance =
      daemon_verb(app_, "maintenance", "Answer 503 with a page and Retry-After for a pool", Verb::maintenance,
                  "  understudy maintenance app on --for 30m\n  understudy maintenance app off");
  maintenance->add_option("pool", values_.pool, "Name of the pool")->required();
  add_switch(maintenance);
  add_duration(maintenance);
  add_reason(maintenance);
}

void Grammar::add_endpoint_verb(const std::string& name, const std::string& state, const std::string& what) {
  CLI::App* sub =
      daemon_verb(app_, name, what, Verb::set_state,
                  "  understudy " + name + " 10.0.0.11:3000 --pool app" + (state == "enabled" ? "" : " --for 30m"));
  sub->callback([this, state] {
    values_.verb = Verb::set_state;
    values_.state = state;
  });
  sub->add_option("endpoint", values_.endpoint, "Name or address of the endpoint")->required();
  sub->add_option("--pool", values_.pool, "Its pool, where several pools have such an endpoint");
  add_duration(sub);
  add_reason(sub);
}

void Grammar::add_process_verbs() {
  CLI::App* reload = daemon_verb(app_, "reload", "Load the configuration file again; waits and tells", Verb::reload,
                                 "  understudy reload");
  reload->add_flag("--wait", wait_, "Wait for the outcome (always done; accepted for clarity)");
  CLI::App* alert = app_.add_subcommand("alert", "Handle alerts");
  alert->require_subcommand(1);
  CLI::App* test = daemon_verb(*alert, "test", "Send a test message now, and tell what came of it", Verb::alert_test,
                               "  understudy alert test ops");
  test->add_option("name", values_.alert, "Name of the alert, as in [alerts.NAME]")->required();
  CLI::App* logs = app_.add_subcommand("logs", "Handle log files");
  logs->require_subcommand(1);
  daemon_verb(*logs, "reopen", "Open the log files anew, after they were moved", Verb::logs_reopen,
              "  understudy logs reopen");
  CLI::App* stop = daemon_verb(app_, "stop", "End gracefully: finish what is open, take nothing new", Verb::stop,
                               "  understudy stop\n  understudy stop --now");
  stop->add_flag("--now", values_.now, "Close everything at once");
}

Grammar::Grammar() {
  app_.require_subcommand(1);
  app_.footer(
      "Exit codes: 0 done, 1 the thing asked for failed, 2 usage, 3 no daemon answers.\n"
      "Examples:\n"
      "  understudy quick --listen :8080 --primary 127.0.0.1:3000 --standby 127.0.0.1:3001\n"
      "  understudy init && understudy check understudy.toml && understudy run -c understudy.toml\n"
      "  understudy status");
  add_local_verbs();
  add_reading_verbs();
  add_pool_verbs();
  add_endpoint_verb("drain", "draining", "Give an endpoint no new clients; what is open goes on");
  add_endpoint_verb("disable", "disabled", "Take an endpoint out at once");
  add_endpoint_verb("enable", "enabled", "Give an endpoint back to the health checks");
  add_process_verbs();
}

std::string Grammar::unknown_verb(const CLI::App& parent, const std::string& word) const {
  const auto subs = parent.get_subcommands([](const CLI::App*) { return true; });
  std::vector<std::string> names;
  names.reserve(subs.size());
  for (const CLI::App* sub : subs) names.push_back(sub->get_name());
  if (std::find(names.begin(), names.end(), word) != names.end()) return {};
  const auto near = config::nearest(word, {names.begin(), names.end()});
  std::string message = std::string("unknown command '").append(word).append("'");
  if (near) return message.append("; did you mean '").append(*near).append("'?");
  message += "; commands are";
  for (std::size_t i = 0; i < names.size(); ++i) message.append(i ? ", " : " ").append(names[i]);
  return message;
}

std::string Grammar::unknown_option(const CLI::App& sub) const {
  std::vector<std::string> names;
  for (const CLI::Option* option : sub.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const std::string& extra : sub.remaining(true)) {
    if (!extra.starts_with("-")) return std::string("unexpected argument '").append(extra).append("'");
    const auto near = config::nearest(extra.substr(0, extra.find('=')), {names.begin(), names.end()});
    std::string message = std::string("unknown option '").append(extra).append("'");
    return near ? message.append("; did you mean '").append(*near).append("'?") : message;
  }
  return {};
}

Finished Grammar::usage(const std::string& message, const CLI::App* sub) const {
  std::string name = "understudy";
  if (sub) name.append(" ").append(sub->get_name());
  return {2, "", std::string("understudy: ").append(message).append("\nSee '").append(name).append(" --help'.\n")};
}

std::variant<Arguments, Finished> Grammar::parse(std::vector<std::string> words) {
  if (words.empty()) return Finished{2, "", app_.help()};
  if (words[0] == "-t") words[0] = "check";
  if (words[0] == "-v" || words[0] == "-V" || words[0] == "--version") words[0] = "version";
  if (words.size() > 1 && words[0] == "drill" && words[1] == "history") {
    words.erase(words.begin());
    words[0] = kDrillHistory;
  }
  const CLI::App* parent = &app_;
  for (const std::string& word : words) {
    // The first word names the command, for `config` and `logs` the second too.
    if (word.starts_with("-")) {
      if (word == "-h" || word == "--help") break;
      return usage(std::string("unknown option '").append(word).append("' before the command"), nullptr);
    }
    const std::string wrong = unknown_verb(*parent, word);
    if (!wrong.empty()) return usage(wrong, parent == &app_ ? nullptr : parent);
    parent = parent->get_subcommand(word);
    if (parent->get_subcommands([](const CLI::App*) { return true; }).empty()) break;
  }
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());  // CLI11 takes them from the back
    app_.parse(reversed);
  } catch (const CLI::Success& help) {
    std::ostringstream out, err;
    app_.exit(help, out, err);
    return Finished{0, out.str(), err.str()};
  } catch (const CLI::ExtrasError& error) {
    const std::string better = unknown_option(*parent);
    return usage(better.empty() ? error.what() : better, parent);
  } catch (const CLI::ParseError& error) {
    return usage(error.what(), parent == &app_ ? nullptr : parent);
  }
  values_.on = on_off_ == "on";
  if (values_.verb == Verb::drill && !values_.live && !(values_.admin + values_.token).empty())
    return usage("--admin and --token are for a drill with --live", parent);
  if (values_.live && (values_.in_short || !values_.requests.empty() || values_.retries > 0))
    return usage("--short, --requests and --retries are for the sandbox, not for --live", parent);
  if (asks_daemon(values_.verb) || values_.live) {
    // Not by CLI11's envname: every verb shares these two values, and one not called would overwrite what was
    // given.
    if (values_.admin.empty()) values_.admin = environment("UNDERSTUDY_ADMIN");
    if (values_.token.empty()) values_.token = environment("UNDERSTUDY_TOKEN");
  }
  values_.primary = split_commas(values_.primary);
  values_.standby = split_commas(values_.standby);
  if (values_.verb == Verb::quick && values_.primary.empty()) return usage("--primary names no endpoint", parent);
  if (values_.verb == Verb::rehearse) {
    values_.scenario = files_.back();
    if (files_.size() == 2) values_.config = files_.front();
  }
  if (has_control_bytes(values_.token)) return usage("the token must be one line without control bytes", parent);
  return values_;
}

}  // namespace

std::variant<Arguments, Finished> parse_arguments(const std::vector<std::string>& arguments) {
  const auto grammar = std::make_unique<Grammar>();
  return grammar->parse(arguments);
}

}  // namespace understudy::cli
