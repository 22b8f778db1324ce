// Rise and fall: how many equal probe results in a row make a verdict. Pure counting, no time.
//
//   unknown ── one success (`rise` where the policy assumes the worst) ──► healthy
//   unknown ── `fall` failures in a row ─────────────────────────────────► unhealthy
//   healthy ── `fall` failures in a row ─────────────────────────────────► unhealthy
//   unhealthy ── `rise` successes in a row ──────────────────────────────► healthy
#pragma once

#include <cstdint>

#include "health/types.hpp"

namespace understudy::health {

class Threshold {
public:
  struct Policy {
    std::uint32_t rise = 2;   // at least 1
    std::uint32_t fall = 3;   // at least 1
    std::uint32_t first = 1;  // successes in a row that end `unknown`
  };

  // Counts one result; true when the verdict changed by it.
  bool add(bool ok, const Policy& policy);
  ActiveState state() const { return state_; }
  // Equal results in a row, the last one included.
  std::uint32_t streak() const { return streak_; }
  // The last results speak against the verdict (or there is none yet), but are too few so far.
  bool changing() const;
  // Sets the verdict without evidence (restored state, end of operator state); counting begins anew.
  void assume(ActiveState state);
  // Forgets results that were counted but turned out to be no evidence; the verdict stays.
  void forget_streak() { streak_ = 0; }

private:
  ActiveState state_ = ActiveState::unknown;
  bool last_ok_ = false;
  std::uint32_t streak_ = 0;
};

}  // namespace understudy::health
