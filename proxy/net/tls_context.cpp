#include "proxy/net/tls_context.hpp"

#include <openssl/err.h>

#include <algorithm>
#include <ctime>
#include <new>
#include <stdexcept>

namespace understudy::net {
namespace {

int notes_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}
int owner_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}
void* owner_of(const SSL* ssl) { return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), owner_index()); }

void require(int good, const char* what) {
  if (good != 1)
    throw std::runtime_error(std::string("OpenSSL refuses ") + what + ": " + openssl_words("unknown reason"));
}

std::string date_of(const ASN1_TIME* time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(to_time(time));
  std::tm fields{};
  ::gmtime_r(&seconds, &fields);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &fields)};
}

std::string list_of(const CertificateInfo& info) {
  if (info.names.empty()) return info.common_name.empty() ? "no DNS name" : info.common_name;
  constexpr std::size_t kShown = 4;
  std::string text;
  for (std::size_t i = 0; i < info.names.size() && i < kShown; ++i) text += (i == 0 ? "" : ", ") + info.names[i];
  if (info.names.size() > kShown) text += " and " + std::to_string(info.names.size() - kShown) + " more";
  return text;
}

// Text from a peer's certificate goes into logs: printable, and not endless.
std::string clean(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  if (text.size() > 300) text = text.substr(0, 300) + "...";
  return text;
}

std::string words_for(int error, X509* certificate, bool server, const std::string& wanted) {
  switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "it is for " + list_of(certificate_info(certificate)) + ", not for " + wanted +
             "; set tls.server_name to a name that it carries";
    case X509_V_ERR_CERT_HAS_EXPIRED: return "it expired on " + date_of(X509_get0_notAfter(certificate));
    case X509_V_ERR_CERT_NOT_YET_VALID: return "it is not valid before " + date_of(X509_get0_notBefore(certificate));
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return std::string("no trusted authority has signed it (") + X509_verify_cert_error_string(error) + "); " +
             (server ? "client_ca must hold the authority" : "set tls.ca to the authority's file");
    default: return X509_verify_cert_error_string(error);
  }
}

}  // namespace

SessionNotes* notes_of(const SSL* ssl) { return static_cast<SessionNotes*>(SSL_get_ex_data(ssl, notes_index())); }
void attach_notes(SSL* ssl, SessionNotes* notes) {
  if (SSL_set_ex_data(ssl, notes_index(), notes) != 1) throw std::bad_alloc();
}
void attach_owner(SSL_CTX* context, void* owner) {
  if (SSL_CTX_set_ex_data(context, owner_index(), owner) != 1) throw std::bad_alloc();
}
ServerContext* server_of(const SSL* ssl) { return static_cast<ServerContext*>(owner_of(ssl)); }
ClientContext* client_of(const SSL* ssl) { return static_cast<ClientContext*>(owner_of(ssl)); }

void apply_protocol(SSL_CTX* context, bool allow_tls12) {
  require(SSL_CTX_set_min_proto_version(context, allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION), "the TLS version");
  require(SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION), "the TLS version");
  // Authenticated encryption with forward secrecy only; AES-128 first, since every server's CPU has it in
  // hardware.
  require(
      SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"),
      "the TLS 1.3 ciphers");
  require(SSL_CTX_set_cipher_list(context,
                                  "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                  "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"),
          "the TLS 1.2 ciphers");
  require(static_cast<int>(SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384")), "the key exchange groups");
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_read_ahead(context,
                         0);  // the pipe reads ahead; OpenSSL's own buffer then empties with each record
}

int on_verify(int good, X509_STORE_CTX* store) {
  if (good == 1) return 1;
  const SSL* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  SessionNotes* notes = ssl != nullptr ? notes_of(ssl) : nullptr;
  if (notes == nullptr || !notes->refusal.empty()) return 0;
  try {  // OpenSSL's frames are above us
    const bool server = SSL_is_server(ssl) == 1;
    const int depth = X509_STORE_CTX_get_error_depth(store);
    const std::string whose = server ? "client certificate refused: " : "upstream certificate refused: ";
    const std::string level = depth > 0 ? "its issuer, level " + std::to_string(depth) + " of the chain: " : "";
    notes->refusal = clean(
        whose + level +
        words_for(X509_STORE_CTX_get_error(store), X509_STORE_CTX_get_current_cert(store), server, notes->wanted_name));
  } catch (const std::exception&) {
  }
  return 0;
}

bool KeyUpdateWindow::exceeded_by_one_more(std::chrono::steady_clock::time_point now) {
  auto& oldest = last_[count_++ % kMost];  // the one kMost updates ago
  const bool exceeded = count_ > kMost && now - oldest < kWindow;
  oldest = now;
  return exceeded;
}

void on_message(int written, int, int type, const void* data, size_t size, SSL* ssl, void*) {
  if (written != 0 || type != SSL3_RT_HANDSHAKE || size == 0) return;
  if (*static_cast<const unsigned char*>(data) != SSL3_MT_KEY_UPDATE) return;
  SessionNotes* notes = notes_of(ssl);
  if (notes == nullptr) return;
  try {
    if (!notes->key_updates) notes->key_updates = std::make_unique<KeyUpdateWindow>();
    if (notes->key_updates->exceeded_by_one_more(std::chrono::steady_clock::now())) notes->key_update_flood = true;
  } catch (const std::bad_alloc&) {
    notes->key_update_flood = true;
  }
  if (notes->key_update_flood && notes->pipe != nullptr) notes->pipe->stop();  // leaves the rest of the flood unread
}

const EVP_MD* sha256() {
  static const EVP_MD* const digest = EVP_MD_fetch(nullptr, "SHA256", nullptr);  // lives as long as the process
  return digest;
}

std::string openssl_words(std::string_view otherwise) {
  const unsigned long error = ERR_peek_error();
  ERR_clear_error();
  if (error == 0) return std::string(otherwise);
  if (const char* reason = ERR_reason_error_string(error)) return reason;
  return "OpenSSL error " + std::to_string(ERR_GET_REASON(error));
}

}  // namespace understudy::net
