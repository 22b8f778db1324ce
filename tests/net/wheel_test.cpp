// The wheel on simulated time: never early, late by at most a tick, whatever the distance and however it is re-set.
#include "proxy/net/wheel.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace understudy::net {
namespace {

using namespace std::chrono_literals;

class Recorder final : public Timer {
public:
  std::function<void(TimePoint)> then;
  std::vector<TimePoint> fired;

private:
  void on_timer(TimePoint now) override {
    fired.push_back(now);
    if (then) then(now);
  }
};

// Advances as the reactor does: to next(), rounded up to a millisecond.
TimePoint run_until(Wheel& wheel, TimePoint now, TimePoint end) {
  while (true) {
    const auto next = wheel.next();
    if (!next || *next > end) break;
    now = std::max(now, *next);
    wheel.advance(now);
  }
  wheel.advance(end);
  return end;
}

TEST(Wheel, FiresOnceAndNeverEarlyAndAtMostATickLateAtEveryDistance) {
  const TimePoint start{1000s};
  for (const auto distance : {1ms, 7ms, 8ms, 9ms, 100ms, 400ms, 1000ms, 1999ms, 2047ms, 2048ms, 2049ms, 2500ms, 5000ms,
                              10'000ms, 59'999ms, 60'000ms, 511'000ms, 512'000ms, 3'600'000ms}) {
    Wheel wheel(start);
    Recorder timer;
    wheel.set(timer, start + distance);
    run_until(wheel, start, start + distance + 20s);
    ASSERT_EQ(timer.fired.size(), 1U) << distance.count();
    EXPECT_GE(timer.fired[0], start + distance);
    EXPECT_LE(timer.fired[0], start + distance + Wheel::kTick) << distance.count();
  }
}

TEST(Wheel, AnEarlierDeadlineReplacesALaterOneAndALaterOneIsOnlyStored) {
  const TimePoint start{1000s};
  Wheel wheel(start);
  Recorder timer;
  wheel.set(timer, start + 60s);
  wheel.set(timer, start + 1s);
  run_until(wheel, start, start + 2s);
  ASSERT_EQ(timer.fired.size(), 1U);
  EXPECT_LE(timer.fired[0], start + 1s + Wheel::kTick);
  wheel.set(timer, start + 3s);
  wheel.set(timer, start + 30s);
  run_until(wheel, start + 2s, start + 29s);
  EXPECT_EQ(timer.fired.size(), 1U);
  run_until(wheel, start + 29s, start + 31s);
  ASSERT_EQ(timer.fired.size(), 2U);
  EXPECT_LE(timer.fired[1], start + 30s + Wheel::kTick);
}

// What a connection does: idle for a while, then a short deadline, while the wheel was not run in between.
TEST(Wheel, AShortDeadlineSetAfterALongSilenceIsKept) {
  for (const auto silence : {0ms, 100ms, 900ms, 2100ms, 5000ms, 70'000ms}) {
    const TimePoint start{1000s};
    Wheel wheel(start);
    Recorder other, timer;
    wheel.set(other, start + 3600s);
    const TimePoint now = start + silence;
    wheel.set(timer, now + 10s);
    wheel.set(timer, now + 1s);
    wheel.advance(now);
    run_until(wheel, now, now + 5s);
    ASSERT_EQ(timer.fired.size(), 1U) << silence.count();
    EXPECT_LE(timer.fired[0], now + 1s + Wheel::kTick) << silence.count();
  }
}

TEST(Wheel, ATimerMaySetItselfAndOthersWhileItFires) {
  const TimePoint start{1000s};
  Wheel wheel(start);
  Recorder a, b;
  int left = 5;
  a.then = [&](TimePoint now) {
    if (--left > 0) wheel.set(a, now);
    wheel.cancel(b);
  };
  wheel.set(a, start + 8ms);
  wheel.set(b, start + 8ms);
  run_until(wheel, start, start + 1s);
  EXPECT_EQ(a.fired.size(), 5U);
  EXPECT_LE(b.fired.size(), 1U);
}

TEST(Wheel, RandomSetsAndCancelsAgainstAMap) {
  std::mt19937_64 random(7);
  const TimePoint start{1000s};
  Wheel wheel(start);
  std::vector<std::unique_ptr<Recorder>> timers;
  std::map<Recorder*, TimePoint> expected;
  for (int i = 0; i < 200; ++i) {
    timers.push_back(std::make_unique<Recorder>());
    timers.back()->then = [&, t = timers.back().get()](TimePoint now) {
      ASSERT_TRUE(expected.count(t));
      EXPECT_GE(now, expected[t]);
      expected.erase(t);
    };
  }
  TimePoint now = start;
  for (int step = 0; step < 20'000; ++step) {
    Recorder* timer = timers[random() % timers.size()].get();
    const auto ms = std::chrono::milliseconds(1 + random() % (random() % 10 == 0 ? 100'000 : 3'000));
    if (random() % 5 == 0) {
      wheel.cancel(*timer);
      expected.erase(timer);
    } else {
      expected[timer] = now + ms;
      wheel.set(*timer, now + ms);
    }
    now += std::chrono::microseconds(random() % 20'000);
    if (random() % 3 != 0) {
      wheel.advance(now);
      for (const auto& [t, deadline] : expected) ASSERT_GT(deadline + Wheel::kTick, now) << "overdue and not fired";
      const auto next = wheel.next();
      if (!expected.empty()) {
        ASSERT_TRUE(next);
      }
    }
  }
}

}  // namespace
}  // namespace understudy::net
