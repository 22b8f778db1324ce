// Sockets from the kernel: non-blocking, CLOEXEC, with the options every connection wants.
#pragma once

#include <sys/socket.h>

#include <string>

#include "config/address.hpp"
#include "health/types.hpp"

namespace understudy::net {

// Fills `out` and returns its length; 0 for an empty address.
socklen_t to_sockaddr(const config::SocketAddress& address, sockaddr_storage& out);
config::SocketAddress from_sockaddr(const sockaddr_storage& address, socklen_t length);

// Begins a connect. Returns the descriptor, or -1 with errno in `error`.
int connect_socket(const config::SocketAddress& address, int& error);
health::Cause cause_of_connect_error(int error);

// Binds and listens. `reuse_port` for one socket per worker. Returns the descriptor, or -1 with a sentence in `why`
// (and errno, where the kernel refused).
int listen_socket(const config::SocketAddress& address, bool reuse_port, std::string& why);
// Options of a listening TCP socket that accepted connections inherit; for those passed by a service manager.
void tune_listening(int fd);

}  // namespace understudy::net
