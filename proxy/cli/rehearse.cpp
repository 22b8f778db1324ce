#include "proxy/cli/rehearse.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <optional>
#include <ostream>
#include <vector>

#include "config/scenario_fit.hpp"
#include "config/text.hpp"
#include "config/units.hpp"

namespace understudy::cli {
namespace {

constexpr int unusable = 2;

struct Input {
  std::string config_file;
  std::optional<config::Config> config;
  std::optional<config::Scenario> scenario;
  std::string scenario_text;
};

// Everything that is wrong with the input, for people or as JSON.
class Complaints {
public:
  Complaints(bool json, std::ostream& out, std::ostream& err) : json_(json), out_(out), err_(err) {}

  void add(const std::vector<config::Diagnostic>& diagnostics, std::string_view text) {
    if (json_) {
      all_.insert(all_.end(), diagnostics.begin(), diagnostics.end());
    } else if (!diagnostics.empty()) {
      err_ << config::render(diagnostics, text);
    }
  }
  void add(const std::string& file, const std::string& message, const std::string& hint = "") {
    config::Diagnostic diagnostic;
    diagnostic.file = file;
    diagnostic.message = message;
    diagnostic.hint = hint;
    add({diagnostic}, "");
  }
  int refuse() {
    if (json_) out_ << "{\"passed\": false, \"diagnostics\": " << config::render_json(all_) << "}\n";
    return unusable;
  }

private:
  bool json_;
  std::ostream& out_;
  std::ostream& err_;
  std::vector<config::Diagnostic> all_;
};

std::optional<std::string> read(const std::string& file, const config::LoadContext& context, Complaints& complaints) {
  auto text = context.read_file ? context.read_file(file) : std::nullopt;
  if (!text) complaints.add(file, "cannot read the file");
  return text;
}

// The scenario first: it may name the configuration.
void load_scenario(const Arguments& arguments, const config::LoadContext& context, Input& input,
                   Complaints& complaints) {
  const auto text = read(arguments.scenario, context, complaints);
  if (!text) return;
  input.scenario_text = *text;
  config::ScenarioResult loaded = config::load_scenario(*text, arguments.scenario, config::Rung::rehearse);
  complaints.add(loaded.diagnostics, *text);
  input.scenario = std::move(loaded.scenario);
}

void load_config(const Arguments& arguments, const config::LoadContext& context, Input& input, Complaints& complaints) {
  input.config_file = arguments.config;
  if (input.config_file.empty() && !input.scenario) return;  // what the scenario names is not known
  if (input.config_file.empty()) input.config_file = input.scenario->config;
  if (input.config_file.empty()) {
    complaints.add(arguments.scenario, "it names no configuration",
                   "write understudy rehearse CONFIG SCENARIO, or config = \"understudy.toml\" at the top of the file");
    return;
  }
  const auto text = read(input.config_file, context, complaints);
  if (!text) return;
  config::LoadResult loaded = config::load(*text, input.config_file, context);
  complaints.add(loaded.diagnostics, *text);
  input.config = std::move(loaded.config);
}

const char* plural(std::uint64_t count) { return count == 1 ? "" : "s"; }

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

}  // namespace

std::string rehearsal_text(const config::Scenario& scenario, const std::string& config_file,
                           const health::Rehearsal& rehearsal) {
  std::string out = config::printable(scenario.name, 200) + "\n";
  if (!scenario.proves.empty()) out += config::printable(scenario.proves, 400) + "\n";
  out += "with " + config::printable(config_file, 400) + "\n\n";
  for (const std::string& line : rehearsal.log) out += line + "\n";
  if (rehearsal.log.empty()) out += "nothing was decided\n";
  out += "\n" + std::to_string(rehearsal.requests) + " request" + plural(rehearsal.requests) + ": " +
         std::to_string(rehearsal.failed) + " failed, " + std::to_string(rehearsal.slow) + " took longer than " +
         config::format_duration(scenario.expect.slow_after) + ", " + std::to_string(rehearsal.retried) +
         " repeated, " + std::to_string(rehearsal.hedged) + " hedged; " + std::to_string(rehearsal.moves) + " move" +
         plural(rehearsal.moves) + "\n\n";
  std::size_t width = 0;
  for (const health::RehearsalCheck& check : rehearsal.checks) width = std::max(width, check.what.size());
  std::size_t failed = 0;
  for (const health::RehearsalCheck& check : rehearsal.checks) {
    failed += check.passed ? 0 : 1;
    out += std::string(check.passed ? "passed  " : "FAILED  ") + padded(check.what, width) + "  " + check.found + "\n";
  }
  out += failed == 0 ? "\npassed: all of " : "\nFAILED: " + std::to_string(failed) + " of ";
  return out + std::to_string(rehearsal.checks.size()) + " expectation" + plural(rehearsal.checks.size()) + "\n";
}

std::string rehearsal_json(const config::Scenario& scenario, const std::string& config_file,
                           const health::Rehearsal& rehearsal) {
  boost::json::array checks;
  for (const health::RehearsalCheck& check : rehearsal.checks)
    checks.push_back(boost::json::object{{"what", check.what}, {"passed", check.passed}, {"found", check.found}});
  boost::json::array log;
  for (const std::string& line : rehearsal.log) log.emplace_back(line);
  return boost::json::serialize(boost::json::object{{"name", scenario.name},
                                                    {"proves", scenario.proves},
                                                    {"config", config_file},
                                                    {"passed", rehearsal.passed()},
                                                    {"requests", rehearsal.requests},
                                                    {"failed", rehearsal.failed},
                                                    {"slow", rehearsal.slow},
                                                    {"bad", rehearsal.bad},
                                                    {"hedged", rehearsal.hedged},
                                                    {"retried", rehearsal.retried},
                                                    {"moves", rehearsal.moves},
                                                    {"expectations", std::move(checks)},
                                                    {"log", std::move(log)}}) +
         "\n";
}

int run_rehearsal(const Arguments& arguments, const config::LoadContext& context, std::ostream& out,
                  std::ostream& err) {
  Complaints complaints(arguments.json, out, err);
  Input input;
  load_scenario(arguments, context, input, complaints);
  load_config(arguments, context, input, complaints);
  if (!input.scenario || !input.config) return complaints.refuse();
  const auto misfits =
      config::placed_mismatches(*input.scenario, *input.config, input.scenario_text, arguments.scenario);
  complaints.add(misfits, input.scenario_text);
  if (!misfits.empty()) return complaints.refuse();
  const health::Rehearsal rehearsal = health::rehearse(*input.config, *input.scenario, arguments.seed);
  out << (arguments.json ? rehearsal_json(*input.scenario, input.config_file, rehearsal)
                         : rehearsal_text(*input.scenario, input.config_file, rehearsal));
  return rehearsal.passed() ? 0 : 1;
}

}  // namespace understudy::cli
