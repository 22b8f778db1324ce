// An origin on a thread of its own, and a client that reads bytes as they come, without a proxy between them.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "config/scenario.hpp"
#include "proxy/drill/origin.hpp"

namespace understudy::drill {

using namespace std::chrono_literals;

inline double seconds_since(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

// An io_context that runs until the end of its scope.
class Loop {
public:
  Loop() : work_(asio::make_work_guard(io)), thread_([this] { io.run(); }) {}
  ~Loop() { finish(); }
  // Until nothing is left to be done.
  void finish() {
    work_.reset();
    if (thread_.joinable()) thread_.join();
  }
  template <class Call>
  auto on(Call call) {
    std::packaged_task<decltype(call())()> task(std::move(call));
    auto result = task.get_future();
    asio::post(io, [&task] { task(); });
    return result.get();
  }
  asio::io_context io{1};

private:
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::thread thread_;
};

inline config::Scenario scenario_of(const std::string& text) {
  const std::string whole = "name = \"x\"\n" + text + "[expect]\nmoves = 9\n";
  const config::ScenarioResult result = config::load_scenario(whole, "x.toml");
  EXPECT_EQ(config::render(result.diagnostics, whole), "");
  if (!result.scenario) throw std::runtime_error("refused: " + text);
  return *result.scenario;
}

// One origin, 'a' in tier 'primary', with the faults of a scenario, which has begun.
class OneOrigin {
public:
  explicit OneOrigin(const std::string& text) : scenario(scenario_of(text)) {
    loop.on([this] {
      origin = std::make_unique<Origin>(loop.io, OriginScript(scenario, "primary", "a"), OriginSettings{3, {}}, ledger);
      return 0;
    });
  }
  ~OneOrigin() {
    loop.on([this] {
      origin->stop();
      return 0;
    });
    loop.finish();
  }
  void begin() {
    loop.on([this] {
      origin->begin(Clock::now());
      return 0;
    });
  }
  std::uint32_t executed(std::uint64_t id) {
    return loop.on([this, id] { return ledger.times(id); });
  }

  config::Scenario scenario;
  Ledger ledger;
  Loop loop;
  std::unique_ptr<Origin> origin;
};

// A client with nothing clever in it. Every wait is bounded.
class PlainClient {
public:
  explicit PlainClient(std::uint16_t port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  ~PlainClient() { ::close(fd_); }
  PlainClient(const PlainClient&) = delete;
  PlainClient& operator=(const PlainClient&) = delete;

  // "connected", "refused", "silent"
  std::string connected(std::chrono::milliseconds within = 300ms) {
    pollfd poll{fd_, POLLOUT, 0};
    if (::poll(&poll, 1, static_cast<int>(within.count())) == 0) return "silent";
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    return error == 0 ? "connected" : error == ECONNREFUSED ? "refused" : "error";
  }
  void send(const std::string& bytes) {
    EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), ssize_t(bytes.size()));
  }
  void ask(std::uint64_t id, const std::string& method = "GET", const std::string& more = "\r\n") {
    send(method + " / HTTP/1.1\r\nHost: x\r\nDrill-Id: " + std::to_string(id) + "\r\n" + more);
  }
  void probe() { send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); }
  void upgrade(std::uint64_t id) {
    ask(id, "GET",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  }
  // Until `size` bytes are there, or the end, or the time is over. What ended it stands in `end`.
  std::string read(std::size_t size, std::chrono::milliseconds within = 2s) {
    const auto until = Clock::now() + within;
    end = "silent";
    while (in_.size() < size) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
      pollfd poll{fd_, POLLIN, 0};
      if (left <= 0 || ::poll(&poll, 1, static_cast<int>(left)) == 0) break;
      char chunk[4096];
      const ssize_t n = ::recv(fd_, chunk, sizeof chunk, 0);
      if (n <= 0) {
        end = n == 0 ? "eof" : errno == ECONNRESET ? "reset" : "error";
        break;
      }
      in_.append(chunk, static_cast<std::size_t>(n));
      end = "bytes";
    }
    return std::exchange(in_, {});
  }
  // The status of the next answer, or how it ended instead.
  std::string status(std::chrono::milliseconds within = 2s) {
    std::string text = read(12, within);
    if (text.size() < 12) return end;
    const auto until = Clock::now() + within;
    while (text.find("\r\n\r\n") == std::string::npos && Clock::now() < until) text += read(1, 100ms);
    const std::size_t body = text.find("\r\n\r\n") + 4, at = text.find("Content-Length: ");
    if (at != std::string::npos && at < body) {
      const std::size_t whole = body + std::stoul(text.substr(at + 16));
      while (text.size() < whole && Clock::now() < until) {
        text += read(1, 100ms);
        if (end == "eof" || end == "reset") break;
      }
      if (text.size() < whole) return "cut";
    }
    last = text;
    return text.substr(9, 3);
  }

  std::string end, last;

private:
  int fd_ = -1;
  std::string in_;
};

}  // namespace understudy::drill
