// Times of the week: what is read, what is refused with a remedy, and what they cover.
#include "config/calendar.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::config {
namespace {

using testing::HasSubstr;

constexpr unsigned monday = 0, tuesday = 1, friday = 4, saturday = 5, sunday = 6;
unsigned at(unsigned hour, unsigned minute = 0) { return hour * 60 + minute; }

WeekWindow window(const std::string& text) {
  std::string problem;
  const auto parsed = parse_week_window(text, &problem);
  EXPECT_TRUE(parsed) << text << " " << problem;
  return parsed.value_or(WeekWindow{});
}

TEST(WeekWindow, CoversItsTimesOnItsDays) {
  const WeekWindow office = window("mon-fri 08:00-18:00");
  EXPECT_TRUE(office.covers(monday, at(8)));
  EXPECT_TRUE(office.covers(friday, at(17, 59)));
  EXPECT_FALSE(office.covers(friday, at(18)));
  EXPECT_FALSE(office.covers(saturday, at(12)));
  EXPECT_TRUE(window("sat,sun").covers(sunday, at(23, 59)));
  EXPECT_FALSE(window("sat,sun").covers(monday, at(0)));
  EXPECT_TRUE(window("fri-mon").covers(sunday, at(3)));
  EXPECT_FALSE(window("fri-mon").covers(tuesday, at(3)));
  EXPECT_TRUE(window("20:00-24:00").covers(tuesday, at(23, 59)));
}

TEST(WeekWindow, OverMidnightBelongsToTheDayOnWhichItBegins) {
  const WeekWindow night = window("fri 22:00-06:00");
  EXPECT_TRUE(night.covers(friday, at(22)));
  EXPECT_TRUE(night.covers(saturday, at(5, 59)));
  EXPECT_FALSE(night.covers(saturday, at(22)));
  EXPECT_FALSE(night.covers(friday, at(5)));
  EXPECT_TRUE(window("sun 22:00-06:00").covers(monday, at(1)));
}

TEST(WeekWindow, WhatIsNoneIsRefusedWithARemedy) {
  for (const char* text : {"", "monday", "mon-", "mon,", ",mon", "08:00", "8:00-9:00", "08:00-25:00", "08:00-08:00",
                           "24:00-08:00", "mon 08:00", "mon  08:00-09:00", "mon ", "mon-fri 08:60-09:00"}) {
    std::string problem;
    EXPECT_FALSE(parse_week_window(text, &problem)) << text;
    EXPECT_THAT(problem, HasSubstr("; write ")) << text;
  }
}

TEST(WeekTime, TellsHowLongAgoItWas) {
  std::string problem;
  const auto weekly = parse_week_time("tue 10:00", &problem);
  ASSERT_TRUE(weekly);
  EXPECT_EQ(weekly->minutes_since(tuesday, at(10)), 0U);
  EXPECT_EQ(weekly->minutes_since(tuesday, at(10, 5)), 5U);
  EXPECT_EQ(weekly->minutes_since(monday, at(10)), 6U * 24 * 60);
  EXPECT_EQ(weekly->minutes_since(tuesday, at(9, 59)), 7U * 24 * 60 - 1);
  const auto daily = parse_week_time("03:30", &problem);
  ASSERT_TRUE(daily);
  EXPECT_EQ(daily->minutes_since(sunday, at(3)), 24U * 60 - 30);
  for (const char* text : {"", "tue", "tuesday 10:00", "10:00-11:00", "tue 24:00", "tue10:00"}) {
    EXPECT_FALSE(parse_week_time(text, &problem)) << text;
    EXPECT_THAT(problem, HasSubstr("; write ")) << text;
  }
}

}  // namespace
}  // namespace understudy::config
