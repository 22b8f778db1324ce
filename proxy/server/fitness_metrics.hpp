// The part of /metrics that tells what is proven of standbys: by synthetic requests and by copies of real ones.
#pragma once

#include <vector>

#include "health/core.hpp"
#include "proxy/observe/exposition.hpp"
#include "proxy/server/copies_under_way.hpp"

namespace understudy::server {

// Of pools that have something to prove.
void expose_fitness(observe::Exposition& out, const std::vector<health::PoolStatus>& pools);
// Of all pools together.
void expose_copies(observe::Exposition& out, const CopiesUnderWay& copies);

}  // namespace understudy::server
