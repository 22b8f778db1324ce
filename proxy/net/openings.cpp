#include "proxy/net/openings.hpp"

#include <algorithm>

#include "proxy/net/worker.hpp"

namespace understudy::net {

namespace {
constexpr unsigned kWorkerShift = 48;  // of a token, above its number
// The pace gives room with time, and a call may come to nothing: who waits looks this often.
constexpr std::chrono::milliseconds kLook{8};
}  // namespace

Openings::~Openings() {
  if (armed()) worker_.reactor().wheel().cancel(*this);
}

bool Openings::wait(OpeningWaiter& waiter, const std::shared_ptr<SharedOpenings>& desk, std::uint64_t client,
                    Place& place) {
  const limit::OpeningDesk::Token token = (std::uint64_t{worker_.index()} << kWorkerShift) | ++next_;
  const auto pushed = desk->with([&](limit::OpeningDesk& d) { return d.enter(client, token); });
  if (pushed.displaced) tell(desk, *pushed.displaced, false);
  if (!pushed.queued) return false;
  waiting_.emplace(token, Waiting{&waiter, desk});
  ++desks_[desk];
  place = {token, false};
  arm();
  return true;
}

void Openings::leave(Place& place) {
  const Place left = std::exchange(place, {});
  const auto found = waiting_.find(left.token);
  if (left.token == 0 || found == waiting_.end()) return;
  const Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  if (const auto desk = desks_.find(waiting.desk); --desk->second == 0) desks_.erase(desk);
  waiting.desk->with([&](limit::OpeningDesk& d) {
    // A call that is on its way finds nobody and is answered then.
    if (left.called) d.answered();
    d.leave(left.token);
  });
}

// Over the endpoints that new tunnels may go to. What is called too many comes back to the queue.
void Openings::serve(const std::shared_ptr<SharedOpenings>& desk) {
  if (desk->with([](const limit::OpeningDesk& d) { return d.waiting() == 0; })) return;
  const std::vector<health::EndpointId> targets = worker_.opening_targets(desk->pool());
  const TimePoint now = worker_.reactor().now();
  const auto called = desk->with([&](limit::OpeningDesk& d) {
    std::uint64_t room = 0;
    for (const health::EndpointId id : targets) room += d.room(opening_key(id), now);
    return d.call(static_cast<std::uint32_t>(std::min<std::uint64_t>(room, UINT32_MAX)));
  });
  for (const limit::OpeningDesk::Token token : called) tell(desk, token, true);
}

void Openings::serve_all() {
  for (const auto& [desk, count] : desks_) serve(desk);
}

void Openings::on_timer(TimePoint) {
  serve_all();
  arm();
}

void Openings::arm() {
  if (!waiting_.empty() && !armed()) worker_.reactor().wheel().set(*this, worker_.reactor().now() + kLook);
}

// Always by post, as whoever calls is in the middle of an exchange of its own.
void Openings::tell(const std::shared_ptr<SharedOpenings>& desk, limit::OpeningDesk::Token token, bool its_turn) {
  Worker& other = *worker_.shared().workers[token >> kWorkerShift];
  other.post([&other, desk, token, its_turn] { other.openings().told(*desk, token, its_turn); });
}

void Openings::told(SharedOpenings& desk, limit::OpeningDesk::Token token, bool its_turn) {
  const auto found = waiting_.find(token);
  if (found != waiting_.end()) {
    found->second.waiter->on_opening_turn(its_turn, worker_.reactor().now());
  } else if (its_turn) {
    desk.with([](limit::OpeningDesk& d) { d.answered(); });  // it left meanwhile
  }
}

}  // namespace understudy::net
