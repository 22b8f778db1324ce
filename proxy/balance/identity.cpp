#include "proxy/balance/identity.hpp"

#include <xxhash.h>

namespace understudy::balance {
namespace {

// Each part is hashed with the hash before it as seed, so that the borders between parts count.
std::uint64_t chain(const void* data, std::size_t size, std::uint64_t seed) {
  return XXH64(data, size, seed);
}

}  // namespace

std::uint64_t identity_of(const health::EndpointView& endpoint, std::string_view scope) {
  const config::SocketAddress& address = endpoint.address;
  const std::uint8_t tail[] = {static_cast<std::uint8_t>(address.family),
                               static_cast<std::uint8_t>(address.port >> 8U),
                               static_cast<std::uint8_t>(address.port & 0xFFU)};
  std::uint64_t hash = chain(scope.data(), scope.size(), 0x756E646572737479ULL);
  hash = chain(endpoint.label.data(), endpoint.label.size(), hash);
  hash = chain(address.ip.data(), address.ip.size(), hash);
  hash = chain(address.path.data(), address.path.size(), hash);
  return chain(tail, sizeof tail, hash);
}

}  // namespace understudy::balance
