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
