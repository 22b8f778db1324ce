// Certificates made at run time for the TLS tests of this folder: an authority and leaves, EC P-256, valid
// for a day.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

namespace understudy::probe::test {

struct Identity {
  std::shared_ptr<X509> certificate;
  std::shared_ptr<EVP_PKEY> key;
};

inline void require(bool ok) {
  if (!ok) throw std::runtime_error("could not make a test certificate");
}

// `san` as OpenSSL writes it ("DNS:app.example", "IP:127.0.0.1"). Signed by `issuer`, or by itself without
// one.
inline Identity make_identity(const std::string& name, const std::string& san, bool authority, const Identity* issuer) {
  static long serial = 1;
  Identity made;
  made.key.reset(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  made.certificate.reset(X509_new(), &X509_free);
  X509* x = made.certificate.get();
  require(x != nullptr && made.key != nullptr);
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), 24L * 3600);
  X509_set_pubkey(x, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  const Identity& by = issuer != nullptr ? *issuer : made;
  X509_set_issuer_name(x, X509_get_subject_name(by.certificate.get()));
  const auto add = [&](int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, by.certificate.get(), x, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    require(extension != nullptr);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
  };
  add(NID_basic_constraints, authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!san.empty()) add(NID_subject_alt_name, san);
  require(X509_sign(x, by.key.get(), EVP_sha256()) > 0);
  return made;
}

// A directory of PEM files that goes away with the test.
class PemFiles {
public:
  PemFiles() {
    std::string pattern = (std::filesystem::temp_directory_path() / "understudy-probe-XXXXXX").string();
    require(::mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
  }
  ~PemFiles() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  PemFiles(const PemFiles&) = delete;
  PemFiles& operator=(const PemFiles&) = delete;
  std::string certificate(const std::string& file, const Identity& identity) const {
    return write(file, [&](FILE* out) { return PEM_write_X509(out, identity.certificate.get()); });
  }
  std::string key(const std::string& file, const Identity& identity) const {
    return write(file, [&](FILE* out) {
      return PEM_write_PrivateKey(out, identity.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
  std::string path(const std::string& file) const { return folder_ / file; }

private:
  template <typename Write>
  std::string write(const std::string& file, Write put) const {
    FILE* out = std::fopen(path(file).c_str(), "w");
    require(out != nullptr && put(out) == 1);
    std::fclose(out);
    return path(file);
  }
  std::filesystem::path folder_;
};

}  // namespace understudy::probe::test
