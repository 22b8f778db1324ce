#include "proxy/limit/busiest.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace understudy::limit {
namespace {

std::map<std::string, std::uint64_t> all(const Busiest& busiest) {
  std::map<std::string, std::uint64_t> found;
  busiest.each([&found](std::string_view name, std::uint64_t count) { found[std::string(name)] = count; });
  return found;
}

TEST(Busiest, AFewAreCountedExactly) {
  Busiest busiest;
  for (int i = 0; i < 10; ++i) busiest.add(1, "a");
  for (int i = 0; i < 3; ++i) busiest.add(2, "b");
  EXPECT_EQ(all(busiest), (std::map<std::string, std::uint64_t>{{"a", 10}, {"b", 3}}));
  busiest.clear();
  EXPECT_TRUE(all(busiest).empty());
}
TEST(Busiest, AmongThousandsTheBusyOneIsFoundAndNobodyIsBlamedForOthers) {
  Busiest busiest;
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    busiest.add(1'000 + i, "client" + std::to_string(i));
    if (i % 2 == 0) busiest.add(7, "busy");
  }
  auto found = all(busiest);
  EXPECT_LE(found.size(), Busiest::kPlaces);
  EXPECT_GE(found["busy"], 4'000U);
  EXPECT_LE(found["busy"], 5'000U) << "never more than it was";
  found.erase("busy");
  for (const auto& [name, count] : found) EXPECT_LE(count, 1U) << name;
}
TEST(Busiest, LongNamesAreCut) {
  Busiest busiest;
  busiest.add(1, std::string(200, 'x'));
  EXPECT_EQ(all(busiest).begin()->first.size(), Busiest::kLongest);
}

}  // namespace
}  // namespace understudy::limit
