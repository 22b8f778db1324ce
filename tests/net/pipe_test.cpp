#include "proxy/net/pipe.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace understudy::net {
namespace {

std::string unsent(const Pipe& pipe) {
  iovec parts[32];
  const int n = pipe.gather(parts, 32);
  std::string out;
  for (int i = 0; i < n; ++i) out.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  return out;
}

TEST(Pipe, SendsInOrderAndGivesBlocksBackWhenTheyAreSent) {
  BlockPool pool;
  Pipe pipe;
  pipe.push_inline("5\r\n");
  pipe.push_copy(pool, "hello");
  pipe.push_inline("\r\n0\r\n\r\n");
  EXPECT_EQ(unsent(pipe), "5\r\nhello\r\n0\r\n\r\n");
  pipe.sent(5);
  EXPECT_EQ(unsent(pipe), "llo\r\n0\r\n\r\n");
  EXPECT_EQ(pool.outstanding(), 1U);
  pipe.sent(4);
  EXPECT_EQ(pool.outstanding(), 0U);
  pipe.sent(6);
  EXPECT_TRUE(pipe.drained());
}

TEST(Pipe, WhatIsRetainedCanBeSentAgainFromTheStart) {
  BlockPool pool;
  Pipe pipe;
  pipe.retain(true);
  pipe.push_copy(pool, "one");
  pipe.push_copy(pool, "two");
  pipe.sent(4);
  EXPECT_EQ(unsent(pipe), "wo");
  pipe.rewind();
  EXPECT_EQ(unsent(pipe), "onetwo");
  pipe.sent(3);
  pipe.retain(false);
  EXPECT_EQ(pool.outstanding(), 1U);
  EXPECT_EQ(unsent(pipe), "two");
}

TEST(Pipe, IsFullBeforeItsRingIs) {
  BlockPool pool;
  Pipe pipe;
  std::size_t pushed = 0;
  while (!pipe.full()) {
    pipe.push_inline("x");
    pipe.push_inline("y");
    pushed += 2;
  }
  EXPECT_LT(pushed, Pipe::kPieces + 1);
  pipe.sent(pushed);
  EXPECT_FALSE(pipe.full());
}

TEST(Inbox, NeverOverwritesBytesThatAPieceStillShows) {
  BlockPool pool;
  Inbox inbox;
  Pipe pipe;
  inbox.make_room(pool, 100);
  std::memcpy(inbox.block.data(), "first", 5);
  inbox.end = 5;
  pipe.push(inbox.block, inbox.data(), 5);
  inbox.consume(5);
  inbox.make_room(pool, kBlockSize);  // more than is left behind the piece
  std::memcpy(inbox.block.data() + inbox.end, "other", 5);
  EXPECT_EQ(unsent(pipe), "first");
  pipe.clear();
  inbox.drop();
  EXPECT_EQ(pool.outstanding(), 0U);
}

}  // namespace
}  // namespace understudy::net
