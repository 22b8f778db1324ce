// Responses that go downstream: framing as the caller chose, hop-by-hop removed, our fields set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/http/forms.hpp"

namespace understudy::http {
namespace {

using config::HeaderOp;
using config::HeaderRule;
using testing::HasSubstr;
using testing::Not;

ResponseRewrite as_is(const ParsedResponse& response) {
  ResponseRewrite rewrite;
  rewrite.framing = response.head->framing;
  rewrite.content_length = response.head->content_length;
  return rewrite;
}

TEST(WriteResponse, PlainAnswerIsExactlyThis) {
  const ParsedResponse in(
      "HTTP/1.1 200 Fine\r\nDate: x\r\nContent-Length: 005\r\nServer:y \r\nContent-Type: text/plain\r\n\r\n");
  ResponseRewrite rewrite = as_is(in);
  rewrite.request_id = "id-1";
  rewrite.set_cookie = "s=1; Path=/";
  EXPECT_EQ(written(in, rewrite),
            "HTTP/1.1 200 Fine\r\nDate: x\r\nServer: y\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
            "X-Request-Id: id-1\r\nSet-Cookie: s=1; Path=/\r\n\r\n");
}

TEST(WriteResponse, EmptyReasonGetsTheUsualOne) {
  const ParsedResponse in("HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(written(in, as_is(in)), testing::StartsWith("HTTP/1.1 404 Not Found\r\n"));
}

TEST(WriteResponse, HttpTenFromTheEndpointBecomesEleven) {
  const ParsedResponse in("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
  const std::string out = written(in, as_is(in));
  EXPECT_THAT(out, testing::StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(out, Not(HasSubstr("Connection")));
}

TEST(WriteResponse, HopByHopFieldsEndHere) {
  const ParsedResponse in(
      "HTTP/1.1 200 OK\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: "
      "x\r\nTrailer: X\r\n"
      "Upgrade: h2\r\nTransfer-Encoding: chunked\r\nProxy-Authenticate: Basic\r\nSet-Cookie: "
      "a=1\r\nSet-Cookie: b=2\r\n"
      "X_Y: kept\r\n\r\n");
  EXPECT_EQ(written(in, as_is(in)),
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX_Y: kept\r\nTransfer-Encoding: "
            "chunked\r\n\r\n");
}

TEST(WriteResponse, FramingIsTheCallersChoice) {
  const ParsedResponse in("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  ResponseRewrite rewrite;
  rewrite.client_minor = 0;
  rewrite.framing = Framing::until_close;
  EXPECT_EQ(written(in, rewrite), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
  rewrite.framing = Framing::length;
  rewrite.content_length = 7;
  EXPECT_EQ(written(in, rewrite), "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n");
  rewrite.close = true;
  EXPECT_EQ(written(in, rewrite), "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n");
}

TEST(WriteResponse, LengthThatOnlyDescribesIsKept) {
  const ParsedResponse head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::head);
  ASSERT_TRUE(head.head->has_content_length);
  ResponseRewrite rewrite = as_is(head);
  rewrite.keep_length = true;
  EXPECT_THAT(written(head, rewrite), HasSubstr("Content-Length: 5\r\n"));
  rewrite.keep_length = false;
  EXPECT_THAT(written(head, rewrite), Not(HasSubstr("Content-Length")));
}

TEST(WriteResponse, NoContentCarriesNoFraming) {
  const ParsedResponse in("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n");
  ResponseRewrite rewrite = as_is(in);
  rewrite.keep_length = true;
  rewrite.content_length = 5;
  EXPECT_EQ(written(in, rewrite), "HTTP/1.1 204 No Content\r\n\r\n");
}

TEST(WriteResponse, RequestIdIsOursWhenGiven) {
  const ParsedResponse in("HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n");
  ResponseRewrite rewrite = as_is(in);
  EXPECT_THAT(written(in, rewrite), HasSubstr("X-Request-Id: theirs\r\n"));
  rewrite.request_id = "ours";
  const std::string out = written(in, rewrite);
  EXPECT_THAT(out, HasSubstr("X-Request-Id: ours\r\n"));
  EXPECT_THAT(out, Not(HasSubstr("theirs")));
}

TEST(WriteResponse, RulesApplyAndCannotTouchFraming) {
  const std::vector<HeaderRule> rules = {{HeaderOp::remove, "Server", ""},
                                         {HeaderOp::set, "Strict-Transport-Security", "max-age=1"},
                                         {HeaderOp::set, "Content-Length", "1"},
                                         {HeaderOp::add, "Set-Cookie", "c=3"},
                                         {HeaderOp::set, "X-Bad", "a\nb"}};
  const ParsedResponse in("HTTP/1.1 200 OK\r\nServer: x\r\nSet-Cookie: a=1\r\nContent-Length: 5\r\n\r\n");
  ResponseRewrite rewrite = as_is(in);
  rewrite.rules = rules;
  EXPECT_EQ(written(in, rewrite),
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 5\r\nStrict-Transport-Security: max-age=1\r\n"
            "Set-Cookie: c=3\r\n\r\n");
}

TEST(WriteResponse, UpgradeIsWrittenAnew) {
  const ParsedResponse in(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade, "
      "X\r\nSec-WebSocket-Accept: abc\r\n"
      "Sec-WebSocket-Protocol: chat\r\nX: 1\r\n\r\n");
  ResponseRewrite rewrite = as_is(in);
  rewrite.websocket = true;
  EXPECT_EQ(written(in, rewrite),
            "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: abc\r\nSec-WebSocket-Protocol: chat\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

TEST(WriteResponse, InterimResponsesPassWithoutFraming) {
  const ParsedResponse in("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\nContent-Length: 0\r\n\r\n");
  std::array<char, 256> area{};
  Out out{area.data(), area.size()};
  ASSERT_TRUE(write_informational(out, *in.head, in.base()));
  EXPECT_EQ(out.view(), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
}

TEST(WriteResponse, SmallAreaOverflowsAndSaysSo) {
  const ParsedResponse in("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\n");
  const std::string whole = written(in, as_is(in));
  for (std::size_t room = 0; room < whole.size(); ++room) {
    std::vector<char> area(room);
    Out out{area.data(), area.size()};
    EXPECT_FALSE(write_response(out, *in.head, in.base(), as_is(in)));
    EXPECT_TRUE(out.overflow);
  }
}

TEST(WriteResponse, AppendsBehindWhatIsThere) {
  const ParsedResponse in("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  std::array<char, 256> area{};
  Out out{area.data(), area.size()};
  out.append("before|");
  ASSERT_TRUE(write_response(out, *in.head, in.base(), as_is(in)));
  EXPECT_EQ(out.view(), "before|HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

TEST(WriteResponse, WhatIsForwardedMeansTheSame) {
  const std::string inputs[] = {
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia:x\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close, Via\r\nVia: 1\r\n\r\n",
      "HTTP/1.0 500 Oh\r\n\r\n",
      "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
      "HTTP/1.1 204 No Content\r\n\r\n",
      "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
  };
  for (const std::string& input : inputs) {
    const ParsedResponse in(input);
    ASSERT_EQ(in.status, ParseStatus::done);
    ResponseRewrite rewrite = as_is(in);
    rewrite.keep_length = in.head->has_content_length;
    const ParsedResponse out(written(in, rewrite));
    SCOPED_TRACE(out.raw);
    ASSERT_EQ(out.status, ParseStatus::done);
    EXPECT_EQ(out.head->head_bytes, out.raw.size());
    EXPECT_EQ(out.head->status, in.head->status);
    EXPECT_EQ(out.head->framing, in.head->framing);
    EXPECT_EQ(out.head->content_length, in.head->content_length);
    EXPECT_EQ(out.head->has_content_length, in.head->has_content_length);
    EXPECT_EQ(out.head->keep_alive, in.head->framing != Framing::until_close);
  }
}

}  // namespace
}  // namespace understudy::http
