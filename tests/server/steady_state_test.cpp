// A request on a connection that was used before allocates nothing: counted by this binary's own operator new, in the worker's
// thread, with bytes over real sockets.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <future>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "config/load.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/net/worker.hpp"
#include "proxy/server/plan_builder.hpp"

namespace {
std::atomic<std::size_t> allocations{0};
thread_local bool counted = false;

void* allocate(std::size_t size) noexcept {
  if (counted) ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
}  // namespace

void* operator new(std::size_t size) {
  if (void* memory = allocate(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace understudy::server {
namespace {

// A connected blocking socket with what was read of it beyond the last message.
class Peer {
public:
  explicit Peer(int fd) : fd_(fd) {}
  explicit Peer(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage address;
    const socklen_t length = net::to_sockaddr(loopback(port), address);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), length) != 0) throw std::runtime_error("connect");
  }
  ~Peer() { ::close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) throw std::runtime_error("send");
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  // Up to and with `end`; empty when the other side has closed.
  std::string read_to(std::string_view end) {
    for (;;) {
      const std::size_t at = text_.find(end);
      if (at != std::string::npos) {
        std::string out = text_.substr(0, at + end.size());
        text_.erase(0, out.size());
        return out;
      }
      std::array<char, 8192> buffer;
      const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (n <= 0) return {};
      text_.append(buffer.data(), static_cast<std::size_t>(n));
    }
  }

  static config::SocketAddress loopback(std::uint16_t port) {
    config::SocketAddress address;
    address.family = config::SocketAddress::Family::v4;
    address.ip = {127, 0, 0, 1};
    address.port = port;
    return address;
  }

private:
  int fd_;
  std::string text_;
};

int listening(std::uint16_t& port) {
  std::string why;
  const int fd = net::listen_socket(Peer::loopback(0), false, why);
  if (fd < 0) throw std::runtime_error(why);
  sockaddr_storage address;
  socklen_t length = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  port = net::from_sockaddr(address, length).port;
  return fd;
}

// Answers each request by its method, on as many connections as are opened, until told to stop.
class Origin {
public:
  Origin() : fd_(listening(port)) {
    ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) & ~O_NONBLOCK);
    acceptor_ = std::thread([this] {
      for (int fd = ::accept(fd_, nullptr, nullptr); fd >= 0; fd = ::accept(fd_, nullptr, nullptr))
        servers_.emplace_back([fd] { serve(fd); });
    });
  }
  ~Origin() {
    ::shutdown(fd_, SHUT_RDWR);  // wakes accept()
    acceptor_.join();
    for (auto& server : servers_) server.join();  // their connections ended with the worker
    ::close(fd_);
  }
  std::uint16_t port = 0;

private:
  static void serve(int fd) {
    Peer peer(fd);
    for (std::string head = peer.read_to("\r\n\r\n"); !head.empty(); head = peer.read_to("\r\n\r\n")) {
      if (head[0] == 'P') peer.read_to("end");
      if (head.find(" /chunked ") != std::string::npos)
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4\r\n end\r\n0\r\n\r\n");
      else
        peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhello end");
    }
  }
  int fd_;
  std::vector<std::thread> servers_;
  std::thread acceptor_;
};

class SteadyState : public testing::Test {
protected:
  SteadyState() : shared_(1), ring_(1 << 12) {
    shared_.addresses.set_limit(0);
    worker_ = std::make_unique<net::Worker>(0, shared_, &ring_);
    worker_->apply(snapshot());
    fd_ = listening(port_);
    worker_->listen("http", fd_, false);
    thread_ = std::thread([this] { worker_->run(); });
  }
  ~SteadyState() override {
    worker_->post([this] { worker_->finish(); });
    thread_.join();
    worker_.reset();
    ::close(fd_);
  }

  std::shared_ptr<const net::Snapshot> snapshot() {
    const config::LoadContext context{[](const std::string&) { return std::nullopt; },
                                      [](const std::string&) { return std::nullopt; }};
    const std::string address = "127.0.0.1:" + std::to_string(origin_.port);
    config::LoadResult loaded = config::load("[listen.http]\naddress = \"127.0.0.1:8080\"\n[pool.app]\nprimary = [\"" +
                                                 address + "\"]\n[[route]]\nname = \"all\"\npool = \"app\"\n",
                                             "test.toml", context);
    if (!loaded.config) throw std::runtime_error(loaded.diagnostics.empty() ? "config" : loaded.diagnostics[0].message);
    auto made = std::make_shared<net::Snapshot>();
    made->version = 1;
    made->plan = PlanBuilder().build(std::move(*loaded.config), nullptr);
    auto view = std::make_shared<health::View>();
    health::EndpointView endpoint;
    endpoint.id = {0, 1};
    endpoint.address = Peer::loopback(origin_.port);
    endpoint.label = address;
    endpoint.available = true;
    endpoint.load = std::make_shared<health::SharedLoad>();
    health::TierView tier;
    tier.name = "primary";
    tier.endpoints.push_back(endpoint);
    tier.usable = {0};
    tier.serviceable = true;
    tier.membership = 1;
    view->pools.push_back({});
    view->pools.back().name = "app";
    view->pools.back().tiers.push_back(tier);
    made->view = view;
    const std::vector<std::string> listeners{"http"}, routes{"all"}, pools{"app"};
    made->counters.push_back(book_.plan(listeners, routes, pools));
    return made;
  }

  // In the worker's thread, between two turns.
  void count(bool on) {
    std::promise<void> done;
    worker_->post([on, &done] {
      counted = on;
      done.set_value();
    });
    done.get_future().wait();
  }
  // The access log's consumer.
  std::size_t take_records() {
    std::size_t records = 0;
    for (; ring_.front() != nullptr; ring_.pop()) ++records;
    return records;
  }

  Origin origin_;
  net::WorkerShared shared_;
  observe::AccessRing ring_;
  observe::CounterBook book_;
  std::unique_ptr<net::Worker> worker_;
  std::uint16_t port_ = 0;
  int fd_ = -1;
  std::thread thread_;
};

constexpr std::array<std::string_view, 3> kRequests{
    "GET /x HTTP/1.1\r\nHost: a.example\r\nUser-Agent: test/1.0\r\nAccept: */*\r\nCookie: a=b\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nhello end",
    "GET /chunked HTTP/1.1\r\nHost: a.example\r\n\r\n",
};

void ask(Peer& client, std::string_view request) {
  client.send(request);
  const std::string answer =
      client.read_to(request.find("/chunked") == std::string_view::npos ? "end" : "\r\n0\r\n\r\n");
  ASSERT_EQ(answer.substr(0, 15), "HTTP/1.1 200 OK");
}

TEST_F(SteadyState, ARequestOnAConnectionThatWasUsedBeforeAllocatesNothing) {
  std::array<Peer, 3> clients{Peer(port_), Peer(port_), Peer(port_)};
  constexpr int kRounds = 200;
  for (const std::string_view request : kRequests) {
    for (int i = 0; i < 20; ++i)  // blocks, free lists and upstream connections are there afterwards
      for (Peer& client : clients) ask(client, request);
    count(true);  // after the turn in which the last answer left: its record is written too
    take_records();
    const std::size_t before = allocations;
    for (int i = 0; i < kRounds; ++i)
      for (Peer& client : clients) ask(client, request);
    count(false);
    EXPECT_EQ(allocations - before, 0U) << request;
    EXPECT_EQ(take_records(), kRounds * clients.size()) << "every request is logged";
  }
}

TEST_F(SteadyState, WhatDoesAllocateIsCounted) {
  count(true);
  const std::size_t before = allocations;
  Peer client(port_);
  ask(client, kRequests[0]);
  count(false);
  EXPECT_GT(allocations - before, 0U) << "a connection is an allocation";
}

}  // namespace
}  // namespace understudy::server
