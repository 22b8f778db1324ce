// The lowest rung: connecting over IPv4, IPv6 and Unix sockets, and what its failures are called.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/probe/certificates.hpp"
#include "tests/probe/loopback.hpp"

namespace understudy::probe::test {
namespace {

using config::CheckKind;
using health::Cause;
using TcpProbe = ProberTest;

TEST_F(TcpProbe, ConnectingIsEnough) {
  Origin origin(io, nullptr);  // never accepts: the kernel answers
  const auto result = probe(job(CheckKind::tcp, origin.address()));
  EXPECT_CAUSE(result, Cause::none);
  EXPECT_EQ(result.detail, "connected to " + origin.address().to_string());
  EXPECT_GT(result.elapsed.count(), 0);
}

TEST_F(TcpProbe, OverIpv6) {
  BasicOrigin<Tcp> origin(io, {asio::ip::address_v6::loopback(), 0}, nullptr);
  EXPECT_CAUSE(probe(job(CheckKind::tcp, loopback_v6(origin.endpoint().port()))), Cause::none);
}

TEST_F(TcpProbe, CheckPortReplacesTheEndpointsPort) {
  Origin origin(io, nullptr);
  RefusingPort other(io);
  Job what = job(CheckKind::tcp, other.address());
  what.check.port = origin.port();
  EXPECT_CAUSE(probe(what), Cause::none);
}

TEST_F(TcpProbe, RefusedConnectionIsTcpRefused) {
  RefusingPort port(io);
  const auto result = probe(job(CheckKind::tcp, port.address()));
  EXPECT_CAUSE(result, Cause::tcp_refused);
  EXPECT_EQ(result.detail, port.address().to_string() + " refused the connection");
}

TEST_F(TcpProbe, NoRouteIsTcpUnreachable) {
  config::SocketAddress broadcast = loopback_v4(80);
  broadcast.ip = {127, 255, 255, 255};  // a broadcast address never takes TCP, and no packet is sent
  EXPECT_CAUSE(probe(job(CheckKind::tcp, broadcast)), Cause::tcp_unreachable);
}

TEST_F(TcpProbe, BlackholeIsTcpTimeoutAtTheDeadline) {
  Origin origin(io, nullptr, 0);
  // Fill the backlog until the kernel drops what comes.
  std::vector<std::unique_ptr<Tcp::socket>> fillers;
  for (int i = 0; i < 16; ++i) {
    fillers.push_back(std::make_unique<Tcp::socket>(io));
    const auto connected = std::make_shared<bool>(false);
    fillers.back()->async_connect(origin.endpoint(),
                                  [connected](const boost::system::error_code& ec) { *connected = !ec; });
    if (!run_until(
            io, [&] { return *connected; }, milliseconds(60)))
      break;
  }
  const auto result = probe(job(CheckKind::tcp, origin.address(), milliseconds(120)));
  for (auto& filler : fillers) filler->close();
  io.restart();
  io.poll();
  EXPECT_CAUSE(result, Cause::tcp_timeout);
  EXPECT_EQ(result.detail, "no connection to " + origin.address().to_string() + " within 120ms");
  EXPECT_GE(result.elapsed, milliseconds(110));
  EXPECT_LT(result.elapsed, milliseconds(250));
}

class UnixProbe : public ProberTest {
protected:
  PemFiles files;  // for its folder
};

TEST_F(UnixProbe, ConnectsToAPathAndToAnAbstractName) {
  const std::string path = files.path("app.sock");
  BasicOrigin<Local> origin(io, Local::endpoint(path), nullptr);
  EXPECT_CAUSE(probe(job(CheckKind::tcp, unix_address(path))), Cause::none);

  const std::string name = "understudy-probe-test-" + std::to_string(::getpid());
  BasicOrigin<Local> abstract(io, Local::endpoint(std::string(1, '\0') + name), nullptr);
  EXPECT_CAUSE(probe(job(CheckKind::tcp, unix_address("@" + name))), Cause::none);
}

TEST_F(UnixProbe, SpeaksHttp) {
  const std::string path = files.path("app.sock");
  BasicOrigin<Local> origin(io, Local::endpoint(path), [](std::shared_ptr<Peer<Local>> peer) {
    peer->read_head([peer] { peer->send("HTTP/1.1 204 No Content\r\n\r\n"); });
  });
  Job what = job(CheckKind::http, unix_address(path));
  what.host.clear();
  EXPECT_CAUSE(probe(what), Cause::none);
  EXPECT_NE(origin.peers.at(0)->request.find("\r\nHost: localhost\r\n"), std::string::npos);
}

TEST_F(UnixProbe, MissingPathIsRefusedAndLongPathIsUnreachable) {
  EXPECT_CAUSE(probe(job(CheckKind::tcp, unix_address(files.path("none.sock")))), Cause::tcp_refused);
  EXPECT_CAUSE(probe(job(CheckKind::tcp, unix_address("/" + std::string(200, 'x')))), Cause::tcp_unreachable);
}

TEST_F(UnixProbe, FullBacklogIsTcpTimeout) {
  const std::string path = files.path("full.sock");
  BasicOrigin<Local> origin(io, Local::endpoint(path), nullptr, 0);
  Local::socket filler(io);
  filler.connect(Local::endpoint(path));
  EXPECT_CAUSE(probe(job(CheckKind::tcp, unix_address(path), milliseconds(60))), Cause::tcp_timeout);
}

TEST_F(UnixProbe, FullBacklogThatGetsRoomInTimeIsSuccess) {
  const std::string path = files.path("busy.sock");
  Local::acceptor acceptor(io);
  acceptor.open();
  acceptor.bind(Local::endpoint(path));
  acceptor.listen(0);
  Local::socket filler(io), accepted(io);
  filler.connect(Local::endpoint(path));
  asio::steady_timer later(io, milliseconds(30));
  later.async_wait([&](const boost::system::error_code&) { acceptor.accept(accepted); });
  const auto result = probe(job(CheckKind::tcp, unix_address(path)));
  EXPECT_CAUSE(result, Cause::none);
  EXPECT_GE(result.elapsed, milliseconds(20));
}

TEST_F(TcpProbe, NoDescriptorLeftIsOwnErrorAndNoEvidence) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer's look at virtual tables needs a descriptor of its own";
#endif
  Origin origin(io, nullptr);
  Prober prober(io);
  std::optional<health::ProbeResult> result;
  prober.start(request_of(job(CheckKind::tcp, origin.address())),
               [&](health::ProbeResult r) { result = std::move(r); });
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = ::dup(0);
  ASSERT_GE(lowest_free, 0);
  ::close(lowest_free);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(lowest_free);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  run_until(io, [&] { return result.has_value(); });
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(result.has_value());
  EXPECT_CAUSE(*result, Cause::own_error);
  EXPECT_NE(result->detail.find("Too many open files"), std::string::npos) << result->detail;
}

}  // namespace
}  // namespace understudy::probe::test
