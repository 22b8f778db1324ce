// Sticky cookies: which endpoint a client was given before. See balancer.hpp.
#include <algorithm>

#include "proxy/balance/balancer.hpp"
#include "proxy/balance/identity.hpp"

namespace understudy::balance {
namespace {

bool may_take(const health::EndpointView& endpoint) {
  const bool keeps = endpoint.draining || endpoint.eased;
  return endpoint.available || (keeps && !endpoint.disabled && !endpoint.unhealthy);
}

}  // namespace

std::uint64_t sticky_token(std::string_view pool, const health::EndpointView& endpoint) {
  return identity_of(endpoint, scope_of(pool));
}

void write_sticky(char out[16], std::uint64_t token) {
  for (int i = 0; i < 16; ++i) out[i] = "0123456789abcdef"[(token >> (60 - 4 * i)) & 15U];
}

std::optional<std::uint64_t> parse_sticky(std::string_view text) {
  if (text.size() != 16) return std::nullopt;
  std::uint64_t token = 0;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return std::nullopt;
    token = token << 4U | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return token;
}

std::optional<std::uint32_t> find_sticky(const health::TierView& tier, std::string_view pool, std::uint64_t token,
                                         std::span<const health::EndpointId> excluded) {
  const std::uint64_t scope = scope_of(pool);
  for (std::size_t i = 0; i < tier.endpoints.size(); ++i) {
    const health::EndpointView& endpoint = tier.endpoints[i];
    if (identity_of(endpoint, scope) != token) continue;
    if (!may_take(endpoint)) return std::nullopt;
    if (std::find(excluded.begin(), excluded.end(), endpoint.id) != excluded.end()) return std::nullopt;
    return static_cast<std::uint32_t>(i);
  }
  return std::nullopt;
}

}  // namespace understudy::balance
