#include "proxy/http/authority.hpp"

#include "config/address.hpp"
#include "proxy/http/chars.hpp"

namespace understudy::http {

namespace {

bool parse_port(std::string_view text, std::uint16_t& port) {
  if (text.empty() || text.size() > 5) return false;
  std::uint32_t n = 0;
  for (const char c : text) {
    if (!chars::is(c, chars::digit)) return false;
    n = n * 10 + static_cast<std::uint32_t>(c - '0');
  }
  if (n == 0 || n > 65535) return false;
  port = static_cast<std::uint16_t>(n);
  return true;
}

// Up to 45 characters of hex digits, colons and dots that are an IPv6 address.
bool is_ipv6(std::string_view text) {
  if (text.size() < 2 || text.size() > 45) return false;
  for (const char c : text) {
    if (!chars::is(c, chars::hex) && c != ':' && c != '.') return false;
  }
  const auto address = config::parse_ip(text);
  return address.has_value() && address->family == config::SocketAddress::Family::v6;
}

}  // namespace

bool parse_authority(std::string_view text, Authority& authority) {
  std::size_t host_end = 0;
  if (!text.empty() && text.front() == '[') {
    const auto bracket = text.find(']');
    if (bracket == std::string_view::npos || !is_ipv6(text.substr(1, bracket - 1))) return false;
    host_end = bracket + 1;
  } else {
    while (host_end < text.size() && chars::is(text.data()[host_end], chars::reg_name)) ++host_end;
    if (host_end == 0 || host_end > 255) return false;
  }
  authority.host = {text.data(), host_end};
  authority.port = 0;
  if (host_end == text.size()) return true;
  return text[host_end] == ':' && parse_port(text.substr(host_end + 1), authority.port);
}

bool same_authority(const Authority& a, const Authority& b, std::uint16_t default_port) {
  const std::uint16_t port_a = a.port != 0 ? a.port : default_port;
  const std::uint16_t port_b = b.port != 0 ? b.port : default_port;
  return port_a == port_b && chars::iequal(a.host, b.host);
}

}  // namespace understudy::http
