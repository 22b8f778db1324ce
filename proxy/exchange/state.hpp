// One request's life as a pure state machine: phase, attempts, deadlines, retries, causes. It holds no bytes, asks no clock
// and touches no socket: the driver tells it what happened and does what it answers.
//
//             head                     connected                sent               response_head
//   (start) ───────► picking ─► dialing ───────► uploading ───────────► awaiting ─────────────────► streaming ─► finished
//                      ▲  │ no endpoint            │ failed, lost, late     │ (also from uploading)      │ cut, late
//                      │  └► waiting (a decision may come) ──► answer 503   │                            └► finish(close)
//                      └───────────── retry, if law 2 and the budget allow ◄┘
//
// Hedging: an attempt without a head for as long as its endpoint hardly ever needs may get company, once per request. Then two
// attempts are under way: the current one, which events speak of, and the other; exchange_roles() swaps them. They are equals:
//
//   current: head, no failure ─► the other is superseded, forward        other: late, or its endpoint lost ─► it is dropped
//            head, of failure  ─► it is kept, the other becomes current   (when the current fails too, the kept head is the answer)
//            failed, late      ─► dropped, the other becomes current
//
// Law 2 in one place: `may_repeat()`.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

#include "health/types.hpp"
#include "proxy/http/message.hpp"

namespace understudy::exchange {

using TimePoint = health::TimePoint;
using Duration = config::Duration;
using health::Cause;

// How an exchange ended, from which status, log term and metric follow.
enum class End : std::uint8_t {
  none,
  ok,
  client_gone,
  client_timeout,
  upstream_refused,
  upstream_connect_timeout,
  upstream_header_timeout,
  upstream_body_timeout,
  upstream_reset,
  upstream_bad_response,
  upstream_cut,
  upstream_own_error,
  request_timeout,
  no_endpoint,
  maintenance,
  shed,
  openings,  // too many WebSockets are being opened
  limit_body,
  client_error
};
// Status of our own answer for this end (499 for a client that left: logged, never sent).
std::uint16_t status_of(End end);
End end_of(Cause cause);

struct Policy {
  Duration connect_timeout{1'000};
  Duration response_timeout{
      30'000};  // to the first byte of an answer; also while the endpoint takes no byte of the request
  Duration idle_body_timeout{60'000};
  std::optional<Duration> try_timeout;  // repeatable requests only
  std::optional<Duration> request_timeout;
  std::uint32_t max_retries = 3;
  bool retry_on_5xx = false;          // 502, 503, 504 of repeatable requests
  Duration wait_for_endpoint{1'000};  // how long a request may wait for a tier that can take it
  Duration opening_wait{10'000};      // and the opening of a WebSocket for its turn, over all attempts
};

enum class EventKind : std::uint8_t {
  head,               // request head understood; `flag`: idempotent (or allowed by key)
  not_replayable,     // body outgrew what is kept for replay
  no_endpoint,        // picking found none; `flag`: waiting may help (a move of tiers is possible)
  maintenance,        // the pool is in maintenance
  shed,               // the serving tier has as many requests as it can answer
  opening_waits,      // the opening of a WebSocket waits for its turn; `moved` says that it has come
  opening_refused,    // it has no place to wait, or had to give it up
  opening_busy,       // an endpoint has as many WebSockets as it can open now, or takes too long: elsewhere, or again
  budget_empty,       // a retry was refused by the budget
  dialing,            // an attempt began on a new connection
  connected,          // or borrowed from the pool; `flag`: reused
  dial_failed,        // cause; no byte was sent
  first_byte_sent,    // the socket took a byte of the request
  sent,               // request complete upstream
  upload_waits,       // `flag`: the endpoint does not take what is to be sent (true), or does again (false)
  response_head,      // final head, status
  response_progress,  // body bytes came
  response_end,       // body complete
  attempt_failed,     // cause, after connecting
  endpoint_lost,      // the endpoint of an attempt without a head was marked unhealthy
  moved,              // a new snapshot came: a waiting request asks again at once
  withdrawn,  // the current attempt, without a head, never reached its endpoint (a live drill held it): it begins anew
  hedged,     // there is place and budget for a second attempt: it begins next, the current one becomes the other
  hedge_refused,       // there is not; it may be asked for again later
  other_lost,          // the endpoint of the other attempt was marked unhealthy
  downstream_started,  // a byte of the final answer went to the client
  downstream_gone,     // client left
  downstream_late,     // client's body or reading stalled
  downstream_bad,      // client's body is malformed or too large; `end` says which
  deadline             // time for next_deadline()
};
struct Event {
  EventKind kind{};
  Cause cause = Cause::none;
  std::uint16_t status = 0;
  bool flag = false;
  End end = End::none;
};

enum class ActionKind : std::uint8_t {
  pick,        // choose an endpoint not tried yet and start an attempt; `token`: only if the retry budget grants one
  hedge,       // look for place and budget for a second attempt elsewhere; say hedged or hedge_refused
  drop,        // give up the current attempt: close its connection
  resume,      // the current attempt was dropped: the other takes its place
  hold,        // keep the current attempt's head unread and exchange the two
  supersede,   // close the other attempt: no failure and no success, but its endpoint needs at least that long
  drop_other,  // close the other attempt, and report its cause unless that is none
  report,      // tell the endpoint's counters how the current attempt ended (cause; none: success)
  forward,     // pass the answer on
  answer,      // our own answer with status_of(end)
  finish       // over: `recycle` tells whether the client's connection may live on
};
struct Action {
  ActionKind kind{};
  Cause cause = Cause::none;
  End end = End::none;
  bool token = false;
  bool recycle = false;
};

// At most four actions follow from one event, in order.
class Actions {
public:
  const Action* begin() const { return list_.data(); }
  const Action* end() const { return list_.data() + size_; }
  bool empty() const { return size_ == 0; }
  bool has(ActionKind kind) const {
    return std::any_of(begin(), end(), [kind](const Action& action) { return action.kind == kind; });
  }
  void push(Action action) { list_[size_++] = action; }

private:
  std::array<Action, 4> list_{};
  std::uint8_t size_ = 0;
};

enum class Phase : std::uint8_t { start, picking, waiting, dialing, uploading, awaiting, streaming, finished };

class State {
public:
  explicit State(const Policy& policy, TimePoint now);

  Actions on(const Event& event, TimePoint now);
  std::optional<TimePoint> next_deadline() const;

  Phase phase() const { return phase_; }
  std::uint32_t attempts() const { return attempts_; }
  End end() const { return end_; }
  TimePoint started_at() const { return started_; }
  // Of the whole request, if the policy has one.
  std::optional<TimePoint> request_deadline() const {
    return policy_.request_timeout ? std::optional(started_ + *policy_.request_timeout) : std::nullopt;
  }
  // The next attempt is given up after that long if it may be repeated: a trial of a suspect endpoint.
  void limit_next_attempt(std::optional<std::chrono::nanoseconds> limit) { next_limit_ = limit; }
  // The next attempt goes where it may fail for our sake (a trial, the tier that is proven before a return): an answer of
  // 500 and above is repeated once, whatever the policy says, where law 2 allows, and costs the client's budget nothing.
  void risk_next_attempt() { next_risked_ = true; }
  // Would an answer of 500 and above to the current attempt be repeated, if the budget had a token for it? Then the
  // response_head that tells of it has its flag set. Once in a request: the second such answer is the client's.
  bool may_repeat_error() const;
  // The next attempt is worth a second one elsewhere after so long without a head. For safe requests without a body only.
  void hedge_next_attempt(std::optional<std::chrono::nanoseconds> after) { next_hedge_ = after; }
  // Two attempts are under way.
  bool two() const { return other_.has_value(); }
  // The other attempt has answered already, but with a failure: nothing is expected of it.
  bool other_held() const { return other_ && other_->held; }
  // The current attempt becomes the other, and the other the current.
  void exchange_roles();
  // When the current attempt is given up, whatever may come of it.
  std::optional<TimePoint> attempt_deadline() const { return deadline_of(current_, phase_); }
  // Times of the last attempt, for the log and for latency samples.
  std::optional<Duration> connect_time() const;
  std::optional<std::chrono::nanoseconds> first_byte_time() const;
  // Without the connection: from the request sent.
  std::optional<std::chrono::nanoseconds> answer_time() const;
  std::optional<TimePoint> sent_at() const { return current_.sent; }
  // How long it waited for a tier that can take it, or for its turn, before all attempts together.
  std::chrono::nanoseconds waited() const { return waited_ + waiting_; }
  bool byte_sent() const { return current_.byte_sent; }
  // Is an opening that an endpoint had no capacity for worth another attempt at `now`?
  bool may_open_again(TimePoint now) const {
    return may_repeat() && now < opening_since_.value_or(now) + policy_.opening_wait;
  }
  // True while a body must be kept for another attempt.
  bool wants_replay() const { return replayable_ && phase_ < Phase::streaming; }
  // Law 2: may this request, as it stands, be sent again?
  bool may_repeat() const;

private:
  struct Attempt {
    TimePoint began{};
    std::optional<TimePoint> connected, sent, first_byte;
    std::optional<TimePoint> blocked_since;  // the last byte that the endpoint took, while it takes no more
    std::optional<std::chrono::nanoseconds> limit, hedge_after;
    std::optional<TimePoint> hedge_at;
    bool byte_sent = false;
    bool reused = false;
    bool risked = false;
    bool held = false;             // has answered, with a failure
    Phase phase = Phase::picking;  // while it is the other
  };

  Actions retry_or(Cause cause, bool free_of_charge, TimePoint now);
  Actions give_up(End end);
  Actions on_head(std::uint16_t status, bool paid, TimePoint now);
  Actions on_deadline(TimePoint now);
  bool repeats(std::uint16_t status) const;
  Actions on_attempt_end(Cause cause, bool report, TimePoint now);
  void begin_attempt(TimePoint now);
  void park();
  void resume();
  bool may_hedge() const;
  std::optional<TimePoint> deadline_of(const Attempt& attempt, Phase phase) const;

  Policy policy_;
  TimePoint started_;
  Phase phase_ = Phase::start;
  End end_ = End::none;
  End last_failure_ = End::none;  // what the previous attempts died of; answered when nothing is left to try
  std::uint32_t attempts_ = 0;
  bool idempotent_ = false;
  bool replayable_ = true;
  bool started_downstream_ = false;
  bool hedged_ = false;  // this request has had its second attempt
  bool next_risked_ = false;
  bool error_repeated_ = false;
  std::optional<TimePoint> waiting_since_;
  std::optional<TimePoint> opening_since_;         // it waits for its turn to open, or did
  bool queued_ = false;                            // it does now
  std::uint32_t asked_ = 0;                        // times it asked again while waiting
  std::chrono::nanoseconds waited_{}, waiting_{};  // before earlier attempts; before the next one, so far
  Attempt current_;
  std::optional<Attempt> other_;
  std::optional<std::chrono::nanoseconds> next_limit_, next_hedge_;
  TimePoint progress_{};
};

}  // namespace understudy::exchange
