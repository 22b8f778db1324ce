// TLS over OpenSSL with our own BIO on pooled blocks: one recv and one send per request as in clear text, no buffer held
// while waiting. Contexts are built on the control thread and shared read-only; sessions belong to one worker.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.hpp"
#include "proxy/net/buffer.hpp"
#include "proxy/net/transport.hpp"

struct ssl_st;
struct ssl_ctx_st;

namespace understudy::net {

// Ticket keys shared by every listener and worker: current, previous and next; rotated by the control thread.
class TicketKeys {
public:
  TicketKeys();   // random keys; throws when the system gives no randomness
  ~TicketKeys();  // wipes them
  void rotate();  // next → current → previous → wiped
  // All three, for a process that takes over from this one. Whoever gets them wipes them.
  std::string secret() const;
  // Takes them over; false, and nothing has changed, when they are none of this version's. Any thread may be using the keys.
  bool adopt(std::string_view secret);
  struct Data;
  const std::shared_ptr<Data>& data() const { return data_; }

private:
  std::shared_ptr<Data> data_;
};

struct CertificateInfo {
  std::string common_name;
  std::vector<std::string> names;  // DNS names of the certificate
  std::chrono::system_clock::time_point not_after;
};

// What a TLS listener presents. Immutable; a reload builds a new one and connections under way keep the old.
class TlsServer {
public:
  // Throws std::runtime_error naming the file and the remedy (unreadable, no PEM, key does not match, expired is a warning only).
  TlsServer(const config::ListenTls& settings, const std::string& listener_name,
            std::shared_ptr<TicketKeys::Data> tickets);
  ~TlsServer();
  ssl_ctx_st* context() const;
  const std::vector<CertificateInfo>& certificates() const;
  // The certificate that `server_name` selected covers `host` (else 421). "" server_name: the first certificate.
  bool covers(std::string_view server_name, std::string_view host) const;

private:
  friend class TlsSession;
  struct State;
  std::unique_ptr<State> state_;
};

// How a pool speaks TLS to its endpoints: verification with name on by default.
class TlsClient {
public:
  explicit TlsClient(const config::UpstreamTls& settings);  // throws as above
  ~TlsClient();
  ssl_ctx_st* context() const;
  const std::string& server_name() const;  // configured, or "" to use the endpoint's host name

private:
  friend class TlsSession;
  struct State;
  std::unique_ptr<State> state_;
};

// Validates what `understudy check` may read: certificate, key, CA. Empty when good, else the reason.
std::string check_tls_files(const config::ListenTls& settings);
std::string check_tls_files(const config::UpstreamTls& settings);

// One TLS connection. Drives its own handshake inside read() and write(); never blocks, never waits for close_notify.
class TlsSession {
public:
  TlsSession(const TlsServer& server, BlockPool& pool);
  TlsSession(const TlsClient& client, const std::string& endpoint_host, BlockPool& pool);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // ok: finished. again: wait for what the transport's cleared flags say. error: why() tells.
  IoResult handshake(Transport& transport);
  bool handshake_done() const;
  bool started() const;  // a first ciphertext byte arrived

  // Plaintext out of ciphertext. One recv fills a pooled block, which is returned when drained.
  IoResult read(Transport& transport, void* data, std::size_t size);
  // Takes plaintext (all of it up to 256 KiB of pending ciphertext, then a part), encrypts into pooled blocks and sends with
  // as few calls as possible. `bytes` is what was taken; call flush() until pending_output() is false.
  IoResult write(Transport& transport, const iovec* parts, int count);
  IoResult flush(Transport& transport);
  bool pending_output() const;
  std::size_t pending_bytes() const;  // of ciphertext
  // There may be plaintext without another recv: ciphertext left over or SSL_pending.
  bool buffered_input() const;
  // Peer said goodbye (close_notify) or the transport ended. Reads ciphertext but consumes no plaintext:
  // eof/error = gone, ok = plaintext is waiting, again = still there.
  IoResult peek(Transport& transport);
  void send_close_notify(Transport& transport);  // sends ours, waits for nothing

  const std::string& why() const;        // last failure in words
  bool verification_failed() const;      // upstream certificate refused
  std::string_view server_name() const;  // SNI of a downstream connection
  std::string_view alpn() const;
  std::string_view version() const;  // "TLSv1.3"
  bool resumed() const;
  bool client_certificate_verified() const;
  bool key_update_flood() const;       // more than 32 a minute: the caller closes
  bool application_data_sent() const;  // for "proof that no byte was sent"
  // The transport ended without close_notify. Harmless after a framed message; a body that lasts until the connection closes
  // may have been cut by anyone on the way.
  bool truncated() const;

private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace understudy::net
