// What an origin of a drill does at a time, by the faults of the scenario. No socket; the same rules as the rehearsal's
// Script, with what only real connections have.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "config/scenario.hpp"

namespace understudy::drill {

using Micros = std::chrono::microseconds;

struct Behaviour {
  // What its sockets do. `frozen`: the kernel accepts, nobody answers. `full`: the same, and the queue of connections has no
  // room. `unreachable`: nothing that is sent to it arrives. `killed`: nothing listens, connections were reset.
  enum class Sockets : std::uint8_t { well, frozen, full, unreachable, killed };
  Sockets sockets = Sockets::well;
  std::optional<Micros> latency;  // from the whole request to the answer; nothing: it never comes
  Micros jitter{0};               // up to so much more
  Micros body_time{0};            // over which the body comes after its head
  Micros opening_latency{0};      // of a WebSocket, on top
  double error_share = 0, reset_share = 0, half_share = 0;
  std::uint16_t error_status = 500;
  Micros probe_latency{0};
  bool probe_ok = true;
  bool probe_spared = false;          // it stays good while all else is frozen or collapsed
  std::optional<std::uint32_t> cold;  // connections a second above which all takes cold_latency
  Micros cold_latency{0};
  std::optional<std::uint32_t> at_once;  // requests that are worked on at a time
};

class OriginScript {
public:
  // `scenario` outlives it.
  OriginScript(const config::Scenario& scenario, std::string tier, std::string label)
      : scenario_(&scenario), tier_(std::move(tier)), label_(std::move(label)) {}

  // `since` the beginning; before it, and after the end, all is well.
  Behaviour at(Micros since) const;
  // When something may change, in order, each once.
  std::vector<Micros> changes() const;

private:
  bool concerns(const config::ScenarioFault& fault) const;
  void apply(const config::ScenarioFault& fault, Micros since, Behaviour& behaviour) const;

  const config::Scenario* scenario_;
  std::string tier_, label_;
};

}  // namespace understudy::drill
