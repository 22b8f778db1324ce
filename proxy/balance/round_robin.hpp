// Smooth weighted round robin: each endpoint has a turn every 1/weight, and the earliest turn is served. The
// turns of equal weights are spread evenly over their period, so weights 5, 1, 1 give a b a a a c a and never
// a a a a a b c.
//
// A binary heap of turns: O(log n) a pick, whatever the weights, where the classic form visits all n. An
// endpoint at its limit loses its turn (8 such a pick, then one pass over the tier finds the earliest that is
// eligible: O(n), only when nearly all are full or on a retry). One that comes back does not catch up on
// turns it missed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "proxy/balance/weight_table.hpp"

namespace understudy::balance {

class RoundRobin final : public Balancer {
public:
  std::optional<std::uint32_t> pick(const health::TierView& tier, const PickInput& input,
                                    const LoadSource& load) override;

private:
  struct Turn {
    double due = 0;
    double period = 1;        // 1/weight
    std::uint32_t order = 0;  // position in usable; breaks ties
    std::uint32_t index = 0;  // into tier.endpoints
    health::EndpointId id;
    bool operator<(const Turn& other) const { return due != other.due ? due < other.due : order < other.order; }
  };

  void refresh(const health::TierView& tier, std::uint64_t random);
  void rebuild(const health::TierView& tier, std::uint64_t random);
  std::uint32_t serve(std::size_t at);
  void postpone(std::size_t at);
  void sift_down(std::size_t at);

  std::optional<std::uint64_t> membership_;
  std::vector<Turn> heap_;
  double clock_ = 0;  // turn last served
};

}  // namespace understudy::balance
