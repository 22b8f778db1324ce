// Who waits to open a WebSocket: bounded, fair per client address (addresses take turns), and for everybody else a time to come
// back at. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

namespace understudy::limit {

class OpeningQueue {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;
  using Key = std::uint64_t;    // of a client address
  using Token = std::uint64_t;  // of who waits; unique

  OpeningQueue(std::size_t capacity, Duration max_wait) : capacity_(capacity), max_wait_(max_wait) {}

  struct Pushed {
    bool queued = false;
    std::optional<Token> displaced;  // the last of the address with the most; it has to be refused
  };
  // A full queue takes nobody whose address has as many in it as any other; else that one gives up its last.
  Pushed push(Key key, Token token, TimePoint now);
  std::optional<Token> pop();
  // It left by itself.
  void remove(Key key, Token token);
  // Those who have waited too long, taken out.
  std::vector<Token> expired(TimePoint now);
  std::optional<TimePoint> next_expiry() const;

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Duration max_wait() const { return max_wait_; }

private:
  struct Waiter {
    Token token;
    TimePoint since;
  };
  using Line = std::deque<Waiter>;
  void drop_turn(Key key);

  std::size_t capacity_;
  Duration max_wait_;
  std::size_t size_ = 0;
  std::unordered_map<Key, Line> lines_;
  std::deque<Key> turns_;  // every key with a line, once
};

// When those who were refused shall come back: one after the other at the rate at which they can be served, behind who waits.
class ReturnTimes {
public:
  using TimePoint = OpeningQueue::TimePoint;
  using Duration = OpeningQueue::Duration;
  static constexpr std::chrono::minutes kMost{10};
  // `ahead` wait, `rate` are served in a second.
  Duration next(TimePoint now, std::size_t ahead, double rate);

private:
  TimePoint last_{};
};

}  // namespace understudy::limit
