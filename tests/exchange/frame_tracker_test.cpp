#include "proxy/exchange/frame_tracker.hpp"

#include <gtest/gtest.h>

#include <string>

namespace understudy::exchange {
namespace {

std::string frame(int opcode, std::size_t size, bool masked) {
  std::string out(1, static_cast<char>(0x80 | opcode));
  const int mask = masked ? 0x80 : 0;
  if (size < 126) {
    out += static_cast<char>(mask | static_cast<int>(size));
  } else if (size < 65536) {
    out += static_cast<char>(mask | 126);
    out += static_cast<char>(size >> 8);
    out += static_cast<char>(size & 0xFF);
  } else {
    out += static_cast<char>(mask | 127);
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>((size >> shift) & 0xFF);
  }
  if (masked) out += "mask";
  return out + std::string(size, 'x');
}

TEST(FrameTracker, KnowsEveryBoundaryWhateverTheCutAndTheLength) {
  for (const std::size_t size : {0U, 1U, 125U, 126U, 127U, 65535U, 65536U, 70000U}) {
    for (const bool masked : {false, true}) {
      const std::string bytes = frame(2, size, masked);
      for (const std::size_t step : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
        FrameTracker tracker;
        EXPECT_TRUE(tracker.at_boundary());
        for (std::size_t at = 0; at < bytes.size(); at += step) {
          const std::size_t n = std::min(step, bytes.size() - at);
          tracker.feed(bytes.data() + at, n);
          ASSERT_EQ(tracker.at_boundary(), at + n == bytes.size()) << size << " masked " << masked << " at " << at;
        }
        EXPECT_FALSE(tracker.close_seen());
      }
    }
  }
}

TEST(FrameTracker, SeesACloseAmongOtherFrames) {
  FrameTracker tracker;
  const std::string bytes = frame(1, 10, true) + frame(9, 4, true) + frame(8, 2, true);
  tracker.feed(bytes.data(), bytes.size());
  EXPECT_TRUE(tracker.at_boundary());
  EXPECT_TRUE(tracker.close_seen());
}

}  // namespace
}  // namespace understudy::exchange
