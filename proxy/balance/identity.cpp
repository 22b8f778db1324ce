#include "proxy/balance/identity.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>

namespace understudy::balance {

// Each part is hashed with the hash before it as seed, so that the borders between parts count.
std::uint64_t scope_of(std::string_view scope) {
  return XXH3_64bits_withSeed(scope.data(), scope.size(), 0x756E646572737479ULL);
}

std::uint64_t identity_of(const health::EndpointView& endpoint, std::uint64_t scope) {
  const config::SocketAddress& address = endpoint.address;
  std::array<std::uint8_t, 19> numeric;
  std::copy(address.ip.begin(), address.ip.end(), numeric.begin());
  numeric[16] = static_cast<std::uint8_t>(address.family);
  numeric[17] = static_cast<std::uint8_t>(address.port >> 8U);
  numeric[18] = static_cast<std::uint8_t>(address.port & 0xFFU);
  std::uint64_t hash = XXH3_64bits_withSeed(endpoint.label.data(), endpoint.label.size(), scope);
  hash = XXH3_64bits_withSeed(numeric.data(), numeric.size(), hash);
  if (!address.path.empty()) hash = XXH3_64bits_withSeed(address.path.data(), address.path.size(), hash);
  return hash;
}

}  // namespace understudy::balance
