// What is at risk with an endpoint, what may be passed on of it, and when the next one is tried.
#include "proxy/exchange/parking.hpp"

#include <gtest/gtest.h>

#include <string>

#include "proxy/exchange/endpoint_frames.hpp"
#include "proxy/exchange/risk_window.hpp"
#include "tests/exchange/frame_oracle.hpp"

namespace understudy::exchange {
namespace {

using namespace std::chrono_literals;
using oracle::frame;
using Phase = Parking::Phase;

const Parking::TimePoint kStart{1h};

TEST(Parking, TriesAtOnceThenEverMoreSlowlyAndGivesUpInTime) {
  Parking parking;
  parking.lost(10s, kStart);
  auto now = kStart;
  int attempts = 0;
  Parking::Duration longest{0};
  while (!parking.late(now)) {
    ASSERT_TRUE(parking.parked());
    if (parking.due(now)) {
      parking.begun(now);
      EXPECT_EQ(parking.attempt(), static_cast<std::uint32_t>(++attempts));
      EXPECT_FALSE(parking.due(now));
      parking.failed(0.5, now);
      EXPECT_EQ(parking.due(now), attempts == 1);  // another endpoint
    }
    longest = std::max(longest, parking.next_deadline() - now);
    now = std::max(now + 1ms, parking.next_deadline());
  }
  EXPECT_EQ(now, kStart + 10s);
  EXPECT_GT(attempts, 8);
  EXPECT_LT(attempts, 20);
  EXPECT_LE(longest, 1s);
}

TEST(Parking, ManyThatFailTogetherDoNotComeTogether) {
  Parking early, late;
  for (Parking* parking : {&early, &late}) {
    parking->lost(10s, kStart);
    parking->begun(kStart);
    parking->failed(0, kStart);
    parking->begun(kStart);
  }
  early.failed(0, kStart);
  late.failed(0.999, kStart);
  EXPECT_GE(late.next_deadline() - early.next_deadline(), 90ms);
}

TEST(Parking, WithoutAnEndpointItLooksAgainSoonAndAtOnceWhenThereIsNews) {
  Parking parking;
  parking.lost(10s, kStart);
  parking.begun(kStart);
  parking.nobody(0.5, kStart);
  EXPECT_FALSE(parking.due(kStart + 100ms));
  EXPECT_TRUE(parking.due(kStart + 500ms));
  parking.look(kStart + 300ms);
  EXPECT_TRUE(parking.due(kStart + 300ms));
  parking.begun(kStart + 300ms);
  EXPECT_EQ(parking.attempt(), 1U);  // nobody was asked before
  parking.failed(0.5, kStart + 300ms);
  parking.begun(kStart + 300ms);
  parking.failed(0.5, kStart + 300ms);
  parking.look(kStart + 301ms);
  EXPECT_FALSE(parking.due(kStart + 301ms));  // not a storm of news
}

TEST(Parking, AnEndpointThatDropsWhatItTookDoesNotKeepItForEver) {
  Parking parking;
  auto now = kStart;
  int attempts = 0;
  parking.lost(5s, now);
  while (!parking.late(now)) {
    if (parking.due(now)) {
      parking.begun(now);
      ++attempts;
      parking.opened(now);
      EXPECT_EQ(parking.next_deadline(), Parking::TimePoint::max());
      now += 10ms;
      parking.lost(5s, now);
    }
    now = std::max(now + 1ms, parking.next_deadline());
  }
  EXPECT_LT(now, kStart + 5s + 20ms);
  EXPECT_LT(attempts, 20);
  parking.opened(now);
  now += Parking::kSteady;
  parking.lost(5s, now);  // it held
  EXPECT_TRUE(parking.due(now));
  EXPECT_EQ(parking.deadline(), now + 5s);
}

// ---- what is at risk -----------------------------------------------------------------------------------------------

TEST(RiskWindow, HoldsWhatWasPassedOnInTheLastSecondAndNotMuchMore) {
  RiskWindow risk;
  auto now = kStart;
  for (int i = 0; i < 100; ++i) {  // one in 50 ms
    now += 50ms;
    risk.add(1, 100, now, now);
  }
  const auto at_risk = risk.at_risk(0, now, now);
  EXPECT_GE(at_risk, 20U);
  EXPECT_LE(at_risk, 24U);
  EXPECT_GE(risk.at_risk(0, now, now + 999ms), 1U);
  EXPECT_EQ(risk.at_risk(0, now + 2s, now + 2s), 0U);
}

TEST(RiskWindow, CountsAllSinceASecondBeforeTheEndpointWasLastHeardOf) {
  RiskWindow risk;
  auto now = kStart;
  const auto frozen = kStart + 2s;
  for (int i = 0; i < 100; ++i) {
    now += 50ms;
    risk.add(1, 100, std::min(now, frozen), now);
  }
  const auto at_risk = risk.at_risk(0, frozen, now);  // 3 s without a sign of life, and the second before
  EXPECT_GE(at_risk, 80U);
  EXPECT_LE(at_risk, 86U);
  // It lives after all.
  EXPECT_LE(risk.at_risk(0, now, now), 24U);
}

TEST(RiskWindow, CountsWhatItsMachineHasNotAcknowledged) {
  RiskWindow risk;
  for (int i = 0; i < 10; ++i) risk.add(1, 100, kStart, kStart);
  const auto now = kStart + 5s;
  EXPECT_EQ(risk.at_risk(0, now, now), 0U);
  EXPECT_EQ(risk.at_risk(250, now, now), 3U);
  EXPECT_EQ(risk.at_risk(1'000'000, now, now), 10U);
  risk.reset();
  EXPECT_EQ(risk.at_risk(1'000'000, now, now), 0U);
}

// ---- what may be passed on -----------------------------------------------------------------------------------------

TEST(EndpointFrames, WholeFramesOnlyWhateverTheCut) {
  const std::string a = frame({.opcode = 1, .size = 5}), b = frame({.opcode = 2, .size = 300}),
                    c = frame({.opcode = 9});
  const std::string all = a + b + c;
  for (std::size_t size = 0; size <= all.size(); ++size) {
    const std::size_t want = size < a.size()              ? 0
                             : size < a.size() + b.size() ? a.size()
                             : size < all.size()          ? a.size() + b.size()
                                                          : all.size();
    EXPECT_EQ(look_at_frames(std::string_view(all).substr(0, size), 0, 1000).pass, want) << size;
  }
}

TEST(EndpointFrames, ALargeOneIsNotWaitedForAndThenPassesToItsEnd) {
  const std::string big = frame({.opcode = 2, .size = 5000}), next = frame({.opcode = 1, .size = 20});
  const std::string_view head = std::string_view(big).substr(0, 1000);
  EXPECT_EQ(look_at_frames(head, 0, 4000).pass, 1000U);
  EXPECT_EQ(look_at_frames(head, 0, 6000).pass, 0U);
  const std::string rest = big.substr(1000) + next.substr(0, 10);
  EXPECT_EQ(look_at_frames(rest, big.size() - 1000, 4000).pass, big.size() - 1000);
  EXPECT_EQ(look_at_frames(rest.substr(0, 50), big.size() - 1000, 4000).pass, 50U);
}

TEST(EndpointFrames, SeesPongsAndStopsBeforeAClose) {
  const std::string pong = frame({.opcode = 10, .size = 3});
  const std::string close = frame({.opcode = 8}, std::string("\x03\xe9", 2) + "bye");
  auto seen = look_at_frames(pong + close, 0, 1000);
  EXPECT_TRUE(seen.pong);
  EXPECT_TRUE(seen.close);
  EXPECT_EQ(seen.close_code, 1001);
  EXPECT_EQ(seen.pass, pong.size());
  EXPECT_FALSE(look_at_frames(close.substr(0, close.size() - 1), 0, 1000).close);
  seen = look_at_frames(frame({.opcode = 8}), 0, 1000);
  EXPECT_TRUE(seen.close);
  EXPECT_EQ(seen.close_code, 0);
  EXPECT_TRUE(leaves_with(1012));
  EXPECT_FALSE(leaves_with(1000));
}

}  // namespace
}  // namespace understudy::exchange
