#include "proxy/net/tls_files.hpp"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>

namespace understudy::net {
namespace {

using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free>>;
constexpr std::size_t kMaxFile = 4 << 20;  // a bundle of every public authority is a quarter of a megabyte

[[noreturn]] void refuse(const std::string& role, const std::string& path, const std::string& why) {
  throw std::runtime_error(role + " '" + path + "' " + why);
}

[[noreturn]] void cannot_read(const std::string& role, const std::string& path, int error) {
  const std::string remedy = error == EACCES ? "let the user that understudy runs as read it" : "correct the path";
  refuse(role, path, std::string("cannot be read: ") + std::strerror(error) + "; " + remedy);
}

// Reads a regular file and never waits on one that is none.
std::string read_file(const std::string& role, const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) cannot_read(role, path, errno);
  struct Close {
    int fd;
    ~Close() { ::close(fd); }
  } const close_it{fd};
  struct stat about {};
  if (::fstat(fd, &about) != 0) cannot_read(role, path, errno);
  if (S_ISDIR(about.st_mode)) cannot_read(role, path, EISDIR);
  if (!S_ISREG(about.st_mode)) refuse(role, path, "is no regular file; give a PEM file");
  if (static_cast<std::size_t>(about.st_size) > kMaxFile) refuse(role, path, "is larger than 4 MiB; give a PEM file");
  std::string content(static_cast<std::size_t>(about.st_size), '\0');
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = ::read(fd, content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) cannot_read(role, path, errno);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  content.resize(done);
  return content;
}

BioPtr bio_over(const std::string& content) {
  BioPtr bio(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
  if (!bio) throw std::bad_alloc();
  return bio;
}

bool last_error_is_end_of_file() {
  const unsigned long error = ERR_peek_last_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

std::vector<CertificatePtr> parse_certificates(const std::string& role, const std::string& path,
                                               const std::string& content) {
  std::vector<CertificatePtr> certificates;
  const BioPtr bio = bio_over(content);
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))
    certificates.emplace_back(certificate);
  if (!last_error_is_end_of_file()) {
    refuse(role, path,
           "holds a damaged certificate (number " + std::to_string(certificates.size() + 1) +
               " in the file): " + openssl_words("unknown reason") + "; replace the file");
  }
  ERR_clear_error();
  if (certificates.empty()) {
    refuse(role, path, "holds no PEM certificate; it needs a block that starts with -----BEGIN CERTIFICATE-----");
  }
  return certificates;
}

// Answers OpenSSL's question for a passphrase with "none", and remembers that it was asked.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

KeyPtr parse_key(const std::string& path, const std::string& content) {
  const BioPtr bio = bio_over(content);
  bool asked = false;
  ERR_clear_error();
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, &asked));
  if (key) return key;
  if (asked) {
    refuse("key", path,
           "is encrypted with a passphrase; store it without one (openssl pkey -in OLD -out NEW) and "
           "readable only by its user");
  }
  if (content.find("PRIVATE KEY-----") == std::string::npos) {  // OpenSSL 3 says "unsupported" to this, too
    refuse("key", path, "holds no PEM private key; it needs a block that starts with -----BEGIN PRIVATE KEY-----");
  }
  refuse("key", path, "holds a damaged private key: " + openssl_words("unknown reason") + "; replace the file");
}

}  // namespace

Credentials load_credentials(const std::string& role, const std::string& certificate_path,
                             const std::string& key_path) {
  Credentials result;
  result.chain = parse_certificates(role, certificate_path, read_file(role, certificate_path));
  std::string content = read_file("key", key_path);
  struct Wipe {
    std::string& secret;
    ~Wipe() { OPENSSL_cleanse(secret.data(), secret.size()); }
  } const wipe{content};
  result.key = parse_key(key_path, content);
  if (X509_check_private_key(result.chain.front().get(), result.key.get()) != 1) {
    ERR_clear_error();
    refuse("key", key_path,
           "does not belong to " + role + " '" + certificate_path +
               "'; give the key that the certificate was issued for, and its own certificate as the first of "
               "the file");
  }
  return result;
}

void use_credentials(SSL_CTX* context, const Credentials& credentials, const std::string& certificate_path) {
  STACK_OF(X509)* rest = sk_X509_new_null();
  if (rest == nullptr) throw std::bad_alloc();
  for (std::size_t i = 1; i < credentials.chain.size(); ++i) sk_X509_push(rest, credentials.chain[i].get());
  ERR_clear_error();
  const int good = SSL_CTX_use_cert_and_key(context, credentials.chain.front().get(), credentials.key.get(), rest, 1);
  sk_X509_free(rest);
  if (good != 1) {
    refuse("certificate", certificate_path,
           "is not accepted by OpenSSL: " + openssl_words("unknown reason") + "; issue a new one");
  }
}

Authorities load_authorities(const std::string& role, const std::string& path) {
  Authorities result;
  result.pem = read_file(role, path);
  result.certificates = parse_certificates(role, path, result.pem);
  result.store.reset(X509_STORE_new());
  if (!result.store) throw std::bad_alloc();
  for (const CertificatePtr& certificate : result.certificates) {
    if (X509_STORE_add_cert(result.store.get(), certificate.get()) != 1) {
      refuse(role, path, "is not accepted by OpenSSL: " + openssl_words("unknown reason"));
    }
  }
  return result;
}

}  // namespace understudy::net
