// The instrument first: each fault is seen for what it is by a plain client, with no proxy between.
#include <gmock/gmock.h>

#include "proxy/demo/frames.hpp"
#include "tests/drill/support.hpp"

namespace understudy::drill {
namespace {

using testing::AllOf;
using testing::Ge;
using testing::HasSubstr;
using testing::Le;

std::string fault(const std::string& kind, const std::string& more = "", const std::string& until = "") {
  return "[[fault]]\nat = \"0s\"\nwhere = \"primary\"\nkind = \"" + kind + "\"\n" + more +
         (until.empty() ? "" : "until = \"" + until + "\"\n");
}

TEST(Faults, WellAnswersAndTellsWhoItIs) {
  OneOrigin bench("");
  bench.begin();
  PlainClient client(bench.origin->port());
  ASSERT_EQ(client.connected(), "connected");
  client.ask(7);
  EXPECT_EQ(client.status(), "200");
  EXPECT_THAT(client.last, AllOf(HasSubstr("Drill-Origin: 3\r\n"), HasSubstr("drill 7\n")));
  client.ask(8, "POST", "Content-Length: 3\r\n\r\nabc");
  EXPECT_EQ(client.status(), "200") << "on the same connection";
  EXPECT_EQ(bench.executed(7), 1U);
  EXPECT_EQ(bench.executed(8), 1U);
  client.probe();
  EXPECT_EQ(client.status(), "200");
}

TEST(Faults, KillRefusesAndResetsAndComesBackAtTheSamePort) {
  OneOrigin bench(fault("kill", "", "1s"));
  PlainClient before(bench.origin->port());
  before.ask(1);
  ASSERT_EQ(before.status(), "200");
  bench.begin();
  EXPECT_EQ(before.read(1, 300ms), "");
  EXPECT_EQ(before.end, "reset");
  EXPECT_EQ(PlainClient(bench.origin->port()).connected(), "refused");
  const auto until = Clock::now() + 5s;
  while (PlainClient(bench.origin->port()).connected() != "connected" && Clock::now() < until)
    std::this_thread::sleep_for(20ms);
  PlainClient after(bench.origin->port());
  after.ask(2);
  EXPECT_EQ(after.status(), "200");
}

TEST(Faults, FreezeTakesConnectionsAndAnswersNothingUntilItThaws) {
  OneOrigin bench(fault("freeze", "", "1500ms"));
  PlainClient before(bench.origin->port());
  before.ask(1);
  ASSERT_EQ(before.status(), "200");
  bench.begin();
  before.ask(2);
  PlainClient fresh(bench.origin->port());
  EXPECT_EQ(fresh.connected(), "connected") << "the kernel takes it";
  fresh.probe();
  EXPECT_EQ(before.status(300ms), "silent");
  EXPECT_EQ(fresh.status(100ms), "silent") << "the health page too";
  EXPECT_EQ(bench.executed(2), 0U) << "nobody has read it";
  EXPECT_EQ(before.status(5s), "200") << "thawed";
  EXPECT_EQ(fresh.status(5s), "200");
  EXPECT_EQ(bench.executed(2), 1U);
}

// The danger of outage C: what a frozen server got is carried out when it wakes up, though everybody has left.
TEST(Faults, AFrozenOriginCarriesOutWhatItGotAfterItsClientHasLeft) {
  OneOrigin bench(fault("freeze", "", "1s"));
  bench.begin();
  {
    PlainClient client(bench.origin->port());
    ASSERT_EQ(client.connected(), "connected");
    client.ask(9, "POST", "Content-Length: 3\r\n\r\nabc");
    EXPECT_EQ(client.status(50ms), "silent");
  }
  const auto until = Clock::now() + 5s;
  while (bench.executed(9) == 0 && Clock::now() < until) std::this_thread::sleep_for(20ms);
  EXPECT_EQ(bench.executed(9), 1U);
}

TEST(Faults, AFullBacklogLetsNobodyIn) {
  OneOrigin bench(fault("backlog", "", "1500ms"));
  PlainClient before(bench.origin->port());
  before.ask(1);
  ASSERT_EQ(before.status(), "200");
  bench.begin();
  before.ask(2);
  EXPECT_EQ(PlainClient(bench.origin->port()).connected(), "silent");
  EXPECT_EQ(before.status(100ms), "silent");
  EXPECT_EQ(before.status(5s), "200") << "thawed";
  PlainClient after(bench.origin->port());
  ASSERT_EQ(after.connected(2s), "connected");
  after.ask(3);
  EXPECT_EQ(after.status(), "200");
}

TEST(Faults, UnreachableIsAHoleInTheNetwork) {
  OneOrigin bench(fault("unreachable", "", "1500ms"));
  PlainClient before(bench.origin->port());
  before.ask(1);
  ASSERT_EQ(before.status(), "200");
  bench.begin();
  before.ask(2);
  EXPECT_EQ(PlainClient(bench.origin->port()).connected(), "silent");
  EXPECT_EQ(before.status(100ms), "silent");
  EXPECT_EQ(bench.executed(2), 0U);
  EXPECT_EQ(before.status(5s), "200") << "sent again by the kernel once the network is whole";
}

TEST(Faults, HangAnswersOnlyTheHealthPage) {
  OneOrigin bench(fault("hang"));
  bench.begin();
  PlainClient client(bench.origin->port()), probe(bench.origin->port());
  client.ask(1);
  probe.probe();
  EXPECT_EQ(probe.status(), "200");
  EXPECT_EQ(client.status(300ms), "silent");
  EXPECT_EQ(bench.executed(1), 1U) << "the application has it";
}

double time_of_answer(OneOrigin& bench, std::uint64_t id) {
  PlainClient client(bench.origin->port());
  const auto from = Clock::now();
  client.ask(id);
  EXPECT_EQ(client.status(5s), "200");
  return seconds_since(from);
}

TEST(Faults, SlowTakesItsTimeAndTheHealthPageDoesNot) {
  OneOrigin bench(fault("slow", "latency = \"300ms\"\n"));
  bench.begin();
  EXPECT_THAT(time_of_answer(bench, 1), AllOf(Ge(0.3), Le(1.2)));
  PlainClient probe(bench.origin->port());
  const auto from = Clock::now();
  probe.probe();
  EXPECT_EQ(probe.status(), "200");
  EXPECT_LT(seconds_since(from), 0.29);
}

TEST(Faults, SlowCreepsAndJitters) {
  OneOrigin creeping(fault("slow", "latency = \"500ms\"\nramp = \"1s\"\n"));
  creeping.begin();
  EXPECT_LT(time_of_answer(creeping, 1), 0.35);
  std::this_thread::sleep_for(1s);
  EXPECT_THAT(time_of_answer(creeping, 2), AllOf(Ge(0.5), Le(1.5)));

  OneOrigin jittering(fault("slow", "latency = \"20ms\"\njitter = \"200ms\"\n"));
  jittering.begin();
  double least = 1, most = 0;
  for (std::uint64_t id = 0; id < 12; ++id) {
    const double took = time_of_answer(jittering, id);
    least = std::min(least, took);
    most = std::max(most, took);
  }
  EXPECT_GE(least, 0.02);
  EXPECT_GT(most - least, 0.06);
}

TEST(Faults, ErrorsComeInTheirShareAndWithTheirStatus) {
  OneOrigin bench(fault("errors", "share = \"30%\"\nstatus = 502\n"));
  bench.begin();
  PlainClient client(bench.origin->port());
  int failed = 0;
  for (std::uint64_t id = 0; id < 100; ++id) {
    client.ask(id);
    const std::string status = client.status();
    ASSERT_TRUE(status == "200" || status == "502") << status;
    failed += status == "502" ? 1 : 0;
  }
  EXPECT_THAT(failed, AllOf(Ge(15), Le(45)));
  client.probe();
  EXPECT_EQ(client.status(), "200") << "the page is green";
}

TEST(Faults, TheHealthPageLiesBothWays) {
  OneOrigin bad(fault("errors", "share = \"0%\"\nhealth = \"bad\"\n"));
  bad.begin();
  PlainClient client(bad.origin->port());
  client.probe();
  EXPECT_EQ(client.status(), "503");
  client.ask(1);
  EXPECT_EQ(client.status(), "200");

  OneOrigin good(fault("freeze", "health = \"good\"\n"));
  good.begin();
  PlainClient other(good.origin->port()), probe(good.origin->port());
  probe.probe();
  EXPECT_EQ(probe.status(), "200");
  other.ask(1);
  EXPECT_EQ(other.status(200ms), "silent");
}

TEST(Faults, ResetAndHalfAnAnswer) {
  OneOrigin resetting(fault("reset"));
  resetting.begin();
  PlainClient client(resetting.origin->port());
  client.ask(1);
  EXPECT_EQ(client.status(), "reset");
  EXPECT_EQ(resetting.executed(1), 1U);

  OneOrigin halving(fault("half_response"));
  halving.begin();
  PlainClient other(halving.origin->port());
  other.ask(1);
  EXPECT_EQ(other.status(), "cut");
  EXPECT_EQ(other.end, "eof");
}

TEST(Faults, ASlowBodyHasItsHeadInTime) {
  OneOrigin bench(fault("slow_body", "latency = \"500ms\"\n"));
  bench.begin();
  PlainClient client(bench.origin->port());
  const auto from = Clock::now();
  client.ask(1);
  EXPECT_THAT(client.read(12), HasSubstr("HTTP/1.1 200"));
  EXPECT_LT(seconds_since(from), 0.2);
  EXPECT_THAT(client.read(200, 3s), HasSubstr("....."));
  EXPECT_GE(seconds_since(from), 0.45);
}

TEST(Faults, OnlyOpeningsAreSlow) {
  OneOrigin bench(fault("slow_websocket", "latency = \"400ms\"\n"));
  bench.begin();
  EXPECT_LT(time_of_answer(bench, 1), 0.2);
  PlainClient client(bench.origin->port());
  const auto from = Clock::now();
  client.upgrade(2);
  EXPECT_EQ(client.status(), "101");
  EXPECT_THAT(seconds_since(from), AllOf(Ge(0.4), Le(1.5)));
  client.send(demo::write_frame(1, "12", true));
  EXPECT_EQ(client.read(4), std::string("\x81\x02") + "12") << "and then it echoes";
}

TEST(Faults, AColdOriginCollapsesUnderTooManyConnections) {
  OneOrigin bench(fault("cold", "limit = 5\nlatency = \"600ms\"\n"));
  bench.begin();
  EXPECT_LT(time_of_answer(bench, 1), 0.3);
  std::vector<std::unique_ptr<PlainClient>> crowd;
  for (int i = 0; i < 8; ++i) {
    crowd.push_back(std::make_unique<PlainClient>(bench.origin->port()));
    ASSERT_EQ(crowd.back()->connected(), "connected");
  }
  EXPECT_GE(time_of_answer(bench, 2), 0.6);
  std::this_thread::sleep_for(1500ms);
  EXPECT_LT(time_of_answer(bench, 3), 0.3) << "left alone it recovers";
}

TEST(Faults, AnOverloadedOriginWorksOnFewAtATime) {
  OneOrigin bench("[load]\nlatency = \"50ms\"\n" + fault("overload", "limit = 2\n"));
  bench.begin();
  std::vector<std::unique_ptr<PlainClient>> crowd;
  const auto from = Clock::now();
  for (std::uint64_t id = 0; id < 10; ++id) {
    crowd.push_back(std::make_unique<PlainClient>(bench.origin->port()));
    ASSERT_EQ(crowd.back()->connected(), "connected");
    crowd.back()->ask(id);
  }
  for (const auto& client : crowd) EXPECT_EQ(client->status(), "200");
  EXPECT_THAT(seconds_since(from), AllOf(Ge(0.25), Le(1.5))) << "five turns of 50 ms";
}

TEST(Faults, AFlappingOriginIsDownAndUpInTurns) {
  OneOrigin bench(fault("flap", "period = \"300ms\"\n", "1200ms"));
  bench.begin();
  int turns = 0;
  bool was_up = false;
  const auto until = Clock::now() + 1500ms;
  while (Clock::now() < until) {
    const bool is_up = PlainClient(bench.origin->port()).connected() == "connected";
    turns += is_up && !was_up ? 1 : 0;
    was_up = is_up;
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(turns, 2);
  EXPECT_TRUE(was_up);
}

TEST(Faults, ConcernOnlyTheirPlace) {
  OneOrigin bench("[[fault]]\nat = \"0s\"\nwhere = \"b\"\nkind = \"kill\"\n");
  bench.begin();
  EXPECT_EQ(PlainClient(bench.origin->port()).connected(), "connected");
}

}  // namespace
}  // namespace understudy::drill
