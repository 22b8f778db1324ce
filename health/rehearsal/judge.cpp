#include "health/rehearsal/judge.hpp"

#include <algorithm>

#include "health/explain.hpp"

namespace understudy::health {
namespace {

using Kind = Event::Kind;

// Something spoke against an endpoint or a tier.
bool is_detection(Kind kind) {
  switch (kind) {
    case Kind::endpoint_unhealthy:
    case Kind::endpoint_ejected:
    case Kind::endpoint_suspect:
    case Kind::endpoint_slow_to_open:
    case Kind::tier_lost:
    case Kind::tier_degraded:
    case Kind::failover: return true;
    default: return false;
  }
}

template <class Matches>
std::optional<Duration> first_since(const ScenarioFacts& facts, std::optional<TimePoint> from, const Matches& matches) {
  if (!from) return std::nullopt;
  for (const Told& told : facts.events) {
    if (told.at >= *from && matches(told.event.kind)) return told.at - *from;
  }
  return std::nullopt;
}

class Judge {
public:
  Judge(const config::ScenarioExpect& expect, const ScenarioFacts& facts)
      : expect_(expect), facts_(facts), times_(times_of(facts)) {}

  std::vector<RehearsalCheck> judge() {
    at_most("requests failed", expect_.failed, facts_.failed);
    at_most("requests failed that could have been repeated", expect_.failed_repeatable, facts_.failed_repeatable);
    at_most("requests failed or took longer than " + describe(Duration(expect_.slow_after)), expect_.bad, facts_.bad);
    at_least("requests are answered within " + describe(Duration(expect_.slow_after)), expect_.least_answered,
             facts_.answered);
    at_most("requests ran twice that may not", expect_.doubled, facts_.doubled);
    at_most("WebSockets were dropped", expect_.sockets_dropped, facts_.sockets_dropped);
    at_most("WebSockets were cut, without a Close to come back", expect_.sockets_cut, facts_.sockets_cut);
    at_most("WebSockets were dropped within a second", expect_.drops_per_second, facts_.drops_per_second);
    at_most("WebSockets took longer than " + describe(Duration(expect_.slow_after)) + " to open", expect_.slow_openings,
            facts_.slow_openings);
    at_least("WebSockets are open at the end", expect_.least_open, facts_.sockets_open);
    at_most("moves between tiers", expect_.moves, moves_of(facts_));
    at_least("moves between tiers", expect_.least_moves, moves_of(facts_));
    within("the first fault is detected", expect_.detected, facts_.first_fault, times_.detected);
    within("traffic moves away", expect_.shifted, facts_.first_fault, times_.shifted);
    within("traffic returns after the last heal", expect_.returned, facts_.last_heal, times_.returned);
    for (const config::ExpectServing& serving : expect_.serving) {
      const std::string tier = serving_at(facts_, facts_.begin + serving.at);
      add("tier '" + serving.tier + "' serves at " + describe(Duration(serving.at)), tier == serving.tier, tier);
    }
    for (const std::string& kind : expect_.events) occurs(kind, true);
    for (const std::string& kind : expect_.no_events) occurs(kind, false);
    for (const std::string& type : expect_.alerts) {
      const auto count = std::count(facts_.alerts.begin(), facts_.alerts.end(), type);
      add("alert " + type, count > 0, std::to_string(count) + " times");
    }
    return std::move(checks_);
  }

private:
  void add(std::string what, bool passed, std::string found) {
    checks_.push_back({std::move(what), passed, std::move(found)});
  }
  void at_most(const std::string& what, const std::optional<std::uint64_t>& limit, std::uint64_t found) {
    if (limit) add("at most " + std::to_string(*limit) + " " + what, found <= *limit, std::to_string(found));
  }
  void at_least(const std::string& what, const std::optional<std::uint64_t>& limit, std::uint64_t found) {
    if (limit) add("at least " + std::to_string(*limit) + " " + what, found >= *limit, std::to_string(found));
  }
  void within(const std::string& what, const config::MaybeDuration& limit, std::optional<TimePoint> from,
              std::optional<Duration> found) {
    if (!limit) return;
    const std::string text = what + " within " + describe(Duration(*limit));
    if (!from) return add(text, false, "there is no such time in the scenario");
    add(text, found && *found <= *limit, found ? describe(*found) : "never");
  }
  void occurs(const std::string& kind, bool wanted) {
    const auto count = std::count_if(facts_.events.begin(), facts_.events.end(),
                                     [&](const Told& told) { return name_of(told.event.kind) == kind; });
    add((wanted ? "event " : "no event ") + kind, (count > 0) == wanted, std::to_string(count) + " times");
  }

  const config::ScenarioExpect& expect_;
  const ScenarioFacts& facts_;
  ScenarioTimes times_;
  std::vector<RehearsalCheck> checks_;
};

bool is_move(Kind kind) { return kind == Kind::failover || kind == Kind::failback; }

}  // namespace

std::uint64_t moves_of(const ScenarioFacts& facts) {
  return static_cast<std::uint64_t>(std::count_if(facts.events.begin(), facts.events.end(),
                                                  [](const Told& told) { return is_move(told.event.kind); }));
}

std::string serving_at(const ScenarioFacts& facts, TimePoint at) {
  std::string tier = facts.first_tier;
  for (const Told& told : facts.events) {
    if (is_move(told.event.kind) && told.at <= at) tier = told.event.tier;
  }
  return tier;
}

ScenarioTimes times_of(const ScenarioFacts& facts) {
  return {first_since(facts, facts.first_fault, is_detection),
          first_since(facts, facts.first_fault, [](Kind kind) { return kind == Kind::failover; }),
          first_since(facts, facts.last_heal, [](Kind kind) { return kind == Kind::failback; })};
}

std::vector<RehearsalCheck> judge(const config::ScenarioExpect& expect, const ScenarioFacts& facts) {
  return Judge(expect, facts).judge();
}

}  // namespace understudy::health
