// Who the client is; request ids; trace context.
#include <gtest/gtest.h>

#include <array>

#include "proxy/http/writer.hpp"
#include "tests/http/forms.hpp"

namespace understudy::http {
namespace {

config::SocketAddress ip(std::string_view text) { return config::parse_ip(text).value(); }

std::vector<config::Cidr> nets() {
  return {config::parse_cidr("10.0.0.0/8").value(), config::parse_cidr("2001:db8:1::/48").value()};
}

std::string client(std::string_view peer, const std::string& lines) {
  const ParsedRequest in(request(lines));
  EXPECT_EQ(in.status, ParseStatus::done);
  const auto trusted = nets();
  return identify_client(ip(peer), *in.head, in.base(), trusted).address.ip_string();
}

TEST(IdentifyClient, WalksFromTheRightToTheFirstStranger) {
  struct Row {
    const char* name;
    const char* peer;
    std::string lines;
    const char* wanted;
  };
  std::string hops = "X-Forwarded-For: 203.0.113.7";
  for (int i = 0; i < 100; ++i) hops += ", 10.0.0.1";
  const Row rows[] = {
      {"stranger says anything", "192.0.2.1", "X-Forwarded-For: 1.1.1.1\r\n", "192.0.2.1"},
      {"trusted says nothing", "10.0.0.1", "", "10.0.0.1"},
      {"one hop", "10.0.0.1", "X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"},
      {"what the client invented stays left", "10.0.0.1", "X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\n", "203.0.113.7"},
      {"through two trusted hops", "10.0.0.1", "X-Forwarded-For: 203.0.113.7, 10.0.0.2, 10.0.0.3\r\n", "203.0.113.7"},
      {"several fields are one list", "10.0.0.1",
       "X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\nX-Forwarded-For: 10.0.0.2\r\n", "203.0.113.7"},
      {"all trusted: the leftmost", "10.0.0.1", "X-Forwarded-For: 10.0.0.9, 10.0.0.8\r\n", "10.0.0.9"},
      {"junk stops at the hop that wrote it", "10.0.0.1", "X-Forwarded-For: 203.0.113.7, junk, 10.0.0.2\r\n",
       "10.0.0.2"},
      {"junk on the right", "10.0.0.1", "X-Forwarded-For: 203.0.113.7, unknown\r\n", "10.0.0.1"},
      {"with a port", "10.0.0.1", "X-Forwarded-For: 203.0.113.7:1234\r\n", "203.0.113.7"},
      {"with a bad port", "10.0.0.1", "X-Forwarded-For: 203.0.113.7:port\r\n", "10.0.0.1"},
      {"IPv6", "10.0.0.1", "X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"},
      {"IPv6 in brackets with a port", "2001:db8:1::1", "X-Forwarded-For: [2001:db8::7]:1234\r\n", "2001:db8::7"},
      {"IPv6, trusted hop", "10.0.0.1", "X-Forwarded-For: 2001:db8::7, 2001:db8:1::2\r\n", "2001:db8::7"},
      {"IPv6, bracket open", "10.0.0.1", "X-Forwarded-For: [2001:db8::7\r\n", "10.0.0.1"},
      {"empty elements", "10.0.0.1", "X-Forwarded-For: ,, 203.0.113.7 ,,\r\n", "203.0.113.7"},
      {"empty field", "10.0.0.1", "X-Forwarded-For:\r\n", "10.0.0.1"},
      {"a chain too long to be honest", "10.0.0.1", hops + "\r\n", "10.0.0.1"},
      {"other fields are not asked", "10.0.0.1", "X-Real-IP: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\n",
       "10.0.0.1"},
      {"nomination does not hide it", "10.0.0.1", "Connection: X-Forwarded-For\r\nX-Forwarded-For: 203.0.113.7\r\n",
       "203.0.113.7"},
      {"v4-mapped peer", "::ffff:10.0.0.1", "X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"},
  };
  for (const Row& row : rows) EXPECT_EQ(client(row.peer, row.lines), row.wanted) << row.name;
}

TEST(IdentifyClient, TellsWhetherThePeerIsTrusted) {
  const ParsedRequest in(request(""));
  const auto trusted = nets();
  EXPECT_TRUE(identify_client(ip("10.1.2.3"), *in.head, in.base(), trusted).via_trusted);
  EXPECT_FALSE(identify_client(ip("11.1.2.3"), *in.head, in.base(), trusted).via_trusted);
  EXPECT_FALSE(identify_client(ip("10.1.2.3"), *in.head, in.base(), {}).via_trusted);
}

TEST(RequestId, IsTakenFromTrustedPeersIfWellFormed) {
  const auto accepted = [](const std::string& lines, bool trusted) {
    const ParsedRequest in(request(lines));
    return std::string(acceptable_request_id(*in.head, in.base(), trusted));
  };
  EXPECT_EQ(accepted("X-Request-Id: abc-DEF_1.2\r\n", true), "abc-DEF_1.2");
  EXPECT_EQ(accepted("X-Request-Id: abc-DEF_1.2\r\n", false), "");
  EXPECT_EQ(accepted("X-Request-Id: short12\r\n", true), "");
  EXPECT_EQ(accepted("X-Request-Id: " + std::string(128, 'a') + "\r\n", true), std::string(128, 'a'));
  EXPECT_EQ(accepted("X-Request-Id: " + std::string(129, 'a') + "\r\n", true), "");
  EXPECT_EQ(accepted("X-Request-Id: abc defgh\r\n", true), "");
  EXPECT_EQ(accepted("X-Request-Id: abc~defgh\r\n", true), "");
  EXPECT_EQ(accepted("X-Request-Id: abc\"defgh\r\n", true), "");
  EXPECT_EQ(accepted("X-Request-Id: first-one\r\nX-Request-Id: second-one\r\n", true), "");
}

TEST(RequestId, Uuid7HasTimeVersionAndVariant) {
  // The example of RFC 9562, appendix A.6: 2022-02-22 19:22:22.000 UTC.
  const std::array<std::uint8_t, 10> random = {0xcc, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f};
  std::array<char, 36> text{};
  write_uuid7(text.data(), 0x017f22e279b0, random.data());
  EXPECT_EQ(std::string(text.data(), text.size()), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
  const std::array<std::uint8_t, 10> ones = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  write_uuid7(text.data(), UINT64_MAX, ones.data());
  EXPECT_EQ(std::string(text.data(), text.size()), "ffffffff-ffff-7fff-bfff-ffffffffffff");
}

std::string trace(std::string_view incoming, std::uint8_t fill = 0xab) {
  std::array<std::uint8_t, 24> random{};
  random.fill(fill);
  std::array<char, 55> text{};
  write_traceparent(text.data(), incoming, random.data());
  return {text.data(), text.size()};
}

TEST(TraceContext, ValidOneKeepsItsTraceAndFlags) {
  EXPECT_EQ(trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),
            "00-0af7651916cd43dd8448eb211c80319c-abababababababab-00");
}

TEST(TraceContext, InvalidOneStartsAfresh) {
  const std::string fresh = "00-abababababababababababababababab-abababababababab-01";
  for (const char* bad : {"", "nonsense", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                          "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                          "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                          "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
                          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
                          "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01"}) {
    EXPECT_EQ(trace(bad), fresh) << bad;
  }
}

TEST(TraceContext, NeverAllZeros) {
  EXPECT_EQ(trace("", 0), "00-00000000000000000000000000000001-0000000000000001-01");
}

}  // namespace
}  // namespace understudy::http
