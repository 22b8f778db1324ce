// A tunnel whose route resumes tunnels: it loses its endpoint or has to leave it, is parked, and goes on with another one.
//
// Towards the client whole frames only are passed on (those that are not too large to be waited for), so a loss tears none. Towards
// the endpoint the message in progress is kept, so the next endpoint is told all of it.
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "proxy/exchange/endpoint_frames.hpp"
#include "proxy/net/tunnel.hpp"

namespace understudy::net {

using exchange::KeptMessages;
using observe::ParkEnd;
using observe::ParkReason;
using observe::TunnelEnd;
using Stage = Resumption::Stage;

namespace {
constexpr std::size_t kCatchUp = 256 * 1024;          // bytes for the new endpoint in a turn's round
constexpr std::chrono::milliseconds kHeardEvery{20};  // signs of life are noted
constexpr std::uint16_t kGoingAway = 1001, kServiceRestart = 1012, kNormal = 1000;

TunnelEnd end_for(ParkReason reason) {
  switch (reason) {
    case ParkReason::upstream_closed:
    case ParkReason::upstream_leaves: return TunnelEnd::upstream_closed;
    case ParkReason::endpoint_dead: return TunnelEnd::endpoint_dead;
    case ParkReason::endpoint_disabled: return TunnelEnd::endpoint_disabled;
    case ParkReason::endpoint_removed: return TunnelEnd::endpoint_removed;
    case ParkReason::draining: return TunnelEnd::draining;
    case ParkReason::failover: return TunnelEnd::failover;
    case ParkReason::failback: return TunnelEnd::failback;
    case ParkReason::upstream_reset:
    case ParkReason::count: break;
  }
  return TunnelEnd::upstream_reset;
}

std::optional<ParkReason> reason_for(TunnelEnd why) {
  switch (why) {
    case TunnelEnd::endpoint_dead: return ParkReason::endpoint_dead;
    case TunnelEnd::endpoint_disabled: return ParkReason::endpoint_disabled;
    case TunnelEnd::endpoint_removed: return ParkReason::endpoint_removed;
    case TunnelEnd::draining: return ParkReason::draining;
    case TunnelEnd::failover: return ParkReason::failover;
    case TunnelEnd::failback: return ParkReason::failback;
    default: return std::nullopt;
  }
}

// What the socket took and the peer's machine has not acknowledged.
std::uint64_t unacknowledged(Stream& stream) {
  if (stream.closed()) return 0;
  int queued = 0;
  if (::ioctl(stream.fd(), SIOCOUTQ, &queued) != 0 || queued < 0) queued = 0;
  return static_cast<std::uint64_t>(queued) + (stream.tls() != nullptr ? stream.tls()->pending_bytes() : 0);
}
}  // namespace

// ---- while it flows ------------------------------------------------------------------------------------------------

TimePoint Tunnel::endpoint_heard() const {
  return TimePoint(TimePoint::duration(load_ ? load_->heard.load(std::memory_order_relaxed) : 0));
}

void Tunnel::note_heard() {
  if (!load_) return;
  const TimePoint now = worker_.reactor().now();
  if (now >= endpoint_heard() + kHeardEvery)
    load_->heard.store(now.time_since_epoch().count(), std::memory_order_relaxed);
}

void Tunnel::note_passed_on(const char* data, std::size_t size, std::uint64_t messages) {
  resume_->kept.allow(worker_.shared().room_to_keep());
  resume_->kept.passed_on(data, size);
  resume_->risk.add(static_cast<std::uint32_t>(messages), size, endpoint_heard(), worker_.reactor().now());
}

// How much of what came from the endpoint may go to the client. A Close that only says that the endpoint goes away, or answers
// ours, is not for the client.
std::size_t Tunnel::whole_frames(std::size_t size) {
  const auto seen =
      exchange::look_at_frames({down_.inbox.data(), size}, down_.frames.frame_left(), Resumption::kFrameWait);
  if (resume_->stage == Stage::parked || resume_->old_words()) return seen.pass;  // its Close is not for the client
  if (seen.pong) resume_->kept.pong_seen();
  if (!seen.close) return seen.pass;
  const bool ours = resume_->stage == Stage::parting || exchange::leaves_with(seen.close_code);
  if (!ours || !may_park()) return size;
  if (seen.pass == 0) resume_->endpoint_closes = true;
  return seen.pass;
}

// Not where one side has already ended it: what the endpoint's FIN was passed on to hears no other one. A client that has said its
// last word while there was no endpoint is heard.
bool Tunnel::may_park() const {
  if (!resume_ || dead_ || ending_ || worker_.draining()) return false;
  if (policy_->websocket.on_endpoint_loss != config::EndpointLoss::resume) return false;
  const bool over = up_.eof || up_.frames.close_seen();
  if (over && !(resume_->holds() && resume_->kept.untold() > 0)) return false;
  return !down_.eof && !down_.fin_sent && !down_.frames.close_seen();
}

// One round of what step() does.
bool Tunnel::step_resumable(bool& progress) {
  Resumption& r = *resume_;
  const TimePoint now = worker_.reactor().now();
  if (r.stage == Stage::flowing) {
    if (!pump(*client_, *upstream_, up_, true, progress)) return false;
  } else {
    if (!hold_client(progress)) return false;
    if (r.stage == Stage::catching_up && !ending_ && !catch_up(progress)) return false;
    if (r.stage == Stage::parting && upstream_->pending_output()) upstream_->flush();
  }
  note_closer();
  if (ending_ || !head_.empty()) return true;
  if (r.stage == Stage::parked || r.old_words()) {
    if (!deliver(progress)) return false;
    if (ending_) return true;
  }
  if (r.stage == Stage::parked) {
    if (!client_is_done(now)) look_for_endpoint(now);
    return !dead_;
  }
  if (!r.old_words()) {
    answer_ping();
    if (!pump(*upstream_, *client_, down_, false, progress)) return false;
    note_closer();
    if (ending_) return true;
  }
  const bool late = (r.stage == Stage::parting && now >= r.part_until) || (r.moving && now >= r.move_until);
  if (r.endpoint_closes || late) {
    if (lose(r.moving.value_or(ParkReason::upstream_leaves))) return false;
    // They have begun to close it themselves.
    r.endpoint_closes = false;
    if (r.moving) begin_ending(end_for(*r.moving), kServiceRestart, {}, now, now + Resumption::kCloseGrace);
  }
  if (r.moving && !ending_ && r.stage == Stage::flowing) part(now);
  return !dead_;
}

// ---- it leaves, or is left -----------------------------------------------------------------------------------------

void Tunnel::lose_endpoint(TunnelEnd why) {
  if (dead_ || closing_) return;
  const auto reason = reason_for(why);
  if (reason && lose(*reason)) return;
  count_risk();
  end(why, kServiceRestart);
}

// From an endpoint that lives: at the paced time, between two messages, with a Close, and not before it has said what it still had
// to say. False where it can only be ended.
bool Tunnel::begin_moving(TunnelEnd why, TimePoint until) {
  const auto reason = reason_for(why);
  if (!reason || !may_park()) return false;
  Resumption& r = *resume_;
  if (r.stage == Stage::parked || r.stage == Stage::parting) return true;
  r.moving = *reason;
  r.move_until = until;
  turn();
  return true;
}

void Tunnel::part(TimePoint now) {
  Resumption& r = *resume_;
  if (!up_.frames.at_boundary() || !up_.own.empty() || !down_.frames.at_message_boundary() || !down_.own.empty() ||
      !down_.inbox.empty() || r.old_words() || upstream_->pending_output())
    return;
  if (r.kept.lose() != KeptMessages::Fit::yes) return;  // at the end of the message, or of the time
  std::array<char, 131> frame;
  const std::string_view text = close_frame(frame, kGoingAway, "moving", true);
  iovec part{const_cast<char*>(text.data()), text.size()};
  const std::size_t taken = upstream_->write(&part, 1).bytes;
  if (taken == 0) return;  // it does not take in more now
  if (taken < text.size()) {
    up_.own.assign(text.substr(taken));
    lose(*r.moving);
    return;
  }
  if (upstream_->pending_output()) upstream_->flush();
  r.stage = Stage::parting;
  r.reason = *r.moving;
  r.part_until = std::min(now + Resumption::kLastWords, r.move_until);
  worker_.reactor().mark_ready(*this);
}

// The connection to the endpoint is over. False when it can't be parked, and nothing has been done; otherwise it is parked, or
// ends because a message cannot be made whole.
bool Tunnel::lose(ParkReason reason) {
  if (!may_park()) return false;
  Resumption& r = *resume_;
  if (r.stage == Stage::parked) return true;
  const TimePoint now = worker_.reactor().now();
  const bool parted = r.stage == Stage::parting;
  // It has answered our Close, or hung up behind it: it has heard all that was said before.
  const bool heard_all = parted && (r.endpoint_closes || reason == ParkReason::upstream_closed);
  if (parted) reason = r.reason;
  const std::uint64_t risk = heard_all ? 0 : r.risk.at_risk(unacknowledged(*upstream_), endpoint_heard(), now);
  r.risk.reset();
  const KeptMessages::Fit fit = r.kept.lose();
  if (r.old_words()) {
    // Of two that were lost while the client took nothing, the second one's words are not kept.
    counters_->messages_at_risk.add(risk + unheard(upstream_.get(), std::exchange(r.said, Inbox{}), {}));
  } else {
    const Cut last = cut_down(!r.endpoint_closes && upstream_->readable(), fit == KeptMessages::Fit::yes);
    const bool more = last == Cut::more;
    const bool tell =
        (more || r.endpoint_closes) && r.stage == Stage::flowing && up_.frames.at_boundary() && up_.own.empty();
    if (tell) {
      std::array<char, 131> frame;
      write_frame(*upstream_, up_, close_frame(frame, kGoingAway, {}, true));
    }
    if (more)
      keep_rest(risk, tell || parted);
    else
      counters_->messages_at_risk.add(risk + (last == Cut::torn ? 1 : 0));
  }
  exchange::FrameTracker client = down_.frames;
  client.feed(down_.inbox.view().data(), down_.inbox.size());
  if (fit == KeptMessages::Fit::yes && (r.rest || client.at_message_boundary())) {
    if (upstream_.get() != r.rest.get()) upstream_->close();
    park(reason, now);
  } else {
    not_parked(fit == KeptMessages::Fit::opening_too_long   ? observe::NotParked::opening_too_long
               : fit == KeptMessages::Fit::opening_no_room  ? observe::NotParked::opening_no_room
               : fit == KeptMessages::Fit::message_too_long ? observe::NotParked::message_too_long
                                                            : observe::NotParked::message_cut,
               reason, now);
  }
  worker_.reactor().mark_ready(*this);
  return true;
}

// It ends, since a message cannot be made whole.
void Tunnel::not_parked(observe::NotParked why, ParkReason reason, TimePoint now) {
  counters_->not_parked.add(why);
  if (!resume_->holds() && !resume_->old_words()) drop_words();
  exchange::FrameTracker client = down_.frames;
  client.feed(down_.inbox.view().data(), down_.inbox.size());
  if (!client.at_boundary()) down_.eof = true;  // no Close has a place inside a frame
  begin_ending(end_for(reason), kServiceRestart, {}, now, now + Resumption::kCloseGrace);
  upstream_->close();
  go_deaf();
}

// Messages that may be lost with the endpoint, where that ends the tunnel. None when it has said its Close, or has been told the
// client's and hung up behind it.
void Tunnel::count_risk() {
  if (!resume_ || ending_ || !load_ || down_.frames.close_seen() || up_.fin_sent) return;
  Resumption& r = *resume_;
  if (up_.frames.close_seen() && r.stage == Stage::flowing && up_.own.empty()) return;
  const TimePoint now = worker_.reactor().now();
  counters_->messages_at_risk.add(r.risk.at_risk(unacknowledged(*upstream_), endpoint_heard(), now));
  r.risk.reset();
}

void Tunnel::park(ParkReason reason, TimePoint now) {
  Resumption& r = *resume_;
  r.stage = Stage::parked;
  r.reason = reason;
  r.moving.reset();
  r.endpoint_closes = false;
  r.was_full = false;
  ++r.times;
  up_.own.clear();
  load_->tunnels.fetch_sub(1, std::memory_order_relaxed);
  load_.reset();
  counters_->parked.add(reason);
  ++worker_.parked_tunnels;
  worker_.tunnel_parked(*this);
  r.parking.lost(policy_->websocket.park_timeout, now);
  r.reopening.restart(endpoint_);
}

// ---- parked --------------------------------------------------------------------------------------------------------

// The new endpoint is told what was kept, and at last that the client has closed.
bool Tunnel::catch_up(bool& progress) {
  Resumption& r = *resume_;
  std::size_t budget = kCatchUp;
  for (;;) {
    const std::string_view next = r.kept.next();
    if (next.empty()) break;
    if (upstream_->pending_output() && upstream_->flush().status == Io::error) {
      broken(TunnelEnd::upstream_reset);
      return false;
    }
    if (!upstream_->writable() && upstream_->tls() == nullptr) return true;
    if (budget == 0) {
      progress = true;
      return true;
    }
    iovec part{const_cast<char*>(next.data()), std::min(next.size(), budget)};
    const IoResult result = upstream_->write(&part, 1);
    if (result.status == Io::again) return true;
    if (result.status != Io::ok) {
      broken(TunnelEnd::upstream_reset);
      return false;
    }
    progress = true;
    budget -= result.bytes;
    const std::uint32_t messages = r.kept.sent(result.bytes);
    r.risk.add(messages, result.bytes, endpoint_heard(), worker_.reactor().now());
    if (result.bytes < part.iov_len) return true;
  }
  if (r.kept.close_held()) {
    // As if it came only now; what the endpoint answers is for the client.
    std::array<char, 131> frame;
    const std::uint16_t code = up_.frames.close_code() != 0 ? up_.frames.close_code() : kNormal;
    up_.own = close_frame(frame, code, {}, true);
    up_.inbox.drop();
  } else if (!r.kept.caught_up() && !up_.eof) {
    return true;
  }
  r.stage = Stage::flowing;
  progress = true;
  return true;
}

// Between two frames to the client: the answer to its newest ping, in the endpoint's place.
void Tunnel::answer_ping() {
  if (!resume_->holds() || !down_.own.empty() || !down_.frames.at_boundary()) return;
  if (const auto said = resume_->kept.take_ping()) {
    down_.own = {static_cast<char>(0x8A), static_cast<char>(said->size())};
    down_.own += *said;
  }
}

void Tunnel::on_view(TimePoint now) {
  if (!parked()) return;
  resume_->parking.look(now);
  resume_->reopening.on_view(now);
  worker_.reactor().mark_ready(*this);
}

void Tunnel::look_for_endpoint(TimePoint now) {
  using State = Reopening::State;
  Resumption& r = *resume_;
  if (r.parking.late(now)) return give_up(ParkEnd::late, TunnelEnd::park_timeout);
  const auto random = [this] { return static_cast<double>(worker_.random() >> 11U) * 0x1.0p-53; };
  for (int attempts = 0; attempts < 3; ++attempts) {
    if (r.reopening.state() == State::idle) {
      if (!r.parking.due(now)) return;
      r.parking.begun(now);
      r.reopening.begin(policy_->pool, observe::name_of(r.reason), r.parking.attempt(), r.parking.deadline(), now);
    }
    switch (r.reopening.step(now)) {
      case State::idle:
      case State::queued:
      case State::dialing:
      case State::asking: return;
      case State::opened: return go_on(r.reopening.take(), now);
      case State::refused: return give_up(ParkEnd::refused, TunnelEnd::resume_refused);
      case State::protocol: return give_up(ParkEnd::protocol, TunnelEnd::resume_refused);
      case State::failed:
        counters_->resume_failed.add();
        r.parking.failed(random(), now);
        break;
      case State::nobody: r.parking.nobody(random(), now); break;
    }
    r.reopening.rest();
  }
}

void Tunnel::give_up(ParkEnd how, TunnelEnd why) {
  counters_->park_ends.add(how);
  resume_->parking.give_up();
  const TimePoint now = worker_.reactor().now();
  begin_ending(why, kServiceRestart, {}, now, now + Resumption::kCloseGrace);
  worker_.reactor().mark_ready(*this);
}

void Tunnel::go_on(Reopening::Opened opened, TimePoint now) {
  Resumption& r = *resume_;
  take_over(std::move(opened.inbox));
  upstream_ = std::move(opened.stream);
  upstream_->set_owner(this);
  endpoint_ = opened.endpoint;
  load_ = std::move(opened.load);
  load_->tunnels.fetch_add(1, std::memory_order_relaxed);
  note_heard();
  r.stage = Stage::catching_up;
  r.kept.resume();
  counters_->park_ends.add(ParkEnd::resumed);
  counters_->parked_for.record(now - r.parking.since());
  counters_->websocket_open.record(opened.took);
  r.parking.opened(now);
  --worker_.parked_tunnels;
  if (record_) {
    record_->endpoint.assign(opened.label);
    record_->tier = opened.tier;
    record_->epoch = opened.epoch;
  }
  worker_.tunnel_resumed(*this);
  worker_.reactor().mark_ready(*this);
}

// It ends: whatever there is of an endpoint is of no use any more.
void Tunnel::stop_resuming() {
  Resumption& r = *resume_;
  if (r.holds() || r.old_words()) drop_words();
  if (!r.holds()) return;
  if (r.stage == Stage::parked) {
    --worker_.parked_tunnels;
    if (r.parking.parked())
      counters_->park_ends.add(closer_ == observe::Closer::client || up_.frames.close_seen() ? ParkEnd::client
                                                                                             : ParkEnd::ended);
    r.parking.give_up();
  } else {
    counters_->messages_at_risk.add(
        r.risk.at_risk(unacknowledged(*upstream_), endpoint_heard(), worker_.reactor().now()));
    r.risk.reset();
  }
  r.reopening.abandon();
  upstream_->close();
  r.stage = Stage::flowing;
  r.moving.reset();
  up_.own.clear();
  go_deaf();
}

void Tunnel::publish_kept() {
  const std::size_t now = dead_ ? 0 : resume_->kept.bytes();
  if (now == resume_->published) return;
  const auto more = static_cast<std::int64_t>(now) - static_cast<std::int64_t>(resume_->published);
  counters_->kept_bytes.add(more);
  worker_.shared().kept_bytes.fetch_add(more, std::memory_order_relaxed);
  resume_->published = now;
}

}  // namespace understudy::net
