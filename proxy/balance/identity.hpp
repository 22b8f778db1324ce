// What an endpoint is across workers, reloads and restarts: its label and address, as a number.
#pragma once

#include <cstdint>
#include <string_view>

#include "health/types.hpp"

namespace understudy::balance {

// Stable for the same label and address (and scope), in every process. Not secret and not seeded: never hash
// what a client chooses with it.
std::uint64_t identity_of(const health::EndpointView& endpoint, std::string_view scope = {});

}  // namespace understudy::balance
