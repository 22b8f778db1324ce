#include "proxy/drill/behaviour.hpp"

#include <algorithm>

namespace understudy::drill {

using config::FaultHealth;
using config::FaultKind;
using Sockets = Behaviour::Sockets;

bool OriginScript::concerns(const config::ScenarioFault& fault) const {
  return fault.kind != FaultKind::starve && (fault.where == "all" || fault.where == tier_ || fault.where == label_);
}

Behaviour OriginScript::at(Micros since) const {
  Behaviour behaviour;
  behaviour.latency = scenario_->load.latency;
  behaviour.probe_latency = scenario_->load.probe_latency;
  if (since >= scenario_->length) return behaviour;  // what froze wakes up, so that nothing it was given is overlooked
  for (const config::ScenarioFault& fault : scenario_->faults) {
    if (!concerns(fault) || since < fault.at || (fault.until && since >= *fault.until)) continue;
    apply(fault, since - fault.at, behaviour);
  }
  return behaviour;
}

void OriginScript::apply(const config::ScenarioFault& fault, Micros since, Behaviour& behaviour) const {
  // Of two faults of the sockets the harder one counts.
  const auto at_least = [&behaviour](Sockets sockets) { behaviour.sockets = std::max(behaviour.sockets, sockets); };
  switch (fault.kind) {
    case FaultKind::flap:
      if ((since / Micros(fault.period)) % 2 == 0) at_least(Sockets::killed);
      break;
    case FaultKind::kill: at_least(Sockets::killed); break;
    case FaultKind::unreachable: at_least(Sockets::unreachable); break;
    case FaultKind::backlog: at_least(Sockets::full); break;
    case FaultKind::freeze:
      // A frozen process whose health page answers is one that hangs.
      if (fault.health == FaultHealth::good) {
        behaviour.latency.reset();
      } else {
        at_least(Sockets::frozen);
      }
      break;
    case FaultKind::hang: behaviour.latency.reset(); break;
    case FaultKind::slow: {
      const Micros normal = scenario_->load.latency, slow = fault.latency;
      double part = 1;
      if (fault.ramp > config::Duration::zero())
        part = std::min(1.0, std::chrono::duration<double>(since) / std::chrono::duration<double>(fault.ramp));
      behaviour.latency =
          normal + Micros(static_cast<Micros::rep>(static_cast<double>((slow - normal).count()) * part));
      behaviour.jitter = fault.jitter;
      break;
    }
    case FaultKind::errors:
      behaviour.error_share = fault.share;
      behaviour.error_status = fault.status;
      break;
    case FaultKind::reset: behaviour.reset_share = fault.share; break;
    case FaultKind::half_response: behaviour.half_share = fault.share; break;
    case FaultKind::slow_body: behaviour.body_time = fault.latency; break;
    case FaultKind::slow_websocket: behaviour.opening_latency = fault.latency; break;
    case FaultKind::cold:
      behaviour.cold = fault.limit;
      behaviour.cold_latency = fault.latency;
      break;
    case FaultKind::overload: behaviour.at_once = fault.limit; break;
    case FaultKind::starve: break;
  }
  if (fault.health == FaultHealth::bad) behaviour.probe_ok = false;
  if (fault.health == FaultHealth::good) {
    behaviour.probe_ok = true;
    behaviour.probe_spared = true;
  }
}

std::vector<Micros> OriginScript::changes() const {
  std::vector<Micros> times;
  for (const config::ScenarioFault& fault : scenario_->faults) {
    if (!concerns(fault)) continue;
    const Micros end = fault.until.value_or(scenario_->length);
    times.emplace_back(fault.at);
    times.push_back(end);
    if (fault.kind != FaultKind::flap) continue;
    for (Micros at = fault.at; at < end; at += fault.period) times.push_back(at);
  }
  std::sort(times.begin(), times.end());
  times.erase(std::unique(times.begin(), times.end()), times.end());
  return times;
}

}  // namespace understudy::drill
