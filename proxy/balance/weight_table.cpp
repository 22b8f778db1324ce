#include "proxy/balance/weight_table.hpp"

#include <algorithm>
#include <cstddef>

namespace understudy::balance {
namespace {

// [0, 1) from the upper 53 bits.
double unit(std::uint64_t random) { return static_cast<double>(random >> 11U) * 0x1.0p-53; }

// The position whose share of the sums holds `at`.
std::size_t locate(const std::vector<double>& sums, double at) {
  const auto it = std::upper_bound(sums.begin(), sums.end(), at);
  return it == sums.end() ? sums.size() - 1 : static_cast<std::size_t>(it - sums.begin());
}

// A position other than `first`, by weight among the others. REQUIRES: two or more positions.
std::size_t locate_other(const std::vector<double>& sums, std::size_t first, std::uint64_t random) {
  const double before = first == 0 ? 0 : sums[first - 1];
  const double own = sums[first] - before;
  double at = unit(random) * (sums.back() - own);
  if (at >= before) at += own;
  const std::size_t found = locate(sums, at);
  if (found != first) return found;
  return first + 1 == sums.size() ? first - 1 : first + 1;  // rounding at a border
}

}  // namespace

bool is_excluded(const health::EndpointView& endpoint, const PickInput& input) {
  return std::find(input.excluded.begin(), input.excluded.end(), endpoint.id) != input.excluded.end();
}

bool is_full(const health::EndpointView& endpoint, const PickInput& input, const LoadSource& load) {
  return input.max_in_flight != 0 && load.in_flight(endpoint) >= input.max_in_flight;
}

bool is_eligible(const health::EndpointView& endpoint, const PickInput& input, const LoadSource& load) {
  return !is_excluded(endpoint, input) && !is_full(endpoint, input, load);
}

double weight_of(const health::EndpointView& endpoint) {
  constexpr double least = 1e-6;
  return endpoint.weight > least ? endpoint.weight : least;  // also for NaN
}

std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15ULL;
  std::uint64_t z = state;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}

void WeightTable::refresh(const health::TierView& tier) {
  if (membership_ == tier.membership && sums_.size() == tier.usable.size()) return;
  membership_ = tier.membership;
  sums_.clear();
  double sum = 0;
  for (const std::uint32_t index : tier.usable) sums_.push_back(sum += weight_of(tier.endpoints[index]));
  mean_ = sums_.empty() ? 1 : sum / static_cast<double>(sums_.size());
}

void WeightTable::keep_eligible(const health::TierView& tier, const PickInput& input, const LoadSource& load) {
  eligible_.clear();
  eligible_sums_.clear();
  double sum = 0;
  for (const std::uint32_t index : tier.usable) {
    const health::EndpointView& endpoint = tier.endpoints[index];
    if (!is_eligible(endpoint, input, load)) continue;
    eligible_.push_back(index);
    eligible_sums_.push_back(sum += weight_of(endpoint));
  }
}

std::optional<std::uint32_t> WeightTable::draw_one(const health::TierView& tier, const PickInput& input,
                                                   const LoadSource& load) {
  refresh(tier);
  if (sums_.empty()) return std::nullopt;
  std::uint64_t state = input.random;
  const std::uint64_t random = next_random(state);
  const std::uint32_t index = tier.usable[locate(sums_, unit(random) * sums_.back())];
  if (is_eligible(tier.endpoints[index], input, load)) return index;
  keep_eligible(tier, input, load);
  if (eligible_.empty()) return std::nullopt;
  return eligible_[locate(eligible_sums_, unit(next_random(state)) * eligible_sums_.back())];
}

std::optional<Draw> WeightTable::draw_two(const health::TierView& tier, const PickInput& input,
                                          const LoadSource& load) {
  refresh(tier);
  if (sums_.empty()) return std::nullopt;
  std::uint64_t state = input.random;
  const std::uint64_t random = next_random(state);
  const std::uint64_t other_random = next_random(state);
  if (sums_.size() > 1) {
    const std::size_t first = locate(sums_, unit(random) * sums_.back());
    const std::size_t second = locate_other(sums_, first, other_random);
    const Draw draw{tier.usable[first], tier.usable[second]};
    if (is_eligible(tier.endpoints[draw.first], input, load) &&
        is_eligible(tier.endpoints[*draw.second], input, load)) {
      return draw;
    }
  }
  keep_eligible(tier, input, load);
  if (eligible_.empty()) return std::nullopt;
  const std::size_t first = locate(eligible_sums_, unit(random) * eligible_sums_.back());
  Draw draw{eligible_[first], std::nullopt};
  if (eligible_.size() > 1) draw.second = eligible_[locate_other(eligible_sums_, first, other_random)];
  return draw;
}

}  // namespace understudy::balance
