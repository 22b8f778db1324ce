// As much of RFC 6455 as an echo needs: binary frames of one piece, sizes below 64 KiB.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bench {

struct Frame {
  std::size_t head = 0;     // bytes before the payload; 0 while the head is not complete
  std::size_t payload = 0;  // bytes
  unsigned opcode = 0;
  bool masked = false;
  char key[4] = {};
  std::size_t whole() const { return head + payload; }
};

Frame read_frame(const char* data, std::size_t size);
// A masked frame as clients send it.
std::string client_frame(const char* payload, std::size_t size);
// Writes the head of an unmasked frame; returns its length (at most 4).
std::size_t server_head(char* out, unsigned opcode, std::size_t payload);
void unmask(char* out, const char* in, std::size_t size, const char key[4]);
// The answer to a Sec-WebSocket-Key.
std::string accept_of(std::string_view key);

}  // namespace bench
