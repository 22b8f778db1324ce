#include "tests/bench/load/wire.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace bench {

TlsClient::TlsClient() : context_(SSL_CTX_new(TLS_client_method())) {
  if (context_ == nullptr || SSL_CTX_set_min_proto_version(context_, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context_, "TLS_AES_128_GCM_SHA256") != 1 ||
      SSL_CTX_set1_groups_list(context_, "X25519") != 1) {
    throw std::runtime_error("client: cannot set TLS 1.3 up");
  }
  SSL_CTX_set_verify(context_, SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_mode(context_,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context_, 1);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context_, &Wire::keep_session);
}

TlsClient::~TlsClient() { SSL_CTX_free(context_); }

int Wire::keep_session(SSL* ssl, SSL_SESSION* session) {
  auto* wire = static_cast<Wire*>(SSL_get_app_data(ssl));
  SSL_SESSION_free(wire->session_);
  wire->session_ = session;
  return 1;  // ours now
}

Wire::~Wire() {
  close();
  SSL_SESSION_free(session_);
}

bool Wire::open(std::uint16_t port, unsigned from, TlsClient* tls, bool resume) {
  close();
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return false;
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (from > 1) {
    ::setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + from);
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) return false;
  }
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 && errno != EINPROGRESS) return false;
  if (tls != nullptr) {
    ssl_ = SSL_new(tls->context());
    SSL_set_app_data(ssl_, this);
    SSL_set_fd(ssl_, fd_);
    SSL_set_connect_state(ssl_);
    if (resume && session_ != nullptr) SSL_set_session(ssl_, session_);
  }
  return true;
}

void Wire::close() {
  if (ssl_ != nullptr) {
    SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // or OpenSSL would call the session bad
    SSL_free(ssl_);
    ssl_ = nullptr;
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Io Wire::told(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return Io::again;
    case SSL_ERROR_WANT_WRITE: return Io::again_write;
    case SSL_ERROR_ZERO_RETURN: return Io::end;
    default: ERR_clear_error(); return Io::error;
  }
}

Io Wire::handshake() {
  if (ssl_ == nullptr) return Io::done;
  const int result = SSL_do_handshake(ssl_);
  return result == 1 ? Io::done : told(result);
}

Io Wire::read(char* to, std::size_t room, std::size_t& got) {
  if (ssl_ != nullptr) {
    const int result = SSL_read_ex(ssl_, to, room, &got);
    return result == 1 ? Io::done : told(result);
  }
  const ssize_t result = ::recv(fd_, to, room, 0);
  if (result == 0) return Io::end;
  if (result < 0) return errno == EAGAIN ? Io::again : Io::error;
  got = static_cast<std::size_t>(result);
  return Io::done;
}

Io Wire::write(const char* from, std::size_t size, std::size_t& put) {
  if (ssl_ != nullptr) {
    const int result = SSL_write_ex(ssl_, from, size, &put);
    return result == 1 ? Io::done : told(result);
  }
  const ssize_t result = ::send(fd_, from, size, MSG_NOSIGNAL);
  if (result < 0) return errno == EAGAIN || errno == ENOTCONN ? Io::again_write : Io::error;
  put = static_cast<std::size_t>(result);
  return Io::done;
}

}  // namespace bench
