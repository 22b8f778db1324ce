// The one epoll set of the load process: origin and client share a thread, so that the load costs no switch between processes.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace bench {

class Handler {
public:
  virtual ~Handler() = default;
  virtual void on_event(std::uint32_t events) = 0;
};

class Loop {
public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void add(int fd, Handler* handler, std::uint32_t events);
  void change(int fd, Handler* handler, std::uint32_t events);
  // An object whose events may still be in the running batch is freed at the batch's end.
  void bury(std::unique_ptr<Handler> handler) { graveyard_.push_back(std::move(handler)); }
  // One batch of events. Waits at most this long; 0 polls.
  void turn(int timeout_ms);

  // Where every read goes. Valid until the next read.
  static constexpr std::size_t kScratch = 512 * 1024;
  char* scratch() { return scratch_.get(); }

private:
  int fd_;
  std::array<epoll_event, 256> events_{};
  std::vector<std::unique_ptr<Handler>> graveyard_;
  std::unique_ptr<char[]> scratch_;
};

// Monotonic nanoseconds.
std::int64_t now_ns();

}  // namespace bench
