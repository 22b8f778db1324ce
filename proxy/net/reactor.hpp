// A worker's event loop: one edge-triggered epoll set, one wheel, one mailbox. Nothing else runs on the thread.
//
// The request path registers with epoll directly rather than through an Asio context: one epoll_wait per batch, no handler
// objects, and FIN is seen while waiting (RDHUP) for free. Everything off the request path (probes, admin, timers of the control
// thread) lives on the control thread's io_context.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "proxy/net/object.hpp"
#include "proxy/net/wheel.hpp"

namespace understudy::net {

// Something with a descriptor in the epoll set. Kept alive until the batch that closed it has ended; an event that comes later
// still is told by its generation.
class Pollable : public Object {
public:
  virtual void on_events(std::uint32_t events) = 0;
};

struct ReadyHook : ListHook {};
// Work to be done before the loop waits again. An object is marked by whoever touched what it owns.
class Ready : public ReadyHook {
public:
  virtual ~Ready() = default;
  virtual void on_ready() = 0;
};

class Reactor {
public:
  Reactor();  // throws std::system_error
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // Registers and keeps a reference until remove() or forget(). Returns 0 or errno.
  int add(int fd, Pollable& object, std::uint32_t events);
  void remove(int fd, Pollable& object);  // fd stays open
  // For an fd that is closed next, which takes it out of the epoll set. A child process that has not come to its exec yet may
  // hold the socket open a little longer: what epoll then says of it is ignored.
  void forget(int fd, Pollable& object);

  void mark_ready(Ready& item) {
    if (!item.linked()) ready_.push_back(item);
  }
  // The same, but only when every other socket and deadline has had its turn: for what has used up its share. With
  // edge-triggered events nothing else would bring it back.
  void defer(Ready& item) {
    if (!item.linked()) deferred_.push_back(item);
  }
  // Any thread. Runs on the worker's thread, in order. Unbounded in principle: only the control thread posts, once per event.
  void post(std::function<void()> work);
  // Own thread. Returns after stop().
  void run();
  void stop() { stopped_ = true; }

  Wheel& wheel() { return wheel_; }
  // Time at the beginning of this turn; good enough for deadlines.
  TimePoint now() const { return now_; }
  // Reads the clock (heads parsed, requests sent, first bytes: four times per request).
  TimePoint fresh() { return now_ = std::chrono::steady_clock::now(); }
  // Which turn of the loop this is.
  std::uint64_t turns() const { return turns_; }
  // This turn began more than 100 ms late: the process was stopped or starved, and what times out now is no evidence
  // against anybody else.
  bool starved() const { return starved_; }
  // When the loop last came round, for the watchdog; any thread.
  TimePoint last_turn() const { return TimePoint(TimePoint::duration(last_turn_.load(std::memory_order_relaxed))); }
  std::uint64_t exceptions() const { return exceptions_.load(std::memory_order_relaxed); }
  // The object whose handler threw is told to close; set by the worker.
  std::function<void(const char* what)> on_exception;

private:
  // What a descriptor stands for. The generation tells a registration from an earlier one of the same number.
  struct Entry {
    Pollable* object = nullptr;
    std::uint32_t generation = 0;
  };

  void turn();
  template <typename F>
  void guarded(F&& f);
  void run_ready();
  void run_mail();

  int epoll_ = -1;
  Wheel wheel_;
  TimePoint now_;
  std::uint64_t turns_ = 0;
  bool stopped_ = false;
  bool starved_ = false;
  List<Ready, ReadyHook> ready_, deferred_;
  std::vector<Entry> entries_;        // by descriptor
  std::vector<Pollable*> graveyard_;  // released at the end of the batch
  std::atomic<TimePoint::rep> last_turn_{0};
  std::atomic<std::uint64_t> exceptions_{0};
  std::mutex mail_mutex_;
  std::vector<std::function<void()>> mail_;
  int wake_fd_ = -1;
  std::atomic<bool> mail_pending_{false};
};

}  // namespace understudy::net
