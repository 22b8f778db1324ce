#include "proxy/admin/server.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "tests/admin/running_server.hpp"

namespace understudy::admin {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

std::string get(const RunningServer& server, const std::string& path, const std::string& fields = {}) {
  return "GET " + path + " HTTP/1.1\r\nHost: " + server.host() + "\r\nConnection: close\r\n" + fields + "\r\n";
}

std::string post(const RunningServer& server, const std::string& path, const std::string& body) {
  return "POST " + path + " HTTP/1.1\r\nHost: " + server.host() +
         "\r\nConnection: close\r\nX-Understudy: 1\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 ") && answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
}

Options with_token() {
  Options options;
  options.token = "correct horse";
  return options;
}

struct RawCase {
  const char* name;
  std::string bytes;  // HOST is replaced
  int status;
  const char* contains;
};

std::string fill(std::string bytes, const std::string& host) {
  for (std::size_t at = bytes.find("HOST"); at != std::string::npos; at = bytes.find("HOST"))
    bytes.replace(at, 4, host);
  return bytes;
}

TEST(AdminServer, RuleRowsHoldOnTheWire) {
  const std::string close = "Connection: close\r\n";
  const std::string marks = "X-Understudy: 1\r\nContent-Type: application/json\r\n";
  const std::vector<RawCase> cases = {
      {"livez", "GET /livez HTTP/1.1\r\nHost: HOST\r\n" + close + "\r\n", 200, "\r\n\r\nok\n"},
      {"HEAD", "HEAD /livez HTTP/1.1\r\nHost: HOST\r\n" + close + "\r\n", 200, "Content-Length: 3\r\n"},
      {"HTTP/1.0 closes", "GET /livez HTTP/1.0\r\nHost: HOST\r\n\r\n", 200, "Connection: close\r\n"},
      {"foreign Host, read", "GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\n" + close + "\r\n", 403,
       "Host not allowed"},
      {"foreign Host, write",
       "POST /api/v1/stop HTTP/1.1\r\nHost: evil.example\r\n" + close + marks + "Content-Length: 2\r\n\r\n{}", 403,
       "Host not allowed"},
      {"absolute form counts as Host",
       "GET http://evil.example/livez HTTP/1.1\r\nHost: evil.example\r\n" + close + "\r\n", 403, "Host not allowed"},
      {"foreign Origin, read",
       "GET /api/v1/config HTTP/1.1\r\nHost: HOST\r\nOrigin: http://evil.example\r\n" + close + "\r\n", 403,
       "foreign Origin"},
      {"foreign Origin, write",
       "POST /api/v1/reload HTTP/1.1\r\nHost: HOST\r\nOrigin: http://evil.example\r\n" + close + marks +
           "Content-Length: 2\r\n\r\n{}",
       403, "foreign Origin"},
      {"cross-site read", "GET /metrics HTTP/1.1\r\nHost: HOST\r\nSec-Fetch-Site: cross-site\r\n" + close + "\r\n", 403,
       "cross-site"},
      {"preflight gets no CORS",
       "OPTIONS /api/v1/stop HTTP/1.1\r\nHost: HOST\r\nAccess-Control-Request-Method: POST\r\n" + close + "\r\n", 405,
       "Allow: POST"},
      {"GET on a change", "GET /api/v1/stop HTTP/1.1\r\nHost: HOST\r\n" + close + "\r\n", 405, "Allow: POST"},
      {"plain form post",
       "POST /api/v1/stop HTTP/1.1\r\nHost: HOST\r\nContent-Type: text/plain\r\n" + close +
           "Content-Length: 2\r\n\r\n{}",
       403, "X-Understudy: 1"},
      {"not JSON",
       "POST /api/v1/stop HTTP/1.1\r\nHost: HOST\r\nX-Understudy: 1\r\nContent-Type: text/plain\r\n" + close +
           "Content-Length: 2\r\n\r\n{}",
       415, "application/json"},
      {"good change", "POST /api/v1/stop HTTP/1.1\r\nHost: HOST\r\n" + close + marks + "Content-Length: 2\r\n\r\n{}",
       200, "stopping"},
      {"chunked change",
       "POST /api/v1/check HTTP/1.1\r\nHost: HOST\r\n" + close + marks +
           "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
       200, "the file is good"},
      {"two lengths",
       "POST /api/v1/stop HTTP/1.1\r\nHost: HOST\r\n" + marks + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400,
       "problem+json"},
      {"length and chunked",
       "POST /api/v1/stop HTTP/1.1\r\nHost: HOST\r\n" + marks +
           "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400, "Connection: close"},
      {"bad chunk",
       "POST /api/v1/check HTTP/1.1\r\nHost: HOST\r\n" + close + marks + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
       400, "problem+json"},
      {"no Host", "GET /livez HTTP/1.1\r\n\r\n", 400, "problem+json"},
      {"garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "Connection: close"},
      {"huge head", "GET /livez HTTP/1.1\r\nHost: HOST\r\nX: " + std::string(20'000, 'a') + "\r\n\r\n", 431,
       "problem+json"},
      {"long target", "GET /" + std::string(5'000, 'a') + " HTTP/1.1\r\nHost: HOST\r\n\r\n", 414, "problem+json"},
      {"broken JSON", "POST /api/v1/stop HTTP/1.1\r\nHost: HOST\r\n" + close + marks + "Content-Length: 1\r\n\r\n{",
       400, "not valid JSON"},
      {"unknown path", "GET /wp-login.php HTTP/1.1\r\nHost: HOST\r\n" + close + "\r\n", 404, "no such path"},
  };
  RunningServer server;
  for (const RawCase& c : cases) {
    const std::string answer = ask_raw(server.address(), fill(c.bytes, server.host()));
    EXPECT_EQ(status_of(answer), c.status) << c.name << "\n" << answer;
    EXPECT_NE(answer.find(c.contains), std::string::npos) << c.name << "\n" << answer;
    EXPECT_NE(answer.find("X-Frame-Options: DENY"), std::string::npos) << c.name;
    EXPECT_EQ(answer.find("Access-Control-Allow"), std::string::npos) << c.name;
    EXPECT_EQ(answer.find("TIMEOUT"), std::string::npos) << c.name;
  }
  EXPECT_EQ(server.control.stops.size(), 1U) << "only the good change came through";
  EXPECT_EQ(server.control.reloads, 0);
}

TEST(AdminServer, EveryRuleRowHoldsInOneBytePieces) {
  RunningServer server;
  RawClient client(server.address());
  for (const char c : post(server, "/api/v1/failover", R"({"pool":"app"})")) client.send({&c, 1});
  EXPECT_EQ(status_of(client.read_all()), 200);
  EXPECT_EQ(server.control.commands.size(), 1U);
}

TEST(AdminServer, ServesOverAUnixSocketAndNamesTheUser) {
  RunningServer server({}, true);
  EXPECT_EQ(status_of(ask_raw(server.address(), post(server, "/api/v1/failback", R"({"pool":"app"})"))), 200);
  ASSERT_EQ(server.control.commands.size(), 1U);
  EXPECT_EQ(server.control.commands[0].who, "unix uid " + std::to_string(::getuid()));
}

TEST(AdminServer, NamesLoopbackAndTokenHolders) {
  RunningServer open;
  ask_raw(open.address(), post(open, "/api/v1/failback", R"({"pool":"app"})"));
  ASSERT_EQ(open.control.commands.size(), 1U);
  EXPECT_EQ(open.control.commands[0].who, "loopback");

  RunningServer guarded(with_token());
  std::string request = post(guarded, "/api/v1/failback", R"({"pool":"app"})");
  request.insert(request.find("X-Understudy"), "Authorization: Bearer correct horse\r\n");
  ask_raw(guarded.address(), request);
  ASSERT_EQ(guarded.control.commands.size(), 1U);
  EXPECT_EQ(guarded.control.commands[0].who, "token holder, loopback");
}

TEST(AdminServer, KeepsConnectionsAndAnswersPipelinedRequestsInOrder) {
  RunningServer server;
  RawClient client(server.address());
  const std::string host = "Host: " + server.host() + "\r\n";
  client.send("GET /livez HTTP/1.1\r\n" + host + "\r\nGET /nowhere HTTP/1.1\r\n" + host +
              "\r\nPOST /api/v1/check HTTP/1.1\r\n" + host +
              "X-Understudy: 1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" +
              "GET /api/v1/version HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n");
  const std::string all = client.read_all();
  const std::size_t first = all.find("ok\n"), second = all.find("404"), third = all.find("the file is good"),
                    fourth = all.find("\"version\"");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_LT(third, fourth);
  EXPECT_NE(fourth, std::string::npos) << all;
  EXPECT_EQ(server.counters().accepted, 1U);
}

TEST(AdminServer, TellsAWaitingClientToContinue) {
  RunningServer server;
  RawClient client(server.address());
  const std::string head = "POST /api/v1/check HTTP/1.1\r\nHost: " + server.host() +
                           "\r\nConnection: close\r\nX-Understudy: 1\r\nContent-Type: application/json\r\n"
                           "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  client.send(head);
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("{}");
  EXPECT_EQ(status_of(client.read_all()), 200);
}

TEST(AdminServer, RefusesHugeBodiesWithoutReadingThem) {
  RunningServer server;
  std::string announced = post(server, "/api/v1/check", "");
  announced.replace(announced.find("Content-Length: 0"), 17, "Content-Length: 65537");
  const std::string early = ask_raw(server.address(), announced);
  EXPECT_EQ(status_of(early), 413) << early;

  RawClient client(server.address());
  std::string chunked = post(server, "/api/v1/check", "");
  chunked.replace(chunked.find("Content-Length: 0"), 17, "Transfer-Encoding: chunked");
  client.send(chunked);
  const std::string chunk = "4000\r\n" + std::string(0x4000, 'x') + "\r\n";
  for (int i = 0; i < 5; ++i) client.send(chunk);
  const std::string answer = client.read_all();
  EXPECT_EQ(status_of(answer), 413) << answer.substr(0, 300);
  EXPECT_EQ(answer.find("RESET"), std::string::npos) << "the answer survives the unread body";
  EXPECT_EQ(server.control.checks, 0);

  const std::string fits = ask_raw(server.address(), post(server, "/api/v1/check", std::string(65534, ' ') + "{}"));
  EXPECT_EQ(status_of(fits), 200) << "64 KiB exactly";
}

TEST(AdminServer, ATokenIsAskedForEverywhere) {
  RunningServer server(with_token());
  for (const char* path : {"/", "/livez", "/metrics", "/api/v1/status", "/nowhere"}) {
    const std::string answer = ask_raw(server.address(), get(server, path));
    EXPECT_TRUE(status_of(answer) == 401 || status_of(answer) == 429) << path;
  }
  RunningServer second(with_token());
  EXPECT_EQ(status_of(ask_raw(second.address(), get(second, "/livez", "Authorization: Bearer correct horse\r\n"))),
            200);
  const std::string missing = ask_raw(second.address(), get(second, "/livez"));
  EXPECT_EQ(status_of(missing), 401);
  EXPECT_NE(missing.find("WWW-Authenticate: Bearer"), std::string::npos);
  EXPECT_EQ(status_of(ask_raw(second.address(), get(second, "/livez", "Authorization: Bearer correct hors\r\n"))), 401);
}

TEST(AdminServer, TenThousandBadTokensAreBraked) {
  RunningServer server(with_token());
  RawClient operator_client(server.address());  // logged in before the flood
  const std::string good =
      "GET /livez HTTP/1.1\r\nHost: " + server.host() + "\r\nAuthorization: Bearer correct horse\r\n\r\n";
  operator_client.send(good);
  ASSERT_TRUE(operator_client.read_until("ok\n").starts_with("HTTP/1.1 200"));

  const auto begin = Clock::now();
  RawClient attacker(server.address());
  std::size_t unauthorized = 0, braked = 0;
  for (int round = 0; round < 100; ++round) {
    std::string burst;
    for (int i = 0; i < 100; ++i) {
      burst += "GET /livez HTTP/1.1\r\nHost: " + server.host() + "\r\nAuthorization: Bearer guess" +
               std::to_string(round * 100 + i) +
               (round == 99 && i == 99 ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n");
    }
    attacker.send(burst);
    std::string answers = round == 99 ? attacker.read_all() : std::string{};
    std::size_t seen = 0;
    const auto count = [&] {
      seen = 0;
      for (std::size_t at = answers.find("HTTP/1.1 4"); at != std::string::npos;
           at = answers.find("HTTP/1.1 4", at + 1))
        ++seen;
      return seen;
    };
    while (round < 99 && count() < 100) {
      char block[65536];
      const ssize_t n = ::recv(attacker.fd(), block, sizeof block, 0);
      ASSERT_GT(n, 0);
      answers.append(block, static_cast<std::size_t>(n));
    }
    for (std::size_t at = answers.find("HTTP/1.1 401"); at != std::string::npos;
         at = answers.find("HTTP/1.1 401", at + 1))
      ++unauthorized;
    for (std::size_t at = answers.find("HTTP/1.1 429"); at != std::string::npos;
         at = answers.find("HTTP/1.1 429", at + 1))
      ++braked;
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  EXPECT_EQ(unauthorized + braked, 10'000U);
  EXPECT_LE(static_cast<double>(unauthorized), 5 + 5 * seconds + 2) << "five at once and five a second";
  const Counters counters = server.counters();
  EXPECT_EQ(counters.failed_logins, unauthorized);
  EXPECT_EQ(counters.rate_limited, braked);

  operator_client.send(good);
  EXPECT_TRUE(operator_client.read_until("ok\n").starts_with("HTTP/1.1 200"))
      << "who logged in before is not locked out";
}

TEST(AdminServer, WhileBrakedEvenTheRightTokenGetsNoAnswer) {
  Options options = with_token();
  options.failed_logins_per_second = 1;
  RunningServer server(options);
  EXPECT_EQ(status_of(ask_raw(server.address(), get(server, "/livez", "Authorization: Bearer wrong\r\n"))), 401);
  const std::string answer =
      ask_raw(server.address(), get(server, "/livez", "Authorization: Bearer correct horse\r\n"));
  EXPECT_EQ(status_of(answer), 429);
  EXPECT_NE(answer.find("Retry-After: 1"), std::string::npos);
}

TEST(AdminServer, SlowClientsDoNotHoldOthersUp) {
  Options options;
  options.max_connections = 8;
  options.header_timeout = milliseconds(60'000);
  RunningServer server(options);
  std::vector<std::unique_ptr<RawClient>> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(std::make_unique<RawClient>(server.address()));
    slow.back()->send("GET /livez HTTP/1.1\r\nHo");
  }
  const auto begin = Clock::now();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(status_of(ask_raw(server.address(), get(server, "/livez"))), 200);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
  const Counters counters = server.counters();
  EXPECT_LE(counters.connections, 8U);
  EXPECT_GE(counters.evicted, 12U);
  EXPECT_EQ(counters.turned_away, 0U);
}

TEST(AdminServer, AnUnfinishedHeadIsGivenUpInTime) {
  Options options;
  options.header_timeout = milliseconds(100);
  RunningServer server(options);
  RawClient silent(server.address());
  RawClient partial(server.address());
  partial.send("GET /livez HT");
  EXPECT_EQ(silent.read_all(), "");
  EXPECT_EQ(status_of(partial.read_all()), 408);
  RawClient body(server.address());
  std::string request = post(server, "/api/v1/check", "{}");
  body.send(request.substr(0, request.size() - 1));
  EXPECT_EQ(body.read_all(), "") << "a body that never ends is cut";
  EXPECT_EQ(server.counters().timeouts, 3U);
}

TEST(AdminServer, IdleConnectionsAreClosed) {
  Options options;
  options.idle_timeout = milliseconds(100);
  RunningServer server(options);
  RawClient client(server.address());
  client.send("GET /livez HTTP/1.1\r\nHost: " + server.host() + "\r\n\r\n");
  const std::string all = client.read_all();
  EXPECT_TRUE(all.ends_with("ok\n")) << all;
}

TEST(AdminServer, AClientThatDoesNotReadIsGivenUpAndHoldsNobody) {
  Options options;
  options.write_timeout = milliseconds(300);
  RunningServer server(options);
  server.control.metrics_bytes = 32 * 1024 * 1024;
  RawClient deaf(server.address());
  deaf.send(get(server, "/metrics"));
  RawClient other(server.address());
  other.send(get(server, "/livez"));
  EXPECT_EQ(status_of(other.read_all()), 200);
  const std::string cut = (std::this_thread::sleep_for(milliseconds(500)), deaf.read_all());
  EXPECT_LT(cut.size(), server.control.metrics_bytes);
}

TEST(AdminServer, SlowBodiesAndDeafReadersMakeRoomToo) {
  Options options;
  options.max_connections = 4;
  RunningServer server(options);
  server.control.metrics_bytes = 32 * 1024 * 1024;
  std::vector<std::unique_ptr<RawClient>> greedy;
  for (int i = 0; i < 4; ++i) {
    greedy.push_back(std::make_unique<RawClient>(server.address()));
    const std::string change = post(server, "/api/v1/check", "{}");
    greedy.back()->send(i % 2 ? get(server, "/metrics") : change.substr(0, change.size() - 1));
  }
  while (server.counters().requests < 4) std::this_thread::yield();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(status_of(ask_raw(server.address(), get(server, "/livez"))), 200);
  EXPECT_EQ(server.counters().turned_away, 0U);
  EXPECT_EQ(server.control.checks, 0);
}

TEST(AdminServer, WhenAllConnectionsAreBusyTheNextIsTurnedAway) {
  Options options;
  options.max_connections = 2;
  RunningServer server(options);
  server.control.reload_later = true;
  RawClient first(server.address()), second(server.address());
  first.send(post(server, "/api/v1/reload", "{}"));
  second.send(post(server, "/api/v1/reload", "{}"));
  while (server.on_thread([&] { return server.control.reloads; }) < 2) std::this_thread::yield();
  EXPECT_EQ(status_of(ask_raw(server.address(), "")), 503);
  EXPECT_EQ(server.counters().turned_away, 1U);
}

TEST(AdminServer, AReloadAnswersWhenItHasHappened) {
  RunningServer server;
  server.control.reload_later = true;
  RawClient client(server.address());
  client.send(post(server, "/api/v1/reload", "{}"));
  while (server.on_thread([&] { return server.control.reloads; }) == 0) std::this_thread::yield();
  server.on_thread([&] {
    const auto done = server.control.pending_reload;
    done(Problem{422, "the file has errors", "understudy.toml:1:1: error: x"});
    done(boost::json::value(nullptr));  // a second answer changes nothing
  });
  const std::string answer = client.read_all();
  EXPECT_EQ(status_of(answer), 422);
  EXPECT_NE(answer.find("understudy.toml:1:1"), std::string::npos);
}

TEST(AdminServer, AReloadThatDoesNotEndIsReported) {
  Options options;
  options.command_timeout = milliseconds(50);
  RunningServer server(options);
  server.control.reload_later = true;
  EXPECT_EQ(status_of(ask_raw(server.address(), post(server, "/api/v1/reload", "{}"))), 504);
  server.on_thread([&] { server.control.pending_reload(Problem{}); });  // too late: harmless
  EXPECT_EQ(status_of(ask_raw(server.address(), get(server, "/livez"))), 200);
}

TEST(AdminServer, DiesSafelyWithWorkUnderWay) {
  {
    RunningServer server;
    server.control.reload_later = true;
    RawClient waiting(server.address()), idle(server.address()), half(server.address());
    waiting.send(post(server, "/api/v1/reload", "{}"));
    half.send("GET /li");
    while (server.on_thread([&] { return server.control.reloads; }) == 0) std::this_thread::yield();
  }
  SUCCEED() << "sanitizers tell";
}

TEST(AdminServer, StopLetsAnAnswerOutAndTakesNothingNew) {
  RunningServer server;
  server.control.reload_later = true;
  RawClient busy(server.address()), idle(server.address());
  busy.send(post(server, "/api/v1/reload", "{}"));
  while (server.on_thread([&] { return server.control.reloads; }) == 0) std::this_thread::yield();
  server.on_thread([&] { server.server().stop(); });
  EXPECT_EQ(idle.read_all(), "");
  server.on_thread([&] {
    server.control.pending_reload(boost::json::value(boost::json::object{{"result", "reloaded"}}));
  });
  EXPECT_EQ(status_of(busy.read_all()), 200);
  EXPECT_THROW(RawClient{server.address()}, std::runtime_error);
}

TEST(AdminServer, AReloadedTokenHoldsFromTheNextRequest) {
  RunningServer server;
  EXPECT_EQ(status_of(ask_raw(server.address(), get(server, "/livez"))), 200);
  config::AdminConfig config;
  config.max_connections = 32;
  config.token = config::Secret{"new"};
  server.on_thread([&] { server.server().update(config); });
  EXPECT_EQ(status_of(ask_raw(server.address(), get(server, "/livez"))), 401);
  EXPECT_EQ(status_of(ask_raw(server.address(), get(server, "/livez", "Authorization: Bearer new\r\n"))), 200);
}

TEST(AdminServer, OffLoopbackItNeedsAToken) {
  boost::asio::io_context context;
  FakeControl control;
  const auto listen_anywhere = [] {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in name{};
    name.sin_family = AF_INET;  // bound to every address, never told to listen: only the address is looked at
    ::bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name);
    return fd;
  };
  Server open(context, {}, control);
  try {
    open.start(listen_anywhere());
    FAIL() << "must not start";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("set admin.token"), std::string::npos);
  }
  Server guarded(context, with_token(), control);
  EXPECT_NO_THROW(guarded.start(listen_anywhere()));
}

TEST(AdminServer, DescriptorsAreCloseOnExec) {
  TemporaryFolder folder;
  const Opened opened = open_listener(unix_address(folder.file("a.sock")));
  ASSERT_GE(opened.fd, 0) << opened.error;
  EXPECT_TRUE(::fcntl(opened.fd, F_GETFD) & FD_CLOEXEC);
  EXPECT_TRUE(::fcntl(opened.fd, F_GETFL) & O_NONBLOCK);
  ::close(opened.fd);
}

TEST(AdminServer, TheSocketFileGoesWithTheServer) {
  RunningServer server({}, true);
  ASSERT_TRUE(std::filesystem::is_socket(server.address().path));
  server.on_thread([&] { server.server().stop(); });
  EXPECT_FALSE(std::filesystem::exists(server.address().path)) << "a stale file would make clients guess";
}

}  // namespace
}  // namespace understudy::admin
