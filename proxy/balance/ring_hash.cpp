#include "proxy/balance/ring_hash.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "proxy/balance/identity.hpp"

namespace understudy::balance {
namespace {

constexpr double kLoadBound = 1.25;
constexpr std::uint32_t kMostPointsPerWeight = 256;
constexpr double kMostPoints = 65'536;
constexpr std::size_t kSummedWhole = 64;     // tiers up to this size are summed exactly at each pick
constexpr std::size_t kSampledPerPick = 16;  // of larger ones
constexpr int kMostSteps = 256;              // along the ring, before the least loaded is taken

// A power of two, so that it seldom changes and, when it does, each endpoint keeps half of its points.
std::uint32_t choose_points_per_weight(double total_weight) {
  std::uint32_t points = kMostPointsPerWeight;
  while (points > 1 && total_weight * points > kMostPoints) points /= 2;
  return points;
}

std::uint64_t point_of(std::uint64_t identity, std::uint32_t number) {
  std::uint64_t state = identity + number * 0xD1B54A32D192ED03ULL;
  return next_random(state);
}

}  // namespace

std::optional<std::uint32_t> RingHash::pick(const health::TierView& tier, const PickInput& input,
                                            const LoadSource& load) {
  refresh(tier, load);
  if (ring_.empty()) return std::nullopt;
  Point key;
  key.at = input.hash;
  auto at = static_cast<std::size_t>(std::lower_bound(ring_.begin(), ring_.end(), key) - ring_.begin());
  bool sampled = false;
  const auto steps = std::min<std::size_t>(ring_.size(), kMostSteps);
  for (std::size_t step = 0; step < steps; ++step, ++at) {
    if (at >= ring_.size()) at = 0;
    Member& member = members_[ring_[at].member];
    const health::EndpointView& endpoint = tier.endpoints[member.index];
    if (is_excluded(endpoint, input)) continue;
    const std::uint32_t in_flight = load.in_flight(endpoint);
    if (input.max_in_flight != 0 && in_flight >= input.max_in_flight) continue;
    if (in_flight > 0) {  // an idle endpoint is within any bound
      if (!std::exchange(sampled, true)) sample(tier, load);
      set_in_flight(member, in_flight);
      if (!within_bound(member, in_flight)) continue;
    }
    set_in_flight(member, in_flight + 1);
    return member.index;
  }
  return least_loaded(tier, input, load);
}

void RingHash::refresh(const health::TierView& tier, const LoadSource& load) {
  if (membership_ == tier.membership && members_.size() == tier.usable.size()) return;
  rebuild(tier);
  membership_ = tier.membership;
  total_ = 0;
  next_sample_ = 0;
  for (Member& member : members_) {
    member.in_flight = load.in_flight(tier.endpoints[member.index]);
    total_ += member.in_flight;
  }
}

void RingHash::rebuild(const health::TierView& tier) {
  double weight = 0;
  for (const std::uint32_t index : tier.usable) weight += weight_of(tier.endpoints[index]);
  const std::uint32_t density = choose_points_per_weight(weight);

  std::unordered_map<std::uint64_t, std::uint32_t> before;  // identity: old member
  for (std::size_t i = 0; i < members_.size(); ++i) {
    before.emplace(members_[i].identity, static_cast<std::uint32_t>(i));
  }
  constexpr std::uint32_t gone = ~std::uint32_t{0};
  std::vector<std::uint32_t> now(members_.size(), gone);  // old member: new member
  std::vector<Member> members;
  std::vector<Point> made;
  for (const std::uint32_t index : tier.usable) {
    const health::EndpointView& endpoint = tier.endpoints[index];
    const auto number = static_cast<std::uint32_t>(members.size());
    Member member;
    member.identity = identity_of(endpoint);
    member.index = index;
    member.share = weight_of(endpoint) / weight;
    member.points = static_cast<std::uint32_t>(std::max(1.0, std::round(weight_of(endpoint) * density)));
    std::uint32_t kept = 0;
    if (const auto old = before.find(member.identity); old != before.end() && now[old->second] == gone) {
      kept = std::min(members_[old->second].points, member.points);
      now[old->second] = number;
    }
    for (std::uint32_t p = kept; p < member.points; ++p) made.push_back({point_of(member.identity, p), number, p});
    members.push_back(member);
  }
  std::size_t kept = 0;
  for (Point point : ring_) {
    point.member = now[point.member];
    if (point.member == gone || point.number >= members[point.member].points) continue;
    ring_[kept++] = point;
  }
  ring_.resize(kept);
  if (!made.empty()) {
    std::sort(made.begin(), made.end());
    ring_.insert(ring_.end(), made.begin(), made.end());
    std::inplace_merge(ring_.begin(), ring_.begin() + static_cast<std::ptrdiff_t>(kept), ring_.end());
  }
  members_ = std::move(members);
}

// Brings the sum of what is in flight up to date: whole for small tiers, a slice a pick for larger ones.
void RingHash::sample(const health::TierView& tier, const LoadSource& load) {
  const std::size_t count = members_.size() <= kSummedWhole ? members_.size() : kSampledPerPick;
  for (std::size_t i = 0; i < count; ++i) {
    if (next_sample_ >= members_.size()) next_sample_ = 0;
    Member& member = members_[next_sample_++];
    set_in_flight(member, load.in_flight(tier.endpoints[member.index]));
  }
}

void RingHash::set_in_flight(Member& member, std::uint32_t value) {
  total_ = total_ - member.in_flight + value;
  member.in_flight = value;
}

// May take one more: stays at or below 1.25 times its share of all that is in flight, this request counted,
// rounded up.
bool RingHash::within_bound(const Member& member, std::uint32_t in_flight) const {
  const double capacity = std::ceil(kLoadBound * static_cast<double>(total_ + 1) * member.share);
  return static_cast<double>(in_flight) < capacity;
}

std::optional<std::uint32_t> RingHash::least_loaded(const health::TierView& tier, const PickInput& input,
                                                    const LoadSource& load) {
  Member* best = nullptr;
  double best_load = 0;
  for (Member& member : members_) {
    const health::EndpointView& endpoint = tier.endpoints[member.index];
    if (!is_eligible(endpoint, input, load)) continue;
    const double relative = (static_cast<double>(load.in_flight(endpoint)) + 1) / member.share;
    if (best != nullptr && relative >= best_load) continue;
    best = &member;
    best_load = relative;
  }
  if (best == nullptr) return std::nullopt;
  return best->index;
}

}  // namespace understudy::balance
