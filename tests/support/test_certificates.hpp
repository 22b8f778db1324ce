// Certificates for tests, made at run time: an authority and what it issues. No key lies in the repository.
#pragma once

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace understudy::test {

// A folder that goes with the test.
class TestFolder {
public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "understudy-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::string path(const std::string& name) const { return (path_ / name).string(); }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }

private:
  std::filesystem::path path_;
};

enum class KeyKind { ec, rsa };

struct IssueOptions {
  std::vector<std::string> dns;
  std::vector<std::string> addresses;
  std::string common_name = "leaf";
  long from = -3600;  // seconds relative to now
  long to = 30L * 24 * 3600;
  KeyKind key = KeyKind::ec;
};

// Certificate and key in PEM.
struct Issued {
  std::string certificate;
  std::string key;
};

class TestAuthority {
public:
  explicit TestAuthority(const std::string& name = "Test Authority") : key_(make_key(KeyKind::ec)) {
    IssueOptions options;
    options.common_name = name;
    options.from = -10L * 24 * 3600;  // good before anything that it issues
    options.to = 3650L * 24 * 3600;
    certificate_ = build(options, key_.get(), nullptr);
  }

  std::string pem() const { return to_pem(certificate_.get()); }

  Issued issue(const IssueOptions& options) const {
    const Key key = make_key(options.key);
    const Certificate leaf = build(options, key.get(), certificate_.get());
    return {to_pem(leaf.get()), to_pem(key.get())};
  }
  Issued issue(std::vector<std::string> dns) const {
    IssueOptions options;
    options.common_name = dns.empty() ? "leaf" : dns.front();
    options.dns = std::move(dns);
    return issue(options);
  }

private:
  template <auto Free>
  struct FreeWith {
    template <class T>
    void operator()(T* p) const {
      Free(p);
    }
  };
  using Key = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
  using Certificate = std::unique_ptr<X509, FreeWith<X509_free>>;
  using Bio = std::unique_ptr<BIO, FreeWith<BIO_free>>;

  static void check(bool good, const char* what) {
    if (!good) throw std::runtime_error(std::string("test certificate: ") + what);
  }

  static Key make_key(KeyKind kind) {
    Key key(kind == KeyKind::ec ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048));
    check(key != nullptr, "key");
    return key;
  }

  static std::string drain(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    return {data, static_cast<std::size_t>(size)};
  }
  static std::string to_pem(X509* certificate) {
    const Bio bio(BIO_new(BIO_s_mem()));
    check(PEM_write_bio_X509(bio.get(), certificate) == 1, "PEM");
    return drain(bio.get());
  }
  static std::string to_pem(EVP_PKEY* key) {
    const Bio bio(BIO_new(BIO_s_mem()));
    check(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1, "PEM");
    return drain(bio.get());
  }

  static void extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str());
    check(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, value.c_str());
    X509_EXTENSION_free(extension);
  }

  // Built by hand, so that names with any byte can be tried.
  static void add_names(X509* certificate, const IssueOptions& options) {
    GENERAL_NAMES* names = sk_GENERAL_NAME_new_null();
    for (const std::string& dns : options.dns) {
      ASN1_IA5STRING* text = ASN1_IA5STRING_new();
      ASN1_STRING_set(text, dns.data(), static_cast<int>(dns.size()));
      GENERAL_NAME* name = GENERAL_NAME_new();
      GENERAL_NAME_set0_value(name, GEN_DNS, text);
      sk_GENERAL_NAME_push(names, name);
    }
    for (const std::string& address : options.addresses) {
      GENERAL_NAME* name = GENERAL_NAME_new();
      GENERAL_NAME_set0_value(name, GEN_IPADD, a2i_IPADDRESS(address.c_str()));
      sk_GENERAL_NAME_push(names, name);
    }
    check(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1, "names");
    GENERAL_NAMES_free(names);
  }

  // issuer nullptr: signs itself, as an authority.
  Certificate build(const IssueOptions& options, EVP_PKEY* subject_key, X509* issuer) const {
    Certificate result(X509_new());
    X509* certificate = result.get();
    X509_set_version(certificate, 2);
    static long serial = 1;
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), options.from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), options.to);
    X509_set_pubkey(certificate, subject_key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(options.common_name.c_str()), -1, -1, 0);
    X509* signer = issuer != nullptr ? issuer : certificate;
    X509_set_issuer_name(certificate, X509_get_subject_name(signer));
    extend(certificate, signer, NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
    extend(certificate, signer, NID_subject_key_identifier, "hash");
    if (issuer == nullptr) extend(certificate, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
    if (!options.dns.empty() || !options.addresses.empty()) add_names(certificate, options);
    check(X509_sign(certificate, key_.get(), EVP_sha256()) > 0, "signature");
    return result;
  }

  Key key_;
  Certificate certificate_;
};

}  // namespace understudy::test
