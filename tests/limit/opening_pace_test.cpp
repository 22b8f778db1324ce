// How many openings a second an endpoint is given: found by trying, and approached with care where it fell.
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <vector>

#include "proxy/limit/opening_desk.hpp"
#include "proxy/limit/opening_pace.hpp"

namespace understudy::limit {
namespace {

using namespace std::chrono_literals;
using TimePoint = OpeningPace::TimePoint;
using Duration = OpeningPace::Duration;

constexpr TimePoint kStart{1h};

// Opens at once, but no more than `most` in a second of its clock; refuses the rest. Returns how many it was asked for in each second.
std::vector<int> ask_for(OpeningPace& pace, TimePoint from, Duration time, int most) {
  std::vector<int> asked;
  for (TimePoint now = from; now < from + time; now += 8ms) {
    const auto second = static_cast<std::size_t>((now - from) / 1s);
    if (asked.size() <= second) asked.resize(second + 1);
    for (std::uint32_t n = pace.ready(now); n > 0; --n) {
      pace.begun(now);
      if (++asked[second] <= most) {
        pace.good(now);
      } else {
        pace.bad(now);
      }
    }
  }
  return asked;
}

TEST(OpeningPace, DoublesEveryTwoSecondsAsLongAsItIsNeeded) {
  OpeningPace pace;
  const std::vector<int> asked = ask_for(pace, kStart, 16s, 1'000'000);
  EXPECT_LE(asked[0], 36);  // those at once and 20/s
  EXPECT_LE(asked[2], 55);
  EXPECT_NEAR(asked[10] / static_cast<double>(asked[8]), 2, 0.3);
  int sum = 0;
  for (const int n : asked) sum += n;
  EXPECT_GT(sum, 5'000);
  OpeningPace idle;
  for (TimePoint now = kStart; now < kStart + 60s; now += 1s) {
    ASSERT_GE(idle.ready(now), 1U);
    idle.begun(now);
    idle.good(now);
  }
  EXPECT_EQ(idle.rate(), 20) << "nobody needed more";
}

TEST(OpeningPace, SettlesBelowWhatAnEndpointRefuses) {
  OpeningPace pace;
  const std::vector<int> asked = ask_for(pace, kStart, 60s, 50);
  for (std::size_t s = 20; s < asked.size(); ++s) {
    EXPECT_LE(asked[s], 56) << s;
    EXPECT_GE(asked[s], 15) << s;
  }
}

TEST(OpeningDesk, ADeviceThatIsAlwaysRefusedSlowsDownNobodyElse) {
  OpeningDesk desk({});
  TimePoint now = kStart;
  std::uint32_t least = 1000;
  for (int i = 0; i < 10'000; ++i, now += 20ms) {
    for (int n = 0; n < 4 && desk.room(1, now) > 0; ++n) {  // 200 a second
      desk.begin(1, now);
      desk.opened(1, 5ms, now);
    }
    if (i % 50 != 0 || desk.room(1, now) == 0) continue;  // once a second
    desk.begin(1, now);
    desk.failed(1, now);
    least = std::min(least, static_cast<std::uint32_t>(desk.look(now)[0].pace));
  }
  EXPECT_GE(least, 200U);
}

TEST(OpeningPace, AColdOneBeginsAnewAndAGivenRateIsKeptTo) {
  OpeningPace pace;
  ask_for(pace, kStart, 16s, 1'000'000);
  EXPECT_GT(pace.rate(), 1'000);
  pace.cold();
  EXPECT_EQ(pace.rate(), 20);
  OpeningPace::Options options;
  options.adaptive = false;
  EXPECT_EQ(OpeningPace(options).ready(kStart), UINT32_MAX);
  options.most = 50;
  options.burst = 5;
  OpeningPace given(options);
  const std::vector<int> asked = ask_for(given, kStart, 10s, 1'000'000);
  for (const int n : asked) EXPECT_NEAR(n, 50, 6);
}

// ---- what fell -----------------------------------------------------------------------------------------------------

// It opens in 3 ms, and everything takes a second and a half once it was asked for more than 60 in a second.
class ColdServer {
public:
  ColdServer(TimePoint now, Duration slow) : slow_(slow), collapsed_until_(now) {
    desk.begin(1, now);
    desk.opened(1, 3ms, now);
    desk.cold(1);
  }
  // As many as the desk lets it have.
  void run(TimePoint from, Duration time) {
    for (TimePoint now = from; now < from + time; now += 2ms) {
      while (!open_.empty() && open_.begin()->first <= now) {
        desk.opened(1, now - open_.begin()->second, now);
        open_.erase(open_.begin());
        ++opened;
      }
      for (std::uint32_t n = desk.room(1, now); n > 0; --n) begin(now);
    }
  }
  std::size_t most = 60;
  int slow_ones = 0;  // the next ones, whatever it bears
  OpeningDesk desk{{}};
  int collapses = 0, opened = 0;

private:
  void begin(TimePoint now) {
    desk.begin(1, now);
    lately_.push_back(now);
    while (lately_.front() <= now - 1s) lately_.pop_front();
    if (lately_.size() > most) {
      collapses += now >= collapsed_until_ ? 1 : 0;
      collapsed_until_ = now + 1s;
    }
    open_.emplace(now + (now < collapsed_until_ || slow_ones-- > 0 ? slow_ : Duration(3ms)), now);
  }
  Duration slow_;
  TimePoint collapsed_until_;
  std::deque<TimePoint> lately_;
  std::multimap<TimePoint, TimePoint> open_;  // when it ends, when it began
};

TEST(OpeningDesk, WhoFellUnderTooManyIsApproachedWithCare) {
  for (const Duration slow : {200ms, 400ms, 800ms, 1500ms, 4000ms}) {
    ColdServer server(kStart - 1s, slow);
    server.run(kStart, 10s);
    EXPECT_LE(server.collapses, 2) << slow.count();
    server.desk.cold(1, true);  // its checks found it down meanwhile
    server.run(kStart + 10s, 2s);
    server.desk.cold(1);
    server.run(kStart + 12s, 48s);
    EXPECT_LE(server.collapses, 4) << slow.count();
    EXPECT_GE(server.opened, 60 * 60 / 2) << slow.count();
    // Warm it takes all, and that is found out in time.
    server.most = 100'000;
    server.run(kStart + 60s, 90s);
    EXPECT_GE(server.desk.look(kStart + 150s)[0].pace, 1000) << slow.count();
  }
}

// What comes back is often slow at first, and bears everything then.
TEST(OpeningDesk, WhoIsSlowAtFirstIsNotTakenForOneThatFell) {
  for (const Duration slow : {400ms, 1500ms}) {
    for (const int ones : {1, 3, 8}) {
      ColdServer server(kStart - 1s, slow);
      server.most = 100'000;
      server.slow_ones = ones;
      server.run(kStart, 15s);
      EXPECT_GE(server.opened, 1000) << slow.count() << ' ' << ones;
      EXPECT_GE(server.desk.look(kStart + 15s)[0].pace, 200) << slow.count() << ' ' << ones;
    }
  }
}

TEST(OpeningDesk, OneSlowOpeningAfterItsReturnIsNoRowWithThoseBefore) {
  ColdServer server(kStart - 1s, 1500ms);
  server.run(kStart, 6s);
  EXPECT_GE(server.collapses, 1);
  server.desk.cold(1, true);
  server.desk.cold(1);
  const double cold = server.desk.look(kStart + 6s)[0].pace;
  server.slow_ones = 1;
  server.run(kStart + 6s, 3s);
  EXPECT_GE(server.desk.look(kStart + 9s)[0].pace, cold);
}

TEST(SlowInARow, CountsThoseThatWereBegunOneAfterAnother) {
  const auto at = [](int n) { return kStart + n * 10ms; };
  SlowInARow row;
  EXPECT_FALSE(row.add(at(1), true));
  EXPECT_FALSE(row.add(at(9), false)) << "ends before the others, and was begun after them";
  EXPECT_FALSE(row.add(at(2), true));
  EXPECT_TRUE(row.add(at(3), true));
  EXPECT_TRUE(row.add(at(4), true));
  EXPECT_FALSE(row.add(at(10), true)) << "behind the good one a new row begins";
  EXPECT_FALSE(row.add(at(12), true));
  EXPECT_FALSE(row.add(at(11), false)) << "in between";
  EXPECT_FALSE(row.add(at(13), true));
  EXPECT_FALSE(row.add(at(5), false)) << "before it";
  EXPECT_FALSE(row.add(at(14), true));
  EXPECT_TRUE(row.add(at(15), true));
}

TEST(OpeningPace, WhatIsNotKnownForAWholeSecondIsNotWhatItFellUnder) {
  OpeningPace pace;
  ask_for(pace, kStart, 4s, 1'000'000);
  const double before = pace.rate();
  TimePoint now = kStart + 4s;
  while (pace.ready(now) > 0) pace.begun(now);
  pace.slow(now, now + 100ms);
  EXPECT_NEAR(pace.rate(), before * 0.7, before * 0.2) << "at once, for a whole second is known";
  const double fallen = pace.rate();
  for (const Duration later : {200ms, 650ms, 900ms}) {
    while (pace.ready(now + later) > 0) pace.begun(now + later);
    pace.slow(now + later, now + later + 50ms);
    EXPECT_EQ(pace.rate(), fallen) << "so shortly after the cut nothing is known";
  }
  pace.cold();
  now += 2s;
  while (pace.ready(now) > 0) pace.begun(now);
  pace.slow(now, now + 1500ms);
  EXPECT_EQ(pace.rate(), 20) << "nothing was opened well since it is back";
}

}  // namespace
}  // namespace understudy::limit
