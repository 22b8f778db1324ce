#include "proxy/net/acceptor.hpp"

#include <sys/socket.h>

#include <cerrno>

#include "proxy/net/socket.hpp"
#include "proxy/net/worker.hpp"

namespace understudy::net {

namespace {
constexpr int kPerTurn = 64;
constexpr std::chrono::milliseconds kPause{100};  // after EMFILE and its kin: never spin
}  // namespace

bool Acceptor::start() {
  // Level-triggered: what is left in the queue after 64 is shown again. Exclusive: a shared socket wakes one worker.
  const int error = worker_.reactor().add(fd_, *this, shared_ ? EPOLLIN | EPOLLEXCLUSIVE : EPOLLIN);
  listening_ = error == 0;
  return listening_;
}

void Acceptor::stop() {
  while (listening_ && accept_some()) {
  }
  worker_.reactor().wheel().cancel(*this);
  if (listening_) {
    listening_ = false;
    worker_.reactor().remove(fd_, *this);
  }
  paused_ = false;
}

bool Acceptor::accept_some() {
  for (int i = 0; i < kPerTurn; ++i) {
    sockaddr_storage address;
    socklen_t length = sizeof address;
    const int fd = ::accept4(fd_, reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      worker_.adopt(fd, from_sockaddr(address, length), name_, tcp_);
      continue;
    }
    switch (errno) {
      case EINTR: continue;
      case EAGAIN: return false;
      case ECONNABORTED:
      case EPROTO: worker_.counters().accept_errors.add(observe::AcceptError::aborted); continue;
      case EMFILE:
      case ENFILE:
        worker_.counters().accept_errors.add(observe::AcceptError::descriptors);
        worker_.reclaim_idle(16);
        pause();
        return false;
      case ENOMEM:
      case ENOBUFS:
        worker_.counters().accept_errors.add(observe::AcceptError::memory);
        pause();
        return false;
      default:
        worker_.counters().accept_errors.add(observe::AcceptError::other);
        pause();
        return false;
    }
  }
  return true;
}

void Acceptor::pause() {
  if (paused_ || !listening_) return;
  paused_ = true;
  listening_ = false;
  worker_.reactor().remove(fd_, *this);
  worker_.reactor().wheel().set(*this, worker_.reactor().now() + kPause);
}

void Acceptor::on_timer(TimePoint) {
  if (!paused_) return;
  paused_ = false;
  start();
}

}  // namespace understudy::net
