// A tunnel's bytes.
#include <algorithm>

#include "proxy/net/tunnel.hpp"

namespace understudy::net {

using exchange::FrameError;

namespace {
constexpr std::size_t kBudget = 256 * 1024;  // bytes per direction and turn
}  // namespace

// A side is gone. What was to end anyway ends for its own reason.
void Tunnel::broken(observe::TunnelEnd why) {
  if (why == observe::TunnelEnd::upstream_reset) {
    if (lose(observe::ParkReason::upstream_reset)) return;
    count_risk();
  }
  close(ending_ ? *ending_ : why);
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

// How much of the inbox may go to the other side now.
std::size_t Tunnel::passable(Direction& direction, bool from_client) {
  Inbox& inbox = direction.inbox;
  std::size_t n = inbox.size();
  if (strict_) {
    exchange::FrameTracker ahead = direction.frames;
    n = ahead.feed(inbox.data(), n);
    if (n == 0 && ahead.error() != FrameError::none) {
      const bool big = ahead.error() == FrameError::message_too_big;
      if (!std::exchange(direction.faulty, true))
        counters_->frame_errors[from_client ? 0 : 1][static_cast<std::size_t>(ahead.error())].add();
      const TimePoint now = worker_.reactor().now();
      begin_ending(big ? observe::TunnelEnd::message_too_big : observe::TunnelEnd::protocol_error, big ? 1009 : 1002,
                   {}, now, now);
      return 0;
    }
    if (n == 0 && direction.eof) n = inbox.size();  // a header that will never be whole
  }
  if (resume_ && !from_client && !direction.eof && !ending_) n = whole_frames(n);
  if (ending_) n = direction.frames.until_boundary(inbox.data(), n, worker_.reactor().now() < frame_ok_);
  return n;
}

// Writes what is in the inbox. `blocked`: the other side takes no more now, or there is nothing that may be passed on.
bool Tunnel::pass_on(Stream& to, Direction& direction, bool from_client, bool& progress, bool& blocked) {
  const auto write_error = from_client ? observe::TunnelEnd::upstream_reset : observe::TunnelEnd::client_reset;
  if (to.pending_output() && to.flush().status == Io::error) {
    broken(write_error);
    return false;
  }
  Inbox& inbox = direction.inbox;
  const bool own = !direction.own.empty();
  if (direction.fin_sent || (inbox.empty() && !own)) return true;
  blocked = true;
  if (!to.writable() && to.tls() == nullptr) return true;
  const std::size_t n = own ? direction.own.size() : passable(direction, from_client);
  if (n == 0) {
    blocked = false;  // the rest of a header has to come, or it is over
    return true;
  }
  iovec part{own ? direction.own.data() : inbox.data(), n};
  const IoResult result = to.write(&part, 1);
  if (result.status == Io::again) return true;
  if (result.status != Io::ok) {
    broken(write_error);
    return false;
  }
  progress = true;
  blocked = result.bytes < n;
  if (own) {
    direction.own.erase(0, result.bytes);
    return true;
  }
  // Only what was really passed on moves the frame boundary.
  const std::uint64_t messages = direction.frames.messages();
  direction.frames.feed(inbox.data(), result.bytes);
  if (resume_ && from_client) note_passed_on(inbox.data(), result.bytes, direction.frames.messages() - messages);
  inbox.consume(static_cast<std::uint32_t>(result.bytes));
  direction.bytes += result.bytes;
  if (const FrameError error = direction.frames.error();
      error != FrameError::none && !std::exchange(direction.faulty, true))
    counters_->frame_errors[from_client ? 0 : 1][static_cast<std::size_t>(error)].add();
  return true;
}

bool Tunnel::pump(Stream& from, Stream& to, Direction& direction, bool from_client, bool& progress) {
  Inbox& inbox = direction.inbox;
  std::size_t budget = kBudget;
  for (;;) {
    if (close_is_due(direction)) {
      if (to.pending_output()) to.flush();
      if (closing_) return ignore(from, direction);  // what the side still says is not passed on
      break;
    }
    bool blocked = false;
    if (!pass_on(to, direction, from_client, progress, blocked)) return false;
    if (blocked) break;
    if (close_is_due(direction)) continue;
    if (direction.eof) {
      if (!inbox.empty()) continue;
      if (!direction.fin_sent && !to.pending_output()) {
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
      broken(from_client ? observe::TunnelEnd::client_reset : observe::TunnelEnd::upstream_reset);
      return false;
    }
    progress = true;
    if (result.status == Io::eof) {
      if (!from_client) {
        if (lose(observe::ParkReason::upstream_closed)) return false;
        count_risk();
      }
      direction.eof = true;
      if (closer_ == observe::Closer::none) closer_ = from_client ? observe::Closer::client : observe::Closer::endpoint;
      continue;
    }
    if (resume_ && !from_client) note_heard();
    inbox.end += static_cast<std::uint32_t>(result.bytes);
    budget -= std::min(budget, result.bytes);
  }
  if (inbox.empty()) inbox.drop();
  if (budget == 0) progress = true;
  return true;
}

// After our Close frame is due: reads `from` only to see it answer or leave.
bool Tunnel::ignore(Stream& from, Direction& direction) {
  Inbox& inbox = direction.inbox;
  if (!inbox.empty()) direction.ignored.feed(inbox.data(), inbox.size());
  inbox.drop();
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

}  // namespace understudy::net
