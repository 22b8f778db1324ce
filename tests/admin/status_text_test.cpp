#include "proxy/admin/status_text.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <cstdlib>
#include <ctime>

#include "proxy/admin/describe.hpp"

namespace understudy::admin {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// 2026-03-01T02:30:00Z, and a steady time to go with it.
const auto kWall = std::chrono::system_clock::from_time_t(1772332200);
const auto kSteady = health::TimePoint{} + hours(1000);
const Instant kNow{kSteady, kWall};

class StatusText : public testing::Test {
protected:
  void SetUp() override {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
};

health::EndpointStatus endpoint(std::string label, bool available) {
  health::EndpointStatus status;
  status.label = status.address = std::move(label);
  status.available = available;
  status.active = available ? health::ActiveState::healthy : health::ActiveState::unhealthy;
  status.since = kSteady - minutes(16);
  health::ProbeResult probe;
  probe.elapsed = milliseconds(3);
  probe.status = 200;
  if (!available) {
    probe.cause = health::Cause::tcp_refused;
    probe.status = 0;
    probe.detail = "connect to " + status.label + ": Connection refused";
  }
  status.last_probe = probe;
  status.last_probe_at = kSteady - seconds(1);
  status.load = std::make_shared<health::SharedLoad>();
  return status;
}

health::PoolStatus pool_on_standby() {
  health::PoolStatus pool;
  pool.name = "app";
  pool.active = 1;
  pool.epoch = 7;
  pool.active_since = kSteady - minutes(15) - seconds(55);
  pool.active_reason = "primary has 0 of 1 endpoints available, 1 needed";
  pool.failback_at = kSteady + minutes(2);
  pool.tiers.resize(2);
  pool.tiers[0].name = "primary";
  pool.tiers[0].endpoints.push_back(endpoint("10.0.0.11:3000", false));
  pool.tiers[1].name = "standby";
  pool.tiers[1].serviceable = true;
  auto standby = endpoint("spare", true);
  standby.address = "10.0.1.11:3000";
  standby.load->in_flight = 3;
  standby.load->tunnels = 200;
  pool.tiers[1].endpoints.push_back(standby);
  auto drained = endpoint("10.0.1.12:3000", false);
  drained.active = health::ActiveState::healthy;
  drained.last_probe.reset();
  drained.operator_state = health::OperatorState::draining;
  drained.operator_since = kSteady - minutes(3);
  drained.operator_until = kSteady + minutes(30);
  pool.tiers[1].endpoints.push_back(drained);
  return pool;
}

TEST_F(StatusText, ShowsWhatServesWhatIsDownAndSinceWhen) {
  const std::vector<health::PoolStatus> pools = {pool_on_standby()};
  boost::json::object status = describe_status(pools, kNow);
  status["listeners"] = boost::json::parse(R"([{"name":"web","address":"0.0.0.0:443","tls":true}])");
  status["process"] = boost::json::parse(R"({"version":"0.1.0","pid":42,"started_at":"2026-02-27T01:30:00.000Z"})");
  EXPECT_EQ(status_text(status, kWall),
            "[degraded] pool app serves from standby (primary: 0/1 available)\n"
            "\n"
            "pool app (epoch 7)\n"
            "  standby serves since 02:14:05 (15m 55s)\n"
            "  because: primary has 0 of 1 endpoints available, 1 needed\n"
            "  failback at 02:32:00 (in 2m)\n"
            "    primary 0/1 available\n"
            "    - 10.0.0.11:3000\n"
            "      unhealthy since 02:14:00 (16m)\n"
            "      check: tcp_refused in 3ms, 1s ago\n"
            "        connect to 10.0.0.11:3000: Connection refused\n"
            "  > standby 1/2 available, serving\n"
            "    + spare (10.0.1.11:3000)\n"
            "      healthy since 02:14:00 (16m)\n"
            "      check: ok 200 in 3ms, 1s ago\n"
            "      3 in flight, 200 tunnels\n"
            "    - 10.0.1.12:3000\n"
            "      draining since 02:27:00 (3m) until 03:00:00 (30m left)\n"
            "\n"
            "listen web 0.0.0.0:443 tls\n"
            "understudy 0.1.0, pid 42, up 2d 1h\n");
}

TEST_F(StatusText, ShowsWhatSyntheticRequestsProve) {
  health::PoolStatus pool = pool_on_standby();
  const std::string without = pool_text(describe_pool(pool, kNow), kWall);
  EXPECT_EQ(without.find("fit"), std::string::npos) << without;
  pool.has_fitness = true;
  pool.active = 0;
  pool.tiers[0].fit = health::Fit::fit;
  health::TierStatus& standby = pool.tiers[1];
  standby.fit = health::Fit::unfit;
  standby.fit_reason = "unfit: 0 of 1 endpoints proven fit, needs 1";
  health::EndpointStatus& spare = standby.endpoints[0];
  spare.fit = health::Fit::unfit;
  spare.fit_reason = "GET /orders/1: answered 500";
  spare.proven_at = kNow.steady - std::chrono::seconds(70);
  health::Fitness::Report report;
  report.name = "GET /orders/1";
  report.fit = health::Fit::unfit;
  report.detail = "answered 500";
  report.failed = 2;
  report.value = "41";
  report.lag = std::chrono::seconds(5);
  spare.synthetic = {report};
  const auto described = describe_pool(pool, kNow);
  const std::string text = pool_text(described, kWall);
  EXPECT_NE(text.find("  > primary 0/1 available, serving, fit\n"), std::string::npos) << text;
  EXPECT_NE(text.find("    standby 1/2 available, UNFIT\n"), std::string::npos) << text;
  EXPECT_NE(text.find("      unfit, proven 1m 10s ago: GET /orders/1: answered 500\n"), std::string::npos) << text;
  const auto& tier = described.at("tiers").as_array().at(1);
  EXPECT_EQ(tier.at("fitness").at("verdict").as_string(), "unfit");
  const auto& request = tier.at("endpoints").as_array().at(0).at("fitness").at("requests").as_array().at(0);
  EXPECT_EQ(request.at("failed").to_number<int>(), 2);
  EXPECT_EQ(request.at("value").as_string(), "41");
  EXPECT_EQ(request.at("lag_ms").to_number<double>(), 5000);
}

TEST_F(StatusText, ShowsDoubtVerdictAndGates) {
  health::PoolStatus pool = pool_on_standby();
  pool.phase = "return_hold";
  pool.diagnosis = "1 of 1 endpoints of tier 'primary' accept TCP but do not answer (since 8 s)";
  pool.last_verdict = "failed: p95 612 ms, 3 % failures in 180 requests";
  pool.relapses = 2;
  pool.gates = {{"data compared", false, "not asked yet"}, {"ready", true, "10.0.0.11:9000 answered 200"}};
  pool.tiers[0].endpoints[0].cause_class = health::CauseClass::stalled;
  health::TierStatus& standby = pool.tiers[1];
  standby.degraded = standby.failed = true;
  standby.degraded_reason = "time to first byte p95 612 ms, limit 500 ms";
  standby.quality = "p95 612 ms, 3 % failures in 180 requests";
  health::EndpointStatus& spare = standby.endpoints[0];
  spare.suspicion = "slow";
  spare.cause_class = health::CauseClass::slow;
  spare.samples = 180;
  spare.error_share = 0.03;
  spare.first_byte_p50 = std::chrono::microseconds(4'840);
  spare.first_byte_p95 = milliseconds(612);
  spare.first_byte_p99 = milliseconds(1'250);
  standby.endpoints.pop_back();
  EXPECT_EQ(pool_text(describe_pool(pool, kNow), kWall),
            "pool app (epoch 7)\n"
            "  1 of 1 endpoints of tier 'primary' accept TCP but do not\n"
            "    answer (since 8 s)\n"
            "  standby serves since 02:14:05 (15m 55s)\n"
            "  because: primary has 0 of 1 endpoints available, 1 needed\n"
            "  failback at 02:32:00 (in 2m)\n"
            "  phase: return hold\n"
            "  last move failed: p95 612 ms, 3 % failures in 180 requests\n"
            "  relapses: 2, each doubles the wait before a return\n"
            "  gate waits: data compared (not asked yet)\n"
            "  gate passed: ready (10.0.0.11:9000 answered 200)\n"
            "    primary 0/1 available\n"
            "    - 10.0.0.11:3000\n"
            "      unhealthy since 02:14:00 (16m)\n"
            "      check: tcp_refused in 3ms, 1s ago\n"
            "        connect to 10.0.0.11:3000: Connection refused\n"
            "      class stalled\n"
            "  > standby 1/1 available, serving, DEGRADED, verdict failed\n"
            "      degraded: time to first byte p95 612 ms, limit 500 ms\n"
            "      measures p95 612 ms, 3 % failures in 180 requests\n"
            "    + spare (10.0.1.11:3000)\n"
            "      healthy since 02:14:00 (16m)\n"
            "      check: ok 200 in 3ms, 1s ago\n"
            "      suspect: slow, class slow\n"
            "      first byte 4.8 ms, p95 612 ms, p99 1250 ms; 3 % failed\n"
            "      3 in flight, 200 tunnels\n");
}

TEST_F(StatusText, ShowsWhereNewTunnelsGoAndWhy) {
  health::PoolStatus pool = pool_on_standby();
  EXPECT_EQ(pool_text(describe_pool(pool, kNow), kWall).find("new tunnels"), std::string::npos);
  pool.active = 0;
  pool.openings_to = 1;
  pool.tiers[0].endpoints[0].available = true;
  pool.tiers[0].endpoints[0].slow_to_open = "openings take 2 s, limit 205 ms (latency_factor times what is normal)";
  const auto described = describe_pool(pool, kNow);
  const std::string text = pool_text(described, kWall);
  EXPECT_NE(text.find("  new tunnels go to standby\n"), std::string::npos) << text;
  EXPECT_NE(text.find("      slow to open WebSockets: openings take 2 s"), std::string::npos) << text;
  EXPECT_EQ(described.at("openings").at("tier").as_string(), "standby");
  EXPECT_EQ(described.at("sentence").as_string(),
            "pool app serves from primary (1/1 available), new tunnels go to standby");
  EXPECT_EQ(described.at("state").as_string(), "degraded");
}

TEST_F(StatusText, TheJsonHasWhatTheTextHas) {
  health::PoolStatus pool = pool_on_standby();
  pool.phase = "verifying";
  pool.gates = {{"data compared", true, "approved by anna"}};
  pool.tiers[1].endpoints[0].samples = 20;
  pool.tiers[1].endpoints[0].connect_p95 = std::chrono::microseconds(1'500);
  const auto described = describe_pool(pool, kNow);
  EXPECT_EQ(described.at("phase").as_string(), "verifying");
  EXPECT_EQ(described.at("diagnosis").as_string(), "");
  EXPECT_EQ(described.at("relapses").to_number<int>(), 0);
  EXPECT_EQ(described.at("gates").as_array().at(0).at("detail").as_string(), "approved by anna");
  const auto& standby = described.at("tiers").as_array().at(1);
  EXPECT_FALSE(standby.at("degraded").as_bool() || standby.at("failed").as_bool());
  const auto& endpoint = standby.at("endpoints").as_array().at(0);
  EXPECT_EQ(endpoint.at("suspicion").as_string(), "");
  EXPECT_EQ(endpoint.at("class").as_string(), "none");
  EXPECT_EQ(endpoint.at("traffic").at("connect_p95_ms").to_number<double>(), 1.5);
  EXPECT_TRUE(standby.at("endpoints").as_array().at(1).at("traffic").is_null()) << "nothing was measured";
}

TEST_F(StatusText, OneSentenceSaysWhatMatters) {
  struct Case {
    const char* name;
    std::function<void(health::PoolStatus&)> change;
    const char* state;
    const char* sentence;
  };
  const std::vector<Case> cases = {
      {"fine", [](auto& p) { p.active = 0, p.tiers[0].endpoints[0].available = true; }, "ok",
       "pool app serves from primary (1/1 available)"},
      {"on standby", [](auto&) {}, "degraded", "pool app serves from standby (primary: 0/1 available)"},
      {"down", [](auto& p) { p.tiers[1].endpoints[0].available = false; }, "down",
       "pool app is down: no endpoint of tier standby is available"},
      {"panic", [](auto& p) { p.tiers[1].panic = true; }, "degraded",
       "pool app serves from standby in panic mode (1/2 available, all are used)"},
      {"panic with nothing available",
       [](auto& p) {
         p.tiers[1].panic = true;
         p.tiers[1].endpoints[0].available = false;
       },
       "down", "pool app is down: no endpoint of tier standby is available (panic: all are tried)"},
      {"maintenance", [](auto& p) { p.maintenance = true; }, "maintenance",
       "pool app is in maintenance and answers 503"},
      {"partly", [](auto& p) { p.active = 0, p.tiers[0] = p.tiers[1], p.tiers[0].name = "primary"; }, "degraded",
       "pool app serves from primary (1/2 available)"},
      {"degraded",
       [](auto& p) {
         p.active = 0, p.tiers[0].endpoints[0].available = true, p.tiers[0].degraded = true;
         p.tiers[0].degraded_reason = "failures 12 %, limit 5 %";
       },
       "degraded", "pool app serves from primary, which is degraded: failures 12 %, limit 5 %"},
      {"moved in vain",
       [](auto& p) {
         p.tiers[1].failed = true;
         p.tiers[1].quality = "p95 2 s";
       },
       "degraded", "pool app serves from standby, but the move there failed: p95 2 s"},
      {"empty tier", [](auto& p) { p.tiers[1].endpoints.clear(); }, "down",
       "pool app is down: tier standby has no endpoint"},
  };
  for (const Case& c : cases) {
    std::vector<health::PoolStatus> pools = {pool_on_standby()};
    c.change(pools[0]);
    const auto status = describe_status(pools, kNow);
    EXPECT_EQ(status.at("state").as_string(), c.state) << c.name;
    EXPECT_EQ(status.at("sentence").as_string(), c.sentence) << c.name;
  }
}

TEST_F(StatusText, WhatNobodyHasCheckedYetIsNotCalledDown) {
  auto pool = pool_on_standby();
  pool.active = 0;
  auto& first = pool.tiers[0].endpoints[0];
  first.active = health::ActiveState::unknown;
  auto described = describe_pool(pool, kNow);
  EXPECT_EQ(described.at("state").as_string(), "starting");
  EXPECT_EQ(described.at("sentence").as_string(),
            "pool app is starting: no endpoint of tier primary has been checked yet");
  first.operator_state = health::OperatorState::disabled;
  described = describe_pool(pool, kNow);
  EXPECT_EQ(described.at("state").as_string(), "down") << "it is not waited for";
}

TEST_F(StatusText, TheWorstPoolSpeaksFirst) {
  std::vector<health::PoolStatus> pools = {pool_on_standby(), pool_on_standby()};
  pools[1].name = "devices";
  pools[1].tiers[1].endpoints[0].available = false;
  EXPECT_EQ(describe_status(pools, kNow).at("sentence").as_string(),
            "pool devices is down: no endpoint of tier standby is available; 0 of 2 pools are fine");
  for (auto& pool : pools) pool.active = 0, pool.tiers[0].endpoints[0].available = true;
  EXPECT_EQ(describe_status(pools, kNow).at("sentence").as_string(), "all 2 pools serve from their first tier");
  EXPECT_EQ(describe_status({}, kNow).at("sentence").as_string(), "no pool is configured");
}

TEST_F(StatusText, StaysWithinAPhonesWidth) {
  const std::vector<health::PoolStatus> pools = {pool_on_standby()};
  const std::string text = pool_text(describe_pool(pools[0], kNow), kWall);
  std::size_t widest = 0, begin = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin)) {
    widest = std::max(widest, end - begin);
  }
  EXPECT_LE(widest, 62U) << text;
}

TEST_F(StatusText, LongReasonsAreWrapped) {
  health::PoolStatus pool = pool_on_standby();
  pool.active_reason =
      "the operator moved pool 'app' from 'primary' to 'standby': test; 'primary' has 0 of 1 available, " +
      std::string(80, 'x') + " end";
  const std::string text = pool_text(describe_pool(pool, kNow), kWall);
  EXPECT_NE(text.find("  because: the operator moved pool 'app' from 'primary' to\n"
                      "    'standby': test; 'primary' has 0 of 1 available,\n    " +
                      std::string(80, 'x') + " end\n"),
            std::string::npos)
      << text;
}

TEST_F(StatusText, CannotBeSteeredByATerminalEscape) {
  health::PoolStatus pool = pool_on_standby();
  pool.active_reason =
      "x\x1b[2J\r\nall is fine\x7f \xc2\x9b"
      "31m \xc3\xa4";
  const std::string text = pool_text(describe_pool(pool, kNow), kWall);
  EXPECT_NE(text.find("because: x?[2J??all is fine? ??31m \xc3\xa4\n"), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST_F(StatusText, SurvivesJsonOfAnotherShape) {
  for (const char* strange :
       {"null", "[]", "3", "{}", R"({"pools":3,"sentence":[]})",
        R"({"pools":[null,[],{"tiers":{}},{"tiers":[{"endpoints":[1]}]}]})",
        R"({"pools":[{"active_since":"yesterday","epoch":"x"}],"process":7,"listeners":[null]})"}) {
    EXPECT_FALSE(status_text(boost::json::parse(strange), kWall).empty()) << strange;
  }
}

TEST_F(StatusText, EventsAreOneLineEach) {
  health::Event event;
  event.kind = health::Event::Kind::failover;
  event.at = kSteady - seconds(90);
  event.pool = "app";
  event.tier = "standby";
  event.epoch = 7;
  event.reason = "primary lost\nsecond line";
  boost::json::array list;
  list.push_back(describe_event(event, 12, kNow));
  const boost::json::object events{{"events", list}, {"next", 13}};
  EXPECT_EQ(events_text(events), "2026-03-01T02:28:30Z failover app/standby: primary lost?second line\n");
  EXPECT_EQ(list[0].at("id").to_number<int>(), 12);
  EXPECT_EQ(events_text(boost::json::parse("{}")), "");
}

TEST_F(StatusText, TimesAreRfc3339WithMilliseconds) {
  EXPECT_EQ(rfc3339(kWall + milliseconds(7)), "2026-03-01T02:30:00.007Z");
  EXPECT_EQ(rfc3339(std::chrono::system_clock::time_point{} - milliseconds(1)), "1969-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace understudy::admin
