#include "proxy/probe/link.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>

namespace understudy::probe {
namespace {

using Family = config::SocketAddress::Family;

struct Native {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

// False when the path is too long for a Unix socket.
bool to_native(const config::SocketAddress& address, Native& out) {
  if (address.family == Family::v4) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(address.port);
    std::memcpy(&in.sin_addr, address.ip.data(), 4);
    std::memcpy(&out.storage, &in, sizeof in);
    out.length = sizeof in;
    return true;
  }
  if (address.family == Family::v6) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(address.port);
    std::memcpy(&in.sin6_addr, address.ip.data(), 16);
    std::memcpy(&out.storage, &in, sizeof in);
    out.length = sizeof in;
    return true;
  }
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  if (address.path.empty() || address.path.size() >= sizeof un.sun_path) return false;
  std::memcpy(un.sun_path, address.path.data(), address.path.size());
  const bool abstract = address.path.front() == '@';
  if (abstract) un.sun_path[0] = '\0';
  std::memcpy(&out.storage, &un, sizeof un);
  out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.path.size() + (abstract ? 0 : 1));
  return true;
}

int native_family(Family family) { return family == Family::v4 ? AF_INET : family == Family::v6 ? AF_INET6 : AF_UNIX; }

// A connect to a free port of the ephemeral range can meet itself; that is nobody listening.
bool connected_to_itself(int fd) {
  sockaddr_storage mine{}, theirs{};
  socklen_t mine_size = sizeof mine, theirs_size = sizeof theirs;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&mine), &mine_size) != 0) return false;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&theirs), &theirs_size) != 0) return false;
  return mine_size == theirs_size && std::memcmp(&mine, &theirs, mine_size) == 0;
}

}  // namespace

Link::Link(boost::asio::io_context& io) : descriptor_(io) {}

Link::~Link() { close(); }

bool Link::is_own_side(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS || error == EADDRNOTAVAIL ||
         error == ENOSPC;
}

int Link::connect(const config::SocketAddress& address, bool* own_side) {
  address_ = address;
  *own_side = false;
  Native native;
  if (address.family == Family::none || !to_native(address, native)) return ENAMETOOLONG;
  const int fd = ::socket(native_family(address.family), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    *own_side = is_own_side(errno);
    return errno;
  }
  if (address.family != Family::unix_path) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  boost::system::error_code ec;
  descriptor_.assign(fd, ec);
  if (ec) {  // the poller has no room for it
    ::close(fd);
    *own_side = true;
    return ec.value();
  }
  const int error = connect_again();
  // EAGAIN is a full backlog for Unix sockets only; elsewhere the kernel has run out of something.
  *own_side = is_own_side(error) || (error == EAGAIN && address.family != Family::unix_path);
  return error;
}

int Link::connect_again() {
  Native native;
  if (!to_native(address_, native)) return ENAMETOOLONG;
  const int fd = descriptor_.native_handle();
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&native.storage), native.length) == 0)
    return connected_to_itself(fd) ? ECONNREFUSED : 0;
  return errno == EINTR ? EINPROGRESS : errno;
}

int Link::connect_result() {
  const int fd = descriptor_.native_handle();
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  if (error != 0) return error;
  // Writable without an error and without a peer: woken too early.
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0)
    return errno == ENOTCONN ? EINPROGRESS : errno;
  return connected_to_itself(fd) ? ECONNREFUSED : 0;
}

std::string Link::start_tls(const TlsSettings& settings, const std::string& host) {
  expected_name_ = settings.name_for(host);
  if (expected_name_.empty() && !settings.insecure())
    return "no name to verify the certificate against; set tls.server_name of the pool";
  ssl_ = SSL_new(settings.context());
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  if (ssl_ == nullptr || in == nullptr || out == nullptr) {
    BIO_free(in);
    BIO_free(out);
    throw std::bad_alloc();
  }
  BIO_set_mem_eof_return(in, -1);
  BIO_set_mem_eof_return(out, -1);
  SSL_set_bio(ssl_, in, out);
  SSL_set_connect_state(ssl_);
  if (expected_name_.empty()) return {};
  const bool is_ip = config::parse_ip(expected_name_).has_value();
  if (!is_ip && SSL_set_tlsext_host_name(ssl_, expected_name_.c_str()) != 1)
    return "'" + expected_name_ + "' is no name for TLS; set tls.server_name of the pool";
  if (settings.insecure()) return {};
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl_);
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const int set = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, expected_name_.c_str())
                        : X509_VERIFY_PARAM_set1_host(param, expected_name_.c_str(), expected_name_.size());
  if (set != 1) return "'" + expected_name_ + "' is no name for TLS; set tls.server_name of the pool";
  return {};
}

IoStep Link::handshake() {
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_);
    take_ciphertext();
    const IoStep sent = flush();
    if (result == 1) return sent.kind == IoStep::Kind::want_write ? sent : IoStep{};
    const IoStep step = tls_result(result);
    if (step.kind != IoStep::Kind::want_read) return step;
    if (sent.kind != IoStep::Kind::ok) return sent;
    const IoStep got = receive_ciphertext();
    if (got.kind != IoStep::Kind::ok) return got;
  }
}

void Link::queue(std::string_view bytes) {
  if (ssl_ == nullptr) {
    out_.append(bytes);
    return;
  }
  ERR_clear_error();
  SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));  // a memory BIO takes everything
  take_ciphertext();
}

IoStep Link::flush() {
  while (out_sent_ < out_.size()) {
    const ssize_t n =
        ::send(descriptor_.native_handle(), out_.data() + out_sent_, out_.size() - out_sent_, MSG_NOSIGNAL);
    if (n >= 0) {
      out_sent_ += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return {IoStep::Kind::want_write, 0, 0};
    } else if (errno != EINTR) {
      return {IoStep::Kind::system_error, 0, errno};
    }
  }
  out_.clear();
  out_sent_ = 0;
  return {};
}

IoStep Link::read(char* data, std::size_t size) {
  if (ssl_ == nullptr) {
    for (;;) {
      const ssize_t n = ::recv(descriptor_.native_handle(), data, size, 0);
      if (n > 0) {
        received_ += static_cast<std::size_t>(n);
        return {IoStep::Kind::ok, static_cast<std::size_t>(n), 0};
      }
      if (n == 0) return {IoStep::Kind::eof, 0, 0};
      if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoStep::Kind::want_read, 0, 0};
      if (errno != EINTR) return {IoStep::Kind::system_error, 0, errno};
    }
  }
  for (;;) {
    ERR_clear_error();
    const int result = SSL_read(ssl_, data, static_cast<int>(size));
    if (result > 0) return {IoStep::Kind::ok, static_cast<std::size_t>(result), 0};
    take_ciphertext();
    flush();  // a key update's answer; if the socket is full it goes out later or never
    const IoStep step = tls_result(result);
    if (step.kind != IoStep::Kind::want_read) return step;
    const IoStep got = receive_ciphertext();
    if (got.kind != IoStep::Kind::ok) return got;
  }
}

IoStep Link::receive_ciphertext() {
  std::array<char, 16 * 1024> block;
  for (;;) {
    if (received_ > kMaxReceived) {
      why_ = "more than 1 MiB of TLS records";
      return {IoStep::Kind::tls_error, 0, 0};
    }
    const ssize_t n = ::recv(descriptor_.native_handle(), block.data(), block.size(), 0);
    if (n > 0) {
      received_ += static_cast<std::size_t>(n);
      BIO_write(SSL_get_rbio(ssl_), block.data(), static_cast<int>(n));
      return {};
    }
    if (n == 0) return {IoStep::Kind::eof, 0, 0};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoStep::Kind::want_read, 0, 0};
    if (errno != EINTR) return {IoStep::Kind::system_error, 0, errno};
  }
}

IoStep Link::tls_result(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return {IoStep::Kind::want_read, 0, 0};  // a memory BIO is never full
    case SSL_ERROR_ZERO_RETURN: return {IoStep::Kind::eof, 0, 0};
    default: break;
  }
  why_ = describe_tls_failure();
  return {IoStep::Kind::tls_error, 0, 0};
}

std::string Link::describe_tls_failure() {
  const long verdict = SSL_get_verify_result(ssl_);
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (verdict != X509_V_OK && SSL_get_verify_mode(ssl_) != SSL_VERIFY_NONE)
    return std::string("certificate for '") + expected_name_ + "' refused: " + X509_verify_cert_error_string(verdict);
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason != nullptr ? reason : "TLS protocol error";
}

void Link::take_ciphertext() {
  BIO* bio = SSL_get_wbio(ssl_);
  std::array<char, 4096> block;
  for (int n = BIO_read(bio, block.data(), block.size()); n > 0; n = BIO_read(bio, block.data(), block.size()))
    out_.append(block.data(), static_cast<std::size_t>(n));
}

void Link::close() {
  if (descriptor_.is_open()) {
    if (ssl_ != nullptr && SSL_is_init_finished(ssl_) && (SSL_get_shutdown(ssl_) & SSL_SENT_SHUTDOWN) == 0) {
      ERR_clear_error();
      SSL_shutdown(ssl_);
      take_ciphertext();
      ERR_clear_error();
    }
    if (!out_.empty()) flush();
    boost::system::error_code ignored;
    descriptor_.close(ignored);
  }
  SSL_free(ssl_);
  ssl_ = nullptr;
}

}  // namespace understudy::probe
