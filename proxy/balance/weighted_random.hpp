// A random endpoint, by weight. No memory beyond the table of weights.
#pragma once

#include "proxy/balance/weight_table.hpp"

namespace understudy::balance {

class WeightedRandom final : public Balancer {
public:
  std::optional<std::uint32_t> pick(const health::TierView& tier, const PickInput& input,
                                    const LoadSource& load) override {
    return table_.draw_one(tier, input, load);
  }

private:
  WeightTable table_;
};

}  // namespace understudy::balance
