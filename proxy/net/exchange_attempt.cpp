// Attempts: picking an endpoint, borrowing or dialling, and what follows when one ends.
#include <algorithm>
#include <utility>

#include "proxy/net/exchange_driver.hpp"
#include "proxy/net/exchange_words.hpp"

namespace understudy::net {

using exchange::Action;
using exchange::ActionKind;
using exchange::End;
using exchange::EventKind;
using health::Cause;

namespace {

// How long the client may take for so many bytes: five seconds of grace, then at least `rate` bytes a second.
std::chrono::nanoseconds allowed_time(std::uint64_t bytes, std::uint64_t rate) {
  constexpr std::uint64_t kLongest = 365ULL * 86'400'000;
  const auto ms = static_cast<std::int64_t>(std::min(kLongest, bytes / rate * 1000 + bytes % rate * 1000 / rate));
  return std::chrono::milliseconds(5'000 + ms);
}

// How often a client that takes nothing is looked at.
std::chrono::nanoseconds check_interval(config::Duration write_timeout) {
  return std::clamp<std::chrono::nanoseconds>(write_timeout / 4, std::chrono::milliseconds(20),
                                              std::chrono::seconds(1));
}

}  // namespace

void Exchange::perform(const exchange::Actions& actions, TimePoint now) {
  for (const Action& action : actions) {
    switch (action.kind) {
      case ActionKind::pick: pick(action.token, now); break;
      case ActionKind::hedge: hedge(now); break;
      case ActionKind::drop: drop_attempt(); break;
      case ActionKind::resume: resume_other(); break;
      case ActionKind::hold: hold_head(); break;
      case ActionKind::supersede: supersede_other(now); break;
      case ActionKind::drop_other: drop_other(action.cause); break;
      case ActionKind::report: report(action.cause); break;
      case ActionKind::forward: break;  // the caller holds the head and goes on
      case ActionKind::answer:
        drop_attempts();
        if (action.end == End::openings) note_refused_opening(now);
        answer_end(action.end);
        break;
      case ActionKind::finish: end_exchange(action.end, action.recycle, now); break;
    }
  }
}

bool Exchange::pay_for_retry() {
  const auto refused = worker_.take_retry_token(plan_->plan(), pool_index_, client_);
  if (!refused) return true;
  plan_->counters().pools[pool_index_]->retries_refused.add(*refused);
  if (*refused == observe::RetryRefusal::client) worker_.share_used_up(pool_->name, requester_.facts().client);
  return false;
}

PickRequest Exchange::pick_request() const {
  PickRequest request;
  request.pool = pool_index_;
  request.plan = &plan_->plan();
  request.safe = http::is_safe(method_) && !websocket_;
  request.hash = hash_;
  request.sticky = sticky_;
  request.again = tried_count_ > 0;
  request.excluded = {tried_.data(), tried_count_};
  return request;
}

void Exchange::pick(bool needs_token, TimePoint now) {
  end_hedge(observe::HedgeResult::failed);  // where there was one: neither attempt is left
  if (needs_token && !pay_for_retry()) {
    perform(state_.on({EventKind::budget_empty, Cause::none, 0, false, End::none}, now), now);
    return;
  }
  PickRequest request = pick_request();
  request.called = opening_place_.called;
  const auto ask = [&] {
    return websocket_ ? worker_.pick_opening(request, *plan_->plan().pools[pool_index_].openings)
                      : worker_.pick(request);
  };
  Picked picked = ask();
  if (picked.endpoint == nullptr && !picked.maintenance && !picked.shed && !picked.full && tried_count_ > 0) {
    // Distinct endpoints first; when all were tried, any available one again.
    request.excluded = {};
    picked = ask();
  }
  worker_.openings().leave(opening_place_);
  auto& counters = *plan_->counters().pools[pool_index_];
  if (picked.maintenance) {
    retry_after_ = picked.retry_after;
    perform(state_.on({EventKind::maintenance, Cause::none, 0, false, End::none}, now), now);
    return;
  }
  if (picked.shed) {
    stop_waiting();
    counters.shed.add();
    perform(state_.on({EventKind::shed, Cause::none, 0, false, End::none}, now), now);
    return;
  }
  if (picked.full) {
    wait_to_open(now);
    return;
  }
  if (picked.endpoint == nullptr) {
    const auto actions = state_.on({EventKind::no_endpoint, Cause::none, 0, picked.may_wait, End::none}, now);
    if (state_.phase() == exchange::Phase::waiting) {
      if (!waiting_) {
        waiting_ = true;
        worker_.wait_for_endpoint(*this);
        note_queued(false);
      }
    } else {
      stop_waiting();
      counters.unavailable.add();
    }
    perform(actions, now);
    return;
  }
  stop_waiting();
  if (state_.attempts() > 0) counters.retries.add();
  if (picked.fallthrough) counters.fallthrough.add();
  start_attempt(std::move(picked), now);
}

void Exchange::stop_waiting() {
  worker_.openings().leave(opening_place_);
  if (!waiting_) return;
  waiting_ = false;
  WaitHook::unlink();
  worker_.stopped_waiting();
}

// Once each, however often it waits.
void Exchange::note_queued(bool to_open) {
  auto& counters = *plan_->counters().pools[pool_index_];
  if (!std::exchange(queued_, true)) counters.queued.add();
  if (to_open && !std::exchange(opening_queued_, true)) counters.openings_queued.add();
}

// How long the attempt may wait alone. Of one that was sent elsewhere nothing is known of how long it needs: where it cannot
// have company it makes room for the next. What requests need says nothing of an opening: that has `leave_at`.
void Exchange::limit_attempt(const Picked& picked) {
  if (websocket_) return;
  const auto patience = picked.endpoint->overdue_after;
  const bool elsewhere = picked.risked || picked.fallthrough;
  const bool accompanied = hedgeable_ && !other_;
  auto hedge_after = picked.endpoint->hedge_after;
  if (!hedge_after && elsewhere && pool_->retry.hedge) hedge_after = patience;
  if (accompanied) state_.hedge_next_attempt(hedge_after);
  if (picked.trial || (elsewhere && !(accompanied && hedge_after))) state_.limit_next_attempt(patience);
}

void Exchange::start_attempt(Picked picked, TimePoint now) {
  attempt_ = Attempt{};
  attempt_.snapshot = std::move(picked.snapshot);
  attempt_.endpoint = picked.endpoint;
  attempt_.slot = picked.endpoint->id.slot;
  attempt_.tier = picked.tier;
  attempt_.epoch = picked.epoch;
  attempt_.began = now;
  attempt_.serving = !picked.fallthrough && !picked.risked;
  if (picked.risked) state_.risk_next_attempt();
  attempt_.opening = websocket_;
  if (picked.leave_after) attempt_.leave_at = now + *picked.leave_after;
  if (std::exchange(opening_waited_, false)) plan_->counters().pools[pool_index_]->opening_wait.record(state_.waited());
  limit_attempt(picked);
  note_endpoint();
  if (tried_count_ < tried_.size()) tried_[tried_count_++] = picked.endpoint->id;
  attempt_.endpoint->load->in_flight.fetch_add(1, std::memory_order_relaxed);
  attempt_.endpoint->load->unanswered.fetch_add(1, std::memory_order_relaxed);
  attempt_.unanswered = true;
  worker_.endpoint(attempt_.slot).requests.add();
  up_.rewind();

  if (const Faults* faults = attempt_.snapshot->faults(); faults != nullptr && meet_fault(*faults, now)) return;
  // A request that must not be repeated gets a connection that was looked at just now.
  const bool careful = !http::is_idempotent(method_);
  if (Ref<UpstreamConnection> idle = worker_.borrow(attempt_.endpoint->id, careful)) {
    attempt_.connection = std::move(idle);
    attempt_.connection->borrow(this);
    plan_->counters().pools[pool_index_]->connections_reused.add();
    attempt_connected(true, now);
    return;
  }
  perform(state_.on({EventKind::dialing, Cause::none, 0, false, End::none}, now), now);
  attempt_.connection = make_ref<UpstreamConnection>(worker_, attempt_.endpoint->id);
  const PoolPlan& pool = plan_->plan().pools[pool_index_];
  const Cause failed =
      attempt_.connection->dial(attempt_.endpoint->address, pool.tls, attempt_.endpoint->server_name, this);
  if (failed != Cause::none) {
    perform(state_.on({EventKind::dial_failed, failed, 0, false, End::none}, now), now);
    return;
  }
  requester_.wake();  // a Unix socket is connected at once
}

void Exchange::attempt_connected(bool reused, TimePoint now) {
  // Whoever speaks before it was asked does not answer this request.
  Stream& stream = attempt_.connection->stream();
  if (!reused && stream.readable() && stream.peek().status == Io::ok) {
    perform(state_.on({EventKind::dial_failed, Cause::http_malformed, 0, false, End::none}, now), now);
    return;
  }
  perform(state_.on({EventKind::connected, Cause::none, 0, reused, End::none}, now), now);
  if (!reused) {
    auto& counters = *plan_->counters().pools[pool_index_];
    counters.connections_opened.add();
    if (const auto took = state_.connect_time()) {
      counters.connect.record(*took);
      worker_.endpoint(attempt_.slot).connect.record(*took);
    }
  }
  ++attempt_.connection->requests;
  attempt_.head_written = false;
  upload(now);
}

void Exchange::no_longer_awaits() {
  if (attempt_.awaiting == nullptr) return;
  worker_.attempt_answered(*std::exchange(attempt_.awaiting, nullptr), attempt_.slot);
}

// Ends the attempt without a word to the endpoint's counters.
void Exchange::drop_attempt() {
  stop_waiting();
  no_longer_awaits();
  count_answered();
  end_opening(OpeningEnd::abandoned, worker_.reactor().now());
  if (attempt_.endpoint) attempt_.endpoint->load->in_flight.fetch_sub(1, std::memory_order_relaxed);
  attempt_.endpoint = nullptr;
  if (attempt_.connection) {
    attempt_.connection->close();
    attempt_.connection.reset();
  }
  attempt_.head.clear();
  attempt_.snapshot.reset();
}

void Exchange::drop_attempts() {
  drop_attempt();
  end_hedge(observe::HedgeResult::failed);
  if (!other_) return;
  attempt_ = std::move(*other_);
  other_.reset();
  drop_attempt();
}

void Exchange::report(Cause cause) {
  if (cause != Cause::none && cause != Cause::own_error) end_opening(OpeningEnd::failed, worker_.reactor().now());
  if (attempt_.endpoint) worker_.outcome(*attempt_.endpoint, cause, client_);
  if (!mirror_) return;
  // What our own answer refuses (429, 404 ..) says more about the client than about a standby.
  const bool right = status_ >= 200 && status_ < 300;
  const auto first_byte = state_.answer_time();
  if (cause == Cause::none && right && first_byte) {
    mirror_->status = status_;
    mirror_->first_byte = *first_byte;
    worker_.hand_in(std::move(*mirror_));
  }
  mirror_.reset();
}

void Exchange::count_answered() {
  if (!std::exchange(attempt_.unanswered, false) || !attempt_.endpoint) return;
  attempt_.endpoint->load->unanswered.fetch_sub(1, std::memory_order_relaxed);
}

// State says it is over. What is still in down_ goes out first.
void Exchange::end_exchange(End end, bool recycle, TimePoint now) {
  // A client that was made to leave has its reason already.
  if (end != End::ok && (end != End::client_gone || term_ == observe::Term::ok)) term_ = term_of(end);
  if (end == End::client_gone && worker_.finishing()) term_ = observe::Term::shutdown;  // it is us who leave
  if (!recycle) {
    // Cut: the client must see that the answer is not whole.
    if (end == End::client_gone) {
      end_hedge(observe::HedgeResult::abandoned);
      if (attempt_.endpoint) worker_.endpoint(attempt_.slot).abandoned.add();
      if (other_ && other_->endpoint) worker_.endpoint(other_->slot).abandoned.add();
    }
    drop_attempts();
    keep_alive_ = false;
    cut_ = true;
    response_done_ = true;
    finished_ = true;
    if (end == End::client_gone) status_ = status_ != 0 ? status_ : 499;
    finish_record(term_);
    return;
  }
  response_done_ = true;
  (void)now;
}

void Exchange::upstream_failed(Cause cause, TimePoint now) {
  if (websocket_ && cause == Cause::http_timeout) cause = Cause::ws_timeout;
  perform(state_.on({EventKind::attempt_failed, cause, 0, false, End::none}, now), now);
}

void Exchange::on_snapshot(TimePoint now) {
  perform(state_.on({EventKind::moved, Cause::none, 0, false, End::none}, now), now);
  requester_.wake();
}

void Exchange::on_endpoint_lost(std::uint32_t slot, TimePoint now) {
  const bool other = other_ && other_->awaiting != nullptr && other_->slot == slot;
  if (!other && (attempt_.awaiting == nullptr || attempt_.slot != slot)) return;  // it does not wait there any more
  perform(state_.on({other ? EventKind::other_lost : EventKind::endpoint_lost, Cause::none, 0, false, End::none}, now),
          now);
  requester_.wake();
}

void Exchange::abandon(TimePoint now) {
  if (finished_) return;
  perform(state_.on({EventKind::downstream_gone, Cause::none, 0, false, End::none}, now), now);
  if (!finished_) {
    // The state was over already: the answer was being flushed when the client left.
    finished_ = true;
    keep_alive_ = false;
    cut_ = true;
    finish_record(term_ == observe::Term::ok ? observe::Term::client_abort : term_);
  }
}

std::optional<TimePoint> Exchange::next_deadline() const {
  if (finished_) return std::nullopt;
  std::optional<TimePoint> deadline = state_.next_deadline();
  const auto earlier = [&deadline](TimePoint t) { deadline = deadline ? std::min(*deadline, t) : t; };
  // The client's side: uploading too slowly, or not reading.
  if (wants_body()) {
    earlier(upload_progress_ + limits_->body_timeout);
    if (limits_->min_rate > 0)
      earlier(state_.started_at() + upload_paused_ + allowed_time(body_in_, limits_->min_rate));
  }
  if (download_waits_) earlier(download_check_);
  if (attempt_.kept_until != TimePoint{}) earlier(attempt_.kept_until);
  if (other_ && other_->kept_until != TimePoint{}) earlier(other_->kept_until);
  if (attempt_.leave_at && attempt_.awaiting != nullptr) earlier(*attempt_.leave_at);
  return deadline;
}

// Notes when the client begins to be waited for, and when it is no more. Called whenever bytes were sent.
void Exchange::watch_download(TimePoint now) {
  const bool waits = output_waits();
  if (waits == download_waits_) return;
  download_waits_ = waits;
  if (!waits) {
    download_waited_ += now - download_since_;
    return;
  }
  download_since_ = download_progress_ = now;
  download_check_ = now + check_interval(limits_->write_timeout);
  const auto at = static_cast<std::int64_t>(bytes_out_) - static_cast<std::int64_t>(requester_.undelivered());
  if (!delivered_base_) delivered_base_ = at;
  delivered_ = at - *delivered_base_;
}

// The socket's buffer may be large: what counts is what reaches the client's machine, not when there is room again.
bool Exchange::client_too_slow(TimePoint now) {
  if (!download_waits_ || now < download_check_) return false;
  const auto at = static_cast<std::int64_t>(bytes_out_) - static_cast<std::int64_t>(requester_.undelivered());
  const std::int64_t delivered = at - *delivered_base_;
  if (delivered > delivered_) {
    delivered_ = delivered;
    download_progress_ = now;
  }
  download_check_ = std::min(now + check_interval(limits_->write_timeout), download_progress_ + limits_->write_timeout);
  const bool stalled = now >= download_progress_ + limits_->write_timeout;
  const bool slow =
      limits_->min_rate > 0 &&
      download_waited_ + (now - download_since_) >=
          allowed_time(static_cast<std::uint64_t>(std::max<std::int64_t>(delivered, 0)), limits_->min_rate);
  if (!stalled && !slow) return false;
  plan_->counters().listeners[requester_.facts().listener]->limit_hits.add(stalled ? observe::Limit::write_timeout
                                                                                   : observe::Limit::min_rate);
  term_ = stalled ? observe::Term::client_timeout : observe::Term::limit_rate;
  return true;
}

void Exchange::on_deadline(TimePoint now) {
  if (finished_) return;
  kept_by_fault(now);
  if (other_ && now >= other_->kept_until) other_->kept_until = {};
  auto& listener = *plan_->counters().listeners[requester_.facts().listener];
  if (client_too_slow(now)) {
    abandon(now);
    return;
  }
  if (attempt_.leave_at && attempt_.awaiting != nullptr && now >= *attempt_.leave_at) {
    leave_slow_opening(attempt_.slot, now);
    return;
  }
  if (download_waits_ && state_.phase() == exchange::Phase::streaming) {
    // The endpoint waits for the client, not the other way round.
    state_.on({EventKind::response_progress, Cause::none, 0, false, End::none}, now);
  }
  if (wants_body()) {
    const bool stalled = now >= upload_progress_ + limits_->body_timeout;
    const bool slow = limits_->min_rate > 0 &&
                      now >= state_.started_at() + upload_paused_ + allowed_time(body_in_, limits_->min_rate);
    if (stalled || slow) {
      listener.limit_hits.add(stalled ? observe::Limit::body_timeout : observe::Limit::min_rate);
      perform(state_.on({EventKind::downstream_late, Cause::none, 0, false, End::none}, now), now);
      return;
    }
  }
  // TCP answered in time, the handshake did not.
  const auto due = state_.attempt_deadline();
  if (state_.phase() == exchange::Phase::dialing && attempt_.connection && due && now >= *due &&
      attempt_.connection->state() == UpstreamConnection::State::handshaking &&
      now < state_.request_deadline().value_or(TimePoint::max())) {
    perform(state_.on({EventKind::dial_failed, Cause::tls_timeout, 0, false, End::none}, now), now);
    return;
  }
  perform(state_.on({EventKind::deadline, Cause::none, 0, false, End::none}, now), now);
}

}  // namespace understudy::net
