#include "tests/bench/load/pattern.hpp"

#include <cstdint>
#include <cstring>
#include <vector>

namespace bench {

const char* pattern() {
  static const std::vector<char> bytes = [] {
    std::vector<char> out(kPatternBytes);
    std::uint64_t x = 0x9E3779B97F4A7C15;
    for (char& c : out) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
      c = static_cast<char>(x);
    }
    return out;
  }();
  return bytes.data();
}

bool matches_pattern(std::size_t offset, const char* data, std::size_t size) {
  return offset + size <= kPatternBytes && std::memcmp(pattern() + offset, data, size) == 0;
}

}  // namespace bench
