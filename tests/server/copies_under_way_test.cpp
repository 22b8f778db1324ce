#include "proxy/server/copies_under_way.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace understudy::server {
namespace {

using Dropped = CopiesUnderWay::Dropped;
using health::EndpointId;

std::uint64_t dropped(const CopiesUnderWay& copies, Dropped why) {
  return copies.dropped(static_cast<std::size_t>(why));
}

TEST(CopiesUnderWay, OneEndpointHoldsFewOfThem) {
  CopiesUnderWay copies;
  std::vector<std::shared_ptr<const void>> running;
  for (std::size_t i = 0; i < CopiesUnderWay::most_of_endpoint; ++i) running.push_back(copies.begin({1, 1}));
  for (const auto& one : running) EXPECT_TRUE(one);
  EXPECT_FALSE(copies.begin({1, 1}));
  EXPECT_TRUE(copies.begin({1, 2})) << "another endpoint, though in the same slot";
  EXPECT_EQ(dropped(copies, Dropped::endpoint), 1U);
  running.pop_back();
  EXPECT_TRUE(copies.begin({1, 1}));
  EXPECT_EQ(copies.count(), CopiesUnderWay::most_of_endpoint - 1) << "what nobody holds has ended";
}

TEST(CopiesUnderWay, AreBoundedTogether) {
  CopiesUnderWay copies;
  std::vector<std::shared_ptr<const void>> running;
  for (std::uint32_t i = 0; i < 100; ++i) running.push_back(copies.begin({i, 1}));
  EXPECT_EQ(copies.count(), CopiesUnderWay::most);
  EXPECT_EQ(dropped(copies, Dropped::all), 100 - CopiesUnderWay::most);
  running.clear();
  EXPECT_EQ(copies.count(), 0U);
  copies.drop(Dropped::queue, 3);
  EXPECT_EQ(dropped(copies, Dropped::queue), 3U);
}

TEST(CopiesUnderWay, MayEndAfterTheyAreNoLongerCounted) {
  std::shared_ptr<const void> last;
  {
    CopiesUnderWay copies;
    last = copies.begin({1, 1});
  }
  last.reset();
}

}  // namespace
}  // namespace understudy::server
