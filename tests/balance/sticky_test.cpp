#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/balance/tier.hpp"

namespace understudy::balance::testing {
namespace {

std::string written(std::uint64_t token) {
  std::string out(16, '?');
  write_sticky(out.data(), token);
  return out;
}

TEST(Sticky, TokensAreSixteenHexDigitsAndReadBack) {
  for (const std::uint64_t token :
       {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}, std::uint64_t{0x0123456789abcdef}}) {
    EXPECT_EQ(parse_sticky(written(token)), token);
  }
  EXPECT_EQ(written(0x0123456789abcdef), "0123456789abcdef");
  for (const char* bad : {"", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg",
                          " 123456789abcdef", "0x23456789abcdef", "-123456789abcdef"}) {
    EXPECT_FALSE(parse_sticky(bad).has_value()) << bad;
  }
}

TEST(Sticky, ATokenNamesPoolLabelAndAddressAndNothingElse) {
  health::EndpointView endpoint = tier_of(1).endpoints[0];
  const auto token = sticky_token("app", endpoint);
  EXPECT_EQ(written(token), written(sticky_token("app", endpoint)));
  auto same = endpoint;
  same.id = {77, 9};
  same.weight = 5;
  same.available = false;
  EXPECT_EQ(sticky_token("app", same), token);
  std::set<std::uint64_t> others = {token, sticky_token("apb", endpoint)};
  auto other = endpoint;
  other.label = "e1";
  others.insert(sticky_token("app", other));
  other = endpoint;
  other.address.port = 81;
  others.insert(sticky_token("app", other));
  other = endpoint;
  other.address.ip[3] = 9;
  others.insert(sticky_token("app", other));
  other = endpoint;  // the same letters, divided otherwise
  other.label = "0";
  others.insert(sticky_token("appe", other));
  EXPECT_EQ(others.size(), 6U);
}

// A cookie is kept by browsers over our restarts and upgrades: the value is part of the product.
TEST(Sticky, TheValueDoesNotChangeBetweenReleases) {
  health::EndpointView endpoint;
  endpoint.label = "10.0.0.11:3000";
  endpoint.address.family = config::SocketAddress::Family::v4;
  endpoint.address.ip = {10, 0, 0, 11};
  endpoint.address.port = 3000;
  EXPECT_EQ(written(sticky_token("app", endpoint)), "18fcfc4116f8f891");
}

TEST(Sticky, FindsTheEndpointWhileItMayTakeTheClient) {
  health::TierView tier = tier_of(3);
  const auto token = sticky_token("app", tier.endpoints[1]);
  const auto find = [&](std::span<const health::EndpointId> excluded = {}) {
    return find_sticky(tier, "app", token, excluded);
  };
  EXPECT_EQ(find(), 1U);
  set_usable(tier, {0, 2});  // draining endpoints are not usable, yet keep their clients
  tier.endpoints[1].available = false;
  EXPECT_FALSE(find().has_value());
  tier.endpoints[1].draining = true;
  EXPECT_EQ(find(), 1U);
  const std::vector<health::EndpointId> tried = {tier.endpoints[1].id};
  EXPECT_FALSE(find(tried).has_value());
  tier.endpoints[1].unhealthy = true;  // dead while draining: better another than none
  EXPECT_FALSE(find().has_value());
  tier.endpoints[1].unhealthy = false;
  tier.endpoints[1].disabled = true;
  EXPECT_FALSE(find().has_value());
  EXPECT_FALSE(find_sticky(tier, "other", token, {}).has_value());
  EXPECT_FALSE(find_sticky(tier, "app", token + 1, {}).has_value());
}

}  // namespace
}  // namespace understudy::balance::testing
