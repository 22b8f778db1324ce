#include "proxy/balance/round_robin.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace understudy::balance {
namespace {

constexpr int kPostponedPerPick = 8;
constexpr double kFarClock =
    1e6;  // periods; past it the clock starts again at 0 so that 1/weight is not lost to rounding

}  // namespace

std::optional<std::uint32_t> RoundRobin::pick(const health::TierView& tier, const PickInput& input,
                                              const LoadSource& load) {
  refresh(tier, input.random);
  if (heap_.empty()) return std::nullopt;
  for (int i = 0; i < kPostponedPerPick; ++i) {
    const health::EndpointView& next = tier.endpoints[heap_.front().index];
    if (is_excluded(next, input)) break;  // it keeps its turn for the next request
    if (!is_full(next, input, load)) return serve(0);
    postpone(0);
  }
  std::optional<std::size_t> best;
  for (std::size_t at = 0; at < heap_.size(); ++at) {
    if (best && !(heap_[at] < heap_[*best])) continue;
    if (is_eligible(tier.endpoints[heap_[at].index], input, load)) best = at;
  }
  if (!best) return std::nullopt;
  return serve(*best);
}

void RoundRobin::refresh(const health::TierView& tier, std::uint64_t random) {
  if (membership_ != tier.membership || heap_.size() != tier.usable.size()) {
    rebuild(tier, random);
    membership_ = tier.membership;
  }
  if (clock_ > kFarClock) {
    for (Turn& turn : heap_) turn.due -= clock_;
    clock_ = 0;
  }
}

// Endpoints that stay keep the part of their period that is left; the first turn of a new one lies inside its
// period, spread among those of equal weight. The very first build starts each worker elsewhere, so that they
// do not march in step.
void RoundRobin::rebuild(const health::TierView& tier, std::uint64_t random) {
  std::unordered_map<std::uint64_t, double> left;  // part of a period
  for (const Turn& turn : heap_) {
    const std::uint64_t key = (std::uint64_t{turn.id.slot} << 32U) | turn.id.generation;
    left.emplace(key, std::max(0.0, (turn.due - clock_) / turn.period));
  }
  const std::uint64_t start = heap_.empty() ? random : 0;
  heap_.clear();
  std::unordered_map<double, std::pair<std::uint64_t, std::uint64_t>> groups;  // weight: members, members seen
  for (const std::uint32_t index : tier.usable) ++groups[weight_of(tier.endpoints[index])].first;
  for (const std::uint32_t index : tier.usable) {
    const health::EndpointView& endpoint = tier.endpoints[index];
    const double weight = weight_of(endpoint);
    auto& [members, seen] = groups[weight];
    const std::uint64_t place = (seen++ + members - start % members) % members;
    const auto known = left.find((std::uint64_t{endpoint.id.slot} << 32U) | endpoint.id.generation);
    const double part =
        known != left.end() ? known->second : (static_cast<double>(place) + 0.5) / static_cast<double>(members);
    Turn turn;
    turn.period = 1 / weight;
    turn.due = clock_ + part * turn.period;
    turn.order = static_cast<std::uint32_t>(heap_.size());
    turn.index = index;
    turn.id = endpoint.id;
    heap_.push_back(turn);
  }
  for (std::size_t at = heap_.size() / 2; at-- > 0;) sift_down(at);
}

std::uint32_t RoundRobin::serve(std::size_t at) {
  const std::uint32_t index = heap_[at].index;
  clock_ = std::max(clock_, heap_[at].due);
  postpone(at);
  return index;
}

void RoundRobin::postpone(std::size_t at) {
  heap_[at].due = std::max(heap_[at].due, clock_) + heap_[at].period;
  sift_down(at);
}

void RoundRobin::sift_down(std::size_t at) {
  const Turn moved = heap_[at];
  for (;;) {
    std::size_t child = 2 * at + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1] < heap_[child]) ++child;
    if (!(heap_[child] < moved)) break;
    heap_[at] = heap_[child];
    at = child;
  }
  heap_[at] = moved;
}

}  // namespace understudy::balance
