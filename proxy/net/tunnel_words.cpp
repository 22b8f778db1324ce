// Last words: those of an endpoint that was left or lost, which a slow client has not taken yet, and those of a client while there
// is no endpoint. They are told on where that is possible at all; what nobody will hear is counted (messages_at_risk_total).
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "proxy/exchange/endpoint_frames.hpp"
#include "proxy/net/tunnel.hpp"

namespace understudy::net {

using observe::Closer;
using observe::TunnelEnd;
using Stage = Resumption::Stage;

namespace {
constexpr std::size_t kHoldBudget = 64 * 1024;  // bytes of the client in a turn's round; its pings cost more than data
constexpr std::size_t kDeliverBudget = 256 * 1024;  // and of what an endpoint said last
// What an endpoint may have said before it was left, and not sent yet: its own buffers, and its machine's.
constexpr std::uint64_t kOnItsWay = 16 * 1024 * 1024;
constexpr std::chrono::seconds kTalksOn{10};  // once it was read empty
constexpr std::uint16_t kNormal = 1000;

std::uint64_t unread(Stream& stream) {
  int there = 0;
  if (stream.closed() || ::ioctl(stream.fd(), SIOCINQ, &there) != 0 || there < 0) return 0;
  return static_cast<std::uint64_t>(there);
}
}  // namespace

// ---- of an endpoint ------------------------------------------------------------------------------------------------

// What the endpoint said last, as far as it is whole frames. `torn`: there was part of one; `more`: it does not fit in here, as
// the client has not taken what came before, and nothing is cut. Where the rest cannot wait, it is counted.
Tunnel::Cut Tunnel::cut_down(bool last_words, bool may_wait) {
  Inbox& inbox = down_.inbox;
  bool more = false;
  while (last_words) {
    inbox.make_room(worker_.blocks(), 1);
    if (inbox.size() >= Resumption::kFrameWait) {
      more = upstream_->readable();
      break;
    }
    const IoResult result = upstream_->read(inbox.block.data() + inbox.end, std::min(inbox.room(), kReadSize));
    if (result.status != Io::ok) break;
    inbox.end += static_cast<std::uint32_t>(result.bytes);
  }
  if (inbox.empty()) {
    inbox.drop();
    return Cut::clean;
  }
  exchange::FrameTracker ahead = down_.frames;
  const std::size_t valid = ahead.feed(inbox.data(), inbox.size());
  const auto seen = exchange::look_at_frames({inbox.data(), valid}, down_.frames.frame_left(), SIZE_MAX);
  if (more && !seen.close && may_wait) return Cut::more;
  const std::uint64_t said = more && !seen.close ? unheard(upstream_.get(), inbox, down_.frames) : 0;
  const bool torn = !seen.close && seen.pass < inbox.size();
  inbox.end = inbox.begin + static_cast<std::uint32_t>(seen.pass);
  if (said > 0) counters_->messages_at_risk.add(said - unheard(nullptr, inbox, down_.frames));
  if (inbox.empty()) inbox.drop();
  return torn ? Cut::torn : Cut::clean;
}

// The connection stays until it is read to its end. `told`: the endpoint knows by a Close that it is left. The end is its Close,
// its FIN, or silence; who only goes on talking is heard no more when it cannot have said that before.
void Tunnel::keep_rest(std::uint64_t risk, bool told) {
  Resumption& r = *resume_;
  r.rest = upstream_;
  r.rest_risk = risk;
  r.rest_left = unread(*upstream_) + kOnItsWay;
  r.rest_until = r.rest_over = TimePoint::max();
  if (!told) r.rest->shutdown_write();
}

// What the last endpoint said, and our pongs, to the client.
bool Tunnel::deliver(bool& progress) {
  Resumption& r = *resume_;
  const TimePoint now = worker_.reactor().now();
  std::size_t budget = kDeliverBudget;
  while (!ending_) {
    answer_ping();
    bool moved = false, blocked = false;
    if (!pass_on(*client_, down_, false, moved, blocked)) return false;
    progress |= moved;
    if (blocked) {
      if (now >= r.rest_until) r.rest_until = now + Resumption::kLastWords;  // it is not the endpoint that is slow
      break;
    }
    if (!moved && !read_rest(budget, progress, now)) break;
  }
  if (client_->pending_output()) client_->flush();
  if (!down_.inbox.empty()) return true;
  down_.inbox.drop();
  if (ending_ || r.rest || r.said.empty()) return true;
  down_.inbox = std::exchange(r.said, Inbox{});
  progress = true;
  return true;
}

// More of what the last endpoint said, when the client has taken all that may go to it. False: nothing now.
bool Tunnel::read_rest(std::size_t& budget, bool& progress, TimePoint now) {
  Resumption& r = *resume_;
  if (!r.rest) return false;
  if (r.rest->pending_output()) r.rest->flush();
  Inbox& inbox = down_.inbox;
  const auto seen = exchange::look_at_frames(inbox.view(), down_.frames.frame_left(), Resumption::kFrameWait);
  if (seen.close || r.rest_left == 0) {
    end_rest(seen.close, now);
    return false;
  }
  if (budget == 0) {
    progress = true;
    return false;
  }
  if (r.rest->readable()) {
    if (inbox.empty() && inbox.block) inbox.begin = inbox.end = 0;
    inbox.make_room(worker_.blocks(), 1);
    const std::size_t most = std::min({inbox.room(), kReadSize, budget, static_cast<std::size_t>(r.rest_left)});
    const IoResult result = r.rest->read(inbox.block.data() + inbox.end, most);
    if (result.status == Io::ok) {
      inbox.end += static_cast<std::uint32_t>(result.bytes);
      budget -= result.bytes;
      r.rest_left -= result.bytes;
      r.rest_until = TimePoint::max();
      progress = true;
      return true;
    }
    if (result.status != Io::again) {
      end_rest(false, now);
      return false;
    }
  }
  // Room was made for what its machine still has to send.
  if (r.rest_over == TimePoint::max()) r.rest_over = now + kTalksOn;
  if (r.rest_until == TimePoint::max()) r.rest_until = std::min(now + Resumption::kLastWords, r.rest_over);
  if (now >= r.rest_until) end_rest(false, now);
  return false;
}

// It has said all that will be heard of it; `heard_all`: and that it was told all.
void Tunnel::end_rest(bool heard_all, TimePoint now) {
  Resumption& r = *resume_;
  r.rest->close();
  r.rest.reset();
  r.rest_until = TimePoint::max();
  const std::uint64_t risk = std::exchange(r.rest_risk, 0);
  if (!heard_all) counters_->messages_at_risk.add(risk + (down_.inbox.empty() ? 0 : 1));
  down_.inbox.drop();
  if (down_.frames.at_message_boundary()) return;
  count_risk();
  not_parked(observe::NotParked::message_cut, r.reason, now);
}

// What the next endpoint said already stands behind what the client has not taken yet of the last one's words.
void Tunnel::take_over(Inbox said) {
  if (said.empty()) return;
  Inbox& inbox = down_.inbox;
  if (!resume_->rest && inbox.empty()) {
    inbox = std::move(said);
    return;
  }
  if (!resume_->rest) inbox.make_room(worker_.blocks(), said.size());
  if (resume_->rest || inbox.room() < said.size()) {
    resume_->said = std::move(said);
    return;
  }
  std::copy_n(said.data(), said.size(), inbox.block.data() + inbox.end);
  inbox.end += static_cast<std::uint32_t>(said.size());
}

// Messages in what was read, and in what can be read of a connection that is closed next. The last one may be a part.
std::uint64_t Tunnel::unheard(Stream* from, const Inbox& before, exchange::FrameTracker frames) {
  const std::uint64_t begun = frames.messages();
  frames.feed(before.view().data(), before.view().size());
  std::uint64_t left = from != nullptr ? unread(*from) : 0;
  if (left == 0) return frames.messages() - begun;
  const BlockRef block = worker_.blocks().take();
  while (left > 0) {
    const std::size_t most = static_cast<std::size_t>(std::min<std::uint64_t>(kReadSize, left));
    const IoResult result = from->read(block.data(), most);
    if (result.status != Io::ok) break;
    frames.feed(block.data(), result.bytes);
    left -= result.bytes;
  }
  return frames.messages() - begun;
}

// The tunnel ends, and not at the client's wish: it will not hear what endpoints have said.
void Tunnel::drop_words() {
  Resumption& r = *resume_;
  std::uint64_t lost = std::exchange(r.rest_risk, 0);
  if (closer_ != Closer::client) {
    lost += unheard(r.rest.get(), down_.inbox, down_.frames);
    lost += unheard(nullptr, r.said, {});
  }
  counters_->messages_at_risk.add(lost);
  r.said.drop();
  r.rest_until = TimePoint::max();
  if (!r.rest) return;
  r.rest->close();
  r.rest.reset();
}

// ---- of a client ---------------------------------------------------------------------------------------------------

// Reads the client as far as the bound and its share of the turn allow: control frames fill no bound. What it said last is still
// told to the next endpoint. False when the tunnel was closed by it.
bool Tunnel::hold_client(bool& progress) {
  Resumption& r = *resume_;
  Inbox& inbox = up_.inbox;
  std::size_t budget = kHoldBudget;
  r.kept.allow(worker_.shared().room_to_keep());
  while (!up_.eof) {
    if (r.kept.close_held()) inbox.drop();  // nothing may stand behind a Close
    if (!inbox.empty()) {
      const std::size_t n = passable(up_, true);
      if (ending_) break;
      const std::size_t taken = r.kept.hold(inbox.data(), n);
      up_.frames.feed(inbox.data(), taken);
      up_.bytes += taken;
      inbox.consume(static_cast<std::uint32_t>(taken));
      progress |= taken > 0;
      if (r.kept.close_held()) continue;
      if (taken < n) break;  // full
    }
    const bool full = r.kept.full() && !r.kept.close_held();
    if (budget == 0 || full || !client_->readable()) break;
    inbox.make_room(worker_.blocks(), 1);
    const IoResult result = client_->read(inbox.block.data() + inbox.end, std::min({inbox.room(), kReadSize, budget}));
    if (result.status == Io::again) break;
    progress = true;
    if (result.status == Io::ok) {
      inbox.end += static_cast<std::uint32_t>(result.bytes);
      budget -= std::min(budget, result.bytes);
      continue;
    }
    if (closer_ == Closer::none) closer_ = Closer::client;
    if (result.status != Io::eof) {
      close(TunnelEnd::client_reset);
      return false;
    }
    up_.eof = true;
  }
  if (inbox.empty()) inbox.drop();
  if (r.kept.full() && !std::exchange(r.was_full, true)) counters_->park_buffer_full.add();
  return true;
}

// While it is parked: the client has said its last word, and there is nothing left to be told to either side. Then it ends.
bool Tunnel::client_is_done(TimePoint now) {
  Resumption& r = *resume_;
  if ((!up_.eof && !r.kept.close_held()) || r.kept.untold() > 0) return false;
  if (r.rest || !down_.inbox.empty() || !down_.own.empty()) return false;
  if (!r.kept.close_held()) {
    close(TunnelEnd::client_closed);
    return true;
  }
  note_closer();
  const std::uint16_t code = closed_code_ != 0 ? closed_code_ : kNormal;
  begin_ending(TunnelEnd::client_closed, code, {}, now, now + Resumption::kCloseGrace);
  return true;
}

// No endpoint will hear the client any more: neither what was held, nor what it says until it has heard of that.
void Tunnel::go_deaf() {
  Resumption& r = *resume_;
  up_.fin_sent = true;
  if (r.deaf_since) return;
  up_.ignored = up_.frames;
  r.deaf_since = up_.frames.messages();
  const bool cut = !up_.frames.at_message_boundary() && closer_ != Closer::client;
  counters_->messages_at_risk.add(r.kept.untold() + (cut ? 1 : 0));
}

void Tunnel::count_deaf() {
  if (!resume_->deaf_since) return;
  const std::uint64_t since = up_.ignored.messages() - *resume_->deaf_since;
  counters_->messages_at_risk.add(since + unheard(client_.get(), up_.inbox, up_.ignored));
}

}  // namespace understudy::net
