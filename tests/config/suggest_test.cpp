#include "config/suggest.hpp"

#include <gtest/gtest.h>

namespace understudy::config {
namespace {

TEST(EditDistance, CountsASwapAsOneStep) {
  EXPECT_EQ(edit_distance("weight", "weight", 2), 0U);
  EXPECT_EQ(edit_distance("wieght", "weight", 2), 1U);
  EXPECT_EQ(edit_distance("weigt", "weight", 2), 1U);
  EXPECT_EQ(edit_distance("weightt", "weight", 2), 1U);
  EXPECT_EQ(edit_distance("waight", "weight", 2), 1U);
  EXPECT_EQ(edit_distance("wgt", "weight", 3), 3U);
  EXPECT_EQ(edit_distance("", "ab", 2), 2U);
}

TEST(EditDistance, GivesUpAboveItsLimit) {
  EXPECT_EQ(edit_distance("abcdef", "uvwxyz", 2), 3U);
  EXPECT_EQ(edit_distance("a", "abcdefgh", 2), 3U);
  EXPECT_EQ(edit_distance(std::string(100'000, 'a'), std::string(100, 'a'), 2), 3U);
}

TEST(Nearest, PrefersTheLeastDistance) {
  EXPECT_EQ(nearest("primry", {"standby", "primary", "primer"}), "primary");
  EXPECT_EQ(nearest("timeuot", {"interval", "timeout"}), "timeout");
}

TEST(Nearest, IsStrictWithShortWords) {
  EXPECT_EQ(nearest("port", {"path"}), std::nullopt);
  EXPECT_EQ(nearest("pth", {"path"}), "path");
}

TEST(Nearest, TakesABeginning) {
  EXPECT_EQ(nearest("max_conn", {"max_connections_per_ip", "max_connections", "workers"}), "max_connections");
  EXPECT_EQ(nearest("interval_seconds", {"interval"}), "interval");
  EXPECT_EQ(nearest("max", {"max_connections"}), std::nullopt) << "three letters say too little";
}

TEST(Nearest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest("xylophone", {"path", "host"}), std::nullopt);
  EXPECT_EQ(nearest("x", {}), std::nullopt);
}

}  // namespace
}  // namespace understudy::config
