// Server contexts: one per set of names, chosen by the server name of the ClientHello before anything else is
// looked at, so that neither a certificate nor a session of one host is ever used for another.
#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <stdexcept>

#include "proxy/net/tls_context.hpp"
#include "proxy/net/tls_files.hpp"

namespace understudy::net {

namespace {

// The host name of a ClientHello's server_name extension (RFC 6066 §3); "" when absent or odd, which OpenSSL
// then judges.
std::string_view server_name_of(SSL* ssl) {
  const unsigned char* data = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) != 1 || size < 5) return {};
  const std::size_t list = static_cast<std::size_t>(data[0]) << 8 | data[1];
  const std::size_t name = static_cast<std::size_t>(data[3]) << 8 | data[4];
  if (list + 2 != size || data[2] != TLSEXT_NAMETYPE_host_name || name + 5 > size) return {};
  return {reinterpret_cast<const char*>(data + 5), name};
}

// Sessions belong to one listener, one set of client rules and one server name.
bool bind_sessions(SSL* ssl, const ServerContext& server, std::string_view name) {
  std::array<unsigned char, 32 + 256> text;
  auto end = std::copy(server.identity.begin(), server.identity.end(), text.begin());
  end = std::copy(name.begin(), name.end(), end);
  std::array<unsigned char, 32> digest;
  unsigned int size = 0;
  const auto length = static_cast<std::size_t>(end - text.begin());
  return EVP_Digest(text.data(), length, digest.data(), &size, sha256(), nullptr) == 1 &&
         SSL_set_session_id_context(ssl, digest.data(), size) == 1;
}

int on_client_hello(SSL* ssl, int* alert, void*) {
  const ServerContext& server = *server_of(ssl);
  const HostText name(server_name_of(ssl));
  SSL_CTX* chosen = server.select(name.view()).context.get();
  *alert = SSL_AD_INTERNAL_ERROR;
  if (chosen != SSL_get_SSL_CTX(ssl) && SSL_set_SSL_CTX(ssl, chosen) == nullptr) return SSL_CLIENT_HELLO_ERROR;
  if (!bind_sessions(ssl, server, name.view())) return SSL_CLIENT_HELLO_ERROR;
  if (SessionNotes* notes = notes_of(ssl)) {
    try {
      notes->server_name = name.view();
    } catch (const std::bad_alloc&) {
      return SSL_CLIENT_HELLO_ERROR;
    }
  }
  return SSL_CLIENT_HELLO_SUCCESS;
}

// Acknowledges the name; the choice was made above.
int on_server_name(SSL*, int*, void*) { return SSL_TLSEXT_ERR_OK; }

// http/1.1, or a refusal: a client that offers only other protocols must not be answered in this one (RFC
// 7301 §3.2).
int on_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned int in_size,
            void*) {
  for (unsigned int at = 0; at < in_size; at += 1u + in[at]) {
    if (in_size - at < sizeof kAlpn) break;
    if (std::memcmp(in + at, kAlpn, sizeof kAlpn) != 0) continue;
    *out = in + at + 1;
    *out_size = in[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// A session with a client certificate is resumed only while that certificate is valid.
SSL_TICKET_RETURN on_ticket(SSL*, SSL_SESSION* session, const unsigned char*, size_t, SSL_TICKET_STATUS status, void*) {
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
  const X509* peer = SSL_SESSION_get0_peer(session);
  if (peer != nullptr && X509_cmp_current_time(X509_get0_notAfter(peer)) <= 0) return SSL_TICKET_RETURN_IGNORE_RENEW;
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

std::array<unsigned char, 32> digest_of(const std::string& text) {
  std::array<unsigned char, 32> digest{};
  if (EVP_Digest(text.data(), text.size(), digest.data(), nullptr, sha256(), nullptr) != 1) throw std::bad_alloc();
  return digest;
}

// The client rules of one listener, in a form that every context of it takes.
struct ClientRules {
  config::ClientAuth mode = config::ClientAuth::off;
  Authorities authorities;

  explicit ClientRules(const config::ListenTls& settings) : mode(settings.client_auth) {
    if (mode == config::ClientAuth::off) return;
    if (settings.client_ca.empty()) {
      throw std::runtime_error(
          "client_auth is set but client_ca is not; name the PEM file of the authorities that sign client "
          "certificates");
    }
    authorities = load_authorities("client_ca", settings.client_ca);
  }

  void apply(SSL_CTX* context) const {
    if (mode == config::ClientAuth::off) return;
    const bool must = mode == config::ClientAuth::require;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (must ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), on_verify);
    SSL_CTX_set1_cert_store(context, authorities.store.get());
    for (const CertificatePtr& certificate : authorities.certificates) {
      if (SSL_CTX_add_client_CA(context, certificate.get()) != 1) throw std::bad_alloc();
    }
    SSL_CTX_set_session_ticket_cb(context, nullptr, on_ticket, nullptr);
  }
};

ContextPtr make_context(const config::ListenTls& settings, const ClientRules& rules, ServerContext& owner) {
  ContextPtr result(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = result.get();
  if (context == nullptr) throw std::runtime_error("OpenSSL gives no TLS context: " + openssl_words("unknown reason"));
  apply_protocol(context, settings.allow_tls12);
  attach_owner(context, &owner);
  SSL_CTX_set_client_hello_cb(context, on_client_hello, nullptr);
  SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
  SSL_CTX_set_alpn_select_cb(context, on_alpn, nullptr);
  SSL_CTX_set_max_early_data(context, 0);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets hold the sessions
  if (owner.tickets) {
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket_key);
  } else {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
  }
  rules.apply(context);
  return result;
}

// The bundle that a certificate joins: same names, and no certificate of its kind of key yet. A client that
// cannot use the one kind then gets the other.
ServerContext::Bundle* partner(ServerContext& owner, const CertificateNames& names, const EVP_PKEY* key,
                               const std::vector<std::pair<std::size_t, int>>& kinds) {
  for (std::size_t i = 0; i < owner.bundles.size(); ++i) {
    if (!(owner.bundles[i].names == names)) continue;
    const std::pair<std::size_t, int> taken{i, EVP_PKEY_get_base_id(key)};
    if (std::find(kinds.begin(), kinds.end(), taken) == kinds.end()) return &owner.bundles[i];
  }
  return nullptr;
}

void add_certificates(const config::ListenTls& settings, const ClientRules& rules, ServerContext& owner) {
  std::vector<std::pair<std::size_t, int>> kinds;  // bundle, kind of key
  for (const config::CertificateFiles& files : settings.certificates) {
    const Credentials credentials = load_credentials("certificate", files.certificate, files.key);
    X509* leaf = credentials.chain.front().get();
    CertificateNames names = certificate_names(leaf);
    ServerContext::Bundle* bundle = partner(owner, names, credentials.key.get(), kinds);
    if (bundle == nullptr) {
      owner.index.add(names, owner.bundles.size());
      owner.bundles.push_back({make_context(settings, rules, owner), std::move(names)});
      bundle = &owner.bundles.back();
    }
    use_credentials(bundle->context.get(), credentials, files.certificate);
    kinds.emplace_back(static_cast<std::size_t>(bundle - owner.bundles.data()),
                       EVP_PKEY_get_base_id(credentials.key.get()));
    owner.certificates.push_back(certificate_info(leaf));
  }
  owner.index.finish();
}

}  // namespace

const ServerContext::Bundle& ServerContext::select(std::string_view server_name) const {
  const std::size_t at = index.find(server_name);
  return bundles[at == NameIndex::kNone ? 0 : at];
}

TlsServer::TlsServer(const config::ListenTls& settings, const std::string& listener_name,
                     std::shared_ptr<TicketKeys::Data> tickets)
    : state_(std::make_unique<State>()) {
  if (settings.certificates.empty()) {
    throw std::runtime_error("tls names no certificate; give at least one { certificate = \"...\", key = \"...\" }");
  }
  auto owner = std::make_shared<ServerContext>();
  owner->tickets = std::move(tickets);
  const ClientRules rules(settings);
  owner->identity =
      digest_of(listener_name + '\0' + static_cast<char>('0' + static_cast<int>(rules.mode)) + rules.authorities.pem);
  add_certificates(settings, rules, *owner);
  state_->context = std::move(owner);
}

TlsServer::~TlsServer() = default;

ssl_ctx_st* TlsServer::context() const { return state_->context->bundles.front().context.get(); }
const std::vector<CertificateInfo>& TlsServer::certificates() const { return state_->context->certificates; }

bool TlsServer::covers(std::string_view server_name, std::string_view host) const {
  return state_->context->select(server_name).names.covers(host);
}

std::string check_tls_files(const config::ListenTls& settings) {
  try {
    const TlsServer server(settings, "", nullptr);
    return {};
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

}  // namespace understudy::net
