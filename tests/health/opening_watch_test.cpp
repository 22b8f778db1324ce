// When an endpoint is slow to open WebSockets, and when no longer.
#include "health/opening_watch.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;
using State = OpeningWatch::State;

class Watching : public ::testing::Test {
protected:
  // One sample, 100 ms later: so many openings of so long, and so many that wait since then.
  bool sees(std::uint32_t opened, Duration took, std::uint32_t waiting = 0, Duration since = {}) {
    TrafficSample sample;
    if (opened > 0) sample.websocket_open.record(took, opened);
    sample.opening_pending = waiting;
    if (waiting > 0) sample.oldest_opening = now + 100ms - since;
    return takes(sample);
  }
  bool takes(const TrafficSample& sample) {
    now += 100ms;
    return watch.observe(sample, policy, now);
  }
  bool leaves(std::uint32_t count = 1) {
    TrafficSample sample;
    sample.openings_left = count;
    return takes(sample);
  }
  bool probes(Duration took, Cause cause = Cause::none) {
    now += 2s;
    ProbeResult result;
    result.cause = cause;
    result.elapsed = took;
    return watch.observe_probe(result, policy, now);
  }
  void learn() {
    for (int i = 0; i < 20; ++i) sees(2, 5ms);
    ASSERT_FALSE(watch.slow());
  }
  void turn_late() {
    for (int i = 0; i < 50 && !watch.slow(); ++i) sees(2, 2s);
    ASSERT_EQ(watch.state(), State::late);
  }
  OpeningWatch watch;
  config::DegradedConfig policy;
  TimePoint now{1h};
};

TEST_F(Watching, SlowIsWhatTakesFarLongerThanItsOwnPast) {
  EXPECT_FALSE(watch.limit(policy)) << "nothing is known yet";
  learn();
  EXPECT_GE(watch.limit(policy), 200ms);
  EXPECT_LE(watch.limit(policy), 220ms);
  int samples = 0;
  for (; !watch.slow() && samples < 100; ++samples) sees(2, 2s);
  EXPECT_LE(samples, 5);
  EXPECT_NE(watch.describe(policy).find("latency_factor"), std::string::npos) << watch.describe(policy);
}

TEST_F(Watching, WhoWaitsTellsBeforeAnythingIsOpened) {
  learn();
  for (Duration waits = 100ms; waits < 1s; waits += 100ms) sees(0, {}, 1, waits);
  EXPECT_FALSE(watch.slow()) << "one alone may have a reason of its own";
  sees(1, 5ms);
  Duration waits = 100ms;
  for (; !watch.slow() && waits < 2s; waits += 100ms) sees(0, {}, 4, waits);
  EXPECT_LE(waits, 700ms);
}

TEST_F(Watching, ALittleBeyondTakesTheTimeThatTheOperatorGives) {
  policy.websocket_open_p95 = 1s;
  policy.dwell = 2s;
  Duration took{};
  for (; !watch.slow() && took < 10s; took += 100ms) sees(2, 1200ms);
  EXPECT_GE(took, 2s);
  EXPECT_LE(took, 3s);
  EXPECT_NE(watch.describe(policy).find("websocket_open_p95"), std::string::npos) << watch.describe(policy);
}

TEST_F(Watching, FewSlowOnesAreNothing) {
  learn();
  for (int i = 0; i < 100; ++i) sees(1, i % 3 == 0 ? Duration(2s) : Duration(5ms));
  EXPECT_FALSE(watch.slow());
}

TEST_F(Watching, WhereFewAreOpenedThreeInARowTell) {
  learn();
  for (int i = 0; i < 2; ++i) {
    sees(1, 2s);
    now += 9s;
  }
  EXPECT_FALSE(watch.slow());
  sees(1, 2s);
  for (int i = 0; i < 3; ++i) sees(0, {});
  EXPECT_TRUE(watch.slow());
}

TEST_F(Watching, OpeningsOfAnHourAgoDoNotAddUp) {
  learn();
  for (int i = 0; i < 6; ++i) {
    now += 1h;
    sees(1, 2s);
    for (int j = 0; j < 3; ++j) sees(0, {});
  }
  EXPECT_FALSE(watch.slow());
}

TEST_F(Watching, WhoTimesOutIsSlow) {
  learn();
  TrafficSample sample;
  sample.failures[static_cast<std::size_t>(Cause::ws_timeout)] = 4;
  takes(sample);
  for (int i = 0; i < 3; ++i) sees(0, {});
  EXPECT_TRUE(watch.slow());
  EXPECT_EQ(watch.describe(policy).find("openings time out"), 0U) << watch.describe(policy);
}

TEST_F(Watching, ASlowRampIsNotTakenAsNormal) {
  learn();
  const auto limit = watch.limit(policy);
  for (int i = 0; i < 3000; ++i) sees(2, 150ms);
  EXPECT_FALSE(watch.slow());
  EXPECT_EQ(watch.limit(policy), limit);
}

TEST_F(Watching, AfterThreeTrialsInARowItIsGivenMoreStepByStep) {
  learn();
  turn_late();
  EXPECT_EQ(watch.trials(policy)->pause, 1s);
  EXPECT_EQ(watch.trials(policy)->limit, watch.limit(policy));
  sees(1, 5ms);
  EXPECT_LT(watch.trials(policy)->pause, 1s) << "it may be well: soon again";
  EXPECT_EQ(watch.trials(policy)->share, 1);
  sees(1, 5ms);
  leaves();
  EXPECT_EQ(watch.trials(policy)->pause, 1s);
  for (int i = 0; i < 3; ++i) sees(1, 5ms);
  std::vector<double> shares;
  int samples = 0;
  for (; watch.slow() && samples < 200; ++samples) {
    EXPECT_TRUE(watch.proving());
    const auto trials = watch.trials(policy);
    EXPECT_EQ(trials->pause, 0s);
    if (shares.empty() || shares.back() != trials->share) shares.push_back(trials->share);
    sees(1, 5ms);
  }
  EXPECT_EQ(shares, (std::vector<double>{0.25, 0.5, 0.9}));
  EXPECT_GE(samples, 40);
  EXPECT_LE(samples, 60);
  EXPECT_FALSE(watch.trials(policy));
  EXPECT_EQ(watch.describe(policy), "");
  turn_late();  // the norm was not learned from the time when it was slow
}

TEST_F(Watching, WhoBearsFewAndNotManyIsNotTrusted) {
  learn();
  turn_late();
  for (int i = 0; i < 25; ++i) sees(1, 5ms);
  ASSERT_TRUE(watch.proving());
  for (int i = 0; i < 4; ++i) sees(2, 2s);
  EXPECT_EQ(watch.state(), State::late);
  EXPECT_FALSE(watch.proving());
  EXPECT_EQ(watch.trials(policy)->share, 0.1);
  EXPECT_EQ(watch.relapses(now), 1U);
  for (int i = 0; i < 90; ++i) sees(1, 5ms);
  EXPECT_FALSE(watch.proving()) << "trials prove nothing for ten seconds";
  for (int i = 0; i < 20; ++i) sees(1, 5ms);
  EXPECT_TRUE(watch.proving());
}

TEST_F(Watching, AFewLateOnesOfManyAreNoRelapse) {
  learn();
  turn_late();
  int samples = 0;
  for (; watch.slow() && samples < 200; ++samples) {
    sees(2, 5ms);
    if (samples % 15 == 14) leaves();
  }
  EXPECT_LE(samples, 100);
  EXPECT_EQ(watch.relapses(now), 0U);
}

TEST_F(Watching, EachRelapseDoublesTheWayBackAndGoodTimeForgetsIt) {
  learn();
  const auto heal = [&] {
    const TimePoint from = now;
    for (int i = 0; i < 10000 && watch.slow(); ++i) sees(1, 5ms);
    EXPECT_FALSE(watch.slow());
    return now - from;
  };
  turn_late();
  EXPECT_LE(heal(), 6s);
  for (const Duration least : {10s, 20s, 40s, 80s, 160s, 300s, 300s}) {
    turn_late();
    const Duration took = heal();
    EXPECT_GE(took, least);
    EXPECT_LE(took, least + 6s);
  }
  EXPECT_EQ(watch.relapses(now + 10min), 3U) << "one is forgotten in five minutes";
  EXPECT_EQ(watch.relapses(now + 1h), 0U);
  now += 1h;
  sees(1, 5ms);
  turn_late();
  EXPECT_EQ(watch.relapses(now), 0U);
  EXPECT_LE(heal(), 6s);
}

TEST_F(Watching, WhoIsLateAndNotAskedMayBeTriedByAllInTheEnd) {
  learn();
  turn_late();
  const TimePoint last = now;
  EXPECT_EQ(watch.expires(std::nullopt), last + 30s);
  EXPECT_FALSE(watch.expire(std::nullopt, last + 29s));
  EXPECT_TRUE(watch.expire(std::nullopt, last + 30s));
  EXPECT_EQ(watch.state(), State::returned);
  EXPECT_TRUE(watch.expire(last, last + 40s));
  EXPECT_EQ(watch.state(), State::normal);
  now = last + 40s;
  turn_late();
  EXPECT_EQ(watch.relapses(now), 1U);
  EXPECT_GE(*watch.expires(std::nullopt), now + 39s) << "a relapse is waited for longer";
}

TEST_F(Watching, TrialsThatGoBadBecomeRare) {
  learn();
  turn_late();
  for (int i = 0; i < 10; ++i) leaves();
  EXPECT_EQ(watch.trials(policy)->pause, 4s);
  EXPECT_LE(watch.trials(policy)->share, 0.1);
  for (int i = 0; i < 20; ++i) sees(0, {}, 1, Duration(250ms) + i * 100ms);
  EXPECT_TRUE(watch.slow());
}

TEST_F(Watching, WhoWasAwayHasToShowItWhereSomethingIsKnownOfIt) {
  EXPECT_FALSE(watch.returned(policy, now)) << "nothing to compare with";
  learn();
  EXPECT_TRUE(watch.returned(policy, now));
  EXPECT_EQ(watch.state(), State::returned);
  EXPECT_FALSE(watch.returned(policy, now)) << "it is known";
  EXPECT_LT(watch.trials(policy)->pause, 1s);
  sees(2, 5ms);
  EXPECT_TRUE(watch.slow());
  EXPECT_TRUE(sees(1, 5ms));
  EXPECT_FALSE(watch.slow());
}

TEST_F(Watching, WhoWasAwayAndIsSlowIsToldSo) {
  learn();
  watch.returned(policy, now);
  EXPECT_TRUE(leaves());
  EXPECT_EQ(watch.state(), State::late);
  EXPECT_NE(watch.describe(policy).find("openings take"), std::string::npos) << watch.describe(policy);
}

TEST_F(Watching, WhoWasAwayIsTakenAsNormalWhenNobodyWantsATunnel) {
  learn();
  watch.returned(policy, now);
  EXPECT_FALSE(watch.expires(std::nullopt)) << "it does not serve";
  EXPECT_EQ(watch.expires(now), now + 10s);
  EXPECT_EQ(watch.expires(now + 5s), now + 15s);
  EXPECT_FALSE(watch.expire(std::nullopt, now + 1h));
  EXPECT_FALSE(watch.expire(now, now + 9s));
  sees(1, 5ms);
  EXPECT_FALSE(watch.expire(now - 1s, now + 9950ms)) << "somebody does";
  EXPECT_TRUE(watch.expire(now, now + 10s));
  EXPECT_FALSE(watch.slow());
}

TEST_F(Watching, ProbesThatOpenWebSocketsTellToo) {
  learn();
  for (int i = 0; i < 3; ++i) probes(2s);
  EXPECT_FALSE(watch.slow());
  probes(0ms, Cause::tcp_refused);  // says nothing of openings
  EXPECT_TRUE(probes(3s, Cause::ws_timeout));
  probes(5ms);
  probes(5ms);
  EXPECT_FALSE(watch.proving());
  probes(5ms);
  EXPECT_TRUE(watch.proving());
  int more = 0;
  for (; watch.slow() && more < 50; ++more) probes(5ms);
  EXPECT_EQ(more, 9) << "nothing is proven under load: five seconds a step";
}

TEST_F(Watching, Law12WhatWasSeenWhileStarvedIsForgotten) {
  learn();
  sees(2, 2s);
  watch.forgive();
  sees(0, {});
  sees(1, 2s);
  sees(0, {});
  sees(0, {});
  EXPECT_FALSE(watch.slow());
}

TEST_F(Watching, ByItsPeersWhereTooLittleIsKnownOfIt) {
  watch.compare_with(200ms);
  EXPECT_EQ(watch.limit(policy), 200ms);
  EXPECT_FALSE(watch.own_limit(policy));
  turn_late();
}

TEST_F(Watching, WithoutALimitNothingIsJudged) {
  policy.latency_factor.reset();
  learn();
  for (int i = 0; i < 50; ++i) sees(3, 20s, 5, 20s);
  EXPECT_FALSE(watch.slow());
  policy.websocket_open_p95 = 1s;
  turn_late();
  policy.websocket_open_p95.reset();
  EXPECT_TRUE(sees(1, 20s)) << "nobody says any more what slow is";
  EXPECT_FALSE(watch.slow());
}

}  // namespace
}  // namespace understudy::health
