// What a live drill does to attempts: they end, wait or are answered as if the endpoint did so. To an endpoint that is made to look
// silent nothing is sent at all, so that nothing is carried out that nobody hears the answer of; when its fault is lifted such a
// request begins anew.
#include <algorithm>

#include "proxy/net/exchange_driver.hpp"
#include "proxy/net/exchange_words.hpp"
#include "proxy/net/faults.hpp"

namespace understudy::net {

using exchange::End;
using exchange::EventKind;
using health::Cause;

bool Exchange::has_header(const std::string& name, const std::string& value) {
  const http::RequestHead& request = head();
  for (std::uint16_t i = 0; i < request.fields.count; ++i) {
    const http::Field& field = request.fields.list[i];
    if (!equals_ignoring_case(field.name.in(base()), name)) continue;
    if (value.empty() || field.value.in(base()) == value) return true;
  }
  return false;
}

// The attempt has just begun, and nothing was dialled. True when it has gone another way.
bool Exchange::meet_fault(const Faults& faults, TimePoint now) {
  const Fault* const met = met_fault(
      faults, attempt_.endpoint->id, websocket_, now, [this] { return worker_.random(); },
      [this](const std::string& name, const std::string& value) { return has_header(name, value); });
  if (met == nullptr) return false;
  attempt_.fault = met->id;
  if (met->kind == Fault::Kind::delay) {
    attempt_.kept_until = now + delay_of(*met, now, worker_.random());
    worker_.meets_fault(*this);
    return false;
  }
  const auto tell = [&](EventKind kind, Cause cause = Cause::none) {
    perform(state_.on({kind, cause, 0, false, End::none}, now), now);
  };
  tell(EventKind::dialing);
  switch (met->kind) {
    case Fault::Kind::refuse: tell(EventKind::dial_failed, Cause::tcp_refused); return true;
    case Fault::Kind::blackhole: worker_.meets_fault(*this); return true;
    default: break;
  }
  tell(EventKind::connected);
  tell(EventKind::first_byte_sent);
  if (met->kind == Fault::Kind::reset) {
    tell(EventKind::attempt_failed, Cause::tcp_reset);
  } else if (met->kind == Fault::Kind::error) {
    fail_by_fault(met->status, now);
  } else {
    stall_by_fault(now);
  }
  return true;
}

// It looks sent, and waits for its answer like any other: its endpoint's silence is seen in the same way.
void Exchange::stall_by_fault(TimePoint now) {
  worker_.meets_fault(*this);
  attempt_.sent_at = now;
  if (!body_done_) {  // as if the endpoint's buffers were full
    attempt_.blocked = true;
    state_.on({EventKind::upload_waits, Cause::none, 0, true, End::none}, now);
    return;
  }
  attempt_.sent = true;
  state_.on({EventKind::sent, Cause::none, 0, false, End::none}, now);
  await_first_byte();
}

void Exchange::fail_by_fault(std::uint16_t status, TimePoint now) {
  if (other_) {  // an answer that may still be good is waited for
    perform(state_.on({EventKind::attempt_failed, Cause::http_status, status, false, End::none}, now), now);
    return;
  }
  count_answered();
  end_opening(OpeningEnd::failed, now);
  const bool paid = pay_for_repetition();
  const auto actions = state_.on({EventKind::response_head, Cause::none, status, paid, End::none}, now);
  perform(actions, now);
  if (!actions.has(exchange::ActionKind::forward)) return;
  perform(state_.on({EventKind::response_end, Cause::http_status, 0, false, End::none}, now), now);
  drop_attempt();
  up_.clear();
  http::OwnAnswer own;
  own.status = status;
  own.reason = "drill";
  own.sentence = "A failover drill is under way, and this answer is part of it.";
  if (status == 503) own.retry_after = static_cast<std::uint32_t>(1 + worker_.random() % 5);
  answer(own, observe::Term::ok);
}

bool Exchange::kept_by_fault(TimePoint now) {
  if (attempt_.kept_until == TimePoint{}) return false;
  if (now < attempt_.kept_until) return true;
  attempt_.kept_until = {};
  return false;
}

// Some fault is no more, or there are others.
void Exchange::on_faults(TimePoint now) {
  if (finished_) return;
  const Faults* const faults = worker_.snapshot()->faults();
  const auto lifted = [faults](const Attempt& attempt) {
    return attempt.fault != 0 && attempt.endpoint != nullptr &&
           (faults == nullptr || !faults->has(attempt.endpoint->id, attempt.fault));
  };
  if (other_ && lifted(*other_)) {
    other_->fault = 0;
    if (other_->connection) {
      other_->kept_until = {};
    } else {
      perform(state_.on({EventKind::other_lost, Cause::none, 0, false, End::none}, now), now);
    }
  }
  if (!finished_ && lifted(attempt_)) {
    attempt_.fault = 0;
    if (attempt_.connection) {
      attempt_.kept_until = {};
    } else {
      // It was never tried in earnest.
      if (tried_count_ > 0 && tried_[tried_count_ - 1] == attempt_.endpoint->id) --tried_count_;
      perform(state_.on({EventKind::withdrawn, Cause::none, 0, false, End::none}, now), now);
    }
  }
  requester_.wake();
}

}  // namespace understudy::net
