#include "config/model.hpp"

#include <algorithm>

namespace understudy::config {

const PoolConfig* Config::pool(const std::string& name) const {
  const auto found =
      std::lower_bound(pools.begin(), pools.end(), name,
                       [](const PoolConfig& pool, const std::string& wanted) { return pool.name < wanted; });
  return found != pools.end() && found->name == name ? &*found : nullptr;
}

}  // namespace understudy::config
