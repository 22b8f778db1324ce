// The admin API on its listening socket: HTTP/1.1 with our own codec, on the control thread, independent of
// the data plane. Slow, silent and greedy clients cost a bounded number of bytes and descriptors and never
// hold the thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "proxy/admin/control_plane.hpp"

namespace understudy::admin {

struct Options {
  std::optional<std::string> token;  // bearer token; required off loopback
  std::vector<std::string> hosts;    // extra Host values
  std::size_t max_connections = 32;
  double failed_logins_per_second = 5;  // per source address
  std::chrono::milliseconds header_timeout{
      10'000};  // from the first byte (or accept) to the whole head, and for the body
  std::chrono::milliseconds idle_timeout{30'000};      // between requests
  std::chrono::milliseconds write_timeout{30'000};     // a whole answer
  std::chrono::milliseconds command_timeout{120'000};  // a reload
  static Options from(const config::AdminConfig& config);
};

// For the metrics of this process; all since the start.
struct Counters {
  std::uint64_t accepted = 0, evicted = 0, turned_away = 0,
                accept_errors = 0;          // evicted, turned_away: max_connections
  std::uint64_t requests = 0, refused = 0;  // refused: 4xx by the rules
  std::uint64_t failed_logins = 0, rate_limited = 0, timeouts = 0, malformed = 0;
  std::uint64_t connections = 0;  // now
};

struct ServerState;

class Server {
public:
  // REQUIRES: `control` outlives the server; everything is called on the thread that runs `context`.
  Server(boost::asio::io_context& context, Options options, ControlPlane& control);
  ~Server();  // closes every connection at once
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Adopts a listening socket (see open_listener) and begins to accept. Throws std::runtime_error for one
  // that listens off loopback without a token; the socket is closed then.
  void start(int listening_fd);
  // Accepts no more and closes what waits; an answer under way is still sent. May be called from within a
  // command.
  void stop();
  // The same, but another process serves the socket from now on: its file stays.
  void hand_over();
  int listening() const;  // the socket; -1 when there is none
  // A reload changed token or hosts; holds from the next request on. Off loopback a token can be changed, not
  // taken away.
  void update(const config::AdminConfig& config);
  Counters counters() const;

private:
  std::shared_ptr<ServerState> state_;
};

}  // namespace understudy::admin
