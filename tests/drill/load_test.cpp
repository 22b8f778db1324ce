// The load generator against servers whose sins are known: it finds each of them, and its own.
#include "proxy/drill/load.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <boost/asio/write.hpp>
#include <functional>

#include "proxy/drill/device.hpp"
#include "tests/drill/support.hpp"

namespace understudy::drill {
namespace {

// Answers by the number of the request as the test says: with bytes, or by closing when there are none.
class Server {
public:
  using Answer = std::function<std::string(std::uint64_t id)>;
  Server(asio::io_context& io, Answer answer)
      : io_(io), acceptor_(io, {asio::ip::address_v4::loopback(), 0}), answer_(std::move(answer)) {
    accept();
  }
  tcp::endpoint address() const { return acceptor_.local_endpoint(); }
  void stop() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    for (const auto& one : all_) one->socket.close(ignored);
  }

private:
  struct One {
    explicit One(tcp::socket s) : socket(std::move(s)) {}
    tcp::socket socket;
    std::string in, out;
    char chunk[4096];
  };
  void accept() {
    acceptor_.async_accept([this](boost::system::error_code error, tcp::socket socket) {
      if (error) return;
      all_.push_back(std::make_shared<One>(std::move(socket)));
      read(all_.back());
      accept();
    });
  }
  void read(const std::shared_ptr<One>& one) {
    one->socket.async_read_some(asio::buffer(one->chunk), [this, one](boost::system::error_code error, std::size_t n) {
      if (error) return;
      one->in.append(one->chunk, n);
      const std::size_t end = one->in.find("\r\n\r\n"), at = one->in.find("Drill-Id: ");
      if (end == std::string::npos) return read(one);
      one->out = answer_(std::stoull(one->in.substr(at + 10)));
      one->in.clear();
      if (one->out.empty()) {
        boost::system::error_code ignored;
        one->socket.close(ignored);
        return;
      }
      asio::async_write(one->socket, asio::buffer(one->out),
                        [this, one](boost::system::error_code failed, std::size_t) {
                          if (!failed) read(one);
                        });
    });
  }
  asio::io_context& io_;
  tcp::acceptor acceptor_;
  Answer answer_;
  std::vector<std::shared_ptr<One>> all_;
};

const std::string good = "HTTP/1.1 200 OK\r\nDrill-Origin: 5\r\nContent-Length: 2\r\n\r\nok";

struct Seen {
  std::vector<RequestRecord> records;
  Pace pace;
};

// 100 requests in a second; `meanwhile` is done in the generator's own thread at half of it.
Seen run_load(const Server::Answer& answer, const std::function<void()>& meanwhile = {}) {
  Loop servers, clients;
  Server server(servers.io, answer);
  LoadSettings settings;
  settings.proxy = server.address();
  settings.load.rate = 100;
  settings.load.post = 0.25;
  settings.load.patience = 700ms;
  settings.length = 1s;
  settings.target.host = "x";
  settings.target.path = "/";
  Load load(clients.io, settings);
  std::promise<void> done;
  clients.on([&] {
    load.start(Clock::now(), [&done] { done.set_value(); });
    return 0;
  });
  asio::steady_timer timer(clients.io, 500ms);
  timer.async_wait([&](boost::system::error_code error) {
    if (!error && meanwhile) meanwhile();
  });
  EXPECT_EQ(done.get_future().wait_for(10s), std::future_status::ready);
  clients.on([&] {
    load.stop();
    return 0;
  });
  servers.on([&] {
    server.stop();
    return 0;
  });
  clients.finish();
  servers.finish();
  Seen run{load.records(), {}};
  std::vector<Micros> late;
  for (const RequestRecord& record : run.records) late.push_back(record.late);
  run.pace = pace_of(late);
  return run;
}

std::uint64_t count(const Seen& run, Outcome outcome) {
  return static_cast<std::uint64_t>(std::count_if(run.records.begin(), run.records.end(),
                                                  [&](const RequestRecord& r) { return r.outcome == outcome; }));
}

TEST(Load, ComesInItsTimeWithItsMix) {
  const Seen run = run_load([](std::uint64_t) { return good; });
  ASSERT_EQ(run.records.size(), 100U);
  EXPECT_EQ(count(run, Outcome::answered), 100U);
  EXPECT_EQ(std::count_if(run.records.begin(), run.records.end(), [](const auto& r) { return r.post; }), 25);
  for (std::size_t id = 0; id < run.records.size(); ++id) {
    EXPECT_EQ(run.records[id].due, Micros(10'000) * id);
    EXPECT_EQ(run.records[id].origin, 5);
    EXPECT_EQ(run.records[id].status, 200);
  }
}

TEST(Load, FindsEveryRequestThatWasDropped) {
  const Seen run = run_load([](std::uint64_t id) { return id % 10 == 3 ? std::string() : good; });
  EXPECT_EQ(count(run, Outcome::closed), 10U);
  EXPECT_EQ(count(run, Outcome::answered), 90U);
  for (std::size_t id = 3; id < 100; id += 10) EXPECT_EQ(run.records[id].outcome, Outcome::closed);
}

TEST(Load, TellsFailuresApart) {
  const Seen run = run_load([](std::uint64_t id) -> std::string {
    if (id == 1) return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    if (id == 2) return "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n";
    if (id == 3) return "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";  // and never more
    return good;
  });
  EXPECT_EQ(run.records[1].outcome, Outcome::status);
  EXPECT_EQ(run.records[1].status, 503);
  EXPECT_EQ(run.records[2].outcome, Outcome::malformed);
  EXPECT_EQ(run.records[3].outcome, Outcome::timeout);
  EXPECT_GE(run.records[3].latency, 690ms);
  EXPECT_EQ(count(run, Outcome::answered), 97U);
}

// A server that stands still for 300 ms is felt by everybody who is due in that time, not by one.
TEST(Load, CountsLatencyFromWhenARequestWasDue) {
  const Seen run = run_load([](std::uint64_t id) {
    if (id == 20) std::this_thread::sleep_for(300ms);  // its only thread
    return good;
  });
  EXPECT_EQ(count(run, Outcome::answered), 100U);
  const auto slow = [&run](Micros limit) {
    return std::count_if(run.records.begin(), run.records.end(), [&](const auto& r) { return r.latency > limit; });
  };
  EXPECT_GE(slow(100ms), 18);
  EXPECT_GE(slow(200ms), 8);
  EXPECT_TRUE(run.pace.kept()) << "that is the server's doing, not ours";
}

TEST(Load, KnowsWhenItWasLateItself) {
  const Seen run = run_load([](std::uint64_t) { return good; }, [] { std::this_thread::sleep_for(300ms); });
  EXPECT_FALSE(run.pace.kept());
  EXPECT_GE(run.pace.worst, 200ms);
  EXPECT_EQ(run.records.size(), 100U) << "late, not left out";
}

TEST(Load, ReportsWhereNobodyListens) {
  Loop clients;
  LoadSettings settings;
  settings.proxy = tcp::endpoint(asio::ip::address_v4::loopback(), 1);
  settings.load.rate = 20;
  settings.length = 1s;
  settings.target.path = "/";
  Load load(clients.io, settings);
  std::promise<void> done;
  clients.on([&] {
    load.start(Clock::now(), [&done] { done.set_value(); });
    return 0;
  });
  ASSERT_EQ(done.get_future().wait_for(10s), std::future_status::ready);
  clients.finish();
  for (const RequestRecord& record : load.records()) EXPECT_EQ(record.outcome, Outcome::refused);
}

// ---- WebSockets, against an origin

struct WithDevices {
  explicit WithDevices(const std::string& text) : bench(text) {
    LoadSettings settings;
    settings.proxy = tcp::endpoint(asio::ip::address_v4::loopback(), bench.origin->port());
    settings.load = bench.scenario.load;
    settings.target.host = "x";
    settings.target.path = "/";
    devices = std::make_unique<Devices>(clients.io, settings);
  }
  ~WithDevices() {
    clients.on([this] {
      devices->stop();
      return 0;
    });
    clients.finish();
  }
  DeviceCounts counts() {
    return clients.on([this] { return devices->counts(); });
  }
  bool wait(const std::function<bool(const DeviceCounts&)>& condition) {
    const auto until = Clock::now() + 5s;
    while (Clock::now() < until) {
      if (condition(counts())) return true;
      std::this_thread::sleep_for(20ms);
    }
    return false;
  }
  void start() {
    clients.on([this] {
      devices->start();
      return 0;
    });
  }
  OneOrigin bench;
  Loop clients;
  std::unique_ptr<Devices> devices;
};

TEST(Devices, KeepTalkingInOrder) {
  WithDevices all("[load]\nwebsockets = 5\nmessage_interval = \"20ms\"\n");
  all.start();
  EXPECT_TRUE(all.wait([](const DeviceCounts& c) { return c.open == 5 && c.echoed > 100; }));
  const DeviceCounts counts = all.counts();
  EXPECT_EQ(counts.out_of_order, 0U);
  EXPECT_EQ(counts.dropped, 0U);
  EXPECT_EQ(counts.opening_times.size(), 5U);
}

TEST(Devices, AreSeenToBeDroppedAndComeBack) {
  WithDevices all(
      "[load]\nwebsockets = 5\nmessage_interval = \"20ms\"\nreconnect = \"50ms\"\n[[fault]]\nat = \"0s\"\nuntil = "
      "\"500ms\"\nwhere = \"all\"\nkind = \"kill\"\n");
  all.start();
  ASSERT_TRUE(all.wait([](const DeviceCounts& c) { return c.open == 5; }));
  all.bench.begin();
  EXPECT_TRUE(all.wait([](const DeviceCounts& c) { return c.dropped == 5; }));
  EXPECT_TRUE(all.wait([](const DeviceCounts& c) { return c.open == 5 && c.opened == 10; }));
  EXPECT_GT(all.counts().failed_openings, 0U);
  EXPECT_EQ(all.counts().dropped, 5U);
  EXPECT_EQ(all.counts().cut, 5U) << "nobody told them to come back";
  EXPECT_EQ(busiest_second(all.counts().drop_times), 5U);
}

TEST(Devices, AreCountedByTheSecond) {
  const Clock::time_point t{};
  EXPECT_EQ(busiest_second({}), 0U);
  EXPECT_EQ(busiest_second({t, t + 1s, t + 2s}), 1U);
  EXPECT_EQ(busiest_second({t, t + 900ms, t + 1800ms, t + 1850ms, t + 1899ms, t + 4s}), 4U);
}

TEST(Devices, LeaveByThemselvesWithoutBeingDropped) {
  WithDevices all("[load]\nwebsockets = 3\nmessage_interval = \"20ms\"\nreconnect = \"20ms\"\nsession = \"200ms\"\n");
  all.start();
  EXPECT_TRUE(all.wait([](const DeviceCounts& c) { return c.left >= 6; }));
  EXPECT_EQ(all.counts().dropped, 0U);
}

}  // namespace
}  // namespace understudy::drill
