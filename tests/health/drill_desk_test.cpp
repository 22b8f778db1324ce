// Live drills in virtual time: timetable, lease, guards, one per pool.
#include "health/drill/desk.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;
using Kind = DrillDesk::News::Kind;
using testing::ElementsAre;
using testing::HasSubstr;

config::Scenario scenario() {
  config::Scenario out;
  out.name = "x";
  out.length = 20s;
  config::ScenarioFault kill;
  kill.at = 2s;
  kill.until = 10s;
  kill.where = "primary";
  out.faults.push_back(kill);
  config::ScenarioFault slow = kill;
  slow.at = 10s;
  slow.until.reset();
  slow.kind = config::FaultKind::slow;
  out.faults.push_back(slow);
  out.guards.lease = 800ms;
  return out;
}

class Desk : public testing::Test {
protected:
  std::uint64_t begin(config::Scenario of = scenario(), const std::string& pool = "app") {
    const auto id = desk.begin(std::move(of), pool, "primary", "anna", now);
    EXPECT_TRUE(id);
    return id.value_or(0);
  }
  // Time goes on, and its owner asks for the lease.
  void pass(Duration time, std::uint64_t held = 0) {
    for (const TimePoint until = now + time; now < until;) {
      now += 50ms;
      if (held != 0) desk.renew(held, now);
      desk.on_time(now);
    }
  }
  std::vector<Kind> news() {
    std::vector<Kind> out;
    while (const auto one = desk.poll_news()) {
      out.push_back(one->kind);
      last = one->text;
    }
    return out;
  }
  void read(std::uint64_t requests, std::uint64_t failed, Duration took, std::uint32_t waiting = 0,
            Duration oldest = {}) {
    GuardReading reading;
    reading.over = 1s;
    reading.requests = requests;
    reading.failed = failed;
    reading.duration.record(took, static_cast<std::uint32_t>(requests));
    reading.waiting = waiting;
    reading.oldest = oldest;
    desk.on_reading("app", reading, now);
  }
  std::vector<std::uint64_t> in_force() {
    std::vector<std::uint64_t> out;
    for (const FaultInForce& one : desk.in_force("app", now)) out.push_back(one.id % 1000);
    return out;
  }

  DrillDesk desk;
  TimePoint now{1h};
  std::string last;
};

TEST_F(Desk, FaultsComeAndGoByTheTimetableAndItEnds) {
  const auto id = begin();
  EXPECT_THAT(news(), ElementsAre(Kind::began));
  EXPECT_THAT(in_force(), ElementsAre());
  pass(2s, id);
  EXPECT_THAT(news(), ElementsAre(Kind::fault));
  EXPECT_EQ(last, "drill 'x' injects: kill at primary");
  EXPECT_THAT(in_force(), ElementsAre(0));
  pass(8s, id);
  EXPECT_THAT(news(), ElementsAre(Kind::heals, Kind::fault));
  EXPECT_THAT(in_force(), ElementsAre(1));
  const auto version = desk.version();
  pass(10s, id);
  EXPECT_THAT(news(), ElementsAre(Kind::complete));
  EXPECT_GT(desk.version(), version);
  EXPECT_THAT(in_force(), ElementsAre());
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::complete);
  EXPECT_FALSE(desk.renew(id, now));
  EXPECT_FALSE(desk.next_timeout());
}

TEST_F(Desk, WithoutItsLeaseItIsCutWithinASecond) {
  const auto id = begin();
  pass(3s, id);
  EXPECT_THAT(in_force(), ElementsAre(0));
  pass(1s);
  EXPECT_THAT(in_force(), ElementsAre());
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::cut);
  EXPECT_LE(desk.find(id)->ended - desk.find(id)->heard, 850ms);
  EXPECT_THAT(desk.find(id)->why, HasSubstr("its lease: the command that ran it has not been heard of for 800 ms"));
  EXPECT_FALSE(desk.renew(id, now)) << "it does not come back";
}

TEST_F(Desk, ALeaseThatIsOverIsNotRenewedThoughNobodyLooked) {
  const auto id = begin();
  now += 5s;
  EXPECT_FALSE(desk.renew(id, now));
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::cut);
}

TEST_F(Desk, AStarvedProcessBlamesNobody) {
  const auto id = begin();
  now += 5s;
  desk.on_starved(now);
  desk.on_time(now);
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::running);
}

TEST_F(Desk, OneAtATimeInAPool) {
  const auto id = begin();
  EXPECT_FALSE(desk.begin(scenario(), "app", "primary", "ben", now));
  EXPECT_TRUE(desk.begin(scenario(), "shop", "primary", "ben", now));
  EXPECT_TRUE(desk.cut(id, "ben", now));
  EXPECT_FALSE(desk.cut(id, "ben", now));
  EXPECT_TRUE(desk.begin(scenario(), "app", "primary", "ben", now));
}

TEST_F(Desk, TooManyFailuresCutIt) {
  auto of = scenario();
  of.guards.error_share = 0.05;
  of.guards.over = 3s;
  const auto id = begin(of);
  now += 1s;
  read(100, 5, 5ms);
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::running) << "as many as are allowed";
  now += 1s;
  read(100, 30, 5ms);
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::cut);
  EXPECT_THAT(desk.find(id)->why,
              HasSubstr("its guard error_share: 18 % of 200 answers in the last 2 s were failures, 5 % are allowed"));
  EXPECT_EQ(desk.find(id)->counts.failed, 35U);
}

TEST_F(Desk, WhatWasBeforeIsNotHeldAgainstIt) {
  const auto id = begin();
  now += 500ms;
  read(100, 100, 5ms);
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::running);
  EXPECT_EQ(desk.find(id)->counts.requests, 0U);
}

TEST_F(Desk, OldReadingsGo) {
  auto of = scenario();
  of.guards.error_share = 0.10;
  of.guards.over = 2s;
  const auto id = begin(of);
  for (int i = 0; i < 6; ++i) {
    now += 1s;
    desk.renew(id, now);
    read(100, i < 1 ? 9 : 0, 5ms);
  }
  now += 1s;
  read(100, 25, 5ms);
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::cut) << "25 of the last 200";
}

TEST_F(Desk, SlowAnswersCutIt) {
  auto of = scenario();
  of.guards.latency_p95 = 500ms;
  const auto id = begin(of);
  now += 1s;
  read(95, 0, 5ms);
  read(4, 0, 2s);
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::running);
  now += 1s;
  read(20, 0, 2s);
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::cut);
  EXPECT_THAT(desk.find(id)->why, HasSubstr("its guard latency_p95: 24 of 119 requests"));
}

TEST_F(Desk, RequestsThatNobodyAnswersAreSlowAlready) {
  auto of = scenario();
  of.guards.latency_p95 = 500ms;
  const auto id = begin(of);
  now += 1s;
  read(100, 0, 5ms, 10, 3s);
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::running) << "one that hangs does not speak for all";
  now += 1s;
  read(3, 0, 5ms, 80, 700ms);
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::cut);
  EXPECT_THAT(desk.find(id)->why, HasSubstr("80 of them wait still"));
}

TEST_F(Desk, FewRequestsJudgeNothing) {
  auto of = scenario();
  of.guards.error_share = 0.05;
  const auto id = begin(of);
  now += 1s;
  read(19, 19, 5ms);
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::running);
  now += 1s;
  read(1, 0, 5ms);
  EXPECT_EQ(desk.find(id)->state, LiveDrill::State::cut);
}

TEST_F(Desk, ItsLastSecondIsCountedOnce) {
  auto of = scenario();
  of.guards.error_share.reset();
  const auto id = begin(of);
  now += 1s;
  read(100, 1, 5ms);
  now += 500ms;
  desk.cut(id, "anna", now);
  now += 500ms;
  read(100, 7, 5ms);
  now += 1s;
  read(100, 7, 5ms);
  EXPECT_EQ(desk.find(id)->counts.requests, 200U);
  EXPECT_EQ(desk.find(id)->counts.failed, 8U);
}

TEST_F(Desk, ThoseThatAreOverAreForgottenInTheEnd) {
  const auto first = begin();
  desk.cut(first, "anna", now);
  const auto other = begin(scenario(), "shop");
  for (int i = 0; i < 40; ++i) desk.cut(begin(), "anna", now);
  EXPECT_EQ(desk.find(first), nullptr);
  EXPECT_NE(desk.find(other), nullptr) << "it runs";
  EXPECT_LE(desk.all().size(), DrillDesk::kKept + 2);
}

TEST_F(Desk, WakesForWhatComesNext) {
  const auto id = begin();
  EXPECT_EQ(desk.next_timeout(), now + 800ms);
  pass(1500ms, id);
  EXPECT_EQ(desk.next_timeout(), TimePoint(1h) + 2s);
}

}  // namespace
}  // namespace understudy::health
