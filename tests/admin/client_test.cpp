#include "proxy/admin/client.hpp"

#include <gtest/gtest.h>

#include "tests/admin/running_server.hpp"

namespace understudy::admin {
namespace {

using std::chrono::milliseconds;

Client client_of(const config::Address& address, std::string token = {}) {
  ClientOptions options;
  options.address = address;
  options.token = std::move(token);
  return Client(options);
}

TEST(AdminClient, AsksOverTcpAndUnixSockets) {
  for (const bool on_unix : {false, true}) {
    RunningServer server({}, on_unix);
    const auto result = client_of(server.address()).request("GET", "/api/v1/version");
    ASSERT_TRUE(std::holds_alternative<Answer>(result)) << std::get<NotReachable>(result).why;
    EXPECT_EQ(std::get<Answer>(result).status, 200U);
    EXPECT_EQ(std::get<Answer>(result).content_type, "application/json");
    EXPECT_EQ(std::get<Answer>(result).body, "{\"version\":\"0.1.0\"}\n");
    const auto changed = client_of(server.address()).request("POST", "/api/v1/failback", R"({"pool":"app"})");
    EXPECT_EQ(std::get<Answer>(changed).status, 200U);
    EXPECT_EQ(std::get<health::Failback>(server.control.commands.at(0).command).pool, "app");
  }
}

TEST(AdminClient, ResolvesNames) {
  RunningServer server;
  const auto result = client_of(tcp_address("localhost", server.address().port)).request("GET", "/livez");
  ASSERT_TRUE(std::holds_alternative<Answer>(result)) << std::get<NotReachable>(result).why;
  EXPECT_EQ(std::get<Answer>(result).status, 200U);
}

TEST(AdminClient, SendsItsToken) {
  Options options;
  options.token = "t0ken";
  RunningServer server(options);
  EXPECT_EQ(std::get<Answer>(client_of(server.address(), "t0ken").request("GET", "/livez")).status, 200U);
  EXPECT_EQ(std::get<Answer>(client_of(server.address(), "other").request("GET", "/livez")).status, 401U);
}

TEST(AdminClient, TakesLargeAnswers) {
  RunningServer server;
  server.control.metrics_bytes = 3'000'000;
  const auto result = client_of(server.address()).request("GET", "/metrics");
  EXPECT_EQ(std::get<Answer>(result).body, std::string(3'000'000, 'm'));
}

TEST(AdminClient, SaysWhenNobodyIsThere) {
  TemporaryFolder folder;
  const auto no_file = client_of(unix_address(folder.file("none.sock"))).request("GET", "/livez");
  ASSERT_TRUE(std::holds_alternative<NotReachable>(no_file));
  EXPECT_NE(std::get<NotReachable>(no_file).why.find("no daemon answers at unix:"), std::string::npos);

  const Opened opened = open_listener(unix_address(folder.file("stale.sock")));
  ::close(opened.fd);
  EXPECT_TRUE(
      std::holds_alternative<NotReachable>(client_of(unix_address(folder.file("stale.sock"))).request("GET", "/")));
}

TEST(AdminClient, GivesUpOnADaemonThatAcceptsButDoesNotAnswer) {
  const Opened opened = open_listener(tcp_address("127.0.0.1", 0));
  sockaddr_in name{};
  socklen_t length = sizeof name;
  ::getsockname(opened.fd, reinterpret_cast<sockaddr*>(&name), &length);
  ClientOptions options;
  options.address = tcp_address("127.0.0.1", ntohs(name.sin_port));
  options.answer_timeout = milliseconds(100);
  const auto result = Client(options).request("GET", "/livez");
  ASSERT_TRUE(std::holds_alternative<NotReachable>(result));
  EXPECT_NE(std::get<NotReachable>(result).why.find("no answer in time"), std::string::npos);
  ::close(opened.fd);
}

struct WireCase {
  const char* name;
  std::string bytes;
  bool answered;
  const char* body_or_why;
};

TEST(AdminClient, ReadsEveryFramingAndRefusesBrokenAnswers) {
  const std::vector<WireCase> cases = {
      {"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true, "hi"},
      {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", true, "hi"},
      {"until close", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi", true, "hi"},
      {"after a 1xx", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true, "hi"},
      {"cut", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", false, "cut off"},
      {"cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", false, "cut off"},
      {"nothing", "", false, "without an answer"},
      {"half a head", "HTTP/1.1 200 OK\r\nContent-", false, "cut off"},
      {"another protocol", "SSH-2.0-OpenSSH_9.2\r\n", false, "no valid HTTP"},
  };
  for (const WireCase& c : cases) {
    const Opened opened = open_listener(tcp_address("127.0.0.1", 0));
    ASSERT_GE(opened.fd, 0);
    sockaddr_in name{};
    socklen_t length = sizeof name;
    ::getsockname(opened.fd, reinterpret_cast<sockaddr*>(&name), &length);
    std::thread server([&] {
      pollfd entry{opened.fd, POLLIN, 0};
      ::poll(&entry, 1, 10'000);
      const int fd = ::accept4(opened.fd, nullptr, nullptr, SOCK_CLOEXEC);
      std::string asked;
      char block[4096];
      while (asked.find("\r\n\r\n") == std::string::npos) {
        const ssize_t n = ::recv(fd, block, sizeof block, 0);
        if (n <= 0) break;
        asked.append(block, static_cast<std::size_t>(n));
      }
      ::send(fd, c.bytes.data(), c.bytes.size(), MSG_NOSIGNAL);
      ::close(fd);
    });
    const auto result = client_of(tcp_address("127.0.0.1", ntohs(name.sin_port))).request("GET", "/livez");
    server.join();
    ::close(opened.fd);
    EXPECT_EQ(std::holds_alternative<Answer>(result), c.answered) << c.name;
    const std::string text =
        std::holds_alternative<Answer>(result) ? std::get<Answer>(result).body : std::get<NotReachable>(result).why;
    EXPECT_NE(text.find(c.body_or_why), std::string::npos) << c.name << ": " << text;
  }
}

}  // namespace
}  // namespace understudy::admin
