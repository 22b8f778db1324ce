// Opens the socket that the admin API listens on.
#pragma once

#include <string>

#include "config/address.hpp"

namespace understudy::admin {

struct Opened {
  int fd = -1;        // listening, non-blocking, close-on-exec; the caller owns it. -1 on failure
  std::string error;  // why not, and the remedy
};

// Unix: mode 0660; a socket file left behind is replaced only if nobody answers on it. A missing folder is an
// error. TCP: an IP literal or "localhost"; an empty host is refused (it would listen on every address).
Opened open_listener(const config::Address& address);

}  // namespace understudy::admin
