// A scenario that ends earlier.
#include <algorithm>

#include "config/scenario.hpp"
#include "config/units.hpp"

namespace understudy::config {
namespace {

void shorten_faults(Scenario& scenario) {
  std::erase_if(scenario.faults, [&](const ScenarioFault& fault) { return fault.at >= scenario.length; });
  std::erase_if(scenario.acts, [&](const ScenarioAct& act) { return act.at >= scenario.length; });
  for (ScenarioFault& fault : scenario.faults) {
    if (fault.until && *fault.until >= scenario.length) fault.until.reset();
  }
}

// Whether traffic can have come back by then.
bool has_time_to_return(const Scenario& scenario) {
  Duration heal{0};
  for (const ScenarioFault& fault : scenario.faults) {
    if (!fault.until) return false;
    heal = std::max(heal, *fault.until);
  }
  return heal + scenario.expect.returned.value_or(Duration(0)) <= scenario.length;
}

}  // namespace

Scenario shortened(Scenario scenario, std::vector<std::string>& left_out) {
  scenario.length = scenario.short_length.value_or(scenario.length);
  shorten_faults(scenario);
  ScenarioExpect& expect = scenario.expect;
  if (expect.returned && !has_time_to_return(scenario)) {
    left_out.emplace_back("returned");
    expect.returned.reset();
  }
  if (expect.least_moves) left_out.emplace_back("least_moves");
  expect.least_moves.reset();
  if (expect.least_answered) left_out.emplace_back("least_answered");
  expect.least_answered.reset();
  for (const ExpectServing& serving : expect.serving) {
    if (serving.at > scenario.length) left_out.push_back("serving at " + format_duration(serving.at));
  }
  std::erase_if(expect.serving, [&](const ExpectServing& serving) { return serving.at > scenario.length; });
  return scenario;
}

}  // namespace understudy::config
