// The small pieces: availability, slow start, slots, timers, names, epochs.
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <set>
#include <vector>

#include "health/availability.hpp"
#include "health/coordinator.hpp"
#include "health/explain.hpp"
#include "health/random.hpp"
#include "health/slots.hpp"
#include "health/slow_start.hpp"
#include "health/timer_index.hpp"

namespace understudy::health {
namespace {

using namespace std::chrono_literals;

TEST(Availability, FollowsTheTruthTable) {
  using O = OperatorState;
  using A = ActiveState;
  using P = PassiveState;
  using S = config::StartPolicy;
  struct Case {
    Axes axes;
    bool available, undecided;
  };
  const std::vector<Case> cases{
      {{O::enabled, A::healthy, P::in}, true, false},
      {{O::enabled, A::healthy, P::ejected}, false, false},
      {{O::enabled, A::unhealthy, P::in}, false, false},
      {{O::enabled, A::unhealthy, P::ejected}, false, false},
      {{O::enabled, A::unknown, P::in, true, false, S::wait}, false, true},
      {{O::enabled, A::unknown, P::in, true, true, S::wait}, true, false},
      {{O::enabled, A::unknown, P::ejected, true, true, S::wait}, false, false},
      {{O::enabled, A::unknown, P::in, true, false, S::assume_healthy}, true, false},
      {{O::enabled, A::unknown, P::in, true, false, S::assume_unhealthy}, false, true},
      {{O::enabled, A::unknown, P::in, true, true, S::assume_unhealthy}, false, false},
      {{O::enabled, A::unknown, P::in, false}, true, false},
      {{O::enabled, A::unknown, P::ejected, false}, false, false},
      {{O::draining, A::healthy, P::in}, false, false},
      {{O::disabled, A::healthy, P::in}, false, false},
      {{O::held, A::unhealthy, P::ejected, true, false, S::wait, true}, true, false},
      {{O::held, A::healthy, P::in, true, false, S::wait, false}, false, false},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(derive_available(cases[i].axes), cases[i].available) << "row " << i;
    EXPECT_EQ(derive_undecided(cases[i].axes), cases[i].undecided) << "row " << i;
  }
}

TEST(Availability, NeededIsACountOrAShareNeverNobodyAndNeverMoreThanThereAre) {
  struct Case {
    std::uint32_t count;
    std::optional<double> share;
    std::size_t size;
    std::uint32_t needed;
  };
  const std::vector<Case> cases{
      {1, {}, 3, 1},  {2, {}, 3, 2},  {2, {}, 1, 1},  {0, {}, 3, 1},  {1, {}, 0, 1},  {1, 0.5, 4, 2},
      {1, 0.5, 5, 3}, {1, 0.6, 5, 3}, {1, 0.0, 5, 1}, {1, 1.0, 5, 5}, {3, 0.2, 5, 1},
  };
  for (const Case& c : cases) {
    config::FailoverConfig failover;
    failover.min_available_count = c.count;
    failover.min_available_share = c.share;
    EXPECT_EQ(needed_endpoints(failover, c.size), c.needed) << c.count << " of " << c.size;
  }
}

TEST(Availability, PanicOnlyBelowTheThresholdWithNothingBetterAndEverybodyJudged) {
  const TierCount half{.size = 4, .enabled = 4, .available = 2};
  const TierCount quarter{.size = 4, .enabled = 4, .available = 1};
  const TierCount settling{.size = 4, .enabled = 4, .available = 1, .undecided = 1};
  const TierCount switched_off{.size = 4, .enabled = 2, .available = 1};
  EXPECT_FALSE(derive_panic(half, 0.5, false));
  EXPECT_TRUE(derive_panic(quarter, 0.5, false));
  EXPECT_FALSE(derive_panic(quarter, 0.5, true));
  EXPECT_FALSE(derive_panic(quarter, 0, false));
  EXPECT_FALSE(derive_panic(settling, 0.5, false));
  EXPECT_FALSE(derive_panic(switched_off, 0.5, false)) << "who is switched off is not missing";
}

TEST(SlowStart, GrowsInTenStepsAndSaysWhenTheNextIs) {
  SlowStart start;
  const TimePoint now{1h};
  EXPECT_EQ(start.factor(now), 1);
  start.begin(10s, now);
  EXPECT_DOUBLE_EQ(start.factor(now), 0.1);
  EXPECT_EQ(start.next_step(now), now + 1s);
  EXPECT_DOUBLE_EQ(start.factor(now + 4500ms), 0.5);
  EXPECT_EQ(start.next_step(now + 4500ms), now + 5s);
  EXPECT_DOUBLE_EQ(start.factor(now + 9s), 1);
  EXPECT_FALSE(start.next_step(now + 9s));
  EXPECT_DOUBLE_EQ(start.factor(now + 1h), 1);
  start.begin(0s, now);
  EXPECT_EQ(start.factor(now), 1);
  EXPECT_FALSE(start.next_step(now));
}

TEST(Slots, AreReusedOnlyAfterTheAcknowledgementAndWithANewGeneration) {
  Slots slots;
  const EndpointId a = slots.take(), b = slots.take();
  EXPECT_NE(a.slot, b.slot);
  slots.release(a, 5);
  EXPECT_FALSE(slots.alive(a));
  slots.acknowledged(4);
  EXPECT_NE(slots.take().slot, a.slot);
  slots.acknowledged(5);
  const EndpointId again = slots.take();
  EXPECT_EQ(again.slot, a.slot);
  EXPECT_GT(again.generation, a.generation);
  EXPECT_TRUE(slots.alive(again));
  EXPECT_FALSE(slots.alive(a));
  slots.release(a, 6);  // late, of the former owner
  EXPECT_TRUE(slots.alive(again));
  EXPECT_EQ(slots.size(), 3U);
}

TEST(TimerIndex, AgreesWithASimpleListOverManyRandomChanges) {
  TimerIndex timers;
  std::map<std::uint32_t, TimePoint> simple;
  Random random(5);
  TimePoint now{};
  for (int step = 0; step < 20'000; ++step) {
    const auto key = static_cast<std::uint32_t>(random.next() % 200);
    switch (random.next() % 4) {
      case 0:
        timers.set(key, std::nullopt);
        simple.erase(key);
        break;
      case 1: {
        now += std::chrono::nanoseconds(random.next() % 50);
        while (const auto due = timers.pop_due(now)) {
          ASSERT_TRUE(simple.contains(*due));
          ASSERT_LE(simple[*due], now);
          simple.erase(*due);
        }
        break;
      }
      default: {
        const TimePoint deadline = now + std::chrono::nanoseconds(random.next() % 5000);
        timers.set(key, deadline);
        simple[key] = deadline;
      }
    }
    std::optional<TimePoint> earliest;
    for (const auto& [k, deadline] : simple) {
      if (!earliest || deadline < *earliest) earliest = deadline;
    }
    ASSERT_EQ(timers.next(), earliest);
    ASSERT_EQ(timers.size(), simple.size());
  }
}

TEST(Names, EveryWordHasItsOwn) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < static_cast<std::size_t>(Cause::count); ++i) {
    const auto cause = static_cast<Cause>(i);
    EXPECT_TRUE(names.insert(name_of(cause)).second) << i;
    EXPECT_EQ(class_of(cause) == CauseClass::none, cause == Cause::none) << name_of(cause);
  }
  names.clear();
  for (int i = 0; i <= static_cast<int>(Event::Kind::starved); ++i) {
    EXPECT_TRUE(names.insert(name_of(static_cast<Event::Kind>(i))).second) << i;
  }
  EXPECT_FALSE(names.contains("?"));
  EXPECT_EQ(name_of(CauseClass::stalled), "stalled");
  EXPECT_EQ(class_of(Cause::http_timeout), CauseClass::stalled);
  EXPECT_EQ(class_of(Cause::own_error), CauseClass::own);
}

TEST(Describe, SpeaksOfTimeAsPeopleDo) {
  const std::vector<std::pair<Duration, std::string>> cases{
      {0ms, "0 ms"},      {-5s, "0 ms"},  {350ms, "350 ms"},   {1500ms, "1.5 s"}, {2s, "2 s"},
      {12'300ms, "12 s"}, {60s, "1 min"}, {125s, "2 min 5 s"}, {3600s, "1 h"},    {11'400s, "3 h 10 min"},
  };
  for (const auto& [duration, text] : cases) EXPECT_EQ(describe(duration), text);
  EXPECT_EQ(describe_share(0.5), "50 %");
}

TEST(Epochs, AStoredOneGoesOnAThousandLaterAndNeverOverflows) {
  EXPECT_EQ(resumed_epoch(0), 1000U);
  EXPECT_EQ(resumed_epoch(41), 1041U);
  const std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(resumed_epoch(highest - 3), highest);
}

Proposal proposal(const std::string& pool, std::uint64_t from, std::uint32_t tier) {
  Proposal result;
  result.pool = pool;
  result.from_epoch = from;
  result.tier = tier;
  return result;
}

TEST(LocalCoordinator, CommitsAtOnceUnderTheNextEpochOfThatPool) {
  LocalCoordinator coordinator;
  EXPECT_FALSE(coordinator.poll_answer());
  coordinator.propose(proposal("app", 1, 1));
  coordinator.propose(proposal("devices", 1001, 2));
  const Decision first = std::get<Decision>(*coordinator.poll_answer());
  EXPECT_EQ(first.pool, "app");
  EXPECT_EQ(first.epoch, 2U);
  EXPECT_EQ(first.tier, 1U);
  EXPECT_EQ(std::get<Decision>(*coordinator.poll_answer()).epoch, 1002U);
  EXPECT_FALSE(coordinator.poll_answer());
}

TEST(LocalCoordinator, RefusesWhatRestsOnAnOldEpoch) {
  LocalCoordinator coordinator;
  coordinator.propose(proposal("app", 7, 1));
  coordinator.propose(proposal("app", 7, 0));
  EXPECT_EQ(std::get<Decision>(*coordinator.poll_answer()).epoch, 8U);
  EXPECT_EQ(std::get<Refusal>(*coordinator.poll_answer()).why, "epoch 7 is outdated, the pool is at epoch 8");
}

TEST(LocalCoordinator, RefusesWhenTheEpochsAreUsedUp) {
  LocalCoordinator coordinator;
  coordinator.propose(proposal("app", std::numeric_limits<std::uint64_t>::max(), 1));
  EXPECT_EQ(std::get<Refusal>(*coordinator.poll_answer()).why, "the pool's epochs are used up");
}

}  // namespace
}  // namespace understudy::health
