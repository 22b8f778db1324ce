#include "proxy/limit/busiest.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace understudy::limit {
namespace {

std::map<std::string, std::uint64_t> all(const Busiest& busiest) {
  std::map<std::string, std::uint64_t> found;
  busiest.each([&found](const std::string& name, std::uint64_t count) { found[name] = count; });
  return found;
}

void add(Busiest& busiest, const config::SocketAddress& client) { busiest.add(client_number(client, 5), client); }
void add(Busiest& busiest, std::string_view client) { add(busiest, config::parse_ip(client).value()); }

TEST(Busiest, AFewAreCountedExactly) {
  Busiest busiest;
  for (int i = 0; i < 10; ++i) add(busiest, "203.0.113.7");
  for (int i = 0; i < 3; ++i) add(busiest, "203.0.113.8");
  EXPECT_EQ(all(busiest), (std::map<std::string, std::uint64_t>{{"203.0.113.7", 10}, {"203.0.113.8", 3}}));
  busiest.clear();
  EXPECT_TRUE(all(busiest).empty());
}
TEST(Busiest, AmongThousandsTheBusyOneIsFoundAndNobodyIsBlamedForOthers) {
  Busiest busiest;
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    add(busiest, "10.0." + std::to_string(i / 200) + "." + std::to_string(i % 200));
    if (i % 2 == 0) add(busiest, "203.0.113.7");
  }
  auto found = all(busiest);
  EXPECT_LE(found.size(), Busiest::kPlaces);
  EXPECT_GE(found["203.0.113.7"], 4'000U);
  EXPECT_LE(found["203.0.113.7"], 5'000U) << "never more than it was";
  found.erase("203.0.113.7");
  for (const auto& [name, count] : found) EXPECT_LE(count, 1U) << name;
}
TEST(Busiest, WhatCountsAsOneClientHasOneName) {
  Busiest busiest;
  for (int i = 1; i <= 9; ++i) add(busiest, "2001:db8::" + std::to_string(i) + ":1");
  add(busiest, "2001:db8:0:1::1");
  add(busiest, "::ffff:203.0.113.7");
  add(busiest, "203.0.113.7");
  config::SocketAddress local;
  local.family = config::SocketAddress::Family::unix_path;
  add(busiest, local);
  EXPECT_EQ(all(busiest), (std::map<std::string, std::uint64_t>{
                              {"2001:db8::/64", 9}, {"2001:db8:0:1::/64", 1}, {"203.0.113.7", 2}, {"unix:", 1}}));
}

}  // namespace
}  // namespace understudy::limit
