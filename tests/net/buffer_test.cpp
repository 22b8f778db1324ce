#include "proxy/net/buffer.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace understudy::net {
namespace {

TEST(BlockPool, CountsWhatIsOutAndKeepsWhatComesBack) {
  BlockPool pool(2);
  EXPECT_EQ(pool.outstanding(), 0u);
  {
    const BlockRef a = pool.take(), b = pool.take(), c = pool.take();
    EXPECT_EQ(pool.outstanding(), 3u);
    EXPECT_EQ(pool.free_blocks(), 0u);
  }
  EXPECT_EQ(pool.outstanding(), 0u);
  EXPECT_EQ(pool.free_blocks(), 2u) << "the third goes back to the system";
}

TEST(BlockPool, GivesTheBlockThatWasUsedLast) {
  BlockPool pool;
  BlockRef a = pool.take(), b = pool.take();
  Block* const first = a.get();
  Block* const last = b.get();
  a.reset();
  b.reset();
  EXPECT_EQ(pool.take().get(), last);
  const BlockRef again = pool.take();
  EXPECT_EQ(again.get(), last);
  EXPECT_EQ(pool.take().get(), first);
}

TEST(BlockPool, ABlockReturnsWithItsLastReference) {
  BlockPool pool;
  BlockRef a = pool.take();
  BlockRef b = a;
  BlockRef c = std::move(a);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): a moved reference is empty
  b = BlockRef();
  EXPECT_EQ(pool.outstanding(), 1u);
  c = c;
  EXPECT_EQ(pool.outstanding(), 1u);
  c.reset();
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST(BlockPool, EveryByteOfABlockCanBeUsed) {
  BlockPool pool;
  const BlockRef a = pool.take(), b = pool.take();
  std::memset(a.data(), 'a', kBlockSize);
  std::memset(b.data(), 'b', kBlockSize);
  EXPECT_EQ(a.data()[0], 'a');
  EXPECT_EQ(a.data()[kBlockSize - 1], 'a');
  EXPECT_EQ(b.data()[0], 'b');
  EXPECT_GE(kBlockSize, kReadSize);
}

TEST(BlockPool, TrimKeepsOnlySoMany) {
  BlockPool pool(10);
  {
    std::vector<BlockRef> held;
    for (int i = 0; i < 10; ++i) held.push_back(pool.take());
  }
  EXPECT_EQ(pool.free_blocks(), 10u);
  pool.trim(3);
  EXPECT_EQ(pool.free_blocks(), 3u);
  pool.trim(5);
  EXPECT_EQ(pool.free_blocks(), 3u);
  pool.trim(0);
  EXPECT_EQ(pool.free_blocks(), 0u);
  EXPECT_TRUE(pool.take()) << "a trimmed pool still gives";
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

TEST(BlockPool, WhatIsNotKeptLeavesTheProcess) {
  BlockPool pool(4);
  const std::size_t before = resident_bytes();
  std::vector<BlockRef> held;
  for (int i = 0; i < 500; ++i) {
    held.push_back(pool.take());
    std::memset(held.back().data(), i, kBlockSize);
  }
  const std::size_t peak = resident_bytes();
  held.clear();
  const std::size_t after = resident_bytes();
  EXPECT_GT(peak, before + 400 * kBlockSize);
  EXPECT_LT(after, before + 40 * kBlockSize);
}
#endif

}  // namespace
}  // namespace understudy::net
