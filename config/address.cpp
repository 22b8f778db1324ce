#include "config/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace understudy::config {
namespace {

constexpr std::array<std::uint8_t, 12> v4_mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::size_t longest_unix_path = 107;  // sockaddr_un::sun_path without its end

bool is_v4_mapped(const SocketAddress& address) {
  return address.family == SocketAddress::Family::v6 &&
         std::equal(v4_mapped_prefix.begin(), v4_mapped_prefix.end(), address.ip.begin());
}

SocketAddress unmapped(const SocketAddress& address) {
  SocketAddress plain;
  plain.family = SocketAddress::Family::v4;
  plain.port = address.port;
  std::copy_n(address.ip.begin() + 12, 4, plain.ip.begin());
  return plain;
}

std::nullopt_t fail(std::string* error, const char* text) {
  if (error != nullptr) *error = text;
  return std::nullopt;
}

// Labels of letters, digits, '-' and '_', 63 bytes each, 253 in all; a trailing dot is fine.
bool is_host_name(std::string_view host) {
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  if (host.empty() || host.size() > 253) return false;
  std::size_t label = 0;
  char previous = '.';
  for (const char c : host) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (c == '.') {
      if (label == 0 || previous == '-') return false;
      label = 0;
    } else if (letter || (c == '-' && label > 0)) {
      if (++label > 63) return false;
    } else {
      return false;
    }
    previous = c;
  }
  return label > 0 && previous != '-';
}

// "10.0.0.256" or "1.2.3" is a mistyped address, never a name: names that end in a number do not exist (RFC
// 3696).
bool looks_like_ipv4(std::string_view host) {
  const std::size_t dot = host.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? host : host.substr(dot + 1);
  return !last.empty() && std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  unsigned value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.size() > 5 || result.ec != std::errc() || result.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  if (value > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(value);
}

std::optional<Address> parse_unix(std::string_view text, Address address, std::string* error) {
  address.path = text.substr(5);
  if (address.path.empty()) return fail(error, "has no path after 'unix:'");
  if (address.path.size() > longest_unix_path)
    return fail(error, "has a path longer than 107 bytes, the system's limit");
  if (address.path.find('\0') != std::string::npos) return fail(error, "has a zero byte in its path");
  return address;
}

}  // namespace

std::string SocketAddress::ip_string() const {
  char text[INET6_ADDRSTRLEN] = {};
  switch (family) {
    case Family::none: return "";
    case Family::unix_path: return "unix:";
    case Family::v4: {  // once per connection; inet_ntop goes through printf
      std::string out;
      for (std::size_t i = 0; i < 4; ++i) {
        const unsigned byte = ip[i];
        if (i > 0) out += '.';
        if (byte >= 100) out += static_cast<char>('0' + byte / 100);
        if (byte >= 10) out += static_cast<char>('0' + byte / 10 % 10);
        out += static_cast<char>('0' + byte % 10);
      }
      return out;
    }
    case Family::v6: inet_ntop(AF_INET6, ip.data(), text, sizeof text); return text;
  }
  return "";
}

std::string SocketAddress::to_string() const {
  switch (family) {
    case Family::none: return "";
    case Family::unix_path: return "unix:" + path;
    case Family::v4: return ip_string() + ":" + std::to_string(port);
    case Family::v6: return "[" + ip_string() + "]:" + std::to_string(port);
  }
  return "";
}

bool SocketAddress::is_loopback() const {
  if (family == Family::unix_path) return true;
  if (family == Family::v4) return ip[0] == 127;
  if (family != Family::v6) return false;
  if (is_v4_mapped(*this)) return ip[12] == 127;
  return std::all_of(ip.begin(), ip.end() - 1, [](std::uint8_t byte) { return byte == 0; }) && ip[15] == 1;
}

std::optional<SocketAddress> Address::numeric() const {
  if (is_unix()) {
    SocketAddress address;
    address.family = SocketAddress::Family::unix_path;
    address.path = path;
    return address;
  }
  std::optional<SocketAddress> address;
  if (host.empty()) {
    address.emplace();
    address->family = SocketAddress::Family::v6;  // "::", which also takes IPv4 when the socket is dual
  } else {
    address = parse_ip(host);
  }
  if (address) address->port = port;
  return address;
}

std::optional<Address> parse_address(std::string_view text, std::uint16_t default_port, std::string* error) {
  Address address;
  address.text = text;
  if (text.empty()) return fail(error, "is empty; write an address such as \"10.0.0.11:8080\"");
  if (text.substr(0, 5) == "unix:") return parse_unix(text, std::move(address), error);
  if (text.find("://") != std::string_view::npos) {
    return fail(error, "is a URL; write host and port only, such as \"10.0.0.11:8080\"");
  }
  std::string_view host;
  std::optional<std::string_view> port;
  if (text.front() == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return fail(error, "has no ']' after the IPv6 address");
    host = text.substr(1, end - 1);
    const auto ip = parse_ip(host);
    if (!ip || ip->family != SocketAddress::Family::v6) return fail(error, "has no IPv6 address between '[' and ']'");
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return fail(error, "has text between ']' and the port");
    if (!rest.empty()) port = rest.substr(1);
  } else {
    const std::size_t colon = text.find(':');
    if (colon != text.rfind(':')) return fail(error, "is an IPv6 address without brackets; write \"[::1]:8080\"");
    host = text.substr(0, colon);
    if (colon != std::string_view::npos) port = text.substr(colon + 1);
    const bool numeric = !host.empty() && looks_like_ipv4(host);
    if (numeric && !port && host.find('.') == std::string_view::npos) {
      return fail(error, "is only a number; write \":8080\" for a port on every address");
    }
    if (numeric && !parse_ip(host)) return fail(error, "is not an IPv4 address (four numbers from 0 to 255)");
    if (!host.empty() && !numeric && !is_host_name(host)) {
      return fail(error, host == "*" ? "has '*' as its host; write \":8080\" for every address"
                                     : "is neither a host name nor an IP address with a port");
    }
  }
  if (!port) {
    if (default_port == 0) return fail(error, "has no port; write it as host:port");
    address.port = default_port;
  } else {
    const auto number = parse_port(*port);
    if (!number) return fail(error, "has a port that is not a number from 0 to 65535; write it as host:port");
    address.port = *number;
  }
  address.host = host;
  return address;
}

namespace {
// What stands behind the scheme.
std::optional<HttpUrl> parse_rest(std::string_view text, std::uint16_t port, std::string* error) {
  const std::size_t end = std::min(text.find_first_of("/?#"), text.size());
  const std::string_view authority = text.substr(0, end);
  const std::string_view target = text.substr(end);
  if (authority.find('@') != std::string_view::npos)
    return fail(error, "has a user before its host; leave it out, or write a command");
  if (authority.empty() || authority.rfind(':') == 0)
    return fail(error, "has no host; write \"http://10.0.0.11:9000/ready\"");
  if (target.empty() || target.front() != '/') return fail(error, "has no path; write it as http://HOST:PORT/PATH");
  const bool plain = std::all_of(target.begin(), target.end(), [](char c) { return c > ' ' && c < 0x7f && c != '#'; });
  if (!plain) return fail(error, "has a space, '#' or a character beyond ASCII in its path; write it as %20, %23, ...");
  if (authority.substr(0, 5) == "unix:") return fail(error, "has 'unix' for a host; write it as http://HOST:PORT/PATH");
  auto address = parse_address(authority, port, error);
  if (!address) return std::nullopt;
  if (address->port == 0) return fail(error, "has port 0");
  return HttpUrl{std::move(*address), std::string(target)};
}
}  // namespace

std::optional<HttpUrl> parse_http_url(std::string_view text, std::string* error) {
  constexpr std::string_view scheme = "http://";
  if (text.substr(0, 8) == "https://")
    return fail(error, "is an https URL; write a command such as [\"/usr/bin/curl\", \"-fsS\", \"https://...\"]");
  if (text.substr(0, scheme.size()) != scheme)
    return fail(error, "does not start with http://; write \"http://10.0.0.11:9000/ready\"");
  return parse_rest(text.substr(scheme.size()), 80, error);
}

std::optional<WebUrl> parse_web_url(std::string_view text, std::string* error) {
  constexpr std::string_view plain = "http://", secure = "https://";
  const bool tls = text.substr(0, secure.size()) == secure;
  if (!tls && text.substr(0, plain.size()) != plain)
    return fail(error, "does not start with https:// or http://; write \"https://alerts.example.org/hook\"");
  text.remove_prefix(tls ? secure.size() : plain.size());
  auto url = parse_rest(text, tls ? 443 : 80, error);
  if (!url) return std::nullopt;
  const std::string_view authority = text.substr(0, std::min(text.find('/'), text.size()));
  return WebUrl{std::move(url->address), std::move(url->target), std::string(authority), tls};
}

std::optional<SocketAddress> parse_ip(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN + 1] = {};
  if (text.empty() || text.size() >= sizeof buffer || text.find('\0') != std::string_view::npos) return std::nullopt;
  std::memcpy(buffer, text.data(), text.size());
  SocketAddress address;
  if (inet_pton(AF_INET, buffer, address.ip.data()) == 1) {
    address.family = SocketAddress::Family::v4;
    return address;
  }
  if (inet_pton(AF_INET6, buffer, address.ip.data()) == 1) {
    address.family = SocketAddress::Family::v6;
    return address;
  }
  return std::nullopt;
}

bool Cidr::contains(const SocketAddress& address) const {
  if (is_v4_mapped(address) && base.family == SocketAddress::Family::v4) return contains(unmapped(address));
  if (address.family != base.family ||
      (base.family != SocketAddress::Family::v4 && base.family != SocketAddress::Family::v6)) {
    return false;
  }
  const std::size_t whole = prefix / 8;
  const unsigned rest = prefix % 8;
  if (!std::equal(base.ip.begin(), base.ip.begin() + static_cast<std::ptrdiff_t>(whole), address.ip.begin()))
    return false;
  if (rest == 0) return true;
  const unsigned mask = 0xffU << (8 - rest);
  return (base.ip[whole] & mask) == (address.ip[whole] & mask);
}

std::optional<Cidr> parse_cidr(std::string_view text) {
  const std::size_t slash = text.find('/');
  auto base = parse_ip(text.substr(0, slash));
  if (!base) return std::nullopt;
  const unsigned bits = base->family == SocketAddress::Family::v4 ? 32 : 128;
  unsigned prefix = bits;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
    if (digits.empty() || result.ec != std::errc() || result.ptr != digits.data() + digits.size() || prefix > bits) {
      return std::nullopt;
    }
  }
  // A v4-mapped network of 96 bits or more is its v4 network, so that both spellings mean and match the same.
  if (is_v4_mapped(*base) && prefix >= 96) {
    base = unmapped(*base);
    prefix -= 96;
  }
  Cidr cidr{*base, static_cast<std::uint8_t>(prefix)};
  const unsigned length = base->family == SocketAddress::Family::v4 ? 32 : 128;
  for (unsigned bit = prefix; bit < length; ++bit) {
    cidr.base.ip[bit / 8] = static_cast<std::uint8_t>(cidr.base.ip[bit / 8] & ~(0x80U >> (bit % 8)));
  }
  return cidr;
}

}  // namespace understudy::config
