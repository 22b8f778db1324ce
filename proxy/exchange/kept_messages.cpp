#include "proxy/exchange/kept_messages.hpp"

#include <algorithm>

namespace understudy::exchange {

namespace {
constexpr std::size_t kCompact = 16 * 1024;  // bytes already told that are not worth moving the rest for
constexpr std::size_t kSmall = 512;          // a buffer that an idle tunnel may keep

// Assignments, also of `{}`, leave a string its buffer.
void give_back(std::string& buffer) { std::string().swap(buffer); }
}  // namespace

void KeptMessages::record(std::string_view message) {
  if (!records()) return;
  const bool too_long = message.size() > terms_.bound - opening_.size();
  no_room_ = !too_long && message.size() > std::max(left(), kAlways - std::min(opening_.size(), kAlways));
  if (too_long || no_room_) {
    opening_lost_ = true;
    give_back(opening_);
    return;
  }
  opening_.append(message);
  if (++recorded_ == terms_.first) opening_.shrink_to_fit();
  replayed_ = opening_.size();  // this endpoint was told
}

void KeptMessages::append(std::string_view bytes) {
  if (too_long_) return;
  if (bytes.size() > room()) {
    too_long_ = true;
    if (records()) opening_lost_ = true;
    drop_kept();
    return;
  }
  kept_.append(bytes);
}

void KeptMessages::drop_kept() {
  if (kept_.capacity() > kSmall)
    give_back(kept_);
  else
    kept_.clear();
  begin_ = sent_ = 0;
}

void KeptMessages::note_control(const FrameCutter::Piece& piece, bool held) {
  if (!piece.ends) return;
  if (piece.opcode == kOpPing) ping_ = cutter_.control_payload();
  if (piece.opcode == kOpClose && held) closed_ = true;
}

// A message that goes through whole and is none of the first ones costs nothing but looking at its header.
void KeptMessages::passed_on(const char* data, std::size_t size) {
  cutter_.feed(data, size, [this](const FrameCutter::Piece& piece) {
    if (piece.control()) return note_control(piece, false);
    if (piece.begins_message() && piece.ends_message()) return record(piece.bytes);
    append(piece.bytes);
    if (!piece.ends_message()) return;
    if (!too_long_) record(std::string_view(kept_).substr(begin_));
    too_long_ = false;
    drop_kept();
  });
  sent_ = kept_.size();
}

KeptMessages::Fit KeptMessages::lose() {
  sent_ = begin_;
  replayed_ = opening_.size();
  if (opening_lost_) return no_room_ ? Fit::opening_no_room : Fit::opening_too_long;
  return too_long_ ? Fit::message_too_long : Fit::yes;
}

std::size_t KeptMessages::hold(const char* data, std::size_t size) {
  std::size_t taken = 0;
  // Frame by frame is not needed but for a Close, which has nothing behind it, and the bound, which counts data only.
  while (taken < size && !closed_ && !full()) {
    const std::size_t n = std::min(size - taken, room());
    cutter_.feed(data + taken, n, [this](const FrameCutter::Piece& piece) {
      if (piece.control()) return note_control(piece, true);
      kept_.append(piece.bytes);
      if (piece.ends_message()) ++untold_;
    });
    taken += n;
  }
  return taken;
}

void KeptMessages::resume() {
  sent_ = begin_;
  replayed_ = 0;
}

std::string_view KeptMessages::next() const {
  if (replayed_ < opening_.size()) return std::string_view(opening_).substr(replayed_);
  return std::string_view(kept_).substr(sent_);
}

// Size of the first message that is kept; 0 while it is not whole.
std::size_t KeptMessages::first_message() const {
  std::string_view rest = std::string_view(kept_).substr(begin_);
  std::size_t size = 0;
  for (;;) {
    const FrameHeader header = FrameHeader::at_front(rest);
    if (header.size == 0 || header.payload > rest.size() - header.size) return 0;
    const std::size_t frame = header.size + static_cast<std::size_t>(header.payload);
    size += frame;
    if (header.fin) return size;
    rest.remove_prefix(frame);
  }
}

std::uint32_t KeptMessages::sent(std::size_t size) {
  if (replayed_ < opening_.size()) {
    replayed_ += size;  // never more than next() was
    return 0;
  }
  sent_ += size;
  std::uint32_t whole = 0;
  while (begin_ < sent_) {
    const std::size_t message = first_message();
    if (message == 0 || begin_ + message > sent_) break;
    record(std::string_view(kept_).substr(begin_, message));
    begin_ += message;
    ++whole;
  }
  untold_ -= whole;
  if (begin_ == kept_.size()) {
    drop_kept();
  } else if (begin_ > std::max(kCompact, terms_.bound / 8)) {
    kept_.erase(0, begin_);
    sent_ -= begin_;
    begin_ = 0;
  }
  return whole;
}

std::optional<std::string> KeptMessages::take_ping() {
  auto out = std::move(ping_);
  ping_.reset();
  return out;
}

}  // namespace understudy::exchange
