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
  const auto over = watch.look("app", {498, 0, 505, 3, 340}, kStart + 4s);
  ASSERT_TRUE(over);
  EXPECT_EQ(
      *over,
      "pool 'app': no tunnel is without an endpoint any more, after 3 s and 500 at most; 498 went on with another "
      "one, 2 were closed, 240 messages were at risk");
  EXPECT_FALSE(watch.look("app", {498, 0, 505, 3, 340}, kStart + 5s));
}

TEST(ParkedWatch, AFewOrOneInMoreThanAHundredAreNoNews) {
  ParkedWatch watch;
  EXPECT_FALSE(watch.look("app", {20, 9, 0, 0, 0}, kStart));
  EXPECT_FALSE(watch.look("app", {5000, 49, 0, 0, 0}, kStart));
  EXPECT_TRUE(watch.look("app", {5000, 50, 0, 0, 0}, kStart));
}

}  // namespace
}  // namespace understudy::server
