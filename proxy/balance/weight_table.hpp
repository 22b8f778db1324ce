// Draws from the usable endpoints of a tier in proportion to their weights. Cached by TierView::membership.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "proxy/balance/balancer.hpp"

namespace understudy::balance {

// May this request go there: not tried by it before, and below the limit.
bool is_excluded(const health::EndpointView& endpoint, const PickInput& input);
bool is_full(const health::EndpointView& endpoint, const PickInput& input, const LoadSource& load);
bool is_eligible(const health::EndpointView& endpoint, const PickInput& input, const LoadSource& load);

// Weights are > 0 by contract; anything else is held to a tiny share rather than trusted.
double weight_of(const health::EndpointView& endpoint);

// Further numbers from the one that the caller drew (splitmix64).
std::uint64_t next_random(std::uint64_t& state);

// One or two indices into tier.endpoints, the first drawn by weight, the second by weight among the others.
struct Draw {
  std::uint32_t first = 0;
  std::optional<std::uint32_t> second;
};

// A table of cumulative weights: O(log n) a draw while what is drawn is eligible, else one pass over the
// tier.
class WeightTable {
public:
  std::optional<std::uint32_t> draw_one(const health::TierView& tier, const PickInput& input, const LoadSource& load);
  std::optional<Draw> draw_two(const health::TierView& tier, const PickInput& input, const LoadSource& load);
  // Mean weight of the usable endpoints, as of the last draw.
  double mean_weight() const { return mean_; }

private:
  void refresh(const health::TierView& tier);
  void keep_eligible(const health::TierView& tier, const PickInput& input, const LoadSource& load);

  std::optional<std::uint64_t> membership_;
  std::vector<double> sums_;  // sums_[i]: weight of usable[0..i]
  double mean_ = 1;
  std::vector<std::uint32_t> eligible_;  // scratch of the slow way: indices into endpoints
  std::vector<double> eligible_sums_;
};

}  // namespace understudy::balance
