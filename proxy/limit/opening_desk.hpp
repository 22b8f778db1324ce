// Admission of WebSocket openings to the endpoints of one pool: who may begin now, who waits, when the others come back. Pure;
// the workers share one per pool, so that limits and turns are the same however many workers there are.
//
//   arrives ─► room at an endpoint and nobody waits ─► begin() ─► opened | failed | abandoned ─► room
//           └► enter(): waits in turn ──► call()ed when there is room ─► begin(), or enter() again
//                                     └► too late, or the place given to another: refused, come_back()
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "proxy/limit/opening_limit.hpp"
#include "proxy/limit/opening_pace.hpp"
#include "proxy/limit/opening_queue.hpp"

namespace understudy::limit {

class OpeningDesk {
public:
  using TimePoint = OpeningLimit::TimePoint;
  using Duration = OpeningLimit::Duration;
  using Endpoint = std::uint64_t;  // unique for the life of the desk
  using Client = OpeningQueue::Key;
  using Token = OpeningQueue::Token;
  struct Terms {
    bool adaptive = true;
    std::optional<std::uint32_t> most = 1024;  // in progress per endpoint
    std::optional<double> rate{};              // a second and endpoint
    std::size_t queue = 4096;
    bool operator==(const Terms&) const = default;
  };
  explicit OpeningDesk(const Terms& terms) : terms_(terms), queue_(terms.queue) {}

  // How many more this endpoint may begin now.
  std::uint32_t room(Endpoint endpoint, TimePoint now);
  // Somebody was there before: whoever comes now has to wait too.
  bool others_wait() const { return !queue_.empty() || called_ > 0; }
  void begin(Endpoint endpoint, TimePoint now);
  void opened(Endpoint endpoint, Duration took, TimePoint now);
  void failed(Endpoint endpoint, TimePoint now);
  void abandoned(Endpoint endpoint);
  // It goes away, and is asked all the same where there is nothing else; or it is back. Either way it begins anew.
  void cold(Endpoint endpoint, bool away = false);
  // It opens what it can and refuses the rest, rather than all: an opening that it refused is worth another attempt.
  bool opens(Endpoint endpoint, TimePoint now) const;
  // Forgets all but these.
  void keep(const std::vector<Endpoint>& endpoints);
  std::size_t known() const { return states_.size(); }

  OpeningQueue::Pushed enter(Client client, Token token) { return queue_.push(client, token); }
  void leave(Token token) { queue_.remove(token); }
  // As many as there is room for, in their turn. Each says answered() when it has begun, waits again or is gone.
  std::vector<Token> call(std::uint32_t room);
  void answered() {
    if (called_ > 0) --called_;
  }

  std::size_t waiting() const { return queue_.size(); }
  // When who is refused now shall come back: behind all who wait; or, if it has waited for long itself, before them.
  Duration come_back(bool waited, TimePoint now) {
    return returns_.next(now, waited ? 0 : queue_.size(), expected_rate(now));
  }
  // How long the last in the queue will wait; nothing while nobody does.
  std::optional<Duration> estimate(TimePoint now) const;

  struct Seen {
    Endpoint endpoint{};
    std::uint32_t in_progress = 0, limit = 0;
    double pace = 0, rate = 0;  // a second: allowed, opened
  };
  // Every endpoint that has been asked so far.
  std::vector<Seen> look(TimePoint now) const;

private:
  struct State {
    OpeningLimit limit;
    OpeningPace pace;
    SlowInARow row;
    bool away = false;
  };
  State& state(Endpoint endpoint);
  double expected_rate(TimePoint now) const;

  Terms terms_;
  std::unordered_map<Endpoint, State> states_;
  OpeningQueue queue_;
  ReturnTimes returns_;
  std::size_t called_ = 0;
};

}  // namespace understudy::limit
