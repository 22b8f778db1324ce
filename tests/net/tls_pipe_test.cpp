// Ciphertext in pooled blocks, without any TLS.
#include "proxy/net/tls_pipe.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/support/tls_peers.hpp"

namespace understudy::net {
namespace {

using namespace understudy::test;  // NOLINT: test vocabulary

std::string bytes(std::size_t size, unsigned seed) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 1664525u + 1013904223u) >> 24);
  return text;
}

std::string drain(const Fd& fd) {
  std::string all;
  std::array<char, 65536> buffer;
  for (ssize_t n = 0; (n = ::recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0;)
    all.append(buffer.data(), static_cast<std::size_t>(n));
  return all;
}

TEST(CipherPipe, OutputKeepsItsOrderThroughShortSends) {
  BlockPool pool;
  CipherPipe pipe(pool);
  auto [a, b] = socket_pair(4096);
  EdgeSocket socket(std::move(a));
  std::string expected, arrived;
  for (unsigned i = 0; i < 400; ++i) {
    const std::string piece = bytes(1 + i * 37 % 20000, i);
    while (!pipe.write(piece.data(), piece.size())) FAIL() << "full at " << pipe.pending();
    expected += piece;
    while (pipe.pending() > 300'000) {  // so that the ring of blocks goes round many times
      EXPECT_NE(pipe.flush(socket.poll()).status, Io::error);
      arrived += drain(b);
    }
  }
  ASSERT_TRUE(run({[&] {
    const bool all = pipe.flush(socket.poll()).status == Io::ok;
    arrived += drain(b);
    return all;
  }}));
  EXPECT_TRUE(arrived == expected);
  EXPECT_EQ(pipe.sent(), expected.size());
  EXPECT_EQ(pipe.appended(), expected.size());
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST(CipherPipe, SeveralBlocksLeaveInOneSend) {
  BlockPool pool;
  CipherPipe pipe(pool);
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
            0);  // keeps sends apart
  const Fd reader(fds[1]);
  EdgeSocket socket{Fd(fds[0])};
  const std::string piece = bytes(16384, 1);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(pipe.write(piece.data(), piece.size()));
  EXPECT_EQ(pool.outstanding(), 2u);
  EXPECT_EQ(pipe.flush(socket.poll()).status, Io::ok);
  std::string first(1 << 20, '\0');
  EXPECT_EQ(::recv(reader.get(), first.data(), first.size(), 0), static_cast<ssize_t>(6 * piece.size()));
}

TEST(CipherPipe, OutputThatNobodyTakesEndsAtTheLastBlock) {
  BlockPool pool;
  CipherPipe pipe(pool);
  const std::string piece(10'000, 'x');
  std::size_t written = 0;
  while (pipe.write(piece.data(), piece.size())) written += piece.size();
  EXPECT_TRUE(pipe.exhausted());
  EXPECT_EQ(pool.outstanding(), CipherPipe::kMaxBlocks);
  EXPECT_GT(written, CipherPipe::kMaxBlocks * kBlockSize - piece.size());
  EXPECT_EQ(pipe.pending(), written) << "what did not fit was not half taken";
  pipe.drop_output();
  EXPECT_EQ(pool.outstanding(), 0u);
  EXPECT_EQ(pipe.pending(), 0u);
}

TEST(CipherPipe, InputIsReceivedOnceAndItsBlockGivenBackWithTheLastByte) {
  BlockPool pool;
  CipherPipe pipe(pool);
  auto [a, b] = socket_pair();
  EdgeSocket socket(std::move(a));
  const std::string sent = bytes(5000, 3);
  std::array<char, 6000> buffer;
  EXPECT_EQ(pipe.read(buffer.data(), 10), 0u) << "nothing attached";
  ASSERT_EQ(::send(b.get(), sent.data(), sent.size(), 0), 5000);
  {
    const CipherPipe::Attach attach(pipe, socket.poll());
    EXPECT_EQ(pipe.read(buffer.data(), 10), 10u);
    EXPECT_EQ(pool.outstanding(), 1u);
    EXPECT_EQ(pipe.received(), 5000u);
  }
  EXPECT_TRUE(pipe.has_input());
  EXPECT_EQ(pipe.read(buffer.data() + 10, 6000), 4990u) << "what is at hand needs no transport";
  EXPECT_EQ(std::string(buffer.data(), 5000), sent);
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST(CipherPipe, HeldOrUnreadyTransportsAreNotAsked) {
  BlockPool pool;
  CipherPipe pipe(pool);
  auto [a, b] = socket_pair();
  EdgeSocket socket(std::move(a));
  ASSERT_EQ(::send(b.get(), "abc", 3, 0), 3);
  char buffer[8];
  {
    const CipherPipe::Attach attach(pipe, socket.transport());  // readiness not yet polled
    EXPECT_EQ(pipe.read(buffer, 8), 0u);
  }
  {
    const CipherPipe::Attach attach(pipe, socket.poll());
    pipe.hold();
    EXPECT_EQ(pipe.read(buffer, 8), 0u);
    EXPECT_TRUE(socket.transport().readable) << "the bytes still wait, and the caller can see that";
  }
  {
    const CipherPipe::Attach attach(pipe, socket.transport());
    EXPECT_EQ(pipe.read(buffer, 8), 3u);
    pipe.stop();
  }
  ASSERT_EQ(::send(b.get(), "def", 3, 0), 3);
  const CipherPipe::Attach attach(pipe, socket.poll());
  EXPECT_EQ(pipe.read(buffer, 8), 0u) << "stopped for good";
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST(CipherPipe, ASendErrorDropsTheOutputAndStays) {
  BlockPool pool;
  CipherPipe pipe(pool);
  auto [a, b] = socket_pair();
  EdgeSocket socket(std::move(a));
  b.close();
  ASSERT_TRUE(pipe.write("abc", 3));
  EXPECT_EQ(pipe.flush(socket.poll()).error, EPIPE);
  EXPECT_EQ(pipe.pending(), 0u);
  EXPECT_TRUE(pipe.write("def", 3)) << "OpenSSL need not know";
  EXPECT_EQ(pipe.flush(socket.poll()).error, EPIPE);
  EXPECT_EQ(pipe.sent(), 0u);
  EXPECT_EQ(pool.outstanding(), 0u);
}

}  // namespace
}  // namespace understudy::net
