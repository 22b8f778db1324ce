// What a worker keeps per endpoint slot.
#pragma once

#include <optional>

#include "proxy/balance/peak_ewma.hpp"
#include "proxy/net/exchange_driver.hpp"
#include "proxy/net/upstream_connection.hpp"
#include "proxy/net/worker.hpp"

namespace understudy::net {

struct Worker::Slot {
  health::EndpointId owner{};
  UpstreamPool pool;
  balance::PeakEwma ewma;
  List<AwaitHook, AwaitHook> awaiting;  // sent, no first byte yet; oldest first
  List<AwaitHook, AwaitHook> opening;   // the same of WebSockets
  std::uint32_t awaiting_count = 0, opening_count = 0;
  TimePoint last_urgent{};
  std::optional<TimePoint> tls_told;  // when a failed handshake was last written about
  std::uint64_t tls_untold = 0;       // and how many failed since
  unsigned ill = 0;                   // as of the last view: 1 unhealthy, 2 dead or disabled
  std::uint64_t epoch = 0;            // of its pool, as of the last view
  bool was_away = false;              // not available, as of the last view (first worker only)

  // Its tunnels, worker_tunnels.cpp.
  enum class Fate : std::uint8_t { stays, draining, removed, disabled, dead };
  Fate fate = Fate::stays;
  std::optional<bool> aside;                // its tier is neither the designated one nor that of new tunnels
  bool served = false;                      // it was the designated one since its tunnels last had to leave
  std::optional<observe::TunnelEnd> due;    // the designated tier became another one, but new tunnels still come here
  std::optional<observe::TunnelEnd> moved;  // its tunnels leave since now
  bool follow(const health::EndpointView& endpoint, std::uint32_t tier, const health::PoolView& view, bool shared,
              bool new_epoch);
};

}  // namespace understudy::net
