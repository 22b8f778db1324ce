#include "health/rehearsal/rehearsal.hpp"

#include <algorithm>
#include <cstdio>

#include "health/rehearsal/world.hpp"

namespace understudy::health {
namespace {

std::string stamp(Duration since) {
  char text[32];
  std::snprintf(text, sizeof text, "%10.3f s", std::chrono::duration<double>(since).count());
  return text;
}

ScenarioFacts facts_of(const RehearsalWorld& world) {
  const RehearsalWorld::Totals& totals = world.totals();
  ScenarioFacts facts;
  facts.answered = totals.answered;
  facts.failed = totals.failed;
  facts.failed_repeatable = totals.failed_repeatable;
  facts.bad = totals.bad;
  facts.doubled = totals.doubled;
  facts.begin = world.begin();
  facts.first_fault = world.script().first_fault();
  facts.last_heal = world.script().last_heal();
  facts.first_tier = world.serving_at(world.begin());
  facts.events = world.events();
  return facts;
}

}  // namespace

bool Rehearsal::passed() const {
  return std::all_of(checks.begin(), checks.end(), [](const RehearsalCheck& check) { return check.passed; });
}

Rehearsal rehearse(const config::Config& config, const config::Scenario& scenario, std::uint64_t seed) {
  RehearsalWorld world(config, scenario, seed);
  world.run();
  Rehearsal result;
  const RehearsalWorld::Totals& totals = world.totals();
  result.requests = totals.requests;
  result.failed = totals.failed;
  result.slow = totals.slow;
  result.bad = totals.bad;
  result.hedged = totals.hedged;
  result.retried = totals.retried;
  result.moves = totals.moves;
  result.shed = totals.shed;
  for (const Told& told : world.events()) {
    std::string line = stamp(told.at - world.begin()) + "  " + std::string(name_of(told.event.kind));
    if (told.event.epoch != 0) line += " (epoch " + std::to_string(told.event.epoch) + ")";
    result.log.push_back(line + ": " + told.event.reason);
  }
  result.checks = judge(scenario.expect, facts_of(world));
  return result;
}

}  // namespace understudy::health
