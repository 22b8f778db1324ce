// How many WebSocket openings an endpoint gets, who waits, and when the others come back; and the storm of 10,000 devices.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <queue>
#include <random>
#include <set>
#include <vector>

#include "proxy/limit/opening_desk.hpp"
#include "proxy/limit/opening_limit.hpp"
#include "proxy/limit/opening_pace.hpp"
#include "proxy/limit/opening_queue.hpp"

namespace understudy::limit {
namespace {

using namespace std::chrono_literals;
using TimePoint = OpeningLimit::TimePoint;
using Duration = std::chrono::nanoseconds;
using Seconds = std::chrono::duration<double>;

constexpr TimePoint kStart{1h};

// ---- the limit -----------------------------------------------------------------------------------------------------

// An endpoint that opens one after another, each in `service`, keeps `limit.limit()` of them in progress.
void drive(OpeningLimit& limit, TimePoint& now, Duration service, Duration until) {
  const TimePoint end = now + until;
  std::deque<TimePoint> queue;
  while (now < end) {
    while (limit.may_begin()) {
      limit.begun();
      queue.push_back(now);
    }
    now += service;
    const TimePoint since = queue.front();
    queue.pop_front();
    limit.opened(now - since, now);
  }
  while (!queue.empty()) {
    limit.abandoned();
    queue.pop_front();
  }
}

TEST(OpeningLimit, GrowsWhileOpeningsTakeWhatTheyUsuallyDoAndSettlesWhereTheyBeginToTakeLonger) {
  OpeningLimit limit;
  TimePoint now = kStart;
  drive(limit, now, 10ms, 60s);
  EXPECT_GE(limit.limit(), 2U);
  EXPECT_LE(limit.limit(), 14U);  // 10 ms each, one after another: 6 take 60 ms
  EXPECT_NEAR(limit.rate(now), 100, 5);
}

TEST(OpeningLimit, ManyAtATimeAreFoundOutToo) {
  OpeningLimit limit;
  TimePoint now = kStart;
  // However many are in progress, each takes 100 ms.
  std::multimap<TimePoint, TimePoint> busy;
  for (; now < kStart + 60s; now += 1ms) {
    while (!busy.empty() && busy.begin()->first <= now) {
      limit.opened(now - busy.begin()->second, now);
      busy.erase(busy.begin());
    }
    while (limit.may_begin()) {
      limit.begun();
      busy.emplace(now + 100ms, now);
    }
  }
  EXPECT_GT(limit.limit(), 500U) << "twice as many every two seconds, as long as nothing is the worse for it";
}

TEST(OpeningLimit, OpeningsThatDifferForReasonsOfTheirOwnAreNoSignOfTooMany) {
  OpeningLimit limit;
  TimePoint now = kStart;
  std::mt19937_64 random{7};
  std::multimap<TimePoint, TimePoint> busy;
  for (; now < kStart + 60s; now += 1ms) {
    while (!busy.empty() && busy.begin()->first <= now) {
      limit.opened(now - busy.begin()->second, now);
      busy.erase(busy.begin());
    }
    while (limit.may_begin()) {
      limit.begun();
      // Half take 5 to 40 ms, half up to 400 ms.
      busy.emplace(now + (random() % 2 == 0 ? 5ms + 1ms * (random() % 35) : 40ms + 1ms * (random() % 360)), now);
    }
  }
  EXPECT_GT(limit.limit(), 30U);
}

TEST(OpeningLimit, WhatAnEndpointTakesAloneIsWhatIsUsualOfIt) {
  OpeningLimit limit;
  TimePoint now = kStart;
  drive(limit, now, 5ms, 10s);
  EXPECT_LE(limit.good(), 100ms);
  drive(limit, now, 400ms, 120s);  // a new release takes longer
  EXPECT_GE(limit.good(), 450ms);
  EXPECT_GE(limit.limit(), 2U);
}

// ---- the pace ------------------------------------------------------------------------------------------------------

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

// ---- the desk ------------------------------------------------------------------------------------------------------

TEST(OpeningDesk, WhoComesWhileOthersWaitWaitsToo) {
  OpeningDesk::Terms terms;
  terms.most = 1;
  OpeningDesk desk(terms);
  ASSERT_EQ(desk.room(7, kStart), 1U);
  desk.begin(7, kStart);
  EXPECT_EQ(desk.room(7, kStart), 0U);
  EXPECT_FALSE(desk.others_wait());
  EXPECT_TRUE(desk.enter(1, 11).queued);
  EXPECT_TRUE(desk.enter(2, 22).queued);
  EXPECT_TRUE(desk.call(desk.room(7, kStart)).empty());
  desk.opened(7, 1ms, kStart + 1ms);
  EXPECT_EQ(desk.call(desk.room(7, kStart + 1ms)), (std::vector<OpeningDesk::Token>{11}));
  EXPECT_TRUE(desk.call(desk.room(7, kStart + 1ms)).empty()) << "the room is spoken for";
  EXPECT_TRUE(desk.others_wait());
  desk.begin(7, kStart + 2ms);
  desk.answered();
  desk.abandoned(7);
  EXPECT_EQ(desk.call(desk.room(7, kStart + 3ms)), (std::vector<OpeningDesk::Token>{22}));
  desk.answered();
  EXPECT_FALSE(desk.others_wait());
}

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

TEST(OpeningDesk, WithoutAdaptingOnlyWhatIsGivenLimits) {
  OpeningDesk::Terms terms;
  terms.adaptive = false;
  terms.most = 3;
  OpeningDesk desk(terms);
  for (int i = 0; i < 3; ++i) desk.begin(1, kStart);
  EXPECT_EQ(desk.room(1, kStart), 0U);
  desk.failed(1, kStart);
  desk.opened(1, 10s, kStart);
  EXPECT_EQ(desk.room(1, kStart), 2U);
}

TEST(OpeningDesk, TellsWhoIsWorthAnotherTryAndForgetsWhoIsGone) {
  OpeningDesk desk({});
  EXPECT_FALSE(desk.opens(1, kStart));
  desk.begin(1, kStart);
  desk.opened(1, 1ms, kStart);
  desk.begin(2, kStart);
  EXPECT_TRUE(desk.opens(1, kStart + 9s));
  EXPECT_FALSE(desk.opens(1, kStart + 11s));
  desk.keep({});
  EXPECT_EQ(desk.known(), 1U) << "2 is still asked for";
  ASSERT_EQ(desk.look(kStart).size(), 1U);
  EXPECT_EQ(desk.look(kStart)[0].in_progress, 1U);
}

TEST(OpeningLimit, HalvesOnceForWhatWasUnderWayTogetherAndNeverBelowOne) {
  OpeningLimit::Options options;
  options.start = 64;
  options.good = 100ms;
  OpeningLimit limit(options);
  for (int i = 0; i < 64; ++i) limit.begun();
  EXPECT_FALSE(limit.may_begin());
  for (int i = 0; i < 32; ++i) limit.opened(2s, kStart);
  EXPECT_EQ(limit.limit(), 32U);
  EXPECT_FALSE(limit.may_begin());
  for (int i = 0; i < 32; ++i) limit.failed(kStart + 1s);
  EXPECT_EQ(limit.limit(), 32U) << "they had begun before the limit was halved";
  const auto fail = [&](int count, TimePoint at) {
    for (int i = 0; i < count; ++i) {
      limit.begun();
      limit.failed(at);
    }
  };
  fail(40, kStart + 3s);
  EXPECT_EQ(limit.limit(), 16U);
  for (int i = 0; i < 10; ++i) fail(20, kStart + 4s + i * 1s);
  EXPECT_EQ(limit.limit(), 1U);
  EXPECT_TRUE(limit.may_begin());
}

TEST(OpeningLimit, DoesNotGrowWhileNobodyNeedsMore) {
  OpeningLimit limit;
  TimePoint now = kStart;
  for (int i = 0; i < 1000; ++i, now += 1s) {
    limit.begun();
    limit.opened(10ms, now);
  }
  EXPECT_EQ(limit.limit(), 4U);
  EXPECT_EQ(limit.in_progress(), 0U);
}

// ---- the queue -----------------------------------------------------------------------------------------------------

TEST(OpeningQueue, AddressesTakeTurns) {
  OpeningQueue queue(100);
  for (OpeningQueue::Token t = 0; t < 5; ++t) queue.push(1, t);
  queue.push(2, 10);
  queue.push(3, 20);
  std::vector<OpeningQueue::Token> order;
  while (const auto token = queue.pop()) order.push_back(*token);
  EXPECT_EQ(order, (std::vector<OpeningQueue::Token>{0, 10, 20, 1, 2, 3, 4}));
  EXPECT_TRUE(queue.empty());
}

TEST(OpeningQueue, AFullOneTakesFromWhoHasMost) {
  OpeningQueue queue(10);
  for (OpeningQueue::Token t = 0; t < 10; ++t) EXPECT_TRUE(queue.push(1, t).queued);
  EXPECT_FALSE(queue.push(1, 99).queued);
  const auto pushed = queue.push(2, 50);
  EXPECT_TRUE(pushed.queued);
  EXPECT_EQ(pushed.displaced, 9U);
  for (OpeningQueue::Token t = 51; t < 54; ++t) EXPECT_TRUE(queue.push(2, t).queued);
  EXPECT_TRUE(queue.push(2, 54).queued);  // 5 each now
  EXPECT_FALSE(queue.push(2, 55).queued);
  EXPECT_TRUE(queue.push(3, 70).queued);
  EXPECT_EQ(queue.size(), 10U);
}

TEST(OpeningQueue, WhoLeavesIsTakenOut) {
  OpeningQueue queue(10);
  queue.push(1, 1);
  queue.push(1, 2);
  queue.push(2, 3);
  queue.remove(1);
  queue.remove(1);
  queue.remove(9);
  EXPECT_EQ(queue.pop(), 2U);
  queue.remove(2);  // was called already
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue.pop(), 3U);
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_TRUE(queue.empty());
}

// 50,000 of one address and of as many come while it is full, are called and give up: nothing of it may cost by how many there are.
TEST(OpeningQueue, AStormCostsNoMoreForEachThanACalmDay) {
  constexpr OpeningQueue::Token kMany = 50'000;
  OpeningQueue queue(kMany);
  for (OpeningQueue::Token t = 0; t < kMany; ++t) ASSERT_TRUE(queue.push(1, t).queued);
  std::size_t displaced = 0;
  for (OpeningQueue::Token t = 0; t < kMany; ++t) {
    const auto pushed = queue.push(2 + t, kMany + t);
    if (pushed.displaced) ++displaced;
  }
  EXPECT_EQ(queue.size(), kMany);
  EXPECT_EQ(displaced, kMany - 1) << "as long as it has more than the others";
  for (OpeningQueue::Token t = 2 * kMany; t-- > 0;) queue.remove(t);
  EXPECT_TRUE(queue.empty());
}

TEST(ReturnTimes, AreOneAfterTheOtherBehindWhoWaits) {
  ReturnTimes times;
  EXPECT_EQ(times.next(kStart, 100, 100), 1010ms);
  EXPECT_EQ(times.next(kStart, 100, 100), 1020ms);
  EXPECT_EQ(times.next(kStart + 500ms, 0, 100), 530ms);
  EXPECT_EQ(times.next(kStart + 10s, 0, 100), 10ms);  // nobody is expected any more
  std::map<long, int> per_minute;
  for (int i = 0; i < 90'000; ++i)
    ++per_minute[std::chrono::floor<std::chrono::minutes>(times.next(kStart + 10s, 0, 50)).count()];
  EXPECT_LE(per_minute.rbegin()->first, 10);
  for (long m = 0; m < 9; ++m) EXPECT_NEAR(per_minute[m], 9'000, 100) << m;
}

// ---- the storm -----------------------------------------------------------------------------------------------------

// An endpoint that opens 100 a second, one after another. More than 200 asked for in one second are too much for it: it opens
// 5 a second until it has worked off what it was asked for.
class Backend {
public:
  void ask(TimePoint now, std::function<void(TimePoint)> done) {
    asked_.push_back(now);
    while (asked_.front() <= now - 1s) asked_.pop_front();
    most_in_a_second = std::max(most_in_a_second, asked_.size());
    if (asked_.size() > 200) collapsed = thrashing_ = true;
    work_.push_back(std::move(done));
  }
  std::optional<TimePoint> next(TimePoint now) {
    if (!work_.empty() && !ready_) ready_ = now + (thrashing_ ? Duration(200ms) : Duration(10ms));
    return ready_;
  }
  void finish(TimePoint now) {
    ready_.reset();
    const auto done = std::move(work_.front());
    work_.pop_front();
    if (work_.empty()) thrashing_ = false;
    done(now);
  }
  std::size_t most_in_a_second = 0;
  bool collapsed = false;

private:
  std::deque<TimePoint> asked_;
  std::deque<std::function<void(TimePoint)>> work_;
  std::optional<TimePoint> ready_;
  bool thrashing_ = false;
};

struct Storm {
  static constexpr int kDevices = 10'000;
  static constexpr Duration kPatience = 10s;  // of a device with one opening
  bool admission = true;
  bool obedient = true;  // devices heed Retry-After

  static constexpr Duration kLongestWait = 8s;  // in the queue
  struct Device {
    Duration wait = 60s;  // the next one is up to so long, and twice that the next time, up to 6 min
    std::uint64_t attempt = 0;
    bool asking = false, open = false, forwarded = false;
  };
  std::vector<Device> devices{kDevices};
  Backend backend;
  OpeningDesk desk{{true, 1024, {}, 1024}};
  std::mt19937_64 random{20};
  std::map<TimePoint, std::vector<std::function<void(TimePoint)>>> agenda;
  TimePoint now = kStart;
  int open = 0, refused = 0, given_up = 0;
  std::optional<Duration> all_back;
  std::size_t longest_queue = 0;

  void at(TimePoint when, std::function<void(TimePoint)> what) { agenda[when].push_back(std::move(what)); }
  Duration up_to(Duration most) {
    return Duration(static_cast<Duration::rep>(random() % static_cast<std::uint64_t>(most.count())));
  }

  void come_back(int d) {
    Device& device = devices[static_cast<std::size_t>(d)];
    device.asking = false;
    const Duration wait = up_to(device.wait);
    device.wait = std::min<Duration>(device.wait * 2, 360s);
    at(now + wait, [this, d](TimePoint) { ask(d); });
  }

  void ask(int d) {
    Device& device = devices[static_cast<std::size_t>(d)];
    device.asking = true;
    device.forwarded = false;
    const std::uint64_t attempt = ++device.attempt;
    at(now + kPatience, [this, d, attempt](TimePoint) {
      Device& late = devices[static_cast<std::size_t>(d)];
      if (late.open || !late.asking || late.attempt != attempt) return;
      ++given_up;
      if (admission) desk.leave(static_cast<std::uint64_t>(d));
      come_back(d);
    });
    if (!admission) return forward(d);
    if (desk.room(0, now) > 0 && !desk.others_wait()) return forward(d);
    const auto pushed = desk.enter(static_cast<std::uint64_t>(d), static_cast<std::uint64_t>(d));
    longest_queue = std::max(longest_queue, desk.waiting());
    if (pushed.displaced) refuse(static_cast<int>(*pushed.displaced));
    if (!pushed.queued) return refuse(d);
    at(now + kLongestWait, [this, d, attempt](TimePoint) {
      const Device& late = devices[static_cast<std::size_t>(d)];
      if (!late.asking || late.attempt != attempt || late.forwarded) return;
      desk.leave(static_cast<std::uint64_t>(d));
      refuse(d, true);
    });
  }

  void refuse(int d, bool waited = false) {
    ++refused;
    const Duration after = desk.come_back(waited, now);
    if (!obedient) return come_back(d);
    devices[static_cast<std::size_t>(d)].asking = false;
    at(now + std::chrono::ceil<std::chrono::seconds>(after), [this, d](TimePoint) { ask(d); });
  }

  void forward(int d) {
    const std::uint64_t attempt = devices[static_cast<std::size_t>(d)].attempt;
    const TimePoint since = now;
    devices[static_cast<std::size_t>(d)].forwarded = true;
    if (admission) desk.begin(0, now);
    backend.ask(now, [this, d, attempt, since](TimePoint t) {
      if (admission) desk.opened(0, t - since, t);
      Device& device = devices[static_cast<std::size_t>(d)];
      const bool still = device.asking && device.attempt == attempt;  // else it was opened for nobody
      if (still) {
        device.asking = false;
        device.open = true;
        if (++open == kDevices) all_back = t - kStart;
      }
      admit();
    });
  }

  void admit() {
    if (!admission) return;
    for (const auto token : desk.call(desk.room(0, now))) {
      forward(static_cast<int>(token));
      desk.answered();
    }
  }

  void run(Duration longest) {
    for (int d = 0; d < kDevices; ++d) at(kStart + up_to(60s), [this, d](TimePoint) { ask(d); });
    for (TimePoint t = kStart; admission && t < kStart + longest; t += 8ms) at(t, [this](TimePoint) { admit(); });
    while (!all_back && now < kStart + longest) {
      const auto work = backend.next(now);
      const bool first = work && (agenda.empty() || *work <= agenda.begin()->first);
      if (!work && agenda.empty()) return;
      now = first ? *work : agenda.begin()->first;
      if (first) {
        backend.finish(now);
      } else {
        const auto due = std::move(agenda.begin()->second);
        agenda.erase(agenda.begin());
        for (const auto& what : due) what(now);
      }
    }
  }
  void report(const char* name) const {
    std::cout << name << ": " << open << " of " << kDevices << " back";
    if (all_back) std::cout << " after " << Seconds(*all_back).count() << " s";
    std::cout << ", at most " << backend.most_in_a_second << "/s at the endpoint, " << refused << " refused, "
              << given_up << " gave up, queue up to " << longest_queue << (backend.collapsed ? ", collapsed\n" : "\n");
  }
};

constexpr auto kIdeal = 100s;  // 10,000 at 100 a second

TEST(OpeningStorm, TenThousandDevicesAreBackInTheIdealTimeAndTheEndpointNeverHasMoreThanItCanOpen) {
  Storm storm;
  storm.run(20min);
  storm.report("with admission");
  ASSERT_TRUE(storm.all_back);
  EXPECT_LE(*storm.all_back, kIdeal * 1.3);
  EXPECT_LE(storm.backend.most_in_a_second, 110U);
  EXPECT_FALSE(storm.backend.collapsed);
  EXPECT_LE(storm.longest_queue, 1024U);
}

TEST(OpeningStorm, TheSameWithoutAdmissionCollapses) {
  Storm storm;
  storm.admission = false;
  storm.run(20min);
  storm.report("without admission");
  EXPECT_TRUE(storm.backend.collapsed);
  EXPECT_TRUE(!storm.all_back || *storm.all_back > 3 * kIdeal);
}

TEST(OpeningStorm, DevicesThatHeedNoRetryAfterTakeLongerButHurtNobody) {
  Storm storm;
  storm.obedient = false;
  storm.run(30min);
  storm.report("with admission, nobody heeds Retry-After");
  ASSERT_TRUE(storm.all_back);
  EXPECT_LE(storm.backend.most_in_a_second, 110U);
  EXPECT_FALSE(storm.backend.collapsed);
}

}  // namespace
}  // namespace understudy::limit
