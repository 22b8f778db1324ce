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
  TierTrouble& trouble = trouble_[event.pool][event.tier];
  switch (event.kind) {
    case Kind::endpoint_unhealthy:
    case Kind::endpoint_ejected: {
      trouble.cls = index_of(event.cause_class);
      const auto suspect = trouble.suspect.find(event.endpoint);
      const bool earlier = suspect != trouble.suspect.end() && suspect->second < event.since;
      trouble.ill.try_emplace(event.endpoint, earlier ? suspect->second : event.since);
      break;
    }
    case Kind::endpoint_suspect: trouble.suspect.try_emplace(event.endpoint, event.since); break;
    case Kind::endpoint_trusted: trouble.suspect.erase(event.endpoint); break;
    case Kind::endpoint_healthy:
    case Kind::endpoint_unejected: trouble.ill.erase(event.endpoint); break;
    case Kind::endpoint_removed:
      trouble.ill.erase(event.endpoint);
      trouble.suspect.erase(event.endpoint);
      break;
    case Kind::tier_lost: trouble.lost = true; break;
    case Kind::tier_restored: trouble.lost = false; break;
    case Kind::tier_degraded: trouble.degraded.emplace(index_of(event.cause_class), event.since); break;
    case Kind::tier_recovered: trouble.degraded.reset(); break;
    case Kind::failover: {
      last_move_[event.pool] = wall;
      Moves& moves = moves_between(event.pool, from, event.tier);
      const auto cause = cause_of_move(trouble_[event.pool][std::string(from)], event.at);
      ++moves.by_class[cause ? cause->first : kOperator];
      if (cause) moves.duration.record(event.at - cause->second);
      break;
    }
    case Kind::failback: last_move_[event.pool] = wall; break;
    default: break;
  }
}

// A tier that serves well is left only when somebody says so. One that is lost served until the last of its endpoints began to
// fail.
std::optional<std::pair<std::size_t, health::TimePoint>> DecisionCounts::cause_of_move(const TierTrouble& trouble,
                                                                                       health::TimePoint at) {
  if (trouble.degraded && !trouble.lost) return trouble.degraded;
  if (!trouble.lost) return std::nullopt;
  std::optional<health::TimePoint> last;
  for (const auto& [endpoint, since] : trouble.ill) last = std::max(last.value_or(since), since);
  health::TimePoint first_sign = last.value_or(at);
  if (trouble.degraded) first_sign = std::min(first_sign, trouble.degraded->second);
  return std::pair(trouble.cls, first_sign);
}

DecisionCounts::Moves& DecisionCounts::moves_between(const std::string& pool, std::string_view from,
                                                     const std::string& to) {
  if (Moves* known = find_moves(pool, from, to)) return *known;
  auto fresh = std::make_unique<Moves>();
  fresh->pool = pool;
  fresh->from = from;
  fresh->to = to;
  return *failovers_.emplace_back(std::move(fresh));
}

DecisionCounts::Moves* DecisionCounts::find_moves(std::string_view pool, std::string_view from,
                                                  std::string_view to) const {
  for (const auto& moves : failovers_)
    if (moves->pool == pool && moves->from == from && moves->to == to) return moves.get();
  return nullptr;
}

std::uint64_t DecisionCounts::failovers(std::string_view pool, std::string_view from, std::string_view to,
                                        std::size_t move_class) const {
  const Moves* moves = find_moves(pool, from, to);
  return moves != nullptr ? moves->by_class[move_class] : 0;
}

const observe::Histogram* DecisionCounts::failover_duration(std::string_view pool, std::string_view from,
                                                            std::string_view to) const {
  const Moves* moves = find_moves(pool, from, to);
  return moves != nullptr ? &moves->duration : nullptr;
}

std::optional<std::chrono::system_clock::time_point> DecisionCounts::last_move(const std::string& pool) const {
  const auto found = last_move_.find(pool);
  if (found == last_move_.end()) return std::nullopt;
  return found->second;
}

}  // namespace understudy::server
