// A little load, seen with a client's eyes: requests over keep-alive connections, and WebSockets that ask for an echo.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "proxy/demo/origin.hpp"

namespace understudy::demo {

struct Seen {
  std::uint64_t ok = 0;
  std::uint64_t failed = 0;
  std::vector<std::uint32_t> latency_us;
  std::map<std::string, std::uint64_t> by_origin;
  std::uint64_t echoes = 0;
  std::uint64_t sockets_lost = 0;
  std::uint64_t sockets_opened = 0;
  std::string last_failure;
};

class Load {
public:
  Load(asio::io_context& io, tcp::endpoint proxy, unsigned clients, unsigned sockets);
  void start();
  void stop() { stopped_ = true; }
  // What was seen since the last call.
  Seen take();
  unsigned sockets_open() const { return sockets_open_; }
  // Open, but without an answer for longer than a second.
  unsigned sockets_silent() const;

private:
  asio::awaitable<void> client(unsigned index);
  asio::awaitable<void> socket(unsigned index);
  asio::awaitable<std::string> request(tcp::socket& connection, std::string& failure);

  asio::io_context& io_;
  tcp::endpoint proxy_;
  unsigned clients_, sockets_;
  bool stopped_ = false;
  unsigned sockets_open_ = 0;
  std::vector<std::chrono::steady_clock::time_point>
      asked_;  // per socket: since when it waits; min() while it does not
  Seen seen_;
};

}  // namespace understudy::demo
