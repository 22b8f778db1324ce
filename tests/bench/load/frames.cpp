#include "tests/bench/load/frames.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <cstdint>
#include <cstring>

namespace bench {

Frame read_frame(const char* data, std::size_t size) {
  Frame frame;
  if (size < 2) return frame;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(data[i]); };
  frame.opcode = byte(0) & 0x0F;
  frame.masked = (byte(1) & 0x80) != 0;
  std::size_t head = 2, payload = byte(1) & 0x7F;
  if (payload == 127) return Frame{};  // never sent by us: never complete, so the run reports it as a stall
  if (payload == 126) {
    head = 4;
    if (size < head) return Frame{};
    payload = static_cast<std::size_t>(byte(2)) << 8 | byte(3);
  }
  if (frame.masked) {
    if (size < head + 4) return Frame{};
    std::memcpy(frame.key, data + head, 4);
    head += 4;
  }
  frame.head = head;
  frame.payload = payload;
  return frame;
}

std::string client_frame(const char* payload, std::size_t size) {
  static constexpr char kKey[4] = {0x37, static_cast<char>(0xFA), 0x21, 0x3D};
  std::string out(1, static_cast<char>(0x82));
  if (size < 126) {
    out += static_cast<char>(0x80 | size);
  } else {
    out += static_cast<char>(0xFE);
    out += static_cast<char>(size >> 8);
    out += static_cast<char>(size & 0xFF);
  }
  out.append(kKey, 4);
  const std::size_t start = out.size();
  out.resize(start + size);
  unmask(out.data() + start, payload, size, kKey);
  return out;
}

std::size_t server_head(char* out, unsigned opcode, std::size_t payload) {
  out[0] = static_cast<char>(0x80 | opcode);
  if (payload < 126) {
    out[1] = static_cast<char>(payload);
    return 2;
  }
  out[1] = 126;
  out[2] = static_cast<char>(payload >> 8);
  out[3] = static_cast<char>(payload & 0xFF);
  return 4;
}

void unmask(char* out, const char* in, std::size_t size, const char key[4]) {
  std::uint64_t wide = 0;
  std::memcpy(&wide, key, 4);
  wide |= wide << 32;
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, in + i, 8);
    word ^= wide;
    std::memcpy(out + i, &word, 8);
  }
  for (; i < size; ++i) out[i] = static_cast<char>(in[i] ^ key[i & 3]);
}

std::string accept_of(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char digest[SHA_DIGEST_LENGTH];
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  char out[64];
  const int size = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out), digest, sizeof digest);
  return std::string(out, static_cast<std::size_t>(size));
}

}  // namespace bench
