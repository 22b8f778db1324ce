// What copies of real requests prove of a standby.
#include "health/mirror.hpp"

#include <gmock/gmock.h>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct Copies : ::testing::Test {
  void add(int count, std::uint16_t ours, std::uint16_t theirs, Duration took = 5ms) {
    ProbeResult result;
    result.status = theirs;
    result.elapsed = took;
    for (int i = 0; i < count; ++i) watch.add({ours, 5ms}, result, limits, now += 100ms);
  }
  void silent(int count) {
    ProbeResult result;
    result.cause = Cause::http_timeout;
    result.elapsed = 2s;
    result.detail = "no answer within 2 s";
    for (int i = 0; i < count; ++i) watch.add({200, 5ms}, result, limits, now += 100ms);
  }
  Fit verdict() const { return watch.verdict(now); }

  MirrorWatch watch;
  config::DegradedConfig limits;
  TimePoint now{1h};
};

TEST_F(Copies, FewTellNothing) {
  add(19, 200, 500);
  EXPECT_EQ(verdict(), Fit::unknown);
  EXPECT_EQ(watch.describe(), "");
}

TEST_F(Copies, TheSameAnswersProveFitness) {
  add(20, 200, 204);
  add(20, 404, 410);  // what the client gets is what it would get
  add(20, 301, 302);
  EXPECT_EQ(verdict(), Fit::fit);
  EXPECT_EQ(watch.total(), 60U);
  EXPECT_EQ(watch.different(), 0U);
}

TEST_F(Copies, OtherAnswersSpeakAgainstIt) {
  add(57, 200, 200);
  add(2, 200, 404);
  EXPECT_EQ(verdict(), Fit::fit);  // 3 %
  add(4, 200, 404);
  EXPECT_EQ(verdict(), Fit::unfit);
  EXPECT_THAT(watch.describe(), HasSubstr("answered 404 where 200 was right"));
  limits.error_rate = 0.3;
  add(1, 200, 200);
  EXPECT_EQ(verdict(), Fit::fit) << "new limits count from the next copy on";
}

TEST_F(Copies, NoAnswerIsADifference) {
  add(30, 200, 200);
  silent(5);
  EXPECT_EQ(verdict(), Fit::unfit);
  EXPECT_THAT(watch.describe(), HasSubstr("no answer within 2 s"));
}

TEST_F(Copies, OurOwnTroubleIsNone) {
  ProbeResult result;
  result.cause = Cause::own_error;
  for (int i = 0; i < 100; ++i) watch.add({200, 5ms}, result, limits, now);
  EXPECT_EQ(verdict(), Fit::unknown);
  EXPECT_EQ(watch.total(), 0U);
}

TEST_F(Copies, ASlowStandbyIsNotFit) {
  add(40, 200, 200, 60ms);  // 3 x 5 ms + 50 ms
  EXPECT_EQ(verdict(), Fit::fit);
  limits.latency_p95 = std::chrono::milliseconds(40);
  add(3, 200, 200, 60ms);
  EXPECT_EQ(verdict(), Fit::unfit);
  limits.latency_p95.reset();
  add(1, 200, 200, 60ms);
  EXPECT_EQ(verdict(), Fit::unfit) << "60 of 65 ms is too near to the limit";
  add(40, 200, 200, 200ms);
  EXPECT_EQ(verdict(), Fit::unfit);
}

TEST_F(Copies, TwoThatDifferAreNoVerdictWhateverTheLimit) {
  limits.error_rate = 0.02;
  add(20, 200, 200);
  add(2, 200, 404);
  EXPECT_EQ(verdict(), Fit::fit) << "9 %, but of two";
  add(1, 200, 404);
  EXPECT_EQ(verdict(), Fit::unfit);
}

TEST_F(Copies, TwoLateOnesAreNoVerdict) {
  add(20, 200, 200);
  add(2, 200, 200, 900ms);
  EXPECT_EQ(verdict(), Fit::fit);
  add(1, 200, 200, 900ms);
  EXPECT_EQ(verdict(), Fit::unfit);
}

TEST_F(Copies, AVerdictIsLeftAtHalfTheLimit) {
  limits.error_rate = 0.1;
  add(40, 200, 200);
  add(6, 200, 500);
  ASSERT_EQ(verdict(), Fit::unfit);
  add(40, 200, 200);
  EXPECT_EQ(verdict(), Fit::unfit) << "7 % is below the limit, and no proof";
  add(50, 200, 200);
  EXPECT_EQ(verdict(), Fit::fit);
  add(3, 200, 500);
  EXPECT_EQ(verdict(), Fit::fit) << "6 %";
}

TEST_F(Copies, ItRecoversAndForgets) {
  add(60, 200, 500);
  EXPECT_EQ(verdict(), Fit::unfit);
  for (int i = 0; i < 12 && verdict() == Fit::unfit; ++i) {
    now += 1min;
    add(30, 200, 200);
  }
  EXPECT_EQ(verdict(), Fit::fit);
  now += 11min;
  EXPECT_EQ(verdict(), Fit::unknown);
}

}  // namespace
}  // namespace understudy::health
