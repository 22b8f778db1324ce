// Addresses as the operator writes them and as the kernel wants them. Values only; no resolving here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace understudy::config {

// A numeric network address or a Unix path. Ordered and comparable, so it can be a map key.
struct SocketAddress {
  enum class Family : std::uint8_t { none, v4, v6, unix_path };
  Family family = Family::none;
  std::array<std::uint8_t, 16> ip{};  // v4 uses the first four bytes, network order
  std::uint16_t port = 0;             // host order
  std::string path;                   // unix_path only; a leading '@' means abstract

  auto operator<=>(const SocketAddress&) const = default;  // NOLINT(modernize-use-nullptr): clang 14 misreads it

  // "10.0.0.1:80", "[::1]:80", "unix:/run/x.sock".
  std::string to_string() const;
  // The same without port or brackets; "unix:" for Unix sockets (the form logs and X-Forwarded-For want).
  std::string ip_string() const;
  bool is_loopback() const;
};

// An address as written: host (name, IPv4, IPv6 without brackets, or empty for "any") and port, or a Unix
// path.
struct Address {
  std::string text;  // exactly as written
  std::string host;  // "" means every local address (listeners only)
  std::uint16_t port = 0;
  std::string path;  // "unix:PATH" only
  bool is_unix() const { return !path.empty(); }
  // The numeric form if host is an IP literal, empty, or a Unix path; nullopt if it is a name to resolve.
  std::optional<SocketAddress> numeric() const;
  bool operator==(const Address&) const = default;
};

// Parses "host:port", ":port", "1.2.3.4:80", "[::1]:80", "unix:/path". On failure `error` says what is wrong
// and how to mend it, without quoting the place. default_port 0 means that a port is required.
std::optional<Address> parse_address(std::string_view text, std::uint16_t default_port, std::string* error);

// "http://HOST[:PORT]/PATH[?QUERY]": the port is 80 by default.
struct HttpUrl {
  Address address;
  std::string target;  // path and query
};
// Refuses https, users and passwords, and fragments. `error` as of parse_address.
std::optional<HttpUrl> parse_http_url(std::string_view text, std::string* error);

// "http://HOST[:PORT]/PATH[?QUERY]" or the same with https, whose port is 443 by default. No user, no password, no fragment.
struct WebUrl {
  Address address;
  std::string target;     // path and query
  std::string authority;  // as written, for the Host field
  bool tls = false;
};
std::optional<WebUrl> parse_web_url(std::string_view text, std::string* error);

// Parses an IP literal (v4, or v6 without brackets), port 0.
std::optional<SocketAddress> parse_ip(std::string_view text);

// A network such as 10.0.0.0/8 or ::1/128. A v4-mapped v6 address matches its v4 network.
struct Cidr {
  SocketAddress base;
  std::uint8_t prefix = 0;
  bool contains(const SocketAddress& address) const;
  bool operator==(const Cidr&) const = default;
};
std::optional<Cidr> parse_cidr(std::string_view text);

}  // namespace understudy::config
