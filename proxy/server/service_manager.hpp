// What the service manager is told (systemd's notification protocol): one datagram per message, sent without ever waiting for
// it. What its full socket does not take is kept and sent later; the watchdog is fed only while every worker comes round.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "proxy/net/worker.hpp"

namespace understudy::server {

class ServiceManager {
public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Without a socket everything below does nothing.
  ServiceManager();
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  void say(std::string message);
  // Another process speaks from now on: only what was said before is still sent.
  void retire() { retired_ = true; }
  // STATUS=, only when the text has changed.
  void status(const std::string& text);
  // Every turn of the control loop's beat: sends what was kept, feeds the watchdog.
  void tick(std::chrono::steady_clock::time_point now, const std::vector<std::unique_ptr<net::Worker>>& workers);

private:
  bool send(const std::string& message) const;
  void feed(std::chrono::steady_clock::time_point now, const std::vector<std::unique_ptr<net::Worker>>& workers);

  int fd_ = -1;
  sockaddr_un address_{};
  socklen_t length_ = 0;
  bool retired_ = false;
  std::deque<std::string> kept_;
  std::string last_status_;
  std::chrono::microseconds watchdog_{0};  // half of what was asked for; 0: not wanted
  std::chrono::steady_clock::time_point next_feed_{};
  std::uint64_t round_ = 0;
  // The last round each worker has answered; shared with what is posted to them.
  std::shared_ptr<std::vector<std::atomic<std::uint64_t>>> answered_;
};

}  // namespace understudy::server
