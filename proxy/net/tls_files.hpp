// Certificates and keys from PEM files. Every failure is a std::runtime_error that names the file and the
// remedy. Internal to proxy/net/tls_*.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "proxy/net/tls_context.hpp"

namespace understudy::net {

using CertificatePtr = std::unique_ptr<X509, FreeWith<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;

struct Credentials {
  std::vector<CertificatePtr> chain;  // the owner's own first; never empty
  KeyPtr key;
};

// `role` stands in messages: "certificate", "client certificate".
Credentials load_credentials(const std::string& role, const std::string& certificate_path, const std::string& key_path);
void use_credentials(SSL_CTX* context, const Credentials& credentials, const std::string& certificate_path);

struct Authorities {
  StorePtr store;
  std::vector<CertificatePtr> certificates;
  std::string pem;  // the file's bytes, so that a change of the set can be told
};
Authorities load_authorities(const std::string& role, const std::string& path);

}  // namespace understudy::net
