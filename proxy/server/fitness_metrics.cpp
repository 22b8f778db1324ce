#include "proxy/server/fitness_metrics.hpp"

#include <array>
#include <chrono>
#include <optional>

namespace understudy::server {

void expose_fitness(observe::Exposition& out, const std::vector<health::PoolStatus>& pools) {
  using namespace health;
  using Type = observe::Exposition::Type;
  const TimePoint now = std::chrono::steady_clock::now();
  const auto age = [now](const std::optional<TimePoint>& at) {
    return at ? std::chrono::duration<double>(now - *at).count() : -1.0;
  };
  const auto each_tier = [&](auto f) {
    for (const auto& pool : pools)
      for (const auto& tier : pool.tiers)
        if (pool.has_fitness) f(pool.name, tier);
  };
  const auto each = [&](auto f) {
    each_tier([&](const auto& pool, const auto& tier) {
      for (const auto& e : tier.endpoints) f(pool, tier.name, e);
    });
  };
  constexpr std::array kVerdicts{Fit::fit, Fit::unknown, Fit::stale, Fit::unfit};
  out.family("tier_fit", Type::gauge,
             "One series per verdict of synthetic requests and copies of real ones; 1 for the one that holds.");
  each_tier([&](const auto& pool, const auto& tier) {
    for (const Fit fit : kVerdicts)
      out.sample({{"pool", pool}, {"tier", tier.name}, {"verdict", health::name_of(fit)}},
                 std::uint64_t{tier.fit == fit});
  });
  out.family("tier_fit_age_seconds", Type::gauge, "Age of the proof that the tier is fit; -1 without one.");
  each_tier([&](const auto& pool, const auto& tier) {
    out.sample({{"pool", pool}, {"tier", tier.name}}, age(tier.proven_at));
  });
  out.family("endpoint_fit", Type::gauge,
             "One series per verdict of synthetic requests and copies of real ones; 1 for the one that holds.");
  each([&](const auto& pool, const auto& tier, const EndpointStatus& e) {
    for (const Fit fit : kVerdicts)
      out.sample({{"pool", pool},
                  {"tier", tier},
                  {"endpoint", e.label},
                  {"address", e.address},
                  {"verdict", health::name_of(fit)}},
                 std::uint64_t{e.fit == fit});
  });
  out.family("endpoint_fit_age_seconds", Type::gauge, "Age of the weakest proof; -1 without one.");
  each([&](const auto& pool, const auto& tier, const EndpointStatus& e) {
    out.sample({{"pool", pool}, {"tier", tier}, {"endpoint", e.label}, {"address", e.address}}, age(e.proven_at));
  });
  out.family("mirrored_requests_total", Type::counter, "Copies of real requests that a standby answered, by result.");
  each([&](const auto& pool, const auto& tier, const EndpointStatus& e) {
    for (const bool same : {true, false})
      out.sample({{"pool", pool},
                  {"tier", tier},
                  {"endpoint", e.label},
                  {"address", e.address},
                  {"result", same ? "same" : "different"}},
                 same ? e.mirrored - e.mirrored_differently : e.mirrored_differently);
  });
  out.family("synthetic_requests_total", Type::counter, "Synthetic requests by result.");
  each([&](const auto& pool, const auto& tier, const EndpointStatus& e) {
    for (const auto& request : e.synthetic)
      for (const bool ok : {true, false})
        out.sample({{"pool", pool},
                    {"tier", tier},
                    {"endpoint", e.label},
                    {"address", e.address},
                    {"request", request.name},
                    {"result", ok ? "ok" : "failed"}},
                   ok ? request.passed : request.failed);
  });
}

void expose_copies(observe::Exposition& out, const CopiesUnderWay& copies) {
  using Type = observe::Exposition::Type;
  out.family("mirror_copies_under_way", Type::gauge, "Copies of real requests that are being answered.");
  out.sample({}, std::uint64_t{copies.count()});
  out.family("mirror_copies_dropped_total", Type::counter, "Copies of real requests that were not sent, by reason.");
  for (std::size_t i = 0; i < CopiesUnderWay::reasons.size(); ++i)
    out.sample({{"reason", CopiesUnderWay::reasons[i]}}, copies.dropped(i));
}

}  // namespace understudy::server
