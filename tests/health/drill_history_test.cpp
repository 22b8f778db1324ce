// When a drill that has to be made again and again is due, made and overdue, and how its times develop.
#include "health/drill/history.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;

// Monday, 2026-11-23, midnight.
constexpr Wall monday{std::chrono::sys_days(std::chrono::year(2026) / 11 / 23)};

LocalTime at(Wall wall) {
  const auto minutes = std::chrono::floor<std::chrono::minutes>(wall - monday).count();
  return {wall, static_cast<unsigned>((minutes / (24 * 60)) % 7), static_cast<unsigned>(minutes % (24 * 60))};
}

std::vector<config::DrillConfig> weekly() {
  config::DrillConfig drill;
  drill.name = "weekly";
  drill.title = "The primary dies";
  drill.at = "tue 10:00";
  drill.pools = {"app", "shop"};
  drill.grace = 2h;
  return {drill};
}

DrillRecord made(Wall when, bool complete = true, const std::string& pool = "app") {
  DrillRecord record;
  record.name = "The primary dies";
  record.pool = pool;
  record.began = when;
  record.complete = complete;
  return record;
}

constexpr auto due = monday + 24h + 10h;

class History : public testing::Test {
protected:
  History() { history.follow(weekly(), monday); }
  DrillDue app(Wall when) const { return drills_due(weekly(), history, at(when)).at(0); }
  DrillHistory history;
};

TEST_F(History, OverdueIsWhatWasNotMadeUntilItsGraceIsOver) {
  EXPECT_FALSE(app(due - 1min).due) << "it was not due since it is a duty";
  EXPECT_EQ(app(due).due, due);
  EXPECT_FALSE(app(due + 2h).overdue);
  EXPECT_TRUE(app(due + 2h + 1min).overdue);
  EXPECT_TRUE(app(due + 6 * 24h).overdue);
}

TEST_F(History, OneThatWasMadeIsNot) {
  history.add(made(due + 1h));
  EXPECT_FALSE(app(due + 3h).overdue);
  EXPECT_EQ(app(due + 3h).made, due + 1h);
  EXPECT_FALSE(app(due + 7 * 24h + 1h).overdue) << "the next is not late yet";
  EXPECT_TRUE(app(due + 7 * 24h + 3h).overdue);
  EXPECT_TRUE(drills_due(weekly(), history, at(due + 3h)).at(1).overdue) << "the other pool";
}

TEST_F(History, ALittleEarlyIsMade) {
  history.add(made(due - 30min));
  EXPECT_FALSE(app(due + 3h).overdue);
}

TEST_F(History, OneThatWasCutShortOrIsAnotherDoesNotCount) {
  history.add(made(due + 1h, false));
  DrillRecord other = made(due + 1h);
  other.name = "Another";
  history.add(other);
  EXPECT_TRUE(app(due + 3h).overdue);
}

TEST_F(History, NobodyIsLateWithWhatWasOnlyJustAskedFor) {
  DrillHistory fresh;
  EXPECT_TRUE(fresh.follow(weekly(), due + 1min));
  EXPECT_FALSE(drills_due(weekly(), fresh, at(due + 5h)).at(0).overdue);
  EXPECT_TRUE(drills_due(weekly(), fresh, at(due + 7 * 24h + 3h)).at(0).overdue);
}

// Never made, or not any more: it is overdue from the first that was missed on, whatever comes due meanwhile.
TEST(Overdue, IsForgottenByNoLaterTime) {
  struct Case {
    const char* at;
    std::chrono::milliseconds grace;
    Wall first;  // due
  };
  const Wall daily = monday + 3h;
  for (const Case& one : {Case{"03:00", 24h, daily}, Case{"03:00", 30 * 24h, daily}, Case{"tue 10:00", 24h, due},
                          Case{"tue 10:00", 8 * 24h, due}, Case{"mon,tue 10:00", 36h, monday + 10h}}) {
    auto drills = weekly();
    drills[0].at = one.at;
    drills[0].grace = one.grace;
    DrillHistory history;
    history.follow(drills, monday);
    for (Wall now = monday; now < monday + 60 * 24h; now += 3h + 1min) {
      const DrillDue got = drills_due(drills, history, at(now)).at(0);
      ASSERT_EQ(got.overdue, now > one.first + one.grace) << one.at << " " << (now - monday) / 1h << " h";
      if (now >= one.first) {
        ASSERT_EQ(got.due, one.first) << one.at;
      }
    }
    history.add(made(monday + 60 * 24h));
    const DrillDue got = drills_due(drills, history, at(monday + 60 * 24h + 1h)).at(0);
    EXPECT_FALSE(got.overdue) << one.at;
  }
}

TEST(Overdue, DailyOnesThatAreMadeDailyAreNot) {
  auto drills = weekly();
  drills[0].at = "03:00";
  drills[0].grace = 24h;
  DrillHistory history;
  history.follow(drills, monday);
  for (int day = 0; day < 20; ++day) {
    EXPECT_FALSE(drills_due(drills, history, at(monday + day * 24h + 2h)).at(0).overdue) << day;
    history.add(made(monday + day * 24h + (day % 2 != 0 ? 2h : 9h)));
    EXPECT_FALSE(drills_due(drills, history, at(monday + day * 24h + 23h)).at(0).overdue) << day;
  }
  EXPECT_FALSE(drills_due(drills, history, at(monday + 21 * 24h + 2h)).at(0).overdue);
  EXPECT_TRUE(drills_due(drills, history, at(monday + 21 * 24h + 4h)).at(0).overdue);
}

TEST_F(History, OneThatNobodyEndedWasCutShort) {
  DrillRecord begun = made(due, false);
  history.begin(begun);
  history.begin(made(due, false, "shop"));
  history.add(made(due));
  EXPECT_EQ(history.under_way.size(), 1U) << "that of the other pool";
  EXPECT_TRUE(history.end_orphans(due + 5min));
  EXPECT_TRUE(history.under_way.empty());
  EXPECT_EQ(history.records.back().pool, "shop");
  EXPECT_FALSE(history.records.back().complete);
  EXPECT_EQ(history.records.back().ended, due + 5min);
  EXPECT_FALSE(history.end_orphans(due + 6min));
}

TEST_F(History, DutiesFollowTheConfiguration) {
  EXPECT_FALSE(history.follow(weekly(), due));
  auto changed = weekly();
  changed[0].pools = {"app"};
  EXPECT_TRUE(history.follow(changed, due));
  ASSERT_EQ(history.duties.size(), 1U);
  EXPECT_EQ(history.duties[0].since, monday) << "kept";
  EXPECT_TRUE(history.follow({}, due));
  EXPECT_TRUE(history.duties.empty());
}

TEST_F(History, IsBounded) {
  for (int i = 0; i < 1000; ++i) history.add(made(monday + std::chrono::minutes(i)));
  EXPECT_EQ(history.records.size(), DrillHistory::kMost);
  EXPECT_EQ(history.records.back().began, monday + 999min);
}

TEST(Trend, ComparesWithTheMedianOfThoseBefore) {
  EXPECT_FALSE(trend_of({}).usual);
  EXPECT_FALSE(trend_of({400ms, 500ms}).usual);
  const Trend slower = trend_of({1s, 100ms, 400ms, std::nullopt, 500ms, 600ms});
  EXPECT_EQ(slower.usual, 500ms);
  EXPECT_NEAR(slower.change, 0.2, 1e-9);
  EXPECT_EQ(trend_of({400ms, 400ms, std::nullopt}).change, 0);
}

}  // namespace
}  // namespace understudy::health
