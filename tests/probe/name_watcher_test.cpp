// Names kept fresh: first answer, TTL, failures, reloads.
#include "proxy/probe/name_watcher.hpp"

#include "tests/probe/fake_dns.hpp"

namespace understudy::probe::test {
namespace {

class NameWatcherTest : public ::testing::Test {
protected:
  void SetUp() override { start(dns.settings()); }
  void start(config::DnsConfig settings) {
    settings.min_ttl = milliseconds(1);  // whole seconds at least: TTL 1
    watcher.reset();
    resolver = std::make_unique<Resolver>(io, settings);
    watcher = std::make_unique<NameWatcher>(
        io, *resolver, 7, [this](health::Resolution r) { seen.push_back(std::move(r)); },
        [this](NameFailure f) { failures.push_back(std::move(f)); }, RetryPauses{milliseconds(40), milliseconds(100)});
  }
  bool until(const std::function<bool()>& ready) { return run_until(io, ready, milliseconds(5'000)); }
  void idle(milliseconds time) {
    run_until(
        io, [] { return false; }, time);
  }
  static std::vector<std::string> texts(const health::Resolution& r) {
    std::vector<std::string> out;
    for (const auto& address : r.addresses) out.push_back(address.to_string());
    return out;
  }

  asio::io_context io;
  FakeDns dns{io};
  std::unique_ptr<Resolver> resolver;
  std::unique_ptr<NameWatcher> watcher;
  std::vector<health::Resolution> seen;
  std::vector<NameFailure> failures;
};

TEST_F(NameWatcherTest, OneLookupServesEveryEndpointOfAHostWithItsOwnPort) {
  dns.names["app.test"] = {.v4 = {v4(10, 0, 0, 1), v4(10, 0, 0, 2)}};
  watcher->reconfigure({{0, 0, 0, "app.test", 80}, {1, 2, 3, "app.test", 8080}});
  EXPECT_TRUE(seen.empty()) << "called back from inside reconfigure()";
  ASSERT_TRUE(until([&] { return seen.size() == 2; }));
  EXPECT_EQ(texts(seen[0]), (std::vector<std::string>{"10.0.0.1:80", "10.0.0.2:80"}));
  EXPECT_EQ(texts(seen[1]), (std::vector<std::string>{"10.0.0.1:8080", "10.0.0.2:8080"}));
  EXPECT_EQ(seen[1].pool, 1u);
  EXPECT_EQ(seen[1].tier, 2u);
  EXPECT_EQ(seen[1].endpoint, 3u);
  EXPECT_EQ(dns.asked["app.test"], 2);  // A and AAAA, once
}

TEST_F(NameWatcherTest, AsksAgainAtTheTtlAndReportsOnlyChanges) {
  dns.names["app.test"] = {.v4 = {v4(10, 0, 0, 1)}, .ttl = 0};
  watcher->reconfigure({{0, 0, 0, "app.test", 80}});
  ASSERT_TRUE(until([&] { return dns.asked["app.test"] >= 4; }));  // TTL 0 counts as one second
  idle(milliseconds(50));
  EXPECT_EQ(seen.size(), 1u);
  dns.names["app.test"].v4 = {v4(10, 0, 0, 9)};
  ASSERT_TRUE(until([&] { return seen.size() == 2; }));
  EXPECT_EQ(texts(seen[1]), std::vector<std::string>{"10.0.0.9:80"});
}

TEST_F(NameWatcherTest, FailuresAreRetriedWithGrowingPausesAndKeepTheLastAddresses) {
  watcher->reconfigure({{0, 0, 0, "late.test", 80}});
  ASSERT_TRUE(until([&] { return failures.size() >= 4; }));
  EXPECT_TRUE(seen.empty());
  EXPECT_EQ(failures[0].host, "late.test");
  EXPECT_NE(failures[0].error.find("does not exist"), std::string::npos);
  const int full[] = {40, 80, 100, 100};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(failures[i].in_a_row, i + 1);
    EXPECT_LE(failures[i].retry_in, milliseconds(full[i]));
    EXPECT_GE(failures[i].retry_in, milliseconds(full[i] * 3 / 4));
  }
  dns.names["late.test"] = {.v4 = {v4(10, 0, 0, 1)}, .ttl = 1};
  ASSERT_TRUE(until([&] { return seen.size() == 1; }));
  failures.clear();
  dns.names.erase("late.test");
  ASSERT_TRUE(until([&] { return !failures.empty(); }));
  EXPECT_EQ(failures[0].in_a_row, 1u);  // success began anew
  EXPECT_EQ(seen.size(), 1u);           // nothing told: the caller keeps what it has
  dns.names["late.test"] = {.v4 = {v4(10, 0, 0, 1)}};
  const int asked = dns.asked["late.test"];
  ASSERT_TRUE(until([&] { return dns.asked["late.test"] > asked; }));
  idle(milliseconds(30));
  EXPECT_EQ(seen.size(), 1u);  // the same again is no change
}

TEST_F(NameWatcherTest, OneDeadNameDoesNotHoldUpAnother) {
  dns.names["silent.test"] = {.silent = true};
  dns.names["app.test"] = {.v4 = {v4(10, 0, 0, 1)}};
  const auto begin = Clock::now();
  watcher->reconfigure({{0, 0, 0, "silent.test", 80}, {0, 0, 1, "app.test", 80}});
  ASSERT_TRUE(until([&] { return seen.size() == 1; }));
  EXPECT_LT(Clock::now() - begin, milliseconds(3'000));
  EXPECT_EQ(seen[0].endpoint, 1u);
}

TEST_F(NameWatcherTest, ReloadKeepsKnownHostsAndTellsOnlyMovedAndNewEndpoints) {
  dns.names["app.test"] = {.v4 = {v4(10, 0, 0, 1)}, .ttl = 300};
  dns.names["new.test"] = {.v4 = {v4(10, 0, 0, 2)}, .ttl = 300};
  watcher->reconfigure({{0, 0, 0, "app.test", 80}, {0, 0, 1, "app.test", 81}});
  ASSERT_TRUE(until([&] { return seen.size() == 2; }));
  seen.clear();
  watcher->reconfigure({{0, 0, 0, "app.test", 80}, {1, 0, 1, "app.test", 81}, {1, 0, 0, "new.test", 80}});
  ASSERT_TRUE(until([&] { return seen.size() == 2; }));
  idle(milliseconds(50));
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(texts(seen[0]), std::vector<std::string>{"10.0.0.1:81"});  // new indices, known addresses
  EXPECT_EQ(seen[0].pool, 1u);
  EXPECT_EQ(texts(seen[1]), std::vector<std::string>{"10.0.0.2:80"});
  EXPECT_EQ(dns.asked["app.test"], 2);  // not asked again
}

TEST_F(NameWatcherTest, HostThatLeftIsAskedNoMore) {
  dns.names["gone.test"] = {.v4 = {v4(10, 0, 0, 1)}, .ttl = 1};
  watcher->reconfigure({{0, 0, 0, "gone.test", 80}, {0, 0, 1, "never.test", 80}});
  ASSERT_TRUE(until([&] { return seen.size() == 1 && !failures.empty(); }));
  watcher->reconfigure({});
  const int gone = dns.asked["gone.test"], never = dns.asked["never.test"];
  idle(milliseconds(1'300));
  EXPECT_EQ(dns.asked["gone.test"], gone);
  EXPECT_LE(dns.asked["never.test"], never + 2);  // one lookup may have been under way
  EXPECT_EQ(seen.size(), 1u);
}

TEST_F(NameWatcherTest, DestroyingItEndsTheCallbacks) {
  dns.names["app.test"] = {.v4 = {v4(10, 0, 0, 1)}};
  watcher->reconfigure({{0, 0, 0, "app.test", 80}, {0, 0, 1, "never.test", 80}});
  watcher.reset();
  idle(milliseconds(150));
  EXPECT_TRUE(seen.empty());
  EXPECT_TRUE(failures.empty());
}

TEST(NamesOf, TakesNamesAndLeavesNumbersAndPaths) {
  config::Config config;
  config::PoolConfig pool;
  config::TierConfig tier;
  for (const char* text : {"10.0.0.1:80", "app.test:8080", "[::1]:80", "unix:/run/app.sock"}) {
    std::string error;
    const auto address = config::parse_address(text, 0, &error);
    ASSERT_TRUE(address.has_value()) << error;
    config::EndpointConfig endpoint;
    endpoint.address = *address;
    tier.endpoints.push_back(endpoint);
  }
  pool.tiers = {config::TierConfig{}, tier};
  config.pools.push_back(pool);
  EXPECT_EQ(names_of(config), (std::vector<WatchedName>{{0, 1, 1, "app.test", 8080}}));
}

}  // namespace
}  // namespace understudy::probe::test
