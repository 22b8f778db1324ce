// WebSocket checks: the whole opening handshake, and what goes wrong with it.
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <array>

#include "tests/probe/loopback.hpp"

namespace understudy::probe::test {
namespace {

using config::CheckKind;
using health::Cause;
using WebSocketProbe = ProberTest;

std::string header(const std::string& request, const std::string& name) {
  const auto at = request.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const auto from = at + name.size() + 4;
  return request.substr(from, request.find("\r\n", from) - from);
}

// RFC 6455 §4.2.2, by OpenSSL, so that our own SHA-1 is checked against another.
std::string accept_for(const std::string& key) {
  const std::string text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  std::array<unsigned char, 32> out{};
  const int length = EVP_EncodeBlock(out.data(), digest.data(), static_cast<int>(size));
  return {reinterpret_cast<const char*>(out.data()), static_cast<std::size_t>(length)};
}

std::string switching(const std::string& request, const std::string& more = "") {
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
         "Upgrade\r\nSec-WebSocket-Accept: " +
         accept_for(header(request, "Sec-WebSocket-Key")) + "\r\n" + more + "\r\n";
}

Job websocket(const Origin& origin, milliseconds timeout = milliseconds(2'000)) {
  return job(CheckKind::websocket, origin.address(), timeout);
}

TEST_F(WebSocketProbe, OpensAndSaysGoodbye) {
  bool closed = false;
  Origin origin(io, [&](TcpPeer peer) {
    peer->read_head([&closed, peer] {
      peer->send(switching(peer->request), [&closed, peer] {
        peer->request.clear();
        peer->read_more(8, [&closed] { closed = true; });
      });
    });
  });
  const auto result = probe(websocket(origin));
  EXPECT_CAUSE(result, Cause::none);
  EXPECT_EQ(result.status, 101);
  ASSERT_TRUE(run_until(io, [&] { return closed; }));
  const std::string& frame = origin.peers.at(0)->request;
  ASSERT_EQ(frame.size(), 8u);
  EXPECT_EQ(static_cast<unsigned char>(frame[0]), 0x88);  // final close frame
  EXPECT_EQ(static_cast<unsigned char>(frame[1]), 0x82);  // masked, two bytes
  const int code =
      (static_cast<unsigned char>(frame[6] ^ frame[2]) << 8) | static_cast<unsigned char>(frame[7] ^ frame[3]);
  EXPECT_EQ(code, 1000);
}

TEST_F(WebSocketProbe, EveryHandshakeHasItsOwnKey) {
  std::vector<std::string> keys;
  Origin origin(io, [&](TcpPeer peer) {
    peer->read_head([&keys, peer] {
      keys.push_back(header(peer->request, "Sec-WebSocket-Key"));
      EXPECT_EQ(header(peer->request, "Upgrade"), "websocket");
      EXPECT_EQ(header(peer->request, "Connection"), "Upgrade");
      EXPECT_EQ(header(peer->request, "Sec-WebSocket-Version"), "13");
      peer->send(switching(peer->request));
    });
  });
  EXPECT_CAUSE(probe(websocket(origin)), Cause::none);
  EXPECT_CAUSE(probe(websocket(origin)), Cause::none);
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].size(), 24u);
  EXPECT_NE(keys[0], keys[1]);
}

TEST_F(WebSocketProbe, WrongAcceptIsMalformed) {
  Origin origin(io, answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"));
  const auto result = probe(websocket(origin));
  EXPECT_CAUSE(result, Cause::ws_malformed);
  EXPECT_EQ(result.status, 101);
}

TEST_F(WebSocketProbe, SwitchingToSomethingElseOrToAnUnaskedSubprotocolIsMalformed) {
  Origin other(io, answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"));
  EXPECT_CAUSE(probe(websocket(other)), Cause::ws_malformed);
  Origin subprotocol(io, [](TcpPeer peer) {
    peer->read_head([peer] { peer->send(switching(peer->request, "Sec-WebSocket-Protocol: chat\r\n")); });
  });
  EXPECT_CAUSE(probe(websocket(subprotocol)), Cause::ws_malformed);
}

TEST_F(WebSocketProbe, AnyOtherStatusIsRefused) {
  for (const int status : {200, 403, 503}) {
    Origin origin(io, answer("HTTP/1.1 " + std::to_string(status) + " No\r\nContent-Length: 0\r\n\r\n"));
    const auto result = probe(websocket(origin));
    EXPECT_CAUSE(result, Cause::ws_refused);
    EXPECT_EQ(result.status, status);
  }
}

TEST_F(WebSocketProbe, SilenceIsWsTimeoutAndGarbageIsWsMalformed) {
  Origin silent(io, nullptr);
  const auto result = probe(websocket(silent, milliseconds(100)));
  EXPECT_CAUSE(result, Cause::ws_timeout);
  EXPECT_EQ(result.detail, "connected to " + silent.address().to_string() + ", no answer within 100ms");
  Origin garbage(io, answer("hello\r\n\r\n"));
  EXPECT_CAUSE(probe(websocket(garbage)), Cause::ws_malformed);
}

}  // namespace
}  // namespace understudy::probe::test
