// What a tunnel has beside its streams when its route resumes tunnels: what is kept of the client's messages, and the way to
// another endpoint.
//
//   flowing ─ has to leave, between messages ─► parting ─ the endpoint's Close ─┐
//      ▲  └───────────── lost ────────────────────────────────────────────────► parked ─ too late, refused ─► ended with 1012
//      └─ the client was told on ─ catching_up ◄─────────────────────────────────┘
//
// Beside that, until a slow client has taken them, go the last words of the endpoint that was left or lost (tunnel_words.cpp).
#pragma once

#include "proxy/exchange/kept_messages.hpp"
#include "proxy/exchange/parking.hpp"
#include "proxy/exchange/risk_window.hpp"
#include "proxy/net/reopening.hpp"

namespace understudy::net {

struct Resumption {
  static constexpr std::size_t kFrameWait = 56 * 1024;   // a larger frame does not fit a block while it comes
  static constexpr std::chrono::seconds kLastWords{1};   // of an endpoint that was told that its tunnel leaves
  static constexpr std::chrono::seconds kCloseGrace{2};  // between our Close frame and the cut
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
  bool was_full = false;         // while it is parked

  // The client has not taken yet what the last endpoint said: that goes on, and what the next one says stands behind it.
  Ref<Stream> rest;                         // that connection, while there is more to be read
  std::uint64_t rest_left = 0;              // bytes, at most
  std::uint64_t rest_risk = 0;              // at risk, unless it turns out to have heard all
  TimePoint rest_until = TimePoint::max();  // it was read empty: when it has said no more by then, that was all
  TimePoint rest_over = TimePoint::max();   // who talks on is not heard for ever
  Inbox said;                               // by the next one, behind its 101
  std::optional<std::uint64_t>
      deaf_since;  // the client's messages that were passed on or held before nobody heard it any more

  bool holds() const { return stage != Stage::flowing; }
  bool old_words() const { return rest || !said.empty(); }
  TimePoint next_deadline() const {
    if (stage == Stage::parting) return std::min(part_until, rest_until);
    if (stage == Stage::parked) return std::min({parking.next_deadline(), reopening.next_deadline(), rest_until});
    return moving ? std::min(move_until, rest_until) : rest_until;
  }
};

}  // namespace understudy::net
