// Counts of what the control thread saw and decided, for /metrics: checks by endpoint, failovers by tiers and class of cause.
// Fed with the health core's events; asks nobody. Counts start from zero with the process, as Prometheus expects.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "health/types.hpp"
#include "proxy/observe/histogram.hpp"

namespace understudy::server {

// Why a failover happened: a class of causes, or an operator's (or a reload's) order.
inline constexpr std::array<std::string_view, 8> kMoveClasses = {"refused",  "unreachable", "stalled", "overloaded",
                                                                 "erroring", "slow",        "own",     "operator"};

class DecisionCounts {
public:
  struct Checks {
    std::uint64_t ok = 0, failed = 0;
    observe::Histogram duration;
  };
  struct Moves {
    std::string pool, from, to;
    std::array<std::uint64_t, kMoveClasses.size()> by_class{};
    // First sign of what drove it to the move, of those that nobody ordered.
    observe::Histogram duration;
  };

  void on_check(health::EndpointId endpoint, const health::ProbeResult& result);
  // Nothing yet: null. A slot given out anew starts from zero.
  const Checks* checks(health::EndpointId endpoint) const;

  // `from` is the tier that served until now; it matters for failover and failback only.
  void on_event(const health::Event& event, std::string_view from, std::chrono::system_clock::time_point wall);
  std::uint64_t failovers(std::string_view pool, std::string_view from, std::string_view to,
                          std::size_t move_class) const;
  // Null while there was none.
  const observe::Histogram* failover_duration(std::string_view pool, std::string_view from, std::string_view to) const;
  // Of the last failover or failback of this pool.
  std::optional<std::chrono::system_clock::time_point> last_move(const std::string& pool) const;

private:
  struct Slot {
    health::EndpointId id;
    Checks checks;
  };
  struct TierTrouble {
    std::size_t cls = kMoveClasses.size() - 1;              // of the last endpoint that fell ill
    std::map<std::string, health::TimePoint> suspect, ill;  // endpoints, each since its first sign
    bool lost = false;
    std::optional<std::pair<std::size_t, health::TimePoint>> degraded;  // class, and since when
  };
  using PoolTrouble = std::map<std::string, TierTrouble, std::less<>>;
  // What a move away from this tier rests on: a class, and its first sign. None: somebody ordered it.
  static std::optional<std::pair<std::size_t, health::TimePoint>> cause_of_move(const TierTrouble& trouble,
                                                                                health::TimePoint at);
  Moves& moves_between(const std::string& pool, std::string_view from, const std::string& to);
  Moves* find_moves(std::string_view pool, std::string_view from, std::string_view to) const;

  std::vector<std::unique_ptr<Slot>> slots_;
  std::map<std::string, PoolTrouble> trouble_;
  std::vector<std::unique_ptr<Moves>> failovers_;
  std::map<std::string, std::chrono::system_clock::time_point> last_move_;
};

}  // namespace understudy::server
