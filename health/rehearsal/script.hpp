// What endpoints do at a given time, by the faults of a scenario.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/scenario.hpp"
#include "health/types.hpp"

namespace understudy::health {

// How an endpoint treats what reaches it.
struct Behaviour {
  enum class Connect : std::uint8_t { accepts, refuses, silent };
  Connect connect = Connect::accepts;
  std::optional<Duration> latency;  // of a real answer; nothing: it never comes
  Duration jitter{0};               // up to so much more
  double error_share = 0;
  std::uint16_t error_status = 500;
  Cause error_cause = Cause::http_status;  // what that share ends with
  std::optional<Duration> probe_latency;   // nothing: the health page does not answer
  bool probe_ok = true;
};

class Script {
public:
  Script(const config::Scenario& scenario, TimePoint begin) : scenario_(scenario), begin_(begin) {}
  Behaviour at(const std::string& tier, const std::string& label, TimePoint now) const;

  // The first fault begins, the last one ends (heals); nothing without a fault, or when the last lasts to the end.
  std::optional<TimePoint> first_fault() const;
  std::optional<TimePoint> last_heal() const;

private:
  void apply(const config::ScenarioFault& fault, Duration since, Behaviour& behaviour) const;

  const config::Scenario& scenario_;
  TimePoint begin_;
};

}  // namespace understudy::health
