#include "health/fitness.hpp"

#include <gmock/gmock.h>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

config::FitnessConfig request(const std::string& path) {
  config::FitnessConfig result;
  result.path = path;
  result.name = "GET " + path;
  return result;
}

Fitness::Requests asked(std::vector<config::FitnessConfig> requests) {
  return std::make_shared<const std::vector<config::FitnessConfig>>(std::move(requests));
}

ProbeResult good(const std::string& value = "") {
  ProbeResult result;
  result.status = 200;
  if (!value.empty()) result.value = value;
  return result;
}
ProbeResult bad() {
  ProbeResult result;
  result.cause = Cause::http_status;
  result.detail = "answered 500";
  return result;
}

// One endpoint, whose requests are answered a millisecond after they are sent.
struct Endpoint {
  Fitness fitness;
  Random random{1};
  std::uint64_t last_run = 0;
  DataHistory history;
  bool serving = false;
  TimePoint now{1h};

  // Until `end` with the same answer to each; how many were asked.
  int run(Duration length, const ProbeResult& answer) {
    const TimePoint end = now + length;
    int count = 0;
    while (true) {
      while (const auto start = fitness.start_due(last_run, now)) {
        ++count;
        fitness.finish(start->run, answer, &history, serving, random, now + 1ms);
      }
      const auto next = fitness.next_timeout(now);
      if (!next || *next > end) break;
      now = std::max(now, *next);
    }
    now = end;
    return count;
  }
};

TEST(Fitness, NeedsEveryRequestAnsweredWell) {
  Endpoint e;
  e.fitness.configure(asked({request("/a"), request("/b")}), e.now, e.random);
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::unknown);
  EXPECT_FALSE(e.fitness.proven_at());
  e.now += 600ms;
  const auto first = e.fitness.start_due(e.last_run, e.now);
  const auto second = e.fitness.start_due(e.last_run, e.now);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(e.fitness.start_due(e.last_run, e.now)) << "one at a time";
  EXPECT_TRUE(e.fitness.finish(first->run, good(), nullptr, false, e.random, e.now));
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::unknown);
  EXPECT_TRUE(e.fitness.finish(second->run, good(), nullptr, false, e.random, e.now));
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::fit);
  EXPECT_EQ(e.fitness.proven_at(), e.now);
  EXPECT_FALSE(e.fitness.finish(second->run, bad(), nullptr, false, e.random, e.now)) << "answered already";
}

TEST(Fitness, IsLostByBadAnswersInARowAndRegainedByGoodOnes) {
  Endpoint e;
  e.fitness.configure(asked({request("/a")}), e.now, e.random);
  e.run(20s, good());
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::fit);
  e.run(13s, bad());
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::unfit);
  EXPECT_THAT(e.fitness.reason(e.now),
              AllOf(HasSubstr("GET /a: answered 500; "), HasSubstr(" bad answers in a row (fall 2) since ")));
  e.run(13s, good());
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::fit);
  EXPECT_EQ(e.fitness.reason(e.now), "");
}

TEST(Fitness, AsksAgainWithinASecondWhileAVerdictIsChangingButNeverWhatIsUnsafe) {
  for (const bool is_unsafe : {false, true}) {
    config::FitnessConfig one = request("/a");
    one.is_unsafe = is_unsafe;
    one.fall = 100;
    Endpoint e;
    e.fitness.configure(asked({one}), e.now, e.random);
    e.run(10s, good());
    const int count = e.run(60s, bad());
    if (is_unsafe) {
      EXPECT_LE(count, 7);
    } else {
      EXPECT_GE(count, 40);
    }
  }
}

TEST(Fitness, AProofGrowsOld) {
  Endpoint e;
  e.fitness.configure(asked({request("/a")}), e.now, e.random);
  e.run(20s, good());
  ProbeResult own;
  own.cause = Cause::own_error;
  e.run(40s, own);
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::stale);
  EXPECT_THAT(e.fitness.reason(e.now), HasSubstr("not proven since"));
  e.run(11s, good());
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::fit);
}

TEST(Fitness, AnAnswerToARequestThatIsNoLongerAskedIsIgnored) {
  Endpoint e;
  e.fitness.configure(asked({request("/a")}), e.now, e.random);
  e.now += 600ms;
  const auto start = e.fitness.start_due(e.last_run, e.now);
  ASSERT_TRUE(start);
  e.fitness.configure(asked({request("/b")}), e.now, e.random);
  EXPECT_FALSE(e.fitness.finish(start->run, good(), nullptr, false, e.random, e.now));
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::unknown);
}

TEST(DataHistory, NumbersAreOrdered) {
  DataHistory history;
  const TimePoint t{1h};
  EXPECT_EQ(history.lag("7", t), Duration::zero()) << "nothing to compare with";
  history.observe("100", 1min, t);
  history.observe("110", 1min, t + 10s);
  history.observe("120", 1min, t + 20s);
  EXPECT_EQ(history.lag("120", t + 25s), Duration::zero());
  EXPECT_EQ(history.lag("121", t + 25s), Duration::zero()) << "ahead of what was seen";
  EXPECT_EQ(history.lag("110", t + 25s), 5s);
  EXPECT_EQ(history.lag("113", t + 25s), 5s);
  EXPECT_EQ(history.lag("99", t + 25s), 25s);
  EXPECT_FALSE(history.lag("a hash", t + 25s));
}

TEST(DataHistory, APeerThatIsBehindDoesNotTurnTimeBackButAResetDoes) {
  DataHistory history;
  const TimePoint t{1h};
  history.observe("100", 1min, t);
  history.observe("98", 1min, t + 1s);
  EXPECT_EQ(history.lag("99", t + 5s), 5s);
  history.observe("3", 1min, t + 2min);
  EXPECT_EQ(history.lag("3", t + 2min), Duration::zero());
}

TEST(DataHistory, TextsAreTheSameOrNot) {
  DataHistory history;
  const TimePoint t{1h};
  history.observe("blue", 1min, t);
  history.observe("blue", 1min, t + 30s);
  history.observe("green", 1min, t + 40s);
  EXPECT_EQ(history.lag("green", t + 45s), Duration::zero());
  EXPECT_EQ(history.lag("blue", t + 45s), 5s);
  EXPECT_FALSE(history.lag("red", t + 45s));
  for (int i = 0; i < 1000; ++i) history.observe("v" + std::to_string(i), 1min, t + 50s);
  EXPECT_EQ(history.lag("blue", t + 60s), 20s);
  for (int i = 0; i < 1000; ++i) history.observe("w" + std::to_string(i), 1min, t + 50s + i * 1s);
  EXPECT_FALSE(history.lag("blue", t + 1050s)) << "bounded: what is older than anything of interest is forgotten";
}

// However often the value changes, no lag of interest is told more than a sixteenth too small, and none too large.
TEST(DataHistory, ALagIsToldTrulyHoweverOftenTheValueChanges) {
  for (const Duration step : {Duration(5ms), Duration(50ms), Duration(2s)}) {
    DataHistory history;
    const Duration longest = 10min;
    TimePoint now{1h};
    const TimePoint begin = now;
    const auto value_at = [&](Duration age) { return std::to_string((now - age - begin) / step); };
    for (int i = 0; now < begin + 50min && i < 100'000; ++i, now += step) history.observe(value_at(0s), longest, now);
    now -= step;
    for (const Duration age : {Duration(10 * step), Duration(30s), Duration(2min), Duration(6min)}) {
      const auto lag = history.lag(value_at(age), now);
      ASSERT_TRUE(lag.has_value());
      EXPECT_LE(*lag, age);
      EXPECT_GE(*lag, age - age / 15 - 2 * step) << age / 1ms << " ms, a value each " << step / 1ms << " ms";
    }
    EXPECT_GT(*history.lag("-1", now), std::min<Duration>(longest, now - begin - 1s))
        << "never below what is of interest";
  }
}

TEST(Fitness, ATextThatIsForgottenWhileItIsBehindGoesOnBeingBehind) {
  config::FitnessConfig one = request("/a");
  one.compare.json = "/hash";
  one.compare.max_lag = 30s;
  Endpoint e;
  e.fitness.configure(asked({one}), e.now, e.random);
  const TimePoint begin = e.now;
  int shown = 0;
  const auto change = [&] { e.history.observe("h" + std::to_string(shown++), 40s, e.now); };
  change();
  while (e.now < begin + 10min) {
    e.run(100ms, good("h0"));
    change();
    if (e.now > begin + 45s) {
      ASSERT_EQ(e.fitness.verdict(e.now), Fit::stale) << (e.now - begin) / 1s;
    }
  }
}

TEST(Fitness, ATextThatTheServingTierNeverShowedCountsFromWhenItWasSeen) {
  config::FitnessConfig one = request("/a");
  one.compare.json = "/version";
  one.compare.max_lag = 30s;
  Endpoint e;
  e.history.observe("blue", 1min, e.now);
  e.fitness.configure(asked({one}), e.now, e.random);
  e.run(25s, good("red"));
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::fit);
  e.run(25s, good("red"));
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::stale);
  EXPECT_THAT(e.fitness.reason(e.now), HasSubstr("/version is 'red'"));
  e.run(11s, good("blue"));
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::fit);
  e.serving = true;
  e.run(11s, good("red"));
  EXPECT_EQ(e.fitness.verdict(e.now), Fit::fit) << "what serves is what the others are compared with";
}

}  // namespace
}  // namespace understudy::health
