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
constexpr std::size_t kFrameWait = 56 * 1024;   // a larger frame does not fit a block while it comes
constexpr std::size_t kHoldBudget = 64 * 1024;  // bytes of the client in a turn's round; its pings cost more than data
constexpr std::chrono::seconds kLastWords{1};   // of an endpoint that was told that its tunnel leaves
constexpr std::chrono::seconds kCloseGrace{2};  // between our Close frame and the cut
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
  resume_->kept.passed_on(data, size);
  resume_->risk.add(static_cast<std::uint32_t>(messages), size, endpoint_heard(), worker_.reactor().now());
}

// How much of what came from the endpoint may go to the client. A Close that only says that the endpoint goes away, or answers
// ours, is not for the client.
std::size_t Tunnel::whole_frames(std::size_t size) {
  const auto seen = exchange::look_at_frames({down_.inbox.data(), size}, down_.frames.frame_left(), kFrameWait);
  if (seen.pong) resume_->kept.pong_seen();
  if (!seen.close) return seen.pass;
  const bool ours = resume_->stage == Stage::parting || exchange::leaves_with(seen.close_code);
  if (!ours || !may_park()) return size;
  if (seen.pass == 0) resume_->endpoint_closes = true;
  return seen.pass;
}

// Not where one side has already ended it: what the endpoint's FIN was passed on to hears no other one.
bool Tunnel::may_park() const {
  return resume_ && !dead_ && !ending_ && policy_->websocket.on_endpoint_loss == config::EndpointLoss::resume &&
         !worker_.draining() && !up_.eof && !up_.frames.close_seen() && !down_.eof && !down_.fin_sent &&
         !down_.frames.close_seen();
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
  if (r.stage == Stage::parked) {
    if (!deliver(progress)) return false;
    look_for_endpoint(now);
    return !dead_;
  }
  answer_ping();
  if (!pump(*upstream_, *client_, down_, false, progress)) return false;
  note_closer();
  if (ending_) return true;
  const bool late = (r.stage == Stage::parting && now >= r.part_until) || (r.moving && now >= r.move_until);
  if (r.endpoint_closes || late) {
    if (lose(r.moving.value_or(ParkReason::upstream_leaves))) return false;
    // They have begun to close it themselves.
    r.endpoint_closes = false;
    if (r.moving) begin_ending(end_for(*r.moving), kServiceRestart, {}, now, now + kCloseGrace);
  }
  if (r.moving && !ending_ && r.stage == Stage::flowing) part(now);
  return !dead_;
}

// ---- it leaves, or is left -----------------------------------------------------------------------------------------

void Tunnel::lose_endpoint(TunnelEnd why) {
  if (dead_ || closing_) return;
  const auto reason = reason_for(why);
  if (!reason || !lose(*reason)) end(why, kServiceRestart);
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
      !down_.inbox.empty() || upstream_->pending_output())
    return;
  if (r.kept.lose() != KeptMessages::Fit::yes) return;  // at the end of the message, or of the time
  std::array<char, 131> frame;
  const std::string_view text = close_frame(frame, kGoingAway, "moving", true);
  iovec part{const_cast<char*>(text.data()), text.size()};
  const std::size_t taken = upstream_->write(&part, 1).bytes;
  if (taken == 0) return;  // it does not take in more now
  if (taken < text.size()) {
    lose(*r.moving);
    return;
  }
  if (upstream_->pending_output()) upstream_->flush();
  r.stage = Stage::parting;
  r.reason = *r.moving;
  r.part_until = std::min(now + kLastWords, r.move_until);
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
  std::uint64_t risk = heard_all ? 0 : r.risk.at_risk(unacknowledged(*upstream_), endpoint_heard(), now);
  if (r.endpoint_closes && !parted && up_.frames.at_boundary() && up_.own.empty()) {
    std::array<char, 131> frame;
    write_frame(*upstream_, up_, close_frame(frame, kGoingAway, {}, true));
  }
  const bool torn = cut_down(!r.endpoint_closes && upstream_->readable());
  risk += torn ? 1 : 0;
  counters_->messages_at_risk.add(risk);
  upstream_->close();
  r.risk.reset();
  const KeptMessages::Fit fit = r.kept.lose();
  exchange::FrameTracker client = down_.frames;
  client.feed(down_.inbox.data(), down_.inbox.size());
  if (client.at_message_boundary() && fit == KeptMessages::Fit::yes) {
    park(reason, now);
  } else {
    counters_->not_parked.add(fit == KeptMessages::Fit::opening_too_long   ? observe::NotParked::opening_too_long
                              : fit == KeptMessages::Fit::message_too_long ? observe::NotParked::message_too_long
                                                                           : observe::NotParked::message_cut);
    if (!client.at_boundary()) down_.eof = true;  // no Close has a place inside a frame
    begin_ending(end_for(reason), kServiceRestart, {}, now, now + kCloseGrace);
    up_.fin_sent = true;
    up_.ignored = up_.frames;
  }
  worker_.reactor().mark_ready(*this);
  return true;
}

// What the endpoint said last, as far as it is whole frames. True when there was part of one.
bool Tunnel::cut_down(bool last_words) {
  Inbox& inbox = down_.inbox;
  while (last_words) {
    inbox.make_room(worker_.blocks(), 1);
    if (inbox.size() >= kFrameWait) break;
    const IoResult result = upstream_->read(inbox.block.data() + inbox.end, std::min(inbox.room(), kReadSize));
    if (result.status != Io::ok) break;
    inbox.end += static_cast<std::uint32_t>(result.bytes);
  }
  if (inbox.empty()) {
    inbox.drop();
    return false;
  }
  exchange::FrameTracker ahead = down_.frames;
  const std::size_t valid = ahead.feed(inbox.data(), inbox.size());
  const auto seen = exchange::look_at_frames({inbox.data(), valid}, down_.frames.frame_left(), SIZE_MAX);
  const bool torn = !seen.close && seen.pass < inbox.size();
  inbox.end = inbox.begin + static_cast<std::uint32_t>(seen.pass);
  if (inbox.empty()) inbox.drop();
  return torn;
}

void Tunnel::park(ParkReason reason, TimePoint now) {
  Resumption& r = *resume_;
  r.stage = Stage::parked;
  r.reason = reason;
  r.moving.reset();
  r.endpoint_closes = false;
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

// Reads the client as far as the bound and its share of the turn allow: control frames fill no bound. False when the tunnel was
// closed by it.
bool Tunnel::hold_client(bool& progress) {
  Resumption& r = *resume_;
  Inbox& inbox = up_.inbox;
  std::size_t budget = kHoldBudget;
  for (;;) {
    if (!inbox.empty() && !r.kept.close_held()) {
      const std::size_t n = passable(up_, true);
      if (ending_) break;
      const std::size_t taken = r.kept.hold(inbox.data(), n);
      up_.frames.feed(inbox.data(), taken);
      up_.bytes += taken;
      inbox.consume(static_cast<std::uint32_t>(taken));
      progress |= taken > 0;
      if (r.kept.close_held()) break;
      if (taken < n) break;  // full
    }
    if (budget == 0 || r.kept.full() || !client_->readable()) break;
    inbox.make_room(worker_.blocks(), 1);
    const IoResult result = client_->read(inbox.block.data() + inbox.end, std::min({inbox.room(), kReadSize, budget}));
    if (result.status == Io::again) break;
    if (result.status != Io::ok) {
      closer_ = observe::Closer::client;
      close(result.status == Io::eof ? TunnelEnd::client_closed : TunnelEnd::client_reset);
      return false;
    }
    progress = true;
    inbox.end += static_cast<std::uint32_t>(result.bytes);
    budget -= std::min(budget, result.bytes);
  }
  if (inbox.empty()) inbox.drop();
  if (r.kept.full() && client_->hangup() && !ending_) {  // its FIN stands behind what is not read any more
    closer_ = observe::Closer::client;
    close(TunnelEnd::client_closed);
    return false;
  }
  if (r.kept.close_held() && !ending_) client_closed_held();
  return true;
}

// The client ends it. A new endpoint is told all that came before, and then the same.
void Tunnel::client_closed_held() {
  Resumption& r = *resume_;
  if (r.stage == Stage::catching_up && !r.kept.next().empty()) return;
  note_closer();
  const std::uint16_t code = closed_code_ != 0 ? closed_code_ : kNormal;
  std::array<char, 131> frame;
  if (r.stage == Stage::catching_up) write_frame(*upstream_, up_, close_frame(frame, code, {}, true));
  const TimePoint now = worker_.reactor().now();
  begin_ending(TunnelEnd::client_closed, code, {}, now, now + kCloseGrace);
}

// The new endpoint is told what was kept.
bool Tunnel::catch_up(bool& progress) {
  Resumption& r = *resume_;
  for (;;) {
    const std::string_view next = r.kept.next();
    if (next.empty()) break;
    if (upstream_->pending_output() && upstream_->flush().status == Io::error) {
      broken(TunnelEnd::upstream_reset);
      return false;
    }
    if (!upstream_->writable() && upstream_->tls() == nullptr) return true;
    iovec part{const_cast<char*>(next.data()), next.size()};
    const IoResult result = upstream_->write(&part, 1);
    if (result.status == Io::again) return true;
    if (result.status != Io::ok) {
      broken(TunnelEnd::upstream_reset);
      return false;
    }
    progress = true;
    const std::uint32_t messages = r.kept.sent(result.bytes);
    r.risk.add(messages, result.bytes, endpoint_heard(), worker_.reactor().now());
    if (result.bytes < next.size()) return true;
  }
  if (r.kept.close_held()) {
    client_closed_held();
  } else if (r.kept.caught_up()) {
    r.stage = Stage::flowing;
    progress = true;
  }
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

// What the last endpoint said, and our pongs.
bool Tunnel::deliver(bool& progress) {
  for (;;) {
    answer_ping();
    if (down_.own.empty() && down_.inbox.empty()) break;
    bool moved = false, blocked = false;
    if (!pass_on(*client_, down_, false, moved, blocked)) return false;
    progress |= moved;
    if (blocked || !moved) break;
  }
  if (client_->pending_output()) client_->flush();
  if (down_.inbox.empty()) down_.inbox.drop();
  return true;
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
  begin_ending(why, kServiceRestart, {}, now, now + kCloseGrace);
  worker_.reactor().mark_ready(*this);
}

// What the new endpoint said already goes behind what the client has not taken yet of the last one's words. False: there is no
// room for both, which only one that speaks at length before it is spoken to can bring about.
bool Tunnel::take_over(Inbox& rest, Inbox& said) {
  if (rest.empty()) {
    rest = std::move(said);
    return true;
  }
  if (said.empty()) return true;
  rest.make_room(worker_.blocks(), said.size());
  if (rest.room() < said.size()) return false;
  std::copy_n(said.data(), said.size(), rest.block.data() + rest.end);
  rest.end += static_cast<std::uint32_t>(said.size());
  return true;
}

void Tunnel::go_on(Reopening::Opened opened, TimePoint now) {
  Resumption& r = *resume_;
  if (!take_over(down_.inbox, opened.inbox)) {  // nothing may be left out
    opened.stream->close();
    return give_up(ParkEnd::refused, TunnelEnd::resume_refused);
  }
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
  if (!r.holds()) return;
  if (r.stage == Stage::parked) {
    --worker_.parked_tunnels;
    if (r.parking.parked())
      counters_->park_ends.add(closer_ == observe::Closer::client || up_.frames.close_seen() ? ParkEnd::client
                                                                                             : ParkEnd::ended);
    r.parking.give_up();
  }
  r.reopening.abandon();
  upstream_->close();
  r.stage = Stage::flowing;
  r.moving.reset();
  up_.own.clear();
  up_.fin_sent = true;
  up_.ignored = up_.frames;
}

void Tunnel::publish_kept() {
  const std::size_t now = dead_ ? 0 : resume_->kept.bytes();
  if (now == resume_->published) return;
  counters_->kept_bytes.add(static_cast<std::int64_t>(now) - static_cast<std::int64_t>(resume_->published));
  resume_->published = now;
}

}  // namespace understudy::net
