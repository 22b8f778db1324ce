// Synthetic requests: what is sent, and the value that is read out of an answer.
#include "proxy/probe/synthetic.hpp"

#include "tests/probe/loopback.hpp"

namespace understudy::probe::test {
namespace {

using health::Cause;
using SyntheticProbe = ProberTest;

Job job_of(const config::FitnessConfig& written, const Origin& origin) {
  const SyntheticRequest request(written);
  Job made;
  made.check = *request.check;
  made.address = origin.address();
  made.synthetic = request.more;
  return made;
}

config::FitnessConfig get(const std::string& path) {
  config::FitnessConfig made;
  made.path = path;
  return made;
}

TEST_F(SyntheticProbe, SendsMethodFieldsAndBodyAsWritten) {
  Origin origin(io, answer("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"));
  config::FitnessConfig post = get("/orders?dry=1");
  post.method = "POST";
  post.body = "{\"dry\":true}";
  post.headers = {{"Content-Type", "application/json"}, {"user-agent", "mine"}};
  EXPECT_CAUSE(probe(job_of(post, origin)), Cause::none);
  const std::string& sent = origin.peers.at(0)->request;
  EXPECT_EQ(sent.rfind("POST /orders?dry=1 HTTP/1.1\r\nHost: 127.0.0.1:", 0), 0U) << sent;
  EXPECT_NE(
      sent.find("\r\nContent-Type: application/json\r\nuser-agent: mine\r\nContent-Length: 12\r\nConnection: close"
                "\r\n\r\n{\"dry\":true}"),
      std::string::npos)
      << sent;
  EXPECT_EQ(sent.find("understudy"), std::string::npos) << "the field that was written replaces ours";
}

// A copy is compared with an answer on a connection that was there already: what it takes to be sent does not count.
TEST_F(SyntheticProbe, ACopysTimeCountsFromWhenItWasSent) {
  constexpr milliseconds late{1'500};
  asio::steady_timer timer(io);
  Origin origin(io, [&](TcpPeer peer) {
    timer.expires_after(late);  // meanwhile the request does not fit into the socket's buffers
    timer.async_wait([peer](const boost::system::error_code&) {
      peer->read_head([peer] { peer->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); });
    });
  });
  Job copy;
  copy.check.kind = config::CheckKind::http;
  copy.check.timeout = milliseconds(10'000);
  copy.address = origin.address();
  auto what = std::make_shared<Synthetic>();
  what->raw = "GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + std::string(32 << 20, 'a') + "\r\n\r\n";
  copy.synthetic = what;
  const auto began = Clock::now();
  const auto result = probe(copy);
  EXPECT_CAUSE(result, Cause::none);
  EXPECT_GE(Clock::now() - began, late);
  EXPECT_LE(result.elapsed, Clock::now() - began - late);
}

TEST_F(SyntheticProbe, AnAnswerToHeadHasNoBodyWhateverItsLengthSays) {
  Origin origin(io, answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nX-Data-Version: 7\r\n\r\n"));
  config::FitnessConfig head = get("/");
  head.method = "HEAD";
  head.compare.header = "x-data-version";
  const auto result = probe(job_of(head, origin));
  EXPECT_CAUSE(result, Cause::none);
  EXPECT_EQ(result.value, "7");
}

TEST_F(SyntheticProbe, AMissingFieldIsABadAnswer) {
  Origin origin(io, answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  config::FitnessConfig asked = get("/");
  asked.compare.header = "X-Data-Version";
  const auto result = probe(job_of(asked, origin));
  EXPECT_CAUSE(result, Cause::http_malformed);
  EXPECT_NE(result.detail.find("without the field X-Data-Version"), std::string::npos) << result.detail;
}

TEST_F(SyntheticProbe, ReadsAValueOutOfTheWholeBody) {
  Origin origin(io, answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "10\r\n{\"data\":{\"versio\r\nA\r\nn\":12.5}} \r\n0\r\n\r\n"));
  config::FitnessConfig asked = get("/");
  asked.compare.json = "/data/version";
  asked.expect_body = "data";
  const auto result = probe(job_of(asked, origin));
  EXPECT_CAUSE(result, Cause::none);
  EXPECT_EQ(result.value, "1.25E1");
}

TEST_F(SyntheticProbe, ABodyThatIsCutHugeOrNoJsonIsABadAnswer) {
  struct Case {
    std::string bytes;
    Cause cause;
  };
  for (const Case& c :
       {Case{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", Cause::http_body},
        Case{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Cause::http_body},
        Case{"HTTP/1.1 200 OK\r\nContent-Length: 80000\r\n\r\n" + std::string(80000, ' '), Cause::http_body},
        Case{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Cause::http_malformed}}) {
    Origin origin(io, answer(c.bytes));
    config::FitnessConfig asked = get("/");
    asked.compare.json = "/v";
    EXPECT_CAUSE(probe(job_of(asked, origin)), c.cause);
  }
}

TEST_F(SyntheticProbe, ACopyIsSentAsItStandsAndAnyStatusIsAnAnswer) {
  Origin origin(io, answer("HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\n"));
  Job made = job(config::CheckKind::http, origin.address());
  made.check.expect = {{100, 599}};
  auto copy = std::make_shared<Synthetic>();
  copy->method = "HEAD";
  copy->raw = "HEAD /x HTTP/1.1\r\nHost: shop\r\nA: b\r\n\r\n";
  made.synthetic = copy;
  const auto result = probe(made);
  EXPECT_CAUSE(result, Cause::none);
  EXPECT_EQ(result.status, 503);
  EXPECT_EQ(origin.peers.at(0)->request, copy->raw);
}

Job agent_job(const Origin& origin, const std::string& send = "") {
  Job made = job(config::CheckKind::tcp, origin.address(), milliseconds(300));
  made.check.agent_send = send;
  made.agent = true;
  return made;
}

TEST_F(SyntheticProbe, AnAgentsFirstLineIsItsAnswer) {
  Origin origin(io, [](TcpPeer peer) { peer->read_more(4, [peer] { peer->drip({"75", "% up", "\r\nmore"}); }); });
  const auto result = probe(agent_job(origin, "ask"));
  EXPECT_CAUSE(result, Cause::none);
  EXPECT_EQ(result.value, "75% up");
  EXPECT_EQ(origin.peers.at(0)->request, "ask\n");
  Origin ended(io, [](TcpPeer peer) { peer->send("drain", [peer] { peer->close(); }); });
  EXPECT_EQ(probe(agent_job(ended)).value, "drain");
}

TEST_F(SyntheticProbe, AnAgentThatSaysNoLineIsNoAnswer) {
  Origin silent(io, [](TcpPeer) {});
  EXPECT_CAUSE(probe(agent_job(silent)), Cause::http_timeout);
  Origin endless(io, [](TcpPeer peer) { peer->flood(std::string(400, 'x')); });
  EXPECT_CAUSE(probe(agent_job(endless)), Cause::http_malformed);
  Origin gone(io, [](TcpPeer peer) { peer->close(); });
  EXPECT_FALSE(probe(agent_job(gone)).ok());
}

TEST_F(SyntheticProbe, AFieldOfACheckIsReadWhereItIs) {
  Origin origin(io, answer("HTTP/1.1 200 OK\r\nx-load: 40% up\r\nContent-Length: 0\r\n\r\n"));
  Job made = job(config::CheckKind::http, origin.address());
  made.check.agent_header = "X-Load";
  EXPECT_EQ(probe(made).value, "40% up");
  Origin without(io, answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  made.address = without.address();
  const auto result = probe(made);
  EXPECT_CAUSE(result, Cause::none);
  EXPECT_FALSE(result.value);
}

TEST(JsonValue, FollowsAPointer) {
  const auto value = [](std::string_view text, std::string_view pointer) {
    std::string why;
    return json_value(text, pointer, why).value_or("none: " + why);
  };
  EXPECT_EQ(value(R"({"a":[1,{"b/c":"x"}]})", "/a/1/b~1c"), "x");
  EXPECT_EQ(value(R"({"a~b":true})", "/a~0b"), "true");
  EXPECT_EQ(value(R"({"n":42})", "/n"), "42");
  EXPECT_EQ(value(R"({"n":{}})", "/n"), "none: has no text or number there");
  EXPECT_EQ(value(R"({"n":null})", "/n"), "none: has no text or number there");
  EXPECT_EQ(value(R"([1,2])", "/2"), "none: has no such value");
  EXPECT_EQ(value(R"([1,2])", "/01"), "none: has no such value");
  EXPECT_EQ(value(R"([1,2])", "/x"), "none: has no such value");
  EXPECT_EQ(value(R"({"n":")" + std::string(300, 'x') + "\"}", "/n"), "none: has a value of more than 200 bytes there");
  EXPECT_NE(value(std::string(100, '['), "/n").find("is no JSON"), std::string::npos);
}

}  // namespace
}  // namespace understudy::probe::test
