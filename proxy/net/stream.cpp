#include "proxy/net/stream.hpp"

#include <unistd.h>

namespace understudy::net {

int Stream::start(StreamOwner* owner) {
  owner_ = owner;
  const int error = reactor_.add(transport_.fd, *this, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  registered_ = error == 0;
  return error;
}

void Stream::on_events(std::uint32_t events) {
  if (closed()) return;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) transport_.readable = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) transport_.hangup = true;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) transport_.writable = true;
  if (owner_) owner_->on_io();
}

IoResult Stream::peek() {
  if (closed()) return {Io::error, 0, EBADF};
  if (tls_) return tls_->peek(transport_);
  char byte;
  for (;;) {
    const ssize_t n = ::recv(transport_.fd, &byte, 1, MSG_PEEK);
    if (n > 0) return {Io::ok, 1, 0};
    if (n == 0) return {Io::eof, 0, 0};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      transport_.readable = false;
      return {Io::again, 0, 0};
    }
    return {Io::error, 0, errno};
  }
}

void Stream::shutdown_write() {
  if (closed()) return;
  transport_.more = true;
  if (tls_) tls_->send_close_notify(transport_);
  ::shutdown(transport_.fd, SHUT_WR);
}

void Stream::close(bool reset) {
  if (closed()) return;
  owner_ = nullptr;
  transport_.more = true;
  if (tls_ && !reset) tls_->send_close_notify(transport_);
  if (reset) {
    const linger now{1, 0};
    ::setsockopt(transport_.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  const int fd = transport_.fd;
  transport_.fd = -1;
  transport_.readable = transport_.writable = false;
  if (registered_) {
    registered_ = false;
    reactor_.forget(fd, *this);
  }
  ::close(fd);
}

}  // namespace understudy::net
