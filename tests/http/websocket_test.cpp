// The opening handshake's arithmetic and the check of the endpoint's answer (RFC 6455 §4).
#include <gtest/gtest.h>

#include <array>

#include "proxy/http/websocket.hpp"
#include "tests/http/forms.hpp"

namespace understudy::http {
namespace {

std::string accept_of(std::string_view key) {
  std::array<char, 28> out{};
  websocket_accept(out.data(), key);
  return {out.data(), out.size()};
}

TEST(WebSocketAccept, MatchesTheVectors) {
  EXPECT_EQ(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");  // RFC 6455 §1.3
  EXPECT_EQ(accept_of("x3JJHMbDL1EzLkh9GBhXDw=="),
            "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");  // a well-known example page
}

TEST(WebSocketKey, Is24CharactersFor16Bytes) {
  EXPECT_TRUE(valid_websocket_key("dGhlIHNhbXBsZSBub25jZQ=="));
  EXPECT_TRUE(valid_websocket_key("AAAAAAAAAAAAAAAAAAAAAA=="));
  EXPECT_TRUE(valid_websocket_key("+/+/+/+/+/+/+/+/+/+/+w=="));
  for (const char* bad : {"", "=", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25jZQAA",
                          "dGhlIHNhbXBsZSBub25jZ===", "dGhlIHNhbXBsZSBub25jZB==", "dGhl HNhbXBsZSBub25jZQ=="}) {
    EXPECT_FALSE(valid_websocket_key(bad)) << bad;
  }
}

bool valid(const std::string& lines, std::string_view offered = "", const std::string& first = "HTTP/1.1 101 X") {
  const ParsedResponse response(first + "\r\n" + lines + "\r\n");
  EXPECT_EQ(response.status, ParseStatus::done);
  return websocket_answer_valid(*response.head, response.base(), "dGhlIHNhbXBsZSBub25jZQ==", offered);
}

TEST(WebSocketAnswer, NeedsTheRightAccept) {
  const std::string up = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  const std::string accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
  EXPECT_TRUE(valid(up + accept));
  EXPECT_FALSE(valid(up));
  EXPECT_FALSE(valid(up + accept + accept));
  EXPECT_FALSE(valid(up + "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  EXPECT_FALSE(valid(up + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo\r\n"));
  EXPECT_FALSE(valid(up + "Sec-WebSocket-Accept:\r\n"));
  EXPECT_FALSE(valid("Connection: Upgrade\r\n" + accept));
  EXPECT_FALSE(valid("Upgrade: websocket\r\n" + accept));
  EXPECT_FALSE(valid("Connection: Upgrade\r\nUpgrade: h2c\r\n" + accept));
  EXPECT_FALSE(valid(up + accept, "", "HTTP/1.1 200 OK"));
  EXPECT_FALSE(valid(up + accept, "", "HTTP/1.0 101 X"));
}

TEST(WebSocketAnswer, ChoosesOnlyWhatWasOffered) {
  const std::string good =
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
  EXPECT_TRUE(valid(good + "Sec-WebSocket-Protocol: chat\r\n", "superchat, chat"));
  EXPECT_TRUE(valid(good, "chat"));
  EXPECT_FALSE(valid(good + "Sec-WebSocket-Protocol: chat\r\n", ""));
  EXPECT_FALSE(valid(good + "Sec-WebSocket-Protocol: chat\r\n", "chatter"));
  EXPECT_FALSE(valid(good + "Sec-WebSocket-Protocol: Chat\r\n", "chat"));
  EXPECT_FALSE(valid(good + "Sec-WebSocket-Protocol: chat, superchat\r\n", "chat, superchat"));
  EXPECT_FALSE(valid(good + "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n", "chat"));
}

}  // namespace
}  // namespace understudy::http
