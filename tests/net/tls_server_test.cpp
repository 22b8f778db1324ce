// What a listener presents and refuses: names, client certificates, tickets, versions.
#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <vector>

#include "tests/support/tls_peers.hpp"

namespace understudy::net {
namespace {

using namespace understudy::test;  // NOLINT: test vocabulary

using Session = std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)>;

struct TlsServerTest : ::testing::Test {
  TestFolder folder;
  TestAuthority authority;
  TicketKeys tickets;
  BlockPool pool;
  int files = 0;

  config::CertificateFiles store(const Issued& issued) {
    const std::string name = "c" + std::to_string(++files);
    return {folder.write(name + ".pem", issued.certificate), folder.write(name + ".key", issued.key)};
  }
  config::ListenTls listen(std::vector<std::vector<std::string>> names) {
    config::ListenTls settings;
    for (auto& one : names) settings.certificates.push_back(store(authority.issue(std::move(one))));
    return settings;
  }
  config::ListenTls with_clients(config::ClientAuth mode) {
    config::ListenTls settings = listen({{"server.test"}});
    settings.client_ca = folder.write("clients.pem", authority.pem());
    settings.client_auth = mode;
    return settings;
  }
};

// What a plain client saw of a connection to our server.
struct Seen {
  bool client_ok = false, server_ok = false;
  bool resumed = false, server_resumed = false, verified = false;
  int failure = 0;
  std::string common_name, sni, why, cipher, group;
  Session session{nullptr, SSL_SESSION_free};
};

struct Visit {
  std::string server_name = {};
  SSL_SESSION* resume = nullptr;
};

std::string common_name_of(SSL* ssl) {
  char text[100] = "";
  if (X509* certificate = SSL_get1_peer_certificate(ssl)) {
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text, sizeof text);
    X509_free(certificate);
  }
  return text;
}

int remember_session(SSL* ssl, SSL_SESSION* session) {
  static_cast<Session*>(SSL_get_app_data(ssl))->reset(session);
  return 1;
}

std::string ticket_of(const Session& session) {
  const unsigned char* data = nullptr;
  std::size_t size = 0;
  if (session) SSL_SESSION_get0_ticket(session.get(), &data, &size);
  return {reinterpret_cast<const char*>(data), size};
}

// Connects, exchanges a byte each way, and looks.
Seen visit(BlockPool& pool, const TlsServer& server, SSL_CTX* context, const Visit& how = {}) {
  Seen seen;
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, remember_session);
  auto [a, b] = socket_pair();
  PlainPeer peer(context, std::move(a), false);
  SSL_set_app_data(peer.ssl(), &seen.session);
  if (!how.server_name.empty()) {
    EXPECT_EQ(SSL_set_tlsext_host_name(peer.ssl(), how.server_name.c_str()), 1);
  }
  if (how.resume != nullptr) {
    const Session copy(SSL_SESSION_dup(how.resume),
                       SSL_SESSION_free);  // a used one is not offered a second time
    EXPECT_EQ(SSL_set_session(peer.ssl(), copy.get()), 1);
  }
  OurEnd ours(pool, server, std::move(b));
  EXPECT_TRUE(run({[&] { return peer.shake(); }, [&] { return ours.shake(); }}));
  if (ours.last.status == Io::ok) {
    EXPECT_EQ(ours.write("!").bytes, 1u);
  }
  std::string got;
  EXPECT_TRUE(run({[&] { return peer.read(got) != 0; }}));
  seen.client_ok = got == "!" && peer.failure() == 0;
  seen.server_ok = ours.session.handshake_done();
  seen.failure = peer.failure();
  seen.resumed = SSL_session_reused(peer.ssl()) == 1;
  seen.server_resumed = ours.session.resumed();
  if (SSL_version(peer.ssl()) == TLS1_2_VERSION) seen.session.reset(SSL_get1_session(peer.ssl()));
  seen.verified = ours.session.client_certificate_verified();
  seen.common_name = common_name_of(peer.ssl());
  seen.sni = ours.session.server_name();
  seen.why = ours.session.why();
  seen.cipher = SSL_get_cipher_name(peer.ssl());
  if (const char* group = SSL_group_to_name(peer.ssl(), SSL_get_negotiated_group(peer.ssl()))) seen.group = group;
  return seen;
}

constexpr int kVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

TEST_F(TlsServerTest, SelectsTheCertificateByName) {
  const TlsServer server(
      listen({{"default.test"}, {"a.test", "www.a.test"}, {"*.a.test"}, {"b.test", "*.b.test"}, {"a.test"}}), "web",
      tickets.data());
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "default.test"},
      {"default.test", "default.test"},
      {"a.test", "a.test"},
      {"A.TEST", "a.test"},
      {"www.a.test", "a.test"},
      {"other.a.test", "*.a.test"},
      {"deep.er.a.test", "default.test"},
      {"x.b.test", "b.test"},
      {"unknown.test", "default.test"},
      {"test", "default.test"},
  };
  for (const int version : kVersions) {
    const PlainContext context = plain_client(version);
    for (const auto& [name, certificate] : cases) {
      const Seen seen = visit(pool, server, context.get(), {.server_name = name});
      EXPECT_TRUE(seen.client_ok) << name << ": " << seen.why;
      EXPECT_EQ(seen.common_name, certificate) << name;
    }
  }
  EXPECT_EQ(visit(pool, server, plain_client().get(), {.server_name = "WWW.a.TEST"}).sni, "www.a.test");
}

TEST_F(TlsServerTest, CoversOnlyWhatTheChosenCertificateNames) {
  IssueOptions first;
  first.common_name = "default.test";
  first.dns = {"default.test", "*.wild.test"};
  first.addresses = {"127.0.0.1", "::1"};
  config::ListenTls settings = listen({{"other.test"}});
  settings.certificates.insert(settings.certificates.begin(), store(authority.issue(first)));
  const TlsServer server(settings, "web", tickets.data());
  struct Case {
    const char* server_name;
    const char* host;
    bool covered;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"", "default.test", true},
           {"", "DEFAULT.test.", true},
           {"", "other.test", false},
           {"", "127.0.0.1", true},
           {"", "127.0.0.2", false},
           {"", "[::1]", true},
           {"", "::1", true},
           {"", "[::2]", false},
           {"default.test", "a.wild.test", true},
           {"a.wild.test", "b.wild.test", true},
           {"default.test", "wild.test", false},
           {"default.test", "a.b.wild.test", false},
           {"default.test", ".wild.test", false},
           {"default.test", "", false},
           {"default.test", "default.test/evil", false},
           {"other.test", "other.test", true},
           {"other.test", "default.test", false},
           {"other.test", "127.0.0.1", false},
           {"unknown.test", "default.test", true},
           {"unknown.test", "unknown.test", false},
       }) {
    EXPECT_EQ(server.covers(c.server_name, c.host), c.covered) << c.server_name << " / " << c.host;
  }
  EXPECT_FALSE(server.covers("default.test", std::string(5000, 'a')));
}

TEST_F(TlsServerTest, TellsNamesAndExpiryOfItsCertificates) {
  IssueOptions options;
  options.common_name = "Ünderstudy";
  options.dns = {"a.test", "*.a.test"};
  options.to = 86400;
  config::ListenTls settings;
  settings.certificates = {store(authority.issue(options))};
  const TlsServer server(settings, "web", tickets.data());
  ASSERT_EQ(server.certificates().size(), 1u);
  const CertificateInfo& info = server.certificates().front();
  EXPECT_EQ(info.common_name, "Ünderstudy");
  EXPECT_EQ(info.names, (std::vector<std::string>{"a.test", "*.a.test"}));
  const auto left = info.not_after - std::chrono::system_clock::now();
  EXPECT_LE(left, std::chrono::hours(24));
  EXPECT_GT(left, std::chrono::hours(23));
}

TEST_F(TlsServerTest, ACertificateWithoutAlternativeNamesCountsByItsCommonName) {
  config::ListenTls settings = listen({{"default.test"}});
  IssueOptions options;
  options.common_name = "old.test";
  settings.certificates.push_back(store(authority.issue(options)));
  const TlsServer server(settings, "web", tickets.data());
  EXPECT_EQ(visit(pool, server, plain_client().get(), {.server_name = "old.test"}).common_name, "old.test");
  EXPECT_TRUE(server.covers("old.test", "old.test"));
}

TEST_F(TlsServerTest, NamesWithForbiddenBytesAreLeftOut) {
  IssueOptions options;
  options.dns = {std::string("evil.test\0.good.test", 20), "good.test", "*", "*.", "*.test"};
  config::ListenTls settings = listen({{"default.test"}});
  settings.certificates.push_back(store(authority.issue(options)));
  const TlsServer server(settings, "web", tickets.data());
  EXPECT_FALSE(server.covers("good.test", "evil.test"));
  EXPECT_FALSE(server.covers("evil.test", "evil.test"));
  EXPECT_FALSE(server.covers("any.test", "any.test"));
  EXPECT_TRUE(server.covers("good.test", "good.test"));
}

TEST_F(TlsServerTest, SameNamesWithTwoKindsOfKeyServeEachClientWhatItCanUse) {
  IssueOptions ec, rsa;
  ec.dns = rsa.dns = {"dual.test"};
  ec.common_name = "ec";
  rsa.common_name = "rsa";
  rsa.key = KeyKind::rsa;
  config::ListenTls settings;
  settings.certificates = {store(authority.issue(rsa)), store(authority.issue(ec))};
  const TlsServer server(settings, "web", tickets.data());
  EXPECT_EQ(server.certificates().size(), 2u);
  for (const int version : kVersions) {
    const PlainContext both = plain_client(version), only_rsa = plain_client(version);
    SSL_CTX_set1_sigalgs_list(only_rsa.get(), "rsa_pss_rsae_sha256:RSA+SHA256");
    EXPECT_EQ(visit(pool, server, both.get(), {.server_name = "dual.test"}).common_name, "ec")
        << "the cheaper one first";
    const Seen seen = visit(pool, server, only_rsa.get(), {.server_name = "dual.test"});
    EXPECT_TRUE(seen.client_ok) << seen.why;
    // The test authority signs with ECDSA, which this client cannot verify; it does not verify.
    EXPECT_EQ(seen.common_name, "rsa");
  }
}

TEST_F(TlsServerTest, PrefersX25519AndAes128WhateverTheClientLikes) {
  const TlsServer server(listen({{"server.test"}}), "web", tickets.data());
  PlainContext context = plain_client(TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context.get(), "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256");
  Seen seen = visit(pool, server, context.get());
  EXPECT_EQ(seen.cipher, "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(seen.group, "x25519");
  context = plain_client(TLS1_3_VERSION);
  SSL_CTX_set1_groups_list(context.get(), "P-384:P-256");
  EXPECT_EQ(visit(pool, server, context.get()).group, "secp384r1") << "the group that needs no second hello";
  SSL_CTX_set1_groups_list(context.get(), "P-521:P-256");
  seen = visit(pool, server, context.get());
  EXPECT_TRUE(seen.client_ok) << seen.why;
  EXPECT_EQ(seen.group, "secp256r1") << "by HelloRetryRequest";
}

TEST_F(TlsServerTest, RefusesOldVersionsAndCiphersWithoutAuthentication) {
  const TlsServer server(listen({{"server.test"}}), "web", tickets.data());
  {
    PlainContext context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context.get(), TLS1_1_VERSION);
    const Seen seen = visit(pool, server, context.get());
    EXPECT_FALSE(seen.server_ok);
    EXPECT_EQ(seen.why, "TLS handshake failed: no TLS version in common (1.2 and 1.3 are spoken here)");
  }
  for (const char* ciphers : {"ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256"}) {
    const PlainContext context = plain_client(TLS1_2_VERSION);
    ASSERT_EQ(SSL_CTX_set_cipher_list(context.get(), ciphers), 1);
    const Seen seen = visit(pool, server, context.get());
    EXPECT_FALSE(seen.server_ok);
    EXPECT_EQ(seen.why, "TLS handshake failed: no cipher in common") << ciphers;
  }
  config::ListenTls settings = listen({{"server.test"}});
  settings.allow_tls12 = false;
  const TlsServer strict(settings, "web", tickets.data());
  EXPECT_FALSE(visit(pool, strict, plain_client(TLS1_2_VERSION).get()).server_ok);
  EXPECT_TRUE(visit(pool, strict, plain_client(TLS1_3_VERSION).get()).client_ok);
}

TEST_F(TlsServerTest, SpeaksHttp11OrRefusesTheProtocol) {
  const TlsServer server(listen({{"server.test"}}), "web", tickets.data());
  const auto offer = [&](const std::string& protocols) {
    const PlainContext context = plain_client();
    SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                            static_cast<unsigned>(protocols.size()));
    return visit(pool, server, context.get());
  };
  EXPECT_TRUE(offer("").client_ok) << "no ALPN is HTTP/1.1";
  EXPECT_TRUE(offer(std::string("\x02h2\x08http/1.1")).client_ok);
  EXPECT_TRUE(offer(std::string("\x08http/1.1")).client_ok);
  const Seen refused = offer(std::string("\x02h2\x06spdy/3"));
  EXPECT_FALSE(refused.server_ok);
  EXPECT_EQ(refused.failure, SSL_AD_REASON_OFFSET + TLS1_AD_NO_APPLICATION_PROTOCOL);
}

TEST_F(TlsServerTest, ClientCertificatesAreRequiredRequestedOrNotAskedFor) {
  IssueOptions client_options;
  client_options.common_name = "client";
  const config::CertificateFiles good = store(authority.issue(client_options));
  const config::CertificateFiles foreign = store(TestAuthority("Somebody else").issue(client_options));
  client_options.from = -7200;
  client_options.to = -3600;
  const config::CertificateFiles expired = store(authority.issue(client_options));
  struct Case {
    config::ClientAuth mode;
    const config::CertificateFiles* certificate;
    bool admitted, verified;
    std::string why;
  };
  const std::string no_certificate =
      "TLS handshake failed: the client sent no certificate, and this listener requires one";
  const std::string unknown =
      "client certificate refused: no trusted authority has signed it (unable to get local issuer "
      "certificate); client_ca must hold the authority";
  using config::ClientAuth;
  const Case cases[] = {
      {ClientAuth::off, nullptr, true, false, ""},
      {ClientAuth::off, &good, true, false, ""},
      {ClientAuth::request, nullptr, true, false, ""},
      {ClientAuth::request, &good, true, true, ""},
      {ClientAuth::request, &foreign, false, false, unknown},
      {ClientAuth::require, nullptr, false, false, no_certificate},
      {ClientAuth::require, &good, true, true, ""},
      {ClientAuth::require, &foreign, false, false, unknown},
      {ClientAuth::require, &expired, false, false, "client certificate refused: it expired on "},
  };
  for (const Case& c : cases) {
    for (const int version : kVersions) {
      SCOPED_TRACE(testing::Message() << "mode " << static_cast<int>(c.mode) << " version " << version);
      const TlsServer server(with_clients(c.mode), "web", tickets.data());
      const PlainContext context = plain_client(version);
      if (c.certificate != nullptr) {
        ASSERT_EQ(SSL_CTX_use_certificate_chain_file(context.get(), c.certificate->certificate.c_str()), 1);
        ASSERT_EQ(SSL_CTX_use_PrivateKey_file(context.get(), c.certificate->key.c_str(), SSL_FILETYPE_PEM), 1);
      }
      const Seen seen = visit(pool, server, context.get());
      EXPECT_EQ(seen.client_ok, c.admitted);
      EXPECT_EQ(seen.server_ok, c.admitted);
      EXPECT_EQ(seen.verified, c.verified);
      EXPECT_TRUE(c.why.empty() ? seen.why.empty() : seen.why.starts_with(c.why)) << seen.why;
    }
  }
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST_F(TlsServerTest, ATicketLivesThroughOneRotationAndNotThroughTwo) {
  const TlsServer server(listen({{"server.test"}}), "web", tickets.data());
  for (const int version : kVersions) {
    SCOPED_TRACE(version);
    const PlainContext context = plain_client(version);
    const Seen first = visit(pool, server, context.get(), {.server_name = "server.test"});
    ASSERT_NE(first.session, nullptr);
    EXPECT_FALSE(first.resumed);
    const Seen same = visit(pool, server, context.get(), {.server_name = "server.test", .resume = first.session.get()});
    EXPECT_TRUE(same.resumed && same.server_resumed);
    EXPECT_EQ(ticket_of(same.session) != ticket_of(first.session), version == TLS1_3_VERSION)
        << "TLS 1.3 clients need a fresh ticket each time";

    tickets.rotate();
    const Seen renewed =
        visit(pool, server, context.get(), {.server_name = "server.test", .resume = first.session.get()});
    EXPECT_TRUE(renewed.resumed && renewed.server_resumed) << "the previous key still opens tickets";
    EXPECT_NE(ticket_of(renewed.session), "");
    EXPECT_NE(ticket_of(renewed.session), ticket_of(first.session)) << "and renews them";

    tickets.rotate();
    const Seen late = visit(pool, server, context.get(), {.server_name = "server.test", .resume = first.session.get()});
    EXPECT_TRUE(late.client_ok) << late.why;
    EXPECT_FALSE(late.resumed || late.server_resumed) << "two rotations later the key is gone";
    EXPECT_TRUE(
        visit(pool, server, context.get(), {.server_name = "server.test", .resume = renewed.session.get()}).resumed);
  }
}

TEST_F(TlsServerTest, KeysThatAreTakenOverOpenTheTicketsOfBothSides) {
  TicketKeys others;
  EXPECT_FALSE(others.adopt("")) << "nothing was passed";
  EXPECT_FALSE(others.adopt(tickets.secret() + "x")) << "of another version";
  const std::string own = others.secret();
  ASSERT_NE(own, tickets.secret());
  EXPECT_TRUE(others.adopt(tickets.secret()));
  EXPECT_EQ(others.secret(), tickets.secret());
  const TlsServer old_one(listen({{"server.test"}}), "web", tickets.data());
  const TlsServer new_one(listen({{"server.test"}}), "web", others.data());
  for (const int version : kVersions) {
    SCOPED_TRACE(version);
    const PlainContext context = plain_client(version);
    const auto resumes = [&](const TlsServer& first, const TlsServer& then) {
      const Seen seen = visit(pool, first, context.get(), {.server_name = "server.test"});
      const Seen again = visit(pool, then, context.get(), {.server_name = "server.test", .resume = seen.session.get()});
      return again.resumed && again.server_resumed;
    };
    EXPECT_TRUE(resumes(old_one, new_one));
    EXPECT_TRUE(resumes(new_one, old_one));
    // Either may rotate while the other still issues.
    tickets.rotate();
    EXPECT_TRUE(resumes(old_one, new_one));
    EXPECT_TRUE(resumes(new_one, old_one));
    EXPECT_TRUE(others.adopt(tickets.secret()));
  }
}

TEST_F(TlsServerTest, AForgedTicketMeansAFullHandshake) {
  const TlsServer server(listen({{"server.test"}}), "web", tickets.data());
  const TicketKeys others;
  const TlsServer foreign(listen({{"server.test"}}), "web", others.data());
  for (const int version : kVersions) {
    const PlainContext context = plain_client(version);
    const Seen first = visit(pool, foreign, context.get());
    const Seen second = visit(pool, server, context.get(), {.resume = first.session.get()});
    EXPECT_TRUE(second.client_ok);
    EXPECT_FALSE(second.resumed);
  }
}

TEST_F(TlsServerTest, SessionsSurviveAReloadWithNewCertificates) {
  const auto before = std::make_unique<TlsServer>(listen({{"server.test"}}), "web", tickets.data());
  const TlsServer after(listen({{"server.test", "new.test"}}), "web", tickets.data());
  for (const int version : kVersions) {
    const PlainContext context = plain_client(version);
    const Seen first = visit(pool, *before, context.get(), {.server_name = "server.test"});
    EXPECT_TRUE(
        visit(pool, after, context.get(), {.server_name = "server.test", .resume = first.session.get()}).resumed);
  }
}

TEST_F(TlsServerTest, ASessionIsNotResumedUnderAnotherNameOrListener) {
  const TlsServer server(listen({{"a.test"}, {"b.test"}}), "web", tickets.data());
  const TlsServer other(listen({{"a.test"}, {"b.test"}}), "api", tickets.data());
  for (const int version : kVersions) {
    SCOPED_TRACE(version);
    const PlainContext context = plain_client(version);
    const auto ticket = [&] { return visit(pool, server, context.get(), {.server_name = "a.test"}).session; };
    const auto again = [&](const TlsServer& where, const std::string& name) {
      const Session session = ticket();
      const Seen seen = visit(pool, where, context.get(), {.server_name = name, .resume = session.get()});
      EXPECT_TRUE(seen.client_ok) << seen.why;
      return seen.resumed;
    };
    EXPECT_TRUE(again(server, "a.test"));
    EXPECT_TRUE(again(server, "A.test"));
    EXPECT_FALSE(again(server, "b.test"));
    EXPECT_FALSE(again(server, ""));
    EXPECT_FALSE(again(other, "a.test"));
  }
}

TEST_F(TlsServerTest, ATicketNeverReplacesAClientCertificate) {
  IssueOptions options;
  options.common_name = "client";
  const config::CertificateFiles certificate = store(authority.issue(options));
  const TlsServer open(with_clients(config::ClientAuth::off), "web", tickets.data());
  const TlsServer asking(with_clients(config::ClientAuth::request), "web", tickets.data());
  const TlsServer strict(with_clients(config::ClientAuth::require), "web", tickets.data());
  config::ListenTls other_settings = with_clients(config::ClientAuth::require);
  other_settings.client_ca = folder.write("other-clients.pem", TestAuthority("Other").pem());
  const TlsServer other_authority(other_settings, "web", tickets.data());
  for (const int version : kVersions) {
    SCOPED_TRACE(version);
    const PlainContext stranger = plain_client(version), known = plain_client(version);
    ASSERT_EQ(SSL_CTX_use_certificate_chain_file(known.get(), certificate.certificate.c_str()), 1);
    ASSERT_EQ(SSL_CTX_use_PrivateKey_file(known.get(), certificate.key.c_str(), SSL_FILETYPE_PEM), 1);

    for (const TlsServer* from : {&open, &asking}) {
      const Seen first = visit(pool, *from, stranger.get());
      ASSERT_TRUE(first.client_ok);
      const Seen second = visit(pool, strict, stranger.get(), {.resume = first.session.get()});
      EXPECT_FALSE(second.server_ok) << "a session without certificate opens no listener that requires one";
    }
    const Seen member = visit(pool, strict, known.get());
    const Seen again = visit(pool, strict, known.get(), {.resume = member.session.get()});
    EXPECT_TRUE(again.client_ok && again.resumed && again.verified)
        << "where it was issued it holds, and is still verified";
    const Seen elsewhere = visit(pool, other_authority, known.get(), {.resume = member.session.get()});
    EXPECT_FALSE(elsewhere.server_ok) << "nor does one of another authority's clients";
  }
}

TEST_F(TlsServerTest, ASessionEndsWithItsClientCertificate) {
  IssueOptions options;
  options.common_name = "client";
  options.from = -7200;
  options.to = -3600;
  const config::CertificateFiles certificate = store(authority.issue(options));
  const TlsServer server(with_clients(config::ClientAuth::require), "web", tickets.data());
  // This listener verifies chains as of 90 minutes ago, when the certificate was good; tickets are judged by
  // today's clock.
  X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(server.context()), std::time(nullptr) - 5400);
  for (const int version : kVersions) {
    const PlainContext context = plain_client(version);
    ASSERT_EQ(SSL_CTX_use_certificate_chain_file(context.get(), certificate.certificate.c_str()), 1);
    ASSERT_EQ(SSL_CTX_use_PrivateKey_file(context.get(), certificate.key.c_str(), SSL_FILETYPE_PEM), 1);
    const Seen first = visit(pool, server, context.get());
    ASSERT_TRUE(first.verified) << first.why;
    const Seen second = visit(pool, server, context.get(), {.resume = first.session.get()});
    EXPECT_TRUE(second.client_ok) << second.why;
    EXPECT_FALSE(second.resumed || second.server_resumed);
  }
}

TEST_F(TlsServerTest, RenegotiationIsRefused) {
  const TlsServer server(listen({{"server.test"}}), "web", tickets.data());
  const PlainContext context = plain_client(TLS1_2_VERSION);
  auto [a, b] = socket_pair();
  PlainPeer peer(context.get(), std::move(a), false);
  OurEnd ours(pool, server, std::move(b));
  ASSERT_TRUE(run({[&] { return peer.shake(); }, [&] { return ours.shake(); }}));
  ASSERT_EQ(SSL_renegotiate(peer.ssl()), 1);
  bool refused = false;
  ASSERT_TRUE(run({[&] {
    refused = peer.shake();
    const IoResult got = ours.read();
    if (!refused) {
      EXPECT_EQ(got.status, Io::again) << ours.session.why();
    }
    return refused;
  }}));
  EXPECT_EQ(peer.failure(), SSL_R_NO_RENEGOTIATION);
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST_F(TlsServerTest, EarlyDataIsRefusedAndTheRestGoesOn) {
  const TlsServer server(listen({{"server.test"}}), "web", tickets.data());
  const PlainContext context = plain_client(TLS1_3_VERSION);
  const Seen first = visit(pool, server, context.get());
  ASSERT_NE(first.session, nullptr);
  EXPECT_EQ(SSL_SESSION_get_max_early_data(first.session.get()), 0u) << "the ticket allows none";

  ASSERT_EQ(SSL_SESSION_set_max_early_data(first.session.get(), 16384),
            1);  // a client that tries all the same
  auto [a, b] = socket_pair();
  PlainPeer peer(context.get(), std::move(a), false);
  ASSERT_EQ(SSL_set_session(peer.ssl(), first.session.get()), 1);
  Session ignored{nullptr, SSL_SESSION_free};
  SSL_set_app_data(peer.ssl(), &ignored);
  std::size_t written = 0;
  ASSERT_EQ(SSL_write_early_data(peer.ssl(), "GET /transfer", 13, &written), 1);
  OurEnd ours(pool, server, std::move(b));
  ASSERT_TRUE(run({[&] { return peer.shake(); }, [&] { return ours.shake(); }}));
  EXPECT_EQ(ours.last.status, Io::ok) << ours.session.why();
  EXPECT_EQ(SSL_get_early_data_status(peer.ssl()), SSL_EARLY_DATA_REJECTED);
  ASSERT_EQ(peer.write("GET /late"), 9);
  ASSERT_TRUE(run({[&] { return ours.read().status == Io::ok; }}));
  EXPECT_EQ(ours.received, "GET /late");
}

TEST_F(TlsServerTest, WithoutTicketKeysNothingIsResumed) {
  const TlsServer server(listen({{"server.test"}}), "web", nullptr);
  for (const int version : kVersions) {
    const PlainContext context = plain_client(version);
    const Seen first = visit(pool, server, context.get());
    EXPECT_TRUE(first.client_ok) << first.why;
    if (first.session) {
      EXPECT_FALSE(visit(pool, server, context.get(), {.resume = first.session.get()}).resumed);
    }
  }
}

}  // namespace
}  // namespace understudy::net
