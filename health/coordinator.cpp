#include "health/coordinator.hpp"

#include <limits>

namespace understudy::health {

std::uint64_t resumed_epoch(std::uint64_t stored) {
  const std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();
  return stored > highest - epoch_restart_gap ? highest : stored + epoch_restart_gap;
}

void LocalCoordinator::propose(const Proposal& proposal) {
  std::uint64_t& newest = issued_[proposal.pool];
  if (proposal.from_epoch < newest) {
    answers_.emplace_back(Refusal{proposal, "epoch " + std::to_string(proposal.from_epoch) +
                                                " is outdated, the pool is at epoch " + std::to_string(newest)});
    return;
  }
  if (proposal.from_epoch == std::numeric_limits<std::uint64_t>::max()) {
    answers_.emplace_back(Refusal{proposal, "the pool's epochs are used up"});
    return;
  }
  newest = proposal.from_epoch + 1;
  answers_.emplace_back(Decision{proposal.pool, newest, proposal.tier});
}

std::optional<Answer> LocalCoordinator::poll_answer() {
  if (answers_.empty()) return std::nullopt;
  Answer answer = std::move(answers_.front());
  answers_.pop_front();
  return answer;
}

}  // namespace understudy::health
