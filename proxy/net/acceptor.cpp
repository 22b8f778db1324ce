#include "proxy/net/acceptor.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "proxy/net/socket.hpp"
#include "proxy/net/worker.hpp"

namespace understudy::net {

namespace {
// What else there is waits meanwhile: about a millisecond, where each of them asks at once.
constexpr int kPerTurn = 16;
constexpr std::chrono::milliseconds kPause{100};  // after EMFILE and its kin: never spin
}  // namespace

bool Acceptor::start() {
  // Level-triggered: what is left in the queue after those of a turn is shown again. Exclusive: a shared socket wakes one worker.
  const int error = worker_.reactor().add(fd_, *this, shared_ ? EPOLLIN | EPOLLEXCLUSIVE : EPOLLIN);
  listening_ = error == 0;
  return listening_;
}

void Acceptor::stop() {
  while (listening_ && accept_some(kPerTurn)) {
  }
  worker_.reactor().wheel().cancel(*this);
  if (listening_) {
    listening_ = false;
    worker_.reactor().remove(fd_, *this);
  }
  paused_ = false;
}

// The kernel makes a socket and a file before it finds the queue empty: asking in vain costs nearly as much as a connection.
// So no more are taken than came before; when the queue shows up again in the very next turn, twice as many.
void Acceptor::on_events(std::uint32_t) {
  if (!listening_) return;
  const std::uint64_t turn = worker_.reactor().turns();
  if (full_turn_ + 1 == turn) expected_ = std::min(expected_ * 2, kPerTurn);
  if (accept_some(expected_)) full_turn_ = turn;
}

bool Acceptor::accept_some(int most) {
  for (int i = 0; i < most; ++i) {
    sockaddr_storage address;
    socklen_t length = sizeof address;
    const int fd = ::accept4(fd_, reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      worker_.adopt(fd, from_sockaddr(address, length), name_);
      continue;
    }
    switch (errno) {
      case EINTR: continue;
      case EAGAIN: expected_ = std::max(i, 1); return false;
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
