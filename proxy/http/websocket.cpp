#include "proxy/http/websocket.hpp"

#include <array>
#include <cstdint>
#include <cstring>

#include "proxy/http/chars.hpp"
#include "proxy/http/writer.hpp"

namespace understudy::http {

namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::uint32_t rotate(std::uint32_t x, int n) { return x << n | x >> (32 - n); }

// SHA-1 (FIPS 180-4) over one 64-byte block.
void sha1_block(std::array<std::uint32_t, 5>& state, const std::uint8_t* block) {
  std::array<std::uint32_t, 80> w{};
  for (std::size_t i = 0; i < 16; ++i) {
    w[i] = std::uint32_t{block[4 * i]} << 24 | std::uint32_t{block[4 * i + 1]} << 16 |
           std::uint32_t{block[4 * i + 2]} << 8 | block[4 * i + 3];
  }
  for (std::size_t i = 16; i < 80; ++i) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  std::uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
  for (std::size_t i = 0; i < 80; ++i) {
    std::uint32_t f = 0, k = 0;
    if (i < 20) {
      f = (b & c) | (~b & d);
      k = 0x5a827999;
    } else if (i < 40) {
      f = b ^ c ^ d;
      k = 0x6ed9eba1;
    } else if (i < 60) {
      f = (b & c) | (b & d) | (c & d);
      k = 0x8f1bbcdc;
    } else {
      f = b ^ c ^ d;
      k = 0xca62c1d6;
    }
    const std::uint32_t t = rotate(a, 5) + f + e + k + w[i];
    e = d;
    d = c;
    c = rotate(b, 30);
    b = a;
    a = t;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
}

std::array<std::uint8_t, 20> sha1(std::string_view text) {
  std::array<std::uint32_t, 5> state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  const std::uint64_t bits = std::uint64_t{text.size()} * 8;
  std::array<std::uint8_t, 64> block{};
  while (text.size() >= block.size()) {
    std::memcpy(block.data(), text.data(), block.size());
    sha1_block(state, block.data());
    text.remove_prefix(block.size());
  }
  block.fill(0);
  if (!text.empty()) std::memcpy(block.data(), text.data(), text.size());
  block[text.size()] = 0x80;
  if (text.size() >= 56) {
    sha1_block(state, block.data());
    block.fill(0);
  }
  for (std::size_t i = 0; i < 8; ++i) block[56 + i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
  sha1_block(state, block.data());
  std::array<std::uint8_t, 20> digest{};
  for (std::size_t i = 0; i < digest.size(); ++i)
    digest[i] = static_cast<std::uint8_t>(state[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

}  // namespace

void websocket_accept(char out[28], std::string_view key) {
  static constexpr std::string_view guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<char, 128> text{};
  const std::size_t n = key.size() < text.size() - guid.size() ? key.size() : text.size() - guid.size();
  if (n > 0) std::memcpy(text.data(), key.data(), n);
  std::memcpy(text.data() + n, guid.data(), guid.size());
  const auto digest = sha1({text.data(), n + guid.size()});
  // 20 bytes are six groups of three and one of two.
  for (std::size_t i = 0; i < 7; ++i) {
    const std::uint32_t third = 3 * i + 2 < digest.size() ? digest[3 * i + 2] : 0;
    const std::uint32_t group = std::uint32_t{digest[3 * i]} << 16 | std::uint32_t{digest[3 * i + 1]} << 8 | third;
    for (std::size_t k = 0; k < 4; ++k) out[4 * i + k] = kBase64[group >> (18 - 6 * k) & 63];
  }
  out[27] = '=';
}

bool valid_websocket_key(std::string_view key) {
  if (key.size() != 24 || key[22] != '=' || key[23] != '=') return false;
  for (std::size_t i = 0; i < 22; ++i) {
    const auto v = kBase64.find(key[i]);
    if (v == std::string_view::npos) return false;
    // The last character carries two bits of the sixteenth byte; the other four must be zero.
    if (i == 21 && (v & 15) != 0) return false;
  }
  return true;
}

bool websocket_answer_valid(const ResponseHead& response, const char* response_base, std::string_view key,
                            std::string_view offered_protocols) {
  if (response.status != 101 || !response.upgrade_websocket) return false;
  std::array<char, 28> expected{};
  websocket_accept(expected.data(), key);
  std::string_view chosen;
  int accepts = 0;
  int protocols = 0;
  for (std::size_t i = 0; i < response.fields.count; ++i) {
    const Field& field = response.fields.list[i];
    if (field.id == Known::sec_websocket_accept) {
      ++accepts;
      if (field.value.in(response_base) != std::string_view(expected.data(), expected.size())) return false;
    } else if (field.id == Known::sec_websocket_protocol) {
      ++protocols;
      chosen = field.value.in(response_base);
    }
  }
  if (accepts != 1 || protocols > 1) return false;
  if (protocols == 0) return true;
  bool offered = false;
  chars::for_each_element(offered_protocols, [&](std::string_view one) {
    offered = one == chosen;  // case matters (RFC 6455 §4.1)
    return !offered;
  });
  return offered;
}

}  // namespace understudy::http
