#include "proxy/server/drill_metrics.hpp"

namespace understudy::server {

void expose_drills(observe::Exposition& out, const config::Config& config, const LiveDrills& drills,
                   const std::vector<health::DrillDue>& duties) {
  using Type = observe::Exposition::Type;
  out.family("drill_active", Type::gauge, "1 while a live drill is under way in the pool.");
  for (const auto& pool : config.pools)
    out.sample({{"pool", pool.name}}, std::uint64_t{drills.desk().running(pool.name) != nullptr});
  out.family("drills_total", Type::counter, "Live drills since the start, by how they ended, refused ones included.");
  out.sample({{"result", "complete"}}, drills.ended.complete);
  out.sample({{"result", "cut"}}, drills.ended.cut);
  out.sample({{"result", "refused"}}, drills.ended.refused);
  out.family("drill_faults_met_total", Type::counter, "Attempts that met a fault of a live drill.");
  out.sample({}, drills.met());
  out.family("drill_overdue", Type::gauge, "1 where a drill of the configuration was not made in time.");
  for (const health::DrillDue& duty : duties)
    out.sample({{"drill", duty.drill}, {"pool", duty.pool}}, std::uint64_t{duty.overdue});
  out.family("drill_last_made_timestamp_seconds", Type::gauge, "Unix time when it was made last; absent: never.");
  for (const health::DrillDue& duty : duties)
    if (duty.made)
      out.sample({{"drill", duty.drill}, {"pool", duty.pool}},
                 static_cast<double>(duty.made->time_since_epoch().count()) / 1000);
}

}  // namespace understudy::server
