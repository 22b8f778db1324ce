// Faults that leave the health page green, or not, as clients live through them: the table of the failover goals, in virtual
// time. One configuration for all rows: two primaries, two standbys, shared tiers.
#include <gmock/gmock.h>

#include <ctime>

#include "health/rehearsal/rehearsal.hpp"
#include "tests/support/health_sim.hpp"

namespace understudy::sim {
namespace {

using config::FaultHealth;
using config::FaultKind;
using config::Scenario;
using config::ScenarioFault;
using health::Rehearsal;

config::Config the_config() {
  config::PoolConfig app = pool("app", {{"primary", {endpoint("10.0.0.1:80", "p1"), endpoint("10.0.0.2:80", "p2")}},
                                        {"standby", {endpoint("10.0.1.1:80", "s1"), endpoint("10.0.1.2:80", "s2")}}});
  app.tiers_mode = config::TiersMode::shared;
  app.check.fall = 3;
  app.check.timeout = 1s;
  app.degraded.latency_p95 = 500ms;
  app.degraded.error_rate = 0.05;
  app.degraded.websocket_open_p95 = 500ms;
  app.failover.failback_after = 5s;
  app.connect_timeout = 1s;
  app.response_timeout = 2500ms;
  return config_of({app});
}

Scenario scenario(std::vector<ScenarioFault> faults, config::Duration length = 60s) {
  Scenario result;
  result.name = "test";
  result.length = length;
  result.load.rate = 300;
  result.load.post = 0.3;
  result.faults = std::move(faults);
  return result;
}

ScenarioFault fault(FaultKind kind, config::Duration at, config::MaybeDuration until,
                    const std::string& where = "primary") {
  ScenarioFault result;
  result.kind = kind;
  result.at = at;
  result.until = until;
  result.where = where;
  return result;
}

// All five runs are printed, the median is judged.
std::uint64_t median_bad(const config::Config& config, const Scenario& scenario, std::string& told) {
  std::vector<std::uint64_t> bad;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const Rehearsal run = health::rehearse(config, scenario, seed);
    bad.push_back(run.bad);
    told += "seed " + std::to_string(seed) + ": " + std::to_string(run.bad) + " bad (" + std::to_string(run.failed) +
            " failed, " + std::to_string(run.slow) + " slow) of " + std::to_string(run.requests) + ", " +
            std::to_string(run.moves) + " moves\n";
    if (seed == 1) {
      for (const std::string& line : run.log) told += "  " + line + "\n";
    }
  }
  std::sort(bad.begin(), bad.end());
  return bad[2];
}

#define EXPECT_AT_MOST_BAD(limit, ...)                                               \
  do {                                                                               \
    std::string told;                                                                \
    EXPECT_LE(median_bad(the_config(), scenario(__VA_ARGS__), told), limit) << told; \
  } while (false)

TEST(Degradation, FrozenPrimariesCostFewRequests) { EXPECT_AT_MOST_BAD(40U, {fault(FaultKind::freeze, 20s, 30s)}); }
TEST(Degradation, RequestsThatHangBehindAGreenPageCostFewRequests) {
  EXPECT_AT_MOST_BAD(60U, {fault(FaultKind::hang, 20s, 30s)});
}
TEST(Degradation, CreepingLatencyIsLeftBeforeItHurts) {
  ScenarioFault creep = fault(FaultKind::slow, 20s, 32s);
  creep.latency = 3s;
  creep.ramp = 10s;
  EXPECT_AT_MOST_BAD(50U, {creep});
}
TEST(Degradation, ErrorsBehindAGreenPageCostFewRequests) {
  ScenarioFault errors = fault(FaultKind::errors, 20s, 30s);
  errors.share = 0.3;
  std::string told;
  // The reads are repeated elsewhere; what fails are the writes until the doubt.
  EXPECT_LE(median_bad(the_config(), scenario({errors}), told), 5U) << told;
}
TEST(Degradation, ABlipMovesNothing) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    ScenarioFault slow = fault(FaultKind::slow, 20s, 25s);
    slow.latency = 600ms;
    std::string told;
    const Rehearsal run = health::rehearse(the_config(), scenario({slow}, 60s), seed);
    for (const std::string& line : run.log) told += line + "\n";
    ASSERT_EQ(run.moves, 0U) << "seed " << seed << "\n" << told;
  }
}
TEST(Degradation, NeverToAStandbyThatOnlyFails) {
  ScenarioFault errors = fault(FaultKind::errors, 20s, 23s);
  errors.share = 0.3;
  ScenarioFault broken = fault(FaultKind::errors, 10s, {}, "standby");
  std::string told;
  const Rehearsal run = health::rehearse(the_config(), scenario({errors, broken}, 40s));
  for (const std::string& line : run.log) told += line + "\n";
  EXPECT_EQ(run.moves, 0U) << told;
  EXPECT_LE(run.bad, 340U) << told;  // 3 s of 30 %, and what it took to learn that the standby is worse
  EXPECT_THAT(told, ::testing::HasSubstr("nothing_better"));
}
// A short hold begins while the windows still hold the fault. What proves a tier is what it does now, not what it was left for.
TEST(Degradation, WhatATierWasLeftForDoesNotSpeakAgainstItsReturn) {
  config::Config config = the_config();
  config.pools[0].failover.failback_after = 1s;
  config.pools[0].failover.verify = 1s;
  config.pools[0].failover.ramp = 0s;
  config.pools[0].passive.base_ejection = 1s;
  config.pools[0].check.interval = 200ms;
  config.pools[0].check.timeout = 500ms;
  config.pools[0].degraded.latency_p95.reset();
  config.pools[0].degraded.dwell = 1s;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const double rate = seed % 2 == 0 ? 120 : 40;
    config.pools[0].tiers_mode = seed % 4 < 2 ? config::TiersMode::shared : config::TiersMode::exclusive;
    Scenario errors = scenario({fault(FaultKind::errors, 20s, 23s)});
    errors.load.rate = rate;
    const Rehearsal run = health::rehearse(config, errors, seed);
    std::string told;
    int degraded = 0;
    for (const std::string& line : run.log) {
      told += line + "\n";
      degraded += line.find("tier_degraded") != std::string::npos ? 1 : 0;
    }
    ASSERT_EQ(run.moves, 2U) << "seed " << seed << "\n" << told;
    ASSERT_EQ(degraded, 1) << "seed " << seed << "\n" << told;
  }
}
TEST(Degradation, FlappingPrimariesCostTwoMoves) {
  ScenarioFault flap = fault(FaultKind::flap, 20s, 50s);
  flap.period = 3s;
  std::string told;
  const Rehearsal run = health::rehearse(the_config(), scenario({flap}, 90s));
  for (const std::string& line : run.log) told += line + "\n";
  EXPECT_LE(run.bad, 3U) << told;
  EXPECT_EQ(run.moves, 2U) << told;
}
TEST(Degradation, OneSlowPrimaryGetsNextToNothing) {
  ScenarioFault slow = fault(FaultKind::slow, 20s, 50s, "p1");
  slow.latency = 50ms;
  Scenario s = scenario({slow});
  s.expect.slow_after = 30ms;
  std::string told;
  // 30 s × 300/s: two percent are 180.
  EXPECT_LE(median_bad(the_config(), s, told), 180U) << told;
}

// ---- one tier at a time (exclusive), as most pools are

config::Config exclusive_config() {
  config::Config config = the_config();
  config.pools[0].tiers_mode = config::TiersMode::exclusive;
  config.pools[0].failover.failback_after = 30s;
  return config;
}

std::string told_by(const Rehearsal& run) {
  std::string text = std::to_string(run.bad) + " bad (" + std::to_string(run.failed) + " failed) of " +
                     std::to_string(run.requests) + ", " + std::to_string(run.moves) + " moves\n";
  for (const std::string& line : run.log) text += line + "\n";
  return text;
}

std::optional<double> time_of(const Rehearsal& run, const std::string& kind) {
  for (const std::string& line : run.log) {
    if (line.find("  " + kind + " (") != std::string::npos) return std::stod(line);
  }
  return std::nullopt;
}

ScenarioFault slow(config::Duration latency, config::Duration at, config::MaybeDuration until,
                   const std::string& where = "primary") {
  ScenarioFault result = fault(FaultKind::slow, at, until, where);
  result.latency = latency;
  return result;
}

Scenario slow_app(std::vector<ScenarioFault> faults, config::Duration length = 120s) {
  Scenario result = scenario(std::move(faults), length);
  result.load.latency = 50ms;
  result.load.rate = 100;
  return result;
}

TEST(Exclusive, ASlowPrimaryIsLeftWithinFifteenSecondsWithoutAFailure) {
  const Rehearsal run = health::rehearse(exclusive_config(), slow_app({slow(600ms, 30s, {})}));
  EXPECT_EQ(run.moves, 1U) << told_by(run);
  EXPECT_EQ(run.failed, 0U) << told_by(run);
  ASSERT_TRUE(time_of(run, "failover")) << told_by(run);
  EXPECT_LE(*time_of(run, "failover"), 45) << told_by(run);
  EXPECT_THAT(told_by(run), ::testing::HasSubstr("succeeded"));
}
TEST(Exclusive, ABlipOfFiveSecondsMovesNothing) {
  const Rehearsal run = health::rehearse(exclusive_config(), slow_app({slow(600ms, 30s, 35s)}));
  EXPECT_EQ(run.moves, 0U) << told_by(run);
  EXPECT_EQ(run.failed, 0U) << told_by(run);
}
TEST(Exclusive, WhenEverythingIsSlowNothingMovesAndOneAlertSaysSo) {
  const Rehearsal run =
      health::rehearse(exclusive_config(), slow_app({slow(600ms, 30s, {}), slow(600ms, 30s, {}, "standby")}));
  EXPECT_EQ(run.moves, 0U) << told_by(run);
  const auto alerts = std::count_if(run.log.begin(), run.log.end(), [](const std::string& line) {
    return line.find("nothing_better") != std::string::npos;
  });
  EXPECT_EQ(alerts, 1) << told_by(run);
}
TEST(Exclusive, AStandbyThatFailsHalfIsJudgedFailedWithinThirtySeconds) {
  ScenarioFault broken = fault(FaultKind::errors, 0s, {}, "standby");
  broken.share = 0.5;
  broken.status = 502;
  const Rehearsal run =
      health::rehearse(exclusive_config(), slow_app({fault(FaultKind::kill, 30s, 60s), broken}, 200s));
  ASSERT_TRUE(time_of(run, "verdict")) << told_by(run);
  EXPECT_LE(*time_of(run, "verdict"), 60) << told_by(run);
  EXPECT_THAT(told_by(run), ::testing::HasSubstr("failed"));
  EXPECT_GE(run.moves, 2U) << "back to the primary as soon as it measures better\n" << told_by(run);
}
TEST(Exclusive, APrimaryThatTogglesEveryThreeSecondsMovesAtMostOnce) {
  ScenarioFault flap = fault(FaultKind::flap, 30s, 90s);
  flap.period = 3s;
  const Rehearsal run = health::rehearse(exclusive_config(), slow_app({flap}, 100s));
  EXPECT_LE(run.moves, 1U) << told_by(run);
}
TEST(Exclusive, ASlowRampOverHalfAnHourDoesNotBecomeTheNorm) {
  ScenarioFault creep = slow(1s, 300s, {});
  creep.ramp = 1800s;
  Scenario s = slow_app({creep}, 2400s);
  s.load.latency = 5ms;
  config::Config config = exclusive_config();
  config.pools[0].degraded = config::DegradedConfig{};  // the defaults: only compared with itself
  const Rehearsal run = health::rehearse(config, s);
  EXPECT_EQ(run.moves, 1U) << told_by(run);
  ASSERT_TRUE(time_of(run, "failover")) << told_by(run);
  EXPECT_LE(*time_of(run, "failover"), 300 + 600) << told_by(run);
}
TEST(Exclusive, AReturnWaitsForItsGate) {
  config::Config config = exclusive_config();
  config::GateConfig gate;
  gate.name = "data compared";
  config.pools[0].failover.gates.push_back(gate);
  Scenario s = slow_app({fault(FaultKind::freeze, 30s, 60s)}, 300s);
  s.acts.push_back({200s, config::ActKind::approve, "data compared"});
  const Rehearsal run = health::rehearse(config, s);
  ASSERT_TRUE(time_of(run, "failback")) << told_by(run);
  EXPECT_GE(*time_of(run, "failback"), 200) << told_by(run);
  EXPECT_LE(*time_of(run, "failback"), 202) << told_by(run);
}
TEST(Exclusive, AVerdictThatWasGivenIsNotTakenBackByTheNextMove) {
  config::Config config = exclusive_config();
  config.pools[0].tiers.push_back({"last", {endpoint("10.0.2.1:80", "l1")}});
  ScenarioFault half = fault(FaultKind::errors, 0s, {}, "standby");
  half.share = 0.5;
  const Rehearsal run = health::rehearse(config, slow_app({fault(FaultKind::freeze, 30s, {}), half}, 120s));
  EXPECT_THAT(told_by(run), ::testing::HasSubstr("the move to tier 'standby' failed"));
  EXPECT_THAT(told_by(run), ::testing::Not(::testing::HasSubstr("undecided: traffic moved on"))) << told_by(run);
  EXPECT_EQ(run.moves, 2U) << told_by(run);
}
TEST(Exclusive, ARelapseDoublesTheNextHold) {
  const Rehearsal run = health::rehearse(
      exclusive_config(), slow_app({fault(FaultKind::kill, 30s, 40s), fault(FaultKind::kill, 75s, 80s)}, 240s));
  EXPECT_EQ(run.moves, 4U) << told_by(run);
  EXPECT_THAT(told_by(run), ::testing::HasSubstr("doubled for 1 relapse"));
}
TEST(Exclusive, ALyingProbeIsDoubtedWhileTrafficIsWell) {
  config::Config config = exclusive_config();
  config.pools[0].check.trust = config::Trust::both;
  config.pools[0].check.doubt = 20s;
  ScenarioFault lie = slow(51ms, 30s, 45s);
  lie.health = FaultHealth::bad;
  const Rehearsal held = health::rehearse(config, slow_app({lie}));
  EXPECT_EQ(held.moves, 0U) << told_by(held);
  EXPECT_TRUE(time_of(held, "probe_doubted")) << told_by(held);
  lie.until = 90s;
  const Rehearsal obeyed = health::rehearse(config, slow_app({lie}));
  ASSERT_TRUE(time_of(obeyed, "failover")) << told_by(obeyed);
  EXPECT_GE(*time_of(obeyed, "failover"), 50) << told_by(obeyed);
}
TEST(Exclusive, AStarvedProxyBlamesNobody) {
  ScenarioFault stop = fault(FaultKind::starve, 30s, 35s, "");
  const Rehearsal run = health::rehearse(exclusive_config(), slow_app({stop}));
  EXPECT_EQ(run.moves, 0U) << told_by(run);
  EXPECT_FALSE(time_of(run, "endpoint_suspect")) << told_by(run);
  EXPECT_FALSE(time_of(run, "endpoint_unhealthy")) << told_by(run);
}
TEST(Exclusive, AnHourTakesLessThanTwoSecondsAndTheSameSeedTellsTheSame) {
  const Scenario s = slow_app({fault(FaultKind::kill, 600s, 900s)}, 3600s);
  const std::clock_t begin = std::clock();  // processor time: the machine may have other work
  const Rehearsal first = health::rehearse(exclusive_config(), s, 7);
  EXPECT_LT(std::clock() - begin, 2 * CLOCKS_PER_SEC * UNDERSTUDY_SLOW_BUILD);
  EXPECT_EQ(first.log, health::rehearse(exclusive_config(), s, 7).log);
}

}  // namespace
}  // namespace understudy::sim
