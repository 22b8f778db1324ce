#include "proxy/server/listeners.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>

#include "proxy/net/socket.hpp"

namespace understudy::server {

namespace {

constexpr const char* kTooLate =
    "ports below 1024 can't be opened any more, since this process gave up root when it started: restart it, or let it "
    "have "
    "CAP_NET_BIND_SERVICE (AmbientCapabilities= in its systemd unit), or choose a higher port";

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
  for (auto& [name, socket] : sockets_) {
    remove_file(socket);
    for (const int fd : socket.fds) ::close(fd);
  }
}

void Listeners::take_back(Socket& socket) {
  remove_file(socket);
  for (const int fd : socket.fds) {
    if (!socket.inherited) ::close(fd);
    for (Inherited& passed : inherited_)
      if (passed.fd == fd) passed.used = false;
  }
  socket.fds.clear();
}

// While the socket is open the kernel keeps its inode, so that nobody else's file can have the same number. Without leave to
// remove it the file stays, and the next start replaces it.
void Listeners::remove_file(Socket& socket) {
  if (!socket.file) return;
  struct stat found {};
  if (::lstat(socket.file->path.c_str(), &found) == 0 && found.st_dev == socket.file->device &&
      found.st_ino == socket.file->inode)
    ::unlink(socket.file->path.c_str());
  socket.file.reset();
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

void Listeners::adopt(const std::vector<Passed>& passed) {
  for (const Passed& socket : passed)
    inherited_.push_back({socket.fd, socket.name, bound_address(socket.fd), false, true});
}

std::vector<Passed> Listeners::to_pass() const {
  std::vector<Passed> out;
  for (const auto& [name, socket] : sockets_)
    for (const int fd : socket.fds) out.push_back({name, fd});
  return out;
}

void Listeners::forget_files() {
  for (auto& [name, socket] : sockets_) socket.file.reset();
}

void Listeners::own_files() {
  for (auto& [name, socket] : sockets_) {
    struct stat found {};
    if (!socket.inherited || socket.tcp || ::lstat(socket.address.path.c_str(), &found) != 0) continue;
    socket.file = Socket::File{socket.address.path, found.st_dev, found.st_ino};
  }
}

std::string Listeners::open_one(const config::ListenerConfig& listener, unsigned workers, Socket& out) {
  out.address = listener.address;
  out.tcp = !listener.address.is_unix();
  const auto wanted = candidates(listener.address);
  if (wanted.empty())
    return "listen." + listener.name + ": '" + listener.address.text + "' is not an address of this machine";
  for (Inherited& passed : inherited_) {
    // The process before this one may have had another address under this name.
    const bool by_name = passed.name == listener.name && (!passed.one_of_several || listener.address.port == 0);
    const bool match = !passed.used && (by_name || passed.address == wanted.front() ||
                                        (wanted.size() > 1 && passed.address == wanted.back()));
    if (!match) continue;
    out.inherited = true;
    for (Inherited& sibling : inherited_) {
      if (&sibling != &passed && !(passed.one_of_several && sibling.one_of_several && sibling.name == passed.name))
        continue;
      sibling.used = true;
      if (out.tcp) net::tune_listening(sibling.fd);
      out.fds.push_back(sibling.fd);
    }
    return {};
  }
  std::string why;
  for (const config::SocketAddress& address : wanted) {
    config::SocketAddress bind_to = address;
    const unsigned count = out.tcp ? workers : 1;
    for (unsigned i = 0; i < count; ++i) {
      const int fd = net::listen_socket(bind_to, count > 1, why);
      if (fd < 0) {
        if (errno == EACCES && out.tcp && privileges_dropped_) why = kTooLate;
        break;
      }
      out.fds.push_back(fd);
      // Port 0: the others share the port the first one was given.
      if (bind_to.port == 0 && out.tcp) bind_to.port = bound_address(fd).port;
    }
    if (out.fds.size() == count) {
      struct stat made {};
      if (!out.tcp && ::lstat(address.path.c_str(), &made) == 0)
        out.file = Socket::File{address.path, made.st_dev, made.st_ino};
      return {};
    }
    take_back(out);
  }
  return "listen." + listener.name + ": cannot listen on '" + listener.address.text + "': " + why;
}

std::string Listeners::open(const net::Plan& plan, unsigned workers) {
  std::map<std::string, Socket> next;
  std::vector<std::pair<std::string, std::string>> stay;  // name before, name now
  for (const config::ListenerConfig& listener : plan.config.listeners) {
    std::string before = listener.name;
    for (const auto& [from, to] : plan.renamed)
      if (to == listener.name) before = from;
    const auto found = sockets_.find(before);
    if (found != sockets_.end() && found->second.address == listener.address) {
      stay.emplace_back(before, listener.name);
      continue;
    }
    Socket fresh;
    if (std::string error = open_one(listener, workers, fresh); !error.empty()) {
      for (auto& [name, socket] : next) take_back(socket);
      return error;
    }
    next[listener.name] = std::move(fresh);
  }
  for (const auto& [before, now] : stay) {
    next[now] = std::move(sockets_[before]);
    sockets_.erase(before);
  }
  for (auto& [name, socket] : sockets_) leaving_.emplace_back(name, std::move(socket));
  sockets_ = std::move(next);
  // Whoever knocks at a socket that nobody serves would wait for nothing.
  std::erase_if(inherited_, [](const Inherited& passed) {
    const bool nobody = passed.one_of_several && !passed.used;
    if (nobody) ::close(passed.fd);
    return nobody;
  });
  return {};
}

void Listeners::withdraw(const std::vector<std::unique_ptr<net::Worker>>& workers) {
  for (auto& [name, socket] : leaving_) {
    remove_file(socket);
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
  leaving_.clear();
}

void Listeners::withdraw_all(const std::vector<std::unique_ptr<net::Worker>>& workers) {
  for (auto& [name, socket] : sockets_) leaving_.emplace_back(name, std::move(socket));
  sockets_.clear();
  withdraw(workers);
}

void Listeners::serve(const std::vector<std::unique_ptr<net::Worker>>& workers) {
  for (auto& [name, socket] : sockets_) {
    if (socket.serving) continue;
    socket.serving = true;
    // Every socket has a worker and every worker a socket, however many of each.
    const bool shared = socket.fds.size() < workers.size();
    for (std::size_t i = 0; i < std::max(workers.size(), socket.fds.size()); ++i) {
      const int fd = socket.fds[i % socket.fds.size()];
      net::Worker* worker = workers[i % workers.size()].get();
      worker->post([worker, listener = name, fd, shared] { worker->listen(listener, fd, shared); });
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
