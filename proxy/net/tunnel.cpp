#include "proxy/net/tunnel.hpp"

#include <algorithm>
#include <array>

namespace understudy::net {

namespace {
constexpr std::chrono::seconds kCloseGrace{2};    // between our Close frame and the cut
constexpr std::chrono::seconds kFrameGrace{1};    // before the cut, a departure takes any frame boundary
constexpr std::chrono::seconds kPingAgain{1};     // when a frame is under way
constexpr std::uint64_t kControlFrame = 6 + 125;  // the largest there is
constexpr std::string_view kPing{"\x89\x00", 2};

exchange::FrameTracker::Rules rules_of(const TunnelStart& start, exchange::FrameTracker::Sender sender) {
  return {sender, start.reserved, start.policy->websocket.max_message.value_or(UINT64_MAX)};
}
}  // namespace

// Towards the endpoint it must be masked, and a zero mask is a mask.
std::string_view close_frame(std::array<char, 131>& out, std::uint16_t code, std::string_view reason, bool masked) {
  reason = reason.substr(0, 123);
  std::size_t n = 0;
  out[n++] = static_cast<char>(0x88);
  out[n++] = static_cast<char>((masked ? 0x80U : 0U) | (2 + reason.size()));
  if (masked)
    for (int i = 0; i < 4; ++i) out[n++] = 0;
  out[n++] = static_cast<char>(code >> 8);
  out[n++] = static_cast<char>(code & 0xFF);
  return {out.data(), n + reason.copy(out.data() + n, reason.size())};
}

void Tunnel::open(Worker& worker, TunnelStart start) {
  Ref<Tunnel> tunnel(new Tunnel(worker, std::move(start)));
  worker.tunnel_opened(*tunnel);
  tunnel->turn();
}

Tunnel::Tunnel(Worker& worker, TunnelStart start)
    : worker_(worker),
      client_(std::move(start.client)),
      upstream_(std::move(start.upstream)),
      strict_(start.policy->websocket.strict || start.policy->websocket.max_message || start.handshake),
      up_(rules_of(start, exchange::FrameTracker::Sender::client)),
      down_(rules_of(start, exchange::FrameTracker::Sender::server)),
      head_(std::move(start.head)),
      peer_(start.peer),
      endpoint_(start.endpoint),
      load_(std::move(start.load)),
      policy_(std::move(start.policy)),
      counters_(std::move(start.counters)),
      listener_(std::move(start.listener)),
      record_(std::move(start.record)) {
  up_.inbox = std::move(start.from_client);
  down_.inbox = std::move(start.from_upstream);
  head_.block.reset();
  head_.secure(worker_.blocks());
  opened_ = active_ = heard_ = worker_.reactor().now();
  client_->set_owner(this);
  upstream_->set_owner(this);
  load_->tunnels.fetch_add(1, std::memory_order_relaxed);
  counters_->tunnels_opened.add();
  counters_->websocket_open.record(start.opening);
  if (!start.handshake) return;
  const config::WebSocketConfig& socket = policy_->websocket;
  resume_ = std::make_unique<Resumption>(
      worker_, *this, std::move(*start.handshake),
      exchange::KeptMessages::Terms{socket.replay_first, static_cast<std::size_t>(socket.park_buffer)});
  note_heard();
}

Tunnel::~Tunnel() {
  if (armed()) worker_.reactor().wheel().cancel(*this);
  client_->close();
  upstream_->close();
  if (resume_ && resume_->rest) resume_->rest->close();
}

void Tunnel::adopt(std::shared_ptr<const TunnelPolicy> policy) {
  // What an ending says lies inside the old one.
  if (dead_ || ending_) return;
  policy_ = std::move(policy);
  arm();
}

// ---- a turn --------------------------------------------------------------------------------------------------------

struct Tunnel::Before {
  std::uint64_t up_bytes, down_bytes, up_messages, down_messages;
};

void Tunnel::turn() {
  if (dead_) return;
  const Ref<Tunnel> self(this);
  const TimePoint now = worker_.reactor().now();
  const Before before{up_.bytes, down_.bytes, up_.frames.messages(), down_.frames.messages()};
  bool again = true;
  for (int round = 0; again && round < 4; ++round) {
    again = false;
    if (!step(again)) {
      if (dead_) return;
      account(before, now);  // it has lost its endpoint, and comes back
      return arm();
    }
    if (ending_ && !closing_ && (now >= frame_ok_ || (head_.empty() && may_close(up_) && may_close(down_))))
      closing_ = again = true;
  }
  account(before, now);
  if (resume_) publish_kept();
  if (closing_) write_close_frames();
  if (finished()) return;
  if (again) worker_.reactor().defer(*this);  // the rounds are used up, not the bytes: no edge would tell of them
  arm();
}

bool Tunnel::step(bool& progress) {
  if (!flush_head()) return false;
  if (resume_ && !ending_) return step_resumable(progress);
  if (!pump(*client_, *upstream_, up_, true, progress)) return false;
  note_closer();
  if (head_.empty() && !pump(*upstream_, *client_, down_, false, progress)) return false;
  note_closer();
  return true;
}

void Tunnel::account(const Before& before, TimePoint now) {
  const std::uint64_t up = up_.bytes - before.up_bytes, down = down_.bytes - before.down_bytes;
  const std::uint64_t said = up_.frames.messages() - before.up_messages;
  const std::uint64_t told = down_.frames.messages() - before.down_messages;
  if (said != 0) counters_->messages_in.add(said);
  if (told != 0) counters_->messages_out.add(told);
  if (up + down == 0) return;
  // The answer to our ping shows that the client lives, not that the tunnel is used.
  const bool answer = pinged_ && down == 0 && said == 0 && up <= kControlFrame && up_.frames.at_message_boundary();
  if (!answer) active_ = now;
  if (up == 0) return;
  heard_ = now;
  pinged_.reset();
}

void Tunnel::note_closer() {
  const auto note = [this](const Direction& direction, observe::Closer who) {
    if (!direction.frames.close_seen() || closed_code_ != 0) return;
    if (closer_ != observe::Closer::none && closer_ != who) return;
    closer_ = who;
    closed_code_ = direction.frames.close_code();
  };
  note(up_, observe::Closer::client);
  note(down_, observe::Closer::endpoint);
}

// The client has been silent: is it still there?
void Tunnel::ping(TimePoint now) {
  const config::WebSocketConfig& socket = policy_->websocket;
  if (!socket.ping_interval || up_.eof || down_.fin_sent || down_.frames.close_seen()) return;
  if (!up_.inbox.empty()) {  // it speaks, the endpoint does not listen
    heard_ = now;
    pinged_.reset();
  }
  if (pinged_) {
    if (worker_.reactor().starved()) pinged_ = now;  // law 12: its answer may lie unread
    if (now >= *pinged_ + socket.pong_timeout) end(observe::TunnelEnd::no_pong, 1001);
    return;
  }
  if (now < heard_ + *socket.ping_interval) return;
  if (!head_.empty() || !down_.frames.at_boundary() || !down_.inbox.empty() || !down_.own.empty()) {
    heard_ = now - *socket.ping_interval + kPingAgain;
    return;
  }
  write_frame(*client_, down_, kPing);  // what does not take it will not answer it either
  counters_->pings.add();
  pinged_ = now;
}

TimePoint Tunnel::next_deadline() const {
  if (ending_) return closing_ ? cut_at_ : std::min(frame_ok_, cut_at_);
  const config::WebSocketConfig& socket = policy_->websocket;
  TimePoint next = TimePoint::max();
  if (socket.idle_timeout) next = std::min(next, active_ + *socket.idle_timeout);
  if (socket.max_duration) next = std::min(next, opened_ + *socket.max_duration);
  if (socket.ping_interval && !up_.eof && !down_.fin_sent && !down_.frames.close_seen())
    next = std::min(next, pinged_ ? *pinged_ + socket.pong_timeout : heard_ + *socket.ping_interval);
  return resume_ ? std::min(next, resume_->next_deadline()) : next;
}

void Tunnel::arm() {
  if (const TimePoint next = next_deadline(); next != TimePoint::max()) worker_.reactor().wheel().set(*this, next);
}

void Tunnel::on_timer(TimePoint now) {
  if (dead_) return;
  const Ref<Tunnel> self(this);
  if (ending_) {
    if (now >= cut_at_) return close(*ending_);
    return turn();  // any frame boundary will do now
  }
  const config::WebSocketConfig& socket = policy_->websocket;
  if (socket.max_duration && now >= opened_ + *socket.max_duration) return end(observe::TunnelEnd::max_duration, 1001);
  if (socket.idle_timeout && now >= active_ + *socket.idle_timeout) return end(observe::TunnelEnd::idle, 1001);
  if (resume_ && now >= resume_->next_deadline()) {
    turn();
    if (dead_ || ending_) return;
  }
  ping(now);
  if (!dead_) arm();
}

// ---- ending --------------------------------------------------------------------------------------------------------

void Tunnel::end(observe::TunnelEnd why, std::uint16_t code) {
  if (dead_ || closing_) return;
  const TimePoint now = worker_.reactor().now();
  begin_ending(why, code, {}, now, now + kCloseGrace);
  turn();
}

void Tunnel::leave(observe::TunnelEnd why, TimePoint until) {
  if (dead_ || ending_) return;
  until = std::max(until, worker_.reactor().now() + kCloseGrace);
  if (resume_ && begin_moving(why, until)) return;
  begin_ending(why, policy_->websocket.close_code, policy_->websocket.close_reason, until - kFrameGrace, until);
  turn();
}

void Tunnel::cut(observe::TunnelEnd why) {
  if (!dead_) close(why);
}

void Tunnel::begin_ending(observe::TunnelEnd why, std::uint16_t code, std::string_view reason, TimePoint frame_ok,
                          TimePoint cut_at) {
  if (dead_ || closing_) return;
  const TimePoint now = worker_.reactor().now();
  if (resume_ && !ending_) stop_resuming();
  ending_ = why;
  close_code_ = code;
  close_reason_ = reason;
  frame_ok_ = frame_ok;
  cut_at_ = std::max(cut_at, now + kCloseGrace);
  closing_ = frame_ok <= now;
}

// Nothing of this direction would be torn by a Close frame, or there is no telling any more.
bool Tunnel::may_close(const Direction& direction) const {
  if (direction.fin_sent || direction.frames.error() != exchange::FrameError::none) return true;
  if (!direction.own.empty() || !direction.frames.at_boundary()) return false;
  return direction.frames.at_message_boundary() || worker_.reactor().now() >= frame_ok_;
}

// Nothing more is to be passed on in this direction. A departure begins only when both are between messages: one may be the
// question that the other is being answered, so neither is held for the other.
bool Tunnel::close_is_due(const Direction& direction) const {
  if (!ending_ || direction.frames.error() != exchange::FrameError::none || !may_close(direction)) return false;
  return closing_ || (may_close(up_) && may_close(down_));
}

bool Tunnel::write_frame(Stream& to, Direction& direction, std::string_view frame) {
  iovec part{const_cast<char*>(frame.data()), frame.size()};
  const IoResult result = to.write(&part, 1);
  if (result.status != Io::ok) return false;
  direction.own.assign(frame.substr(result.bytes));
  if (to.pending_output()) to.flush();
  return true;
}

// Places Close frames where a boundary allows; a side that is in the middle of a frame gets FIN without one.
void Tunnel::write_close_frames() {
  const auto place = [this](Stream& to, Direction& direction, bool masked) {
    if (direction.close_sent || direction.fin_sent || !direction.inbox.empty()) return;
    if (!direction.frames.at_boundary() || !direction.own.empty()) return;
    if (direction.frames.close_seen()) {  // the other side's own is on its way
      direction.close_sent = true;
      return;
    }
    std::array<char, 131> frame;
    if (!write_frame(to, direction, close_frame(frame, close_code_, close_reason_, masked))) return;
    direction.close_sent = true;
    if (closer_ != observe::Closer::none) return;
    closer_ = observe::Closer::proxy;
    closed_code_ = close_code_;
  };
  if (!head_.empty()) return;
  const bool before = down_.close_sent && up_.close_sent;
  place(*client_, down_, false);
  place(*upstream_, up_, true);
  if (!before && down_.close_sent && up_.close_sent)
    cut_at_ = std::min(cut_at_, worker_.reactor().now() + kCloseGrace);  // time for an answer
}

// Closes it when nothing more can come; true then.
bool Tunnel::finished() {
  if (closing_) {
    // Both have said their last word, or the client has answered our Close: done.
    const bool answered = up_.eof || up_.ignored.close_seen() || up_.frames.close_seen();
    if ((up_.eof && down_.eof) || (down_.close_sent && down_.own.empty() && answered)) {
      close(*ending_);
      return true;
    }
  }
  const auto ended =
      closer_ == observe::Closer::client ? observe::TunnelEnd::client_closed : observe::TunnelEnd::upstream_closed;
  if (up_.fin_sent && down_.fin_sent) {
    close(ending_ ? *ending_ : ended);
    return true;
  }
  // Nobody hears a side any more whose peer hung up both ways.
  if ((up_.eof && upstream_->closed() && !parked()) || (down_.eof && client_->closed())) {
    close(ending_ ? *ending_ : ended);
    return true;
  }
  return false;
}

void Tunnel::close(observe::TunnelEnd why) {
  if (dead_) return;
  dead_ = true;
  const Ref<Tunnel> self(this);
  note_closer();
  if (closer_ == observe::Closer::none) {
    if (why == observe::TunnelEnd::client_reset)
      closer_ = observe::Closer::client;
    else if (why == observe::TunnelEnd::upstream_reset)
      closer_ = observe::Closer::endpoint;
    else if (ending_ || why == observe::TunnelEnd::shutdown)
      closer_ = observe::Closer::proxy;
  }
  worker_.reactor().wheel().cancel(*this);
  ReadyHook::unlink();
  if (resume_ && !ending_) stop_resuming();
  if (resume_) count_deaf();
  client_->close();
  upstream_->close();
  if (load_) load_->tunnels.fetch_sub(1, std::memory_order_relaxed);
  if (resume_) publish_kept();
  counters_->tunnels_closed.add(why);
  counters_->closes.add(closer_, closed_code_);
  listener_->bytes_in.add(up_.bytes);
  listener_->bytes_out.add(down_.bytes);
  write_record(why);
  worker_.tunnel_closed(*this);
}

void Tunnel::write_record(observe::TunnelEnd why) {
  if (!record_ || worker_.access() == nullptr) return;
  observe::AccessRecord* out = worker_.access()->begin_write();
  if (out == nullptr) return;
  *out = *record_;
  const auto lived = std::chrono::duration_cast<std::chrono::microseconds>(worker_.reactor().now() - opened_).count();
  out->duration_us = static_cast<std::uint32_t>(std::min<std::int64_t>(lived + record_->duration_us, UINT32_MAX));
  out->bytes_in += up_.bytes;
  out->bytes_out += down_.bytes;
  out->tunnel = true;
  out->tunnel_end = why;
  out->closed_by = closer_;
  out->close_code = closed_code_;
  out->messages_in = up_.frames.messages();
  out->messages_out = down_.frames.messages();
  if (resume_) out->parked = resume_->times;
  switch (why) {
    case observe::TunnelEnd::idle: out->term = observe::Term::tunnel_idle; break;
    case observe::TunnelEnd::draining:
    case observe::TunnelEnd::failover:
    case observe::TunnelEnd::failback:
    case observe::TunnelEnd::route_removed:
    case observe::TunnelEnd::endpoint_removed:
    case observe::TunnelEnd::endpoint_dead:
    case observe::TunnelEnd::endpoint_disabled:
    case observe::TunnelEnd::park_timeout:
    case observe::TunnelEnd::resume_refused: out->term = observe::Term::drained; break;
    case observe::TunnelEnd::shutdown: out->term = observe::Term::shutdown; break;
    case observe::TunnelEnd::upstream_reset: out->term = observe::Term::upstream_reset; break;
    case observe::TunnelEnd::client_reset:
    case observe::TunnelEnd::no_pong: out->term = observe::Term::client_abort; break;
    default: out->term = observe::Term::tunnel_closed; break;
  }
  worker_.access()->publish();
}

}  // namespace understudy::net
