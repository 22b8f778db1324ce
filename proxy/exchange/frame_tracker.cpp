#include "proxy/exchange/frame_tracker.hpp"

#include <algorithm>

namespace understudy::exchange {

namespace {
constexpr std::uint8_t kContinuation = 0x0, kText = 0x1, kBinary = 0x2, kClose = 0x8, kPong = 0xA;
constexpr std::uint64_t kMaxControl = 125;
}  // namespace

std::string_view name_of(FrameError error) {
  switch (error) {
    case FrameError::none: return "none";
    case FrameError::reserved_bits: return "reserved_bits";
    case FrameError::opcode: return "opcode";
    case FrameError::mask: return "mask";
    case FrameError::length: return "length";
    case FrameError::control_length: return "control_length";
    case FrameError::control_fragmented: return "control_fragmented";
    case FrameError::continuation: return "continuation";
    case FrameError::message_interrupted: return "message_interrupted";
    case FrameError::after_close: return "after_close";
    case FrameError::message_too_big: return "message_too_big";
    case FrameError::count: break;
  }
  return "unknown";
}

std::size_t FrameTracker::feed(const char* data, std::size_t size) {
  std::size_t at = 0;
  std::size_t frame = 0;  // where the header begins that is being read
  while (at < size && error_ == FrameError::none) {
    if (payload_left_ > 0) {
      const auto skip = static_cast<std::size_t>(std::min<std::uint64_t>(payload_left_, size - at));
      if (close_have_ < 2) read_close_code(data + at, skip);
      payload_left_ -= skip;
      at += skip;
      frame = at;
      continue;
    }
    const auto* here = reinterpret_cast<const std::uint8_t*>(data + at);
    if (have_ == 0) {
      frame = at;
      if (size - at >= 2 && size - at >= header_size(here[1])) {
        at += header_size(here[1]);
        begin_frame(here);
        continue;
      }
    }
    // A header that was cut: kept until it is whole.
    header_[have_++] = *here;
    ++at;
    if (have_ >= 2 && have_ == header_size(header_[1])) {
      have_ = 0;
      begin_frame(header_.data());
    }
  }
  if (error_ != FrameError::none || have_ > 0) return frame;
  return at;
}

std::size_t FrameTracker::until_boundary(const char* data, std::size_t size, bool message) const {
  FrameTracker ahead = *this;
  std::size_t at = 0;
  while (at < size) {
    const std::size_t step =
        ahead.payload_left_ > 0 ? static_cast<std::size_t>(std::min<std::uint64_t>(ahead.payload_left_, size - at)) : 1;
    ahead.feed(data + at, step);
    at += step;
    if (message ? ahead.at_message_boundary() : ahead.at_boundary()) return at;
  }
  return size;
}

// With a whole header. Payload follows, or the next frame.
void FrameTracker::begin_frame(const std::uint8_t* header) {
  const unsigned seven = header[1] & 0x7FU;
  std::uint64_t length = seven;
  bool shortest = true;
  std::size_t n = 2;
  if (seven == 126) {
    length = (std::uint64_t{header[2]} << 8U) | header[3];
    shortest = length > kMaxControl;
    n = 4;
  } else if (seven == 127) {
    length = 0;
    for (n = 2; n < 10; ++n) length = (length << 8U) | header[n];
    shortest = length > 0xFFFF && (length >> 63U) == 0;
  }
  error_ = judge(header, length, shortest);
  if (error_ != FrameError::none) return;

  const bool fin = (header[0] & 0x80U) != 0;
  const auto opcode = static_cast<std::uint8_t>(header[0] & 0x0FU);
  payload_left_ = length;
  if (opcode < kClose) {
    in_message_ = !fin;
    messages_ += fin ? 1 : 0;
    message_bytes_ = fin ? 0 : (opcode == kContinuation ? message_bytes_ : 0) + length;
  } else if (opcode == kClose) {
    close_seen_ = true;
    if (length < 2) return;
    close_have_ = 0;
    close_mask_ = {};
    if ((header[1] & 0x80U) != 0) close_mask_ = {header[n], header[n + 1]};
  }
}

FrameError FrameTracker::judge(const std::uint8_t* header, std::uint64_t length, bool shortest) const {
  const bool fin = (header[0] & 0x80U) != 0;
  const unsigned reserved = header[0] & 0x70U;
  const auto opcode = static_cast<std::uint8_t>(header[0] & 0x0FU);
  const bool masked = (header[1] & 0x80U) != 0;
  const bool control = opcode >= kClose;
  const bool first = opcode == kText || opcode == kBinary;
  if (close_seen_) return FrameError::after_close;
  if (control ? opcode > kPong : opcode > kBinary) return FrameError::opcode;
  if (reserved != 0 && reserved_ != Reserved::any &&
      !(reserved_ == Reserved::first_of_message && first && reserved == 0x40U))
    return FrameError::reserved_bits;
  if (sender_ != Sender::any && masked != (sender_ == Sender::client)) return FrameError::mask;
  if (!shortest) return FrameError::length;
  if (control) {
    if (!fin) return FrameError::control_fragmented;
    if (length > kMaxControl || (opcode == kClose && length == 1)) return FrameError::control_length;
    return FrameError::none;
  }
  if (opcode == kContinuation && !in_message_) return FrameError::continuation;
  if (first && in_message_) return FrameError::message_interrupted;
  const std::uint64_t before = first ? 0 : message_bytes_;
  if (length > max_message_ || before > max_message_ - length) return FrameError::message_too_big;
  return FrameError::none;
}

void FrameTracker::read_close_code(const char* data, std::size_t size) {
  for (std::size_t i = 0; i < size && close_have_ < 2; ++i) {
    const auto byte = static_cast<std::uint8_t>(static_cast<std::uint8_t>(data[i]) ^ close_mask_[close_have_]);
    close_code_ = static_cast<std::uint16_t>((close_code_ << 8U) | byte);
    ++close_have_;
  }
}

}  // namespace understudy::exchange
