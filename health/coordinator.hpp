// Who may say that a pool's designated tier changes. The core proposes; a coordinator commits, refuses or
// stays silent.
//
//   Core ──Proposal──► Coordinator ──Answer──► owner ──► Core::on_committed / on_refused
//
// The owner moves both: it hands every Proposal of Core::poll_action() to propose() and every Answer of
// poll_answer() to the core. A proposal without an answer for proposal_timeout is taken back by the core
// itself, which proposes again while it still wants the move. A coordinator must refuse a proposal whose
// from_epoch is no longer the newest.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "health/core.hpp"

namespace understudy::health {

// How long the core waits for an answer.
inline constexpr Duration proposal_timeout = std::chrono::seconds(5);
// How long the core waits before it proposes again what was refused.
inline constexpr Duration refusal_pause = std::chrono::seconds(1);
// How long an operator's order is proposed again when it is refused or not answered; then it is dropped,
// loudly: nobody wants it carried out by surprise an hour later.
inline constexpr Duration order_patience = std::chrono::seconds(30);

// Epochs. A pool that was never stored starts with first_epoch; a stored one goes on at
// resumed_epoch(stored), a gap that no process can have used up between its last save and its death. Both are
// the core's own epoch; a coordinator issues strictly greater ones, and the core accepts only those.
inline constexpr std::uint64_t first_epoch = 1;
inline constexpr std::uint64_t epoch_restart_gap = 1000;
std::uint64_t resumed_epoch(std::uint64_t stored);

struct Refusal {
  Proposal proposal;
  std::string why;
};
using Answer = std::variant<Decision, Refusal>;

class Coordinator {
public:
  virtual ~Coordinator() = default;
  // Never blocks and never calls back; the answer comes by poll_answer(), now, later or never.
  virtual void propose(const Proposal& proposal) = 0;
  virtual std::optional<Answer> poll_answer() = 0;
};

// The only decider of its pools: commits at once. Epochs go on from the proposer's, so it needs no state of
// its own on disk.
class LocalCoordinator final : public Coordinator {
public:
  void propose(const Proposal& proposal) override;
  std::optional<Answer> poll_answer() override;

private:
  std::map<std::string, std::uint64_t> issued_;  // by pool: the newest epoch given out
  std::deque<Answer> answers_;
};

}  // namespace understudy::health
