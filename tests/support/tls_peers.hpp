// Two ends of a connection in one thread: readiness as the proxy sees it (edge-triggered), and a plain
// OpenSSL peer to talk to.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/net/tls.hpp"
#include "tests/support/test_certificates.hpp"

namespace understudy::test {

class Fd {
public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd& operator=(Fd&& o) noexcept {
    close();
    fd_ = std::exchange(o.fd_, -1);
    return *this;
  }
  ~Fd() { close(); }
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

private:
  int fd_;
};

inline std::pair<Fd, Fd> socket_pair(int send_buffer = 0) {
  int fds[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  if (send_buffer > 0) {
    for (const int fd : fds) ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
  }
  return {Fd(fds[0]), Fd(fds[1])};
}

// A connected TCP pair on the loopback: what a reset needs.
inline std::pair<Fd, Fd> tcp_pair() {
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  Fd near(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(near.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  Fd far(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  ::fcntl(near.get(), F_SETFL, O_NONBLOCK);
  const int on = 1;
  for (const Fd* fd : {&near, &far}) ::setsockopt(fd->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return {std::move(near), std::move(far)};
}

// Closes with RST instead of FIN.
inline void reset(Fd& fd) {
  const linger now{1, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  fd.close();
}

// A transport whose flags come from edge-triggered epoll and from nowhere else: a session that forgets to
// clear or honour one stands still here as it would in a worker.
class EdgeSocket {
public:
  explicit EdgeSocket(Fd fd) : fd_(std::move(fd)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    transport_.fd = fd_.get();
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    EXPECT_EQ(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd_.get(), &event), 0);
  }
  net::Transport& poll() {
    epoll_event event{};
    if (::epoll_wait(epoll_.get(), &event, 1, 0) == 1) {
      if ((event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) transport_.readable = true;
      if ((event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) transport_.writable = true;
      if ((event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) transport_.hangup = true;
    }
    return transport_;
  }
  net::Transport& transport() { return transport_; }
  Fd& fd() { return fd_; }

private:
  Fd fd_;
  Fd epoll_;
  net::Transport transport_;
};

// One end that is ours.
struct OurEnd {
  net::BlockPool& pool;
  EdgeSocket socket;
  net::TlsSession session;
  net::IoResult last;
  std::string received;

  OurEnd(net::BlockPool& blocks, const net::TlsServer& server, Fd fd)
      : pool(blocks), socket(std::move(fd)), session(server, blocks) {}
  OurEnd(net::BlockPool& blocks, const net::TlsClient& client, const std::string& host, Fd fd)
      : pool(blocks), socket(std::move(fd)), session(client, host, blocks) {}

  // True when finished, either way.
  bool shake() {
    last = session.handshake(socket.poll());
    return last.status != net::Io::again;
  }
  net::IoResult read(std::size_t size = 64 * 1024) {
    std::string buffer(size, '\0');
    last = session.read(socket.poll(), buffer.data(), size);
    received.append(buffer, 0, last.bytes);
    return last;
  }
  net::IoResult write(std::string_view text) {
    const iovec part{const_cast<char*>(text.data()), text.size()};
    return session.write(socket.poll(), &part, 1);
  }
  net::IoResult flush() { return session.flush(socket.poll()); }
  net::IoResult peek() { return last = session.peek(socket.poll()); }
};

// Runs `steps` until all of them have said true; false after too many rounds, so that a stuck test ends.
inline bool run(std::initializer_list<std::function<bool()>> steps, int most = 200'000) {
  std::vector<std::pair<std::function<bool()>, bool>> open;
  for (const auto& step : steps) open.emplace_back(step, false);
  for (int round = 0; round < most; ++round) {
    bool all = true;
    for (auto& [step, finished] : open) {
      if (!finished) finished = step();
      all = all && finished;
    }
    if (all) return true;
  }
  return false;
}

inline bool shake(OurEnd& a, OurEnd& b) {
  return run({[&] { return a.shake(); }, [&] { return b.shake(); }});
}

// OpenSSL used as its manual says, over a descriptor. Owns neither context nor session.
class PlainPeer {
public:
  PlainPeer(SSL_CTX* context, Fd fd, bool server) : fd_(std::move(fd)), ssl_(SSL_new(context)) {
    SSL_set_fd(ssl_, fd_.get());
    server ? SSL_set_accept_state(ssl_) : SSL_set_connect_state(ssl_);
  }
  ~PlainPeer() {
    if (SSL_is_init_finished(ssl_) == 1) SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl_);
  }
  PlainPeer(const PlainPeer&) = delete;
  PlainPeer& operator=(const PlainPeer&) = delete;

  SSL* ssl() { return ssl_; }
  Fd& fd() { return fd_; }
  // Reason of the first failure, 0 as long as there was none.
  int failure() const { return failure_; }

  bool shake() {
    ERR_clear_error();
    return finished(SSL_do_handshake(ssl_));
  }
  // Bytes moved, 0 for none now, -1 at the end or after a failure.
  int read(std::string& into) {
    char buffer[20000];
    ERR_clear_error();
    const int n = SSL_read(ssl_, buffer, sizeof buffer);
    if (n > 0) into.append(buffer, static_cast<std::size_t>(n));
    return n > 0 ? n : finished(n) ? -1 : 0;
  }
  int write(std::string_view text) {
    ERR_clear_error();
    const int n = SSL_write(ssl_, text.data(), static_cast<int>(text.size()));
    return n > 0 ? n : finished(n) ? -1 : 0;
  }

private:
  bool finished(int result) {
    if (result == 1) return true;
    const int kind = SSL_get_error(ssl_, result);
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) return false;
    if (failure_ == 0) failure_ = kind == SSL_ERROR_SSL ? ERR_GET_REASON(ERR_peek_error()) : -kind;
    return true;
  }
  Fd fd_;
  SSL* ssl_;
  int failure_ = 0;
};

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using PlainContext = std::unique_ptr<SSL_CTX, FreeContext>;

inline PlainContext plain_client(int version = 0) {
  PlainContext context(SSL_CTX_new(TLS_client_method()));
  if (version != 0) {
    SSL_CTX_set_min_proto_version(context.get(), version);
    SSL_CTX_set_max_proto_version(context.get(), version);
  }
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

inline PlainContext plain_server(const TestFolder& folder, const Issued& issued, int version = 0) {
  PlainContext context(SSL_CTX_new(TLS_server_method()));
  if (version != 0) {
    SSL_CTX_set_min_proto_version(context.get(), version);
    SSL_CTX_set_max_proto_version(context.get(), version);
  }
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  EXPECT_EQ(SSL_CTX_use_certificate_chain_file(context.get(), folder.write("plain.pem", issued.certificate).c_str()),
            1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context.get(), folder.write("plain.key", issued.key).c_str(), SSL_FILETYPE_PEM),
            1);
  return context;
}

}  // namespace understudy::test
