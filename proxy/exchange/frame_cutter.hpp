// Cuts a stream of valid WebSocket frames (RFC 6455 §5.2; frame_tracker.hpp is the judge) into runs of bytes that belong to one
// frame, told in any pieces. What a control frame says is collected and unmasked. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace understudy::exchange {

inline constexpr std::uint8_t kOpClose = 0x8, kOpPing = 0x9, kOpPong = 0xA;

// A frame's header where it is whole at the front of these bytes; `size` is 0 otherwise.
struct FrameHeader {
  std::size_t size = 0;
  std::uint64_t payload = 0;
  std::uint8_t opcode = 0;
  bool fin = false, masked = false;
  bool control() const { return opcode >= kOpClose; }
  static std::size_t size_for(std::uint8_t second) {
    const unsigned seven = second & 0x7FU;
    return 2U + (seven == 126 ? 2U : seven == 127 ? 8U : 0U) + ((second & 0x80U) != 0 ? 4U : 0U);
  }
  static FrameHeader at_front(std::string_view bytes) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    FrameHeader out;
    if (bytes.size() < 2 || bytes.size() < size_for(byte(1))) return out;
    out.size = size_for(byte(1));
    out.opcode = static_cast<std::uint8_t>(byte(0) & 0x0FU);
    out.fin = (byte(0) & 0x80U) != 0;
    out.masked = (byte(1) & 0x80U) != 0;
    out.payload = byte(1) & 0x7FU;
    if (out.payload < 126) return out;
    const std::size_t length = out.payload == 126 ? 2 : 8;
    out.payload = 0;
    for (std::size_t i = 0; i < length; ++i) out.payload = (out.payload << 8U) | byte(2 + i);
    return out;
  }
};

class FrameCutter {
public:
  struct Piece {
    std::string_view bytes;  // header and payload as they stand in the stream
    std::uint8_t opcode;
    bool fin;
    bool begins, ends;  // the frame
    bool control() const { return opcode >= kOpClose; }
    bool begins_message() const { return begins && opcode != 0 && !control(); }
    bool ends_message() const { return ends && fin && !control(); }
  };

  template <typename F>
  void feed(const char* data, std::size_t size, F on_piece) {
    std::size_t at = 0;
    while (at < size) {
      const std::size_t from = at;
      const bool begins = have_ == 0;
      while (at < size && !whole()) {
        header_[have_++] = data[at++];
        if (whole()) open();
      }
      if (whole()) {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, size - at));
        if (header().control()) collect(data + at, n);
        at += n;
        left_ -= n;
      }
      const bool ends = whole() && left_ == 0;
      const auto first = static_cast<std::uint8_t>(header_[0]);
      if (ends) have_ = 0;
      on_piece(Piece{
          {data + from, at - from}, static_cast<std::uint8_t>(first & 0x0FU), (first & 0x80U) != 0, begins, ends});
    }
  }
  // In the middle of a control frame.
  bool in_control() const { return have_ > 0 && (static_cast<std::uint8_t>(header_[0]) & 0x0FU) >= kOpClose; }
  // What the control frame that has just ended says.
  std::string_view control_payload() const { return {control_.data(), control_size_}; }

private:
  bool whole() const { return have_ >= 2 && have_ == FrameHeader::size_for(static_cast<std::uint8_t>(header_[1])); }
  FrameHeader header() const { return FrameHeader::at_front({header_.data(), have_}); }
  void open() {
    left_ = header().payload;
    if (header().control()) control_size_ = 0;
  }
  void collect(const char* data, std::size_t size) {
    const FrameHeader head = header();
    for (std::size_t i = 0; i < size && control_size_ < control_.size(); ++i) {
      const char key = head.masked ? header_[head.size - 4 + control_size_ % 4] : '\0';
      control_[control_size_++] = static_cast<char>(data[i] ^ key);
    }
  }

  std::uint64_t left_ = 0;  // payload still to come
  std::array<char, 14> header_{};
  std::array<char, 125> control_{};
  std::uint8_t have_ = 0;  // header bytes
  std::uint8_t control_size_ = 0;
};

}  // namespace understudy::exchange
