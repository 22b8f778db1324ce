// From a configuration to what the workers serve by: routes indexed, certificates loaded, policies derived.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "proxy/net/snapshot.hpp"

namespace understudy::server {

class PlanBuilder {
public:
  PlanBuilder();

  // Throws std::runtime_error naming the key, the file and the remedy when a certificate or key cannot be used; nothing has
  // changed then. Retry budgets of pools that stay are the same objects.
  std::shared_ptr<const net::Plan> build(config::Config config);
  net::TicketKeys& tickets() { return tickets_; }

private:
  net::TicketKeys tickets_;
  std::uint64_t generation_ = 0;
  std::uint64_t hash_seed_;
  struct Budget {
    double ratio, floor;
    std::shared_ptr<net::SharedBudget> budget;
  };
  std::map<std::string, Budget> budgets_;
};

}  // namespace understudy::server
