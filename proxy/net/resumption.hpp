// What a tunnel has beside its streams when its route resumes tunnels: what is kept of the client's messages, and the way to
// another endpoint.
//
//   flowing ─ has to leave, between messages ─► parting ─ the endpoint's Close ─┐
//      ▲  └───────────── lost ────────────────────────────────────────────────► parked ─ too late, refused ─► ended with 1012
//      └─ the client was told on ─ catching_up ◄─────────────────────────────────┘
#pragma once

#include "proxy/exchange/kept_messages.hpp"
#include "proxy/exchange/parking.hpp"
#include "proxy/exchange/risk_window.hpp"
#include "proxy/net/reopening.hpp"

namespace understudy::net {

struct Resumption {
  enum class Stage : std::uint8_t {
    flowing,
    parting,     // our Close is on its way to the endpoint, its last words to the client
    parked,      // no endpoint
    catching_up  // what was kept goes to the new one
  };
  Resumption(Worker& worker, Ready& owner, Handshake handshake, const exchange::KeptMessages::Terms& terms)
      : kept(terms), reopening(worker, owner, std::move(handshake)) {}

  Stage stage = Stage::flowing;
  exchange::KeptMessages kept;
  exchange::RiskWindow risk;
  exchange::Parking parking;
  Reopening reopening;
  observe::ParkReason reason = observe::ParkReason::upstream_reset;  // it parts or is parked for
  std::optional<observe::ParkReason> moving;                         // it has to leave its endpoint
  TimePoint move_until{}, part_until{};
  bool endpoint_closes = false;  // its Close is the next frame, and not the client's to see
  std::uint32_t times = 0;       // parked
  std::size_t published = 0;     // bytes, as the gauge has them

  bool holds() const { return stage != Stage::flowing; }
  TimePoint next_deadline() const {
    if (stage == Stage::parting) return part_until;
    if (stage == Stage::parked) return std::min(parking.next_deadline(), reopening.next_deadline());
    return moving ? move_until : TimePoint::max();
  }
};

}  // namespace understudy::net
