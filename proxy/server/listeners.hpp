// Listening sockets belong to the server: one per worker with SO_REUSEPORT, one shared for Unix paths and inherited sockets.
// A reload never closes one that stays configured. Control thread only.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/model.hpp"
#include "proxy/net/worker.hpp"
#include "proxy/server/handover.hpp"

namespace understudy::server {

class Listeners {
public:
  Listeners() = default;
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  // Sockets passed by systemd (LISTEN_FDS), matched by name (FileDescriptorName=web ↔ [listen.web]) or by address.
  void adopt_inherited();
  // Sockets of the process before this one (binary upgrade), by name. open() closes those that no listener takes.
  void adopt(const std::vector<Passed>& passed);
  // What a process after this one takes.
  std::vector<Passed> to_pass() const;
  // The files of Unix sockets belong to the process after this one; or now to us, which took them.
  void forget_files();
  void own_files();

  // Opens what the plan has and we do not; what it renamed keeps its socket. All or nothing: on failure everything opened here
  // is closed again and the sentence says which listener and why. Empty on success.
  std::string open(const net::Plan& plan, unsigned workers);
  // From now on ports below 1024 can't be opened any more, and the sentence about one tells the way out.
  void privileges_dropped() { privileges_dropped_ = true; }
  // Takes away what the plan last opened no longer has: each worker serves what its accept queue holds, the last one closes.
  // Before the workers are told of a configuration without these listeners, so that who waits in the queue is still served.
  void withdraw(const std::vector<std::unique_ptr<net::Worker>>& workers);
  void withdraw_all(const std::vector<std::unique_ptr<net::Worker>>& workers);
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
    std::vector<int> fds;  // one, or one per worker; after an upgrade as many as the process before had
    bool tcp = true;
    bool serving = false;
    bool inherited = false;
    // The file of a Unix socket that we made: ours while it is this very inode.
    struct File {
      std::string path;
      dev_t device = 0;
      ino_t inode = 0;
    };
    std::optional<File> file;
  };
  struct Inherited {
    int fd = -1;
    std::string name;
    config::SocketAddress address;
    bool used = false;
    bool one_of_several = false;  // of the process before this one
  };
  std::string open_one(const config::ListenerConfig& listener, unsigned workers, Socket& out);
  // Closes what open_one() opened; an inherited socket is there for the next to ask.
  void take_back(Socket& socket);
  static void remove_file(Socket& socket);

  std::map<std::string, Socket> sockets_;                // by listener name
  std::vector<std::pair<std::string, Socket>> leaving_;  // until withdraw()
  std::vector<Inherited> inherited_;
  bool privileges_dropped_ = false;
};

}  // namespace understudy::server
