// Is a pool as its operator would want to find it? By what the core shows of it; no state.
#pragma once

#include <string>
#include <vector>

#include "health/core.hpp"

namespace understudy::incident {

struct Wellness {
  bool bad = false;
  bool doubtful = false;  // traffic doubts an endpoint, nothing more
  std::string why;        // a sentence on the first thing that is bad
};
// `moved`: the machine left the first tier, so that serving from another one is not well either. Endpoints that an operator
// took out or holds are as they were ordered to be.
Wellness wellness_of(const health::PoolStatus& pool, bool moved);

// The tier that should serve: the first one with an endpoint in use; the designated one if there is none.
std::uint32_t first_in_use(const health::PoolStatus& pool);

// What there was to choose from, a sentence for each tier.
std::vector<std::string> alternatives_of(const health::PoolStatus& pool);

}  // namespace understudy::incident
