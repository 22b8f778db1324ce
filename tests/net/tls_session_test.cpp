// One TLS connection: handshakes in both roles, bytes both ways over unwilling transports, ends of every
// kind.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/support/tls_peers.hpp"

namespace understudy::net {
namespace {

using namespace understudy::test;  // NOLINT: test vocabulary

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

struct TlsSessionTest : ::testing::Test {
  TestFolder folder;
  TestAuthority authority;
  Issued issued = authority.issue({"server.test"});
  TicketKeys tickets;
  BlockPool pool;

  config::ListenTls listen() const {
    config::ListenTls settings;
    settings.certificates = {{folder.write("server.pem", issued.certificate), folder.write("server.key", issued.key)}};
    return settings;
  }
  config::UpstreamTls upstream() const {
    config::UpstreamTls settings;
    settings.ca = folder.write("ca.pem", authority.pem());
    return settings;
  }
  TlsServer server{listen(), "web", tickets.data()};
  TlsClient client{upstream()};

  std::unique_ptr<OurEnd> our_server(Fd fd) { return std::make_unique<OurEnd>(pool, server, std::move(fd)); }
  std::unique_ptr<OurEnd> our_client(Fd fd) {
    return std::make_unique<OurEnd>(pool, client, "server.test", std::move(fd));
  }
  std::pair<std::unique_ptr<OurEnd>, std::unique_ptr<OurEnd>> connected(std::pair<Fd, Fd> fds) {
    auto near = our_client(std::move(fds.first));
    auto far = our_server(std::move(fds.second));
    EXPECT_TRUE(shake(*near, *far));
    EXPECT_EQ(near->last.status, Io::ok) << near->session.why();
    EXPECT_EQ(far->last.status, Io::ok) << far->session.why();
    return {std::move(near), std::move(far)};
  }
};

// Sends all of `text`; a step for run().
struct Sender {
  OurEnd& end;
  std::string_view rest;
  bool operator()() {
    if (!rest.empty()) {
      const IoResult sent = end.write(rest);
      EXPECT_NE(sent.status, Io::error) << end.session.why();
      rest.remove_prefix(sent.bytes);
    }
    EXPECT_NE(end.flush().status, Io::error);
    return rest.empty() && !end.session.pending_output();
  }
};
// Receives until `size` bytes are there.
struct Receiver {
  OurEnd& end;
  std::size_t size;
  bool operator()() {
    while (end.received.size() < size) {
      const IoResult got = end.read();
      EXPECT_NE(got.status, Io::error) << end.session.why();
      if (got.status != Io::ok) break;
    }
    return end.received.size() >= size;
  }
};

TEST_F(TlsSessionTest, BothRolesShakeHandsWithEachOther) {
  auto [near, far] = connected(socket_pair());
  EXPECT_EQ(near->session.version(), "TLSv1.3");
  EXPECT_EQ(far->session.version(), "TLSv1.3");
  EXPECT_EQ(near->session.alpn(), "http/1.1");
  EXPECT_EQ(far->session.alpn(), "http/1.1");
  EXPECT_EQ(far->session.server_name(), "server.test");
  EXPECT_TRUE(near->session.handshake_done());
  EXPECT_FALSE(near->session.resumed());
  EXPECT_FALSE(near->session.verification_failed());
  EXPECT_FALSE(far->session.client_certificate_verified());
}

TEST_F(TlsSessionTest, HandshakesWithAPlainOpenSslPeerInEveryVersionAndRole) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const std::string name = version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3";
    {
      SCOPED_TRACE("our server, " + name);
      const PlainContext context = plain_client(version);
      auto [a, b] = socket_pair();
      PlainPeer peer(context.get(), std::move(a), false);
      const auto ours = our_server(std::move(b));
      ASSERT_TRUE(run({[&] { return peer.shake(); }, [&] { return ours->shake(); }}));
      EXPECT_EQ(ours->last.status, Io::ok) << ours->session.why();
      EXPECT_EQ(peer.failure(), 0);
      EXPECT_EQ(ours->session.version(), name);
      EXPECT_STREQ(SSL_get_cipher_name(peer.ssl()),
                   version == TLS1_2_VERSION ? "ECDHE-ECDSA-AES128-GCM-SHA256" : "TLS_AES_128_GCM_SHA256");
    }
    {
      SCOPED_TRACE("our client, " + name);
      const PlainContext context = plain_server(folder, issued, version);
      auto [a, b] = socket_pair();
      PlainPeer peer(context.get(), std::move(a), true);
      const auto ours = our_client(std::move(b));
      ASSERT_TRUE(run({[&] { return peer.shake(); }, [&] { return ours->shake(); }}));
      EXPECT_EQ(ours->last.status, Io::ok) << ours->session.why();
      EXPECT_EQ(peer.failure(), 0);
      EXPECT_EQ(ours->session.version(), name);
      ASSERT_EQ(ours->write("ping").bytes, 4u);
      std::string got;
      ASSERT_TRUE(run({[&] { return peer.read(got) != 0; }}));
      EXPECT_EQ(got, "ping");
    }
  }
}

TEST_F(TlsSessionTest, HandshakeRunsInsideReadAndWrite) {
  auto [a, b] = socket_pair();
  const auto near = our_client(std::move(a));
  const auto far = our_server(std::move(b));
  EXPECT_FALSE(far->session.started());
  std::size_t taken = 0;
  ASSERT_TRUE(run({[&] { return taken > 0 || (taken = near->write("hello").bytes) > 0; }, Receiver{*far, 5}}));
  EXPECT_EQ(far->received, "hello");
  EXPECT_TRUE(far->session.started());
}

TEST_F(TlsSessionTest, EveryByteMayArriveAlone) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const PlainContext context = plain_client(version);
    auto [a, relay_a] = socket_pair();
    auto [relay_b, b] = socket_pair();
    PlainPeer peer(context.get(), std::move(a), false);
    const auto ours = our_server(std::move(b));
    const auto one_byte = [](const Fd& from, const Fd& to) {
      char byte;
      if (::recv(from.get(), &byte, 1, 0) == 1) {
        EXPECT_EQ(::send(to.get(), &byte, 1, MSG_NOSIGNAL), 1);
      }
    };
    const auto relay = [&] {
      one_byte(relay_a, relay_b);
      one_byte(relay_b, relay_a);
      return true;
    };
    bool peer_done = false, ours_done = false;
    for (int i = 0; i < 100'000 && !(peer_done && ours_done); ++i) {
      peer_done = peer_done || peer.shake();
      ours_done = ours_done || ours->shake();
      relay();
      ASSERT_LE(pool.outstanding(), 1u);
    }
    ASSERT_TRUE(peer_done && ours_done);
    EXPECT_EQ(ours->last.status, Io::ok) << ours->session.why();
    ASSERT_EQ(peer.write("trickle"), 7);
    for (int i = 0; i < 10'000 && ours->received.size() < 7; ++i) {
      relay();
      ours->read();
    }
    EXPECT_EQ(ours->received, "trickle");
    EXPECT_EQ(pool.outstanding(), 0u);
  }
}

TEST_F(TlsSessionTest, AMebibyteEachWayThroughShortWrites) {
  auto [near, far] = connected(socket_pair(4096));
  const std::string up = pattern(1 << 20), down = pattern((1 << 20) + 17);
  ASSERT_TRUE(run({Sender{*near, up}, Sender{*far, down}, Receiver{*near, down.size()}, Receiver{*far, up.size()}}));
  EXPECT_TRUE(far->received == up);
  EXPECT_TRUE(near->received == down);
  EXPECT_EQ(pool.outstanding(), 0u) << "no block is held once all is drained";
}

TEST_F(TlsSessionTest, EchoesAMebibyteWithAPlainPeer) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const PlainContext context = plain_client(version);
    auto [a, b] = socket_pair(8192);
    PlainPeer peer(context.get(), std::move(a), false);
    const auto ours = our_server(std::move(b));
    ASSERT_TRUE(run({[&] { return peer.shake(); }, [&] { return ours->shake(); }}));
    const std::string sent = pattern(1 << 20);
    std::string_view to_send = sent;
    std::size_t echoed = 0;
    std::string back;
    const bool finished = run({[&] {
                                 if (!to_send.empty())
                                   to_send.remove_prefix(static_cast<std::size_t>(std::max(0, peer.write(to_send))));
                                 while (peer.read(back) > 0) {
                                 }
                                 return back.size() == sent.size();
                               },
                               [&] {
                                 ours->read();
                                 echoed += ours->write(std::string_view(ours->received).substr(echoed)).bytes;
                                 ours->flush();
                                 return back.size() == sent.size();
                               }});
    ASSERT_TRUE(finished);
    EXPECT_TRUE(back == sent);
    EXPECT_EQ(pool.outstanding(), 0u);
  }
}

TEST_F(TlsSessionTest, AnIdleSessionHoldsNoBlock) {
  std::vector<std::unique_ptr<OurEnd>> ends;
  for (int i = 0; i < 20; ++i) {
    auto [near, far] = connected(socket_pair());
    near->write("GET / HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(run({Receiver{*far, 18}}));
    far->write("HTTP/1.1 200 OK\r\n\r\n");
    ASSERT_TRUE(run({Receiver{*near, 19}}));
    EXPECT_EQ(far->read().status, Io::again);
    EXPECT_EQ(near->read().status, Io::again);
    EXPECT_FALSE(near->session.buffered_input());
    EXPECT_FALSE(near->session.pending_output());
    ends.push_back(std::move(near));
    ends.push_back(std::move(far));
  }
  EXPECT_EQ(pool.outstanding(), 0u);
  EXPECT_LE(pool.free_blocks(), 4u) << "all sessions take turns with the same few";
}

TEST_F(TlsSessionTest, OneReceiveServesSeveralRecords) {
  auto [near, far] = connected(socket_pair());
  EXPECT_EQ(far->read().status, Io::again);
  for (const char* word : {"one ", "two ", "three"}) near->write(word);
  char buffer[4];
  EXPECT_EQ(far->session.read(far->socket.poll(), buffer, 4).bytes, 4u);
  EXPECT_TRUE(far->session.buffered_input()) << "the other records came with the same recv";
  EXPECT_EQ(pool.outstanding(), 1u);
  far->socket.transport().readable = false;  // no recv from here on
  EXPECT_EQ(far->read().bytes, 9u);
  EXPECT_EQ(far->received, "two three");
  EXPECT_FALSE(far->session.buffered_input());
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST_F(TlsSessionTest, HeadAndBodyMakeOneRecordAndOneSend) {
  auto fds = tcp_pair();
  auto [near, far] = connected(std::move(fds));
  EXPECT_EQ(near->read().status, Io::again);  // the ticket
  std::string head = "HTTP/1.1 200 OK\r\n\r\n", body = "hello", rest(1000, 'x');
  const std::array<iovec, 5> parts{
      {{head.data(), head.size()}, {nullptr, 0}, {body.data(), body.size()}, {rest.data(), rest.size()}, {nullptr, 0}}};
  const IoResult sent = far->session.write(far->socket.poll(), parts.data(), parts.size());
  EXPECT_EQ(sent.bytes, head.size() + body.size() + rest.size());
  std::array<char, 4000> wire;
  ssize_t n = -1;
  ASSERT_TRUE(run({[&] { return (n = ::recv(near->socket.fd().get(), wire.data(), wire.size(), MSG_PEEK)) > 0; }}));
  // 5 bytes of record header, 1 of content type, 16 of tag.
  EXPECT_EQ(n, static_cast<ssize_t>(sent.bytes + 22));
  ASSERT_TRUE(run({Receiver{*near, sent.bytes}}));
  EXPECT_EQ(near->received, head + body + rest);
}

TEST_F(TlsSessionTest, LargeAndSmallPartsKeepTheirOrder) {
  auto [near, far] = connected(socket_pair());
  std::vector<std::string> texts{"a", pattern(40'000), "", "bc", pattern(16'384), pattern(16'383), "d", pattern(1)};
  std::vector<iovec> parts;
  std::string whole;
  for (std::string& text : texts) {
    parts.push_back({text.data(), text.size()});
    whole += text;
  }
  const IoResult sent = near->session.write(near->socket.poll(), parts.data(), static_cast<int>(parts.size()));
  EXPECT_EQ(sent.bytes, whole.size());
  ASSERT_TRUE(run({Receiver{*far, whole.size()}, [&] { return near->flush().status == Io::ok; }}));
  EXPECT_TRUE(far->received == whole);
}

TEST_F(TlsSessionTest, WritingNothingIsNoError) {
  auto [near, far] = connected(socket_pair());
  const iovec empty{nullptr, 0};
  EXPECT_EQ(near->session.write(near->socket.poll(), &empty, 1).status, Io::ok);
  EXPECT_EQ(near->session.write(near->socket.poll(), nullptr, 0).status, Io::ok);
  EXPECT_FALSE(near->session.application_data_sent());
}

TEST_F(TlsSessionTest, WriteStopsAt256KiBOfCiphertextThatNobodyReads) {
  auto [near, far] = connected(socket_pair(4096));
  const std::string body = pattern(2 << 20);
  std::string_view rest = body;
  for (int i = 0; i < 100; ++i) rest.remove_prefix(near->write(rest).bytes);
  EXPECT_TRUE(near->session.pending_output());
  const std::size_t taken = body.size() - rest.size();
  EXPECT_GE(taken, 250u * 1024);
  EXPECT_LE(taken, 330u * 1024);
  EXPECT_EQ(near->write(rest).status, Io::again);
  EXPECT_LE(pool.outstanding(), 5u);
  ASSERT_TRUE(run({Sender{*near, rest}, Receiver{*far, body.size()}}));
  EXPECT_TRUE(far->received == body);
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST_F(TlsSessionTest, KnowsWhetherAnApplicationByteLeft) {
  auto [near, far] = connected(socket_pair(4096));
  EXPECT_FALSE(near->session.application_data_sent()) << "the handshake does not count";
  near->socket.poll().writable = false;
  const std::string text = "POST";
  const iovec part{const_cast<char*>(text.data()), text.size()};
  EXPECT_EQ(near->session.write(near->socket.transport(), &part, 1).bytes, 4u);
  EXPECT_TRUE(near->session.pending_output());
  EXPECT_FALSE(near->session.application_data_sent()) << "encrypted, but still here";
  near->socket.transport().writable = true;
  EXPECT_EQ(near->flush().status, Io::ok);
  EXPECT_TRUE(near->session.application_data_sent());
}

TEST_F(TlsSessionTest, PeekSeesDataWithoutTakingThem) {
  auto [near, far] = connected(socket_pair());
  EXPECT_EQ(far->peek().status, Io::again);
  EXPECT_EQ(pool.outstanding(), 0u);
  near->write("next");
  EXPECT_EQ(far->peek().status, Io::ok);
  EXPECT_EQ(far->peek().status, Io::ok);
  EXPECT_TRUE(far->session.buffered_input());
  EXPECT_EQ(far->read().bytes, 4u);
  EXPECT_EQ(far->received, "next");
  EXPECT_EQ(far->peek().status, Io::again);
}

TEST_F(TlsSessionTest, TicketsAndKeyUpdatesAreNoData) {
  auto [near, far] = connected(socket_pair());
  // The server's ticket lies in the client's socket.
  EXPECT_TRUE(near->socket.poll().readable);
  EXPECT_EQ(near->peek().status, Io::again);
  EXPECT_EQ(near->read().status, Io::again);

  const PlainContext context = plain_client(TLS1_3_VERSION);
  auto [a, b] = socket_pair();
  PlainPeer peer(context.get(), std::move(a), false);
  const auto ours = our_server(std::move(b));
  ASSERT_TRUE(run({[&] { return peer.shake(); }, [&] { return ours->shake(); }}));
  ASSERT_EQ(SSL_key_update(peer.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
  ASSERT_EQ(SSL_do_handshake(peer.ssl()), 1);
  EXPECT_EQ(ours->peek().status, Io::again);
  EXPECT_EQ(ours->read().status, Io::again);
  EXPECT_EQ(pool.outstanding(), 0u);
  ASSERT_EQ(peer.write("after"), 5);
  EXPECT_EQ(ours->read().bytes, 5u);
  EXPECT_EQ(ours->write("answer").bytes, 6u);
  std::string got;
  EXPECT_EQ(peer.read(got), 6) << "our answer to the update and the data go under the new key";
  EXPECT_FALSE(ours->session.key_update_flood());
}

TEST_F(TlsSessionTest, CloseNotifyIsAnOrderlyEndAfterTheLastByte) {
  auto [near, far] = connected(socket_pair());
  near->write("bye");
  near->session.send_close_notify(near->socket.poll());
  EXPECT_EQ(far->read().bytes, 3u);
  EXPECT_TRUE(far->session.buffered_input()) << "the end is still to be told";
  EXPECT_EQ(far->read().status, Io::eof);
  EXPECT_EQ(far->read().status, Io::eof);
  EXPECT_EQ(far->peek().status, Io::eof);
  EXPECT_FALSE(far->session.buffered_input());
  EXPECT_FALSE(far->session.truncated());
  EXPECT_EQ(far->write("answer").bytes, 6u) << "only the peer's direction has ended";
  EXPECT_EQ(near->read().bytes, 6u);
  EXPECT_EQ(near->write("more").status, Io::error) << "ours has ended";
}

TEST_F(TlsSessionTest, PeekTellsCloseNotifyFinAndReset) {
  {
    auto [near, far] = connected(tcp_pair());
    near->session.send_close_notify(near->socket.poll());
    EXPECT_EQ(far->peek().status, Io::eof);
    EXPECT_FALSE(far->session.truncated());
  }
  {
    auto [near, far] = connected(tcp_pair());
    EXPECT_EQ(near->read().status, Io::again);  // takes the ticket, so that close() sends FIN
    near->socket.fd().close();
    EXPECT_EQ(far->peek().status, Io::eof);
    EXPECT_TRUE(far->session.truncated());
  }
  {
    auto [near, far] = connected(tcp_pair());
    reset(near->socket.fd());
    EXPECT_EQ(far->peek().status, Io::error);
    EXPECT_EQ(far->last.error, ECONNRESET);
    EXPECT_EQ(far->session.why(), "Connection reset by peer");
  }
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST_F(TlsSessionTest, FinWithoutCloseNotifyIsAnEndAndRemembered) {
  auto [near, far] = connected(tcp_pair());
  EXPECT_EQ(near->read().status, Io::again);
  near->write("half");
  ::shutdown(near->socket.fd().get(), SHUT_WR);
  ASSERT_TRUE(run({[&] { return far->read().status == Io::eof; }}));
  EXPECT_EQ(far->received, "half");
  EXPECT_TRUE(far->session.truncated());
  EXPECT_EQ(far->write("whole answer").bytes, 12u) << "a half-closed peer can still be answered";
  EXPECT_EQ(near->read().bytes, 12u);
}

TEST_F(TlsSessionTest, ResetIsAnErrorThatStays) {
  auto [near, far] = connected(tcp_pair());
  reset(near->socket.fd());
  EXPECT_EQ(far->read().status, Io::error);
  EXPECT_EQ(far->last.error, ECONNRESET);
  EXPECT_EQ(far->read().status, Io::error);
  EXPECT_EQ(far->write("x").status, Io::error);
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST_F(TlsSessionTest, AFailedWriteLeavesWhatThePeerSaidBeforeReadable) {
  auto [near, far] = connected(socket_pair());
  EXPECT_EQ(near->read().status, Io::again);
  far->write("early answer");
  far->socket.fd().close();
  const std::string body = pattern(100'000);
  IoResult sent;
  for (int i = 0; i < 3; ++i) sent = near->write(body);
  EXPECT_EQ(sent.status, Io::error);
  EXPECT_EQ(sent.error, EPIPE) << "and no SIGPIPE ended this test";
  EXPECT_EQ(near->read().bytes, 12u);
  EXPECT_EQ(near->received, "early answer");
  EXPECT_EQ(near->read().status, Io::eof);
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST_F(TlsSessionTest, PeerThatLeavesDuringTheHandshakeIsAnError) {
  for (const bool with_reset : {false, true}) {
    auto [a, b] = tcp_pair();
    const auto ours = our_server(std::move(b));
    EXPECT_EQ(ours->session.handshake(ours->socket.poll()).status, Io::again);
    with_reset ? reset(a) : a.close();
    ASSERT_TRUE(run({[&] { return ours->shake(); }}));
    EXPECT_EQ(ours->last.status, Io::error);
    EXPECT_EQ(ours->last.error, with_reset ? ECONNRESET : EPROTO);
    EXPECT_EQ(ours->session.why(), with_reset ? "Connection reset by peer during the TLS handshake"
                                              : "the peer closed the connection during the TLS handshake");
    EXPECT_FALSE(ours->session.started());
  }
}

TEST_F(TlsSessionTest, GarbageInsteadOfAHelloIsAnErrorInWords) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "TLS handshake failed: the client speaks plain HTTP to a TLS port"},
      {std::string(200, '\xff'), ""},
      {std::string(200, '\0'), ""},
      {std::string("\x16\x03\x01\x40\x00", 5) + std::string(0x4000, 'x'), ""},
      {std::string("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10), ""},
      {std::string("\x15\x03\x01\x00\x02\x02\x28", 7), "TLS handshake failed: unexpected message"},
      {"SSH-2.0-OpenSSH_9.2\r\n", ""},
  };
  for (const auto& [bytes, words] : cases) {
    auto [a, b] = socket_pair();
    const auto ours = our_server(std::move(b));
    ASSERT_EQ(::send(a.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    ::shutdown(a.get(), SHUT_WR);
    ASSERT_TRUE(run({[&] { return ours->shake(); }}));
    EXPECT_EQ(ours->last.status, Io::error);
    EXPECT_EQ(ours->last.error, EPROTO);
    EXPECT_NE(ours->session.why(), "");
    if (!words.empty()) {
      EXPECT_EQ(ours->session.why(), words);
    }
    EXPECT_TRUE(ours->session.started());
    EXPECT_FALSE(ours->session.handshake_done());
    char byte;
    EXPECT_EQ(ours->session.read(ours->socket.poll(), &byte, 1).status, Io::error);
    EXPECT_EQ(ours->peek().status, Io::error);
    EXPECT_EQ(ours->write("x").status, Io::error);
    ours->session.send_close_notify(ours->socket.poll());
  }
  EXPECT_EQ(pool.outstanding(), 0u);
}

// A ClientHello as a real client sends it.
std::string client_hello(int version) {
  const PlainContext context = plain_client(version);
  auto [a, b] = socket_pair();
  PlainPeer peer(context.get(), std::move(a), false);
  SSL_set_tlsext_host_name(peer.ssl(), "server.test");
  EXPECT_FALSE(peer.shake());
  std::string bytes(4096, '\0');
  const ssize_t n = ::recv(b.get(), bytes.data(), bytes.size(), 0);
  EXPECT_GT(n, 100);
  bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return bytes;
}

TEST_F(TlsSessionTest, ADamagedOrCutHelloNeverHurts) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const std::string hello = client_hello(version);
    const auto offer = [&](const std::string& bytes) {
      auto [a, b] = socket_pair();
      const auto ours = our_server(std::move(b));
      ASSERT_EQ(::send(a.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
      const bool answered = !ours->shake();  // a hello with another random is as good as the first
      ::shutdown(a.get(), SHUT_WR);
      ASSERT_TRUE(run({[&] { return ours->shake(); }}));
      EXPECT_EQ(ours->last.status, Io::error) << "answered: " << answered;
      EXPECT_NE(ours->session.why(), "");
      EXPECT_FALSE(ours->session.handshake_done());
    };
    for (std::size_t i = 0; i < hello.size(); ++i) {
      std::string damaged = hello;
      damaged[i] = static_cast<char>(damaged[i] ^ (i % 2 == 0 ? 0xff : 0x01));
      offer(damaged);
    }
    for (std::size_t size = 1; size < hello.size(); size += 7) offer(hello.substr(0, size));
    offer(hello + hello);
  }
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST_F(TlsSessionTest, AnUpstreamWithoutTlsIsNamed) {
  auto [a, b] = socket_pair();
  const auto ours = our_client(std::move(b));
  EXPECT_FALSE(ours->shake());
  const std::string answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
  ASSERT_EQ(::send(a.get(), answer.data(), answer.size(), MSG_NOSIGNAL), static_cast<ssize_t>(answer.size()));
  ASSERT_TRUE(run({[&] { return ours->shake(); }}));
  EXPECT_EQ(ours->session.why(), "TLS handshake failed: the endpoint does not speak TLS");
}

TEST_F(TlsSessionTest, AlteredCiphertextEndsTheSession) {
  auto [near, far] = connected(socket_pair());
  near->write("genuine");
  std::array<char, 200> wire;
  const ssize_t n = ::recv(far->socket.fd().get(), wire.data(), wire.size(), 0);
  ASSERT_GT(n, 20);
  wire[10] = static_cast<char>(wire[10] ^ 1);
  // Back into the same direction: the near descriptor still writes towards the far one.
  ASSERT_EQ(::send(near->socket.fd().get(), wire.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL), n);
  ASSERT_TRUE(run({[&] { return far->read().status != Io::again; }}));
  EXPECT_EQ(far->last.status, Io::error);
  EXPECT_EQ(far->last.error, EPROTO);
  EXPECT_NE(far->session.why().find("bad record mac"), std::string::npos) << far->session.why();
  ASSERT_TRUE(run({[&] { return near->read().status != Io::again; }}));
  EXPECT_EQ(near->session.why(), "TLS failed: the peer sent the alert 'bad record mac'");
}

TEST_F(TlsSessionTest, MoreThan32KeyUpdatesAMinuteEndTheSession) {
  const PlainContext context = plain_client(TLS1_3_VERSION);
  auto [a, b] = socket_pair();
  PlainPeer peer(context.get(), std::move(a), false);
  const auto ours = our_server(std::move(b));
  ASSERT_TRUE(run({[&] { return peer.shake(); }, [&] { return ours->shake(); }}));
  const auto update = [&] {
    ASSERT_EQ(SSL_key_update(peer.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ASSERT_EQ(SSL_do_handshake(peer.ssl()), 1);
  };
  for (int i = 0; i < 32; ++i) update();
  EXPECT_EQ(ours->read().status, Io::again);
  EXPECT_FALSE(ours->session.key_update_flood());
  for (int i = 0; i < 3; ++i) update();
  EXPECT_EQ(ours->read().status, Io::error);
  EXPECT_TRUE(ours->session.key_update_flood());
  EXPECT_EQ(ours->session.why(), "more than 32 key updates from the peer within a minute");
  EXPECT_EQ(ours->write("x").status, Io::error);
}

TEST_F(TlsSessionTest, SurvivesItsContextBeingReplaced) {
  auto context = std::make_unique<TlsServer>(listen(), "web", tickets.data());
  auto [a, b] = socket_pair();
  OurEnd far(pool, *context, std::move(b));
  const auto near = our_client(std::move(a));
  EXPECT_FALSE(near->shake());
  context.reset();  // a reload in the middle of the handshake
  ASSERT_TRUE(shake(*near, far));
  EXPECT_EQ(far.last.status, Io::ok) << far.session.why();
  EXPECT_EQ(far.session.server_name(), "server.test");
}

}  // namespace
}  // namespace understudy::net
