// What clients of each pool met since the last look, from the counters of all workers. Control thread only.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/model.hpp"
#include "health/incident/recorder.hpp"
#include "proxy/observe/counters.hpp"

namespace understudy::server {

class PoolSeries {
public:
  using Counters = std::vector<std::shared_ptr<const observe::PlanCounters>>;  // of one generation, per worker

  // By index of the pool, in the order of the configuration; those of which nothing was counted have zero requests. The first
  // look, and the first at another generation, give nothing: so look before and after a new one takes over.
  std::vector<incident::Series> take(const config::Config& config, const Counters& counters, health::TimePoint now);

private:
  static constexpr std::size_t kClasses = static_cast<std::size_t>(observe::CodeClass::count);
  // Sums over workers, listeners and routes, since the start.
  struct Sums {
    std::array<std::uint64_t, kClasses> requests{};
    std::array<std::uint64_t, observe::kBuckets> duration{};
    incident::Counts counts;
  };
  static incident::Series step(Sums& before, const Sums& now);
  std::vector<Sums> before_;
  std::shared_ptr<const observe::PlanCounters> generation_;
  health::TimePoint last_{};
};

}  // namespace understudy::server
