#include "proxy/server/parked_metrics.hpp"

#include <algorithm>

namespace understudy::server {

void expose_parked(observe::Exposition& out, const std::vector<config::PoolConfig>& pools,
                   const std::vector<std::shared_ptr<const observe::PlanCounters>>& counters) {
  using Type = observe::Exposition::Type;
  using observe::PoolCounters;
  const auto total = [&](std::size_t pool, auto of) {
    std::uint64_t sum = 0;
    for (const auto& worker : counters) sum += of(*worker->pools[pool]);
    return sum;
  };
  const auto each = [&](std::string_view family, Type type, std::string_view help, auto of) {
    out.family(family, type, help);
    for (std::size_t i = 0; i < pools.size(); ++i) out.sample({{"pool", pools[i].name}}, total(i, of));
  };
  const auto by_word = [&]<typename Enum>(std::string_view family, std::string_view help, std::string_view label,
                                          observe::Counters<Enum> PoolCounters::*member) {
    out.family(family, Type::counter, help);
    for (std::size_t i = 0; i < pools.size(); ++i)
      for (std::size_t e = 0; e < static_cast<std::size_t>(Enum::count); ++e) {
        const auto which = static_cast<Enum>(e);
        out.sample({{"pool", pools[i].name}, {label, observe::name_of(which)}},
                   total(i, [&](const PoolCounters& c) { return (c.*member).get(which); }));
      }
  };
  by_word("websocket_sessions_parked_total", "Times that a tunnel lost its endpoint and was kept, by reason.", "reason",
          &PoolCounters::parked);
  by_word("websocket_parking_ended_total", "How that ended.", "result", &PoolCounters::park_ends);
  by_word("websocket_sessions_not_parked_total", "Tunnels that were to be kept and could not be, by reason.", "reason",
          &PoolCounters::not_parked);
  each("websocket_sessions_parked", Type::gauge, "Tunnels without an endpoint now.",
       [](const PoolCounters& c) { return c.parked_now(); });
  each("websocket_kept_bytes", Type::gauge, "Bytes of clients that are kept for the next endpoint.",
       [](const PoolCounters& c) { return static_cast<std::uint64_t>(std::max<std::int64_t>(c.kept_bytes.get(), 0)); });
  each("websocket_park_buffer_full_total", Type::counter,
       "Times that a parked tunnel held as much as it may, and its client was not read any more.",
       [](const PoolCounters& c) { return c.park_buffer_full.get(); });
  each("websocket_resume_failed_total", Type::counter, "Attempts of parked tunnels to open that failed.",
       [](const PoolCounters& c) { return c.resume_failed.get(); });
  each("messages_at_risk_total", Type::counter,
       "WebSocket messages that may be lost: passed on to an endpoint just before it was lost, or never passed on.",
       [](const PoolCounters& c) { return c.messages_at_risk.get(); });
  out.family("websocket_parked_seconds", Type::histogram,
             "How long tunnels were without an endpoint, of those that found another one.");
  for (std::size_t i = 0; i < pools.size(); ++i) {
    observe::HistogramCounts counts;
    for (const auto& worker : counters) worker->pools[i]->parked_for.add_to(counts);
    out.histogram({{"pool", pools[i].name}}, counts);
  }
}

}  // namespace understudy::server
