// Listening sockets belong to the server: one per worker with SO_REUSEPORT, one shared for Unix paths and inherited sockets.
// A reload never closes one that stays configured. Control thread only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "proxy/net/worker.hpp"

namespace understudy::server {

class Listeners {
public:
  Listeners() = default;
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  // Sockets passed by systemd (LISTEN_FDS), matched by name (FileDescriptorName=web ↔ [listen.web]) or by address.
  void adopt_inherited();

  // Opens what `wanted` has and we do not. All or nothing: on failure everything opened here is closed again and the
  // sentence says which listener and why. Empty on success.
  std::string open(const std::vector<config::ListenerConfig>& wanted, unsigned workers);
  // Takes away what `wanted` no longer has: each worker serves what its accept queue holds, the last one closes. Before the
  // workers are told of a configuration without these listeners, so that who waits in the queue is still served.
  void withdraw(const std::vector<config::ListenerConfig>& wanted,
                const std::vector<std::unique_ptr<net::Worker>>& workers);
  // Hands newly opened sockets to the workers. After they know the configuration.
  void serve(const std::vector<std::unique_ptr<net::Worker>>& workers);

  struct Bound {
    std::string name;
    std::string address;  // as bound, with the real port
  };
  std::vector<Bound> bound() const;

private:
  struct Socket {
    config::Address address;
    std::vector<int> fds;  // one, or one per worker
    bool tcp = true;
    bool serving = false;
    bool inherited = false;
  };
  struct Inherited {
    int fd = -1;
    std::string name;
    config::SocketAddress address;
    bool used = false;
  };
  std::string open_one(const config::ListenerConfig& listener, unsigned workers, Socket& out);
  static void close_all(Socket& socket);

  std::map<std::string, Socket> sockets_;   // by listener name
  std::map<std::string, Socket> replaced_;  // address changed under the same name; closed by withdraw()
  std::vector<Inherited> inherited_;
};

}  // namespace understudy::server
