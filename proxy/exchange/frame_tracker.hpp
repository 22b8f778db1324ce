// Follows WebSocket frames (RFC 6455 §5.2) without touching them, only to know where one ends: a Close frame may be placed
// nowhere else. Pure; a few instructions per frame, none per payload byte.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace understudy::exchange {

class FrameTracker {
public:
  void feed(const char* data, std::size_t size) {
    while (size > 0) {
      if (payload_left_ > 0) {
        const auto skip = static_cast<std::size_t>(std::min<std::uint64_t>(payload_left_, size));
        payload_left_ -= skip;
        data += skip;
        size -= skip;
        continue;
      }
      header(static_cast<std::uint8_t>(*data));
      ++data;
      --size;
    }
  }
  // Between two frames: nothing of a frame has been passed on that is not complete.
  bool at_boundary() const { return have_ == 0 && payload_left_ == 0; }
  // A Close frame went by: the peers end it themselves.
  bool close_seen() const { return close_seen_; }

private:
  void header(std::uint8_t byte) {
    if (have_ == 0) {
      if ((byte & 0x0F) == 0x8) close_seen_ = true;
      length_ = 0;
    } else if (have_ == 1) {
      const std::uint8_t seven = byte & 0x7F;
      length_bytes_ = seven == 126 ? 2 : seven == 127 ? 8 : 0;
      mask_bytes_ = (byte & 0x80) != 0 ? 4 : 0;
      if (length_bytes_ == 0) length_ = seven;
    } else if (have_ < 2 + length_bytes_) {
      length_ = (length_ << 8) | byte;
    }
    ++have_;
    if (have_ >= 2 && have_ == 2 + length_bytes_ + mask_bytes_) {
      payload_left_ = length_;
      have_ = 0;
    }
  }

  std::uint64_t payload_left_ = 0;
  std::uint64_t length_ = 0;
  std::uint8_t have_ = 0;  // header bytes seen
  std::uint8_t length_bytes_ = 0;
  std::uint8_t mask_bytes_ = 0;
  bool close_seen_ = false;
};

}  // namespace understudy::exchange
