// The cap against a queue that is too long, and against slowness that no cap can help.
#include "health/shedder.hpp"

#include <gtest/gtest.h>

#include <deque>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;

// Answers `rate` requests a second, in the order in which they came, none sooner than after `base`.
class Queue {
public:
  double rate = 400;
  Duration base = 50ms;
  std::uint64_t answered = 0, in_time = 0, refused = 0;  // in time: within a second
  Duration took{};
  Shedder shedder;
  bool overloaded = false;
  TimePoint now{1h};

  // `offered` requests a second for so long.
  void run(double offered, Duration length) {
    const TimePoint end = now + length;
    while (now < end) {
      now += 10ms;
      while (!under_way_.empty() && under_way_.front().second <= now) {
        took = under_way_.front().second - under_way_.front().first;
        under_way_.pop_front();
        ++answered;
        in_time += took <= 1s ? 1 : 0;
        ++served_;
      }
      for (debt_ += offered / 100; debt_ >= 1; debt_ -= 1) arrive();
      if (++steps_ % 10 == 0) look();
    }
  }

private:
  void arrive() {
    if (const auto cap = shedder.cap(); cap && under_way_.size() >= *cap) {
      ++refused;
      return;
    }
    free_at_ = std::max(free_at_, now) + Duration(static_cast<Duration::rep>(1e9 / rate));
    under_way_.emplace_back(now, std::max(free_at_, now + base));
  }
  void look() {
    overloaded = took > (overloaded ? 4 : 5) * 50ms;
    ShedInput input;
    input.overloaded = overloaded;
    input.under_way = static_cast<double>(under_way_.size());
    input.served = static_cast<double>(std::exchange(served_, 0));
    input.took = took;
    input.usual = 50ms;
    input.endpoints = 1;
    shedder.observe(input, now);
  }

  std::deque<std::pair<TimePoint, TimePoint>> under_way_;  // came, is answered
  TimePoint free_at_{};
  double debt_ = 0;
  std::uint64_t served_ = 0;
  int steps_ = 0;
};

TEST(Shedder, AQueueThatGrowsIsCutUntilAnswersAreQuickAndJustAsMany) {
  Queue queue;
  queue.run(200, 20s);
  EXPECT_FALSE(queue.shedder.cap()) << "all is well";
  queue.run(600, 60s);
  ASSERT_TRUE(queue.shedder.cap());
  const std::uint64_t before = queue.answered, refused = queue.refused;
  queue.run(600, 20s);
  EXPECT_GE(queue.answered - before, 20 * 400 * 0.95) << "as many as it can answer";
  EXPECT_NEAR(static_cast<double>(queue.refused - refused), 20 * 200, 20 * 40)
      << "and no more is refused than is too much";
  EXPECT_LT(queue.took, 250ms);
}

TEST(Shedder, AtThreeTimesWhatItCanDoMostOfThatIsAnsweredInTime) {
  for (const double rate : {100.0, 400.0, 3000.0}) {
    Queue queue;
    queue.rate = 10 * rate;
    queue.run(3 * rate, 20s);
    queue.rate = rate;  // the rest of its power is gone
    const std::uint64_t before = queue.in_time;
    queue.run(3 * rate, 16s);
    EXPECT_GE(static_cast<double>(queue.in_time - before), 16 * rate * 0.75) << rate;
  }
}

TEST(Shedder, TheCapGoesWhenItIsNotReachedAnyMore) {
  Queue queue;
  queue.run(200, 20s);
  queue.run(600, 60s);
  ASSERT_TRUE(queue.shedder.cap());
  queue.run(200, 30s);
  EXPECT_FALSE(queue.shedder.cap());
  EXPECT_FALSE(queue.shedder.was_futile());
  const std::uint64_t refused = queue.refused;
  queue.run(300, 60s);
  EXPECT_EQ(queue.refused, refused);
}

TEST(Shedder, WhereEveryRequestIsSlowWhateverTheirNumberNothingIsRefused) {
  Queue queue;
  queue.rate = 1e6;
  queue.run(300, 20s);
  queue.base = 600ms;  // a database that is slow
  queue.run(300, 300s);
  EXPECT_EQ(queue.refused, 0U);
}

TEST(Shedder, WhatWasMisreadIsTakenBack) {
  Queue queue;
  queue.rate = 1e6;
  queue.run(300, 20s);
  queue.base = 600ms;
  queue.run(300, 30s);
  queue.run(600, 300s);  // slow, and more is asked: as if it piled up
  EXPECT_LT(static_cast<double>(queue.refused), 600 * 300 * 0.03);
  EXPECT_GT(queue.refused, 0U) << "it was tried";
  EXPECT_FALSE(queue.shedder.cap());
}

TEST(Shedder, FewRequestsAreNoReasonHoweverSlow) {
  Queue queue;
  queue.rate = 1e6;
  queue.run(5, 20s);
  queue.base = 600ms;
  queue.run(5, 100s);
  EXPECT_EQ(queue.refused, 0U);
}

TEST(Shedder, NothingIsShedWithoutKnowingWhatIsUsual) {
  Shedder shedder;
  TimePoint now{1h};
  for (int i = 0; i < 1000; ++i, now += 100ms) {
    ShedInput input;
    input.overloaded = true;
    input.under_way = 1000;
    input.served = 10;
    input.took = 5s;
    ASSERT_FALSE(shedder.observe(input, now));
  }
}

TEST(Shedder, TheFormulaIsReplaceable) {
  Shedder shedder([](const ShedMeasure&) { return 7.0; });
  TimePoint now{1h};
  ShedInput input;
  input.overloaded = true;
  input.under_way = 8;
  input.served = 10;
  input.failed = 5;
  input.took = 200ms;
  input.usual = 50ms;
  for (int i = 0; i < 50; ++i, now += 100ms) shedder.observe(input, now);
  ASSERT_TRUE(shedder.cap());
  EXPECT_EQ(*shedder.cap(), 7U);
}

}  // namespace
}  // namespace understudy::health
