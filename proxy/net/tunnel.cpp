#include "proxy/net/tunnel.hpp"

#include <algorithm>
#include <array>

namespace understudy::net {

namespace {
constexpr std::chrono::seconds kCloseGrace{2};  // between our Close frame and the cut
constexpr std::size_t kBudget = 256 * 1024;     // bytes per direction and turn

// A WebSocket Close frame with a code; towards the endpoint it must be masked, and a zero mask is a mask.
std::size_t close_frame(char* out, std::uint16_t code, bool masked) {
  std::size_t n = 0;
  out[n++] = static_cast<char>(0x88);
  out[n++] = static_cast<char>(masked ? 0x82 : 0x02);
  if (masked)
    for (int i = 0; i < 4; ++i) out[n++] = 0;
  out[n++] = static_cast<char>(code >> 8);
  out[n++] = static_cast<char>(code & 0xFF);
  return n;
}
}  // namespace

void Tunnel::open(Worker& worker, TunnelStart start) {
  Ref<Tunnel> tunnel(new Tunnel(worker, std::move(start)));
  worker.tunnel_opened(*tunnel);
  tunnel->turn();
}

Tunnel::Tunnel(Worker& worker, TunnelStart start)
    : worker_(worker),
      client_(std::move(start.client)),
      upstream_(std::move(start.upstream)),
      head_(std::move(start.head)),
      peer_(start.peer),
      endpoint_(start.endpoint),
      load_(std::move(start.load)),
      idle_timeout_(start.idle_timeout),
      counters_(std::move(start.counters)),
      listener_(std::move(start.listener)),
      record_(std::move(start.record)) {
  up_.inbox = std::move(start.from_client);
  down_.inbox = std::move(start.from_upstream);
  head_.block.reset();
  head_.secure(worker_.blocks());
  opened_ = active_ = worker_.reactor().now();
  client_->set_owner(this);
  upstream_->set_owner(this);
  load_->tunnels.fetch_add(1, std::memory_order_relaxed);
  counters_->tunnels_opened.add();
  counters_->websocket_open.record(start.opening);
}

Tunnel::~Tunnel() {
  if (armed()) worker_.reactor().wheel().cancel(*this);
  client_->close();
  upstream_->close();
}

bool Tunnel::flush_head() {
  if (head_.empty()) return true;
  Pipe nothing;
  std::uint64_t sent = 0;
  const IoResult result = send_all(*client_, head_, nothing, sent);
  head_.secure(worker_.blocks());
  if (result.status == Io::error || result.status == Io::eof) {
    close(observe::TunnelEnd::client_reset);
    return false;
  }
  return true;
}

bool Tunnel::pump(Stream& from, Stream& to, Direction& direction, bool from_client, bool& progress) {
  Inbox& inbox = direction.inbox;
  std::size_t budget = kBudget;
  const auto write_error = from_client ? observe::TunnelEnd::upstream_reset : observe::TunnelEnd::client_reset;
  const auto read_error = from_client ? observe::TunnelEnd::client_reset : observe::TunnelEnd::upstream_reset;
  for (;;) {
    if (to.pending_output()) {
      const IoResult flushed = to.flush();
      if (flushed.status == Io::error) {
        close(write_error);
        return false;
      }
    }
    if (!inbox.empty() && !direction.fin_sent) {
      if (!to.writable() && to.tls() == nullptr) break;
      iovec part{inbox.data(), inbox.size()};
      const IoResult result = to.write(&part, 1);
      if (result.status == Io::again) break;
      if (result.status != Io::ok) {
        close(write_error);
        return false;
      }
      // Only what was really passed on moves the frame boundary.
      direction.frames.feed(inbox.data(), result.bytes);
      inbox.consume(static_cast<std::uint32_t>(result.bytes));
      direction.bytes += result.bytes;
      progress = true;
      if (!inbox.empty()) break;
    }
    if (ending_ && direction.frames.at_boundary()) {
      // Our Close frame is due here: what the side still says is not passed on.
      if (!inbox.empty()) direction.ignored.feed(inbox.data(), inbox.size());
      inbox.drop();
      return ignore(from, direction);
    }
    if (direction.eof) {
      if (!direction.fin_sent && inbox.empty() && !to.pending_output()) {
        direction.fin_sent = true;
        to.shutdown_write();
        progress = true;
      }
      break;
    }
    if (budget == 0 || !from.readable()) break;
    if (inbox.empty() && inbox.block) inbox.begin = inbox.end = 0;
    inbox.make_room(worker_.blocks(), 1);
    const IoResult result = from.read(inbox.block.data() + inbox.end, std::min({inbox.room(), kReadSize, budget}));
    if (result.status == Io::again) break;
    if (result.status == Io::error) {
      close(read_error);
      return false;
    }
    progress = true;
    if (result.status == Io::eof) {
      direction.eof = true;
      continue;
    }
    inbox.end += static_cast<std::uint32_t>(result.bytes);
    budget -= std::min(budget, result.bytes);
  }
  if (inbox.empty()) inbox.drop();
  if (budget == 0) progress = true;
  return true;
}

bool Tunnel::ignore(Stream& from, Direction& direction) {
  Inbox& inbox = direction.inbox;
  for (std::size_t budget = kBudget; budget > 0 && !direction.eof && from.readable();) {
    inbox.make_room(worker_.blocks(), 1);
    const IoResult result = from.read(inbox.block.data(), std::min(kReadSize, budget));
    if (result.status == Io::again) break;
    if (result.status == Io::error) {
      inbox.drop();
      close(*ending_);
      return false;
    }
    if (result.status == Io::eof) {
      direction.eof = true;
    } else {
      direction.ignored.feed(inbox.block.data(), result.bytes);
      budget -= std::min(budget, result.bytes);
    }
  }
  inbox.drop();
  return true;
}

// Places Close frames where a boundary allows; a side that is in the middle of a frame gets FIN without one.
void Tunnel::write_close_frames() {
  const auto place = [this](Stream& to, Direction& direction, bool masked, bool& done) {
    if (done || direction.fin_sent || !direction.frames.at_boundary() || !direction.inbox.empty()) return;
    std::array<char, 8> frame;
    const std::size_t n = close_frame(frame.data(), close_code_, masked);
    iovec part{frame.data(), n};
    if (to.write(&part, 1).status != Io::ok) return;
    if (to.pending_output()) to.flush();
    done = true;
  };
  if (!head_.empty()) return;
  place(*client_, down_, false, close_sent_down_);
  place(*upstream_, up_, true, close_sent_up_);
}

void Tunnel::turn() {
  if (dead_) return;
  const Ref<Tunnel> self(this);
  const TimePoint now = worker_.reactor().now();
  bool again = true;
  bool moved = false;
  for (int round = 0; again && round < 4; ++round) {
    again = false;
    if (!flush_head()) return;
    if (!pump(*client_, *upstream_, up_, true, again)) return;
    if (head_.empty() && !pump(*upstream_, *client_, down_, false, again)) return;
    moved |= again;
  }
  if (moved) active_ = now;
  if (ending_) {
    write_close_frames();
    // Both have said their last word, or the client has answered our Close: done.
    if ((up_.eof && down_.eof) || (close_sent_down_ && (up_.eof || up_.ignored.close_seen()))) {
      close(*ending_);
      return;
    }
  }
  if (up_.fin_sent && down_.fin_sent) {
    close(down_.frames.close_seen() || !up_.frames.close_seen() ? observe::TunnelEnd::upstream_closed
                                                                : observe::TunnelEnd::client_closed);
    return;
  }
  // Nobody hears a side any more whose peer hung up both ways.
  if ((up_.eof && upstream_->closed()) || (down_.eof && client_->closed())) {
    close(observe::TunnelEnd::client_closed);
    return;
  }
  if (again) worker_.reactor().defer(*this);  // the rounds are used up, not the bytes: no edge would tell of them
  arm(now);
}

void Tunnel::arm(TimePoint now) {
  (void)now;
  if (ending_) {
    worker_.reactor().wheel().set(*this, cut_at_);
    return;
  }
  std::optional<TimePoint> due = leave_at_;
  if (idle_timeout_) due = due ? std::min(*due, active_ + *idle_timeout_) : active_ + *idle_timeout_;
  if (due) worker_.reactor().wheel().set(*this, *due);
}

void Tunnel::leave_at(TimePoint when) {
  if (dead_ || leave_at_) return;
  leave_at_ = when;
  arm(worker_.reactor().now());
}

void Tunnel::on_timer(TimePoint now) {
  if (dead_) return;
  if (ending_ && now >= cut_at_) {
    close(*ending_);
    return;
  }
  if (!ending_ && leave_at_ && now >= *leave_at_) {
    end(observe::TunnelEnd::draining, 1012);
    return;
  }
  if (!ending_ && idle_timeout_ && now >= active_ + *idle_timeout_) {
    end(observe::TunnelEnd::idle, 1001);
    return;
  }
  arm(now);
}

void Tunnel::end(observe::TunnelEnd why, std::uint16_t code) {
  if (dead_ || ending_) return;
  ending_ = why;
  close_code_ = code;
  cut_at_ = worker_.reactor().now() + kCloseGrace;
  turn();
}

void Tunnel::cut(observe::TunnelEnd why) {
  if (!dead_) close(why);
}

void Tunnel::close(observe::TunnelEnd why) {
  if (dead_) return;
  dead_ = true;
  const Ref<Tunnel> self(this);
  worker_.reactor().wheel().cancel(*this);
  ReadyHook::unlink();
  client_->close();
  upstream_->close();
  load_->tunnels.fetch_sub(1, std::memory_order_relaxed);
  counters_->tunnels_closed.add(why);
  listener_->bytes_in.add(up_.bytes);
  listener_->bytes_out.add(down_.bytes);
  if (record_ && worker_.access() != nullptr) {
    if (observe::AccessRecord* out = worker_.access()->begin_write()) {
      *out = *record_;
      out->duration_us = static_cast<std::uint32_t>(std::min<std::int64_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(worker_.reactor().now() - opened_).count() +
              record_->duration_us,
          UINT32_MAX));
      out->bytes_in += up_.bytes;
      out->bytes_out += down_.bytes;
      switch (why) {
        case observe::TunnelEnd::idle: out->term = observe::Term::tunnel_idle; break;
        case observe::TunnelEnd::draining:
        case observe::TunnelEnd::endpoint_disabled: out->term = observe::Term::drained; break;
        case observe::TunnelEnd::shutdown: out->term = observe::Term::shutdown; break;
        case observe::TunnelEnd::upstream_reset: out->term = observe::Term::upstream_reset; break;
        case observe::TunnelEnd::client_reset: out->term = observe::Term::client_abort; break;
        default: out->term = observe::Term::tunnel_closed; break;
      }
      worker_.access()->publish();
    }
  }
  worker_.tunnel_closed(*this);
}

}  // namespace understudy::net
