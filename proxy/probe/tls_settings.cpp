#include "proxy/probe/tls_settings.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <stdexcept>
#include <string_view>

namespace understudy::probe {
namespace {

using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

// Throws with OpenSSL's last word on the matter.
[[noreturn]] void refuse(std::string_view what, const std::string& file, std::string_view remedy) {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  std::string text = std::string(what) + " '" + file + "' cannot be used";
  if (reason != nullptr) text += std::string(": ") + reason;
  throw std::runtime_error(text + "; " + std::string(remedy));
}

void load_authorities(SSL_CTX* context, const std::string& file) {
  if (file.empty()) {
    SSL_CTX_set_default_verify_paths(context);  // absent system certificates fail at verification, with a reason
    return;
  }
  if (SSL_CTX_load_verify_file(context, file.c_str()) != 1)
    refuse("tls.ca", file, "give a readable PEM file with the authority's certificate");
}

void load_identity(SSL_CTX* context, const config::UpstreamTls& settings) {
  if (settings.certificate.empty()) return;
  if (SSL_CTX_use_certificate_chain_file(context, settings.certificate.c_str()) != 1)
    refuse("tls.certificate", settings.certificate, "give a readable PEM certificate chain, own certificate first");
  const std::string& key = settings.key.empty() ? settings.certificate : settings.key;
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1)
    refuse("tls.key", key, "give the readable PEM private key that belongs to tls.certificate");
}

}  // namespace

TlsSettings::TlsSettings(const config::UpstreamTls& settings)
    : server_name_(settings.server_name), insecure_(settings.insecure) {
  ERR_clear_error();
  Context context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  if (!context) throw std::runtime_error("out of memory for a TLS context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context.get(), insecure_ ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  if (!insecure_) load_authorities(context.get(), settings.ca);
  load_identity(context.get(), settings);
  ERR_clear_error();
  context_ = context.release();
}

TlsSettings::~TlsSettings() { SSL_CTX_free(context_); }

}  // namespace understudy::probe
