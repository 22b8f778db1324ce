#include "proxy/server/decision_counts.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace understudy::server {
namespace {

using namespace std::chrono_literals;
using health::Cause;
using health::EndpointId;
using health::Event;
using health::ProbeResult;

constexpr std::chrono::system_clock::time_point kWall{1'700'000'000s};

std::size_t class_named(std::string_view name) {
  return static_cast<std::size_t>(std::find(kMoveClasses.begin(), kMoveClasses.end(), name) - kMoveClasses.begin());
}

Event event(Event::Kind kind, const std::string& tier, Cause cause = Cause::none) {
  Event made;
  made.kind = kind;
  made.pool = "app";
  made.tier = tier;
  made.cause = cause;
  made.cause_class = health::class_of(cause);
  return made;
}

TEST(DecisionCounts, ChecksAreCountedByEndpointAndResult) {
  DecisionCounts counts;
  EXPECT_EQ(counts.checks({3, 1}), nullptr);
  counts.on_check({3, 1}, {Cause::none, 200, 2ms, ""});
  counts.on_check({3, 1}, {Cause::tcp_refused, 0, 1ms, ""});
  counts.on_check({3, 1}, {Cause::none, 200, 4ms, ""});
  ASSERT_NE(counts.checks({3, 1}), nullptr);
  EXPECT_EQ(counts.checks({3, 1})->ok, 2U);
  EXPECT_EQ(counts.checks({3, 1})->failed, 1U);
  observe::HistogramCounts durations;
  counts.checks({3, 1})->duration.add_to(durations);
  EXPECT_EQ(durations.count, 3U);
  EXPECT_NEAR(durations.sum_seconds, 0.007, 1e-9);
}

TEST(DecisionCounts, ASlotGivenOutAnewStartsFromZero) {
  DecisionCounts counts;
  counts.on_check({0, 1}, {});
  counts.on_check({0, 2}, {Cause::http_status, 500, 1ms, ""});
  EXPECT_EQ(counts.checks({0, 1}), nullptr);
  ASSERT_NE(counts.checks({0, 2}), nullptr);
  EXPECT_EQ(counts.checks({0, 2})->ok, 0U);
  EXPECT_EQ(counts.checks({0, 2})->failed, 1U);
}

TEST(DecisionCounts, AFailoverHasTheClassOfWhatBroughtItsTierDown) {
  DecisionCounts counts;
  counts.on_event(event(Event::Kind::endpoint_unhealthy, "standby", Cause::http_timeout), "primary", kWall);
  counts.on_event(event(Event::Kind::endpoint_unhealthy, "primary", Cause::tcp_refused), "primary", kWall);
  counts.on_event(event(Event::Kind::tier_lost, "primary"), "primary", kWall);
  counts.on_event(event(Event::Kind::failover, "standby"), "primary", kWall);
  EXPECT_EQ(counts.failovers("app", "primary", "standby", class_named("refused")), 1U);
  EXPECT_EQ(counts.failovers("app", "primary", "standby", class_named("operator")), 0U);
  EXPECT_EQ(counts.failovers("app", "standby", "primary", class_named("refused")), 0U);
  EXPECT_EQ(counts.last_move("app"), kWall);
}

TEST(DecisionCounts, LeavingATierThatServesIsAnOrder) {
  DecisionCounts counts;
  counts.on_event(event(Event::Kind::endpoint_unhealthy, "primary", Cause::tcp_refused), "primary", kWall);
  counts.on_event(event(Event::Kind::tier_lost, "primary"), "primary", kWall);
  counts.on_event(event(Event::Kind::tier_restored, "primary"), "primary", kWall);
  counts.on_event(event(Event::Kind::failover, "standby"), "primary", kWall);
  EXPECT_EQ(counts.failovers("app", "primary", "standby", class_named("operator")), 1U);
  EXPECT_EQ(counts.failovers("app", "primary", "standby", class_named("refused")), 0U);
}

Event at(Event made, std::chrono::seconds when, std::chrono::seconds since) {
  made.at = health::TimePoint{when};
  made.since = health::TimePoint{since};
  return made;
}

Event ill(const std::string& endpoint, std::chrono::seconds when, std::chrono::seconds since) {
  Event made = at(event(Event::Kind::endpoint_unhealthy, "primary", Cause::http_timeout), when, since);
  made.endpoint = endpoint;
  return made;
}

double seconds_of_move(const DecisionCounts& counts) {
  observe::HistogramCounts duration;
  counts.failover_duration("app", "primary", "standby")->add_to(duration);
  return duration.count == 1 ? duration.sum_seconds : -1;
}

TEST(DecisionCounts, AFailoverLastsFromTheFirstSignOfTheLastEndpoint) {
  DecisionCounts counts;
  EXPECT_EQ(counts.failover_duration("app", "primary", "standby"), nullptr);
  counts.on_event(ill("p1", 1000s, 990s), "primary", kWall);  // the tier goes on without it for an hour
  Event suspect = at(event(Event::Kind::endpoint_suspect, "primary"), 4001s, 4001s);
  suspect.endpoint = "p2";
  counts.on_event(suspect, "primary", kWall);
  counts.on_event(ill("p2", 4005s, 4003s), "primary", kWall);
  counts.on_event(at(event(Event::Kind::tier_lost, "primary"), 4005s, 4005s), "primary", kWall);
  counts.on_event(at(event(Event::Kind::failover, "standby"), 4006s, 4006s), "primary", kWall);
  EXPECT_NEAR(seconds_of_move(counts), 5, 1e-9);
  EXPECT_EQ(counts.failovers("app", "primary", "standby", class_named("stalled")), 1U);
}

TEST(DecisionCounts, ASuspicionThatPassedIsNoFirstSign) {
  DecisionCounts counts;
  Event suspect = at(event(Event::Kind::endpoint_suspect, "primary"), 100s, 100s);
  suspect.endpoint = "p1";
  counts.on_event(suspect, "primary", kWall);
  suspect.kind = Event::Kind::endpoint_trusted;
  counts.on_event(suspect, "primary", kWall);
  counts.on_event(ill("p1", 500s, 498s), "primary", kWall);
  counts.on_event(at(event(Event::Kind::tier_lost, "primary"), 500s, 500s), "primary", kWall);
  counts.on_event(at(event(Event::Kind::failover, "standby"), 500s, 500s), "primary", kWall);
  EXPECT_NEAR(seconds_of_move(counts), 2, 1e-9);
}

TEST(DecisionCounts, LeavingADegradedTierHasItsClassAndLastsSinceTheThresholdWasCrossed) {
  DecisionCounts counts;
  Event degraded = at(event(Event::Kind::tier_degraded, "primary"), 110s, 100s);
  degraded.cause_class = health::CauseClass::slow;
  counts.on_event(degraded, "primary", kWall);
  counts.on_event(at(event(Event::Kind::failover, "standby"), 112s, 112s), "primary", kWall);
  EXPECT_EQ(counts.failovers("app", "primary", "standby", class_named("slow")), 1U);
  EXPECT_NEAR(seconds_of_move(counts), 12, 1e-9);
}

TEST(DecisionCounts, WhatWasOrderedTookNoTime) {
  DecisionCounts counts;
  counts.on_event(at(event(Event::Kind::failover, "standby"), 112s, 112s), "primary", kWall);
  EXPECT_EQ(seconds_of_move(counts), -1);
  EXPECT_EQ(counts.failovers("app", "primary", "standby", class_named("operator")), 1U);
}

TEST(DecisionCounts, AReturnIsTheLastMoveAndNoFailover) {
  DecisionCounts counts;
  EXPECT_FALSE(counts.last_move("app"));
  counts.on_event(event(Event::Kind::failback, "primary"), "standby", kWall + 5s);
  EXPECT_EQ(counts.last_move("app"), kWall + 5s);
  for (std::size_t c = 0; c < kMoveClasses.size(); ++c) EXPECT_EQ(counts.failovers("app", "standby", "primary", c), 0U);
  EXPECT_FALSE(counts.last_move("other"));
}

}  // namespace
}  // namespace understudy::server
