#include "health/types.hpp"

namespace understudy::health {

CauseClass class_of(Cause cause) {
  switch (cause) {
    case Cause::none: return CauseClass::none;
    case Cause::tcp_refused:
    case Cause::tcp_reset: return CauseClass::refused;
    case Cause::dns_failed:
    case Cause::tcp_unreachable:
    case Cause::tcp_timeout: return CauseClass::unreachable;
    // TCP answers, what stands behind it does not.
    case Cause::tls_timeout:
    case Cause::http_timeout:
    case Cause::body_timeout:
    case Cause::ws_timeout: return CauseClass::stalled;
    case Cause::tls_failed:
    case Cause::http_status:
    case Cause::http_malformed:
    case Cause::http_body:
    case Cause::body_cut:
    case Cause::ws_refused:
    case Cause::ws_malformed: return CauseClass::erroring;
    case Cause::own_error: return CauseClass::own;
    case Cause::count: break;
  }
  return CauseClass::none;
}

std::string_view name_of(Cause cause) {
  switch (cause) {
    case Cause::none: return "none";
    case Cause::dns_failed: return "dns_failed";
    case Cause::tcp_refused: return "tcp_refused";
    case Cause::tcp_unreachable: return "tcp_unreachable";
    case Cause::tcp_timeout: return "tcp_timeout";
    case Cause::tcp_reset: return "tcp_reset";
    case Cause::tls_failed: return "tls_failed";
    case Cause::tls_timeout: return "tls_timeout";
    case Cause::http_timeout: return "http_timeout";
    case Cause::http_status: return "http_status";
    case Cause::http_malformed: return "http_malformed";
    case Cause::http_body: return "http_body";
    case Cause::body_cut: return "body_cut";
    case Cause::body_timeout: return "body_timeout";
    case Cause::ws_refused: return "ws_refused";
    case Cause::ws_timeout: return "ws_timeout";
    case Cause::ws_malformed: return "ws_malformed";
    case Cause::own_error: return "own_error";
    case Cause::count: break;
  }
  return "?";
}

std::string_view name_of(CauseClass cls) {
  switch (cls) {
    case CauseClass::none: return "none";
    case CauseClass::refused: return "refused";
    case CauseClass::unreachable: return "unreachable";
    case CauseClass::stalled: return "stalled";
    case CauseClass::overloaded: return "overloaded";
    case CauseClass::erroring: return "erroring";
    case CauseClass::slow: return "slow";
    case CauseClass::own: return "own";
  }
  return "?";
}

std::string_view name_of(OperatorState state) {
  switch (state) {
    case OperatorState::enabled: return "enabled";
    case OperatorState::draining: return "draining";
    case OperatorState::disabled: return "disabled";
    case OperatorState::held: return "held";
  }
  return "?";
}

std::string_view name_of(ActiveState state) {
  switch (state) {
    case ActiveState::unknown: return "unknown";
    case ActiveState::healthy: return "healthy";
    case ActiveState::unhealthy: return "unhealthy";
  }
  return "?";
}

std::string_view name_of(PassiveState state) { return state == PassiveState::in ? "in" : "ejected"; }

std::string_view name_of(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::endpoint_healthy: return "endpoint_healthy";
    case Event::Kind::endpoint_unhealthy: return "endpoint_unhealthy";
    case Event::Kind::endpoint_ejected: return "endpoint_ejected";
    case Event::Kind::endpoint_unejected: return "endpoint_unejected";
    case Event::Kind::endpoint_operator: return "endpoint_operator";
    case Event::Kind::endpoint_added: return "endpoint_added";
    case Event::Kind::endpoint_removed: return "endpoint_removed";
    case Event::Kind::tier_lost: return "tier_lost";
    case Event::Kind::tier_restored: return "tier_restored";
    case Event::Kind::panic_entered: return "panic_entered";
    case Event::Kind::panic_left: return "panic_left";
    case Event::Kind::failover: return "failover";
    case Event::Kind::failback: return "failback";
    case Event::Kind::failback_pending: return "failback_pending";
    case Event::Kind::held: return "held";
    case Event::Kind::maintenance: return "maintenance";
    case Event::Kind::all_down: return "all_down";
    case Event::Kind::proposal_refused: return "proposal_refused";
    case Event::Kind::starved: return "starved";
    case Event::Kind::endpoint_suspect: return "endpoint_suspect";
    case Event::Kind::endpoint_trusted: return "endpoint_trusted";
    case Event::Kind::tier_degraded: return "tier_degraded";
    case Event::Kind::tier_recovered: return "tier_recovered";
    case Event::Kind::nothing_better: return "nothing_better";
    case Event::Kind::verdict: return "verdict";
    case Event::Kind::gate: return "gate";
    case Event::Kind::probe_doubted: return "probe_doubted";
    case Event::Kind::endpoint_quarantined: return "endpoint_quarantined";
    case Event::Kind::spill: return "spill";
    case Event::Kind::shedding: return "shedding";
    case Event::Kind::surge: return "surge";
    case Event::Kind::endpoint_unfit: return "endpoint_unfit";
    case Event::Kind::endpoint_fit: return "endpoint_fit";
    case Event::Kind::tier_unfit: return "tier_unfit";
    case Event::Kind::tier_fit: return "tier_fit";
    case Event::Kind::agent: return "agent";
    case Event::Kind::drill: return "drill";
    case Event::Kind::tunnels_parked: return "tunnels_parked";
    case Event::Kind::endpoint_slow_to_open: return "endpoint_slow_to_open";
    case Event::Kind::endpoint_opens_again: return "endpoint_opens_again";
    case Event::Kind::openings_moved: return "openings_moved";
    case Event::Kind::openings_returned: return "openings_returned";
  }
  return "?";
}

}  // namespace understudy::health
