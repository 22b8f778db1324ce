#include "config/address.hpp"

#include <gtest/gtest.h>

#include <map>

namespace understudy::config {
namespace {

using Family = SocketAddress::Family;

struct GoodAddress {
  const char* text;
  const char* host;
  std::uint16_t port;
  const char* numeric;  // nullptr: a name
};

TEST(Address, HasAHostAndAPort) {
  const GoodAddress cases[] = {
      {":8080", "", 8080, "[::]:8080"},
      {"10.0.0.1:80", "10.0.0.1", 80, "10.0.0.1:80"},
      {"0.0.0.0:0", "0.0.0.0", 0, "0.0.0.0:0"},
      {"[::1]:443", "::1", 443, "[::1]:443"},
      {"[0:0::1]:443", "0:0::1", 443, "[::1]:443"},
      {"[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1, "[::ffff:10.0.0.1]:1"},
      {"app.internal:65535", "app.internal", 65535, nullptr},
      {"localhost:1", "localhost", 1, nullptr},
      {"a_b-c.example.org.:80", "a_b-c.example.org.", 80, nullptr},
      {"1a.example:80", "1a.example", 80, nullptr},
  };
  for (const GoodAddress& expected : cases) {
    std::string error;
    const auto address = parse_address(expected.text, 0, &error);
    ASSERT_TRUE(address) << expected.text << ": " << error;
    EXPECT_EQ(address->text, expected.text);
    EXPECT_EQ(address->host, expected.host);
    EXPECT_EQ(address->port, expected.port);
    EXPECT_FALSE(address->is_unix());
    const auto numeric = address->numeric();
    ASSERT_EQ(numeric.has_value(), expected.numeric != nullptr) << expected.text;
    if (numeric) {
      EXPECT_EQ(numeric->to_string(), expected.numeric);
    }
  }
}

TEST(Address, MayBeAUnixPath) {
  const auto address = parse_address("unix:/run/app.sock", 0, nullptr);
  ASSERT_TRUE(address);
  EXPECT_TRUE(address->is_unix());
  EXPECT_EQ(address->path, "/run/app.sock");
  EXPECT_EQ(address->numeric()->to_string(), "unix:/run/app.sock");
  EXPECT_EQ(address->numeric()->ip_string(), "unix:");
  EXPECT_TRUE(address->numeric()->is_loopback());
  EXPECT_EQ(parse_address("unix:@abstract", 0, nullptr)->path, "@abstract");
  EXPECT_TRUE(parse_address("unix:" + std::string(107, 'x'), 0, nullptr));
  EXPECT_FALSE(parse_address("unix:" + std::string(108, 'x'), 0, nullptr));
}

TEST(Address, TakesTheDefaultPortOnlyWhereThereIsOne) {
  EXPECT_EQ(parse_address("10.0.0.2", 53, nullptr)->port, 53);
  EXPECT_EQ(parse_address("[fd00::2]", 53, nullptr)->port, 53);
  EXPECT_EQ(parse_address("ns.example", 53, nullptr)->port, 53);
  EXPECT_EQ(parse_address("10.0.0.2:5353", 53, nullptr)->port, 5353);
  EXPECT_FALSE(parse_address("10.0.0.2", 0, nullptr));
}

TEST(Address, IsRefusedWithAReason) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "is empty; write an address such as \"10.0.0.11:8080\""},
      {"10.0.0.1", "has no port; write it as host:port"},
      {"example.org", "has no port; write it as host:port"},
      {"8080", "is only a number; write \":8080\" for a port on every address"},
      {"::1:80", "is an IPv6 address without brackets; write \"[::1]:8080\""},
      {"[::1:80", "has no ']' after the IPv6 address"},
      {"[::1]80", "has text between ']' and the port"},
      {"[10.0.0.1]:80", "has no IPv6 address between '[' and ']'"},
      {"[fe80::1%eth0]:80", "has no IPv6 address between '[' and ']'"},
      {"[]:80", "has no IPv6 address between '[' and ']'"},
      {"10.0.0.256:80", "is not an IPv4 address (four numbers from 0 to 255)"},
      {"1.2.3:80", "is not an IPv4 address (four numbers from 0 to 255)"},
      {"010.0.0.1:80", "is not an IPv4 address (four numbers from 0 to 255)"},
      {"*:80", "has '*' as its host; write \":8080\" for every address"},
      {"http://a:80", "is a URL; write host and port only, such as \"10.0.0.11:8080\""},
      {"a:", "has a port that is not a number from 0 to 65535"},
      {"a:65536", "has a port that is not a number from 0 to 65535"},
      {"a:-1", "has a port that is not a number from 0 to 65535"},
      {"a: 1", "has a port that is not a number from 0 to 65535"},
      {"a:000080", "has a port that is not a number from 0 to 65535"},
      {"a..b:80", "is neither a host name nor an IP address with a port"},
      {"-a:80", "is neither a host name nor an IP address with a port"},
      {"a-.b:80", "is neither a host name nor an IP address with a port"},
      {"a b:80", "is neither a host name nor an IP address with a port"},
      {"a/b:80", "is neither a host name nor an IP address with a port"},
      {std::string(64, 'a') + ":80", "is neither a host name nor an IP address with a port"},
      {std::string("a\0b:80", 6), "is neither a host name nor an IP address with a port"},
      {"unix:", "has no path after 'unix:'"},
  };
  for (const auto& [text, reason] : cases) {
    std::string error;
    EXPECT_FALSE(parse_address(text, 0, &error)) << text;
    EXPECT_EQ(error, reason) << text;
  }
}

TEST(HttpUrl, HasAnAddressAndATarget) {
  const auto url = parse_http_url("http://[::1]:9000/ready?deep=1", nullptr);
  ASSERT_TRUE(url);
  EXPECT_EQ(url->address.host, "::1");
  EXPECT_EQ(url->address.port, 9000);
  EXPECT_EQ(url->target, "/ready?deep=1");
  const auto short_one = parse_http_url("http://app.internal/", nullptr);
  ASSERT_TRUE(short_one);
  EXPECT_EQ(short_one->address.host, "app.internal");
  EXPECT_EQ(short_one->address.port, 80);
  EXPECT_EQ(short_one->target, "/");
}

TEST(HttpUrl, IsRefusedWithAReason) {
  for (const char* text : {"",
                           "http:/h/",
                           "HTTPS://h/",
                           "https://h/",
                           "ftp://h/",
                           "//h/",
                           "http://h",
                           "http://",
                           "http:///",
                           "http://:80/",
                           "http://h:0/",
                           "http://h:x/",
                           "http://h:65536/",
                           "http://::1/",
                           "http://[]/",
                           "http://10.0.0.256/",
                           "http://a b/",
                           "http://u:p@h/",
                           "http://u@h/",
                           "http://h?q",
                           "http://h#f",
                           "http://h/#f",
                           "http://h/a b",
                           "http://h/\r\nHost: x",
                           "http://h/\xc3\xa9",
                           "http://unix:/run/x/"}) {
    std::string error;
    EXPECT_FALSE(parse_http_url(text, &error)) << text;
    EXPECT_FALSE(error.empty()) << text;
    EXPECT_FALSE(parse_http_url(text, nullptr)) << text;
  }
}

TEST(SocketAddress, KnowsLoopback) {
  for (const char* text : {"127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"})
    EXPECT_TRUE(parse_ip(text)->is_loopback()) << text;
  for (const char* text : {"128.0.0.1", "0.0.0.0", "::", "::2", "::ffff:10.0.0.1", "1::1"})
    EXPECT_FALSE(parse_ip(text)->is_loopback()) << text;
}

TEST(SocketAddress, CanBeAKey) {
  std::map<SocketAddress, int> seen;
  seen[*parse_address("10.0.0.1:80", 0, nullptr)->numeric()] = 1;
  seen[*parse_address("10.0.0.1:81", 0, nullptr)->numeric()] = 2;
  seen[*parse_address("10.0.0.1:80", 0, nullptr)->numeric()] = 3;
  seen[*parse_address("unix:/a", 0, nullptr)->numeric()] = 4;
  EXPECT_EQ(seen.size(), 3U);
}

TEST(Ip, IsOneLiteralAndNothingElse) {
  EXPECT_EQ(parse_ip("192.0.2.7")->ip_string(), "192.0.2.7");
  EXPECT_EQ(parse_ip("2001:DB8:0:0::1")->ip_string(), "2001:db8::1");
  for (const char* text : {"", "[::1]", "1.2.3.4:80", "1.2.3.4 ", "::1%lo", "example.org", "1:2:3:4:5:6:7:8:9"})
    EXPECT_FALSE(parse_ip(text)) << text;
  EXPECT_FALSE(parse_ip(std::string(1000, '1')));
}

TEST(Cidr, ContainsItsNetworkAndNoMore) {
  struct Row {
    const char* network;
    const char* address;
    bool inside;
  };
  const Row rows[] = {
      {"10.0.0.0/8", "10.255.255.255", true},
      {"10.0.0.0/8", "11.0.0.0", false},
      {"10.1.2.3/8", "10.9.9.9", true},
      {"0.0.0.0/0", "203.0.113.9", true},
      {"0.0.0.0/0", "::1", false},
      {"192.0.2.128/25", "192.0.2.127", false},
      {"192.0.2.128/25", "192.0.2.200", true},
      {"192.0.2.7", "192.0.2.7", true},
      {"192.0.2.7", "192.0.2.8", false},
      {"192.0.2.7/32", "192.0.2.7", true},
      {"::1/128", "::1", true},
      {"2001:db8::/33", "2001:db8:7fff::1", true},
      {"2001:db8::/33", "2001:db8:8000::1", false},
      {"::/0", "2001:db8::1", true},
      {"10.0.0.0/8", "::ffff:10.1.2.3", true},
      {"::ffff:10.0.0.0/104", "10.1.2.3", true},
      {"::ffff:10.0.0.0/104", "::ffff:10.1.2.3", true},
      {"::ffff:10.0.0.0/104", "11.0.0.1", false},
  };
  for (const Row& row : rows) {
    const auto network = parse_cidr(row.network);
    ASSERT_TRUE(network) << row.network;
    EXPECT_EQ(network->contains(*parse_ip(row.address)), row.inside) << row.network << " " << row.address;
  }
  EXPECT_FALSE(parse_cidr("10.0.0.0/8")->contains(*parse_address("unix:/x", 0, nullptr)->numeric()));
  EXPECT_FALSE(Cidr{}.contains(SocketAddress{}));
}

TEST(Cidr, IsRefusedWhenItIsNone) {
  for (const char* text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/8 ", "10.0.0/8",
                           "example.org/8", "10.0.0.0/8/8", "10.0.0.0/999999999999"}) {
    EXPECT_FALSE(parse_cidr(text)) << text;
  }
}

}  // namespace
}  // namespace understudy::config
