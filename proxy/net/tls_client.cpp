// Client contexts: how a pool speaks TLS to its endpoints.
#include <openssl/err.h>

#include <chrono>
#include <ctime>
#include <new>
#include <stdexcept>

#include "proxy/net/tls_context.hpp"
#include "proxy/net/tls_files.hpp"

namespace understudy::net {
namespace {

// Neither chain nor name is looked at: `insecure = true`.
int accept_any(X509_STORE_CTX*, void*) { return 1; }

int on_new_session(SSL* ssl, SSL_SESSION* session) {
  const SessionNotes* notes = notes_of(ssl);
  ClientContext* client = client_of(ssl);
  if (notes == nullptr || client == nullptr) return 0;
  try {
    client->keep(notes->session_key, SessionPtr(session));
    return 1;  // the reference is ours
  } catch (const std::bad_alloc&) {
    return 1;  // freed by SessionPtr
  }
}

bool still_good(SSL_SESSION* session) {
  constexpr std::time_t kLongest = 3600;  // a server that changed its certificate is verified again within the hour
  const std::time_t age = std::time(nullptr) - static_cast<std::time_t>(SSL_SESSION_get_time(session));
  return SSL_SESSION_is_resumable(session) == 1 && age >= 0 && age < kLongest &&
         age < static_cast<std::time_t>(SSL_SESSION_get_timeout(session));
}

void trust(SSL_CTX* context, const config::UpstreamTls& settings) {
  if (settings.insecure) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_cert_verify_callback(context, accept_any, nullptr);
    return;
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, on_verify);
  if (!settings.ca.empty()) {
    const Authorities authorities = load_authorities("ca", settings.ca);
    SSL_CTX_set1_cert_store(context, authorities.store.get());
  } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
    throw std::runtime_error("the system's certificate authorities cannot be read: " + openssl_words("unknown reason") +
                             "; install ca-certificates or set tls.ca");
  }
}

}  // namespace

void ClientContext::keep(const std::string& host, SessionPtr session) {
  const std::lock_guard lock(mutex_);
  if (sessions_.size() >= kHosts && !sessions_.contains(host)) sessions_.clear();
  std::vector<SessionPtr>& kept = sessions_[host];
  if (kept.size() >= kPerHost) kept.erase(kept.begin());
  kept.push_back(std::move(session));
}

SessionPtr ClientContext::borrow(const std::string& host) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(host);
  if (found == sessions_.end()) return nullptr;
  std::vector<SessionPtr>& kept = found->second;
  while (!kept.empty()) {
    SessionPtr session = std::move(kept.back());
    kept.pop_back();
    if (!still_good(session.get())) continue;
    if (SSL_SESSION_get_protocol_version(session.get()) == TLS1_2_VERSION && SSL_SESSION_up_ref(session.get()) == 1) {
      kept.emplace_back(session.get());  // may be used again, and brings no successor
    }
    return session;
  }
  sessions_.erase(found);
  return nullptr;
}

TlsClient::TlsClient(const config::UpstreamTls& settings) : state_(std::make_unique<State>()) {
  auto owner = std::make_shared<ClientContext>();
  owner->server_name = settings.server_name;
  owner->insecure = settings.insecure;
  owner->context.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* context = owner->context.get();
  if (context == nullptr) throw std::runtime_error("OpenSSL gives no TLS context: " + openssl_words("unknown reason"));
  apply_protocol(context, true);
  attach_owner(context, owner.get());
  if (SSL_CTX_set_alpn_protos(context, kAlpn, sizeof kAlpn) != 0) throw std::bad_alloc();
  trust(context, settings);
  if (settings.certificate.empty() != settings.key.empty()) {
    throw std::runtime_error(settings.key.empty() ? "tls.certificate is set but tls.key is not; give both or neither"
                                                  : "tls.key is set but tls.certificate is not; give both or neither");
  }
  if (!settings.certificate.empty()) {
    use_credentials(context, load_credentials("client certificate", settings.certificate, settings.key),
                    settings.certificate);
  }
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, on_new_session);
  state_->context = std::move(owner);
}

TlsClient::~TlsClient() = default;

ssl_ctx_st* TlsClient::context() const { return state_->context->context.get(); }
const std::string& TlsClient::server_name() const { return state_->context->server_name; }

std::string check_tls_files(const config::UpstreamTls& settings) {
  try {
    const TlsClient client(settings);
    return {};
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

}  // namespace understudy::net
