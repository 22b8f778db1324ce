#include "proxy/limit/pacer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace understudy::limit {
namespace {

using namespace std::chrono_literals;
using TimePoint = Pacer::TimePoint;

constexpr TimePoint kStart{1h};

// Asks as a worker does: at the times the pacer names, never more often than a tick of 8 ms.
std::vector<TimePoint> leave(Pacer pacer, std::size_t members, std::chrono::milliseconds lateness = 0ms) {
  std::vector<TimePoint> gone;
  TimePoint now = kStart;
  while (gone.size() < members) {
    now = std::max(now + 8ms, pacer.next() + lateness);
    for (std::size_t due = pacer.due(now, members - gone.size()); due > 0; --due) gone.push_back(now);
  }
  return gone;
}

std::vector<std::size_t> per_second(const std::vector<TimePoint>& gone, std::size_t seconds) {
  std::vector<std::size_t> counts(seconds);
  for (const TimePoint t : gone) ++counts[std::min(seconds - 1, static_cast<std::size_t>((t - kStart) / 1s))];
  return counts;
}

TEST(Pacer, FiveThousandOverTenSecondsGoFiveHundredASecond) {
  const auto gone = leave(Pacer(kStart, 10s, 5000), 5000);
  for (const std::size_t n : per_second(gone, 10)) EXPECT_NEAR(static_cast<double>(n), 500, 10);
  EXPECT_LE(gone.back(), kStart + 10s);
}

TEST(Pacer, FourWorkersTogetherAreAsEvenAsOne) {
  std::vector<TimePoint> all;
  const std::vector<std::size_t> shares{2000, 1500, 1400, 100};
  for (std::size_t w = 0; w < shares.size(); ++w) {
    const auto gone = leave(Pacer(kStart, 10s, shares[w], static_cast<double>(w) / 4), shares[w], 3ms);
    all.insert(all.end(), gone.begin(), gone.end());
  }
  for (const std::size_t n : per_second(all, 10)) EXPECT_NEAR(static_cast<double>(n), 500, 25);
}

TEST(Pacer, WhoLeavesByItselfSpeedsNobodyUpButTheRestStayEven) {
  Pacer pacer(kStart, 10s, 100);
  std::size_t left = 100, closed = 0;
  TimePoint now = kStart;
  std::vector<TimePoint> gone;
  while (left > 0) {
    now = std::max(now + 8ms, pacer.next());
    const std::size_t due = pacer.due(now, left);
    left -= due;
    closed += due;
    for (std::size_t i = 0; i < due; ++i) gone.push_back(now);
    if (now > kStart + 5s && left > 25 && gone.size() % 2 == 0) left = 25;  // half of the rest has gone home
  }
  EXPECT_LT(closed, 80U);
  EXPECT_LE(now, kStart + 10s);
  EXPECT_GE(now, kStart + 9500ms);
  for (std::size_t i = 1; i < gone.size(); ++i) EXPECT_LE(gone[i] - gone[i - 1], 450ms);
}

TEST(Pacer, AnAbsenceIsSpreadAndNotMadeUpAtOnce) {
  Pacer pacer(kStart, 10s, 1000);
  std::size_t left = 1000 - pacer.due(kStart, 1000);
  const TimePoint back = kStart + 5s;  // the process was stopped
  EXPECT_LE(pacer.due(back, left), 2U);
  std::vector<TimePoint> gone;
  for (TimePoint now = back + 8ms; left > 0; now += 8ms) {
    const std::size_t due = pacer.due(now, left);
    EXPECT_LE(due, 3U) << "at " << (now - kStart) / 1ms;
    left -= due;
    if (now >= kStart + 10s) break;
  }
  EXPECT_LE(left, 2U);
}

TEST(Pacer, OneGoesAtOnceAndWithoutAWindowAllDo) {
  Pacer one(kStart, 30s, 1);
  EXPECT_EQ(one.due(kStart, 1), 1U);
  Pacer none(kStart, 0s, 40);
  EXPECT_EQ(none.due(kStart, 40), 40U);
  Pacer over(kStart, 1s, 40);
  EXPECT_EQ(over.due(kStart + 1s, 40), 40U);
  Pacer nobody(kStart, 1s, 0);
  EXPECT_EQ(nobody.due(kStart, 0), 0U);
}

TEST(Pacer, AskingOftenChangesNothing) {
  Pacer pacer(kStart, 10s, 200, 0.5);
  std::size_t left = 200;
  EXPECT_EQ(pacer.due(kStart, left), 0U);  // its phase is not over
  std::vector<TimePoint> gone;
  for (TimePoint now = kStart; left > 0 && now <= kStart + 10s; now += 1ms)
    for (std::size_t due = pacer.due(now, left); due > 0; --due, --left) gone.push_back(now);
  ASSERT_EQ(gone.size(), 200U);
  for (const std::size_t n : per_second(gone, 10)) EXPECT_NEAR(static_cast<double>(n), 20, 2);
}

}  // namespace
}  // namespace understudy::limit
