// Tunnels of one worker that have to leave for the same reason, and the pace at which they are told (law 8).
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "proxy/limit/pacer.hpp"
#include "proxy/net/tunnel.hpp"

namespace understudy::net {

class Departure final : public Timer {
public:
  struct Terms {
    observe::TunnelEnd why;
    limit::Pacer::Duration delay, window;
    bool operator==(const Terms&) const = default;
  };
  Departure(Reactor& reactor, const Terms& terms, double phase) : reactor_(reactor), terms_(terms), phase_(phase) {}
  ~Departure() override;
  const Terms& terms() const { return terms_; }
  bool empty() const { return left_ == 0; }
  // Still open for more: it has not begun, or its window is not over.
  bool open() const { return !pacer_ || reactor_.now() < pacer_->end(); }
  void add(Tunnel& tunnel);
  void remove(Tunnel& tunnel);
  void begin();  // once

private:
  void on_timer(TimePoint now) override;

  Reactor& reactor_;
  Terms terms_;
  double phase_;
  List<Tunnel, DepartureHook> waiting_;
  std::size_t left_ = 0;
  std::optional<limit::Pacer> pacer_;
};

// All departures of a worker.
class Departures {
public:
  Departures(Reactor& reactor, unsigned worker) : reactor_(reactor), worker_(worker) {}
  // Puts the tunnel into the departure for this reason and its route's window, which is no longer than `bound`. One that waits
  // already stays where it is. Nothing happens before begin().
  void join(Tunnel& tunnel, observe::TunnelEnd why, limit::Pacer::Duration bound = limit::Pacer::Duration::max());
  // The same on other terms than its route's.
  void join(Tunnel& tunnel, const Departure::Terms& terms);
  // It stays, or is gone.
  static void release(Tunnel& tunnel);
  // Those that were joined since the last call are spread over their windows from now.
  void begin();

private:
  Reactor& reactor_;
  unsigned worker_;
  std::vector<std::unique_ptr<Departure>> all_;
};

}  // namespace understudy::net
