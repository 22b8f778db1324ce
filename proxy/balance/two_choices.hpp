// The better of two endpoints drawn by weight: near the quality of asking all, for the price of two. Reads
// only what is drawn, so 1,000 endpoints cost little more than 3.
#pragma once

#include "proxy/balance/weight_table.hpp"

namespace understudy::balance {

// Fewer requests in flight per unit of weight; a tie goes to the first drawn, so an idle tier is shared by
// weight.
class LeastRequest final : public Balancer {
public:
  std::optional<std::uint32_t> pick(const health::TierView& tier, const PickInput& input,
                                    const LoadSource& load) override;

private:
  WeightTable table_;
};

// Less peak-EWMA latency × (in flight / relative weight + 1), where relative weight is 1 when all weights are
// equal. An endpoint of which nothing is known is taken to be as fast as the other one drawn, so that it is
// neither flooded nor left out before its first answer.
class LeastLatency final : public Balancer {
public:
  std::optional<std::uint32_t> pick(const health::TierView& tier, const PickInput& input,
                                    const LoadSource& load) override;

private:
  WeightTable table_;
};

}  // namespace understudy::balance
