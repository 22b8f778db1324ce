// An admin server on a thread of its own, and a client that speaks raw bytes to it.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "proxy/admin/listener.hpp"
#include "proxy/admin/server.hpp"
#include "tests/admin/fake_control.hpp"

namespace understudy::admin {

// A folder for one test's socket files.
class TemporaryFolder {
public:
  TemporaryFolder() {
    char name[] = "/tmp/understudy-admin-XXXXXX";
    if (!::mkdtemp(name)) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
  std::string path_;
};

inline config::Address tcp_address(const std::string& host, std::uint16_t port) {
  config::Address address;
  address.text = host + ":" + std::to_string(port);
  address.host = host;
  address.port = port;
  return address;
}
inline config::Address unix_address(const std::string& path) {
  config::Address address;
  address.text = "unix:" + path;
  address.path = path;
  return address;
}

class RunningServer {
public:
  explicit RunningServer(Options options = {}, bool on_unix = false) {
    const Opened opened =
        open_listener(on_unix ? unix_address(folder_.file("admin.sock")) : tcp_address("127.0.0.1", 0));
    if (opened.fd < 0) throw std::runtime_error(opened.error);
    sockaddr_in name{};
    socklen_t length = sizeof name;
    ::getsockname(opened.fd, reinterpret_cast<sockaddr*>(&name), &length);
    address_ = on_unix ? unix_address(folder_.file("admin.sock")) : tcp_address("127.0.0.1", ntohs(name.sin_port));
    server_ = std::make_unique<Server>(context_, std::move(options), control);
    server_->start(opened.fd);
    thread_ = std::thread([this] { context_.run(); });
  }
  ~RunningServer() {
    on_thread([this] { server_.reset(); });
    guard_.reset();
    context_.stop();
    thread_.join();
  }
  // Runs on the control thread and waits for it.
  template <class F>
  std::invoke_result_t<F> on_thread(F f) {
    std::packaged_task<std::invoke_result_t<F>()> task(std::move(f));
    auto result = task.get_future();
    boost::asio::post(context_, [&task] { task(); });
    return result.get();
  }
  Counters counters() {
    return on_thread([this] { return server_->counters(); });
  }
  Server& server() { return *server_; }
  const config::Address& address() const { return address_; }
  std::string host() const { return address_.is_unix() ? "localhost" : address_.text; }

  FakeControl control;  // touch it on the control thread, or while nothing is asked

private:
  TemporaryFolder folder_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_{context_.get_executor()};
  config::Address address_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

class RawClient {
public:
  explicit RawClient(const config::Address& address) {
    fd_ = ::socket(address.is_unix() ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = 0;
    if (address.is_unix()) {
      sockaddr_un name{};
      name.sun_family = AF_UNIX;
      std::memcpy(name.sun_path, address.path.data(), address.path.size());
      result = ::connect(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name);
    } else {
      sockaddr_in name{};
      name.sin_family = AF_INET;
      name.sin_port = htons(address.port);
      name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      result = ::connect(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name);
    }
    if (result != 0) throw std::runtime_error(std::string("connect: ") + std::strerror(errno));
  }
  ~RawClient() { ::close(fd_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  int fd() const { return fd_; }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;  // the server may have answered and closed
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  // Everything until the server closes; "TIMEOUT" at the end when it does not.
  std::string read_all(std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    std::string all;
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
      char block[65536];
      if (!wait(deadline)) return all + "TIMEOUT";
      const ssize_t n = ::recv(fd_, block, sizeof block, 0);
      if (n <= 0) return n == 0 ? all : all + "RESET";
      all.append(block, static_cast<std::size_t>(n));
    }
  }
  // Until `end` was seen (a kept-alive answer); what came so far otherwise.
  std::string read_until(std::string_view end) {
    std::string all;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (all.find(end) == std::string::npos && wait(deadline)) {
      char c = 0;
      if (::recv(fd_, &c, 1, 0) != 1) break;
      all += c;
    }
    return all;
  }

private:
  bool wait(std::chrono::steady_clock::time_point deadline) const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd entry{fd_, POLLIN, 0};
    return left > 0 && ::poll(&entry, 1, static_cast<int>(left)) > 0;
  }
  int fd_ = -1;
};

// One connection, one request, the whole answer.
inline std::string ask_raw(const config::Address& address, std::string_view bytes) {
  RawClient client(address);
  client.send(bytes);
  return client.read_all();
}

}  // namespace understudy::admin
