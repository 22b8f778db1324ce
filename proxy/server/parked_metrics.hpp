// The part of /metrics that tells of tunnels that lost their endpoint and were kept.
#pragma once

#include <memory>
#include <vector>

#include "config/model.hpp"
#include "proxy/observe/counters.hpp"
#include "proxy/observe/exposition.hpp"

namespace understudy::server {

// `counters`: per worker, in the order of `pools`. All words have a line, so that an alert can be written before the first one.
void expose_parked(observe::Exposition& out, const std::vector<config::PoolConfig>& pools,
                   const std::vector<std::shared_ptr<const observe::PlanCounters>>& counters);

}  // namespace understudy::server
