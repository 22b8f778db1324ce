// `understudy rehearse`: the decisions of a configuration over a scenario, in virtual time. The same core decides as in
// production; endpoints, clients and the clock are scripted. Pure: the same seed gives the same log, byte for byte, and an
// hour takes moments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "config/scenario.hpp"
#include "health/rehearsal/judge.hpp"

namespace understudy::health {

struct Rehearsal {
  std::vector<std::string> log;  // decisions, one line each
  std::vector<RehearsalCheck> checks;
  std::uint64_t requests = 0, failed = 0, slow = 0, bad = 0, hedged = 0, retried = 0, moves = 0, shed = 0;
  bool passed() const;
};

// REQUIRES: the scenario fits the configuration (config::mismatches() is empty).
Rehearsal rehearse(const config::Config& config, const config::Scenario& scenario, std::uint64_t seed = 1);

}  // namespace understudy::health
