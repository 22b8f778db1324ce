#include "proxy/route/route_table.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "proxy/route/host_name.hpp"
#include "tests/route/naive_route.hpp"
#include "tests/route/route_request.hpp"

namespace understudy::route::testing {
namespace {

std::string host_key(std::string_view authority) {
  HostBuffer buffer;
  return std::string(normalise_host(authority, buffer));
}

TEST(HostName, PortCaseAndTrailingDotDoNotCount) {
  for (const char* spelling :
       {"example.org", "EXAMPLE.org", "example.org:80", "Example.Org.:8443", "example.org.", "example.org:"}) {
    EXPECT_EQ(host_key(spelling), "example.org") << spelling;
  }
  EXPECT_EQ(host_key("10.0.0.1:80"), "10.0.0.1");
}

TEST(HostName, Ipv6LiteralsAreEqualByValue) {
  const std::string key = host_key("[::1]");
  EXPECT_FALSE(key.empty());
  for (const char* spelling : {"[::1]:8080", "[0:0:0:0:0:0:0:1]", "[0000::0001]:1"}) {
    EXPECT_EQ(host_key(spelling), key) << spelling;
  }
  EXPECT_NE(host_key("[::2]"), key);
  EXPECT_EQ(host_key("[2001:DB8::A]"), host_key("[2001:db8::a]"));
  for (const char* broken : {"[::1", "[", "[]", "[::g]", "[fe80::1%25eth0]"}) EXPECT_EQ(host_key(broken), "") << broken;
}

TEST(HostName, NoNameIsLongerThan253Bytes) {
  EXPECT_EQ(host_key(std::string(253, 'a')).size(), 253U);
  EXPECT_EQ(host_key(std::string(253, 'A') + ".:80").size(), 253U);
  EXPECT_EQ(host_key(std::string(254, 'a')), "");
  EXPECT_EQ(host_key(""), "");
  EXPECT_EQ(host_key(":80"), "");
  EXPECT_EQ(host_key("."), "");
}

TEST(RouteTable, FirstMatchWinsInFileOrderWhateverItsKind) {
  const RouteTable table(
      routes({route("*.example.org", "/shared/*"), route("a.example.org", ""), route("", "/fallback"),
              route("*.b.example.org", ""), route("*.example.org", ""), route("x.b.example.org", "")}));
  EXPECT_EQ(told(Request("a.example.org", "/shared/x").in(table)), "0");
  EXPECT_EQ(told(Request("a.example.org", "/fallback").in(table)), "1");
  EXPECT_EQ(told(Request("x.b.example.org", "/fallback").in(table)), "2");
  EXPECT_EQ(told(Request("x.b.example.org", "/").in(table)), "3");  // the exact host is written later
  EXPECT_EQ(told(Request("z.example.org", "/").in(table)), "4");
  EXPECT_EQ(told(Request("elsewhere", "/fallback").in(table)), "2");
  EXPECT_EQ(told(Request("elsewhere", "/").in(table)), "no_route");
}

TEST(RouteTable, SuffixMeetsEveryDepthBelowButNotItself) {
  const RouteTable table(routes({route("*.example.org", "")}));
  EXPECT_EQ(told(Request("a.example.org", "/").in(table)), "0");
  EXPECT_EQ(told(Request("a.b.c.Example.ORG.:443", "/").in(table)), "0");
  for (const char* host : {"example.org", ".example.org", "badexample.org", "org", "example.org.evil", ""}) {
    EXPECT_EQ(told(Request(host, "/").in(table)), "unknown_host") << host;
  }
}

TEST(RouteTable, TellsUnknownHostFromNoRouteFromWrongMethod) {
  const RouteTable table(routes({route("a.example", "/x", {"GET"}), route("a.example", "/x", {"PUT", "GET"}),
                                 route("a.example", "/y", {"POST"})}));
  EXPECT_EQ(told(Request("b.example", "/x").in(table)), "unknown_host");
  EXPECT_EQ(told(Request("a.example", "/z").in(table)), "no_route");
  EXPECT_EQ(told(Request("a.example", "/x", "PUT").in(table)), "1");
  EXPECT_EQ(told(Request("a.example", "/x", "DELETE").in(table)), "method_not_allowed");
  EXPECT_EQ(told(Request("a.example", "/y", "HEAD").in(table)), "method_not_allowed");
  EXPECT_EQ(told(Request("a.example", "/x", "get").in(table)),
            "method_not_allowed");  // methods are case-sensitive

  const Request refused("a.example", "/%78", "DELETE");
  EXPECT_EQ(told(refused.in(table)), "method_not_allowed");
  EXPECT_EQ(table.allowed_methods(refused.head(), refused.base()), "GET, PUT");
  const Request unknown("b.example", "/x", "DELETE");
  EXPECT_EQ(table.allowed_methods(unknown.head(), unknown.base()), "");
}

TEST(RouteTable, ALaterRouteThatTakesTheMethodWins) {
  const RouteTable table(routes({route("", "/x", {"POST"}), route("", "/*")}));
  EXPECT_EQ(told(Request("h", "/x", "POST").in(table)), "0");
  EXPECT_EQ(told(Request("h", "/x", "GET").in(table)), "1");
}

TEST(RouteTable, WithoutAHostRouteEveryHostIsKnown) {
  const RouteTable table(routes({route("", "")}));
  for (const char* host : {"a", "", "[::1]:80", "[broken", "10.0.0.1"}) {
    EXPECT_EQ(told(Request(host, "/").in(table)), "0") << host;
  }
  EXPECT_EQ(told(Request("a", "*", "OPTIONS").in(table)), "0");
}

TEST(RouteTable, OptionsStarMeetsOnlyRoutesForEveryPath) {
  const RouteTable table(routes({route("", "/x/*"), route("", "/**/y"), route("h", "/*")}));
  EXPECT_EQ(told(Request("h", "*", "OPTIONS").in(table)), "2");
  EXPECT_EQ(told(Request("other", "*", "OPTIONS").in(table)), "no_route");
}

TEST(RouteTable, HeadersMustAllMatch) {
  const RouteTable table(routes({route("", "", {}, {{"X-Tenant", "blue"}, {"x-debug", "*"}}), route("", "")}));
  EXPECT_EQ(told(Request("h", "/", "GET", {{"x-tenant", "blue"}, {"X-Debug", ""}}).in(table)), "0");
  EXPECT_EQ(told(Request("h", "/", "GET", {{"X-Tenant", "red"}, {"X-TENANT", "blue"}, {"X-Debug", "1"}}).in(table)),
            "0");
  EXPECT_EQ(told(Request("h", "/", "GET", {{"X-Tenant", "blue"}}).in(table)), "1");
  EXPECT_EQ(told(Request("h", "/", "GET", {{"X-Tenant", "Blue"}, {"X-Debug", "1"}}).in(table)), "1");
  Request dropped("h", "/", "GET", {{"X-Tenant", "blue"}, {"X-Debug", "1"}});
  dropped.head().fields.list[0].drop = true;
  EXPECT_EQ(told(dropped.in(table)), "1");
}

TEST(RouteTable, Ipv6HostsAndPatterns) {
  const RouteTable table(routes({route("[::1]", ""), route("10.0.0.1", "")}));
  EXPECT_EQ(told(Request("[0:0::1]:8080", "/").in(table)), "0");
  EXPECT_EQ(told(Request("10.0.0.1:80", "/").in(table)), "1");
  EXPECT_EQ(told(Request("[::2]", "/").in(table)), "unknown_host");
}

TEST(RouteTable, IsIndependentOfTheConfigurationItWasMadeFrom) {
  auto config = std::make_unique<config::Config>(routes({route("a.example", "/x/*", {"GET"})}));
  RouteTable table(*config);
  config.reset();
  RouteTable moved = std::move(table);
  EXPECT_EQ(told(Request("a.example", "/x/y").in(moved)), "0");
}

class Dice {
public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(engine_); }
  template <class T>
  const T& of(const std::vector<T>& list) {
    return list[below(list.size())];
  }

private:
  std::mt19937_64 engine_;
};

config::Config random_config(Dice& dice) {
  static const std::vector<std::string> hosts = {
      "",          "",      "*",          "a.org",   "b.org",       "x.a.org", "*.a.org",
      "*.x.a.org", "*.org", "Y.x.a.org.", "b.org:1", "*.y.x.a.org", "org",     "*.B.org"};
  static const std::vector<std::string> paths = {"",      "/*",      "/x",       "/x/*",     "/x/y",   "/*/y",
                                                 "/**/y", "/x/**/y", "/x*",      "/admin/*", "/**",    "/",
                                                 "/x/",   "/*.js",   "/x/*/y/*", "/%78/*",   "/x;v/*", "/**/x/**"};
  static const std::vector<std::vector<std::string>> methods = {{}, {}, {}, {"GET"}, {"POST", "PUT"}};
  static const std::vector<std::vector<config::NameValue>> headers = {{}, {}, {}, {{"X-A", "1"}}, {{"x-b", "*"}}};
  std::vector<config::RouteConfig> list;
  for (std::size_t n = dice.below(14) + 1; n > 0; --n) {
    list.push_back(route(dice.of(hosts), dice.of(paths), dice.of(methods), dice.of(headers)));
    list.back().allow_encoded_slash = dice.below(3) == 0;
  }
  return routes(list);
}

NaiveRequest random_request(Dice& dice) {
  static const std::vector<std::string> hosts = {"a.org",     "b.org:80", "x.a.org",     "Q.X.a.org",
                                                 "y.x.a.org", "org",      "z.y.x.a.org", "c.org",
                                                 "",          "A.ORG.",   "nowhere",     ".a.org"};
  static const std::vector<std::string> tokens = {"/",   "/",   "/",   "x",  "y",   "admin", "a.js", ".",   "..",
                                                  "%2f", "%2e", "%78", ";v", "%3b", "//",    "\\",   "%5c", "%41"};
  NaiveRequest out;
  out.host = dice.of(hosts);
  out.path = dice.below(40) == 0 ? "*" : "/";
  if (out.path == "/") {
    for (std::size_t n = dice.below(8); n > 0; --n) out.path += dice.of(tokens);
  }
  out.method = dice.of<std::string>({"GET", "POST", "PATCH"});
  if (dice.below(2) == 0) out.headers.emplace_back("x-a", dice.below(2) == 0 ? "1" : "2");
  if (dice.below(2) == 0) out.headers.emplace_back("X-B", "");
  return out;
}

TEST(RouteTable, RulesAreFoundHoweverDeepTheyBeginAlike) {
  std::string deep;
  std::vector<config::RouteConfig> list;
  for (int depth = 0; depth < 20; ++depth) {
    deep += "/s" + std::to_string(depth);
    list.push_back(route("example.org", deep));
  }
  list.push_back(route("example.org", "/s0/*"));
  list.push_back(route("example.org", "/s0//x"));  // never: the one before meets it
  const RouteTable table(routes(list));
  std::string path;
  for (std::uint32_t depth = 0; depth < 20; ++depth) {
    path += "/s" + std::to_string(depth);
    EXPECT_EQ(Request("example.org", path).in(table).index, depth);
    EXPECT_EQ(Request("example.org", path + "/").in(table).index, 20U);
  }
}

TEST(RouteTable, AnswersLikeALinearScanOnRandomTablesAndRequests) {
  Dice dice(20260727);
  std::array<std::size_t, 5> seen{};
  for (int round = 0; round < 2000; ++round) {
    const config::Config config = random_config(dice);
    const RouteTable table(config);
    for (int i = 0; i < 50; ++i) {
      const NaiveRequest naive = random_request(dice);
      const Request request(naive.host, naive.path, naive.method, naive.headers);
      const RouteMatch expected = naive_match(config, naive);
      ++seen[static_cast<std::size_t>(expected.error)];
      if (told(request.in(table)) == told(expected)) continue;
      std::string text;
      for (const auto& r : config.routes) {
        text += "  '" + r.match.host + "' '" + r.match.path + "' " + std::to_string(r.match.methods.size()) + " " +
                std::to_string(r.match.headers.size()) + (r.allow_encoded_slash ? " slash\n" : "\n");
      }
      FAIL() << naive.method << " " << naive.host << " " << naive.path << ": " << told(request.in(table)) << ", not "
             << told(expected) << "\n"
             << text;
    }
  }
  for (const auto count : seen) EXPECT_GT(count, 1000U);  // every answer was really tried
}

}  // namespace
}  // namespace understudy::route::testing
