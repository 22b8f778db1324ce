#include "health/ejector.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;

config::PassiveConfig policy() {
  config::PassiveConfig result;
  result.base_ejection = 10s;
  result.max_ejection = 300s;
  return result;
}

TrafficSample failures(Cause cause, std::uint64_t count, std::uint32_t consecutive, std::uint64_t successes = 0) {
  TrafficSample sample;
  sample.failures[static_cast<std::size_t>(cause)] = count;
  sample.consecutive_failures = consecutive;
  sample.successes = successes;
  return sample;
}

TEST(EjectionTime, DoublesUpToItsMaximum) {
  const std::vector<Duration> expected{10s, 20s, 40s, 80s, 160s, 300s, 300s};
  for (std::uint32_t i = 0; i < expected.size(); ++i) EXPECT_EQ(ejection_time(policy(), i), expected[i]) << i;
  EXPECT_EQ(ejection_time(policy(), 4'000'000'000U), 300s);
}

TEST(EjectionTime, ABaseAboveTheMaximumIsTheMaximum) {
  config::PassiveConfig odd = policy();
  odd.base_ejection = 1h;
  EXPECT_EQ(ejection_time(odd, 0), 300s);
}

TEST(MayEject, KeepsTheShareAndTheLastAvailableOne) {
  struct Case {
    double share;
    std::size_t size, ejected, others;
    bool may;
  };
  const std::vector<Case> cases{
      {0.5, 1, 0, 0, false}, {0.5, 2, 0, 1, true},  {0.5, 2, 1, 0, false}, {0.5, 4, 1, 2, true},
      {0.5, 4, 2, 1, false}, {0.5, 3, 1, 1, false}, {1.0, 4, 2, 1, true},  {1.0, 4, 3, 0, false},
      {0.0, 4, 0, 3, false}, {0.1, 4, 0, 3, true},  {0.1, 4, 1, 2, false},
  };
  for (const Case& c : cases) {
    config::PassiveConfig p = policy();
    p.max_ejected = c.share;
    EXPECT_EQ(may_eject(p, c.size, c.ejected, c.others), c.may)
        << c.share << " of " << c.size << ", " << c.ejected << " out, " << c.others << " others in";
  }
}

TEST(Ejector, CountsFailuresInARowOverSamples) {
  Ejector ejector;
  EXPECT_EQ(ejector.observe(failures(Cause::http_status, 3, 3)).failures, 3U);
  const Evidence evidence = ejector.observe(failures(Cause::tcp_refused, 2, 5));
  EXPECT_EQ(evidence.failures, 5U);
  EXPECT_EQ(evidence.connections, 2U);
  EXPECT_EQ(ejector.observe(failures(Cause::http_status, 1, 1, 1)).failures, 1U) << "a success was in between";
}

TEST(Ejector, OwnErrorsAreNoEvidence) {
  Ejector ejector;
  EXPECT_EQ(ejector.observe(failures(Cause::own_error, 10, 10)).failures, 0U);
  TrafficSample mixed = failures(Cause::own_error, 4, 16);
  mixed.failures[static_cast<std::size_t>(Cause::tcp_refused)] = 2;
  EXPECT_EQ(ejector.observe(mixed).failures, 2U);
}

TEST(Ejector, ABareCountIsBelieved) {
  Ejector ejector;
  TrafficSample bare;
  bare.consecutive_failures = 5;
  EXPECT_EQ(ejector.observe(bare).failures, 5U);
  EXPECT_EQ(ejector.observe(bare).failures, 5U) << "the same news twice is one";
}

TEST(Ejector, AfterReturningTheOldFailuresCountNoMore) {
  Ejector ejector;
  const TimePoint now{1h};
  ejector.observe(failures(Cause::http_status, 7, 7));
  ejector.eject(policy(), now);
  EXPECT_EQ(ejector.until(), now + 10s);
  ejector.readmit(now + 10s);
  EXPECT_EQ(ejector.observe(failures(Cause::http_status, 1, 8)).failures, 1U);
  EXPECT_EQ(ejector.observe(failures(Cause::http_status, 4, 12)).failures, 5U);
}

TEST(Ejector, TimesGrowWithRepetitionAndShrinkWithGoodTime) {
  Ejector ejector;
  TimePoint now{1h};
  for (const Duration expected : {10s, 20s, 40s}) {
    ejector.eject(policy(), now);
    EXPECT_EQ(*ejector.until() - now, expected);
    now = *ejector.until();
    ejector.readmit(now);
  }
  EXPECT_EQ(ejector.ejections(policy(), now), 3U);
  now += 2 * ejection_good_time(policy());
  EXPECT_EQ(ejector.ejections(policy(), now), 1U);
  ejector.eject(policy(), now);
  EXPECT_EQ(*ejector.until() - now, 20s);
  ejector.readmit(now);
  EXPECT_EQ(ejector.ejections(policy(), now + 1h), 0U);
}

TEST(Ejector, ARevokedEjectionNeverWas) {
  Ejector ejector;
  const TimePoint now{1h};
  ejector.eject(policy(), now);
  ejector.revoke();
  EXPECT_FALSE(ejector.until());
  EXPECT_EQ(ejector.ejections(policy(), now), 0U);
}

TEST(Ejector, ASuspectThatIsEjectedCountsOnce) {
  Ejector ejector;
  const TimePoint now{1h};
  ejector.suspect(policy(), now);
  EXPECT_TRUE(ejector.suspected());
  ejector.eject(policy(), now + 1s);
  EXPECT_TRUE(ejector.ejected());
  EXPECT_EQ(ejector.ejections(policy(), now), 1U);
  EXPECT_EQ(*ejector.until(), now + 11s);
}

TEST(Ejector, DisregardedSamplesAreTheNewZero) {
  Ejector ejector;
  ejector.observe(failures(Cause::http_timeout, 2, 2));
  ejector.disregard(failures(Cause::http_timeout, 40, 42));
  EXPECT_EQ(ejector.observe(failures(Cause::http_timeout, 3, 45)).failures, 3U);
  EXPECT_EQ(ejector.observe(failures(Cause::http_timeout, 2, 2, 5)).failures, 2U);
}

}  // namespace
}  // namespace understudy::health
