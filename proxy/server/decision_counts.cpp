#include "proxy/server/decision_counts.hpp"

#include <algorithm>
#include <memory>

namespace understudy::server {
namespace {

constexpr std::size_t kOperator = kMoveClasses.size() - 1;

std::size_t index_of(health::CauseClass cls) {
  const auto found = std::find(kMoveClasses.begin(), kMoveClasses.end(), health::name_of(cls));
  return found == kMoveClasses.end() ? kOperator : static_cast<std::size_t>(found - kMoveClasses.begin());
}

}  // namespace

void DecisionCounts::on_check(health::EndpointId endpoint, const health::ProbeResult& result) {
  if (endpoint.slot >= slots_.size()) slots_.resize(endpoint.slot + 1);
  auto& slot = slots_[endpoint.slot];
  if (!slot || slot->id != endpoint) {
    slot = std::make_unique<Slot>();
    slot->id = endpoint;
  }
  ++(result.ok() ? slot->checks.ok : slot->checks.failed);
  slot->checks.duration.record(result.elapsed);
}

const DecisionCounts::Checks* DecisionCounts::checks(health::EndpointId endpoint) const {
  if (endpoint.slot >= slots_.size()) return nullptr;
  const auto& slot = slots_[endpoint.slot];
  return slot && slot->id == endpoint ? &slot->checks : nullptr;
}

void DecisionCounts::on_event(const health::Event& event, std::string_view from,
                              std::chrono::system_clock::time_point wall) {
  using Kind = health::Event::Kind;
  PoolTrouble& trouble = trouble_[event.pool];
  switch (event.kind) {
    case Kind::endpoint_unhealthy:
    case Kind::endpoint_ejected: trouble.class_of_tier[event.tier] = index_of(health::class_of(event.cause)); break;
    case Kind::tier_lost: trouble.lost[event.tier] = true; break;
    case Kind::tier_restored: trouble.lost[event.tier] = false; break;
    case Kind::failover: {
      last_move_[event.pool] = wall;
      auto found = std::find_if(failovers_.begin(), failovers_.end(), [&](const Moves& moves) {
        return moves.pool == event.pool && moves.from == from && moves.to == event.tier;
      });
      if (found == failovers_.end())
        found = failovers_.insert(found, Moves{event.pool, std::string(from), event.tier, {}});
      ++found->by_class[class_of_move(event.pool, std::string(from))];
      break;
    }
    case Kind::failback: last_move_[event.pool] = wall; break;
    default: break;
  }
}

// A tier that can still serve is left only when somebody says so.
std::size_t DecisionCounts::class_of_move(const std::string& pool, const std::string& from) const {
  const PoolTrouble& trouble = trouble_.at(pool);
  const auto lost = trouble.lost.find(from);
  if (lost == trouble.lost.end() || !lost->second) return kOperator;
  const auto cls = trouble.class_of_tier.find(from);
  return cls == trouble.class_of_tier.end() ? kOperator : cls->second;
}

std::uint64_t DecisionCounts::failovers(std::string_view pool, std::string_view from, std::string_view to,
                                        std::size_t move_class) const {
  for (const Moves& moves : failovers_)
    if (moves.pool == pool && moves.from == from && moves.to == to) return moves.by_class[move_class];
  return 0;
}

std::optional<std::chrono::system_clock::time_point> DecisionCounts::last_move(const std::string& pool) const {
  const auto found = last_move_.find(pool);
  if (found == last_move_.end()) return std::nullopt;
  return found->second;
}

}  // namespace understudy::server
