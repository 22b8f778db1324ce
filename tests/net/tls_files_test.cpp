// What `understudy check` says about certificates and keys: exact words.
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <string>

#include "tests/support/tls_peers.hpp"

namespace understudy::net {
namespace {

using namespace understudy::test;  // NOLINT: test vocabulary

struct TlsFiles : ::testing::Test {
  TestFolder folder;
  TestAuthority authority;
  Issued issued = authority.issue({"a.test"});
  std::string certificate = folder.write("a.pem", issued.certificate);
  std::string key = folder.write("a.key", issued.key);

  static std::string check(const std::string& certificate_path, const std::string& key_path) {
    config::ListenTls settings;
    settings.certificates = {{certificate_path, key_path}};
    return check_tls_files(settings);
  }
};

std::string encrypted(const std::string& key_pem) {
  BIO* in = BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  BIO* out = BIO_new(BIO_s_mem());
  unsigned char secret[] = "secret";
  PEM_write_bio_PrivateKey(out, key, EVP_aes_128_cbc(), secret, 6, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(in);
  BIO_free(out);
  EVP_PKEY_free(key);
  return pem;
}

TEST_F(TlsFiles, GoodOnesPass) {
  EXPECT_EQ(check(certificate, key), "");
  const std::string both = folder.write("both.pem", issued.key + issued.certificate);
  EXPECT_EQ(check(both, both), "") << "key and certificate may share a file";
  const std::string chain = folder.write("chain.pem", "a comment\n" + issued.certificate + authority.pem());
  EXPECT_EQ(check(chain, key), "");
}

TEST_F(TlsFiles, ExpiredIsNoErrorOfTheFiles) {
  IssueOptions options;
  options.dns = {"old.test"};
  options.from = -7200;
  options.to = -3600;
  const Issued old = authority.issue(options);
  config::ListenTls settings;
  settings.certificates = {{folder.write("old.pem", old.certificate), folder.write("old.key", old.key)}};
  EXPECT_EQ(check_tls_files(settings), "");
  const TlsServer server(settings, "web", nullptr);
  EXPECT_LT(server.certificates().front().not_after, std::chrono::system_clock::now());
}

TEST_F(TlsFiles, EachFaultIsNamedWithItsRemedy) {
  const std::string none = folder.path("none.pem");
  const std::string empty = folder.write("empty.pem", "");
  const std::string text = folder.write("text.pem", "not a certificate\n");
  const std::string damaged = folder.write(
      "damaged.pem", issued.certificate + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  const std::string damaged_key =
      folder.write("damaged.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  const std::string other_key = folder.write("other.key", authority.issue({"b.test"}).key);
  const std::string locked = folder.write("locked.key", encrypted(issued.key));
  const std::string fifo = folder.path("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const std::string directory = folder.path("");

  EXPECT_EQ(check(none, key), "certificate '" + none + "' cannot be read: No such file or directory; correct the path");
  EXPECT_EQ(check(certificate, none), "key '" + none + "' cannot be read: No such file or directory; correct the path");
  EXPECT_EQ(check(directory, key), "certificate '" + directory + "' cannot be read: Is a directory; correct the path");
  EXPECT_EQ(check(fifo, key), "certificate '" + fifo + "' is no regular file; give a PEM file");
  EXPECT_EQ(check(empty, key),
            "certificate '" + empty +
                "' holds no PEM certificate; it needs a block that starts with -----BEGIN CERTIFICATE-----");
  EXPECT_EQ(check(text, key),
            "certificate '" + text +
                "' holds no PEM certificate; it needs a block that starts with -----BEGIN CERTIFICATE-----");
  EXPECT_EQ(check(key, key),
            "certificate '" + key +
                "' holds no PEM certificate; it needs a block that starts with -----BEGIN CERTIFICATE-----");
  EXPECT_EQ(
      check(certificate, empty),
      "key '" + empty + "' holds no PEM private key; it needs a block that starts with -----BEGIN PRIVATE KEY-----");
  EXPECT_EQ(check(certificate, certificate),
            "key '" + certificate +
                "' holds no PEM private key; it needs a block that starts with -----BEGIN PRIVATE KEY-----");
  EXPECT_EQ(check(certificate, other_key), "key '" + other_key + "' does not belong to certificate '" + certificate +
                                               "'; give the key that the certificate was issued for, and its "
                                               "own certificate as the first of the file");
  EXPECT_EQ(check(certificate, locked), "key '" + locked +
                                            "' is encrypted with a passphrase; store it without one (openssl "
                                            "pkey -in OLD -out NEW) and readable only by its user");
  EXPECT_TRUE(check(damaged, key)
                  .starts_with("certificate '" + damaged + "' holds a damaged certificate (number 2 in the file): "))
      << check(damaged, key);
  EXPECT_TRUE(check(certificate, damaged_key).starts_with("key '" + damaged_key + "' holds a damaged private key: "))
      << check(certificate, damaged_key);
}

TEST_F(TlsFiles, ListenerSettingsThatContradictThemselves) {
  config::ListenTls settings;
  EXPECT_EQ(check_tls_files(settings),
            "tls names no certificate; give at least one { certificate = \"...\", key = \"...\" }");
  settings.certificates = {{certificate, key}};
  settings.client_auth = config::ClientAuth::require;
  EXPECT_EQ(check_tls_files(settings),
            "client_auth is set but client_ca is not; name the PEM file of the authorities that sign client "
            "certificates");
  settings.client_ca = folder.path("none.pem");
  EXPECT_EQ(check_tls_files(settings),
            "client_ca '" + settings.client_ca + "' cannot be read: No such file or directory; correct the path");
  settings.client_ca = key;
  EXPECT_EQ(check_tls_files(settings),
            "client_ca '" + key +
                "' holds no PEM certificate; it needs a block that starts with -----BEGIN CERTIFICATE-----");
  settings.client_ca = folder.write("ca.pem", authority.pem());
  EXPECT_EQ(check_tls_files(settings), "");
}

TEST_F(TlsFiles, UpstreamSettings) {
  config::UpstreamTls settings;
  EXPECT_EQ(check_tls_files(settings), "");
  settings.ca = folder.path("none.pem");
  EXPECT_EQ(check_tls_files(settings),
            "ca '" + settings.ca + "' cannot be read: No such file or directory; correct the path");
  settings.ca = folder.write("ca.pem", authority.pem());
  settings.certificate = certificate;
  EXPECT_EQ(check_tls_files(settings), "tls.certificate is set but tls.key is not; give both or neither");
  settings.key = folder.path("none.key");
  EXPECT_EQ(check_tls_files(settings),
            "key '" + settings.key + "' cannot be read: No such file or directory; correct the path");
  settings.key = key;
  EXPECT_EQ(check_tls_files(settings), "");
  settings.certificate.clear();
  EXPECT_EQ(check_tls_files(settings), "tls.key is set but tls.certificate is not; give both or neither");
}

}  // namespace
}  // namespace understudy::net
