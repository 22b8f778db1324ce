// Contexts are shared by all workers while the control thread rotates their ticket keys. Meant for
// ThreadSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/support/tls_peers.hpp"

namespace understudy::net {
namespace {

using namespace understudy::test;  // NOLINT: test vocabulary

TEST(TlsThreads, KeysRotateWhileWorkersShakeHands) {
  const TestFolder folder;
  const TestAuthority authority;
  const Issued issued = authority.issue({"server.test"});
  config::ListenTls listen;
  listen.certificates = {{folder.write("s.pem", issued.certificate), folder.write("s.key", issued.key)}};
  config::UpstreamTls upstream;
  upstream.ca = folder.write("ca.pem", authority.pem());
  TicketKeys tickets;
  const TlsServer server(listen, "web", tickets.data());
  const TlsClient client(upstream);

  constexpr int kWorkers = 3, kEach = 40;
  std::atomic<int> working{kWorkers}, good{0}, resumed{0};
  std::vector<std::thread> workers;
  for (int w = 0; w < kWorkers; ++w) {
    workers.emplace_back([&] {
      BlockPool pool;  // each worker has its own
      for (int i = 0; i < kEach; ++i) {
        auto [a, b] = socket_pair();
        OurEnd near(pool, client, "server.test", std::move(a));
        OurEnd far(pool, server, std::move(b));
        const bool shaken = shake(near, far) && near.last.status == Io::ok && far.last.status == Io::ok;
        far.write("!");
        if (shaken && near.read().bytes == 1) ++good;
        if (near.session.resumed()) ++resumed;
      }
      EXPECT_EQ(pool.outstanding(), 0u);
      --working;
    });
  }
  int rotations = 0;
  do {
    tickets.rotate();
    ++rotations;
    std::this_thread::yield();
  } while (working > 0);
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(good, kWorkers * kEach) << "a rotation breaks no handshake";
  EXPECT_GT(rotations, 1);
}

TEST(TlsThreads, AContextMayBeReplacedUnderItsSessions) {
  const TestFolder folder;
  const TestAuthority authority;
  const Issued issued = authority.issue({"server.test"});
  config::ListenTls listen;
  listen.certificates = {{folder.write("s.pem", issued.certificate), folder.write("s.key", issued.key)}};
  config::UpstreamTls upstream;
  upstream.ca = folder.write("ca.pem", authority.pem());
  const TicketKeys tickets;
  const TlsClient client(upstream);
  const auto fresh = [&] { return std::make_shared<TlsServer>(listen, "web", tickets.data()); };
  std::mutex mutex;
  std::shared_ptr<TlsServer> current = fresh();
  std::atomic<bool> stop{false};
  std::thread control([&] {
    while (!stop) {
      auto next = fresh();
      const std::lock_guard lock(mutex);
      current.swap(next);
    }
  });
  BlockPool pool;
  for (int i = 0; i < 60; ++i) {
    std::shared_ptr<TlsServer> server;
    {
      const std::lock_guard lock(mutex);
      server = current;
    }
    auto [a, b] = socket_pair();
    OurEnd near(pool, client, "server.test", std::move(a));
    OurEnd far(pool, *server, std::move(b));
    server.reset();
    ASSERT_TRUE(shake(near, far));
    EXPECT_EQ(far.last.status, Io::ok) << far.session.why();
  }
  stop = true;
  control.join();
}

}  // namespace
}  // namespace understudy::net
