#include "tests/bench/load/origin.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <system_error>

#include "tests/bench/load/frames.hpp"
#include "tests/bench/load/heads.hpp"
#include "tests/bench/load/pattern.hpp"

namespace bench {

class OriginConnection final : public Handler {
public:
  OriginConnection(Origin& origin, int fd) : origin_(origin), fd_(fd) { origin_.loop_.add(fd, this, EPOLLIN); }
  ~OriginConnection() override { ::close(fd_); }
  void on_event(std::uint32_t events) override;

private:
  enum class State : std::uint8_t { head, body, tunnel };
  // Each takes what it can use of the data; false: the connection has been closed.
  bool take(const char* data, std::size_t size);
  std::size_t take_head(const char* data, std::size_t size);
  std::size_t take_body(const char* data, std::size_t size);
  std::size_t take_frames(const char* data, std::size_t size);
  void answer(int status, std::size_t body);
  void upgrade(std::string_view head);
  void send(const char* head, std::size_t head_size, const char* body, std::size_t body_size);
  void flush();
  void close();

  Origin& origin_;
  int fd_;
  State state_ = State::head;
  bool dead_ = false, close_after_ = false, check_body_ = false, body_good_ = true, waiting_out_ = false;
  std::size_t body_left_ = 0, body_at_ = 0;
  std::string pending_;         // input that was not complete
  std::string out_;             // head bytes not yet taken by the socket
  const char* rest_ = nullptr;  // body bytes not yet taken
  std::size_t rest_size_ = 0;
};

class Origin::Listener final : public Handler {
public:
  Listener(Origin& origin, int fd) : origin_(origin), fd_(fd) { origin_.loop_.add(fd, this, EPOLLIN); }
  ~Listener() override { ::close(fd_); }
  void on_event(std::uint32_t) override {
    for (int i = 0; i < 64; ++i) {
      const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto made = std::make_unique<OriginConnection>(origin_, fd);
      origin_.connections_.emplace(made.get(), std::move(made));
    }
  }

private:
  Origin& origin_;
  int fd_;
};

Origin::Origin(Loop& loop) : loop_(loop), port_(listen(false)) {}
Origin::~Origin() = default;

std::uint16_t Origin::listen_wide() { return listen(true); }

std::uint16_t Origin::listen(bool wide) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(wide ? INADDR_ANY : INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (fd < 0 || (wide && ::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0) ||
      ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) < 0 || ::listen(fd, 4096) < 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) < 0) {
    throw std::system_error(errno, std::generic_category(), "origin: cannot listen");
  }
  listeners_.push_back(std::make_unique<Listener>(*this, fd));
  return ntohs(address.sin_port);
}

void OriginConnection::on_event(std::uint32_t events) {
  if (dead_) return;
  if ((events & EPOLLOUT) != 0) flush();
  if (dead_ || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  char* buffer = origin_.loop_.scratch();
  const ssize_t got = ::recv(fd_, buffer, Loop::kScratch, 0);
  if (got == 0 || (got < 0 && errno != EAGAIN)) return close();
  if (got < 0) return;
  const auto size = static_cast<std::size_t>(got);
  if (pending_.empty()) {
    take(buffer, size);
  } else {
    std::string joined = std::move(pending_);
    pending_.clear();
    joined.append(buffer, size);
    take(joined.data(), joined.size());
  }
}

bool OriginConnection::take(const char* data, std::size_t size) {
  while (size > 0 && !dead_) {
    std::size_t used = 0;
    switch (state_) {
      case State::head: used = take_head(data, size); break;
      case State::body: used = take_body(data, size); break;
      case State::tunnel: used = take_frames(data, size); break;
    }
    if (used == 0) break;
    data += used;
    size -= used;
  }
  if (!dead_ && size > 0) pending_.assign(data, size);
  return !dead_;
}

std::size_t OriginConnection::take_head(const char* data, std::size_t size) {
  const std::size_t length = head_length(data, size);
  if (length == 0) return 0;
  const std::string_view head(data, length);
  ++origin_.requests_;
  close_after_ = head.find("lose\r\n") != std::string_view::npos && equals_field(head, "connection", "close");
  const std::size_t space = head.find(' ');
  std::string_view path = head.substr(space + 1, 64);
  path = path.substr(0, path.find(' '));
  if (head[0] == 'P') {
    body_left_ = number_field(head, "content-length");
    check_body_ = path == "/pv";
    body_at_ = 0;
    body_good_ = !check_body_ || !field(head, "x-forwarded-for").empty();
    state_ = State::body;
    if (body_left_ == 0) answer(411, 0);
  } else if (path == "/ws") {
    upgrade(head);
  } else if (path == "/healthz") {
    answer(200, 16);
  } else if (path.size() > 3 && path[0] == '/' && path[2] == '/') {
    std::size_t body = 0;
    std::from_chars(path.data() + 3, path.data() + path.size(), body);
    const bool bad = path[1] == 'v' && field(head, "x-forwarded-for").empty();
    answer(bad || body > kPatternBytes ? 500 : 200, bad ? 0 : body);
  } else {
    answer(404, 0);
  }
  return length;
}

std::size_t OriginConnection::take_body(const char* data, std::size_t size) {
  const std::size_t used = std::min(size, body_left_);
  if (check_body_ && body_good_) body_good_ = matches_pattern(body_at_, data, used);
  body_at_ += used;
  body_left_ -= used;
  if (body_left_ == 0) answer(body_good_ ? 200 : 500, 128);
  return used;
}

std::size_t OriginConnection::take_frames(const char* data, std::size_t size) {
  std::string& echo = origin_.echo_;
  echo.clear();
  std::size_t used = 0;
  while (used < size) {
    const Frame frame = read_frame(data + used, size - used);
    if (frame.head == 0 || size - used < frame.whole()) break;
    const std::size_t at = echo.size();
    echo.resize(at + 4 + frame.payload);
    const std::size_t head = server_head(echo.data() + at, frame.opcode, frame.payload);
    echo.resize(at + head + frame.payload);
    unmask(echo.data() + at + head, data + used + frame.head, frame.payload, frame.key);
    used += frame.whole();
    if (frame.opcode == 8) close_after_ = true;
  }
  if (!echo.empty()) send(echo.data(), echo.size(), nullptr, 0);
  return used;
}

void OriginConnection::answer(int status, std::size_t body) {
  state_ = State::head;
  if (status != 200) {
    ++origin_.refused_;
    const std::string head = "HTTP/1.1 " + std::to_string(status) + " No\r\nContent-Length: 0\r\n\r\n";
    return send(head.data(), head.size(), nullptr, 0);
  }
  std::string& head = origin_.heads_[body];
  if (head.empty()) {
    head =
        "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 26 Nov 2026 12:00:00 GMT\r\n"
        "Content-Type: application/octet-stream\r\nContent-Length: " +
        std::to_string(body) + "\r\n\r\n";
  }
  send(head.data(), head.size(), pattern(), body);
}

void OriginConnection::upgrade(std::string_view head) {
  const std::string_view key = field(head, "sec-websocket-key");
  if (key.empty()) return answer(400, 0);
  const std::string text =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
      accept_of(key) + "\r\n\r\n";
  close_after_ = false;
  state_ = State::tunnel;
  send(text.data(), text.size(), nullptr, 0);
}

void OriginConnection::send(const char* head, std::size_t head_size, const char* body, std::size_t body_size) {
  std::size_t taken = 0;
  if (out_.empty() && rest_size_ == 0) {
    iovec parts[2] = {{const_cast<char*>(head), head_size}, {const_cast<char*>(body), body_size}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = body_size != 0 ? 2 : 1;
    const ssize_t sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return close();
    taken = sent > 0 ? static_cast<std::size_t>(sent) : 0;
  }
  if (taken < head_size) {
    out_.append(head + taken, head_size - taken);
    taken = head_size;
  }
  rest_ = body + (taken - head_size);
  rest_size_ = body_size - (taken - head_size);
  if (out_.empty() && rest_size_ == 0) {
    if (close_after_) close();
  } else if (!waiting_out_) {
    waiting_out_ = true;
    origin_.loop_.change(fd_, this, EPOLLIN | EPOLLOUT);
  }
}

void OriginConnection::flush() {
  while (!out_.empty() || rest_size_ != 0) {
    const bool from_head = !out_.empty();
    const ssize_t sent =
        ::send(fd_, from_head ? out_.data() : rest_, from_head ? out_.size() : rest_size_, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent <= 0) return close();
    if (from_head) {
      out_.erase(0, static_cast<std::size_t>(sent));
    } else {
      rest_ += sent;
      rest_size_ -= static_cast<std::size_t>(sent);
    }
  }
  if (close_after_) return close();
  waiting_out_ = false;
  origin_.loop_.change(fd_, this, EPOLLIN);
}

void OriginConnection::close() {
  if (dead_) return;
  dead_ = true;
  const auto found = origin_.connections_.find(this);
  origin_.loop_.bury(std::move(found->second));
  origin_.connections_.erase(found);
}

}  // namespace bench
