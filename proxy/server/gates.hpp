// Asks whether the conditions of a return hold: a URL is fetched, a program is run. Everything happens on the one thread that
// runs the io_context (the control thread); nothing here blocks, and nothing here decides.
//
//                ┌─ url ──────► name resolved ──► probed, address after address ──┐
//   RunGate ─────┤                                                                ├────► one GateResult
//                └─ command ──► started ──► ended by itself, or killed ───────────┘
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <memory>

#include "health/core.hpp"
#include "proxy/probe/resolver.hpp"

namespace understudy::server {

class GateRunner {
public:
  using Done = std::function<void(health::GateResult)>;

  // Both must outlive the runner; handlers that are left in `io` do not need it.
  GateRunner(boost::asio::io_context& io, probe::Resolver& resolver);
  ~GateRunner();  // as cancel_all()
  GateRunner(const GateRunner&) = delete;
  GateRunner& operator=(const GateRunner&) = delete;

  // Calls `done` exactly once from the io_context, never from inside start(), at the deadline at the latest; not at all when
  // cancelled. A run ends an older one of the same gate, which then has not passed. `done` may start or cancel runs.
  void start(const health::RunGate& gate, Done done);
  // Programs are killed, no `done` is called for what was started before.
  void cancel_all();
  std::size_t running() const;

private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace understudy::server
