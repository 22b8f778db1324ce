#include "proxy/admin/listener.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

namespace understudy::admin {
namespace {

constexpr int kBacklog = 64;
constexpr mode_t kMode = 0660;

Opened failed(const std::string& what, int error, int fd = -1) {
  if (fd >= 0) ::close(fd);
  return {-1, what + ": " + std::strerror(error)};
}

int new_socket(int family) { return ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

constexpr const char* kElsewhere = "choose another place with [admin] listen, such as \"127.0.0.1:9900\"";

// 0 when somebody accepts on this path.
int try_to_reach(const sockaddr_un& name, socklen_t length) {
  const int fd = new_socket(AF_UNIX);
  if (fd < 0) return errno;
  const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&name), length);
  const int error = result == 0 ? 0 : errno;
  ::close(fd);
  return error;
}

// Makes room at the path: "" when it is free now.
std::string clear_path(const std::string& path, const sockaddr_un& name, socklen_t length) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) return errno == ENOENT ? "" : path + ": " + std::strerror(errno);
  if (!S_ISSOCK(found.st_mode))
    return path + " exists and is no socket; choose another path in admin.listen or remove it";
  const int error = try_to_reach(name, length);
  if (error == EACCES) return path + " is another user's socket; start as that user, or " + kElsewhere;
  // Any other error may be a full backlog: what might be answered must not be taken away.
  if (error != ECONNREFUSED && error != ENOENT)
    return path + " is in use by a running process; stop it or choose another path in admin.listen";
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return "cannot remove the stale socket " + path + ": " + std::strerror(errno) + "; remove it, or " + kElsewhere;
  return "";
}

Opened open_unix(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) {
    return {-1,
            path + ": a Unix socket's path must be shorter than " + std::to_string(sizeof name.sun_path) + " bytes"};
  }
  const bool abstract = path.starts_with('@');
  std::memcpy(name.sun_path, path.data(), path.size());
  if (abstract) name.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  if (!abstract) {
    const std::string why = clear_path(path, name, length);
    if (!why.empty()) return {-1, why};
  }
  const int fd = new_socket(AF_UNIX);
  if (fd < 0) return failed("socket", errno);
  // The socket's own mode decides how the file is created, so that there is no moment with more rights (and
  // no umask games).
  if (!abstract && ::fchmod(fd, kMode) != 0) return failed(path, errno, fd);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&name), length) != 0) {
    Opened refused = failed("cannot make the admin socket " + path, errno, fd);
    refused.error += std::string("; make its folder writable, or ") + kElsewhere;
    return refused;
  }
  if (!abstract && ::chmod(path.c_str(), kMode) != 0) return failed("cannot set the mode of " + path, errno, fd);
  if (::listen(fd, kBacklog) != 0) return failed("cannot listen on " + path, errno, fd);
  return {fd, ""};
}

Opened open_tcp(const config::Address& address) {
  if (address.host.empty()) {
    return {-1, "admin.listen '" + address.text + "' would listen on every address; write 127.0.0.1:" +
                    std::to_string(address.port) + " or the address meant"};
  }
  const auto ip = config::parse_ip(address.host == "localhost" ? "127.0.0.1" : address.host);
  if (!ip) return {-1, "admin.listen '" + address.text + "' must be an IP address, localhost or unix:PATH"};
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_in);
  if (ip->family == config::SocketAddress::Family::v6) {
    auto* name = reinterpret_cast<sockaddr_in6*>(&storage);
    name->sin6_family = AF_INET6;
    name->sin6_port = htons(address.port);
    std::memcpy(&name->sin6_addr, ip->ip.data(), 16);
    length = sizeof(sockaddr_in6);
  } else {
    auto* name = reinterpret_cast<sockaddr_in*>(&storage);
    name->sin_family = AF_INET;
    name->sin_port = htons(address.port);
    std::memcpy(&name->sin_addr, ip->ip.data(), 4);
  }
  const int fd = new_socket(storage.ss_family);
  if (fd < 0) return failed("socket", errno);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (storage.ss_family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0) {
    const int error = errno;
    Opened refused = failed("cannot bind the admin address " + address.text, error, fd);
    if (error == EADDRINUSE) refused.error += "; stop the process that listens there, or choose another port";
    return refused;
  }
  if (::listen(fd, kBacklog) != 0) return failed("cannot listen on " + address.text, errno, fd);
  return {fd, ""};
}

}  // namespace

Opened open_listener(const config::Address& address) {
  return address.is_unix() ? open_unix(address.path) : open_tcp(address);
}

}  // namespace understudy::admin
