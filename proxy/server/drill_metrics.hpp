// The part of /metrics that tells of live drills, and of those that have to be made.
#pragma once

#include <vector>

#include "proxy/observe/exposition.hpp"
#include "proxy/server/live_drills.hpp"

namespace understudy::server {

void expose_drills(observe::Exposition& out, const config::Config& config, const LiveDrills& drills,
                   const std::vector<health::DrillDue>& duties);

}  // namespace understudy::server
