// Scripted raw origins on loopback, on the test's own io_context, and a runner with a bound. Nothing leaves
// the machine.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/address.hpp"
#include "proxy/probe/prober.hpp"

namespace understudy::probe::test {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

inline config::SocketAddress loopback_v4(std::uint16_t port) {
  config::SocketAddress address;
  address.family = config::SocketAddress::Family::v4;
  address.ip = {127, 0, 0, 1};
  address.port = port;
  return address;
}
inline config::SocketAddress loopback_v6(std::uint16_t port) {
  config::SocketAddress address;
  address.family = config::SocketAddress::Family::v6;
  address.ip[15] = 1;
  address.port = port;
  return address;
}
inline config::SocketAddress unix_address(std::string path) {
  config::SocketAddress address;
  address.family = config::SocketAddress::Family::unix_path;
  address.path = std::move(path);
  return address;
}

// Runs handlers until `ready` or the bound; true when ready.
inline bool run_until(asio::io_context& io, const std::function<bool()>& ready,
                      milliseconds bound = milliseconds(5'000)) {
  const auto end = Clock::now() + bound;
  asio::steady_timer heartbeat(io);  // keeps the context from running dry
  heartbeat.expires_at(end);
  heartbeat.async_wait([](const boost::system::error_code&) {});
  io.restart();
  while (!ready() && Clock::now() < end) io.run_one_until(end);
  return ready();
}

// One accepted connection and what a script does with it.
template <typename Protocol>
class Peer : public std::enable_shared_from_this<Peer<Protocol>> {
public:
  using Then = std::function<void()>;
  explicit Peer(typename Protocol::socket accepted) : socket(std::move(accepted)) {}

  void read_head(Then then) {
    asio::async_read_until(socket, asio::dynamic_buffer(request), "\r\n\r\n",
                           [self = this->shared_from_this(), then](const boost::system::error_code& ec, std::size_t) {
                             if (!ec) then();
                           });
  }
  void send(std::string bytes, Then then = nullptr) {
    auto held = std::make_shared<std::string>(std::move(bytes));
    asio::async_write(
        socket, asio::buffer(*held),
        [self = this->shared_from_this(), held, then](const boost::system::error_code& ec, std::size_t n) {
          self->sent += n;
          if (!ec && then) then();
        });
  }
  // Sends `bytes` again and again until the other side has had enough.
  void flood(const std::string& bytes) {
    send(bytes, [self = this->shared_from_this(), bytes] { self->flood(bytes); });
  }
  // Sends the parts with a pause between them.
  void drip(std::vector<std::string> parts, std::size_t next = 0) {
    if (next == parts.size()) return;
    auto timer = std::make_shared<asio::steady_timer>(socket.get_executor(), milliseconds(5));
    send(parts[next], [self = this->shared_from_this(), timer, parts, next] {
      timer->async_wait([self, timer, parts, next](const boost::system::error_code&) { self->drip(parts, next + 1); });
    });
  }
  void read_more(std::size_t wanted, Then then) {
    asio::async_read(
        socket, asio::dynamic_buffer(request), asio::transfer_at_least(wanted),
        [self = this->shared_from_this(), then](const boost::system::error_code&, std::size_t) { then(); });
  }
  void close() {
    boost::system::error_code ignored;
    socket.close(ignored);
  }
  void reset() {
    const linger off{1, 0};
    ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_LINGER, &off, sizeof off);
    close();
  }

  typename Protocol::socket socket;
  std::string request;
  std::size_t sent = 0;
};

template <typename Protocol>
class BasicOrigin {
public:
  using Connection = std::shared_ptr<Peer<Protocol>>;
  using Script = std::function<void(Connection)>;
  BasicOrigin(asio::io_context& io, const typename Protocol::endpoint& at, Script script, int backlog = 1024)
      : acceptor_(io), script_(std::move(script)) {
    acceptor_.open(at.protocol());
    acceptor_.bind(at);
    acceptor_.listen(backlog);
    if (script_) accept();
  }
  ~BasicOrigin() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    for (const auto& peer : peers) peer->close();
  }
  typename Protocol::endpoint endpoint() const { return acceptor_.local_endpoint(); }
  std::vector<Connection> peers;

private:
  void accept() {
    acceptor_.async_accept([this](const boost::system::error_code& ec, typename Protocol::socket socket) {
      if (ec) return;  // closed: `this` may be gone
      auto peer = std::make_shared<Peer<Protocol>>(std::move(socket));
      peers.push_back(peer);
      accept();
      script_(peer);
    });
  }
  typename Protocol::acceptor acceptor_;
  Script script_;
};
using Tcp = asio::ip::tcp;
using Local = asio::local::stream_protocol;
using TcpPeer = std::shared_ptr<Peer<Tcp>>;

// A TCP origin on 127.0.0.1. Without a script it listens and never accepts.
class Origin : public BasicOrigin<Tcp> {
public:
  Origin(asio::io_context& io, Script script, int backlog = 1024)
      : BasicOrigin(io, {asio::ip::address_v4::loopback(), 0}, std::move(script), backlog) {}
  std::uint16_t port() const { return endpoint().port(); }
  config::SocketAddress address() const { return loopback_v4(port()); }
};

// Answers every request with `bytes` and leaves the connection open.
inline Origin::Script answer(std::string bytes) {
  return [bytes = std::move(bytes)](TcpPeer peer) { peer->read_head([peer, bytes] { peer->send(bytes); }); };
}

// A port on which nobody listens: bound, so that nobody else takes it, but without listen().
class RefusingPort {
public:
  explicit RefusingPort(asio::io_context& io) : socket_(io) {
    socket_.open(Tcp::v4());
    socket_.bind({asio::ip::address_v4::loopback(), 0});
  }
  config::SocketAddress address() const { return loopback_v4(socket_.local_endpoint().port()); }

private:
  Tcp::socket socket_;
};

struct Job {
  config::CheckConfig check;
  config::SocketAddress address;
  std::string host = "127.0.0.1";
  std::shared_ptr<const TlsSettings> tls;
  std::shared_ptr<const Synthetic> synthetic = {};
  bool agent = false;
};
// Not inlined: g++ 12 warns wrongly about CheckConfig's initializer list when it is.
[[gnu::noinline]] inline Job job(config::CheckKind kind, const config::SocketAddress& address,
                                 milliseconds timeout = milliseconds(2'000)) {
  Job made;
  made.check.kind = kind;
  made.check.timeout = timeout;
  if (kind == config::CheckKind::http) made.check.path = "/healthz";
  if (kind == config::CheckKind::websocket) made.check.path = "/ws";
  made.address = address;
  return made;
}
inline ProbeRequest request_of(const Job& what) {
  return {what.address,
          what.host,
          std::make_shared<config::CheckConfig>(what.check),
          what.tls,
          Clock::now() + what.check.timeout,
          what.synthetic,
          what.agent};
}

class ProberTest : public ::testing::Test {
protected:
  // Runs one probe to its end; again when the prober says that this process was too late to judge.
  health::ProbeResult probe(const Job& what) {
    health::ProbeResult result;
    for (int i = 0; i < 5; ++i) {
      result = probe_once(what);
      if (result.detail.find("delayed in this process") == std::string::npos) break;
    }
    return result;
  }
  health::ProbeResult probe_once(const Job& what) {
    std::optional<health::ProbeResult> result;
    Prober prober(io);
    prober.start(request_of(what), [&result](health::ProbeResult r) {
      EXPECT_FALSE(result.has_value()) << "answered twice";
      result = std::move(r);
    });
    EXPECT_FALSE(result.has_value()) << "answered from inside start()";
    EXPECT_TRUE(run_until(
        io, [&] { return result.has_value(); }, what.check.timeout + milliseconds(5'000)));
    EXPECT_EQ(prober.running(), 0u);
    if (!result) return {health::Cause::count, 0, {}, "no result"};
    EXPECT_LE(result->detail.size(), 200u);
    EXPECT_FALSE(result->detail.empty());
    return *result;
  }
  asio::io_context io;
};

// What a probe must have come to, with the detail for the failure message.
#define EXPECT_CAUSE(result, expected) \
  EXPECT_EQ(health::name_of((result).cause), health::name_of(expected)) << (result).detail

}  // namespace understudy::probe::test
