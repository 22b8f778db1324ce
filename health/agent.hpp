// What an agent on an endpoint's machine says of its load, in the words of HAProxy's agent-check: on a port of its own, or in a
// field of the answer to the health check.
//
//   75%                     so much of its weight it can carry; 0% is drain
//   drain  maint            no new requests; what is under way ends in peace
//   down  failed  stopped   it can't serve
//   ready                   takes drain and maint back;  up  takes down back
//
// Words are separated by spaces, tabs or commas, in any order and case; what follows '#' is a reason for people. A word that is
// not known makes the whole answer worthless: what was said before stands, and the complaint is told. No answer is no evidence.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "health/types.hpp"

namespace understudy::health {

class Agent {
public:
  enum class State : std::uint8_t { ready, drain, maintenance, down };

  // Takes in the first line of an answer. True when what it amounts to has changed.
  bool take(std::string_view text, TimePoint now);
  // It did not answer. True when that is news.
  bool miss(const std::string& why);
  // As if it had never been asked: the check names no agent any more.
  void forget() { *this = Agent{}; }

  State state() const {
    return down_ ? State::down : maintenance_ ? State::maintenance : drain_ ? State::drain : State::ready;
  }
  // Of the configured weight, in [0, 1].
  double share() const { return share_; }
  bool takes_new() const { return state() == State::ready && share_ > 0; }
  // May the endpoint be let be (draining), rather than be given up (down)?
  bool leaves_in_peace() const { return !takes_new() && !down_; }
  // "" when there is nothing to say; else one line: what it said, or what is wrong with it.
  const std::string& reason() const { return reason_; }
  const std::string& complaint() const { return complaint_; }
  std::optional<TimePoint> heard_at() const { return heard_at_; }

private:
  bool drain_ = false, maintenance_ = false, down_ = false;
  double share_ = 1;
  std::string reason_, complaint_;
  std::optional<TimePoint> heard_at_;
};

std::string_view name_of(Agent::State state);

}  // namespace understudy::health
