// What server and client contexts share: owning pointers, protocol settings, the verification callback, and
// the notes that callbacks leave for a session. Internal to proxy/net/tls_*.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proxy/net/tls.hpp"
#include "proxy/net/tls_names.hpp"
#include "proxy/net/tls_pipe.hpp"

namespace understudy::net {

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using SslPtr = std::unique_ptr<SSL, FreeWith<SSL_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;
using SessionPtr = std::unique_ptr<SSL_SESSION, FreeWith<SSL_SESSION_free>>;
using StorePtr = std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>>;

struct TicketKeys::Data {
  struct Key {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> cipher;  // AES-256-CBC
    std::array<unsigned char, 32> mac;     // HMAC-SHA-256
  };
  mutable std::shared_mutex mutex;  // workers read, the control thread rotates
  std::array<Key, 3> keys;          // guarded by mutex; previous, current, next
  ~Data();
};
// For SSL_CTX_set_tlsext_ticket_key_evp_cb; finds the keys in the context's ServerContext.
int on_ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                  int encrypt);

// More than `kMost` key updates within `kWindow`? Exact over every stretch of time, not only over fixed
// minutes.
class KeyUpdateWindow {
public:
  static constexpr std::size_t kMost = 32;
  static constexpr std::chrono::seconds kWindow{60};
  bool exceeded_by_one_more(std::chrono::steady_clock::time_point now);

private:
  std::array<std::chrono::steady_clock::time_point, kMost> last_{};
  std::size_t count_ = 0;
};

// What callbacks learn about one connection. Lives as long as its SSL.
struct SessionNotes {
  std::string server_name;     // server: SNI in lower case, "" when absent or not a host name
  std::string wanted_name;     // client: the name or address that the certificate must carry
  std::string session_key;     // client: under which sessions are kept for later
  std::string refusal;         // why the peer's certificate was refused
  CipherPipe* pipe = nullptr;  // stopped when the peer floods us
  bool key_update_flood = false;
  std::unique_ptr<KeyUpdateWindow> key_updates;  // made by the first key update
};
SessionNotes* notes_of(const SSL* ssl);  // nullptr for an SSL that no TlsSession made
void attach_notes(SSL* ssl, SessionNotes* notes);

// A listener's contexts, kept alive by its sessions.
struct ServerContext {
  struct Bundle {  // certificates of the same names, one for each kind of key
    ContextPtr context;
    CertificateNames names;
  };
  std::vector<Bundle> bundles;  // first: the default
  NameIndex index;              // into bundles
  std::vector<CertificateInfo> certificates;
  std::shared_ptr<TicketKeys::Data> tickets;
  std::array<unsigned char, 32> identity{};  // digest of listener, client rules and client CAs
  const Bundle& select(std::string_view server_name) const;
};
struct TlsServer::State {
  std::shared_ptr<ServerContext> context;
};
ServerContext* server_of(const SSL* ssl);

// A pool's context and the sessions it may resume.
struct ClientContext {
  ContextPtr context;
  std::string server_name;
  bool insecure = false;

  void keep(const std::string& host, SessionPtr session);
  SessionPtr borrow(const std::string& host);  // newest, removed: a TLS 1.3 ticket is used once

private:
  static constexpr std::size_t kHosts = 1024, kPerHost = 4;
  std::mutex mutex_;  // taken per dial, never per request
  std::unordered_map<std::string, std::vector<SessionPtr>> sessions_;
};
struct TlsClient::State {
  std::shared_ptr<ClientContext> context;
};
ClientContext* client_of(const SSL* ssl);

// Where a context's owner is found from a callback.
void attach_owner(SSL_CTX* context, void* owner);

// Versions, ciphers, groups, options and modes of both roles.
void apply_protocol(SSL_CTX* context, bool allow_tls12);
// Verifies and leaves words in the notes. For SSL_CTX_set_verify.
int on_verify(int good, X509_STORE_CTX* store);
// For SSL_set_msg_callback: counts key updates.
void on_message(int written, int version, int type, const void* data, size_t size, SSL* ssl, void* argument);

// Fetched once: the EVP_sha256() of OpenSSL 3 looks its implementation up again at each use.
const EVP_MD* sha256();

inline constexpr unsigned char kAlpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

// The oldest entry of OpenSSL's error queue in words, which is then cleared; `otherwise` when it is empty.
std::string openssl_words(std::string_view otherwise);

}  // namespace understudy::net
