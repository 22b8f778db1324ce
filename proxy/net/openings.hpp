// WebSocket openings that wait for their turn: the desk that all workers share, and each worker's own who wait.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/model.hpp"
#include "health/types.hpp"
#include "proxy/limit/opening_desk.hpp"
#include "proxy/net/wheel.hpp"

namespace understudy::net {

class Worker;

// Who waits to open a WebSocket: an exchange, or a tunnel that lost its endpoint.
class OpeningWaiter {
public:
  // Its turn has come; or its place went to another client. It says leave() either way.
  virtual void on_opening_turn(bool its_turn, TimePoint now) = 0;

protected:
  ~OpeningWaiter() = default;
};

inline limit::OpeningDesk::Endpoint opening_key(health::EndpointId id) {
  return (static_cast<std::uint64_t>(id.generation) << 32U) | id.slot;
}

// A pool's desk, shared by the workers under one lock. A share of the limit for each worker would not do: an endpoint that can
// open one at a time has no quarters to give, and turns are fair only in one queue. The lock is taken twice per opening, which
// costs a thousand times that.
class SharedOpenings {
public:
  SharedOpenings(std::string pool, const config::OpeningsConfig& config)
      : pool_(std::move(pool)), desk_({config.adaptive, config.max, config.rate, config.queue}) {}
  const std::string& pool() const { return pool_; }
  template <typename F>
  auto with(F f) {
    const std::lock_guard lock(mutex_);
    return f(desk_);
  }

private:
  const std::string pool_;
  std::mutex mutex_;
  limit::OpeningDesk desk_;
};

// One worker's. Whose turn it is may be found by any worker, which then posts to the one whose waiter it is.
class Openings final : public Timer {
public:
  explicit Openings(Worker& worker) : worker_(worker) {}
  ~Openings() override;

  // What the waiter keeps of its place. Empty: it does not wait.
  struct Place {
    std::uint64_t token = 0;
    bool called = false;  // it is its turn, and it has not asked yet
  };
  // False when there is no place. Who has to give up his for this one is told.
  bool wait(OpeningWaiter& waiter, const std::shared_ptr<SharedOpenings>& desk, std::uint64_t client, Place& place);
  // It waits no more, or has asked in its turn.
  void leave(Place& place);
  // An opening is over, or endpoints changed: calls those whose turn it is.
  void serve(const std::shared_ptr<SharedOpenings>& desk);
  void serve_all();

private:
  struct Waiting {
    OpeningWaiter* waiter;
    std::shared_ptr<SharedOpenings> desk;
  };
  void on_timer(TimePoint now) override;
  void arm();
  void tell(const std::shared_ptr<SharedOpenings>& desk, limit::OpeningDesk::Token token, bool its_turn);
  void told(SharedOpenings& desk, limit::OpeningDesk::Token token, bool its_turn);

  Worker& worker_;
  std::unordered_map<limit::OpeningDesk::Token, Waiting> waiting_;
  std::map<std::shared_ptr<SharedOpenings>, std::size_t> desks_;  // how many of them wait at each
  std::uint64_t next_ = 0;
};

}  // namespace understudy::net
