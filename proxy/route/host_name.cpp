#include "proxy/route/host_name.hpp"

#include <algorithm>
#include <cstddef>
#include <string>

#include "config/address.hpp"

namespace understudy::route {
namespace {

constexpr std::size_t kLongestName = 253;

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

// '[' and the address in hex: one key for every spelling of the literal, and without dots, so that no suffix
// meets it.
std::string_view literal_key(std::string_view inside, HostBuffer& buffer) {
  const auto address = config::parse_ip(inside);
  if (!address) return {};
  constexpr std::string_view digits = "0123456789abcdef";
  std::size_t n = 0;
  buffer[n++] = '[';
  for (const std::uint8_t byte : address->ip) {
    buffer[n++] = digits[byte >> 4U];
    buffer[n++] = digits[byte & 15U];
  }
  return {buffer.data(), n};
}

}  // namespace

std::string_view normalise_host(std::string_view authority, HostBuffer& buffer) {
  if (!authority.empty() && authority.front() == '[') {
    const auto close = authority.find(']');
    return close == std::string_view::npos ? std::string_view{} : literal_key(authority.substr(1, close - 1), buffer);
  }
  std::string_view host = authority.substr(0, authority.find(':'));
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  if (host.empty() || host.size() > kLongestName) return {};
  if (std::none_of(host.begin(), host.end(), is_upper)) return host;
  std::transform(host.begin(), host.end(), buffer.begin(),
                 [](char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; });
  return {buffer.data(), host.size()};
}

}  // namespace understudy::route
