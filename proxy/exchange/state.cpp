#include "proxy/exchange/state.hpp"

#include <algorithm>
#include <utility>

namespace understudy::exchange {

namespace {
// A request that waits for a tier to take over asks again this often; moves also wake it at once.
constexpr Duration kAskAgain{50};
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
    case End::shed: return 503;
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
  if (!connected_) return std::nullopt;
  return std::chrono::duration_cast<Duration>(*connected_ - attempt_began_);
}

std::optional<std::chrono::nanoseconds> State::first_byte_time() const {
  if (!first_byte_) return std::nullopt;
  return *first_byte_ - attempt_began_;
}

bool State::may_repeat() const {
  if (started_downstream_ || phase_ >= Phase::streaming) return false;
  if (!replayable_) return false;
  return idempotent_ || !byte_sent_;
}

void State::begin_attempt(TimePoint now) {
  ++attempts_;
  byte_sent_ = false;
  reused_ = false;
  attempt_began_ = now;
  limit_ = std::exchange(next_limit_, std::nullopt);
  connected_.reset();
  sent_.reset();
  first_byte_.reset();
  blocked_since_.reset();
  waiting_since_.reset();
  waited_ += std::exchange(waiting_, {});
  asked_ = 0;
}

Actions State::give_up(End end) {
  Actions actions;
  end_ = end;
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
  // A refused connect, and any end with proof that no byte was sent, costs nothing: no endpoint did work for it.
  for (const Action& next : retry_or(cause, !byte_sent_, now)) actions.push(next);
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
    case EventKind::budget_empty: return give_up(last_failure_ != End::none ? last_failure_ : End::no_endpoint);
    case EventKind::dialing:
      begin_attempt(now);
      phase_ = Phase::dialing;
      return actions;
    case EventKind::connected:
      if (phase_ != Phase::dialing) begin_attempt(now);
      reused_ = event.flag;
      connected_ = now;
      progress_ = now;
      phase_ = Phase::uploading;
      return actions;
    case EventKind::dial_failed: return on_attempt_end(event.cause, true, now);
    case EventKind::first_byte_sent:
      byte_sent_ = true;
      if (blocked_since_) blocked_since_ = now;
      return actions;
    case EventKind::upload_waits:
      if (!event.flag) {
        blocked_since_.reset();
      } else if (!blocked_since_) {
        blocked_since_ = now;
      }
      return actions;
    case EventKind::sent:
      sent_ = now;
      if (phase_ == Phase::uploading) phase_ = Phase::awaiting;
      return actions;
    case EventKind::response_head:
      first_byte_ = now;
      progress_ = now;
      if (policy_.retry_on_5xx && event.status >= 502 && event.status <= 504 && may_repeat() &&
          attempts_ <= policy_.max_retries) {
        return on_attempt_end(Cause::http_status, true, now);
      }
      phase_ = Phase::streaming;
      actions.push({ActionKind::forward, Cause::none, End::none, false, false});
      return actions;
    case EventKind::response_progress: progress_ = now; return actions;
    case EventKind::response_end:
      actions.push({ActionKind::report, event.cause, End::none, false, false});
      end_ = End::ok;
      phase_ = Phase::finished;
      actions.push({ActionKind::finish, Cause::none, End::ok, false, true});
      return actions;
    case EventKind::attempt_failed:
      // A reused connection that dies before an answer byte is the keep-alive race, not evidence against the endpoint.
      return on_attempt_end(event.cause, !(reused_ && event.cause == Cause::tcp_reset), now);
    case EventKind::endpoint_lost:
      if (phase_ >= Phase::streaming || phase_ < Phase::dialing || !may_repeat() || attempts_ > policy_.max_retries)
        return actions;
      return on_attempt_end(phase_ == Phase::dialing ? Cause::tcp_timeout : Cause::http_timeout, false, now);
    case EventKind::moved:
      if (phase_ != Phase::waiting) return actions;
      phase_ = Phase::picking;
      actions.push({ActionKind::pick, Cause::none, End::none, false, false});
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
  if (policy_.request_timeout && now >= started_ + *policy_.request_timeout) {
    if (phase_ >= Phase::uploading && phase_ <= Phase::awaiting)
      actions.push({ActionKind::report, Cause::http_timeout, End::none, false, false});
    for (const Action& next : give_up(End::request_timeout)) actions.push(next);
    return actions;
  }
  const auto deadline = next_deadline();
  if (!deadline || now < *deadline) return actions;
  switch (phase_) {
    case Phase::waiting:
      ++asked_;
      phase_ = Phase::picking;
      actions.push({ActionKind::pick, Cause::none, End::none, false, false});
      return actions;
    case Phase::dialing: return on_attempt_end(Cause::tcp_timeout, true, now);
    case Phase::uploading:
    case Phase::awaiting: return on_attempt_end(Cause::http_timeout, true, now);
    case Phase::streaming:
      actions.push({ActionKind::report, Cause::body_timeout, End::none, false, false});
      for (const Action& next : give_up(End::upstream_body_timeout)) actions.push(next);
      return actions;
    case Phase::start:
    case Phase::picking:
    case Phase::finished: return actions;
  }
  return actions;
}

std::optional<TimePoint> State::next_deadline() const {
  std::optional<TimePoint> deadline;
  const auto earlier = [&deadline](TimePoint t) { deadline = deadline ? std::min(*deadline, t) : t; };
  if (phase_ == Phase::finished) return deadline;
  if (policy_.request_timeout) earlier(started_ + *policy_.request_timeout);
  switch (phase_) {
    case Phase::waiting: {
      // Asks again soon, but the last time exactly at the end.
      const TimePoint end = *waiting_since_ + policy_.wait_for_endpoint;
      const auto step = kAskAgain * (1 + asked_);
      earlier(std::min(end, *waiting_since_ + step));
      break;
    }
    case Phase::dialing: earlier(attempt_began_ + policy_.connect_timeout); break;
    case Phase::awaiting: earlier(*sent_ + policy_.response_timeout); [[fallthrough]];
    case Phase::uploading:
      if (phase_ == Phase::uploading && blocked_since_) earlier(*blocked_since_ + policy_.response_timeout);
      if (policy_.try_timeout && may_repeat()) earlier(attempt_began_ + *policy_.try_timeout);
      if (limit_ && may_repeat()) earlier(attempt_began_ + *limit_);
      break;
    case Phase::streaming: earlier(progress_ + policy_.idle_body_timeout); break;
    case Phase::start:
    case Phase::picking:
    case Phase::finished: break;
  }
  return deadline;
}

}  // namespace understudy::exchange
