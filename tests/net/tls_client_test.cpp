// How an upstream is trusted.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/tls_peers.hpp"

namespace understudy::net {
namespace {

using namespace understudy::test;  // NOLINT: test vocabulary

struct TlsClientTest : ::testing::Test {
  TestFolder folder;
  TestAuthority authority;
  BlockPool pool;

  config::UpstreamTls upstream(const std::string& server_name = "") const {
    config::UpstreamTls settings;
    settings.ca = folder.write("ca.pem", authority.pem());
    settings.server_name = server_name;
    return settings;
  }
  TlsServer server_with(const Issued& issued, const TicketKeys* tickets = nullptr) const {
    config::ListenTls settings;
    settings.certificates = {{folder.write("s.pem", issued.certificate), folder.write("s.key", issued.key)}};
    return TlsServer(settings, "upstream", tickets != nullptr ? tickets->data() : nullptr);
  }

  struct Outcome {
    bool ok = false, resumed = false, refused = false, application_data = false;
    std::string why, sni, server_why;
  };
  Outcome dial(const config::UpstreamTls& settings, const std::string& host, const Issued& issued) {
    return dial(TlsClient(settings), host, server_with(issued));
  }
  Outcome dial(const TlsClient& client, const std::string& host, const TlsServer& server) {
    auto [a, b] = socket_pair();
    OurEnd near(pool, client, host, std::move(a));
    OurEnd far(pool, server, std::move(b));
    EXPECT_TRUE(run({[&] { return near.shake(); }, [&] { return far.shake() || near.last.status == Io::error; }}));
    Outcome outcome;
    outcome.ok = near.last.status == Io::ok;
    if (outcome.ok) {
      EXPECT_EQ(far.write("!").bytes, 1u);
      EXPECT_TRUE(run({[&] { return near.read().status == Io::ok; }}));  // and the ticket before it
    } else {
      EXPECT_EQ(near.last.error, EPROTO);
      EXPECT_TRUE(run({[&] { return far.shake() && far.read().status != Io::again; }}));
    }
    outcome.resumed = near.session.resumed();
    outcome.refused = near.session.verification_failed();
    outcome.application_data = near.session.application_data_sent();
    outcome.why = near.session.why();
    outcome.sni = far.session.server_name();
    outcome.server_why = far.session.why();
    return outcome;
  }
};

TEST_F(TlsClientTest, TheEndpointsOwnNameIsVerifiedByDefault) {
  const Issued issued = authority.issue({"app.test", "*.nodes.test"});
  const Outcome good = dial(upstream(), "app.test", issued);
  EXPECT_TRUE(good.ok) << good.why;
  EXPECT_EQ(good.sni, "app.test");
  EXPECT_FALSE(good.refused);
  EXPECT_TRUE(dial(upstream(), "n1.nodes.test", issued).ok);
  EXPECT_FALSE(dial(upstream(), "a.b.nodes.test", issued).ok);
}

TEST_F(TlsClientTest, AConfiguredNameReplacesTheEndpoints) {
  const Outcome outcome = dial(upstream("app.test"), "10.0.0.1", authority.issue({"app.test"}));
  EXPECT_TRUE(outcome.ok) << outcome.why;
  EXPECT_EQ(outcome.sni, "app.test");
  EXPECT_EQ(TlsClient(upstream("app.test")).server_name(), "app.test");
}

TEST_F(TlsClientTest, AWrongNameIsRefusedInWords) {
  const Outcome outcome =
      dial(upstream(), "other.test", authority.issue({"app.test", "b.test", "c.test", "d.test", "e.test", "f.test"}));
  EXPECT_FALSE(outcome.ok);
  EXPECT_TRUE(outcome.refused);
  EXPECT_EQ(outcome.why,
            "upstream certificate refused: it is for app.test, b.test, c.test, d.test and 2 more, not for "
            "other.test; "
            "set tls.server_name to a name that it carries");
  EXPECT_FALSE(outcome.application_data);
  EXPECT_NE(outcome.server_why.find("the peer sent the alert"), std::string::npos)
      << "the upstream is told: " << outcome.server_why;
}

TEST_F(TlsClientTest, AnAddressIsVerifiedAsAnAddress) {
  IssueOptions options;
  options.dns = {"app.test"};
  options.addresses = {"127.0.0.1", "::1"};
  const Issued issued = authority.issue(options);
  const Outcome v4 = dial(upstream(), "127.0.0.1", issued);
  EXPECT_TRUE(v4.ok) << v4.why;
  EXPECT_EQ(v4.sni, "") << "an address is no server name (RFC 6066 section 3)";
  EXPECT_TRUE(dial(upstream(), "::1", issued).ok);
  const Outcome wrong = dial(upstream(), "127.0.0.2", issued);
  EXPECT_FALSE(wrong.ok);
  EXPECT_TRUE(wrong.refused);
  EXPECT_NE(wrong.why.find("not for 127.0.0.2"), std::string::npos) << wrong.why;
}

TEST_F(TlsClientTest, ExpiredForeignAndSelfSignedAreRefusedInWords) {
  IssueOptions options;
  options.dns = {"app.test"};
  options.from = -7200;
  options.to = -3600;
  const Outcome expired = dial(upstream(), "app.test", authority.issue(options));
  EXPECT_TRUE(expired.refused);
  EXPECT_TRUE(expired.why.starts_with("upstream certificate refused: it expired on 2")) << expired.why;

  options.from = 3600;
  options.to = 7200;
  const Outcome early = dial(upstream(), "app.test", authority.issue(options));
  EXPECT_TRUE(early.why.starts_with("upstream certificate refused: it is not valid before 2")) << early.why;

  const Outcome foreign = dial(upstream(), "app.test", TestAuthority("Foreign").issue({"app.test"}));
  EXPECT_TRUE(foreign.refused);
  EXPECT_EQ(foreign.why,
            "upstream certificate refused: no trusted authority has signed it (unable to get local issuer "
            "certificate); "
            "set tls.ca to the authority's file");

  config::UpstreamTls system;  // the system's authorities do not know ours
  const Outcome unknown = dial(system, "app.test", authority.issue({"app.test"}));
  EXPECT_FALSE(unknown.ok);
  EXPECT_TRUE(unknown.refused);
}

TEST_F(TlsClientTest, InsecureAcceptsAnything) {
  config::UpstreamTls settings = upstream();
  settings.insecure = true;
  IssueOptions options;
  options.dns = {"else.test"};
  options.from = -7200;
  options.to = -3600;
  const Outcome outcome = dial(settings, "app.test", TestAuthority("Foreign").issue(options));
  EXPECT_TRUE(outcome.ok) << outcome.why;
  EXPECT_FALSE(outcome.refused);
  EXPECT_TRUE(dial(settings, "", authority.issue({"app.test"})).ok) << "no name is needed";
}

TEST_F(TlsClientTest, WithoutANameNothingIsSent) {
  const TlsClient client(upstream());
  for (const std::string& host : {std::string(), std::string(300, 'a')}) {
    auto [a, b] = socket_pair();
    OurEnd near(pool, client, host, std::move(a));
    EXPECT_TRUE(near.shake());
    EXPECT_EQ(near.last.status, Io::error);
    EXPECT_EQ(near.session.why(), "no name to verify the upstream certificate against; set tls.server_name");
    char byte;
    EXPECT_EQ(::recv(b.get(), &byte, 1, 0), -1) << "not a byte left";
  }
}

TEST_F(TlsClientTest, TextFromACertificateCannotForgeALogLine) {
  IssueOptions options;
  options.dns = {"app.test\r\nfake: line"};
  const Outcome outcome = dial(upstream(), "other.test", authority.issue(options));
  EXPECT_TRUE(outcome.refused);
  EXPECT_EQ(outcome.why.find('\n'), std::string::npos);
  EXPECT_NE(outcome.why.find("app.test??fake: line"), std::string::npos) << outcome.why;
}

TEST_F(TlsClientTest, PresentsItsOwnCertificate) {
  const Issued issued = authority.issue({"app.test"});
  IssueOptions options;
  options.common_name = "proxy";
  const Issued own = authority.issue(options);
  config::UpstreamTls settings = upstream();
  const std::string certificate = folder.write("own.pem", own.certificate), key = folder.write("own.key", own.key);
  config::ListenTls listen;
  listen.certificates = {{folder.write("s.pem", issued.certificate), folder.write("s.key", issued.key)}};
  listen.client_ca = settings.ca;
  listen.client_auth = config::ClientAuth::require;
  const TlsServer server(listen, "upstream", nullptr);
  const auto verified = [&](const TlsClient& client, std::string* why) {
    auto [a, b] = socket_pair();
    OurEnd near(pool, client, "app.test", std::move(a));
    OurEnd far(pool, server, std::move(b));
    EXPECT_TRUE(shake(near, far));
    near.read();  // in TLS 1.3 the refusal comes after the client's handshake
    *why = near.session.why();
    return far.session.client_certificate_verified();
  };
  std::string why;
  EXPECT_FALSE(verified(TlsClient(settings), &why));
  EXPECT_EQ(why, "TLS failed: the peer sent the alert 'unknown'") << "OpenSSL 3.0 has no text for certificate_required";
  settings.certificate = certificate;
  settings.key = key;
  EXPECT_TRUE(verified(TlsClient(settings), &why));
  EXPECT_EQ(why, "");
}

TEST_F(TlsClientTest, ResumesItsSessionsWithTheSameEndpointOnly) {
  const TicketKeys tickets;
  const TlsServer server = server_with(authority.issue({"app.test", "b.test"}), &tickets);
  const TlsClient client(upstream());
  EXPECT_FALSE(dial(client, "app.test", server).resumed);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(dial(client, "app.test", server).resumed) << i;
  EXPECT_FALSE(dial(client, "b.test", server).resumed);
  const TlsClient other(upstream());
  EXPECT_FALSE(dial(other, "app.test", server).resumed) << "another pool verifies for itself";
}

TEST_F(TlsClientTest, ResumesTls12ManyTimesWithOneTicket) {
  const PlainContext context = plain_server(folder, authority.issue({"app.test"}), TLS1_2_VERSION);
  const TlsClient client(upstream());
  for (int i = 0; i < 4; ++i) {
    auto [a, b] = socket_pair();
    OurEnd near(pool, client, "app.test", std::move(a));
    PlainPeer peer(context.get(), std::move(b), true);
    ASSERT_TRUE(run({[&] { return near.shake(); }, [&] { return peer.shake(); }}));
    EXPECT_EQ(near.last.status, Io::ok) << near.session.why();
    EXPECT_EQ(near.session.resumed(), i > 0);
  }
}

TEST_F(TlsClientTest, RefusesAServerThatSpeaksOldTlsOnly) {
  const PlainContext context = plain_server(folder, authority.issue({"app.test"}));
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(context.get(), TLS1_1_VERSION);
  const TlsClient client(upstream());
  auto [a, b] = socket_pair();
  OurEnd near(pool, client, "app.test", std::move(a));
  PlainPeer peer(context.get(), std::move(b), true);
  ASSERT_TRUE(run({[&] { return near.shake(); }, [&] { return peer.shake(); }}));
  EXPECT_EQ(near.last.status, Io::error);
  EXPECT_EQ(near.session.why(), "TLS handshake failed: the peer sent the alert 'protocol version'");
  EXPECT_FALSE(near.session.verification_failed());
}

}  // namespace
}  // namespace understudy::net
