#include "proxy/balance/two_choices.hpp"

namespace understudy::balance {
namespace {

// Requests in flight per unit of relative weight.
double share(const health::EndpointView& endpoint, const LoadSource& load, double mean_weight) {
  return static_cast<double>(load.in_flight(endpoint)) * mean_weight / weight_of(endpoint);
}

}  // namespace

std::optional<std::uint32_t> LeastRequest::pick(const health::TierView& tier, const PickInput& input,
                                                const LoadSource& load) {
  const auto draw = table_.draw_two(tier, input, load);
  if (!draw) return std::nullopt;
  if (!draw->second) return draw->first;
  const double mean = table_.mean_weight();
  const double first = share(tier.endpoints[draw->first], load, mean);
  return share(tier.endpoints[*draw->second], load, mean) < first ? *draw->second : draw->first;
}

std::optional<std::uint32_t> LeastLatency::pick(const health::TierView& tier, const PickInput& input,
                                                const LoadSource& load) {
  const auto draw = table_.draw_two(tier, input, load);
  if (!draw) return std::nullopt;
  if (!draw->second) return draw->first;
  const health::EndpointView& first = tier.endpoints[draw->first];
  const health::EndpointView& second = tier.endpoints[*draw->second];
  double first_latency = load.latency(first);
  double second_latency = load.latency(second);
  if (!(first_latency > 0)) first_latency = second_latency > 0 ? second_latency : 1;
  if (!(second_latency > 0)) second_latency = first_latency;
  const double mean = table_.mean_weight();
  const double first_cost = first_latency * (share(first, load, mean) + 1);
  const double second_cost = second_latency * (share(second, load, mean) + 1);
  return second_cost < first_cost ? *draw->second : draw->first;
}

}  // namespace understudy::balance
