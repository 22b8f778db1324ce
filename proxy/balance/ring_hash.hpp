// Consistent hashing with bounded load. Each endpoint owns points on a ring in proportion to its weight; a
// key goes to the first point at or after it whose endpoint is eligible and has less than 1.25 times its
// share of what is in flight.
//
// Points depend on the endpoint's label and address and on nothing else, so every worker and every process
// with the same configuration agrees, and a change of members or weights moves only the keys of what changed.
// After a change only the points of changed endpoints are made and merged into at most 64 K points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "proxy/balance/weight_table.hpp"

namespace understudy::balance {

class RingHash final : public Balancer {
public:
  std::optional<std::uint32_t> pick(const health::TierView& tier, const PickInput& input,
                                    const LoadSource& load) override;

private:
  struct Point {
    std::uint64_t at = 0;
    std::uint32_t member = 0;
    std::uint32_t number = 0;  // of its member's points; a member with n points has the numbers 0..n-1
    bool operator<(const Point& other) const {
      return at != other.at ? at < other.at : (member != other.member ? member < other.member : number < other.number);
    }
  };
  struct Member {
    std::uint64_t identity = 0;
    std::uint32_t points = 0;
    std::uint32_t index = 0;      // into tier.endpoints
    double share = 0;             // of the tier's weight
    std::uint32_t in_flight = 0;  // as last seen; summed in total_
  };

  void refresh(const health::TierView& tier, const LoadSource& load);
  void rebuild(const health::TierView& tier);
  void sample(const health::TierView& tier, const LoadSource& load);
  void set_in_flight(Member& member, std::uint32_t value);
  bool within_bound(const Member& member, std::uint32_t in_flight) const;
  std::optional<std::uint32_t> least_loaded(const health::TierView& tier, const PickInput& input,
                                            const LoadSource& load);

  std::optional<std::uint64_t> membership_;
  std::vector<Point> ring_;      // sorted
  std::vector<Member> members_;  // one per usable endpoint, in its order
  std::uint64_t total_ = 0;
  std::size_t next_sample_ = 0;
};

}  // namespace understudy::balance
