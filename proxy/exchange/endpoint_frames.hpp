// How much of what an endpoint sent may go to the client so that a loss of the endpoint tears no frame: whole frames only, but for
// those larger than can be waited for. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proxy/exchange/frame_cutter.hpp"

namespace understudy::exchange {

struct EndpointFrames {
  std::size_t pass = 0;          // so many bytes may be passed on
  bool pong = false;             // a Pong is among them
  bool close = false;            // behind them stands a whole Close frame,
  std::uint16_t close_code = 0;  // with this code; 0 without one
};

// A server that goes away or restarts says so (RFC 6455 §7.4): that ends its connection, not the client's.
inline bool leaves_with(std::uint16_t close_code) { return close_code == 1001 || close_code == 1012; }

// `left` bytes of the first frame's payload are still to come, as its header has been passed on. A frame of more than `wait` bytes
// is not waited for.
inline EndpointFrames look_at_frames(std::string_view bytes, std::uint64_t left, std::size_t wait) {
  EndpointFrames out;
  if (left >= bytes.size()) {
    out.pass = bytes.size();
    return out;
  }
  out.pass = static_cast<std::size_t>(left);
  for (;;) {
    const std::string_view rest = bytes.substr(out.pass);
    const FrameHeader header = FrameHeader::at_front(rest);
    if (header.size == 0) return out;
    if (header.payload > rest.size() - header.size) {
      if (header.payload > wait) out.pass = bytes.size();
      return out;
    }
    if (header.opcode == kOpClose) {
      out.close = true;
      const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(rest[header.size + i]); };
      if (header.payload >= 2) out.close_code = static_cast<std::uint16_t>(byte(0) << 8U | byte(1));
      return out;
    }
    out.pong |= header.opcode == kOpPong;
    out.pass += header.size + static_cast<std::size_t>(header.payload);
  }
}

}  // namespace understudy::exchange
