// The server behind the proxies. It does as little as a server can: one recv and one send per request.
//
//   GET  /b/N    N bytes of the pattern            GET  /v/N    the same, 500 without an X-Forwarded-For field
//   POST /p      128 bytes after the body          POST /pv     the same, 500 when the body is not the pattern's
//   GET  /ws     a WebSocket that echoes           GET  /healthz  200
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/bench/load/loop.hpp"

namespace bench {

class OriginConnection;

class Origin {
public:
  // Listens on a port of 127.0.0.1 that the system chooses.
  explicit Origin(Loop& loop);
  ~Origin();
  std::uint16_t port() const { return port_; }
  // One more socket, for every address of the loopback interface (127.0.0.0/8) and for no other interface; its port.
  std::uint16_t listen_wide();
  std::uint64_t requests() const { return requests_; }
  std::uint64_t refused() const { return refused_; }  // answered with 4xx or 5xx

private:
  std::uint16_t listen(bool wide);
  friend class OriginConnection;
  class Listener;
  Loop& loop_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::uint16_t port_;
  std::unordered_map<OriginConnection*, std::unique_ptr<OriginConnection>> connections_;
  std::unordered_map<std::size_t, std::string> heads_;  // by body size
  std::string echo_;
  std::uint64_t requests_ = 0, refused_ = 0;
};

}  // namespace bench
