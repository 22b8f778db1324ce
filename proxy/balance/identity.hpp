// What an endpoint is across workers, reloads and restarts: its label and address, as a number.
#pragma once

#include <cstdint>
#include <string_view>

#include "health/types.hpp"

namespace understudy::balance {

// Stable for the same label and address (and scope), in every process. Not secret and not seeded: never hash
// with it what a client chooses. The scope, such as a pool's name, is hashed once for many endpoints.
std::uint64_t scope_of(std::string_view scope);
std::uint64_t identity_of(const health::EndpointView& endpoint, std::uint64_t scope = 0);

}  // namespace understudy::balance
