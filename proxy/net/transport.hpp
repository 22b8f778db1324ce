// A non-blocking socket with remembered readiness (edge-triggered epoll sets the flags, a short or refused call clears them).
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace understudy::net {

enum class Io : std::uint8_t {
  ok,     // bytes > 0
  again,  // nothing now; wait for readiness
  eof,    // orderly end from the peer (FIN; TLS: close_notify or FIN)
  error   // errno in `error`; TLS failures are EPROTO
};
struct IoResult {
  Io status = Io::again;
  std::size_t bytes = 0;
  int error = 0;
};

struct Transport {
  int fd = -1;
  bool readable = false;  // may hold data
  bool writable = false;
  bool hangup = false;  // FIN or error seen by epoll: a short read does not mean "no more"
  bool more = false;    // more bytes or FIN follow what is sent now at once: they may leave in one packet

  IoResult recv(void* data, std::size_t size) {
    for (;;) {
      const ssize_t n = ::recv(fd, data, size, 0);
      if (n > 0) {
        if (static_cast<std::size_t>(n) < size && !hangup) readable = false;
        return {Io::ok, static_cast<std::size_t>(n), 0};
      }
      if (n == 0) return {Io::eof, 0, 0};
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        readable = false;
        return {Io::again, 0, 0};
      }
      return {Io::error, 0, errno};
    }
  }
  IoResult send(const iovec* parts, int count) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts);
    message.msg_iovlen = static_cast<std::size_t>(count);
    std::size_t total = 0;
    for (int i = 0; i < count; ++i) total += parts[i].iov_len;
    for (;;) {
      const ssize_t n = ::sendmsg(fd, &message, more ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL);
      if (n >= 0) {
        if (static_cast<std::size_t>(n) < total) writable = false;
        return {n > 0 ? Io::ok : Io::again, static_cast<std::size_t>(n), 0};
      }
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        writable = false;
        return {Io::again, 0, 0};
      }
      return {Io::error, 0, errno};
    }
  }
};

}  // namespace understudy::net
