#include "tests/bench/load/loop.hpp"

#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace bench {

Loop::Loop() : fd_(::epoll_create1(EPOLL_CLOEXEC)), scratch_(new char[kScratch]) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Loop::~Loop() { ::close(fd_); }

void Loop::add(int fd, Handler* handler, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = handler;
  if (::epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) < 0)
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

void Loop::change(int fd, Handler* handler, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = handler;
  ::epoll_ctl(fd_, EPOLL_CTL_MOD, fd, &event);
}

void Loop::turn(int timeout_ms) {
  const int count = ::epoll_wait(fd_, events_.data(), static_cast<int>(events_.size()), timeout_ms);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events_[static_cast<std::size_t>(i)];
    static_cast<Handler*>(event.data.ptr)->on_event(event.events);
  }
  graveyard_.clear();
}

std::int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

}  // namespace bench
