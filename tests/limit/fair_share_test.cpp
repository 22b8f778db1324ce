#include "proxy/limit/fair_share.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace understudy::limit {
namespace {

using namespace std::chrono_literals;
using TimePoint = FairShare::TimePoint;

constexpr TimePoint kStart{1h};

Asked by(std::uint64_t client, unsigned requests) {
  Asked out;
  for (unsigned i = 0; i < requests; ++i) out.add(client);
  return out;
}

TEST(FairShare, WhoTookNothingYetHasAllThatIsLeft) {
  FairShare share;
  share.asked(by(1, 100), kStart);
  share.asked(by(2, 100), kStart);
  for (int i = 0; i < 50; ++i) share.took(1, kStart);
  EXPECT_EQ(share.kept_from(2, kStart), 0);
  EXPECT_EQ(share.kept_from(3, kStart), 0);
}

TEST(FairShare, AsMuchIsKeptAsTheClientTookOfLate) {
  FairShare share;
  share.asked(by(1, 50), kStart);
  share.asked(by(2, 200), kStart);
  for (int i = 1; i <= 20; ++i) {
    share.took(1, kStart);
    EXPECT_NEAR(share.kept_from(1, kStart), i, 1e-9);
  }
  EXPECT_NEAR(share.kept_from(1, kStart + 3500ms), 10, 1e-9);
  EXPECT_LT(share.kept_from(1, kStart + 60s), 0.01);
}

TEST(FairShare, NoMoreIsKeptThanTheOthersAsked) {
  FairShare share;
  share.asked(by(1, 64), kStart);
  share.asked(by(2, 3), kStart);
  for (int i = 0; i < 50; ++i) share.took(1, kStart);
  EXPECT_NEAR(share.kept_from(1, kStart), 3, 1e-9);
  // A rare visitor is worth a whole token for as long as it is remembered.
  EXPECT_EQ(share.kept_from(1, kStart + 4s), 3);
  for (int i = 0; i < 50; ++i) share.took(1, kStart + 60s);
  EXPECT_EQ(share.kept_from(1, kStart + 60s), 1);
}

TEST(FairShare, FromWhoIsAloneNothingIsKept) {
  FairShare share;
  for (int second = 0; second < 100; ++second) {
    const TimePoint now = kStart + second * 1s;
    share.asked(by(1, 64), now);
    share.took(1, now);
    ASSERT_EQ(share.kept_from(1, now), 0) << second;
  }
}

TEST(FairShare, OthersThatLeftAreForgotten) {
  FairShare share;
  share.asked(by(2, 1'000), kStart);
  for (int second = 0; second < 300; ++second) {
    const TimePoint now = kStart + second * 1s;
    share.asked(by(1, 64), now);
    share.took(1, now);
    if (second == 10) {
      EXPECT_GT(share.kept_from(1, now), 4);
    }
  }
  EXPECT_EQ(share.kept_from(1, kStart + 300s), 0);
}

TEST(FairShare, WhoAsksTenTimesAsMuchAsAllOthersIsNotAlone) {
  FairShare share;
  for (int i = 0; i < 100; ++i) {
    Asked mixed;
    for (unsigned n = 0; n < 64; ++n) mixed.add(n % 11 == 5 ? 100 + n : 1);
    share.asked(mixed, kStart + i * 100ms);
  }
  const TimePoint now = kStart + 10s;
  for (int i = 0; i < 200; ++i) share.took(1, now);
  EXPECT_NEAR(share.kept_from(1, now), 200, 1e-9);
}

TEST(FairShare, TheManyWhoTakeOnceDoNotHideTheOneThatTakesOften) {
  FairShare share;
  share.asked(by(2, 1'000), kStart);
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    share.took(1'000 + i, kStart + i * 1ms);
    if (i % 8 == 0) share.took(7, kStart + i * 1ms);
  }
  EXPECT_GT(share.kept_from(7, kStart + 1s), 100);
  EXPECT_LE(share.kept_from(1'999, kStart + 1s), 1);
}

TEST(FairShare, TimeThatRunsBackChangesNothing) {
  FairShare share;
  share.asked(by(2, 100), kStart);
  for (int i = 0; i < 10; ++i) share.took(1, kStart);
  EXPECT_NEAR(share.kept_from(1, kStart - 1h), 10, 1e-9);
}

TEST(Asked, NamesWhoSentMostOfThem) {
  Asked mixed;
  for (std::uint64_t i = 0; i < 30; ++i) {
    mixed.add(100 + i);
    mixed.add(1);
    mixed.add(1);
  }
  EXPECT_EQ(mixed.requests(), 90U);
  EXPECT_EQ(mixed.client(), 1U);
  EXPECT_LE(mixed.of_client(), 60U) << "never more than it was";
  EXPECT_GE(mixed.of_client(), 55U);
}

}  // namespace
}  // namespace understudy::limit
