// Follows WebSocket frames (RFC 6455 §5) without touching them: where a frame and where a message ends, because a Close frame
// may be placed nowhere else; how many messages went by; which Close; and whether the framing is valid. Pure. Bytes may be cut
// anywhere. A header costs some instructions, payload is skipped by arithmetic.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace understudy::exchange {

// Why a frame is not valid. The names are metric labels.
enum class FrameError : std::uint8_t {
  none,
  reserved_bits,        // that no agreed extension uses
  opcode,               // one that has no meaning
  mask,                 // a client's frame without, or a server's frame with one
  length,               // not in its shortest form, or above 2^63 - 1
  control_length,       // above 125, or a Close with one byte
  control_fragmented,   // a control frame without FIN
  continuation,         // of nothing
  message_interrupted,  // a new message inside another one
  after_close,          // anything behind a Close
  message_too_big,      // larger than the route allows; valid otherwise
  count
};
std::string_view name_of(FrameError error);

class FrameTracker {
public:
  enum class Sender : std::uint8_t { any, client, server };  // clients mask, servers don't
  enum class Reserved : std::uint8_t {
    none,
    first_of_message,
    any
  };  // permessage-deflate: RSV1 on a message's first frame
  struct Rules {
    Sender sender = Sender::any;
    Reserved reserved = Reserved::any;
    std::uint64_t max_message = UINT64_MAX;  // payload bytes, all fragments together
  };
  FrameTracker() = default;
  explicit FrameTracker(Rules rules)
      : max_message_(rules.max_message), sender_(rules.sender), reserved_(rules.reserved) {}

  // Returns how many of these bytes may be passed on without a part of a frame that is invalid or not yet known to be valid:
  // what is left is the beginning of a header, or starts with the invalid frame. After an error nothing is followed any more.
  std::size_t feed(const char* data, std::size_t size);

  // How many of these bytes lie before the next boundary (of a message), at least one; all of them when it is not among them.
  std::size_t until_boundary(const char* data, std::size_t size, bool message) const;

  FrameError error() const { return error_; }
  // Between two frames: nothing of a frame has been passed on that is not complete.
  bool at_boundary() const { return have_ == 0 && payload_left_ == 0 && error_ == FrameError::none; }
  // And between two messages.
  bool at_message_boundary() const { return at_boundary() && !in_message_; }
  // Payload of the frame under way that is still to come.
  std::uint64_t frame_left() const { return payload_left_; }
  // A Close frame went by: the peers end it themselves.
  bool close_seen() const { return close_seen_; }
  // Its code; 0 while there is none, or without one.
  std::uint16_t close_code() const { return close_have_ == 2 ? close_code_ : 0; }
  std::uint64_t messages() const { return messages_; }  // data messages whose last frame has begun

private:
  static constexpr std::size_t kMaxHeader = 14;
  static std::size_t header_size(std::uint8_t second) {
    const unsigned seven = second & 0x7FU;
    return 2U + (seven == 126 ? 2U : seven == 127 ? 8U : 0U) + ((second & 0x80U) != 0 ? 4U : 0U);
  }
  void begin_frame(const std::uint8_t* header);
  FrameError judge(const std::uint8_t* header, std::uint64_t length, bool shortest) const;
  void read_close_code(const char* data, std::size_t size);

  std::uint64_t payload_left_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t message_bytes_ = 0;  // of the message in progress
  std::uint64_t max_message_ = UINT64_MAX;
  std::array<std::uint8_t, kMaxHeader> header_{};  // of a header that was cut, and the mask of a Close
  std::uint8_t have_ = 0;                          // header bytes kept
  Sender sender_ = Sender::any;
  Reserved reserved_ = Reserved::any;
  FrameError error_ = FrameError::none;
  bool in_message_ = false;
  bool close_seen_ = false;
  std::uint8_t close_have_ = 2;  // bytes of the code read; 2: nothing more to read
  std::uint16_t close_code_ = 0;
  std::array<std::uint8_t, 2> close_mask_{};
};

}  // namespace understudy::exchange
