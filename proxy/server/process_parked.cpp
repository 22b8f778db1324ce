// Tunnels without an endpoint, for the admin API and the event log.
#include <boost/json.hpp>

#include <algorithm>

#include "proxy/server/process.hpp"

namespace understudy::server {

namespace json = boost::json;

namespace {
constexpr std::chrono::milliseconds kEvery{250};
}  // namespace

Process::ParkedSeen Process::look_at_parked(std::size_t pool) const {
  ParkedSeen out;
  if (pool >= plan_->config.pools.size()) return out;
  for (const auto& worker : counters_) {
    const observe::PoolCounters& c = *worker->pools[pool];
    out.tunnels.open += c.tunnels_active();
    out.tunnels.parked += c.parked_now();
    out.tunnels.resumed += c.park_ends.get(observe::ParkEnd::resumed);
    for (const auto end : {observe::ParkEnd::late, observe::ParkEnd::refused, observe::ParkEnd::protocol})
      out.tunnels.given_up += c.park_ends.get(end);
    out.tunnels.messages_at_risk += c.messages_at_risk.get();
    out.kept_bytes += static_cast<std::uint64_t>(std::max<std::int64_t>(c.kept_bytes.get(), 0));
  }
  return out;
}

// Tunnels of which the endpoint has nothing to say know by that how long it lived (messages_at_risk_total).
void Process::note_heard(health::EndpointId endpoint) {
  if (endpoint.slot >= totals_.size() || totals_[endpoint.slot].id != endpoint || !totals_[endpoint.slot].load) return;
  auto& heard = totals_[endpoint.slot].load->heard;
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  if (heard.load(std::memory_order_relaxed) < now) heard.store(now, std::memory_order_relaxed);
}

void Process::watch_parked(TimePoint now) {
  if (now < parked_looked_ + kEvery) return;
  parked_looked_ = now;
  for (std::size_t i = 0; i < plan_->config.pools.size(); ++i) {
    const config::PoolConfig& pool = plan_->config.pools[i];
    const ParkedSeen seen = look_at_parked(i);
    const auto known = parked_watch_.find(pool.name);
    if (known == parked_watch_.end() && seen.tunnels.open == 0) continue;
    auto& watch = known != parked_watch_.end() ? known->second : parked_watch_[pool.name];
    const auto since = watch.since();
    const auto told = watch.look(pool.name, seen.tunnels, now);
    if (!told) continue;
    health::Event event;
    event.kind = health::Event::Kind::tunnels_parked;
    event.at = now;
    event.since = since.value_or(now);
    event.pool = pool.name;
    event.reason = *told;
    on_event(event);
  }
}

void Process::add_parked(json::object& described, std::size_t pool) const {
  const ParkedSeen seen = look_at_parked(pool);
  described["parked"] = {{"tunnels", seen.tunnels.parked},
                         {"kept_bytes", seen.kept_bytes},
                         {"resumed", seen.tunnels.resumed},
                         {"given_up", seen.tunnels.given_up},
                         {"messages_at_risk", seen.tunnels.messages_at_risk}};
}

}  // namespace understudy::server
