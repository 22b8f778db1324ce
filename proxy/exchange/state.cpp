#include "proxy/exchange/state.hpp"

#include <algorithm>
#include <utility>

namespace understudy::exchange {

namespace {
// A request that waits for a tier to take over asks again this often; moves also wake it at once.
constexpr Duration kAskAgain{50};
// A new connection may take this much longer than an answer before a second attempt is worth it.
constexpr Duration kDialling{100};
// What a second attempt was refused for may be over after as long again as was waited, and at least that long.
constexpr Duration kHedgeAgain{20};

bool is_failure(std::uint16_t status) { return status >= 500; }
}  // namespace

std::uint16_t status_of(End end) {
  switch (end) {
    case End::none:
    case End::ok: return 200;
    case End::client_gone: return 499;
    case End::client_timeout: return 408;
    case End::client_error: return 400;
    case End::limit_body: return 413;
    case End::upstream_refused:
    case End::upstream_reset:
    case End::upstream_bad_response:
    case End::upstream_cut: return 502;
    case End::upstream_connect_timeout:
    case End::upstream_header_timeout:
    case End::upstream_body_timeout:
    case End::request_timeout: return 504;
    case End::upstream_own_error:
    case End::no_endpoint:
    case End::maintenance:
    case End::shed:
    case End::openings: return 503;
  }
  return 500;
}

End end_of(Cause cause) {
  switch (cause) {
    case Cause::none: return End::ok;
    case Cause::dns_failed:
    case Cause::tcp_refused:
    case Cause::tcp_unreachable:
    case Cause::ws_refused: return End::upstream_refused;
    case Cause::tcp_timeout:
    case Cause::tls_timeout: return End::upstream_connect_timeout;
    case Cause::tcp_reset: return End::upstream_reset;
    case Cause::http_timeout:
    case Cause::ws_timeout: return End::upstream_header_timeout;
    case Cause::body_timeout: return End::upstream_body_timeout;
    case Cause::body_cut: return End::upstream_cut;
    case Cause::own_error: return End::upstream_own_error;
    case Cause::tls_failed:
    case Cause::http_status:
    case Cause::http_malformed:
    case Cause::http_body:
    case Cause::ws_malformed:
    case Cause::count: return End::upstream_bad_response;
  }
  return End::upstream_bad_response;
}

State::State(const Policy& policy, TimePoint now) : policy_(policy), started_(now) {}

std::optional<Duration> State::connect_time() const {
  if (!current_.connected) return std::nullopt;
  return std::chrono::duration_cast<Duration>(*current_.connected - current_.began);
}

std::optional<std::chrono::nanoseconds> State::first_byte_time() const {
  if (!current_.first_byte) return std::nullopt;
  return *current_.first_byte - current_.began;
}

std::optional<std::chrono::nanoseconds> State::answer_time() const {
  if (!current_.first_byte || !current_.sent) return std::nullopt;
  return *current_.first_byte - *current_.sent;
}

bool State::may_repeat() const {
  if (started_downstream_ || phase_ >= Phase::streaming) return false;
  if (!replayable_) return false;
  return idempotent_ || !current_.byte_sent;
}

void State::begin_attempt(TimePoint now) {
  ++attempts_;
  current_ = Attempt{};
  current_.began = now;
  current_.limit = std::exchange(next_limit_, std::nullopt);
  current_.risked = std::exchange(next_risked_, false);
  current_.hedge_after = std::exchange(next_hedge_, std::nullopt);
  if (current_.hedge_after) current_.hedge_at = now + kDialling + *current_.hedge_after;
  waiting_since_.reset();
  waited_ += std::exchange(waiting_, {});
  asked_ = 0;
}

// ---- two attempts

void State::park() {
  other_ = std::exchange(current_, Attempt{});
  other_->phase = phase_;
}

void State::resume() {
  current_ = *other_;
  phase_ = current_.phase;
  current_.held = false;
  other_.reset();
}

void State::exchange_roles() {
  current_.phase = phase_;
  std::swap(current_, *other_);
  phase_ = current_.phase;
}

bool State::may_hedge() const {
  return !hedged_ && !other_ && idempotent_ && may_repeat() && attempts_ <= policy_.max_retries;
}

Actions State::give_up(End end) {
  Actions actions;
  end_ = end;
  other_.reset();  // the driver lets go of both
  phase_ = Phase::finished;
  if (started_downstream_ || end == End::client_gone) {
    actions.push({ActionKind::finish, Cause::none, end, false, false});
  } else {
    actions.push({ActionKind::answer, Cause::none, end, false, false});
  }
  return actions;
}

// The current attempt is over without an answer: try again if law 2, the count and the whole-request deadline allow.
Actions State::retry_or(Cause cause, bool free_of_charge, TimePoint now) {
  last_failure_ = end_of(cause);
  const bool out_of_time = policy_.request_timeout && now >= started_ + *policy_.request_timeout;
  if (!may_repeat() || attempts_ > policy_.max_retries || out_of_time) return give_up(last_failure_);
  Actions actions;
  phase_ = Phase::picking;
  actions.push({ActionKind::pick, Cause::none, End::none, !free_of_charge, false});
  return actions;
}

Actions State::on_attempt_end(Cause cause, bool report, TimePoint now) {
  Actions actions;
  if (report) actions.push({ActionKind::report, cause, End::none, false, false});
  actions.push({ActionKind::drop, cause, End::none, false, false});
  if (other_) {
    // A failure does not win over an attempt that may still succeed, nor over an answer that is there.
    last_failure_ = end_of(cause);
    resume();
    actions.push({ActionKind::resume, Cause::none, End::none, false, false});
    return actions;
  }
  // A refused connect, and any end with proof that no byte was sent, costs nothing: no endpoint did work for it.
  for (const Action& next : retry_or(cause, !current_.byte_sent || current_.risked, now)) actions.push(next);
  return actions;
}

// Is an answer with this status not the client's, but the next attempt's?
bool State::repeats(std::uint16_t status) const {
  const bool wanted =
      (policy_.retry_on_5xx && status >= 502 && status <= 504) || (current_.risked && is_failure(status));
  return wanted && may_repeat() && attempts_ <= policy_.max_retries;
}

bool State::may_repeat_error() const {
  return !error_repeated_ && !other_ && !current_.risked && may_repeat() && attempts_ <= policy_.max_retries;
}

// The final head of the current attempt. `paid`: a token was taken, so that a failure may be repeated.
Actions State::on_head(std::uint16_t status, bool paid, TimePoint now) {
  Actions actions;
  if (!current_.first_byte) current_.first_byte = now;
  progress_ = now;
  if (other_ && is_failure(status) && !other_->held) {
    current_.held = true;
    exchange_roles();
    actions.push({ActionKind::hold, Cause::none, End::none, false, false});
    return actions;
  }
  if (other_) {
    const bool held = other_->held;
    other_.reset();
    actions.push({held ? ActionKind::drop_other : ActionKind::supersede, held ? Cause::http_status : Cause::none,
                  End::none, false, false});
  }
  if (paid && is_failure(status) && may_repeat_error()) {
    error_repeated_ = true;
    current_.risked = true;  // nothing more is to be paid
    for (const Action& next : on_attempt_end(Cause::http_status, true, now)) actions.push(next);
    return actions;
  }
  if (repeats(status)) {
    error_repeated_ = true;
    for (const Action& next : on_attempt_end(Cause::http_status, true, now)) actions.push(next);
    return actions;
  }
  phase_ = Phase::streaming;
  actions.push({ActionKind::forward, Cause::none, End::none, false, false});
  return actions;
}

Actions State::on(const Event& event, TimePoint now) {
  Actions actions;
  if (phase_ == Phase::finished) return actions;
  if (waiting_since_) waiting_ = now - *waiting_since_;
  switch (event.kind) {
    case EventKind::head:
      idempotent_ = event.flag;
      phase_ = Phase::picking;
      actions.push({ActionKind::pick, Cause::none, End::none, false, false});
      return actions;
    case EventKind::not_replayable: replayable_ = false; return actions;
    case EventKind::no_endpoint:
      if (!waiting_since_) waiting_since_ = now;
      if (event.flag && now < *waiting_since_ + policy_.wait_for_endpoint) {
        phase_ = Phase::waiting;
        return actions;
      }
      return give_up(last_failure_ != End::none ? last_failure_ : End::no_endpoint);
    case EventKind::maintenance: return give_up(End::maintenance);
    case EventKind::shed: return give_up(End::shed);
    case EventKind::opening_waits:
      if (!waiting_since_) waiting_since_ = now;
      if (!opening_since_) opening_since_ = now;
      if (!may_open_again(now)) return give_up(End::openings);
      phase_ = Phase::waiting;
      queued_ = true;
      return actions;
    case EventKind::opening_refused: return give_up(End::openings);
    case EventKind::opening_busy:
      if (!opening_since_) opening_since_ = now;
      last_failure_ = End::openings;
      phase_ = Phase::picking;
      actions.push({ActionKind::drop, Cause::none, End::none, false, false});
      actions.push({ActionKind::pick, Cause::none, End::none, false, false});
      return actions;
    case EventKind::budget_empty: return give_up(last_failure_ != End::none ? last_failure_ : End::no_endpoint);
    case EventKind::dialing:
      begin_attempt(now);
      phase_ = Phase::dialing;
      return actions;
    case EventKind::connected:
      if (phase_ != Phase::dialing) begin_attempt(now);
      current_.reused = event.flag;
      current_.connected = now;
      progress_ = now;
      phase_ = Phase::uploading;
      return actions;
    case EventKind::dial_failed: return on_attempt_end(event.cause, true, now);
    case EventKind::first_byte_sent:
      current_.byte_sent = true;
      if (current_.blocked_since) current_.blocked_since = now;
      return actions;
    case EventKind::upload_waits:
      if (!event.flag) {
        current_.blocked_since.reset();
      } else if (!current_.blocked_since) {
        current_.blocked_since = now;
      }
      return actions;
    case EventKind::sent:
      current_.sent = now;
      if (current_.hedge_at) current_.hedge_at = now + *current_.hedge_after;
      if (phase_ == Phase::uploading) phase_ = Phase::awaiting;
      return actions;
    case EventKind::response_head: return on_head(event.status, event.flag, now);
    case EventKind::response_progress: progress_ = now; return actions;
    case EventKind::response_end:
      actions.push({ActionKind::report, event.cause, End::none, false, false});
      end_ = End::ok;
      phase_ = Phase::finished;
      actions.push({ActionKind::finish, Cause::none, End::ok, false, true});
      return actions;
    case EventKind::attempt_failed:
      // A reused connection that dies before an answer byte is the keep-alive race, not evidence against the endpoint.
      return on_attempt_end(event.cause, !(current_.reused && event.cause == Cause::tcp_reset), now);
    case EventKind::endpoint_lost:
      if (phase_ >= Phase::streaming || phase_ < Phase::dialing || !may_repeat()) return actions;
      if (!other_ && attempts_ > policy_.max_retries) return actions;
      return on_attempt_end(phase_ == Phase::dialing ? Cause::tcp_timeout : Cause::http_timeout, false, now);
    case EventKind::moved:
      if (phase_ != Phase::waiting) return actions;
      phase_ = Phase::picking;
      queued_ = false;
      actions.push({ActionKind::pick, Cause::none, End::none, false, false});
      return actions;
    case EventKind::withdrawn:
      if (phase_ >= Phase::streaming || phase_ < Phase::dialing) return actions;
      --attempts_;
      actions.push({ActionKind::drop, Cause::none, End::none, false, false});
      if (other_) {
        resume();
        actions.push({ActionKind::resume, Cause::none, End::none, false, false});
        return actions;
      }
      phase_ = Phase::picking;
      actions.push({ActionKind::pick, Cause::none, End::none, false, false});
      return actions;
    case EventKind::hedged:
      hedged_ = true;
      park();
      phase_ = Phase::picking;
      return actions;
    case EventKind::hedge_refused:
      current_.hedge_at = now + std::max<std::chrono::nanoseconds>(now - current_.began, kHedgeAgain);
      return actions;
    case EventKind::other_lost:
      if (!other_ || other_->held) return actions;
      other_.reset();
      actions.push({ActionKind::drop_other, Cause::none, End::none, false, false});
      return actions;
    case EventKind::downstream_started: started_downstream_ = true; return actions;
    case EventKind::downstream_gone: return give_up(End::client_gone);
    case EventKind::downstream_late: return give_up(End::client_timeout);
    case EventKind::downstream_bad: return give_up(event.end);
    case EventKind::deadline: return on_deadline(now);
  }
  return actions;
}

Actions State::on_deadline(TimePoint now) {
  Actions actions;
  const auto late = [now](std::optional<TimePoint> deadline) { return deadline && now >= *deadline; };
  const auto cause_in = [](Phase phase) { return phase == Phase::dialing ? Cause::tcp_timeout : Cause::http_timeout; };
  if (policy_.request_timeout && now >= started_ + *policy_.request_timeout) {
    if (phase_ >= Phase::uploading && phase_ <= Phase::awaiting)
      actions.push({ActionKind::report, Cause::http_timeout, End::none, false, false});
    if (other_ && other_->phase != Phase::dialing)
      actions.push(
          {ActionKind::drop_other, other_->held ? Cause::http_status : Cause::http_timeout, End::none, false, false});
    for (const Action& next : give_up(End::request_timeout)) actions.push(next);
    return actions;
  }
  if (other_ && late(deadline_of(*other_, other_->phase))) {
    actions.push({ActionKind::drop_other, cause_in(other_->phase), End::none, false, false});
    last_failure_ = end_of(cause_in(other_->phase));
    other_.reset();
  }
  if (phase_ == Phase::waiting && queued_) {
    if (!late(next_deadline())) return actions;
    queued_ = false;
    return give_up(End::openings);
  }
  if (phase_ == Phase::waiting && late(next_deadline())) {
    ++asked_;
    phase_ = Phase::picking;
    actions.push({ActionKind::pick, Cause::none, End::none, false, false});
    return actions;
  }
  if (!late(deadline_of(current_, phase_))) {
    if (may_hedge() && phase_ >= Phase::dialing && late(current_.hedge_at))
      actions.push({ActionKind::hedge, Cause::none, End::none, false, false});
    return actions;
  }
  if (phase_ == Phase::streaming) {
    actions.push({ActionKind::report, Cause::body_timeout, End::none, false, false});
    for (const Action& next : give_up(End::upstream_body_timeout)) actions.push(next);
    return actions;
  }
  for (const Action& next : on_attempt_end(cause_in(phase_), true, now)) actions.push(next);
  return actions;
}

// When an attempt is given up.
std::optional<TimePoint> State::deadline_of(const Attempt& attempt, Phase phase) const {
  std::optional<TimePoint> deadline;
  const auto earlier = [&deadline](TimePoint t) { deadline = deadline ? std::min(*deadline, t) : t; };
  if (attempt.held) return deadline;
  switch (phase) {
    case Phase::dialing: earlier(attempt.began + policy_.connect_timeout); break;
    case Phase::awaiting: earlier(*attempt.sent + policy_.response_timeout); [[fallthrough]];
    case Phase::uploading:
      if (phase == Phase::uploading && attempt.blocked_since)
        earlier(*attempt.blocked_since + policy_.response_timeout);
      if (policy_.try_timeout && may_repeat()) earlier(attempt.began + *policy_.try_timeout);
      // One that has company need not make room: whichever is answered first wins. Nor does the last one that may be tried.
      if (attempt.limit && !other_ && may_repeat() && attempts_ <= policy_.max_retries)
        earlier(attempt.began + *attempt.limit);
      break;
    case Phase::streaming: earlier(progress_ + policy_.idle_body_timeout); break;
    case Phase::start:
    case Phase::picking:
    case Phase::waiting:
    case Phase::finished: break;
  }
  return deadline;
}

std::optional<TimePoint> State::next_deadline() const {
  if (phase_ == Phase::finished) return std::nullopt;
  std::optional<TimePoint> deadline = deadline_of(current_, phase_);
  const auto earlier = [&deadline](std::optional<TimePoint> t) {
    if (t) deadline = deadline ? std::min(*deadline, *t) : *t;
  };
  if (policy_.request_timeout) earlier(started_ + *policy_.request_timeout);
  if (other_) earlier(deadline_of(*other_, other_->phase));
  if (current_.hedge_at && phase_ >= Phase::dialing && may_hedge()) earlier(current_.hedge_at);
  if (phase_ == Phase::waiting && queued_) {
    earlier(*opening_since_ + policy_.opening_wait);
  } else if (phase_ == Phase::waiting) {
    // Asks again soon, but the last time exactly at the end.
    earlier(std::min(*waiting_since_ + policy_.wait_for_endpoint, *waiting_since_ + kAskAgain * (1 + asked_)));
  }
  return deadline;
}

}  // namespace understudy::exchange
