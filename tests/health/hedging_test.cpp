// What hedging leaves as evidence: an attempt that was outrun is neither success nor failure, and hides nothing.
#include <gtest/gtest.h>

#include "health/core.hpp"
#include "health/latency.hpp"
#include "health/signals.hpp"
#include "health/suspicion.hpp"

namespace understudy::health {
namespace {

using namespace std::chrono_literals;

LatencyCounts times(Duration value, std::uint32_t count) {
  LatencyCounts counts;
  counts.record(value, count);
  return counts;
}

TrafficSample answers(std::uint32_t count, Duration each) {
  TrafficSample sample;
  sample.successes = count;
  sample.first_byte = times(each, count);
  return sample;
}

TEST(AtLeast, IsSpreadLikeWhatIsKnownBeyondIt) {
  LatencyMemory memory(1h);
  const TimePoint now{1h};
  memory.add(times(5ms, 90), now);
  memory.add(times(1s, 10), now);
  memory.add_at_least(times(20ms, 10), now);
  EXPECT_NEAR(memory.weight(), 110, 1e-3);
  EXPECT_NEAR(memory.share_above(500ms), 20.0 / 110, 1e-3);  // all ten would have taken the second
}

TEST(AtLeast, IsTakenAsItIsWhereNothingIsKnownBeyondIt) {
  LatencyMemory memory(1h);
  memory.add(times(5ms, 90), TimePoint{1h});
  memory.add_at_least(times(20ms, 10), TimePoint{1h});
  EXPECT_NEAR(memory.share_above(15ms), 0.1, 1e-3);
  EXPECT_LT(memory.quantile(0.99), 25ms);
}

TEST(AtLeast, KeepsTheHedgeDelayFromCreepingDown) {
  Signals signals;
  TimePoint now{1h};
  for (int i = 0; i < 200; ++i) {  // of a hundred requests the two slowest, at 40 ms, are outrun after 20
    TrafficSample sample = answers(98, 5ms);
    sample.superseded = times(20ms, 2);
    signals.observe(sample, true, now += 100ms);
  }
  ASSERT_TRUE(signals.hedge_after());
  EXPECT_GE(*signals.hedge_after(), 16ms);
  EXPECT_LE(*signals.hedge_after(), 25ms);
}

TEST(Outrun, IsNoOutcome) {
  Signals signals;
  TrafficSample sample;
  sample.superseded = times(20ms, 50);
  signals.observe(sample, true, TimePoint{1h});
  EXPECT_EQ(signals.brief().outcomes.weight(), 0);
  EXPECT_FALSE(signals.newest());
}

class Doubt : public ::testing::Test {
protected:
  bool outrun(std::uint64_t count) {
    SuspicionInput input;
    input.overdue_after = 100ms;
    input.superseded = count;
    input.superseded_wait = 20ms;
    return suspicion.observe(input, now);
  }
  bool answered(std::uint64_t count) {
    SuspicionInput input;
    input.overdue_after = 100ms;
    input.good = count;
    return suspicion.observe(input, now);
  }
  Suspicion suspicion;
  TimePoint now{1h};
};

TEST_F(Doubt, AFrozenEndpointIsFoundThoughNobodyWaitsForIt) {
  answered(20);
  now += 100ms;
  outrun(5);
  EXPECT_FALSE(suspicion.suspect());
  now += 100ms;
  EXPECT_TRUE(outrun(5));  // 200 ms after the last answer
  EXPECT_EQ(suspicion.why(), Suspicion::Why::overdue);
  for (int i = 0; i < 10; ++i) {
    now += 100ms;
    outrun(1);
  }
  // Nobody gave it the time for a late answer: whether it is gone, its checks say, or a request that waits for a second.
  EXPECT_FALSE(suspicion.gone());
}

TEST_F(Doubt, AFewOutrunRequestsAmongAnswersAreNone) {
  for (int i = 0; i < 100; ++i) {
    now += 100ms;
    answered(95);
    outrun(2);
    EXPECT_FALSE(suspicion.suspect());
  }
}

TEST_F(Doubt, OneOrTwoRequestsInALongSilenceAreNone) {
  answered(1);
  now += 1min;
  outrun(1);
  now += 1min;
  outrun(1);
  now += 1min;
  suspicion.observe(SuspicionInput{}, now);
  EXPECT_FALSE(suspicion.suspect());
}

TEST_F(Doubt, ATrialThatWasOutrunIsAPoorOneAndATry) {
  suspicion.raise(Suspicion::Why::overdue, now);
  for (int i = 0; i < 4; ++i) {
    now += 100ms;
    answered(1);
  }
  EXPECT_EQ(suspicion.good_trials(), 4U);
  now += 100ms;
  outrun(1);
  EXPECT_EQ(suspicion.good_trials(), 0U);
  EXPECT_EQ(suspicion.last_tried(), now);
}

class Published : public ::testing::Test {
protected:
  void configure(std::size_t endpoints, bool hedge = true) {
    config::Config config;
    config::PoolConfig pool;
    pool.name = "app";
    pool.check.kind = config::CheckKind::none;
    pool.retry.hedge = hedge;
    config::TierConfig tier;
    tier.name = "primary";
    for (std::size_t i = 0; i < endpoints; ++i) {
      config::EndpointConfig endpoint;
      endpoint.address = *config::parse_address("10.0.0." + std::to_string(i + 1) + ":80", 0, nullptr);
      tier.endpoints.push_back(endpoint);
    }
    pool.tiers.push_back(tier);
    config.pools.push_back(pool);
    core.configure(config, now);
    while (core.poll_action()) {
    }
  }
  // A tenth of a second of traffic to the first endpoint. True if that is news for the workers.
  bool traffic(Duration each) {
    now += 100ms;
    TrafficSample sample = answers(50, each);
    sample.endpoint = core.view()->pools[0].tiers[0].endpoints[0].id;
    core.on_traffic({&sample, 1}, now);
    bool news = false;
    while (const auto action = core.poll_action()) news = news || std::holds_alternative<ViewChanged>(*action);
    return news;
  }
  std::optional<Duration> shown() { return core.view()->pools[0].tiers[0].endpoints[0].hedge_after; }

  Core core{1};
  TimePoint now{1h};
};

TEST_F(Published, AsSoonAsTheBaselineIsKnownAndAgainWhenItHasMovedFar) {
  configure(2);
  EXPECT_FALSE(shown());
  EXPECT_TRUE(traffic(20ms));
  ASSERT_TRUE(shown());
  EXPECT_GE(*shown(), 50ms);
  EXPECT_LE(*shown(), 75ms);
  int news = 0;
  for (int i = 0; i < 100; ++i) news += traffic(20ms) ? 1 : 0;
  EXPECT_LE(news, 1);
  for (int i = 0; i < 600; ++i) news += traffic(6ms) ? 1 : 0;
  EXPECT_LE(*shown(), 45ms);
  EXPECT_LE(news, 12);
}

TEST_F(Published, NotWhereNobodyElseCanBeAskedOrTheOperatorWantsNone) {
  configure(1);
  for (int i = 0; i < 10; ++i) traffic(20ms);
  EXPECT_FALSE(shown());
  configure(2, false);
  for (int i = 0; i < 10; ++i) traffic(20ms);
  EXPECT_FALSE(shown());
}

}  // namespace
}  // namespace understudy::health
