// TLS rungs: names, authorities, silence and cuts.
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <fstream>

#include "tests/probe/certificates.hpp"
#include "tests/probe/loopback.hpp"

namespace understudy::probe::test {
namespace {

using config::CheckKind;
using health::Cause;

// Shakes hands on 127.0.0.1 with `identity`, answers each request with `bytes`, and never says goodbye.
class TlsOrigin {
public:
  TlsOrigin(asio::io_context& io, const Identity& identity, std::string bytes, const std::string& client_ca = "")
      : context_(asio::ssl::context::tls_server),
        bytes_(std::move(bytes)),
        tcp_(io, [this](TcpPeer peer) { serve(std::move(peer->socket)); }) {
    require(SSL_CTX_use_certificate(context_.native_handle(), identity.certificate.get()) == 1);
    require(SSL_CTX_use_PrivateKey(context_.native_handle(), identity.key.get()) == 1);
    if (!client_ca.empty()) {
      context_.load_verify_file(client_ca);
      context_.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    }
  }
  config::SocketAddress address() const { return tcp_.address(); }
  std::string server_name;  // SNI of the last handshake

private:
  using Stream = asio::ssl::stream<Tcp::socket>;
  struct Session {
    Session(Tcp::socket socket, asio::ssl::context& context) : stream(std::move(socket), context) {}
    Stream stream;
    std::string request;
  };
  void serve(Tcp::socket socket) {
    auto session = std::make_shared<Session>(std::move(socket), context_);
    sessions_.push_back(session);
    session->stream.async_handshake(Stream::server, [this, session](const boost::system::error_code& ec) {
      if (ec) return;
      const char* name = SSL_get_servername(session->stream.native_handle(), TLSEXT_NAMETYPE_host_name);
      server_name = name == nullptr ? "" : name;
      asio::async_read_until(session->stream, asio::dynamic_buffer(session->request), "\r\n\r\n",
                             [this, session](const boost::system::error_code& failed, std::size_t) {
                               if (failed || bytes_.empty()) return;
                               asio::async_write(session->stream, asio::buffer(bytes_),
                                                 [session](const boost::system::error_code&, std::size_t) {});
                             });
    });
  }
  asio::ssl::context context_;
  std::string bytes_;
  std::vector<std::shared_ptr<Session>> sessions_;
  Origin tcp_;
};

class TlsProbe : public ProberTest {
protected:
  void SetUp() override {
    authority = make_identity("Test authority", "", true, nullptr);
    leaf = make_identity("app", "DNS:app.example,IP:127.0.0.1", false, &authority);
    alone = make_identity("app.example", "DNS:app.example", false, nullptr);
    settings.ca = files.certificate("ca.pem", authority);
    settings.server_name = "app.example";
  }
  Job tls(CheckKind kind, const config::SocketAddress& address, milliseconds timeout = milliseconds(5'000)) const {
    Job made = job(kind, address, timeout);
    made.tls = std::make_shared<TlsSettings>(settings);
    return made;
  }
  Identity authority, leaf, alone;
  PemFiles files;
  config::UpstreamTls settings;
  const std::string good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
};

TEST_F(TlsProbe, HandshakeWithTheRightNameIsEnough) {
  TlsOrigin origin(io, leaf, "");
  EXPECT_CAUSE(probe(tls(CheckKind::tls, origin.address())), Cause::none);
  run_until(
      io, [&] { return !origin.server_name.empty(); }, milliseconds(2'000));
  EXPECT_EQ(origin.server_name, "app.example");
}

TEST_F(TlsProbe, HttpAndItsBodyOverTls) {
  TlsOrigin origin(io, leaf, good);
  Job what = tls(CheckKind::http, origin.address());
  what.check.body = "fine";
  const auto result = probe(what);
  EXPECT_CAUSE(result, Cause::none);
  EXPECT_EQ(result.status, 200);
  TlsOrigin poor(io, leaf, "HTTP/1.1 500 No\r\n\r\n");
  EXPECT_CAUSE(probe(tls(CheckKind::http, poor.address())), Cause::http_status);
}

TEST_F(TlsProbe, TcpCheckOfATlsPoolOnlyConnects) {
  Origin silent(io, nullptr);
  EXPECT_CAUSE(probe(tls(CheckKind::tcp, silent.address())), Cause::none);
}

TEST_F(TlsProbe, WrongNameIsTlsFailedAndNamesIt) {
  TlsOrigin origin(io, leaf, good);
  settings.server_name = "other.example";
  const auto result = probe(tls(CheckKind::http, origin.address()));
  EXPECT_CAUSE(result, Cause::tls_failed);
  EXPECT_NE(result.detail.find("'other.example'"), std::string::npos) << result.detail;
  EXPECT_NE(result.detail.find("mismatch"), std::string::npos) << result.detail;
}

TEST_F(TlsProbe, WithoutServerNameTheHostAsWrittenIsVerified) {
  TlsOrigin origin(io, leaf, good);
  settings.server_name.clear();
  Job what = tls(CheckKind::http, origin.address());
  what.host = "app.example";
  EXPECT_CAUSE(probe(what), Cause::none);
  what.host = "127.0.0.1";  // the certificate carries this address
  EXPECT_CAUSE(probe(what), Cause::none);
  EXPECT_EQ(origin.server_name, "");  // RFC 6066: no address in SNI
  what.host = "127.0.0.2";
  EXPECT_CAUSE(probe(what), Cause::tls_failed);
  what.host.clear();
  const auto nameless = probe(what);
  EXPECT_CAUSE(nameless, Cause::tls_failed);
  EXPECT_NE(nameless.detail.find("tls.server_name"), std::string::npos) << nameless.detail;
}

TEST_F(TlsProbe, SelfSignedIsRefusedUnlessInsecure) {
  TlsOrigin origin(io, alone, good);
  EXPECT_CAUSE(probe(tls(CheckKind::tls, origin.address())), Cause::tls_failed);
  settings.ca.clear();  // the system's authorities do not know it either
  EXPECT_CAUSE(probe(tls(CheckKind::tls, origin.address())), Cause::tls_failed);
  settings.insecure = true;
  settings.server_name = "anything.example";
  EXPECT_CAUSE(probe(tls(CheckKind::tls, origin.address())), Cause::none);
  EXPECT_CAUSE(probe(tls(CheckKind::http, origin.address())), Cause::none);
}

TEST_F(TlsProbe, ServerThatNeverAnswersIsTlsTimeout) {
  Origin silent(io, nullptr);
  const auto result = probe(tls(CheckKind::http, silent.address(), milliseconds(120)));
  EXPECT_CAUSE(result, Cause::tls_timeout);
  EXPECT_EQ(result.detail, "connected to " + silent.address().to_string() + ", no TLS handshake within 120ms");
}

TEST_F(TlsProbe, SilenceAfterTheHandshakeIsHttpTimeout) {
  TlsOrigin origin(io, leaf, "");
  EXPECT_CAUSE(probe(tls(CheckKind::http, origin.address(), milliseconds(400))), Cause::http_timeout);
}

TEST_F(TlsProbe, PlainHttpServerIsTlsFailed) {
  Origin plain(io,
               [](TcpPeer peer) { peer->read_more(1, [peer] { peer->send("HTTP/1.1 400 Bad Request\r\n\r\n"); }); });
  EXPECT_CAUSE(probe(tls(CheckKind::tls, plain.address())), Cause::tls_failed);
}

TEST_F(TlsProbe, ClosingAtOnceIsTcpResetAndMidHandshakeIsTlsFailed) {
  Origin closes(io, [](TcpPeer peer) { peer->read_more(1, [peer] { peer->close(); }); });
  EXPECT_CAUSE(probe(tls(CheckKind::tls, closes.address())), Cause::tcp_reset);
  Origin starts(io, [](TcpPeer peer) {
    // The start of a handshake record, then the end.
    peer->read_more(100, [peer] {
      peer->send(std::string("\x16\x03\x03\x00\x7a\x02\x00", 7), [peer] {
        boost::system::error_code ignored;
        peer->socket.shutdown(Tcp::socket::shutdown_send, ignored);
      });
    });
  });
  EXPECT_CAUSE(probe(tls(CheckKind::tls, starts.address())), Cause::tls_failed);
}

TEST_F(TlsProbe, EndlessRecordsInTheHandshakeAreBounded) {
  for (const std::string& record :
       {std::string("\x14\x03\x03\x00\x01\x01", 6), std::string("\x15\x03\x03\x00\x02\x01\x5a", 7),
        std::string("\x16\x03\x03\x00\x00", 5)}) {
    std::string many;
    for (int i = 0; i < 1'000; ++i) many += record;
    Origin origin(io, [many](TcpPeer peer) { peer->read_more(1, [=] { peer->flood(many); }); });
    EXPECT_CAUSE(probe(tls(CheckKind::tls, origin.address())), Cause::tls_failed);
    EXPECT_LT(origin.peers.at(0)->sent, 20u << 20);
  }
}

TEST_F(TlsProbe, ClientCertificateIsPresented) {
  TlsOrigin origin(io, leaf, good, settings.ca);
  EXPECT_CAUSE(probe(tls(CheckKind::http, origin.address())), Cause::tls_failed);
  const Identity client = make_identity("proxy", "DNS:proxy.example", false, &authority);
  settings.certificate = files.certificate("client.pem", client);
  settings.key = files.key("client.key", client);
  EXPECT_CAUSE(probe(tls(CheckKind::http, origin.address())), Cause::none);
}

TEST_F(TlsProbe, UnusableFilesAreNamedWithTheRemedy) {
  const auto refusal = [&] {
    try {
      const TlsSettings unused(settings);
    } catch (const std::runtime_error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  settings.ca = files.path("missing.pem");
  EXPECT_NE(refusal().find("tls.ca '" + settings.ca + "'"), std::string::npos) << refusal();
  settings.ca = files.certificate("ca.pem", authority);
  settings.certificate = files.path("garbage.pem");
  std::ofstream(settings.certificate) << "no PEM";
  EXPECT_NE(refusal().find("tls.certificate"), std::string::npos) << refusal();
  settings.certificate = files.certificate("client.pem", leaf);
  settings.key = files.key("other.key", alone);
  EXPECT_NE(refusal().find("tls.key"), std::string::npos) << refusal();
}

}  // namespace
}  // namespace understudy::probe::test
