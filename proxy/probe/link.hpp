// One outgoing connection of a probe: a non-blocking socket (IPv4, IPv6 or Unix) and, if wanted, TLS on
// memory buffers. Every call does what can be done now and says what to wait for; it never blocks and never
// raises SIGPIPE.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "config/address.hpp"
#include "proxy/probe/tls_settings.hpp"

struct ssl_st;

namespace understudy::probe {

struct IoStep {
  enum class Kind : std::uint8_t { ok, want_read, want_write, eof, system_error, tls_error };
  Kind kind = Kind::ok;
  std::size_t bytes = 0;  // read: what came
  int error = 0;          // system_error: errno
};

class Link {
public:
  // What one probe may receive on the wire in all, whatever the peer sends.
  static constexpr std::size_t kMaxReceived = std::size_t{1} << 20;

  explicit Link(boost::asio::io_context& io);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Opens a close-on-exec socket and connects. 0: connected; EINPROGRESS: wait until writable and ask
  // connect_result(); EAGAIN: the backlog of a Unix socket is full, call connect_again() later; else the
  // errno. `own_side` tells that the failure lies with this machine (descriptors, memory, ports) and says
  // nothing about the peer.
  int connect(const config::SocketAddress& address, bool* own_side);
  int connect_again();
  int connect_result();
  static bool is_own_side(int error);

  // Prepares TLS with verification against `host`. Empty when well, else why not.
  std::string start_tls(const TlsSettings& settings, const std::string& host);
  IoStep handshake();

  // Takes everything; flush() brings it out.
  void queue(std::string_view bytes);
  IoStep flush();
  IoStep read(char* data, std::size_t size);

  // Sends close_notify if there is TLS and the socket takes it, waits for nothing, closes.
  void close();

  boost::asio::posix::stream_descriptor& descriptor() { return descriptor_; }
  std::size_t received() const { return received_; }  // bytes on the wire, TLS included
  const std::string& why() const { return why_; }     // words for tls_error

private:
  IoStep receive_ciphertext();
  IoStep tls_result(int result);
  void take_ciphertext();
  std::string describe_tls_failure();

  boost::asio::posix::stream_descriptor descriptor_;
  config::SocketAddress address_;
  ssl_st* ssl_ = nullptr;
  std::string expected_name_;
  std::string out_;
  std::size_t out_sent_ = 0;
  std::size_t received_ = 0;
  std::string why_;
};

}  // namespace understudy::probe
