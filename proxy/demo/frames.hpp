// Just enough of RFC 6455 for the demo's origins and clients: whole small frames in a string.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace understudy::demo {

struct Frame {
  std::uint8_t opcode = 1;
  std::string payload;
};

inline std::string write_frame(std::uint8_t opcode, std::string_view payload, bool masked) {
  std::string out;
  out += static_cast<char>(0x80 | opcode);
  const char mask_bit = masked ? static_cast<char>(0x80) : 0;
  if (payload.size() < 126) {
    out += static_cast<char>(mask_bit | static_cast<char>(payload.size()));
  } else {
    out += static_cast<char>(mask_bit | 126);
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size() & 0xFF);
  }
  if (masked) out.append(4, '\0');  // a zero mask is a mask
  out += payload;
  return out;
}

// Takes one complete frame off the front of `buffer`; nullopt when there is none yet. Payloads up to 64 KiB.
inline std::optional<Frame> take_frame(std::string& buffer) {
  if (buffer.size() < 2) return std::nullopt;
  const auto byte = [&buffer](std::size_t i) { return static_cast<std::uint8_t>(buffer[i]); };
  std::size_t length = byte(1) & 0x7F, at = 2;
  if (length == 127) return Frame{8, {}};
  if (length == 126) {
    if (buffer.size() < 4) return std::nullopt;
    length = static_cast<std::size_t>(byte(2) << 8 | byte(3));
    at = 4;
  }
  const bool masked = (byte(1) & 0x80) != 0;
  const std::size_t mask = at;
  if (masked) at += 4;
  if (buffer.size() < at + length) return std::nullopt;
  Frame frame{static_cast<std::uint8_t>(byte(0) & 0x0F), buffer.substr(at, length)};
  if (masked)
    for (std::size_t i = 0; i < length; ++i)
      frame.payload[i] = static_cast<char>(frame.payload[i] ^ buffer[mask + i % 4]);
  buffer.erase(0, at + length);
  return frame;
}

}  // namespace understudy::demo
