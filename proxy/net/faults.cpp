#include "proxy/net/faults.hpp"

namespace understudy::net {

using TimePoint = std::chrono::steady_clock::time_point;

namespace {

double drawn(std::uint64_t random) { return static_cast<double>(random >> 11U) * 0x1.0p-53; }

std::chrono::nanoseconds part_of(std::chrono::nanoseconds whole, double part) {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(static_cast<double>(whole.count()) * part));
}

}  // namespace

const Fault* met_fault(const Faults& faults, health::EndpointId endpoint, bool opening, TimePoint now,
                       const std::function<std::uint64_t()>& random,
                       const std::function<bool(const std::string& name, const std::string& value)>& has_header) {
  const auto* list = faults.of(endpoint);
  if (list == nullptr) return nullptr;
  const auto meets = [&](const Fault& fault) {
    if (fault.openings_only && !opening) return false;
    if (fault.period > std::chrono::nanoseconds::zero() && (now - fault.since) / fault.period % 2 != 0) return false;
    if (fault.requests < 1 && drawn(random()) >= fault.requests) return false;
    return fault.header.empty() || has_header(fault.header, fault.value);
  };
  const Fault* met = nullptr;
  for (const auto& fault : *list)
    if ((met == nullptr || fault->kind < met->kind) && meets(*fault)) met = fault.get();
  if (met != nullptr) met->met->fetch_add(1, std::memory_order_relaxed);
  return met;
}

std::chrono::nanoseconds delay_of(const Fault& fault, TimePoint now, std::uint64_t random) {
  const std::chrono::nanoseconds since = now - fault.since;
  const double grown =
      since >= fault.ramp ? 1 : static_cast<double>(since.count()) / static_cast<double>(fault.ramp.count());
  return part_of(fault.delay, grown) + part_of(fault.jitter, drawn(random));
}

}  // namespace understudy::net
