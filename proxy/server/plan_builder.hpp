// From a configuration to what the workers serve by: routes indexed, certificates loaded, policies derived.
#pragma once

#include <memory>
#include <string>

#include "proxy/net/snapshot.hpp"

namespace understudy::server {

class PlanBuilder {
public:
  PlanBuilder();

  // The plan that follows `previous` (null at the start). Reads certificates and keys; changes nothing here, so it may run off
  // the control thread. Throws std::runtime_error naming the key, the file and the remedy when one of them cannot be used.
  // Retry budgets of pools that stay are the same objects.
  std::shared_ptr<const net::Plan> build(config::Config config, const net::Plan* previous) const;
  net::TicketKeys& tickets() { return tickets_; }

private:
  net::TicketKeys tickets_;
  std::uint64_t hash_seed_;
};

}  // namespace understudy::server
