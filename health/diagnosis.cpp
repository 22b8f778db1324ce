#include "health/diagnosis.hpp"

#include <algorithm>
#include <map>

#include "health/core_state.hpp"
#include "health/explain.hpp"

namespace understudy::health {
namespace {

// A starvation that ended this long ago may still explain what is seen.
constexpr Duration own_fault_memory = std::chrono::seconds(10);

// What endpoints of the same subnet share: /24 of IPv4, /64 of IPv6.
std::string subnet_of(const Endpoint& endpoint) {
  const std::string& text = endpoint.address_text;
  if (!text.empty() && text.front() == '[') {
    std::size_t groups = 0, at = 1;
    while (at < text.size() && groups < 4 && text[at] != ']') groups += text[at++] == ':' ? 1 : 0;
    return text.substr(0, at);
  }
  const std::size_t port = text.rfind(':');
  const std::size_t dot = text.rfind('.', port);
  return dot == std::string::npos ? text : text.substr(0, dot);
}

std::string what_it_means(CauseClass cls) {
  switch (cls) {
    case CauseClass::refused: return "refuse connections: the application does not run, its host does";
    case CauseClass::unreachable: return "cannot be reached: the host is down or the network path to it is cut";
    case CauseClass::stalled:
      return "accept connections but do not answer: the application is stalled or its CPU is starved";
    case CauseClass::overloaded: return "say that they are overloaded";
    case CauseClass::erroring: return "answer with errors: the application fails";
    case CauseClass::slow: return "answer far slower than normal: the application or something behind it is overloaded";
    case CauseClass::own:
    case CauseClass::none: break;
  }
  return "are not well";
}

}  // namespace

CauseClass class_of(const Endpoint& endpoint) {
  if (endpoint.threshold.state() == ActiveState::unhealthy) return class_of(endpoint.last_failure);
  switch (endpoint.suspicion.why()) {
    case Suspicion::Why::overdue: return CauseClass::stalled;
    case Suspicion::Why::erroring: return class_of(endpoint.suspicion.cause());
    case Suspicion::Why::slow: return CauseClass::slow;
    case Suspicion::Why::returning:
    case Suspicion::Why::none: break;
  }
  if (endpoint.ejector.until()) {
    const Cause cause = endpoint.ejector.grounds().cause;
    return cause == Cause::none ? CauseClass::slow : class_of(cause);
  }
  return CauseClass::none;
}

std::string diagnose(const Pool& pool, const std::optional<TimePoint>& starved_until, TimePoint now) {
  if (starved_until && now - *starved_until < own_fault_memory) {
    return "this proxy did not run as it should until " + describe(now - *starved_until) +
           " ago: its own host is overloaded or was stopped";
  }
  std::string text = pool.surge.text();
  for (const Tier& tier : pool.tiers) {
    if (const auto cap = tier.shedder.cap()) {
      text += (text.empty() ? "" : "; ") + std::string("tier ") + quoted(tier.name) +
              " is asked for more than it can answer: at most " + std::to_string(*cap) +
              " requests at once, the rest is refused";
    }
    std::map<CauseClass, std::size_t> classes;
    std::map<std::string, std::size_t> cut;
    TimePoint first = now;
    for (const Endpoint* endpoint : tier.endpoints) {
      const CauseClass cls = class_of(*endpoint);
      if (cls == CauseClass::none || cls == CauseClass::own) continue;
      ++classes[cls];
      if (cls == CauseClass::unreachable) ++cut[subnet_of(*endpoint)];
      const TimePoint since = endpoint->threshold.state() == ActiveState::unhealthy ? endpoint->streak_since
                              : endpoint->suspicion.suspect()                       ? endpoint->suspicion.since()
                                                                                    : endpoint->ejector.since();
      first = std::min(first, since);
    }
    std::size_t slow = 0;
    TimePoint slow_since = now;
    for (const Endpoint* endpoint : tier.endpoints) {
      if (endpoint->openings.state() != OpeningWatch::State::late) continue;
      ++slow;
      slow_since = std::min(slow_since, endpoint->openings.since());
    }
    if (slow > 0) {
      text += (text.empty() ? "" : "; ") + std::to_string(slow) + " of " + std::to_string(tier.endpoints.size()) +
              " endpoints of tier " + quoted(tier.name) + " are slow to open WebSockets (since " +
              describe(now - slow_since) + ")";
      if (classes.empty()) text += ", while they answer requests in time";
    }
    if (classes.empty()) {
      if (const auto finding = tier.watch.degraded()) {
        text += (text.empty() ? "" : "; ") + std::string("tier ") + quoted(tier.name) +
                " is degraded: " + describe(*finding, now);
      }
      continue;
    }
    const auto most = std::max_element(classes.begin(), classes.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    if (!text.empty()) text += "; ";
    text += std::to_string(most->second) + " of " + std::to_string(tier.endpoints.size()) + " endpoints of tier " +
            quoted(tier.name) + " " + what_it_means(most->first) + " (since " + describe(now - first) + ")";
    for (const auto& [subnet, count] : cut) {
      if (count >= 2)
        text += ", " + std::to_string(count) + " of them in one subnet (" + subnet + "): the network path";
    }
  }
  return text;
}

}  // namespace understudy::health
