// The bytes that every body consists of: a body of N bytes is the first N of them, so that both sides can check each byte.
#pragma once

#include <cstddef>

namespace bench {

inline constexpr std::size_t kPatternBytes = 4 * 1024 * 1024;
const char* pattern();
// Whether these bytes stand at `offset` of the pattern.
bool matches_pattern(std::size_t offset, const char* data, std::size_t size);

}  // namespace bench
