// Name resolution against a DNS server of our own, hostile answers included (security rules, row 59).
#include "proxy/probe/resolver.hpp"

#include <filesystem>

#include "tests/probe/fake_dns.hpp"

namespace understudy::probe::test {
namespace {

using std::chrono::seconds;

class ResolverTest : public ::testing::Test {
protected:
  Answer ask(const std::string& host) { return ask(dns.settings(), host); }
  Answer ask(const config::DnsConfig& settings, const std::string& host) {
    Resolver resolver(io, settings);
    return ask(resolver, host, settings.timeout);
  }
  Answer ask(Resolver& resolver, const std::string& host, milliseconds bound = milliseconds(10'000)) {
    std::optional<Answer> answer;
    resolver.resolve(host, [&](Answer a) {
      EXPECT_FALSE(answer.has_value()) << "answered twice";
      answer = std::move(a);
    });
    EXPECT_FALSE(answer.has_value()) << "answered from inside resolve()";
    EXPECT_TRUE(run_until(
        io, [&] { return answer.has_value(); }, bound + milliseconds(2'000)));
    return answer.value_or(Answer{{}, seconds(0), "no answer at all"});
  }
  static std::vector<std::string> texts(const Answer& answer) {
    std::vector<std::string> out;
    for (const auto& address : answer.addresses) out.push_back(address.ip_string());
    return out;
  }
  asio::io_context io;
  FakeDns dns{io};
};

TEST_F(ResolverTest, GivesBothFamiliesSortedWithoutPort) {
  dns.names["app.test"] = {.v4 = {v4(10, 0, 0, 2), v4(10, 0, 0, 1)}, .v6 = {v6(1)}, .ttl = 30};
  const Answer answer = ask("app.test");
  EXPECT_EQ(answer.error, "");
  EXPECT_EQ(texts(answer), (std::vector<std::string>{"10.0.0.1", "10.0.0.2", "2001:db8::1"}));
  for (const auto& address : answer.addresses) EXPECT_EQ(address.port, 0);
  EXPECT_EQ(answer.ttl, seconds(30));
  EXPECT_EQ(dns.over_tcp, 0);
}

TEST_F(ResolverTest, SameAddressesInAnyOrderGiveTheSameAnswer) {
  dns.names["app.test"] = {.v4 = {v4(10, 0, 0, 2), v4(10, 0, 0, 1), v4(10, 0, 0, 2)}};
  const Answer first = ask("app.test");
  dns.names["app.test"] = {.v4 = {v4(10, 0, 0, 1), v4(10, 0, 0, 2)}};
  EXPECT_EQ(ask("app.test").addresses, first.addresses);
  EXPECT_EQ(first.addresses.size(), 2u);
}

TEST_F(ResolverTest, TtlIsClampedBothWays) {
  dns.names["zero.test"] = {.v4 = {v4(10, 0, 0, 1)}, .ttl = 0};
  dns.names["long.test"] = {.v4 = {v4(10, 0, 0, 1)}, .ttl = 86'400};
  auto settings = dns.settings();
  EXPECT_EQ(ask(settings, "zero.test").ttl, seconds(1));
  EXPECT_EQ(ask(settings, "long.test").ttl, seconds(300));
  settings.min_ttl = milliseconds(5'000);
  settings.max_ttl = milliseconds(7'000);
  EXPECT_EQ(ask(settings, "zero.test").ttl, seconds(5));
  EXPECT_EQ(ask(settings, "long.test").ttl, seconds(7));
}

TEST_F(ResolverTest, AliasIsFollowedAndItsTtlCounts) {
  dns.names["www.test"] = {.v4 = {v4(10, 0, 0, 7)}, .ttl = 60, .alias = "app.test", .alias_ttl = 9};
  const Answer answer = ask("www.test");
  EXPECT_EQ(texts(answer), std::vector<std::string>{"10.0.0.7"});
  EXPECT_EQ(answer.ttl, seconds(9));
}

TEST_F(ResolverTest, FourThousandAddressesAreCappedTheSameWayEachTime) {
  FakeDns::Name name;
  for (int i = 3'999; i >= 0; --i) name.v4.push_back(v4(10, 1, i / 256, i % 256));
  dns.names["huge.test"] = name;
  const Answer answer = ask("huge.test");
  EXPECT_EQ(answer.error, "");
  ASSERT_EQ(answer.addresses.size(), 64u);
  EXPECT_EQ(answer.addresses.front().ip_string(), "10.1.0.0");
  EXPECT_EQ(answer.addresses.back().ip_string(), "10.1.0.63");
  EXPECT_GT(dns.over_tcp, 0);  // it does not fit a datagram
  std::reverse(dns.names["huge.test"].v4.begin(), dns.names["huge.test"].v4.end());
  EXPECT_EQ(ask("huge.test").addresses, answer.addresses);
  auto settings = dns.settings();
  settings.max_addresses = 3;
  EXPECT_EQ(ask(settings, "huge.test").addresses.size(), 3u);
}

TEST_F(ResolverTest, UnknownNameSaysSo) {
  const Answer answer = ask("nothing.test");
  EXPECT_TRUE(answer.addresses.empty());
  EXPECT_EQ(answer.error, "'nothing.test' does not exist (DNS: name not found)");
}

TEST_F(ResolverTest, NameWithoutAddressSaysSo) {
  dns.names["empty.test"] = {};
  const Answer answer = ask("empty.test");
  EXPECT_TRUE(answer.addresses.empty());
  EXPECT_EQ(answer.error, "'empty.test' has no address (DNS: neither A nor AAAA)");
}

TEST_F(ResolverTest, ServerFailureIsAnError) {
  dns.names["broken.test"] = {.code = 2};
  const Answer answer = ask("broken.test");
  EXPECT_TRUE(answer.addresses.empty());
  EXPECT_NE(answer.error.find("'broken.test' could not be resolved"), std::string::npos) << answer.error;
}

TEST_F(ResolverTest, SilenceIsAnErrorInTime) {
  dns.names["silent.test"] = {.silent = true};
  auto settings = dns.settings();
  settings.timeout = milliseconds(300);
  const auto start = Clock::now();
  const Answer answer = ask(settings, "silent.test");
  EXPECT_LT(Clock::now() - start, milliseconds(1'000));
  EXPECT_TRUE(answer.addresses.empty());
  EXPECT_EQ(answer.error, "'silent.test' could not be resolved: no DNS server answered in time");
  EXPECT_GE(dns.asked["silent.test"], 3);  // both types, and again
}

TEST_F(ResolverTest, SilenceAboutIpv6DoesNotLoseIpv4) {
  dns.names["half.test"] = {.v4 = {v4(10, 0, 0, 1)}, .silent_v6 = true};
  auto settings = dns.settings();
  settings.timeout = milliseconds(1'000);
  EXPECT_EQ(texts(ask(settings, "half.test")), std::vector<std::string>{"10.0.0.1"});
}

TEST_F(ResolverTest, AnswerWithTheWrongIdIsIgnored) {
  dns.names["forged.test"] = {.v4 = {v4(10, 0, 0, 1)}, .v6 = {v6(1)}, .wrong_id_first = true};
  EXPECT_EQ(texts(ask("forged.test")), (std::vector<std::string>{"10.0.0.1", "2001:db8::1"}));
  dns.names["forgery.test"] = {.v4 = {v4(10, 0, 0, 66)}, .only_wrong_id = true};
  auto settings = dns.settings();
  settings.timeout = milliseconds(300);
  EXPECT_TRUE(ask(settings, "forgery.test").addresses.empty());
}

TEST_F(ResolverTest, HostsFileComesFirstWithATtlOfItsOwn) {
  dns.names["localhost"] = {.v4 = {v4(10, 0, 0, 99)}};
  const Answer answer = ask("localhost");
  ASSERT_FALSE(answer.addresses.empty()) << answer.error;
  for (const auto& address : answer.addresses) EXPECT_TRUE(address.is_loopback()) << address.ip_string();
  EXPECT_EQ(answer.ttl, seconds(60));
  EXPECT_EQ(dns.asked["localhost"], 0);
}

TEST_F(ResolverTest, NobodyAtTheServersPortIsAnError) {
  auto settings = dns.settings();
  RefusingPort nobody(io);
  settings.servers[0].port = nobody.address().port;
  settings.timeout = milliseconds(500);
  EXPECT_NE(ask(settings, "app.test").error, "");
}

TEST_F(ResolverTest, HostileNamesAreErrorsNotCrashes) {
  for (const std::string& host : {std::string(300, 'a'), std::string("a..b"), std::string("."), std::string(""),
                                  std::string("x\ny.test"), std::string(70, 'l') + ".test"}) {
    const Answer answer = ask(host);
    EXPECT_TRUE(answer.addresses.empty()) << host;
    EXPECT_NE(answer.error, "") << host;
    EXPECT_EQ(answer.error.find('\n'), std::string::npos);
  }
}

TEST_F(ResolverTest, ServerThatIsNoAddressIsRefusedWithTheRemedyAndChangesNothing) {
  dns.names["app.test"] = {.v4 = {v4(10, 0, 0, 1)}};
  Resolver resolver(io, dns.settings());
  auto bad = dns.settings();
  bad.servers[0].host = "dns.example";
  bad.servers[0].text = "dns.example:53";
  try {
    resolver.configure(bad);
    ADD_FAILURE() << "accepted";
  } catch (const std::runtime_error& e) {
    EXPECT_NE(std::string(e.what()).find("'dns.example:53' is no IP address"), std::string::npos) << e.what();
  }
  EXPECT_EQ(ask(resolver, "app.test").addresses.size(), 1u);
}

TEST_F(ResolverTest, ReconfiguringMovesNewLookupsAndLetsOldOnesFinish) {
  FakeDns second(io);
  dns.names["app.test"] = {.v4 = {v4(10, 0, 0, 1)}};
  second.names["app.test"] = {.v4 = {v4(10, 0, 0, 2)}};
  Resolver resolver(io, dns.settings());
  std::optional<Answer> old;
  resolver.resolve("app.test", [&](Answer a) { old = std::move(a); });
  resolver.configure(second.settings());
  EXPECT_EQ(texts(ask(resolver, "app.test")), std::vector<std::string>{"10.0.0.2"});
  ASSERT_TRUE(run_until(io, [&] { return old.has_value(); }));
  EXPECT_EQ(texts(*old), std::vector<std::string>{"10.0.0.1"});
}

TEST_F(ResolverTest, DestroyingItDropsLookupsAndDescriptors) {
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator{});
  };
  dns.names["silent.test"] = {.silent = true};
  dns.names["app.test"] = {.v4 = {v4(10, 0, 0, 1)}};
  const auto before = descriptors();
  int called = 0;
  auto resolver = std::make_unique<Resolver>(io, dns.settings());
  for (int i = 0; i < 20; ++i) resolver->resolve("silent.test", [&](Answer) { ++called; });
  run_until(io, [&] { return dns.asked["silent.test"] >= 40; });
  EXPECT_GE(dns.asked["silent.test"], 40);
  // From inside a callback, too.
  resolver->resolve("app.test", [&](Answer) { resolver.reset(); });
  ASSERT_TRUE(run_until(io, [&] { return !resolver; }));
  io.restart();
  io.poll();
  EXPECT_EQ(called, 0);
  EXPECT_EQ(descriptors(), before);
}

}  // namespace
}  // namespace understudy::probe::test
