// WebSocket frames the plain way, for tests: a writer, and a reader of whole texts against which the tracker is held.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/exchange/frame_tracker.hpp"

namespace understudy::exchange::oracle {

struct FrameShape {
  int opcode = 2;
  std::size_t size = 0;
  bool masked = false;
  bool fin = true;
  int reserved = 0;       // 0x40, 0x20, 0x10
  int length_bytes = -1;  // -1: the shortest form; 0, 2 or 8
};

inline std::string frame(const FrameShape& shape, std::string payload = {}) {
  if (payload.empty()) payload.assign(shape.size, 'x');
  const std::uint64_t size = payload.size();
  const int form = shape.length_bytes >= 0 ? shape.length_bytes : size < 126 ? 0 : size < 65536 ? 2 : 8;
  std::string out(1, static_cast<char>((shape.fin ? 0x80 : 0) | shape.reserved | shape.opcode));
  const int mask = shape.masked ? 0x80 : 0;
  out += static_cast<char>(mask | (form == 0 ? static_cast<int>(size) : form == 2 ? 126 : 127));
  for (int i = form - 1; i >= 0; --i) out += static_cast<char>((size >> (8 * i)) & 0xFFU);
  if (!shape.masked) return out + payload;
  const std::string_view key = "mask";
  out += key;
  for (std::size_t i = 0; i < payload.size(); ++i) out += static_cast<char>(payload[i] ^ key[i % 4]);
  return out;
}

// What a text is, read as a whole.
struct Reading {
  FrameError error = FrameError::none;
  std::size_t good = 0;               // bytes before the invalid frame, or before a header that is cut at the end
  std::vector<std::size_t> starts;    // of every frame with a whole header; the end of the last whole frame too
  std::vector<std::size_t> messages;  // offsets at which a header was whole that ends a message
  bool in_message = false;
  bool close = false;
  std::uint16_t code = 0;
};

inline Reading read(std::string_view text, const FrameTracker::Rules& rules) {
  Reading out;
  std::uint64_t message = 0;
  std::size_t at = 0;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint64_t>(static_cast<std::uint8_t>(text[i])); };
  for (;;) {
    out.starts.push_back(at);
    out.good = at;
    if (text.size() - at < 2) return out;
    const std::uint64_t seven = byte(at + 1) & 0x7F;
    const bool masked = byte(at + 1) >= 0x80, fin = byte(at) >= 0x80;
    const std::size_t more = seven == 126 ? 2 : seven == 127 ? 8 : 0;
    const std::size_t header = 2 + more + (masked ? 4 : 0);
    if (text.size() - at < header) return out;
    std::uint64_t length = more == 0 ? seven : 0;
    for (std::size_t i = 0; i < more; ++i) length = length << 8 | byte(at + 2 + i);
    const auto opcode = byte(at) & 0xF, reserved = byte(at) & 0x70;
    const auto fail = [&](FrameError why) {
      out.error = why;
      return out;
    };
    if (out.close) return fail(FrameError::after_close);
    if (opcode != 0 && opcode != 1 && opcode != 2 && opcode != 8 && opcode != 9 && opcode != 10)
      return fail(FrameError::opcode);
    const bool deflate = rules.reserved == FrameTracker::Reserved::first_of_message && (opcode == 1 || opcode == 2);
    if (reserved != 0 && rules.reserved != FrameTracker::Reserved::any && !(deflate && reserved == 0x40))
      return fail(FrameError::reserved_bits);
    if (rules.sender == FrameTracker::Sender::client && !masked) return fail(FrameError::mask);
    if (rules.sender == FrameTracker::Sender::server && masked) return fail(FrameError::mask);
    if ((more == 2 && length < 126) || (more == 8 && (length < 65536 || length > INT64_MAX)))
      return fail(FrameError::length);
    if (opcode >= 8) {
      if (!fin) return fail(FrameError::control_fragmented);
      if (length > 125 || (opcode == 8 && length == 1)) return fail(FrameError::control_length);
      if (opcode == 8) out.close = true;
    } else {
      if (opcode == 0 && !out.in_message) return fail(FrameError::continuation);
      if (opcode != 0 && out.in_message) return fail(FrameError::message_interrupted);
      if (opcode != 0) message = 0;
      if (length > rules.max_message || message > rules.max_message - length) return fail(FrameError::message_too_big);
      message += length;
      out.in_message = !fin;
      if (fin) out.messages.push_back(at + header);
    }
    if (opcode == 8 && length >= 2 && text.size() - at - header >= 2) {
      const auto plain = [&](std::size_t i) { return byte(at + header + i) ^ (masked ? byte(at + 2 + more + i) : 0); };
      out.code = static_cast<std::uint16_t>(plain(0) << 8 | plain(1));
    }
    if (length > text.size() - at - header) {
      out.good = text.size();
      return out;
    }
    at += header + static_cast<std::size_t>(length);
  }
}

}  // namespace understudy::exchange::oracle
