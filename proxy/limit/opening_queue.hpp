// Who waits to open a WebSocket: bounded, fair per client address (addresses take turns), and for everybody else a time to come
// back at. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

namespace understudy::limit {

// Whatever happens costs hardly more where many wait: a storm of those who come, and of those who give up, must not hold up others.
class OpeningQueue {
public:
  using Key = std::uint64_t;    // of a client address
  using Token = std::uint64_t;  // of who waits; unique

  explicit OpeningQueue(std::size_t capacity) : capacity_(capacity) {}

  struct Pushed {
    bool queued = false;
    std::optional<Token> displaced;  // the last of the address with the most; it has to be refused
  };
  // A full queue takes nobody whose address has as many in it as any other; else that one gives up its last.
  Pushed push(Key key, Token token);
  std::optional<Token> pop();
  // It left by itself; or was called, and nothing is to be done.
  void remove(Token token);

  std::size_t size() const { return waiting_.size(); }
  bool empty() const { return waiting_.empty(); }

private:
  struct Line {
    std::list<Token> tokens;
    std::list<Key>::iterator turn;
  };
  struct Waiter {
    Key key;
    std::list<Token>::iterator place;
  };
  using Lines = std::unordered_map<Key, Line>;
  void add(Lines::iterator line, Token token);
  Token take(Lines::iterator line, std::list<Token>::iterator place);

  std::size_t capacity_;
  std::unordered_map<Token, Waiter> waiting_;
  Lines lines_;
  std::list<Key> turns_;                             // every key with a line, once
  std::set<std::pair<std::size_t, Key>> by_length_;  // and how many wait in it
};

// When those who were refused shall come back: one after the other at the rate at which they can be served, behind who waits.
class ReturnTimes {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;
  static constexpr std::chrono::minutes kMost{10};
  // `ahead` wait, `rate` are served in a second.
  Duration next(TimePoint now, std::size_t ahead, double rate);

private:
  TimePoint last_{};
};

}  // namespace understudy::limit
