// HTTP checks against origins that behave, stall, lie and flood.
#include <algorithm>

#include "tests/probe/loopback.hpp"

namespace understudy::probe::test {
namespace {

using config::CheckKind;
using health::Cause;
using HttpProbe = ProberTest;
constexpr milliseconds kShort{120};

Job http(const Origin& origin, milliseconds timeout = milliseconds(2'000)) {
  return job(CheckKind::http, origin.address(), timeout);
}

TEST_F(HttpProbe, SendsAPlainGetAndTakesAnExpectedStatus) {
  Origin origin(io, answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  const auto result = probe(http(origin));
  EXPECT_CAUSE(result, Cause::none);
  EXPECT_EQ(result.status, 200);
  const std::string& request = origin.peers.at(0)->request;
  EXPECT_EQ(request.rfind("GET /healthz HTTP/1.1\r\n", 0), 0u) << request;
  EXPECT_NE(request.find("\r\nHost: 127.0.0.1:" + std::to_string(origin.port()) + "\r\n"), std::string::npos)
      << request;
  EXPECT_NE(request.find("\r\nUser-Agent: understudy-check\r\n"), std::string::npos);
  EXPECT_NE(request.find("\r\nConnection: close\r\n"), std::string::npos);
}

TEST_F(HttpProbe, HostHeaderIsTheConfiguredOneElseTheEndpointAsWritten) {
  struct Case {
    std::string configured, host, expected;
  };
  for (const auto& c : {Case{"app.example", "10.9.9.9", "app.example"}, Case{"", "app.internal", "app.internal:PORT"},
                        Case{"", "::1", "[::1]:PORT"}, Case{"", "", "127.0.0.1:PORT"}}) {
    Origin origin(io, answer("HTTP/1.1 200 OK\r\n\r\n"));
    Job what = http(origin);
    what.check.host = c.configured;
    what.host = c.host;
    EXPECT_CAUSE(probe(what), Cause::none);
    std::string expected = c.expected;
    if (const auto at = expected.find("PORT"); at != std::string::npos)
      expected.replace(at, 4, std::to_string(origin.port()));
    EXPECT_NE(origin.peers.at(0)->request.find("\r\nHost: " + expected + "\r\n"), std::string::npos)
        << origin.peers.at(0)->request;
  }
}

TEST_F(HttpProbe, StatusOutsideTheExpectedRangesIsHttpStatus) {
  Origin origin(io, answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"));
  Job what = http(origin);
  what.check.expect = {{200, 299}, {404, 404}};
  auto result = probe(what);
  EXPECT_CAUSE(result, Cause::http_status);
  EXPECT_EQ(result.status, 503);
  EXPECT_EQ(result.detail, origin.address().to_string() + " answered 503, expected 200-299, 404");
  what.check.expect = {{500, 599}};
  EXPECT_CAUSE(probe(what), Cause::none);
}

TEST_F(HttpProbe, RedirectIsNotFollowed) {
  int second_visits = 0;
  Origin elsewhere(io, [&](TcpPeer) { ++second_visits; });
  Origin origin(io, answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:" + std::to_string(elsewhere.port()) +
                           "/\r\nContent-Length: 0\r\n\r\n"));
  const auto result = probe(http(origin));
  EXPECT_CAUSE(result, Cause::http_status);
  EXPECT_EQ(result.status, 302);
  io.restart();
  io.poll();
  EXPECT_EQ(second_visits, 0);
  EXPECT_EQ(origin.peers.size(), 1u);
}

TEST_F(HttpProbe, NeverAcceptedIsHttpTimeoutAlthoughTcpConnects) {
  Origin frozen(io, nullptr);
  EXPECT_CAUSE(probe(job(CheckKind::tcp, frozen.address())), Cause::none);
  const auto result = probe(http(frozen, kShort));
  EXPECT_CAUSE(result, Cause::http_timeout);
  EXPECT_EQ(result.detail, "connected to " + frozen.address().to_string() + ", no answer within 120ms");
  EXPECT_GE(result.elapsed, kShort - milliseconds(10));
  EXPECT_LT(result.elapsed, kShort + milliseconds(130));
}

TEST_F(HttpProbe, AcceptedInSilenceIsHttpTimeout) {
  Origin silent(io, [](TcpPeer) {});
  EXPECT_CAUSE(probe(http(silent, kShort)), Cause::http_timeout);
}

TEST_F(HttpProbe, HalfAHeadIsHttpTimeoutWhenItStaysAndMalformedWhenItCloses) {
  const std::string half = "HTTP/1.1 200 OK\r\nContent-Le";
  Origin stays(io, answer(half));
  const auto result = probe(http(stays, kShort));
  EXPECT_CAUSE(result, Cause::http_timeout);
  EXPECT_NE(result.detail.find("no complete answer head"), std::string::npos) << result.detail;
  for (const bool reset : {false, true}) {
    Origin leaves(io, [&half, reset](TcpPeer peer) {
      peer->read_head([=] { peer->send(half, [=] { reset ? peer->reset() : peer->close(); }); });
    });
    const auto left = probe(http(leaves));
    // A reset may overtake the bytes.
    if (reset && left.cause == Cause::tcp_reset) continue;
    EXPECT_CAUSE(left, Cause::http_malformed);
  }
}

TEST_F(HttpProbe, SlowDripOfAHeadEndsAtTheAbsoluteDeadline) {
  Origin origin(io, [](TcpPeer peer) {
    std::vector<std::string> drops{"HTTP/1.1 200 OK\r\n"};
    for (int i = 0; i < 400; ++i) drops.push_back(std::to_string(i).append("-a: b\r\n"));
    peer->read_head([peer, drops] { peer->drip(drops); });
  });
  const auto result = probe(http(origin, kShort));
  EXPECT_CAUSE(result, Cause::http_timeout);
  EXPECT_LT(result.elapsed, kShort + milliseconds(130));
}

TEST_F(HttpProbe, ClosedOrResetWithoutAnAnswerIsTcpReset) {
  Origin closes(io, [](TcpPeer peer) { peer->read_head([peer] { peer->close(); }); });
  auto result = probe(http(closes));
  EXPECT_CAUSE(result, Cause::tcp_reset);
  EXPECT_EQ(result.detail, closes.address().to_string() + " closed the connection without an answer");
  Origin resets(io, [](TcpPeer peer) { peer->read_head([peer] { peer->reset(); }); });
  result = probe(http(resets));
  EXPECT_CAUSE(result, Cause::tcp_reset);
  EXPECT_EQ(result.detail, resets.address().to_string() + " reset the connection without an answer");
}

TEST_F(HttpProbe, WhatIsNoHttpIsHttpMalformed) {
  for (const std::string bytes :
       {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n"}) {
    Origin origin(io, answer(bytes));
    EXPECT_CAUSE(probe(http(origin)), Cause::http_malformed) << bytes;
  }
}

TEST_F(HttpProbe, EndlessHeadersStopBounded) {
  Origin fields(io, [](TcpPeer peer) {
    peer->read_head([peer] { peer->send("HTTP/1.1 200 OK\r\n", [peer] { peer->flood("x-more: and more\r\n"); }); });
  });
  EXPECT_CAUSE(probe(http(fields)), Cause::http_malformed);
  Origin one_field(io, [](TcpPeer peer) {
    peer->read_head([peer] { peer->send("HTTP/1.1 200 OK\r\nx: ", [peer] { peer->flood(std::string(8192, 'y')); }); });
  });
  EXPECT_CAUSE(probe(http(one_field)), Cause::http_malformed);
}

TEST_F(HttpProbe, InterimAnswersAreSkippedButNotForever) {
  Origin polite(io, answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 "
                           "Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"));
  EXPECT_CAUSE(probe(http(polite)), Cause::none);
  Origin endless(io,
                 [](TcpPeer peer) { peer->read_head([peer] { peer->flood("HTTP/1.1 103 Early Hints\r\n\r\n"); }); });
  const auto result = probe(http(endless));
  EXPECT_CAUSE(result, Cause::http_malformed);
  EXPECT_EQ(result.status, 0);
}

class HttpBody : public ProberTest {
protected:
  health::ProbeResult look_for(const std::string& text, const Origin& origin,
                               milliseconds timeout = milliseconds(2'000)) {
    Job what = http(origin, timeout);
    what.check.body = text;
    return probe(what);
  }
};

TEST_F(HttpBody, ExpectedTextIsFoundInEveryFraming) {
  for (const std::string bytes : {"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nstatus: fine",
                                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nstatus: fine\r\n0\r\n\r\n",
                                  "HTTP/1.0 200 OK\r\n\r\nstatus: fine"}) {
    Origin origin(io, answer(bytes));  // stays open: found is found
    EXPECT_CAUSE(look_for("status: fine", origin), Cause::none) << bytes;
  }
}

TEST_F(HttpBody, ExpectedTextIsFoundAcrossChunksAndPackets) {
  Origin origin(io, [](TcpPeer peer) {
    peer->read_head([peer] {
      peer->drip({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n..s\r\n", "3\r\ntat\r\n2\r", "\nus\r\n",
                  "6\r\n: fine\r\n0\r\n\r\n"});
    });
  });
  EXPECT_CAUSE(look_for("status: fine", origin), Cause::none);
}

TEST_F(HttpBody, MissingTextIsHttpBody) {
  Origin origin(io, answer("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nstatus: poor"));
  const auto result = look_for("fine", origin);
  EXPECT_CAUSE(result, Cause::http_body);
  EXPECT_EQ(result.status, 200);
  EXPECT_EQ(result.detail, origin.address().to_string() + " answered 200, but 'fine' is not in its body");
  Origin empty(io, answer("HTTP/1.1 204 No Content\r\n\r\n"));
  EXPECT_CAUSE(look_for("fine", empty), Cause::http_body);
  Origin until_close(io, [](TcpPeer peer) {
    peer->read_head([peer] { peer->send("HTTP/1.1 200 OK\r\n\r\npoor", [peer] { peer->close(); }); });
  });
  EXPECT_CAUSE(look_for("fine", until_close), Cause::http_body);
}

TEST_F(HttpBody, GigabyteStopsAt64KiB) {
  for (const std::string head : {"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"}) {
    Origin origin(io, [head](TcpPeer peer) {
      peer->read_head([=] { peer->send(head, [peer] { peer->flood(std::string(64 * 1024, 'z')); }); });
    });
    const auto result = look_for("fine", origin);
    EXPECT_CAUSE(result, Cause::http_body);
    EXPECT_NE(result.detail.find("the first 64 KiB"), std::string::npos) << result.detail;
    EXPECT_LT(origin.peers.at(0)->sent, 20u << 20);  // what socket buffers hold, not a gigabyte
  }
}

TEST_F(HttpBody, TextBeyond64KiBIsNotFoundAndTextBeforeIs) {
  for (const std::size_t offset : {std::size_t{64 * 1024 - 4}, std::size_t{64 * 1024 - 3}}) {
    const std::string body = std::string(offset, 'z') + "fine" + std::string(100, 'z');
    Origin origin(io, answer("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body));
    EXPECT_CAUSE(look_for("fine", origin), offset == 64 * 1024 - 4 ? Cause::none : Cause::http_body);
  }
}

TEST_F(HttpBody, ManyTinyChunksAreBounded) {
  Origin origin(io, [](TcpPeer peer) {
    std::string chunks;
    for (int i = 0; i < 2000; ++i) chunks += "1;" + std::string(200, 'e') + "\r\nz\r\n";
    peer->read_head([peer, chunks] {
      peer->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", [peer, chunks] { peer->flood(chunks); });
    });
  });
  const auto result = look_for("fine", origin, milliseconds(3'000));
  EXPECT_TRUE(result.cause == Cause::http_body || result.cause == Cause::http_malformed) << result.detail;
}

TEST_F(HttpBody, CutStalledAndBrokenBodiesAreToldApart) {
  const std::string cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npoor";
  Origin closes(io, [cut](TcpPeer peer) { peer->read_head([=] { peer->send(cut, [peer] { peer->close(); }); }); });
  EXPECT_CAUSE(look_for("fine", closes), Cause::body_cut);
  Origin stalls(io, answer(cut));
  EXPECT_CAUSE(look_for("fine", stalls, kShort), Cause::body_timeout);
  Origin broken(io, answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nfine\r\n"));
  EXPECT_CAUSE(look_for("fine", broken), Cause::http_malformed);
}

TEST_F(HttpBody, DetailStaysOnOneShortLine) {
  Origin origin(io, answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npoor"));
  const auto result = look_for("first\nsecond\t" + std::string(300, 'x'), origin);
  EXPECT_CAUSE(result, Cause::http_body);
  EXPECT_EQ(result.detail.find('\n'), std::string::npos);
  EXPECT_LE(result.detail.size(), 200u);
}

}  // namespace
}  // namespace understudy::probe::test
