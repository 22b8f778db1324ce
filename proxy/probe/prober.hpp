// Runs active checks: connects, speaks as far as the check asks, and says which rung held or broke.
// Everything happens on the one thread that runs the io_context (the control thread); nothing here blocks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "config/address.hpp"
#include "config/model.hpp"
#include "health/types.hpp"
#include "proxy/probe/synthetic.hpp"
#include "proxy/probe/tls_settings.hpp"

namespace understudy::probe {

struct ProbeRequest {
  config::SocketAddress address;  // where to connect; check->port replaces its port
  std::string host;               // endpoint's host as written, no port or brackets; "" for Unix sockets
  std::shared_ptr<const config::CheckConfig> check;  // never null
  std::shared_ptr<const TlsSettings> tls;            // set when the pool speaks TLS, and for checks of kind tls
  std::chrono::steady_clock::time_point deadline;    // one absolute end for all rungs
  std::shared_ptr<const Synthetic> synthetic = {};   // of a synthetic request: what its check has not
  bool agent = false;  // an agent is asked (check->kind is tcp): its first line goes to ProbeResult::value
};

// Result of a probe:
//   kind      | success                                             | causes besides the tcp_* and tls_* ones
//   ----------+-----------------------------------------------------+----------------------------------------------------
//   tcp       | connected                                           |
//   tls       | handshake done, certificate verified                |
//   http      | expected status; text found in the first 64 KiB     | http_timeout http_malformed http_status
//   http_body
//             | of the body, if the check names a text              | body_cut body_timeout
//   websocket | 101 with the right Sec-WebSocket-Accept             | ws_refused ws_timeout ws_malformed
// An agent that ends without a line, or says more than 512 bytes without one, is http_malformed; one that says nothing http_timeout.
// tcp_reset means closed or reset after connecting and before any byte of an answer. own_error means that
// this process could not try (no descriptor, no memory, no free slot in time, late by more than 100 ms) and
// is no evidence.
class Prober {
public:
  using Done = std::function<void(health::ProbeResult)>;
  static constexpr std::size_t kMaxRunning = 512;

  // `io` must outlive the prober; its handlers do not need the prober.
  explicit Prober(boost::asio::io_context& io, std::size_t max_running = kMaxRunning);
  ~Prober();  // as cancel_all()
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  // Calls `done` exactly once from the io_context, never from inside start(), at the deadline at the latest;
  // not at all when cancelled. `done` may start or cancel probes.
  void start(ProbeRequest request, Done done);
  // Closes everything; no `done` is called for probes started before.
  void cancel_all();
  std::size_t running() const;  // on the wire
  std::size_t queued() const;   // waiting for a free slot

private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace understudy::probe
