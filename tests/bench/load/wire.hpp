// A client's connection: a non-blocking socket, with TLS 1.3 over it if asked.
#pragma once

#include <openssl/ssl.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace bench {

// What all connections of a run share. Certificates are not verified against an authority, signatures are.
class TlsClient {
public:
  TlsClient();
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;
  SSL_CTX* context() { return context_; }

private:
  SSL_CTX* context_;
};

enum class Io : std::uint8_t { done, again, again_write, end, error };

class Wire {
public:
  Wire() = default;
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // Begins to connect to 127.0.0.1 from 127.0.0.<from> (so that short connections do not run out of ports).
  bool open(std::uint16_t port, unsigned from, TlsClient* tls, bool resume);
  void close();
  int fd() const { return fd_; }
  // TLS: drives the handshake; clear text: done at once.
  Io handshake();
  Io read(char* to, std::size_t room, std::size_t& got);
  Io write(const char* from, std::size_t size, std::size_t& put);
  bool resumed() const { return ssl_ != nullptr && SSL_session_reused(ssl_) == 1; }
  bool tls() const { return ssl_ != nullptr; }

private:
  friend class TlsClient;
  static int keep_session(SSL* ssl, SSL_SESSION* session);
  Io told(int result);
  int fd_ = -1;
  SSL* ssl_ = nullptr;
  SSL_SESSION* session_ = nullptr;  // of the last connection, for the next
};

}  // namespace bench
