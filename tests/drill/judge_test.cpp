// The judge finds what was planted.
#include "health/rehearsal/judge.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;
using Kind = Event::Kind;

Told told(Duration at, Kind kind, const std::string& tier = "") {
  Event event;
  event.kind = kind;
  event.tier = tier;
  return {TimePoint(at), event};
}

// A fault from 5 s to 10 s, seen after 300 ms, left after 800 ms, back 3 s after the heal.
ScenarioFacts well() {
  ScenarioFacts facts;
  facts.answered = 1000;
  facts.sockets_open = 10;
  facts.first_fault = TimePoint(5s);
  facts.last_heal = TimePoint(10s);
  facts.first_tier = "primary";
  facts.events = {told(5300ms, Kind::endpoint_suspect), told(5800ms, Kind::failover, "standby"),
                  told(13s, Kind::failback, "primary")};
  return facts;
}

config::ScenarioExpect strict() {
  config::ScenarioExpect expect;
  expect.failed = expect.failed_repeatable = expect.bad = expect.doubled = expect.sockets_dropped = expect.sockets_cut =
      expect.drops_per_second = expect.slow_openings = 0;
  expect.least_answered = 1000;
  expect.least_open = 10;
  expect.moves = expect.least_moves = 2;
  expect.detected = 500ms;
  expect.shifted = 1s;
  expect.returned = 4s;
  expect.serving = {{8s, "standby"}, {14s, "primary"}};
  expect.events = {"failover"};
  expect.no_events = {"all_down"};
  return expect;
}

// What was found wrong.
std::vector<std::string> failed(const ScenarioFacts& facts) {
  std::vector<std::string> texts;
  for (const RehearsalCheck& check : judge(strict(), facts)) {
    if (!check.passed) texts.push_back(check.what + ": " + check.found);
  }
  return texts;
}

TEST(Judge, IsContentWithWhatIsWell) { EXPECT_THAT(failed(well()), testing::IsEmpty()); }

TEST(Judge, FindsADroppedRequest) {
  ScenarioFacts facts = well();
  facts.failed = facts.failed_repeatable = facts.bad = 1;
  facts.answered = 999;
  EXPECT_EQ(failed(facts).size(), 4U);
}

TEST(Judge, FindsADoubledPost) {
  ScenarioFacts facts = well();
  facts.doubled = 1;
  EXPECT_THAT(failed(facts), testing::ElementsAre("at most 0 requests ran twice that may not: 1"));
}

TEST(Judge, FindsALateReturn) {
  ScenarioFacts facts = well();
  facts.events.back().at = TimePoint(15s);
  EXPECT_EQ(failed(facts).size(), 2U) << "too late, and not there at 14 s";
  facts.events.pop_back();
  EXPECT_THAT(failed(facts), testing::Contains("traffic returns after the last heal within 4 s: never"));
}

TEST(Judge, FindsWhatCameTooLateOrNever) {
  ScenarioFacts facts = well();
  facts.events.front().at = TimePoint(5700ms);
  EXPECT_EQ(failed(facts).size(), 1U);
  facts.events.clear();
  EXPECT_GE(failed(facts).size(), 6U);
}

TEST(Judge, DoesNotTakeWhatCameBeforeTheFaultForItsDetection) {
  ScenarioFacts facts = well();
  facts.events.front().at = TimePoint(4s);
  EXPECT_EQ(*times_of(facts).detected, Duration(800ms)) << "the move";
}

TEST(Judge, FindsSocketsThatWereDroppedOrAreGone) {
  ScenarioFacts facts = well();
  facts.sockets_dropped = 1;
  facts.sockets_open = 9;
  facts.slow_openings = 1;
  EXPECT_EQ(failed(facts).size(), 3U);
  facts.sockets_cut = facts.drops_per_second = 1;
  EXPECT_EQ(failed(facts).size(), 5U);
}

}  // namespace
}  // namespace understudy::health
