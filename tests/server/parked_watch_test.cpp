#include "proxy/server/parked_watch.hpp"

#include <gtest/gtest.h>

namespace understudy::server {
namespace {

using namespace std::chrono_literals;
const health::TimePoint kStart{1h};

TEST(ParkedWatch, TellsOnceThatManyAreParkedAndOnceHowThatEnded) {
  ParkedWatch watch;
  EXPECT_FALSE(watch.look("app", {500, 0, 7, 1, 100}, kStart));
  const auto begun = watch.look("app", {500, 500, 7, 1, 340}, kStart + 1s);
  ASSERT_TRUE(begun);
  EXPECT_EQ(*begun, "pool 'app': 500 of 500 tunnels have no endpoint and look for one");
  EXPECT_EQ(watch.since(), kStart + 1s);
  EXPECT_FALSE(watch.look("app", {500, 200, 307, 1, 340}, kStart + 2s));
  EXPECT_FALSE(watch.look("app", {498, 0, 505, 3, 340}, kStart + 4s));
  const auto over = watch.look("app", {498, 0, 505, 3, 340}, kStart + 5s);
  ASSERT_TRUE(over);
  EXPECT_EQ(
      *over,
      "pool 'app': no tunnel is without an endpoint any more, after 3 s and 500 at most; 498 went on with another "
      "one, 2 were closed, 240 messages were at risk");
  EXPECT_FALSE(watch.look("app", {498, 0, 505, 3, 340}, kStart + 6s));
}

TEST(ParkedWatch, TellsOfThoseThatFoundAnotherOneAtOnce) {
  ParkedWatch watch;
  EXPECT_FALSE(watch.look("app", {100, 0, 40, 2, 9}, kStart));
  const auto begun = watch.look("app", {100, 0, 140, 2, 15}, kStart + 250ms);
  ASSERT_TRUE(begun);
  EXPECT_EQ(*begun, "pool 'app': 100 tunnels lost their endpoint within 2 s; 0 of 100 look for another one");
  EXPECT_FALSE(watch.look("app", {100, 0, 140, 2, 15}, kStart + 500ms));
  const auto over = watch.look("app", {100, 0, 140, 2, 15}, kStart + 1500ms);
  ASSERT_TRUE(over);
  EXPECT_EQ(*over,
            "pool 'app': no tunnel is without an endpoint any more, after 1 s and 0 at most; 100 went on with another "
            "one, 0 were closed, 6 messages were at risk");
  EXPECT_FALSE(watch.look("app", {100, 0, 140, 2, 15}, kStart + 2s));
}

TEST(ParkedWatch, WhoLeavesAtAPaceIsOneStory) {
  ParkedWatch watch;
  std::uint64_t resumed = 0;
  int told = 0;
  for (int look = 0; look < 120; ++look) {
    told += watch.look("app", {1000, 1, resumed, 0, 0}, kStart + look * 250ms).has_value();
    resumed += 8;
  }
  EXPECT_EQ(told, 1) << "begun, and never over";
  EXPECT_FALSE(watch.look("app", {1000, 0, resumed, 0, 0}, kStart + 30s));
  EXPECT_TRUE(watch.look("app", {1000, 0, resumed, 0, 0}, kStart + 31s));
}

TEST(ParkedWatch, ATrickleIsNoNews) {
  ParkedWatch watch;
  for (int look = 0; look < 400; ++look)
    EXPECT_FALSE(watch.look("app", {100, 0, static_cast<std::uint64_t>(look), 0, 0}, kStart + look * 250ms)) << look;
}

TEST(ParkedWatch, AFewOrOneInMoreThanAHundredAreNoNews) {
  ParkedWatch watch;
  EXPECT_FALSE(watch.look("app", {20, 9, 0, 0, 0}, kStart));
  EXPECT_FALSE(watch.look("app", {5000, 49, 0, 0, 0}, kStart));
  EXPECT_TRUE(watch.look("app", {5000, 50, 0, 0, 0}, kStart));
}

}  // namespace
}  // namespace understudy::server
