// How a tier that is half dead shares the load of a `shared` pool with the tiers below it. An endpoint can carry more than
// its share of the traffic (overprovisioning), so a tier that lost a few carries everything still; what it cannot carry goes
// to the next tier, and so on. Numbers in, numbers out.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace understudy::health {

// `trusted`: for each tier, in the order in which they are asked, the part of its endpoints (by weight) that may be given
// traffic. Returns the share of the traffic for each: they add up to 1, the first gets what nobody can carry.
// Where all together cannot carry everything, each gets as much of it as it is able to, in proportion.
std::vector<double> spread_load(std::span<const double> trusted, double overprovisioning);

}  // namespace understudy::health
