// Two attempts for one request: a second one when the first is slow, and what becomes of both. Which of them wins is
// exchange::State's to say.
#include <utility>

#include "proxy/net/exchange_driver.hpp"

namespace understudy::net {

using exchange::End;
using exchange::EventKind;
using health::Cause;
using observe::HedgeRefusal;
using observe::HedgeResult;

// The current attempt waits for longer than its endpoint hardly ever needs.
void Exchange::hedge(TimePoint now) {
  // Bytes that wait to be read may be the answer, and a thread that was late has nobody to blame.
  const bool heard = attempt_.kept_until == TimePoint{} && attempt_.connection && attempt_.connection->has_stream() &&
                     attempt_.connection->state() == UpstreamConnection::State::open &&
                     attempt_.connection->stream().readable();
  if (heard || worker_.reactor().starved()) return refuse_hedge({}, now);
  PickRequest request = pick_request();
  request.hedge = true;
  Picked picked = worker_.pick(request);
  if (picked.endpoint == nullptr) return refuse_hedge(HedgeRefusal::no_endpoint, now);
  const bool suspect = worker_.doubted(request, attempt_.endpoint->id);
  if (const auto refused = worker_.take_hedge_token(plan_->plan(), pool_index_, client_, suspect))
    return refuse_hedge(refused, now);
  state_.on({EventKind::hedged, Cause::none, 0, false, End::none}, now);
  if (picked.fallthrough) plan_->counters().pools[pool_index_]->fallthrough.add();
  other_ = std::move(attempt_);
  second_is_current_ = true;
  hedging_ = true;
  start_attempt(std::move(picked), now);
}

// Asked for again later, told once.
void Exchange::refuse_hedge(std::optional<HedgeRefusal> why, TimePoint now) {
  state_.on({EventKind::hedge_refused, Cause::none, 0, false, End::none}, now);
  if (!why || std::exchange(hedge_refused_, true)) return;
  plan_->counters().pools[pool_index_]->hedges_refused.add(*why);
}

// Both sides of it: what is told to the state next is about the attempt that was the other.
void Exchange::exchange_attempts() {
  std::swap(attempt_, *other_);
  state_.exchange_roles();
  second_is_current_ = !second_is_current_;
  note_endpoint();
}

// The current attempt is gone already.
void Exchange::resume_other() {
  attempt_ = std::move(*other_);
  other_.reset();
  // The second one failed, or the first did and left the field to it.
  if (second_is_current_) end_hedge(HedgeResult::failed);
  second_is_current_ = !second_is_current_;
  note_endpoint();
  requester_.wake();  // a head that was kept is read again
}

// An answer of failure class, kept in case that no better one comes. State has exchanged its half already.
void Exchange::hold_head() {
  attempt_.connection->parser().reset();
  std::swap(attempt_, *other_);
  second_is_current_ = !second_is_current_;
  note_endpoint();
}

// It lost. Its endpoint takes at least that long, which is neither a success nor a failure of it.
void Exchange::supersede_other(TimePoint now) {
  const TimePoint since = other_->sent ? other_->sent_at : other_->began;
  worker_.superseded(*other_->endpoint, now - since);
  close_other(Cause::none);
}

void Exchange::drop_other(Cause cause) {
  if (!second_is_current_) end_hedge(HedgeResult::failed);
  close_other(cause);
}

void Exchange::close_other(Cause cause) {
  Attempt mine = std::exchange(attempt_, std::move(*other_));
  other_.reset();
  const bool handshaking =
      attempt_.connection && attempt_.connection->state() == UpstreamConnection::State::handshaking;
  if (cause != Cause::none) report(cause == Cause::tcp_timeout && handshaking ? Cause::tls_timeout : cause);
  drop_attempt();
  attempt_ = std::move(mine);
}

// For the log, for the sticky cookie and for the epoch that is sent along.
void Exchange::note_endpoint() {
  last_snapshot_ = attempt_.snapshot;
  last_endpoint_ = attempt_.endpoint;
  last_tier_ = attempt_.tier;
  last_epoch_ = attempt_.epoch;
}

void Exchange::end_hedge(HedgeResult result) {
  if (!std::exchange(hedging_, false)) return;
  hedge_ = result;
  plan_->counters().pools[pool_index_]->hedges.add(result);
}

}  // namespace understudy::net
