// Standbys whose health page is green and that could not serve all the same: who is told, where traffic goes, when it
// returns.
#include <gmock/gmock.h>

#include "health/rehearsal/rehearsal.hpp"
#include "tests/support/health_sim.hpp"

namespace understudy::sim {
namespace {

using ::testing::HasSubstr;
using Kind = Event::Kind;
using health::Fit;

config::FitnessConfig request(const std::string& path = "/orders/1") {
  config::FitnessConfig result;
  result.path = path;
  result.name = "GET " + path;
  result.interval = 5s;
  return result;
}

// p1 and p2 are primary, s1 is standby, f1 is far.
config::PoolConfig three_tiers() {
  config::PoolConfig app = pool("app", {{"primary", {endpoint("10.0.0.1:80", "p1"), endpoint("10.0.0.2:80", "p2")}},
                                        {"standby", {endpoint("10.0.1.1:80", "s1")}},
                                        {"far", {endpoint("10.0.2.1:80", "f1")}}});
  app.fitness = {request()};
  app.failover.failback_after = 5s;
  return app;
}

config::PoolConfig two_tiers() {
  config::PoolConfig app = two_and_one();
  app.fitness = {request()};
  app.failover.failback_after = 5s;
  return app;
}

health::ProbeResult bad() {
  health::ProbeResult result;
  result.cause = health::Cause::http_status;
  result.status = 500;
  result.detail = "10.0.1.1:80 answered 500, expected 200-299";
  return result;
}

health::ProbeResult with_value(const std::string& value, Duration elapsed = 2ms) {
  health::ProbeResult result;
  result.status = 200;
  result.elapsed = elapsed;
  result.value = value;
  return result;
}

void kill_primary(World& world, Mode mode = Mode::refused) {
  world.set("10.0.0.1:80", mode);
  world.set("10.0.0.2:80", mode);
}

Fit fit_of(const World& world, std::size_t tier) { return world.status().tiers.at(tier).fit; }

TEST(Fitness, IsProvenOfEveryTierAndToldToNobodyWhenAllIsWell) {
  World world(config_of({three_tiers()}));
  EXPECT_EQ(fit_of(world, 1), Fit::unknown);
  world.run(2s);
  for (std::size_t tier = 0; tier < 3; ++tier) EXPECT_EQ(fit_of(world, tier), Fit::fit) << tier;
  EXPECT_TRUE(world.status().tiers[1].proven_at.has_value());
  world.run(58s);
  EXPECT_EQ(world.events.size(), 4U) << world.told();  // the first verdicts of the checks
  // One each 5 s for each of four endpoints, a tenth more or less.
  EXPECT_NEAR(static_cast<double>(world.synthetics), 48, 8);
}

// Answers that change nothing are not weighed anew each time; the age of the proof is shown all the same.
TEST(Fitness, AProofIsShownAsNewAsItIs) {
  config::PoolConfig app = two_tiers();
  app.check.interval = 1h;
  World world(config_of({app}));
  world.run(20s);
  for (int i = 0; i < 10; ++i) {
    world.run(6s);
    const auto proven = world.status().tiers[1].proven_at;
    ASSERT_TRUE(proven.has_value());
    EXPECT_LE(world.now - *proven, 5500ms + 20ms);
  }
}

TEST(Fitness, AnUnfitStandbyIsToldWhileThePrimaryIsWell) {
  World world(config_of({two_tiers()}));
  world.run(10s);
  world.synthetic["10.0.1.1:80"] = bad();
  const auto told = world.run_until([&] { return world.count(Kind::tier_unfit, "standby") > 0; }, 10s);
  ASSERT_TRUE(told.has_value()) << world.told();
  EXPECT_LE(*told, 5500ms + 1100ms + 20ms) << "an interval, and the second look a second later";
  EXPECT_EQ(world.count(Kind::endpoint_unfit, "s1"), 1U);
  EXPECT_THAT(world.last(Kind::tier_unfit)->reason, HasSubstr("answered 500"));
  EXPECT_THAT(world.last(Kind::tier_unfit)->reason, HasSubstr("'primary' serves"));
  EXPECT_TRUE(world.endpoint_status("s1").available) << "its health page is green";
  world.run(60s);
  EXPECT_EQ(world.count(Kind::tier_unfit), 1U) << "told once\n" << world.told();
  EXPECT_EQ(world.moves(), 0U);
  world.synthetic.clear();
  ASSERT_TRUE(world.run_until([&] { return world.count(Kind::tier_fit, "standby") == 1; }, 12s)) << world.told();
  EXPECT_EQ(fit_of(world, 1), Fit::fit);
}

TEST(Fitness, ASingleBadAnswerIsNoVerdict) {
  World world(config_of({two_tiers()}));
  world.run(10s);
  world.synthetic["10.0.1.1:80"] = bad();
  const auto failed = [&] { return world.endpoint_status("s1").synthetic.at(0).failed; };
  ASSERT_TRUE(world.run_until([&] { return failed() == 1; }, 10s));
  world.synthetic.clear();
  world.run(20s);
  EXPECT_EQ(failed(), 1U);
  EXPECT_EQ(world.count(Kind::endpoint_unfit), 0U);
}

TEST(Fitness, ATooSlowAnswerIsABadOne) {
  config::PoolConfig app = two_tiers();
  app.fitness[0].max_latency = 500ms;
  World world(config_of({app}));
  world.run(10s);
  world.synthetic["10.0.1.1:80"] = with_value("", 800ms);
  ASSERT_TRUE(world.run_until([&] { return world.count(Kind::tier_unfit, "standby") == 1; }, 10s));
  EXPECT_THAT(world.last(Kind::tier_unfit)->reason, HasSubstr("after 800 ms (max_latency 500 ms)"));
}

TEST(Fitness, FailoverGoesToTheNextFitTier) {
  World world(config_of({three_tiers()}));
  world.synthetic["10.0.1.1:80"] = bad();
  world.run(10s);
  kill_primary(world);
  ASSERT_TRUE(world.run_until([&] { return world.moves() > 0; }, 10s));
  EXPECT_EQ(world.active(), "far") << world.told();
  EXPECT_THAT(world.last(Kind::failover)->reason, HasSubstr("unfit"));
}

TEST(Fitness, AnUnfitTierIsBetterThanNone) {
  World world(config_of({two_tiers()}));
  world.synthetic["10.0.1.1:80"] = bad();
  world.run(10s);
  kill_primary(world);
  ASSERT_TRUE(world.run_until([&] { return world.moves() > 0; }, 10s));
  EXPECT_EQ(world.active(), "standby");
}

TEST(Fitness, RequireFitForbidsAnUnfitTierUntilNothingIsLeftOfThePrimary) {
  config::PoolConfig app = two_tiers();
  app.failover.min_available_count = 2;
  app.failover.require_fit = true;
  World world(config_of({app}));
  world.synthetic["10.0.1.1:80"] = bad();
  world.run(10s);
  world.set("10.0.0.1:80", Mode::refused);
  ASSERT_TRUE(world.run_until([&] { return world.count(Kind::tier_lost, "primary") == 1; }, 10s));
  world.run(20s);
  EXPECT_EQ(world.moves(), 0U) << "one primary is left\n" << world.told();
  ASSERT_EQ(world.count(Kind::nothing_better), 1U);
  EXPECT_THAT(world.last(Kind::nothing_better)->reason, HasSubstr("unfit"));
  world.set("10.0.0.2:80", Mode::refused);
  ASSERT_TRUE(world.run_until([&] { return world.moves() > 0; }, 10s));
  EXPECT_EQ(world.active(), "standby");
}

TEST(Fitness, RequireFitLetsAFitTierTakeOver) {
  config::PoolConfig app = two_tiers();
  app.failover.min_available_count = 2;
  app.failover.require_fit = true;
  World world(config_of({app}));
  world.run(10s);
  world.set("10.0.0.1:80", Mode::refused);
  ASSERT_TRUE(world.run_until([&] { return world.moves() > 0; }, 10s)) << world.told();
  EXPECT_EQ(world.active(), "standby");
}

TEST(Fitness, TheOperatorsFailoverWithoutATierTakesTheFitOne) {
  World world(config_of({three_tiers()}));
  world.synthetic["10.0.1.1:80"] = bad();
  world.run(10s);
  ASSERT_TRUE(world.command(health::MoveTier{.pool = "app", .to = {}, .reason = "test"}).ok);
  EXPECT_EQ(world.active(), "far");
  ASSERT_TRUE(world.command(health::MoveTier{.pool = "app", .to = "standby", .reason = "I know"}).ok)
      << "law 4: who names it gets it";
  EXPECT_EQ(world.active(), "standby");
}

// ---- data

config::PoolConfig compared() {
  config::PoolConfig app = three_tiers();
  app.fitness[0].compare.header = "X-Data-Version";
  app.fitness[0].compare.max_lag = 20s;
  return app;
}

TEST(Fitness, AStandbyWhoseDataStaysBehindIsStaleAndNotPreferred) {
  World world(config_of({compared()}));
  for (const char* address : {"10.0.0.1:80", "10.0.0.2:80", "10.0.1.1:80", "10.0.2.1:80"})
    world.synthetic[address] = with_value("41");
  world.run(30s);
  EXPECT_EQ(fit_of(world, 1), Fit::fit);
  for (const char* address : {"10.0.0.1:80", "10.0.0.2:80", "10.0.2.1:80"}) world.synthetic[address] = with_value("42");
  const auto told = world.run_until([&] { return world.count(Kind::tier_unfit, "standby") == 1; }, 60s);
  ASSERT_TRUE(told.has_value()) << world.told();
  EXPECT_GE(*told, 20s);
  EXPECT_LE(*told, 32s) << "max_lag, and an interval on both sides";
  EXPECT_EQ(fit_of(world, 1), Fit::stale);
  EXPECT_THAT(world.last(Kind::tier_unfit)->reason, HasSubstr("X-Data-Version is '41', behind the serving tier"));
  EXPECT_EQ(world.count(Kind::tier_unfit), 1U) << "the others are not behind\n" << world.told();
  kill_primary(world);
  ASSERT_TRUE(world.run_until([&] { return world.moves() > 0; }, 10s));
  EXPECT_EQ(world.active(), "far");
}

// Broken replication is found however many values there are between two answers of the standby; one that follows stays fit.
TEST(Fitness, AStandbyThatStaysBehindIsFoundThoughTheValueChangesWithEachAnswer) {
  for (const std::size_t primaries : {2U, 12U}) {
    std::vector<std::string> serving;
    std::vector<config::EndpointConfig> endpoints;
    for (std::size_t i = 0; i < primaries; ++i) {
      serving.push_back("10.0.0." + std::to_string(i + 1) + ":80");
      endpoints.push_back(endpoint(serving.back(), "p" + std::to_string(i + 1)));
    }
    config::PoolConfig app = pool("app", {{"primary", endpoints},
                                          {"standby", {endpoint("10.0.1.1:80", "s1")}},
                                          {"far", {endpoint("10.0.2.1:80", "f1")}}});
    app.fitness = {request()};
    app.fitness[0].interval = 1s;
    app.fitness[0].compare.header = "X-Data-Version";
    app.fitness[0].compare.max_lag = 120s;
    World world(config_of({app}));
    world.after_step = [&] {
      const auto version = [&](Duration lag) {
        return with_value(std::to_string((world.elapsed() - lag) / 1ms + 1'000'000));
      };
      for (const std::string& address : serving) world.synthetic[address] = version(0ms);
      world.synthetic["10.0.2.1:80"] = version(60s);
    };
    world.run(30s);
    world.synthetic["10.0.1.1:80"] = with_value("1000001");  // what it had at the start
    const auto told = world.run_until([&] { return fit_of(world, 1) == Fit::stale; }, 200s);
    ASSERT_TRUE(told.has_value()) << primaries << " primaries";
    EXPECT_NEAR(static_cast<double>(*told / 1ms), 90'000, 15'000) << "after 120 s in all";
    for (int i = 0; i < 15 * 60; ++i) {
      world.run(1s);
      ASSERT_EQ(fit_of(world, 1), Fit::stale) << primaries << " primaries\n" << world.told();
    }
    EXPECT_EQ(fit_of(world, 2), Fit::fit) << "a minute behind is not too far";
    EXPECT_EQ(world.count(Kind::tier_unfit), 1U) << world.told();
  }
}

// Outage C: after the reboot the old primary's data is older than what the standby has written since.
TEST(Fitness, TrafficDoesNotReturnToAPrimaryWhoseDataIsBehind) {
  config::PoolConfig app = compared();
  app.fitness[0].compare.max_lag = 2s;
  World world(config_of({app}));
  for (const char* address : {"10.0.0.1:80", "10.0.0.2:80", "10.0.1.1:80", "10.0.2.1:80"})
    world.synthetic[address] = with_value("41");
  world.run(20s);
  kill_primary(world);
  ASSERT_TRUE(world.run_until([&] { return world.active() == "standby"; }, 10s)) << world.told();
  world.synthetic["10.0.1.1:80"] = with_value("50");
  world.run(20s);
  kill_primary(world, Mode::up);
  world.run(120s);
  EXPECT_EQ(world.active(), "standby") << "the primary answers, but with old data\n" << world.told();
  EXPECT_EQ(fit_of(world, 0), Fit::stale);
  for (const char* address : {"10.0.0.1:80", "10.0.0.2:80"}) world.synthetic[address] = with_value("50");
  EXPECT_TRUE(world.run_until([&] { return world.active() == "primary"; }, 30s)) << world.told();
}

// ---- what is no evidence, and what stays

TEST(Fitness, TimeInWhichThisProcessStoodStillProvesNothingLaw12) {
  World world(config_of({two_tiers()}));
  world.run(10s);
  for (int i = 0; i < 6; ++i) {
    world.stop_self(5s);
    world.run(700ms);
  }
  world.stop_self(60s);
  world.run(10s);
  EXPECT_EQ(world.count(Kind::endpoint_unfit), 0U) << world.told();
  EXPECT_EQ(world.count(Kind::tier_unfit), 0U);
  EXPECT_EQ(fit_of(world, 1), Fit::fit);
}

TEST(Fitness, AReloadKeepsWhatIsStillAsked) {
  config::PoolConfig app = two_tiers();
  World world(config_of({app}));
  world.run(10s);
  app.fitness.insert(app.fitness.begin(), request("/more"));
  world.reload(config_of({app}));
  EXPECT_EQ(fit_of(world, 1), Fit::unknown) << "the new one has no answer yet";
  EXPECT_GT(world.endpoint_status("s1").synthetic.at(1).passed, 0U);
  world.run(1s);
  EXPECT_EQ(fit_of(world, 1), Fit::fit);
  app.fitness.clear();
  world.reload(config_of({app}));
  const std::uint64_t asked = world.synthetics;
  world.run(30s);
  EXPECT_EQ(world.synthetics, asked);
  EXPECT_EQ(fit_of(world, 1), Fit::unknown);
}

TEST(Fitness, ADisabledEndpointIsNotAskedAndDoesNotCount) {
  World world(config_of({two_tiers()}));
  world.run(10s);
  world.synthetic["10.0.0.2:80"] = bad();
  ASSERT_TRUE(world.command(health::SetEndpointState{"app", "p2", health::OperatorState::disabled, {}, "test"}).ok);
  world.run(30s);
  EXPECT_EQ(world.count(Kind::endpoint_unfit), 0U);
  EXPECT_EQ(world.endpoint_status("p2").fit, Fit::unknown);
  EXPECT_EQ(fit_of(world, 0), Fit::fit);
  ASSERT_TRUE(world.command(health::SetEndpointState{"app", "p2", health::OperatorState::enabled, {}, "test"}).ok);
  world.run(10s);
  EXPECT_EQ(world.endpoint_status("p2").fit, Fit::unfit);
  EXPECT_EQ(fit_of(world, 0), Fit::fit) << "one is enough";
}

// ---- after a move that failed

TEST(Fitness, ATierWhoseVerdictWasFailedIsNoCandidateUntilItIsProvenFitAnew) {
  config::PoolConfig app = three_tiers();
  app.response_timeout = 2500ms;
  config::Scenario scenario;
  scenario.name = "the standby breaks when it is needed, and is mended";
  scenario.length = 150s;
  scenario.load.rate = 200;
  config::ScenarioFault dead;
  dead.kind = config::FaultKind::kill;
  dead.where = "primary";
  dead.at = 20s;
  config::ScenarioFault broken;
  broken.kind = config::FaultKind::errors;
  broken.where = "standby";
  broken.at = 22s;
  broken.until = 80s;
  scenario.faults = {dead, broken};
  const health::Rehearsal run = health::rehearse(config_of({app}), scenario);
  std::string told;
  std::optional<std::size_t> failed, left, again;
  for (std::size_t i = 0; i < run.log.size(); ++i) {
    told += run.log[i] + "\n";
    if (run.log[i].find("the move to tier 'standby' failed") != std::string::npos) failed = i;
    if (run.log[i].find("moved from 'standby' to 'far'") != std::string::npos) left = i;
    if (run.log[i].find("is a candidate again") != std::string::npos) again = i;
  }
  ASSERT_TRUE(failed && left && again) << told;
  EXPECT_LT(*failed, *left);
  EXPECT_LT(*left, *again);
  EXPECT_GT(std::stod(run.log[*again]), 80) << "not before it is mended\n" << told;
  EXPECT_LT(std::stod(run.log[*again]), 90) << "and not five minutes later either";
}

}  // namespace
}  // namespace understudy::sim
