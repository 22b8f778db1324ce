// The forwarded request: one framing, removal before ours, prefixes, rules.
#include "proxy/http/writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/http/forms.hpp"

namespace understudy::http {
namespace {

using config::HeaderOp;
using config::HeaderRule;
using testing::HasSubstr;
using testing::Not;

RequestRewrite plain() {
  RequestRewrite rewrite;
  rewrite.peer_ip = rewrite.client_ip = "192.0.2.1";
  rewrite.listener_port = 8080;
  rewrite.request_id = "id-12345678";
  return rewrite;
}
RequestRewrite trusted() {
  RequestRewrite rewrite = plain();
  rewrite.peer_ip = "10.0.0.1";
  rewrite.client_ip = "203.0.113.7";
  rewrite.trusted = true;
  return rewrite;
}
ParsedRequest forwarded(const std::string& raw, const RequestRewrite& rewrite) {
  return ParsedRequest(written(ParsedRequest(raw), rewrite));
}

TEST(WriteRequest, PlainGetIsExactlyThis) {
  const std::string out =
      written(ParsedRequest(request("Accept: */*\r\nUser-Agent: x\r\n", "GET /p?q HTTP/1.1")), plain());
  EXPECT_EQ(out,
            "GET /p?q HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nUser-Agent: x\r\nX-Forwarded-For: 192.0.2.1\r\n"
            "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Forwarded-Port: 8080\r\nX-Real-IP: 192.0.2.1\r\n"
            "X-Request-Id: id-12345678\r\n\r\n");
}

TEST(WriteRequest, LinesAreCanonicalWhateverCameIn) {
  const std::string out =
      written(ParsedRequest(request("A:1\r\nB: \t 2 \t\r\nC: 3\r\nD:\r\nE:  5\r\nF: 6\r\n")), plain());
  EXPECT_THAT(out, HasSubstr("\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: \r\nE: 5\r\nF: 6\r\nX-Forwarded-For"));
}

TEST(WriteRequest, LeadingCrlfIsNotForwarded) {
  EXPECT_EQ(written(ParsedRequest("\r\n" + request("")), plain()).substr(0, 4), "GET ");
}

TEST(WriteRequest, HttpTenBecomesElevenWithHost) {
  RequestRewrite rewrite = plain();
  rewrite.default_host = "endpoint:3000";
  const std::string out = written(ParsedRequest("GET /x HTTP/1.0\r\nAccept: b\r\n\r\n"), rewrite);
  EXPECT_THAT(out, testing::StartsWith("GET /x HTTP/1.1\r\nHost: endpoint:3000\r\nAccept: b\r\n"));
  EXPECT_THAT(out, Not(HasSubstr("X-Forwarded-Host")));
}

TEST(WriteRequest, FramingIsWrittenOnceAndCanonically) {
  struct Row {
    std::string lines, length, coding;
  };
  for (const Row& row :
       {Row{"", "-", "-"}, Row{"Content-Length: 003\r\n", "3", "-"}, Row{"Content-Length:0\r\n", "0", "-"},
        Row{"Transfer-Encoding: CHUNKED\r\n", "-", "chunked"}}) {
    const auto out = forwarded(request(row.lines, "POST / HTTP/1.1"), plain());
    ASSERT_EQ(out.status, ParseStatus::done) << row.lines;
    EXPECT_EQ(out.one("content-length"), row.length);
    EXPECT_EQ(out.one("transfer-encoding"), row.coding);
  }
}

TEST(WriteRequest, HopByHopFieldsEndHere) {
  const auto out =
      forwarded(request("Connection: close, X-Mine, keep-alive\r\nX-Mine: 1\r\nx-MINE: 2\r\nKeep-Alive: 5\r\n"
                        "Proxy-Connection: x\r\nTE: trailers\r\nTrailer: X\r\nProxy-Authorization: b\r\n"
                        "Upgrade: h2c\r\nHTTP2-Settings: AAA\r\nX-Kept: 1\r\n"),
                plain());
  ASSERT_EQ(out.status, ParseStatus::done);
  for (const char* name : {"connection", "x-mine", "keep-alive", "proxy-connection", "te", "trailer",
                           "proxy-authorization", "upgrade", "http2-settings"}) {
    EXPECT_EQ(out.one(name), "-") << name;
  }
  EXPECT_EQ(out.one("x-kept"), "1");
}

TEST(WriteRequest, ExpectIsOursToMeet) {
  const auto out = forwarded(request("Content-Length: 5\r\nExpect: 100-continue\r\n", "PUT / HTTP/1.1"), plain());
  EXPECT_EQ(out.one("expect"), "-");
  EXPECT_EQ(out.one("content-length"), "5");
}

TEST(WriteRequest, NominationCannotRemoveWhatMattersOrIsOurs) {
  const auto out = forwarded(
      request("Connection: close, Host, Content-Length, Authorization, X-Forwarded-For, X-Request-Id, X-Real-IP, "
              "X-Forwarded-Proto, X-Forwarded-Host, traceparent\r\nContent-Length: 3\r\nAuthorization: "
              "secret\r\n",
              "POST / HTTP/1.1"),
      plain());
  ASSERT_EQ(out.status, ParseStatus::done);
  EXPECT_EQ(out.one("host"), "a");
  EXPECT_EQ(out.one("content-length"), "3");
  EXPECT_EQ(out.one("authorization"), "secret");
  EXPECT_EQ(out.one("x-forwarded-for"), "192.0.2.1");
  EXPECT_EQ(out.one("x-request-id"), "id-12345678");
  EXPECT_EQ(out.one("x-real-ip"), "192.0.2.1");
  EXPECT_EQ(out.one("x-forwarded-proto"), "http");
  EXPECT_EQ(out.one("x-forwarded-host"), "a");
}

TEST(WriteRequest, SpoofedForwardingIsReplacedForStrangers) {
  const auto out = forwarded(
      request("X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\nX-Forwarded-Proto: "
              "https\r\nX-Forwarded-Host: evil\r\n"
              "X-Forwarded-Port: 1\r\nX-Real-IP: 3.3.3.3\r\nTrue-Client-IP: 4.4.4.4\r\nForwarded: for=5.5.5.5\r\n"
              "X-Request-Id: spoofed-00000\r\nUnderstudy-Epoch: 9\r\n"
              "understudy-resume: id=1\r\n"),
      plain());
  EXPECT_EQ(out.one("x-forwarded-for"), "192.0.2.1");
  EXPECT_EQ(out.one("x-forwarded-proto"), "http");
  EXPECT_EQ(out.one("x-forwarded-host"), "a");
  EXPECT_EQ(out.one("x-forwarded-port"), "8080");
  EXPECT_EQ(out.one("x-real-ip"), "192.0.2.1");
  EXPECT_EQ(out.one("true-client-ip"), "-");
  EXPECT_EQ(out.one("forwarded"), "-");
  EXPECT_EQ(out.one("x-request-id"), "id-12345678");
  EXPECT_EQ(out.one("understudy-epoch"), "-");
  EXPECT_EQ(out.one("understudy-resume"), "-");
}

TEST(WriteRequest, TrustedPeersAreAppendedTo) {
  const auto out =
      forwarded(request("X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\n"
                        "X-Forwarded-Host: www.example.org\r\nX-Forwarded-Port: 443\r\nX-Real-IP: 9.9.9.9\r\n"
                        "True-Client-IP: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\n"),
                trusted());
  EXPECT_EQ(out.one("x-forwarded-for"), "203.0.113.7, 10.0.0.2, 10.0.0.1");
  EXPECT_EQ(out.one("x-forwarded-proto"), "https");
  EXPECT_EQ(out.one("x-forwarded-host"), "www.example.org");
  EXPECT_EQ(out.one("x-forwarded-port"), "443");
  EXPECT_EQ(out.one("x-real-ip"), "203.0.113.7");
  EXPECT_EQ(out.one("true-client-ip"), "203.0.113.7");
  EXPECT_EQ(out.one("forwarded"), "for=203.0.113.7, for=10.0.0.1;host=\"a\";proto=http");
}

TEST(WriteRequest, TrustedNonsenseIsReplaced) {
  const auto out =
      forwarded(request("X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a b\r\nX-Forwarded-Port: x\r\n"), trusted());
  EXPECT_EQ(out.one("x-forwarded-proto"), "http");
  EXPECT_EQ(out.one("x-forwarded-host"), "a");
  EXPECT_EQ(out.one("x-forwarded-port"), "8080");
  const auto twice = forwarded(request("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n"), trusted());
  EXPECT_EQ(twice.one("x-forwarded-proto"), "http");
}

TEST(WriteRequest, ForwardedIsNeverBegunAndQuotesWhatItMust) {
  RequestRewrite rewrite = trusted();
  EXPECT_EQ(forwarded(request(""), rewrite).one("forwarded"), "-");
  rewrite.peer_ip = "2001:db8::1";
  rewrite.tls = true;
  EXPECT_EQ(forwarded(request("Forwarded: for=x\r\n"), rewrite).one("forwarded"),
            "for=x, for=\"[2001:db8::1]\";host=\"a\";proto=https");
  rewrite.peer_ip = "unix:";
  EXPECT_EQ(forwarded(request("Forwarded: for=x\r\n"), rewrite).one("forwarded"),
            "for=x, for=unknown;host=\"a\";proto=https");
}

TEST(WriteRequest, LookAlikesAndRewriteFieldsAreDropped) {
  const auto out =
      forwarded(request("X_Forwarded_For: 1\r\nX.Forwarded.For: 1\r\nContent_Length: 9\r\nX-Original-URL: /admin\r\n"
                        "X-Rewrite-URL: /admin\r\nX-HTTP-Method-Override: DELETE\r\nX~: 1\r\nFine-1: 1\r\n"),
                trusted());
  for (const char* name : {"x_forwarded_for", "x.forwarded.for", "content_length", "x-original-url", "x-rewrite-url",
                           "x-http-method-override", "x~"}) {
    EXPECT_EQ(out.one(name), "-") << name;
  }
  EXPECT_EQ(out.one("fine-1"), "1");
}

TEST(WriteRequest, TraceStateFollowsItsTrace) {
  const std::string id = "0af7651916cd43dd8448eb211c80319c";
  const std::string incoming =
      "traceparent: 00-" + id + "-b7ad6b7169203331-01\r\ntracestate: a=1\r\ntracestate: b=2\r\n";
  const std::string same = "00-" + id + "-aaaaaaaaaaaaaaaa-01";
  const std::string fresh = "00-11111111111111111111111111111111-aaaaaaaaaaaaaaaa-01";
  RequestRewrite rewrite = plain();
  rewrite.traceparent = same;
  auto out = forwarded(request(incoming), rewrite);
  EXPECT_EQ(out.one("traceparent"), same);
  EXPECT_EQ(out.all("tracestate").size(), 2u);
  rewrite.traceparent = fresh;
  out = forwarded(request(incoming), rewrite);
  EXPECT_EQ(out.one("traceparent"), fresh);
  EXPECT_EQ(out.one("tracestate"), "-");
  rewrite.traceparent = {};
  out = forwarded(request(incoming), rewrite);
  EXPECT_EQ(out.one("traceparent"), "00-" + id + "-b7ad6b7169203331-01");
}

TEST(WriteRequest, EpochOnlyWhenAsked) {
  RequestRewrite rewrite = plain();
  rewrite.epoch = 42;
  EXPECT_EQ(forwarded(request("Understudy-Epoch: 1\r\n"), rewrite).one("understudy-epoch"), "-");
  rewrite.send_epoch = true;
  EXPECT_EQ(forwarded(request("Understudy-Epoch: 1\r\n"), rewrite).one("understudy-epoch"), "42");
}

TEST(WriteRequest, OnlyWeMarkACopy) {
  EXPECT_EQ(forwarded(request("understudy-MIRROR: 1\r\nX-A: b\r\n"), plain()).one("understudy-mirror"), "-");
  EXPECT_EQ(forwarded(request("Understudy-Mirrors: 1\r\n"), plain()).one("understudy-mirrors"), "1");
}

TEST(WriteRequest, TargetsThroughPrefixes) {
  struct Row {
    const char *target, *strip, *add, *wanted;
  };
  const Row rows[] = {
      {"/", "", "", "/"},
      {"/api/x?q=1", "/api", "", "/x?q=1"},
      {"/api", "/api", "", "/"},
      {"/api?q", "/api", "", "/?q"},
      {"/api/", "/api", "", "/"},
      {"/api/x", "/api/", "", "/x"},
      {"/apix", "/api", "", "/apix"},
      {"/%61pi/x", "/api", "", "/x"},
      {"/api%2fx", "/api", "", "/api%2fx"},
      {"/api%2Fsecret/x", "/api/secret", "", "/api%2Fsecret/x"},
      {"/API/x", "/api", "", "/API/x"},
      {"/api//evil.example/x", "/api", "", "/evil.example/x"},
      {"/api////x", "/api", "", "/x"},
      {"/x", "", "/v2", "/v2/x"},
      {"/x", "", "v2/", "/v2/x"},
      {"/", "", "/v2", "/v2/"},
      {"/x?q", "", "/v2/", "/v2/x?q"},
      {"/api/x?q", "/api", "/v2", "/v2/x?q"},
      {"/api", "/api", "/v2", "/v2/"},
      {"/x", "", "//evil.example", "/evil.example/x"},
      {"/x", "", "/a b\r\nX: y?#", "/a%20b%0d%0aX:%20y%3f%23/x"},
      {"/x", "api", "", "/x"},
      {"/x", "/", "", "/x"},
      {"/x?", "/x", "", "/?"},
      {"/a/../b", "", "", "/a/../b"},
      {"//b%2fc", "", "", "//b%2fc"},
      {"/%", "/%", "", "/"},
      {"/%4", "/@", "", "/%4"},
      {"http://a/api/x?q", "/api", "", "/x?q"},
      {"http://a", "", "", "/"},
      {"http://a?q", "", "", "/?q"},
      {"http://a", "", "/v2", "/v2/"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string(row.target) + " strip " + row.strip + " add " + row.add);
    RequestRewrite rewrite = plain();
    rewrite.strip_prefix = row.strip;
    rewrite.add_prefix = row.add;
    const ParsedRequest in(request("", std::string("GET ") + row.target + " HTTP/1.1"));
    ASSERT_EQ(in.status, ParseStatus::done);
    const std::string out = written(in, rewrite);
    EXPECT_EQ(out.substr(0, out.find("\r\n")), std::string("GET ") + row.wanted + " HTTP/1.1");
    EXPECT_EQ(ParsedRequest(out).status, ParseStatus::done);
  }
}

TEST(WriteRequest, OptionsAsteriskIsKept) {
  RequestRewrite rewrite = plain();
  rewrite.strip_prefix = "/api";
  rewrite.add_prefix = "/v2";
  EXPECT_THAT(written(ParsedRequest(request("", "OPTIONS * HTTP/1.1")), rewrite),
              testing::StartsWith("OPTIONS * HTTP/1.1\r\n"));
  // RFC 9112 §3.2.4: absolute-form without path means the server as a whole.
  EXPECT_THAT(written(ParsedRequest(request("", "OPTIONS http://a HTTP/1.1")), plain()),
              testing::StartsWith("OPTIONS * HTTP/1.1\r\n"));
  EXPECT_THAT(written(ParsedRequest(request("", "OPTIONS http://a/ HTTP/1.1")), plain()),
              testing::StartsWith("OPTIONS / HTTP/1.1\r\n"));
}

TEST(WriteRequest, EncodedLineEndsStayEncoded) {
  EXPECT_THAT(written(ParsedRequest(request("", "GET /%0d%0aX:1 HTTP/1.1")), plain()),
              testing::StartsWith("GET /%0d%0aX:1 HTTP/1.1\r\n"));
}

TEST(WriteRequest, RulesSetAddRemove) {
  const std::vector<HeaderRule> rules = {
      {HeaderOp::set, "X-Set", "new"},     {HeaderOp::add, "X-Add", "2"},
      {HeaderOp::remove, "X-Gone", ""},    {HeaderOp::set, "X-Forwarded-Proto", "https"},
      {HeaderOp::remove, "X-Real-IP", ""}, {HeaderOp::set, "X-Twice", "1"},
      {HeaderOp::set, "x-twice", "2"},     {HeaderOp::add, "X-Later", "1"},
      {HeaderOp::remove, "X-Later", ""}};
  RequestRewrite rewrite = plain();
  rewrite.rules = rules;
  const auto out = forwarded(request("x-set: old\r\nX-SET: older\r\nX-Add: 1\r\nX-Gone: 1\r\nX-Other: 1\r\n"), rewrite);
  EXPECT_EQ(out.one("x-set"), "new");
  EXPECT_EQ(out.all("x-add"), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(out.one("x-gone"), "-");
  EXPECT_EQ(out.one("x-other"), "1");
  EXPECT_EQ(out.one("x-forwarded-proto"), "https");
  EXPECT_EQ(out.one("x-real-ip"), "-");
  EXPECT_EQ(out.one("x-twice"), "2");
  EXPECT_EQ(out.one("x-later"), "-");
}

TEST(WriteRequest, RulesCannotTouchFramingOrSplit) {
  const std::vector<HeaderRule> rules = {{HeaderOp::set, "Content-Length", "99"},
                                         {HeaderOp::remove, "content-length", ""},
                                         {HeaderOp::add, "Transfer-Encoding", "chunked"},
                                         {HeaderOp::set, "Connection", "close"},
                                         {HeaderOp::set, "Upgrade", "h2c"},
                                         {HeaderOp::remove, "Host", ""},
                                         {HeaderOp::add, "Host", "b"},
                                         {HeaderOp::set, "X-A", "1\r\nX-Evil: 1"},
                                         {HeaderOp::set, "X-B\r\nX-Evil", "1"},
                                         {HeaderOp::set, "", "1"},
                                         {HeaderOp::add, "X C", "1"}};
  RequestRewrite rewrite = plain();
  rewrite.rules = rules;
  const auto out = forwarded(request("Content-Length: 3\r\n", "POST / HTTP/1.1"), rewrite);
  ASSERT_EQ(out.status, ParseStatus::done);
  EXPECT_EQ(out.one("content-length"), "3");
  EXPECT_EQ(out.one("transfer-encoding"), "-");
  EXPECT_EQ(out.one("connection"), "-");
  EXPECT_EQ(out.one("upgrade"), "-");
  EXPECT_EQ(out.one("host"), "a");
  EXPECT_EQ(out.one("x-evil"), "-");
  EXPECT_EQ(out.one("x-a"), "-");
}

TEST(WriteRequest, HostMayBeSetToAnotherValidHost) {
  std::vector<HeaderRule> rules = {{HeaderOp::set, "host", "internal.example:8080"}};
  RequestRewrite rewrite = plain();
  rewrite.rules = rules;
  const auto out = forwarded(request(""), rewrite);
  EXPECT_EQ(out.one("host"), "internal.example:8080");
  EXPECT_EQ(out.one("x-forwarded-host"), "a");
  rules[0].value = "not valid";
  EXPECT_EQ(forwarded(request(""), rewrite).one("host"), "a");
}

const std::string kUpgrade =
    "Connection: Upgrade, Sec-WebSocket-Key\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
    "dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: "
    "permessage-deflate\r\n"
    "Sec-WebSocket-Accept: x\r\n";

TEST(WriteRequest, WebSocketUpgradeIsWrittenAnew) {
  RequestRewrite rewrite = plain();
  rewrite.websocket = true;
  auto out = forwarded(request(kUpgrade), rewrite);
  ASSERT_EQ(out.status, ParseStatus::done);
  EXPECT_EQ(out.head->upgrade, UpgradeKind::websocket);
  EXPECT_EQ(out.one("connection"), "Upgrade");
  EXPECT_EQ(out.one("upgrade"), "websocket");
  EXPECT_EQ(out.one("sec-websocket-key"), "dGhlIHNhbXBsZSBub25jZQ==");
  EXPECT_EQ(out.one("sec-websocket-protocol"), "chat");
  EXPECT_EQ(out.one("sec-websocket-extensions"), "permessage-deflate");
  EXPECT_EQ(out.one("sec-websocket-accept"), "-");
  rewrite.drop_websocket_extensions = true;
  EXPECT_EQ(forwarded(request(kUpgrade), rewrite).one("sec-websocket-extensions"), "-");
}

TEST(WriteRequest, WithoutLeaveNothingOfTheUpgradeGoesOn) {
  const auto out = forwarded(request(kUpgrade), plain());
  for (const char* name : {"connection", "upgrade", "sec-websocket-key", "sec-websocket-version"}) {
    EXPECT_EQ(out.one(name), "-") << name;
  }
  // Nor does leave alone make one.
  RequestRewrite rewrite = plain();
  rewrite.websocket = true;
  EXPECT_EQ(forwarded(request("Connection: Upgrade\r\nUpgrade: h2c\r\n"), rewrite).one("upgrade"), "-");
}

TEST(WriteRequest, SmallAreaOverflowsAndSaysSo) {
  const ParsedRequest in(request("X: 0123456789\r\n"));
  const std::string whole = written(in, plain());
  for (std::size_t room = 0; room < whole.size(); ++room) {
    std::vector<char> area(room);
    Out out{area.data(), area.size()};
    EXPECT_FALSE(write_request(out, *in.head, in.base(), plain())) << room;
    EXPECT_TRUE(out.overflow);
    EXPECT_LE(out.size, room);
  }
}

// Whatever goes in and however it is rewritten: what comes out parses and means the same.
TEST(WriteRequest, WhatIsForwardedMeansTheSame) {
  const std::string many = [] {
    std::string lines;
    for (int i = 0; i < 60; ++i)
      lines += "X-" + std::to_string(i) + ":" + (i % 3 == 0 ? " " : "") + std::to_string(i) + "\r\n";
    return lines;
  }();
  const std::string inputs[] = {
      request(""),
      request("", "GET /p/q?x=1&y HTTP/1.1"),
      request("", "HEAD /api/x HTTP/1.1"),
      request("", "OPTIONS * HTTP/1.1"),
      request("", "GET http://a:80/api?q HTTP/1.1"),
      request("Content-Length: 000012\r\n", "POST /api HTTP/1.1"),
      request("Transfer-Encoding: Chunked\r\nTE: trailers\r\nTrailer: X\r\n", "PUT /api/ HTTP/1.1"),
      request("Content-Length: 7\r\nExpect: 100-continue\r\n", "PATCH /x HTTP/1.1"),
      request("Connection: close, Cookie, X-Forwarded-For\r\nCookie: a=b\r\n", "DELETE /x HTTP/1.1"),
      request("X-Forwarded-For: 1.2.3.4, junk\r\nForwarded: for=\"_x\", for=y\r\nX_Y: 1\r\nX-Original-URL: "
              "/z\r\n",
              "BREW / HTTP/1.1"),
      request(kUpgrade),
      request("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\nContent-Length: 4\r\n",
              "POST / HTTP/1.1"),
      request(many),
      "GET /ten HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nX:\xff\r\n\r\n",
      "POST / HTTP/1.0\r\nHost: [::1]:8080\r\nContent-Length: 1\r\nExpect: junk\r\n\r\n",
  };
  const std::vector<HeaderRule> rules = {{HeaderOp::set, "X-Rule", "1"},
                                         {HeaderOp::remove, "Cookie", ""},
                                         {HeaderOp::set, "Transfer-Encoding", "gzip"},
                                         {HeaderOp::add, "Via", "1.1 us"}};
  std::vector<RequestRewrite> rewrites;
  for (int bits = 0; bits < 64; ++bits) {
    RequestRewrite rewrite = (bits & 1) != 0 ? trusted() : plain();
    rewrite.tls = (bits & 2) != 0;
    rewrite.websocket = (bits & 4) != 0;
    if ((bits & 8) != 0) rewrite.rules = rules;
    if ((bits & 16) != 0) rewrite.strip_prefix = "/api";
    if ((bits & 32) != 0) rewrite.add_prefix = "/v2";
    rewrite.traceparent = "00-11111111111111111111111111111111-aaaaaaaaaaaaaaaa-01";
    rewrites.push_back(rewrite);
  }
  for (const std::string& input : inputs) {
    const ParsedRequest in(input);
    ASSERT_EQ(in.status, ParseStatus::done) << input;
    for (const RequestRewrite& rewrite : rewrites) {
      const ParsedRequest out(written(in, rewrite));
      SCOPED_TRACE(input + "\n---\n" + out.raw);
      ASSERT_EQ(out.status, ParseStatus::done) << kind_of(out.error);
      EXPECT_EQ(out.head->head_bytes, out.raw.size());
      EXPECT_EQ(out.head->method_text.in(out.base()), in.head->method_text.in(in.base()));
      EXPECT_EQ(out.head->minor, 1);
      EXPECT_EQ(out.head->has_query, in.head->has_query);
      EXPECT_EQ(out.head->query.in(out.base()), in.head->query.in(in.base()));
      if (rewrite.strip_prefix.empty() && rewrite.add_prefix.empty()) {
        EXPECT_EQ(out.head->path.in(out.base()), in.head->path.in(in.base()));
      }
      EXPECT_EQ(out.head->authority.in(out.base()), in.head->authority.in(in.base()));
      EXPECT_EQ(out.head->framing, in.head->framing);
      EXPECT_EQ(out.head->content_length, in.head->content_length);
      EXPECT_FALSE(out.head->expect_continue);
      const bool upgrade = rewrite.websocket && in.head->upgrade == UpgradeKind::websocket;
      EXPECT_EQ(out.head->upgrade, upgrade ? UpgradeKind::websocket : UpgradeKind::none);
      int framing_fields = 0;
      for (std::size_t i = 0; i < out.head->fields.count; ++i) {
        const Field& f = out.head->fields.list[i];
        EXPECT_FALSE(f.drop);
        const bool framing = f.id == Known::content_length || f.id == Known::transfer_encoding;
        framing_fields += framing ? 1 : 0;
        const bool ours = upgrade && (f.id == Known::connection || f.id == Known::upgrade);
        EXPECT_TRUE(!f.hop_by_hop || ours || f.id == Known::transfer_encoding) << f.name.in(out.base());
      }
      EXPECT_EQ(framing_fields, in.head->framing == Framing::none ? 0 : 1);
      EXPECT_EQ(out.all("x-forwarded-for").size(), 1u);
      EXPECT_EQ(out.one("x-request-id"), "id-12345678");
      EXPECT_EQ(out.one("x-real-ip"), rewrite.client_ip);
      EXPECT_EQ(out.one("traceparent"), rewrite.traceparent);
      const auto chain = out.one("x-forwarded-for");
      EXPECT_EQ(chain.substr(chain.size() - rewrite.peer_ip.size()), rewrite.peer_ip);
    }
  }
}

}  // namespace
}  // namespace understudy::http
