#include "health/rehearsal/rehearsal.hpp"

#include <algorithm>
#include <cstdio>

#include "health/explain.hpp"
#include "health/rehearsal/world.hpp"

namespace understudy::health {
namespace {

using Kind = Event::Kind;

std::string stamp(Duration since) {
  char text[32];
  std::snprintf(text, sizeof text, "%10.3f s", std::chrono::duration<double>(since).count());
  return text;
}

// Something spoke against an endpoint or a tier.
bool is_detection(Kind kind) {
  switch (kind) {
    case Kind::endpoint_unhealthy:
    case Kind::endpoint_ejected:
    case Kind::endpoint_suspect:
    case Kind::tier_lost:
    case Kind::tier_degraded:
    case Kind::failover: return true;
    default: return false;
  }
}

class Judge {
public:
  Judge(const RehearsalWorld& world, const config::ScenarioExpect& expect, std::vector<RehearsalCheck>& checks)
      : world_(world), expect_(expect), checks_(checks) {}

  void judge() {
    const RehearsalWorld::Totals& totals = world_.totals();
    at_most("requests failed", expect_.failed, totals.failed);
    at_most("requests failed or took longer than " + describe(Duration(expect_.slow_after)), expect_.bad, totals.bad);
    at_most("moves between tiers", expect_.moves, totals.moves);
    if (expect_.least_moves) {
      add("at least " + std::to_string(*expect_.least_moves) + " moves between tiers",
          totals.moves >= *expect_.least_moves, std::to_string(totals.moves));
    }
    within("the first fault is detected", expect_.detected, world_.script().first_fault(),
           [](const Event& event) { return is_detection(event.kind); });
    within("traffic moves away", expect_.shifted, world_.script().first_fault(),
           [](const Event& event) { return event.kind == Kind::failover; });
    within("traffic returns after the last heal", expect_.returned, world_.script().last_heal(),
           [](const Event& event) { return event.kind == Kind::failback; });
    for (const config::ExpectServing& serving : expect_.serving) {
      const std::string tier = world_.serving_at(world_.begin() + serving.at);
      add("tier '" + serving.tier + "' serves at " + describe(Duration(serving.at)), tier == serving.tier, tier);
    }
    for (const std::string& kind : expect_.events) occurs(kind, true);
    for (const std::string& kind : expect_.no_events) occurs(kind, false);
  }

private:
  void add(std::string what, bool passed, std::string found) {
    checks_.push_back({std::move(what), passed, std::move(found)});
  }
  void at_most(const std::string& what, const std::optional<std::uint64_t>& limit, std::uint64_t found) {
    if (limit) add("at most " + std::to_string(*limit) + " " + what, found <= *limit, std::to_string(found));
  }
  template <class Matches>
  void within(const std::string& what, const config::MaybeDuration& limit, std::optional<TimePoint> from,
              const Matches& matches) {
    if (!limit) return;
    const std::string text = what + " within " + describe(Duration(*limit));
    if (!from) return add(text, false, "there is no such time in the scenario");
    for (const RehearsalWorld::Told& told : world_.events()) {
      if (told.at < *from || !matches(told.event)) continue;
      return add(text, told.at - *from <= *limit, describe(told.at - *from));
    }
    add(text, false, "never");
  }
  void occurs(const std::string& kind, bool wanted) {
    const auto count =
        std::count_if(world_.events().begin(), world_.events().end(),
                      [&](const RehearsalWorld::Told& told) { return name_of(told.event.kind) == kind; });
    add((wanted ? "event " : "no event ") + kind, (count > 0) == wanted, std::to_string(count) + " times");
  }

  const RehearsalWorld& world_;
  const config::ScenarioExpect& expect_;
  std::vector<RehearsalCheck>& checks_;
};

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
  for (const RehearsalWorld::Told& told : world.events()) {
    std::string line = stamp(told.at - world.begin()) + "  " + std::string(name_of(told.event.kind));
    if (told.event.epoch != 0) line += " (epoch " + std::to_string(told.event.epoch) + ")";
    result.log.push_back(line + ": " + told.event.reason);
  }
  Judge(world, scenario.expect, result.checks).judge();
  return result;
}

}  // namespace understudy::health
