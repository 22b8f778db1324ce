// The prober as a whole: bounded concurrency, queueing, cancelling, deadlines.
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>

#include "proxy/probe/words.hpp"
#include "tests/probe/loopback.hpp"

namespace understudy::probe::test {
namespace {

using config::CheckKind;
using health::Cause;

class ProberAsAWhole : public ProberTest {
protected:
  void SetUp() override {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 8192);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  static std::size_t descriptors() {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator{}));
  }
};

TEST_F(ProberAsAWhole, SixHundredAtOnceAreAllAnsweredWithBoundedConcurrency) {
  std::size_t served = 0;
  Origin origin(io, [&](TcpPeer peer) {
    peer->read_head([&, peer] {
      peer->send("HTTP/1.1 200 OK\r\n\r\n", [&, peer] {
        peer->request.clear();
        peer->read_more(1, [&, peer] {
          peer->close();
          ++served;
        });
      });
    });
  });
  constexpr std::size_t kLimit = 64;
  Prober prober(io, kLimit);
  std::size_t good = 0, answered = 0, most_running = 0;
  for (int i = 0; i < 600; ++i)
    prober.start(request_of(job(CheckKind::http, origin.address(), milliseconds(10'000))), [&](health::ProbeResult r) {
      ++answered;
      good += r.ok() ? 1 : 0;
      most_running = std::max(most_running, prober.running());
    });
  EXPECT_EQ(prober.queued(), 600u);
  ASSERT_TRUE(run_until(
      io, [&] { return answered == 600 && served == 600; }, milliseconds(15'000)));
  EXPECT_EQ(good, 600u);
  EXPECT_LE(most_running, kLimit);
  EXPECT_GT(most_running, kLimit / 2);
  EXPECT_TRUE(run_until(io, [&] { return served == 600; }));  // the origin sees the last ones close a little later
  EXPECT_EQ(prober.running(), 0u);
  EXPECT_EQ(prober.queued(), 0u);
}

TEST_F(ProberAsAWhole, WaitingInTheQueueIsNoEvidence) {
  Origin silent(io, nullptr);
  Prober prober(io, 512);
  std::size_t timeouts = 0, own = 0;
  for (int i = 0; i < 600; ++i)
    prober.start(request_of(job(CheckKind::http, silent.address(), milliseconds(300))), [&](health::ProbeResult r) {
      timeouts += r.cause == Cause::http_timeout || r.cause == Cause::tcp_timeout ? 1 : 0;
      own += r.cause == Cause::own_error ? 1 : 0;
    });
  bool saw_limit = false;
  ASSERT_TRUE(run_until(io, [&] {
    EXPECT_LE(prober.running(), 512u);
    saw_limit = saw_limit || prober.running() == 512;
    return timeouts + own == 600;
  }));
  EXPECT_TRUE(saw_limit);
  EXPECT_GE(own, 88u);  // all that had no slot; more only if this machine was late
  EXPECT_EQ(prober.running(), 0u);
}

TEST_F(ProberAsAWhole, LateStartMakesATimeoutOursButNotARefusal) {
  Origin silent(io, nullptr);
  RefusingPort refusing(io);
  Prober prober(io, 1);
  std::optional<health::ProbeResult> first, second, third;
  prober.start(request_of(job(CheckKind::http, silent.address(), milliseconds(60))),
               [&](health::ProbeResult r) { first = r; });
  prober.start(request_of(job(CheckKind::http, silent.address(), milliseconds(120))),
               [&](health::ProbeResult r) { second = r; });
  prober.start(request_of(job(CheckKind::tcp, refusing.address(), milliseconds(2'000))),
               [&](health::ProbeResult r) { third = r; });
  ASSERT_TRUE(run_until(io, [&] { return first && second && third; }));
  EXPECT_FALSE(first->ok());
  EXPECT_CAUSE(*second, Cause::own_error);
  EXPECT_NE(second->detail.find("delayed in this process"), std::string::npos) << second->detail;
  EXPECT_CAUSE(*third, Cause::tcp_refused);
}

TEST_F(ProberAsAWhole, PastDeadlineIsOwnError) {
  Origin silent(io, nullptr);
  ProbeRequest request = request_of(job(CheckKind::http, silent.address()));
  request.deadline = Clock::now() - milliseconds(1);
  Prober prober(io);
  std::optional<health::ProbeResult> result;
  prober.start(request, [&](health::ProbeResult r) { result = std::move(r); });
  ASSERT_TRUE(run_until(io, [&] { return result.has_value(); }));
  EXPECT_CAUSE(*result, Cause::own_error);
}

TEST_F(ProberAsAWhole, CheckKindNoneTriesNothing) {
  int visits = 0;
  Origin origin(io, [&](TcpPeer) { ++visits; });
  EXPECT_CAUSE(probe(job(CheckKind::none, origin.address())), Cause::own_error);
  io.restart();
  io.poll();
  EXPECT_EQ(visits, 0);
}

TEST_F(ProberAsAWhole, CancelAllClosesEverythingAndCallsNobody) {
  run_until(
      io, [] { return false; }, milliseconds(1));  // the context opens descriptors of its own on first use
  const std::size_t before = descriptors();
  {
    Origin silent(io, nullptr);
    Prober prober(io, 20);
    int called = 0;
    for (int i = 0; i < 50; ++i)
      prober.start(request_of(job(CheckKind::http, silent.address(), milliseconds(5'000))),
                   [&](health::ProbeResult) { ++called; });
    ASSERT_TRUE(run_until(io, [&] { return prober.running() == 20; }));
    EXPECT_EQ(prober.queued(), 30u);
    prober.cancel_all();
    EXPECT_EQ(prober.running(), 0u);
    EXPECT_EQ(prober.queued(), 0u);
    // Nothing keeps the context busy: what was closed drains at once.
    io.restart();
    const auto start = Clock::now();
    while (io.poll() != 0) {
    }
    EXPECT_LT(Clock::now() - start, milliseconds(1'000));
    EXPECT_EQ(called, 0);
    std::optional<health::ProbeResult> after;
    prober.start(request_of(job(CheckKind::tcp, silent.address())),
                 [&](health::ProbeResult r) { after = std::move(r); });
    ASSERT_TRUE(run_until(io, [&] { return after.has_value(); }));  // it still works
    EXPECT_TRUE(after->ok());
  }
  io.restart();
  io.poll();
  EXPECT_EQ(descriptors(), before);
}

TEST_F(ProberAsAWhole, MayBeCancelledOrDestroyedFromItsOwnAnswer) {
  Origin origin(io, answer("HTTP/1.1 200 OK\r\n\r\n"));
  Origin silent(io, nullptr);
  auto prober = std::make_unique<Prober>(io);
  int called = 0;
  for (int i = 0; i < 5; ++i)
    prober->start(request_of(job(CheckKind::http, silent.address())), [&](health::ProbeResult) { ++called; });
  prober->start(request_of(job(CheckKind::http, origin.address())), [&](health::ProbeResult r) {
    ++called;
    EXPECT_TRUE(r.ok());
    prober.reset();
  });
  ASSERT_TRUE(run_until(io, [&] { return !prober; }));
  io.restart();
  io.poll();
  EXPECT_EQ(called, 1);
}

TEST_F(ProberAsAWhole, ContextMayDieWithProbesUnderWay) {
  auto own = std::make_unique<asio::io_context>();
  Origin silent(io, nullptr);
  {
    Prober prober(*own);
    for (int i = 0; i < 5; ++i)
      prober.start(request_of(job(CheckKind::http, silent.address())), [](health::ProbeResult) { FAIL(); });
    while (own->poll() != 0) {
    }
    EXPECT_EQ(prober.running(), 5u);
  }
  own.reset();  // their handlers were never run; the sanitizer sees leaks
}

// Best of five: the machine may be busy, the prober may not be late by itself.
TEST_F(ProberAsAWhole, TimeoutsAreExactTo20Milliseconds) {
  Origin silent(io, nullptr);
  for (const int ms : {50, 100, 200}) {
    auto best = health::Duration::max();
    for (int i = 0; i < 5; ++i) {
      const auto result = probe(job(CheckKind::http, silent.address(), milliseconds(ms)));
      EXPECT_CAUSE(result, Cause::http_timeout);
      EXPECT_GE(result.elapsed,
                milliseconds(ms - 10));  // counted from the connect, a little after the request
      best = std::min(best, result.elapsed - milliseconds(ms));
    }
    RecordProperty("late_us_" + std::to_string(ms), static_cast<int>(best / std::chrono::microseconds(1)));
    EXPECT_LT(best, milliseconds(20));
  }
}

TEST(ProbeWords, DurationsReadAsWritten) {
  EXPECT_EQ(duration_text(milliseconds(998), milliseconds(1'000)), "1s");
  EXPECT_EQ(duration_text(milliseconds(1'500), milliseconds(1'500)), "1.5s");
  EXPECT_EQ(duration_text(milliseconds(50), milliseconds(50)), "50ms");
  EXPECT_EQ(duration_text(milliseconds(700), milliseconds(1'000)), "700ms");
  EXPECT_EQ(duration_text(milliseconds(2'050), milliseconds(5'000)), "2.05s");
}

TEST(ProbeWords, PrintableCutsWithoutSplittingACharacter) {
  EXPECT_EQ(printable("a\r\nb", 10), "a??b");
  EXPECT_EQ(printable("0123456789", 10), "0123456789");
  EXPECT_EQ(printable("\xff\xfe\xc3", 10), "???") << "what is not UTF-8";
  EXPECT_EQ(printable("a\xe2\x80\xae\xc2\x9b"
                      "31m",
                      20),
            "a??31m")
      << "right to left, and a C1 control";
  EXPECT_EQ(printable("M\xc3\xbcller", 10), "M\xc3\xbcller");
  EXPECT_EQ(printable("01234567890", 10), "0123456...");
  EXPECT_EQ(printable("012345\xc3\xa9\xc3\xa9\xc3\xa9", 10), "012345...");
}

}  // namespace
}  // namespace understudy::probe::test
