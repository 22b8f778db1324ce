#include "proxy/server/listeners.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

#include "proxy/net/socket.hpp"

namespace understudy::server {

namespace {

config::SocketAddress bound_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return net::from_sockaddr(storage, length);
}

// ":80" means every address of both families, or IPv4 alone where the machine has no IPv6.
std::vector<config::SocketAddress> candidates(const config::Address& address) {
  if (address.host.empty() && !address.is_unix()) {
    config::SocketAddress v6;
    v6.family = config::SocketAddress::Family::v6;
    v6.port = address.port;
    config::SocketAddress v4;
    v4.family = config::SocketAddress::Family::v4;
    v4.port = address.port;
    return {v6, v4};
  }
  if (const auto numeric = address.numeric()) return {*numeric};
  if (address.host == "localhost") {
    config::SocketAddress v4;
    v4.family = config::SocketAddress::Family::v4;
    v4.ip[0] = 127;
    v4.ip[3] = 1;
    v4.port = address.port;
    return {v4};
  }
  return {};
}

// With SO_REUSEPORT the kernel goes on filling the queue of a worker that has stopped looking, until all have: whoever closes
// looks once more.
void take_queued(net::Worker& worker, int fd, const std::string& listener) {
  for (;;) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    const int client = ::accept4(fd, reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client >= 0)
      worker.adopt(client, net::from_sockaddr(address, length), listener);
    else if (errno != EINTR && errno != ECONNABORTED)
      return;
  }
}

}  // namespace

Listeners::~Listeners() {
  for (auto& [name, socket] : sockets_) close_all(socket);
}

void Listeners::close_all(Socket& socket) {
  for (const int fd : socket.fds) ::close(fd);
  socket.fds.clear();
}

void Listeners::adopt_inherited() {
  char** names = nullptr;
  const int count = ::sd_listen_fds_with_names(1, &names);
  for (int i = 0; i < count; ++i) {
    const int fd = SD_LISTEN_FDS_START + i;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    inherited_.push_back({fd, names != nullptr && names[i] != nullptr ? names[i] : "", bound_address(fd), false});
  }
  if (names != nullptr) {
    for (char** name = names; *name != nullptr; ++name) std::free(*name);
    std::free(names);
  }
}

std::string Listeners::open_one(const config::ListenerConfig& listener, unsigned workers, Socket& out) {
  out.address = listener.address;
  out.tcp = !listener.address.is_unix();
  const auto wanted = candidates(listener.address);
  if (wanted.empty())
    return "listen." + listener.name + ": '" + listener.address.text + "' is not an address of this machine";
  for (Inherited& passed : inherited_) {
    const bool match = !passed.used && (passed.name == listener.name || passed.address == wanted.front() ||
                                        (wanted.size() > 1 && passed.address == wanted.back()));
    if (!match) continue;
    passed.used = true;
    out.inherited = true;
    if (out.tcp) net::tune_listening(passed.fd);
    out.fds.push_back(passed.fd);
    return {};
  }
  std::string why;
  for (const config::SocketAddress& address : wanted) {
    config::SocketAddress bind_to = address;
    const unsigned count = out.tcp ? workers : 1;
    for (unsigned i = 0; i < count; ++i) {
      const int fd = net::listen_socket(bind_to, count > 1, why);
      if (fd < 0) break;
      out.fds.push_back(fd);
      // Port 0: the others share the port the first one was given.
      if (bind_to.port == 0 && out.tcp) bind_to.port = bound_address(fd).port;
    }
    if (out.fds.size() == count) return {};
    close_all(out);
  }
  return "listen." + listener.name + ": cannot listen on '" + listener.address.text + "': " + why;
}

std::string Listeners::open(const std::vector<config::ListenerConfig>& wanted, unsigned workers) {
  std::vector<std::string> opened;
  for (const config::ListenerConfig& listener : wanted) {
    const auto found = sockets_.find(listener.name);
    if (found != sockets_.end() && found->second.address == listener.address) continue;
    std::string error;
    Socket socket;
    if (found != sockets_.end()) {
      // Same name, other address: a fresh listener under the name; the old socket is closed by withdraw().
      error = open_one(listener, workers, socket);
      if (error.empty()) {
        replaced_[listener.name] = std::move(found->second);
        found->second = std::move(socket);
        continue;
      }
    } else {
      error = open_one(listener, workers, socket);
    }
    if (!error.empty()) {
      for (const std::string& name : opened) {
        close_all(sockets_[name]);
        sockets_.erase(name);
      }
      for (auto& [name, old] : replaced_) {
        close_all(sockets_[name]);
        sockets_[name] = std::move(old);
      }
      replaced_.clear();
      return error;
    }
    sockets_[listener.name] = std::move(socket);
    opened.push_back(listener.name);
  }
  return {};
}

void Listeners::withdraw(const std::vector<config::ListenerConfig>& wanted,
                         const std::vector<std::unique_ptr<net::Worker>>& workers) {
  std::vector<std::pair<std::string, Socket>> gone;
  for (auto it = sockets_.begin(); it != sockets_.end();) {
    bool stays = false;
    for (const auto& listener : wanted) stays |= listener.name == it->first;
    if (stays) {
      ++it;
      continue;
    }
    gone.emplace_back(it->first, std::move(it->second));
    it = sockets_.erase(it);
  }
  for (auto& [name, old] : replaced_) gone.emplace_back(name, std::move(old));
  replaced_.clear();
  for (auto& [name, socket] : gone) {
    auto fds = std::make_shared<std::vector<int>>(std::move(socket.fds));
    auto left = std::make_shared<std::atomic<std::size_t>>(workers.size());
    for (const auto& worker : workers) {
      worker->post([w = worker.get(), fds, left, listener = name] {
        for (const int fd : *fds) w->unlisten(fd);
        if (left->fetch_sub(1) != 1) return;
        for (const int fd : *fds) {
          take_queued(*w, fd, listener);
          ::close(fd);
        }
      });
    }
  }
}

void Listeners::serve(const std::vector<std::unique_ptr<net::Worker>>& workers) {
  for (auto& [name, socket] : sockets_) {
    if (socket.serving) continue;
    socket.serving = true;
    const bool shared = socket.fds.size() == 1 && workers.size() > 1;
    for (std::size_t i = 0; i < workers.size(); ++i) {
      const int fd = socket.fds[shared ? 0 : i];
      workers[i]->post([w = workers[i].get(), listener = name, fd, shared] { w->listen(listener, fd, shared); });
    }
  }
}

std::vector<Listeners::Bound> Listeners::bound() const {
  std::vector<Bound> out;
  for (const auto& [name, socket] : sockets_)
    if (!socket.fds.empty()) out.push_back({name, bound_address(socket.fds.front()).to_string()});
  return out;
}

}  // namespace understudy::server
