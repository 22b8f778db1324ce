// The only type that does socket I/O on the request path: a descriptor, its readiness flags, and TLS when there is any.
// Registered with the reactor by address, so it is never moved; who owns it may change (an exchange's connection becomes a tunnel's).
#pragma once

#include <memory>

#include "proxy/net/reactor.hpp"
#include "proxy/net/tls.hpp"
#include "proxy/net/transport.hpp"

namespace understudy::net {

// Told that something about one of its streams changed. It then looks at the flags; nothing is passed.
class StreamOwner {
public:
  virtual void on_io() = 0;

protected:
  ~StreamOwner() = default;
};

class Stream final : public Pollable {
public:
  // Takes over fd (non-blocking, CLOEXEC). Call start() next.
  Stream(Reactor& reactor, int fd) : reactor_(reactor) { transport_.fd = fd; }
  ~Stream() override { close(); }

  // Registers with epoll. 0 or errno.
  int start(StreamOwner* owner);
  void set_owner(StreamOwner* owner) { owner_ = owner; }
  void start_tls(std::unique_ptr<TlsSession> session) { tls_ = std::move(session); }
  TlsSession* tls() const { return tls_.get(); }

  bool closed() const { return transport_.fd < 0; }
  int fd() const { return transport_.fd; }
  bool readable() const { return transport_.readable || (tls_ && tls_->buffered_input()); }
  bool writable() const { return transport_.writable; }
  // FIN or an error was seen, though data may still be waiting in front of it.
  bool hangup() const { return transport_.hangup; }

  IoResult read(void* data, std::size_t size) {
    return tls_ ? tls_->read(transport_, data, size) : transport_.recv(data, size);
  }
  // Takes as much as goes; for TLS what is taken may still wait in pending_output().
  IoResult write(const iovec* parts, int count) {
    return tls_ ? tls_->write(transport_, parts, count) : transport_.send(parts, count);
  }
  bool pending_output() const { return tls_ && tls_->pending_output(); }
  IoResult flush() { return tls_ ? tls_->flush(transport_) : IoResult{Io::ok, 0, 0}; }
  // Is the peer still there? Consumes nothing. eof or error: gone; ok: it sent something; again: silent and there.
  IoResult peek();
  Transport& transport() { return transport_; }

  // FIN (and close_notify) to the peer; reading goes on.
  void shutdown_write();
  // Closes at once; the object lives on until nobody refers to it. With `reset` the peer gets RST instead of FIN.
  void close(bool reset = false);

private:
  void on_events(std::uint32_t events) override;

  Reactor& reactor_;
  Transport transport_;
  StreamOwner* owner_ = nullptr;
  std::unique_ptr<TlsSession> tls_;
  bool registered_ = false;
};

}  // namespace understudy::net
