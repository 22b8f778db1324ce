#include "health/weighing.hpp"

#include <gtest/gtest.h>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;

constexpr auto of(Cause cause) { return static_cast<std::size_t>(cause); }

struct Part {
  std::uint64_t good = 0, bad = 0, slow = 0;  // slow ones are good
};
// A sample in which `client` stands out among `others`.
TrafficSample sample(const Part& client, const Part& others, Cause cause = Cause::http_status) {
  TrafficSample result;
  result.successes = client.good + others.good;
  result.failures[of(cause)] = client.bad + others.bad;
  const auto record = [](LatencyCounts& counts, const Part& part) {
    counts.record(10ms, static_cast<std::uint32_t>(part.good - part.slow));
    counts.record(2s, static_cast<std::uint32_t>(part.slow));
  };
  record(result.first_byte, client);
  record(result.first_byte, others);
  result.client.successes = client.good;
  result.client.failures = client.bad;
  record(result.client.first_byte, client);
  return result;
}

TrafficSample weigh(ClientWeighing& weighing, const TrafficSample& seen, TimePoint now, double elsewhere = 0) {
  weighing.observe(seen, 100ms, now);
  return weighing.weigh(seen, elsewhere);
}

TrafficSample weigh_often(const TrafficSample& seen, int times = 20) {
  ClientWeighing weighing;
  TimePoint now{1h};
  TrafficSample result;
  for (int i = 0; i < times; ++i, now += 100ms) result = weigh(weighing, seen, now);
  return result;
}

TEST(Weighing, WhatOnlyOneOfSeveralClientsMeetsIsNoEvidence) {
  const TrafficSample weighed = weigh_often(sample({0, 30}, {20, 0}));
  EXPECT_EQ(weighed.failures[of(Cause::http_status)], 0U);
  EXPECT_EQ(weighed.successes, 20U) << "what the others say stays";
}
TEST(Weighing, AFaultThatAllMeetKeepsItsShare) {
  const TrafficSample weighed = weigh_often(sample({42, 18}, {28, 12}));
  const double bad = static_cast<double>(weighed.failures[of(Cause::http_status)]);
  EXPECT_NEAR(bad / (bad + static_cast<double>(weighed.successes)), 0.3, 0.02);
  EXPECT_EQ(bad, 24) << "the client counts for no more than all the others together";
}
TEST(Weighing, ASingleClientCountsFully) {
  const TrafficSample alone = weigh_often(sample({70, 30}, {}));
  EXPECT_EQ(alone.failures[of(Cause::http_status)], 30U);
  const TrafficSample monitored = weigh_often(sample({70, 30}, {3, 0}));
  EXPECT_EQ(monitored.failures[of(Cause::http_status)], 30U) << "a little besides is not several clients";
}
TEST(Weighing, WhatNoRequestCanBringAboutAlwaysCounts) {
  const TrafficSample weighed = weigh_often(sample({0, 30}, {20, 0}, Cause::tcp_refused));
  EXPECT_EQ(weighed.failures[of(Cause::tcp_refused)], 30U);
}
TEST(Weighing, SlowAnswersToOneClientAreItsOwn) {
  const TrafficSample weighed = weigh_often(sample({30, 0, 30}, {20, 0, 0}));
  EXPECT_EQ(weighed.first_byte.above(1s), 0U);
  EXPECT_EQ(weighed.first_byte.total, 20U);
  const TrafficSample all = weigh_often(sample({30, 0, 30}, {20, 0, 20}));
  EXPECT_EQ(all.first_byte.above(1s), 40U);
}
TEST(Weighing, TheOthersFailuresCountAtOnceWhenAFaultBegins) {
  ClientWeighing weighing;
  TimePoint now{1h};
  for (int i = 0; i < 600; ++i, now += 100ms) weigh(weighing, sample({20, 0}, {20, 0}), now);
  const TrafficSample first = weigh(weighing, sample({0, 20}, {0, 20}), now);
  EXPECT_EQ(first.failures[of(Cause::http_status)], 40U);
}

TEST(Weighing, WhoWasAloneBeforeItFailedIsNotTakenForSeveral) {
  ClientWeighing weighing;
  TimePoint now{1h};
  TrafficSample well = sample({}, {30, 0});  // nothing was bad yet, so nobody holds the place of the client
  well.busiest = {7, 30};
  for (int i = 0; i < 100; ++i, now += 100ms) weigh(weighing, well, now);
  TrafficSample failing = sample({0, 30}, {});
  failing.client.id = 7;
  failing.busiest = {7, 30};
  EXPECT_EQ(weigh(weighing, failing, now).failures[of(Cause::http_status)], 30U);
}
TEST(Weighing, ARepetitionElsewhereIsNoEvidenceThereWhileOthersAreServed) {
  ClientWeighing weighing;
  TimePoint now{1h};
  TrafficSample repeated = sample({0, 3}, {});
  repeated.client.id = 7;
  repeated.busiest = {7, 3};
  EXPECT_EQ(weigh(weighing, repeated, now, 200).failures[of(Cause::http_status)], 0U);
  EXPECT_EQ(weigh(weighing, repeated, now, 0).failures[of(Cause::http_status)], 3U) << "nobody else asks this pool";
}

}  // namespace
}  // namespace understudy::health
