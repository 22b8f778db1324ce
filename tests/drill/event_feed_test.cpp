// Events of a proxy, over the change from one process to the next.
#include "proxy/drill/event_feed.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace understudy::drill {
namespace {

// An admin API behind which each call is answered by the process that is named for it.
class Proxies {
public:
  explicit Proxies(std::vector<pid_t> who) : turns_(std::move(who)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof name;
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&name), length), 0);
    EXPECT_EQ(::listen(fd_, 16), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&name), &length), 0);
    port_ = ntohs(name.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Proxies() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }
  admin::ClientOptions options() const {
    admin::ClientOptions options;
    options.address.host = "127.0.0.1";
    options.address.port = port_;
    options.address.text = "127.0.0.1:" + std::to_string(port_);
    return options;
  }
  std::map<pid_t, int> events;  // how many each has; set before a call
  std::size_t asked() const { return turn_; }

private:
  void serve() {
    for (;;) {
      const int client = ::accept(fd_, nullptr, nullptr);
      if (client < 0) return;
      std::string head;
      char chunk[1024];
      while (head.find("\r\n\r\n") == std::string::npos) {
        const ssize_t n = ::recv(client, chunk, sizeof chunk, 0);
        if (n <= 0) break;
        head.append(chunk, static_cast<std::size_t>(n));
      }
      const std::string body = answer(turns_.at(turn_++), std::atoi(head.c_str() + head.find("since=") + 6));
      const std::string text =
          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " +
          std::to_string(body.size()) + "\r\n\r\n" + body;
      ::send(client, text.data(), text.size(), MSG_NOSIGNAL);
      ::close(client);
    }
  }
  std::string answer(pid_t pid, int since) {
    std::string list;
    for (int id = since + 1; id <= events[pid]; ++id)
      list +=
          std::string(list.empty() ? "" : ",") + R"({"id":)" + std::to_string(id) +
          R"(,"at":"2026-11-26T10:20:30.123Z","kind":"endpoint_added","pool":"","tier":"","endpoint":"","epoch":0,"reason":")" +
          std::to_string(pid) + "." + std::to_string(id) + "\"}";
    return "{\"events\":[" + list + "],\"next\":" + std::to_string(events[pid]) + ",\"pid\":" + std::to_string(pid) +
           "}";
  }

  std::uint16_t port_ = 0;
  int fd_ = -1;
  std::vector<pid_t> turns_;
  std::atomic<std::size_t> turn_{0};
  std::thread thread_;
};

std::string told(EventFeed& feed, const Proxies& proxies) {
  std::string out;
  for (const ProxyEvent& event : feed.take(proxies.options())) out += (out.empty() ? "" : " ") + event.event.reason;
  return out;
}

TEST(EventFeed, TellsEachEventOnceOverAChangeOfProcess) {
  Proxies proxies({10, 10, 20, 20, 10, 20, 20});
  EventFeed feed;
  EXPECT_EQ(feed.pid(), -1);
  proxies.events = {{10, 2}};
  EXPECT_EQ(told(feed, proxies), "10.1 10.2");
  EXPECT_EQ(feed.pid(), 10);
  proxies.events = {{10, 5}};
  EXPECT_EQ(told(feed, proxies), "10.3 10.4 10.5");
  proxies.events[20] = 2;
  EXPECT_EQ(told(feed, proxies), "20.1 20.2") << "asked for those after 5, it is asked again from its first one on";
  EXPECT_EQ(feed.pid(), 20);
  proxies.events[10] = 7;
  proxies.events[20] = 3;
  EXPECT_EQ(told(feed, proxies), "10.6 10.7") << "for a moment both answer";
  EXPECT_EQ(told(feed, proxies), "20.3");
}

TEST(EventFeed, ComesToAnEndWhereTwoTakeTurns) {
  std::vector<pid_t> turns(19, 20);
  for (std::size_t i = 0; i < 13; i += 2) turns[i] = 10;
  Proxies proxies(turns);
  EventFeed feed;
  proxies.events = {{10, 3}, {20, 1}};
  EXPECT_EQ(told(feed, proxies), "10.1 10.2 10.3");
  std::string all;
  for (int i = 0; i < 6; ++i) all += told(feed, proxies);
  EXPECT_EQ(all, "") << "none twice; the other one never answers what it was asked";
  EXPECT_EQ(proxies.asked(), 1 + 6 * 2) << "who was asked with too high a number is asked once more";
  EXPECT_EQ(told(feed, proxies), "20.1") << "once it answers alone";
}

}  // namespace
}  // namespace understudy::drill
