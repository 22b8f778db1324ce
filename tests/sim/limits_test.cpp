// What is shut out, and where the rest goes: quarantine, the ramp on the way down, spill, shedding, hostile clients.
#include <gmock/gmock.h>

#include <deque>

#include "tests/support/health_sim.hpp"

namespace understudy::sim {
namespace {

using ::testing::HasSubstr;
using Kind = Event::Kind;

config::GateConfig approval() {
  config::GateConfig gate;
  gate.name = "data compared";
  return gate;
}
config::GateConfig url() {
  config::GateConfig gate;
  gate.kind = config::GateKind::url;
  gate.name = "in sync";
  gate.url = "http://10.0.0.9/sync";
  return gate;
}
const health::EndpointView& view_of(World& world, const std::string& label) {
  for (const auto& tier : world.core().view()->pools[0].tiers) {
    for (const auto& endpoint : tier.endpoints) {
      if (endpoint.label == label) return endpoint;
    }
  }
  throw std::runtime_error("no endpoint " + label);
}

// ---- quarantine

config::PoolConfig careful(const config::GateConfig& gate) {
  config::PoolConfig config = two_and_one();
  config.failover.quarantine = true;
  config.failover.gates.push_back(gate);
  return config;
}

TEST(Quarantine, WhoWasDownStaysOutUntilTheGatesPass) {
  World world(config_of({careful(approval())}));
  world.run(5s);
  world.set("10.0.0.1:80", Mode::refused);
  world.run(5s);
  ASSERT_NE(world.last(Kind::endpoint_quarantined), nullptr) << world.told();
  EXPECT_THAT(world.last(Kind::endpoint_quarantined)->reason, HasSubstr("gate 'data compared'"));
  world.set("10.0.0.1:80", Mode::up);
  world.run(60s);
  EXPECT_EQ(world.endpoint_status("p1").active, health::ActiveState::healthy);
  EXPECT_TRUE(world.endpoint_status("p1").quarantined);
  EXPECT_FALSE(view_of(world, "p1").available);
  EXPECT_TRUE(world.command(health::Approve{"app", "data compared", "eve", "checksums agree"}).ok);
  world.run(1s);
  EXPECT_TRUE(view_of(world, "p1").available);
  EXPECT_FALSE(world.endpoint_status("p1").quarantined);
  EXPECT_EQ(world.moves(), 0U);
}
TEST(Quarantine, TheMachineAsksItsGatesOnceSomebodyIsBack) {
  World world(config_of({careful(url())}));
  world.gates["in sync"] = false;
  world.run(5s);
  world.set("10.0.0.1:80", Mode::frozen);
  world.run(20s);
  EXPECT_EQ(world.gates_asked, 0U) << "nobody is back";
  world.set("10.0.0.1:80", Mode::up);
  world.run(15s);
  EXPECT_GT(world.gates_asked, 0U);
  EXPECT_FALSE(view_of(world, "p1").available);
  world.gates["in sync"] = true;
  ASSERT_TRUE(world.run_until([&] { return view_of(world, "p1").available; }, 12s)) << world.told();
  // A second time the answer of the first does not count.
  world.gates["in sync"] = false;
  world.set("10.0.0.1:80", Mode::refused);
  world.run(5s);
  world.set("10.0.0.1:80", Mode::up);
  world.run(30s);
  EXPECT_FALSE(view_of(world, "p1").available);
}
TEST(Quarantine, OutlivesARestartAndEndsAtTheOperatorsWord) {
  World world(config_of({careful(approval())}));
  world.run(5s);
  world.set("10.0.0.1:80", Mode::refused);
  world.run(5s);
  world.set("10.0.0.1:80", Mode::up);
  world.run(5s);
  world.restart();
  world.run(10s);
  EXPECT_FALSE(view_of(world, "p1").available);
  EXPECT_TRUE(world.command(health::SetEndpointState{"app", "p1", health::OperatorState::enabled}).ok);
  world.run(1s);
  EXPECT_TRUE(view_of(world, "p1").available);
}
TEST(Quarantine, IsForThoseThatWereDownNotForThoseThatFailOrNeverServed) {
  World world(config_of({careful(approval())}));
  world.set("10.0.1.1:80", Mode::refused);  // from the start
  world.run(5s);
  world.set("10.0.1.1:80", Mode::up);
  world.set("10.0.0.1:80", Mode::failing);
  world.run(5s);
  world.set("10.0.0.1:80", Mode::up);
  world.run(5s);
  EXPECT_EQ(world.count(Kind::endpoint_quarantined), 0U) << world.told();
  EXPECT_TRUE(view_of(world, "p1").available);
  EXPECT_TRUE(view_of(world, "s1").available);
}
TEST(Quarantine, PanicDoesNotOpenIt) {
  World world(config_of({careful(approval())}));
  world.run(5s);
  for (const char* address : {"10.0.0.1:80", "10.0.0.2:80", "10.0.1.1:80"}) world.set(address, Mode::refused);
  world.run(10s);
  world.modes.clear();
  world.run(30s);
  for (const auto& tier : world.core().view()->pools[0].tiers)
    EXPECT_TRUE(tier.usable.empty()) << "split data is worse";
  EXPECT_TRUE(world.command(health::Approve{"app", "data compared", "eve", "checksums agree"}).ok);
  world.run(1s);
  EXPECT_TRUE(world.status().tiers[0].serviceable);
}

// ---- gates of a return

config::PoolConfig gated_return(const config::GateConfig& gate, std::chrono::milliseconds after) {
  config::PoolConfig config = two_and_one();
  config.failover.failback_after = after;
  config.failover.gates.push_back(gate);
  return config;
}
void kill_both(World& world, Mode mode = Mode::refused) {
  for (const char* address : {"10.0.0.1:80", "10.0.0.2:80"}) world.set(address, mode);
}

TEST(Gates, ATierThatIsLostAgainIsAskedForAgain) {
  World world(config_of({gated_return(url(), 20s)}));
  world.run(5s);
  kill_both(world);
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 10s));
  kill_both(world, Mode::up);
  ASSERT_TRUE(world.run_until([&] { return world.status().gates[0].passed; }, 10s)) << world.told();
  kill_both(world);
  ASSERT_TRUE(world.run_until([&] { return !world.status().gates[0].passed; }, 10s)) << "it spoke of what is gone";
  EXPECT_THAT(world.status().gates[0].detail, HasSubstr("lost again"));
  world.gates["in sync"] = false;
  const std::uint64_t asked = world.gates_asked;
  kill_both(world, Mode::up);
  world.run(60s);
  EXPECT_GT(world.gates_asked, asked);
  EXPECT_EQ(world.active(), "standby") << world.told();
  world.gates["in sync"] = true;
  EXPECT_TRUE(world.run_until([&] { return world.active() == "primary"; }, 12s)) << world.told();
}
TEST(Gates, AnApprovalEndsWithTheTierItWasGivenFor) {
  World world(config_of({gated_return(approval(), 20s)}));
  world.run(5s);
  kill_both(world);
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 10s));
  kill_both(world, Mode::up);
  world.run(5s);
  ASSERT_TRUE(world.command(health::Approve{"app", "data compared", "eve", "checksums agree"}).ok);
  EXPECT_TRUE(world.status().gates[0].passed);
  kill_both(world);
  world.run(5s);
  EXPECT_FALSE(world.status().gates[0].passed);
  kill_both(world, Mode::up);
  world.run(60s);
  EXPECT_EQ(world.active(), "standby") << world.told();
}

TEST(Gates, AnApprovalThatRestsOnAnotherEpochIsRefused) {
  World world(config_of({gated_return(approval(), 20s)}));
  world.run(5s);
  kill_both(world);
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 10s));
  const std::uint64_t epoch = world.status().epoch;
  const auto stale = world.command(health::Approve{"app", "data compared", "eve", "checksums agree", epoch - 1});
  EXPECT_FALSE(stale.ok);
  EXPECT_THAT(stale.error, HasSubstr("rests on epoch " + std::to_string(epoch - 1)));
  EXPECT_FALSE(world.status().gates[0].passed);
  EXPECT_TRUE(world.command(health::Approve{"app", "data compared", "eve", "checksums agree", epoch}).ok);
}

TEST(Gates, AnOldAnswerIsAskedForAgainBeforeTheReturn) {
  World world(config_of({gated_return(url(), 60s)}));
  world.run(5s);
  kill_both(world);
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 10s));
  kill_both(world, Mode::up);
  ASSERT_TRUE(world.run_until([&] { return world.status().gates[0].passed; }, 10s)) << world.told();
  const std::uint64_t asked = world.gates_asked;
  world.run(30s);
  EXPECT_EQ(world.gates_asked, asked) << "the return is far away";
  world.gates["in sync"] = false;
  world.run(60s);
  EXPECT_GT(world.gates_asked, asked);
  EXPECT_EQ(world.active(), "standby") << world.told();
  EXPECT_EQ(world.status().failback_waits, "gate 'in sync'");
  world.gates["in sync"] = true;
  EXPECT_TRUE(world.run_until([&] { return world.active() == "primary"; }, 12s)) << world.told();
}
TEST(Gates, ANewAnswerIsThereWhenTheHoldIsOver) {
  World world(config_of({gated_return(url(), 60s)}));
  world.run(5s);
  kill_both(world);
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 10s));
  kill_both(world, Mode::up);
  ASSERT_TRUE(world.run_until([&] { return world.status().failback_at.has_value(); }, 10s));
  const TimePoint due = *world.status().failback_at;
  ASSERT_TRUE(world.run_until([&] { return world.active() == "primary"; }, 90s)) << world.told();
  EXPECT_LE(world.now - due, 200ms) << "it is asked before, not then";
}

// ---- the ramp down

TEST(RampDown, AnOperatorsMoveGoesInSteps) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(health::MoveTier{"app", "standby", "drill"}).ok);
  std::vector<double> shares;
  for (int i = 0; i < 12; ++i, world.run(1s)) {
    const auto& side = world.core().view()->pools[0].side;
    shares.push_back(side ? side->share : 0);
    if (side) {
      EXPECT_EQ(side->tier, 0U);
    }
  }
  EXPECT_GT(shares[0], 0.85);
  EXPECT_TRUE(std::is_sorted(shares.rbegin(), shares.rend()));
  EXPECT_NEAR(shares[5], 0.45, 0.1);
  EXPECT_EQ(shares[11], 0);
  EXPECT_EQ(world.active(), "standby") << "designated from the first moment: unsafe methods go there (law 11)";
}
TEST(RampDown, IsOverWhenNothingOfTheTierAboveIsWell) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(health::MoveTier{"app", "standby", "drill"}).ok);
  world.run(1s);
  ASSERT_TRUE(world.core().view()->pools[0].side);
  world.set("10.0.0.1:80", Mode::refused);
  world.set("10.0.0.2:80", Mode::refused);
  world.run(3s);
  EXPECT_FALSE(world.core().view()->pools[0].side);
  world.modes.clear();
  World dead(config_of({two_and_one()}));
  dead.run(5s);
  dead.set("10.0.0.1:80", Mode::refused);
  dead.set("10.0.0.2:80", Mode::refused);
  dead.after_step = [&] {
    if (dead.active() == "standby") {
      EXPECT_FALSE(dead.core().view()->pools[0].side) << "a lost tier is left at once";
    }
  };
  dead.run(10s);
  EXPECT_EQ(dead.active(), "standby");
}

// ---- spill

config::PoolConfig four_and_two(config::TiersMode mode = config::TiersMode::shared) {
  config::PoolConfig config =
      pool("app", {{"primary",
                    {endpoint("10.0.0.1:80", "p1"), endpoint("10.0.0.2:80", "p2"), endpoint("10.0.0.3:80", "p3"),
                     endpoint("10.0.0.4:80", "p4")}},
                   {"standby", {endpoint("10.0.1.1:80", "s1"), endpoint("10.0.1.2:80", "s2")}}});
  config.tiers_mode = mode;
  return config;
}

TEST(SpillOver, AHalfDeadTierKeepsWhatItCanCarry) {
  World world(config_of({four_and_two()}));
  world.run(5s);
  EXPECT_TRUE(world.core().view()->pools[0].spill.empty());
  world.set("10.0.0.1:80", Mode::refused);
  world.run(5s);
  EXPECT_TRUE(world.core().view()->pools[0].spill.empty()) << "three of four carry everything";
  world.set("10.0.0.2:80", Mode::refused);
  world.run(5s);
  const auto view = world.core().view();
  ASSERT_EQ(view->pools[0].spill.size(), 1U) << world.told();
  EXPECT_EQ(view->pools[0].spill[0].tier, 1U);
  EXPECT_NEAR(view->pools[0].spill[0].share, 0.3, 0.001);
  EXPECT_NEAR(world.status().tiers[0].share, 0.7, 0.001);
  EXPECT_NEAR(world.status().tiers[1].share, 0.3, 0.001);
  ASSERT_NE(world.last(Kind::spill), nullptr);
  EXPECT_THAT(world.last(Kind::spill)->reason, HasSubstr("can carry 70 % of the traffic"));
  world.set("10.0.1.1:80", Mode::refused);
  world.set("10.0.1.2:80", Mode::refused);
  world.run(5s);
  EXPECT_TRUE(world.core().view()->pools[0].spill.empty()) << "there is nobody to take it";
  world.modes.clear();
  world.run(10s);
  EXPECT_TRUE(world.core().view()->pools[0].spill.empty());
  EXPECT_EQ(world.moves(), 0U);
}
TEST(SpillOver, Law11NeverInExclusivePoolsAndLaw4NotAgainstTheOperator) {
  for (const bool held : {false, true}) {
    World world(config_of({four_and_two(held ? config::TiersMode::shared : config::TiersMode::exclusive)}));
    world.run(5s);
    if (held) world.command(health::HoldPool{"app", true, {}, "looking"});
    world.set("10.0.0.1:80", Mode::refused);
    world.set("10.0.0.2:80", Mode::refused);
    world.set("10.0.0.3:80", Mode::refused);
    world.run(10s);
    EXPECT_TRUE(world.core().view()->pools[0].spill.empty());
    EXPECT_EQ(world.count(Kind::spill), 0U);
  }
}
TEST(SpillOver, NothingIsSpiltUpwards) {
  config::PoolConfig config = four_and_two();
  config.failover.failback = config::FailbackMode::manual;
  World world(config_of({config}));
  world.run(5s);
  ASSERT_TRUE(world.command(health::MoveTier{"app", "standby", "maintenance of the primary"}).ok);
  world.run(15s);
  world.set("10.0.1.1:80", Mode::refused);
  world.run(10s);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_TRUE(world.core().view()->pools[0].spill.empty());
}

// ---- shedding

// One server that answers 400 requests a second in turn, none sooner than after 50 ms.
class Overloaded {
public:
  explicit Overloaded(World& world) : world_(world) {}
  std::uint64_t answered = 0, shed = 0;
  Duration took{};

  void run(double offered, Duration length) {
    for (const TimePoint end = world_.now + length; world_.now < end;) {
      world_.run(10ms);
      const auto view = world_.core().view();
      const health::TierView& tier = view->pools[0].tiers[0];
      const health::EndpointView& server = tier.endpoints[0];
      while (!under_way_.empty() && under_way_.front().second <= world_.now) {
        took = under_way_.front().second - under_way_.front().first;
        sample_.first_byte.record(took);
        ++sample_.successes;
        ++answered;
        under_way_.pop_front();
        --server.load->unanswered;
      }
      for (debt_ += offered / 100; debt_ >= 1; debt_ -= 1) {
        if (tier.max_unanswered && server.load->unanswered >= *tier.max_unanswered) {
          ++shed;
          continue;
        }
        free_at_ = std::max(free_at_, world_.now) + 2'500us;
        under_way_.emplace_back(world_.now, std::max<TimePoint>(free_at_, world_.now + 50ms));
        ++server.load->unanswered;
      }
      if (++steps_ % 10 != 0) continue;
      sample_.endpoint = server.id;
      sample_.pending = static_cast<std::uint32_t>(under_way_.size());
      sample_.oldest_pending = under_way_.empty() ? std::nullopt : std::optional(under_way_.front().first);
      world_.sample(sample_);
      sample_ = {};
    }
  }

private:
  World& world_;
  std::deque<std::pair<TimePoint, TimePoint>> under_way_;
  health::TrafficSample sample_;
  TimePoint free_at_{};
  double debt_ = 0;
  int steps_ = 0;
};

config::PoolConfig one() { return pool("app", {{"primary", {endpoint("10.0.0.1:80", "p1")}}}); }

TEST(Shedding, WhenNothingBetterIsToBeHadWhatCanBeServedIsServedAndItIsToldOnce) {
  World world(config_of({one()}));
  Overloaded load(world);
  load.run(200, 30s);
  EXPECT_EQ(load.shed, 0U);
  load.run(600, 90s);
  EXPECT_TRUE(world.status().tiers[0].max_unanswered) << world.told();
  EXPECT_THAT(world.status().diagnosis, HasSubstr("more than it can answer"));
  const std::uint64_t before = load.answered;
  load.run(600, 20s);
  EXPECT_GE(load.answered - before, 20 * 400 * 0.9);
  EXPECT_LT(load.took, 300ms);
  EXPECT_EQ(world.count(Kind::shedding), 1U) << world.told();
  EXPECT_EQ(world.moves(), 0U);
  load.run(200, 40s);
  EXPECT_FALSE(world.status().tiers[0].max_unanswered);
  EXPECT_EQ(world.count(Kind::shedding), 2U) << world.told();
}
TEST(Shedding, CanBeSwitchedOff) {
  config::PoolConfig config = one();
  config.degraded.shed = false;
  World world(config_of({config}));
  Overloaded load(world);
  load.run(200, 30s);
  load.run(600, 60s);
  EXPECT_EQ(load.shed, 0U);
  EXPECT_EQ(world.count(Kind::shedding), 0U);
}

// ---- clients

TEST(HostileClient, WhoAloneMeetsFailuresTakesNobodyOut) {
  for (const bool alone : {true, false}) {
    World world(config_of({two_and_one()}));
    world.run(5s);
    const health::EndpointId id = view_of(world, "p1").id;
    std::uint32_t in_a_row = 0;
    for (int i = 0; i < 100; ++i, world.run(100ms)) {
      health::TrafficSample sample;
      sample.endpoint = id;
      sample.successes = i % 2 == 0 ? 4 : 0;
      if (i < 20) {  // who sends is known before anybody attacks
        sample.successes = 4;
        world.sample(sample);
        continue;
      }
      sample.failures[static_cast<std::size_t>(health::Cause::http_status)] = 10;
      in_a_row = sample.successes > 0 ? 10 : in_a_row + 10;
      sample.consecutive_failures = in_a_row;
      sample.first_byte.record(5ms, static_cast<std::uint32_t>(sample.successes) + 10);
      if (alone) {
        sample.client.failures = 10;
        sample.client.first_byte.record(5ms, 10);
      }
      world.sample(sample);
    }
    EXPECT_EQ(world.count(Kind::endpoint_ejected, "p1") + world.count(Kind::endpoint_suspect, "p1") > 0, !alone)
        << world.told();
  }
}

TEST(Surge, IsToldAndIsTheDiagnosis) {
  World world(config_of({two_and_one()}));
  const auto ask = [&](std::uint64_t rate, std::vector<health::ArrivalSample::Client> most) {
    const health::ArrivalSample sample{0, rate, 1s, std::move(most)};
    world.core().on_arrivals({&sample, 1}, world.now);
    world.drain();
    world.run(1s);
  };
  for (int i = 0; i < 60; ++i) ask(100, {});
  for (int i = 0; i < 3; ++i) ask(900, {{"203.0.113.7", 800}});
  ASSERT_NE(world.last(Kind::surge), nullptr);
  EXPECT_THAT(world.last(Kind::surge)->reason, HasSubstr("203.0.113.7 800/s"));
  EXPECT_THAT(world.status().diagnosis,
              HasSubstr("a surge of clients: 900 requests/s, usually 101/s; 89 % from 1 address"));
  EXPECT_TRUE(world.status().surge);
  for (int i = 0; i < 5; ++i) ask(100, {});
  EXPECT_EQ(world.count(Kind::surge), 2U);
  EXPECT_EQ(world.status().diagnosis, "");
}

}  // namespace
}  // namespace understudy::sim
