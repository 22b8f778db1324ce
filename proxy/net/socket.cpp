#include "proxy/net/socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace understudy::net {

using Family = config::SocketAddress::Family;

namespace {
constexpr int kBacklog = 4096;

void set_option(int fd, int level, int name, int value) { ::setsockopt(fd, level, name, &value, sizeof value); }

int family_of(Family family) {
  switch (family) {
    case Family::v4: return AF_INET;
    case Family::v6: return AF_INET6;
    case Family::unix_path: return AF_UNIX;
    case Family::none: break;
  }
  return AF_UNSPEC;
}

// A Unix socket file that nobody listens on any more may be replaced; one in use may not.
bool remove_stale_socket(const sockaddr_storage& address, socklen_t length, const std::string& path, std::string& why) {
  struct stat info {};
  if (path.empty() || path[0] == '@' || ::lstat(path.c_str(), &info) != 0) return true;
  if (!S_ISSOCK(info.st_mode)) {
    why = path + " exists and is not a socket; remove it or choose another path";
    return false;
  }
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool used = probe >= 0 && ::connect(probe, reinterpret_cast<const sockaddr*>(&address), length) == 0;
  if (probe >= 0) ::close(probe);
  if (used) {
    why = path + " is in use by another process; stop it or choose another path";
    return false;
  }
  ::unlink(path.c_str());
  return true;
}
}  // namespace

socklen_t to_sockaddr(const config::SocketAddress& address, sockaddr_storage& out) {
  std::memset(&out, 0, sizeof out);
  switch (address.family) {
    case Family::v4: {
      auto* in = reinterpret_cast<sockaddr_in*>(&out);
      in->sin_family = AF_INET;
      in->sin_port = htons(address.port);
      std::memcpy(&in->sin_addr, address.ip.data(), 4);
      return sizeof(sockaddr_in);
    }
    case Family::v6: {
      auto* in6 = reinterpret_cast<sockaddr_in6*>(&out);
      in6->sin6_family = AF_INET6;
      in6->sin6_port = htons(address.port);
      std::memcpy(&in6->sin6_addr, address.ip.data(), 16);
      return sizeof(sockaddr_in6);
    }
    case Family::unix_path: {
      auto* un = reinterpret_cast<sockaddr_un*>(&out);
      if (address.path.empty() || address.path.size() >= sizeof un->sun_path) return 0;
      un->sun_family = AF_UNIX;
      std::memcpy(un->sun_path, address.path.data(), address.path.size());
      const bool abstract = address.path[0] == '@';
      if (abstract) un->sun_path[0] = '\0';
      return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.path.size() + (abstract ? 0 : 1));
    }
    case Family::none: break;
  }
  return 0;
}

config::SocketAddress from_sockaddr(const sockaddr_storage& address, socklen_t length) {
  config::SocketAddress out;
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    out.family = Family::v4;
    out.port = ntohs(in.sin_port);
    std::memcpy(out.ip.data(), &in.sin_addr, 4);
  } else if (address.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
    out.port = ntohs(in6.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
      out.family = Family::v4;
      std::memcpy(out.ip.data(), in6.sin6_addr.s6_addr + 12, 4);
    } else {
      out.family = Family::v6;
      std::memcpy(out.ip.data(), &in6.sin6_addr, 16);
    }
  } else if (address.ss_family == AF_UNIX) {
    out.family = Family::unix_path;
    const auto& un = reinterpret_cast<const sockaddr_un&>(address);
    if (length > offsetof(sockaddr_un, sun_path)) {
      out.path.assign(un.sun_path, ::strnlen(un.sun_path, length - offsetof(sockaddr_un, sun_path)));
    }
  }
  return out;
}

int connect_socket(const config::SocketAddress& address, int& error) {
  sockaddr_storage storage;
  const socklen_t length = to_sockaddr(address, storage);
  if (length == 0) {
    error = EINVAL;
    return -1;
  }
  const int fd = ::socket(family_of(address.family), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    error = errno;
    return -1;
  }
  if (address.family != Family::unix_path) set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0 && errno != EINPROGRESS) {
    error = errno;
    ::close(fd);
    return -1;
  }
  return fd;
}

health::Cause cause_of_connect_error(int error) {
  using health::Cause;
  switch (error) {
    case 0: return Cause::none;
    case ECONNREFUSED:
    case ENOENT:  // Unix socket file gone
    case EAGAIN:  // Unix socket with a full backlog
      return Cause::tcp_refused;
    case ETIMEDOUT: return Cause::tcp_timeout;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE: return Cause::tcp_reset;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EACCES:
    case EPERM: return Cause::tcp_unreachable;
    default: return Cause::own_error;  // descriptors, memory, local ports
  }
}

int listen_socket(const config::SocketAddress& address, bool reuse_port, std::string& why) {
  sockaddr_storage storage;
  const socklen_t length = to_sockaddr(address, storage);
  if (length == 0) {
    why = "not an address to listen on";
    return -1;
  }
  const bool unix_socket = address.family == Family::unix_path;
  if (unix_socket && !remove_stale_socket(storage, length, address.path, why)) return -1;
  const int fd = ::socket(family_of(address.family), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    why = std::strerror(errno);
    return -1;
  }
  if (!unix_socket) {
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (reuse_port) set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    // "[::]:80" serves IPv4 as well, as people expect of ":80".
    if (address.family == Family::v6) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    tune_listening(fd);
  }
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0 || ::listen(fd, kBacklog) != 0) {
    const int error = errno;
    why = std::strerror(error);
    if (error == EACCES && !unix_socket) why += "; ports below 1024 need CAP_NET_BIND_SERVICE or a passed socket";
    if (error == EADDRINUSE) why += "; another process listens there";
    ::close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

void tune_listening(int fd) { set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

}  // namespace understudy::net
