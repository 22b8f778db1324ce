#include "health/rehearsal/script.hpp"

#include <algorithm>

namespace understudy::health {

using config::FaultHealth;
using config::FaultKind;

Behaviour Script::at(const std::string& tier, const std::string& label, TimePoint now) const {
  Behaviour behaviour;
  behaviour.latency = scenario_.load.latency;
  behaviour.probe_latency = scenario_.load.probe_latency;
  for (const config::ScenarioFault& fault : scenario_.faults) {
    if (fault.kind == FaultKind::starve) continue;
    if (fault.where != "all" && fault.where != tier && fault.where != label) continue;
    const TimePoint from = begin_ + fault.at;
    if (now < from || (fault.until && now >= begin_ + *fault.until)) continue;
    apply(fault, now - from, behaviour);
  }
  return behaviour;
}

void Script::apply(const config::ScenarioFault& fault, Duration since, Behaviour& behaviour) const {
  const Duration normal = scenario_.load.latency;
  switch (fault.kind) {
    case FaultKind::flap:
      if ((since / Duration(fault.period)) % 2 != 0) return;
      [[fallthrough]];
    case FaultKind::kill:
      behaviour.connect = Behaviour::Connect::refuses;
      behaviour.probe_ok = false;
      break;
    case FaultKind::unreachable:
    case FaultKind::backlog:
      behaviour.connect = Behaviour::Connect::silent;
      behaviour.probe_ok = false;
      break;
    case FaultKind::freeze:
      behaviour.latency.reset();
      behaviour.probe_latency.reset();
      behaviour.probe_ok = false;
      break;
    case FaultKind::hang: behaviour.latency.reset(); break;
    case FaultKind::slow: {
      const Duration slow = fault.latency;
      double part = 1;
      if (fault.ramp > config::Duration::zero()) {
        part = std::min(1.0, std::chrono::duration<double>(since) / std::chrono::duration<double>(fault.ramp));
      }
      behaviour.latency =
          normal + Duration(static_cast<Duration::rep>(static_cast<double>((slow - normal).count()) * part));
      behaviour.jitter = fault.jitter;
      break;
    }
    case FaultKind::errors:
      behaviour.error_share = fault.share;
      behaviour.error_status = fault.status;
      behaviour.error_cause = Cause::http_status;
      break;
    case FaultKind::reset:
    case FaultKind::half_response:
      behaviour.error_share = fault.share;
      behaviour.error_cause = fault.kind == FaultKind::reset ? Cause::tcp_reset : Cause::body_cut;
      break;
    case FaultKind::starve: break;
    // Of real connections: a rehearsal refuses them before it begins.
    case FaultKind::slow_body:
    case FaultKind::slow_websocket:
    case FaultKind::cold:
    case FaultKind::overload: break;
  }
  if (fault.health == FaultHealth::good) {
    behaviour.probe_ok = true;
    behaviour.probe_latency = scenario_.load.probe_latency;
  } else if (fault.health == FaultHealth::bad) {
    behaviour.probe_ok = false;
  }
}

std::optional<TimePoint> Script::first_fault() const {
  std::optional<TimePoint> first;
  for (const config::ScenarioFault& fault : scenario_.faults) {
    const TimePoint at = begin_ + fault.at;
    if (!first || at < *first) first = at;
  }
  return first;
}

std::optional<TimePoint> Script::last_heal() const {
  std::optional<TimePoint> last;
  for (const config::ScenarioFault& fault : scenario_.faults) {
    if (!fault.until) return std::nullopt;
    const TimePoint at = begin_ + *fault.until;
    if (!last || at > *last) last = at;
  }
  return last;
}

}  // namespace understudy::health
