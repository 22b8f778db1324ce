// What is not an outage and changes everything: a new configuration, a restart, names that resolve differently.
#include <gmock/gmock.h>

#include "tests/support/health_sim.hpp"

namespace understudy::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;
using Kind = Event::Kind;
using health::OperatorState;

void kill_primary(World& world, Mode mode = Mode::refused) {
  world.set("10.0.0.1:80", mode);
  world.set("10.0.0.2:80", mode);
}
health::SetEndpointState state(const std::string& label, OperatorState what, std::optional<TimePoint> expires = {}) {
  return {"app", label, what, expires};
}

// ---- reload and restart

TEST(Reload, InTheMiddleOfAHoldKeepsItsTime) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  kill_primary(world);
  world.run(5s);
  kill_primary(world, Mode::up);
  world.run(30s);
  const auto due = world.status().failback_at;
  ASSERT_TRUE(due);
  for (int i = 0; i < 20; ++i) {
    world.reload(config_of({two_and_one()}));
    world.run(100ms);
  }
  EXPECT_EQ(world.status().failback_at, due);
  ASSERT_TRUE(world.run_until([&] { return world.active() == "primary"; }, 60s));
  EXPECT_EQ(world.moves(), 2U);
}

config::PoolConfig with_agent() {
  config::PoolConfig config = two_and_one();
  config.check.agent_port = 8100;
  return config;
}

TEST(Reload, AnAnswerUnderWayOfAnAgentThatIsConfiguredNoLongerIsIgnored) {
  World world(config_of({with_agent()}));
  world.run(5s);
  const auto p1 = world.endpoint_status("p1").id;
  world.core().on_agent_answer(p1, {true, "50%"}, world.now);
  EXPECT_EQ(world.endpoint_status("p1").weight, 0.5);
  world.reload(config_of({two_and_one()}));
  EXPECT_EQ(world.endpoint_status("p1").weight, 1);
  world.core().on_agent_answer(p1, {true, "drain"}, world.now);
  world.drain();
  EXPECT_TRUE(world.endpoint_status("p1").available) << "nobody would ever take it back";
  EXPECT_EQ(world.endpoint_status("p1").agent.state(), health::Agent::State::ready);
}

TEST(Reload, ACopyUnderWayWithoutAMirrorIsIgnored) {
  config::PoolConfig config = two_and_one();
  config.failover.mirror = 1;
  World world(config_of({config}));
  world.run(5s);
  const auto s1 = world.endpoint_status("s1").id;
  const health::Mirrored ours{200, 5ms};
  health::ProbeResult theirs;
  theirs.status = 200;
  theirs.elapsed = 5ms;
  world.core().on_mirrored(s1, ours, theirs, world.now);
  EXPECT_EQ(world.endpoint_status("s1").mirrored, 1U);
  world.reload(config_of({two_and_one()}));
  world.core().on_mirrored(s1, ours, theirs, world.now);
  EXPECT_EQ(world.endpoint_status("s1").mirrored, 0U);
}

TEST(Agents, TakeNewWorkAwayAndLeaveWhatIsOpen) {
  World world(config_of({with_agent()}));
  world.run(5s);
  const auto p1 = world.endpoint_status("p1").id;
  const auto seen = [&]() -> health::EndpointView { return world.core().view()->pools[0].tiers[0].endpoints[0]; };
  for (const char* words : {"0%", "drain", "maint"}) {
    world.core().on_agent_answer(p1, {true, words}, world.now);
    world.drain();
    EXPECT_FALSE(seen().available) << words;
    EXPECT_EQ(world.core().view()->pools[0].tiers[0].usable.size(), 1U) << words;
    EXPECT_FALSE(seen().draining) << words << ": that would end its tunnels";
    EXPECT_TRUE(seen().eased) << words << ": sticky clients stay";
    world.core().on_agent_answer(p1, {true, "ready 100%"}, world.now);
    world.drain();
    EXPECT_TRUE(seen().available) << words;
  }
  ASSERT_TRUE(world.command(state("p1", OperatorState::draining)).ok);
  EXPECT_TRUE(seen().draining) << "the operator means it";
}

TEST(Agents, ABabblerFillsNoLog) {
  World world(config_of({with_agent()}));
  world.run(5s);
  const auto p1 = world.endpoint_status("p1").id;
  for (int i = 0; i < 1000; ++i) {
    world.core().on_agent_answer(p1, {true, "load=" + std::to_string(i)}, world.now);
    world.run(10ms);
  }
  EXPECT_EQ(world.count(Kind::agent), 1U) << world.told();
}

TEST(Reload, KeepsWhatIsKnownOfEndpointsThatStay) {
  World world(config_of({two_and_one()}));
  world.traffic.every = 5ms;
  world.run(5s);
  ASSERT_TRUE(world.command(state("s1", OperatorState::draining, world.now + 1h)).ok);
  const auto before = world.endpoint_status("p1");
  config::PoolConfig changed = two_and_one();
  changed.tiers[0].endpoints.push_back(endpoint("10.0.0.3:80", "p3"));
  changed.tiers[0].endpoints[0].weight = 5;
  changed.balance = config::BalanceKind::random;
  world.reload(config_of({two_and_one("another"), changed}));
  const auto after = world.endpoint_status("p1");
  EXPECT_NE(world.endpoint_status("p1").id, world.endpoint_status("p3").id);
  const health::PoolStatus app = world.status(1);
  EXPECT_EQ(app.tiers[0].endpoints[0].id, before.id);
  EXPECT_EQ(app.tiers[0].endpoints[0].load, before.load);
  EXPECT_EQ(app.tiers[0].endpoints[0].streak, before.streak);
  EXPECT_EQ(app.tiers[0].endpoints[0].weight, 5);
  EXPECT_EQ(app.tiers[1].endpoints[0].operator_state, OperatorState::draining);
  EXPECT_EQ(world.count(Kind::endpoint_added, "p3"), 1U);
  (void)after;
}

TEST(Reload, AChangedCheckKeepsTheVerdictAndBeginsItsScheduleAnew) {
  World world(config_of({two_and_one()}));
  world.set("10.0.0.1:80", Mode::refused);
  world.run(10s);
  config::PoolConfig changed = two_and_one();
  changed.check.path = "/other";
  const std::uint64_t probes = world.probes;
  world.reload(config_of({changed}));
  EXPECT_EQ(world.endpoint_status("p1").active, health::ActiveState::unhealthy);
  EXPECT_TRUE(world.endpoint_status("p2").available);
  EXPECT_EQ(world.endpoint_status("p2").streak, 0U);
  world.run(60ms);
  EXPECT_EQ(world.probes, probes + 3) << "each is asked the new question soon";
}

TEST(Reload, ReplacingEveryPrimaryMovesNothingWhileTheNewOnesAreTried) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  config::PoolConfig changed = two_and_one();
  changed.tiers[0].endpoints = {endpoint("10.0.0.8:80", "p8"), endpoint("10.0.0.9:80", "p9")};
  world.reload(config_of({changed}));
  EXPECT_EQ(world.core().view()->pools[0].tiers[0].usable.size(), 2U) << "untried is better than nobody";
  world.run(10s);
  EXPECT_EQ(world.moves(), 0U) << world.told();
  EXPECT_EQ(world.count(Kind::endpoint_removed), 2U);
}

TEST(Reload, RemovingTheServingTierServesFromTheFirstUnderANewEpoch) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  ASSERT_TRUE(world.command(health::MoveTier{"app", "standby", ""}).ok);
  config::PoolConfig changed = two_and_one();
  changed.tiers.pop_back();
  world.reload(config_of({changed}));
  EXPECT_EQ(world.active(), "primary");
  EXPECT_EQ(world.status().epoch, 3U);
  EXPECT_THAT(world.last(Kind::failover)->reason, HasSubstr("'standby', which served, is no longer configured"));
}

TEST(Reload, ATierInsertedAboveDoesNotMoveTraffic) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  kill_primary(world);
  world.run(5s);
  config::PoolConfig changed = two_and_one();
  changed.tiers.insert(changed.tiers.begin(), config::TierConfig{"new", {endpoint("10.0.9.1:80", "n1")}});
  world.reload(config_of({changed}));
  EXPECT_EQ(world.active(), "standby");
  EXPECT_EQ(world.status().epoch, 2U);
  world.run(65s);
  EXPECT_EQ(world.active(), "new");
}

TEST(Reload, WhileAProposalIsUnderWayTheTierIsFoundByName) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  world.coordinator.otherwise.delay = 1s;
  kill_primary(world);
  ASSERT_TRUE(world.run_until([&] { return world.coordinator.seen.size() == 1; }, 5s));
  config::PoolConfig changed = two_and_one();
  changed.tiers.insert(changed.tiers.begin() + 1, config::TierConfig{"new", {endpoint("10.0.9.1:80", "n1")}});
  world.reload(config_of({changed}));
  world.run(1s);
  EXPECT_EQ(world.active(), "standby") << "index 1 when proposed, 2 when committed";
}

TEST(Reload, SlotsComeBackOnlyAfterTheViewWithoutThemWasAcknowledged) {
  health::Core core(1);
  TimePoint now{1h};
  config::PoolConfig config = two_and_one();
  core.configure(config_of({config}), now);
  const auto first = core.view();
  const health::EndpointId gone = first->pools[0].tiers[0].endpoints[0].id;
  config.tiers[0].endpoints[0] = endpoint("10.0.0.5:80", "p5");
  core.configure(config_of({config}), now);
  EXPECT_NE(core.view()->pools[0].tiers[0].endpoints[0].id.slot, gone.slot);
  core.on_view_acknowledged(first->version);
  config.tiers[0].endpoints[0] = endpoint("10.0.0.6:80", "p6");
  core.configure(config_of({config}), now);
  EXPECT_NE(core.view()->pools[0].tiers[0].endpoints[0].id.slot, gone.slot) << "somebody may still use the old view";
  core.on_view_acknowledged(core.view()->version);
  config.tiers[0].endpoints[0] = endpoint("10.0.0.7:80", "p7");
  config.tiers[0].endpoints.push_back(endpoint("10.0.0.8:80", "p8"));
  core.configure(config_of({config}), now);
  std::set<std::uint32_t> slots;
  const auto view = core.view();
  for (const auto& e : view->pools[0].tiers[0].endpoints) slots.insert(e.id.slot);
  EXPECT_TRUE(slots.contains(gone.slot));
  // Results for the former owner of the slot reach nobody.
  core.on_probe_result(gone, {health::Cause::tcp_refused, 0, {}, ""}, now);
  const auto now_known = core.status();
  for (const auto& e : now_known[0].tiers[0].endpoints) EXPECT_FALSE(e.last_probe);
}

TEST(Restart, GoesOnWhereItStoodAndTheEpochJumps) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  kill_primary(world);
  world.run(10s);
  ASSERT_TRUE(world.command(state("p2", OperatorState::disabled, world.now + 10min)).ok);
  ASSERT_TRUE(world.command(health::SetMaintenance{"app", true, world.now + 5min}).ok);
  world.restart();
  EXPECT_EQ(world.active(), "standby");
  EXPECT_EQ(world.status().epoch, 1002U);
  EXPECT_EQ(world.endpoint_status("p1").active, health::ActiveState::unhealthy);
  EXPECT_TRUE(world.endpoint_status("s1").available) << "no start wait for what was known";
  EXPECT_EQ(world.endpoint_status("p2").operator_state, OperatorState::disabled);
  EXPECT_EQ(world.endpoint_status("p2").operator_until, world.now + 10min);
  EXPECT_EQ(world.endpoint_status("p2").operator_since, world.now);
  EXPECT_TRUE(world.status().maintenance);
  EXPECT_EQ(world.status().maintenance_until, world.now + 5min);
  kill_primary(world, Mode::up);
  world.run(70s);
  EXPECT_EQ(world.active(), "primary");
  EXPECT_EQ(world.status().epoch, 1003U);
}

TEST(Restart, EjectionsAreRemembered) {
  config::PoolConfig config = two_and_one();
  config.check.kind = config::CheckKind::none;
  World world(config_of({config}));
  health::TrafficSample sample;
  sample.endpoint = world.endpoint_status("p1").id;
  sample.failures[static_cast<std::size_t>(health::Cause::http_status)] = 5;
  sample.consecutive_failures = 5;
  world.sample(sample);
  ASSERT_EQ(world.endpoint_status("p1").passive, health::PassiveState::ejected);
  world.run(4s);
  world.restart();
  EXPECT_EQ(world.endpoint_status("p1").passive, health::PassiveState::ejected);
  EXPECT_EQ(world.endpoint_status("p1").ejected_until, world.now + 6s);
  EXPECT_EQ(world.endpoint_status("p1").ejections, 1U);
  world.run(7s);
  EXPECT_TRUE(world.endpoint_status("p1").available);
}

TEST(Restart, AStateOfAnotherConfigurationIsTakenAsFarAsItFits) {
  health::SavedState saved;
  saved.pools.push_back({"app", "gone", 41, true, false, {}, false, {}});
  saved.pools.push_back({"nobody", "primary", 7, false, true, {}, true, {}});
  saved.endpoints.push_back({"app", "p1", "10.9.9.9:80", OperatorState::disabled, {}, {}, 0, {}});
  saved.endpoints.push_back({"app", "p2", "10.0.0.2:80", OperatorState::draining, -5s, {}, 0, {}});
  health::Core core(1);
  const TimePoint now{1h};
  core.configure(config_of({two_and_one()}), now);
  core.restore(saved, now);
  const health::PoolStatus app = core.status()[0];
  EXPECT_EQ(app.active, 0U);
  EXPECT_EQ(app.epoch, 1041U);
  EXPECT_THAT(app.active_reason, HasSubstr("'gone', which served when the state was saved, is not configured"));
  EXPECT_EQ(app.tiers[0].endpoints[0].operator_state, OperatorState::enabled) << "another address is another endpoint";
  EXPECT_EQ(app.tiers[0].endpoints[1].operator_state, OperatorState::enabled) << "its time is over";
}

// ---- names

config::PoolConfig named() {
  return pool("app", {{"primary", {endpoint("app.example:80")}}, {"standby", {endpoint("10.0.1.1:80", "s1")}}});
}

std::vector<std::string> addresses(const World& world) {
  std::vector<std::string> result;
  const health::PoolStatus pool_status = world.status();
  for (const auto& e : pool_status.tiers[0].endpoints) result.push_back(e.address);
  return result;
}

TEST(Names, WhatIsSavedOfAddressesThatAreGoneIsBounded) {
  World world(config_of({named()}));
  health::SavedState saved;
  const auto add = [&](const std::string& label, const std::string& address) -> health::SavedEndpoint& {
    health::SavedEndpoint& gone = saved.endpoints.emplace_back();
    gone.pool = "app";
    gone.label = label;
    gone.address = address;
    return gone;
  };
  for (int i = 0; i < 1000; ++i) {
    const std::string address = "10.9." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80";
    if (health::SavedEndpoint& gone = add("app.example:80", address); i < 200)
      gone.operator_state = OperatorState::disabled;
  }
  add("old.example:80", "10.8.0.1:80");
  world.core().restore(saved, world.now);
  world.drain();
  const auto count = [&] {
    const health::SavedState again = world.core().save(world.now);
    return std::count_if(again.endpoints.begin(), again.endpoints.end(),
                         [](const health::SavedEndpoint& e) { return e.address.substr(0, 5) == "10.9."; });
  };
  EXPECT_EQ(count(), 64) << "the name may still be answered with any of them";
  world.resolve(0, 0, 0, {"10.9.0.7:80", "10.9.2.0:80"});
  EXPECT_EQ(world.endpoint_status("10.9.0.7:80").operator_state, OperatorState::disabled);
  EXPECT_EQ(count(), 66) << "64 that the operator disabled, and two that are there";
  for (const health::SavedEndpoint& e : world.core().save(world.now).endpoints) EXPECT_NE(e.label, "old.example:80");
}

TEST(Names, TheBoundOfWhatIsSavedIsThatOfANameInAPool) {
  config::PoolConfig app = pool("app", {{"primary", {endpoint("a.example:80"), endpoint("b.example:80")}}});
  config::PoolConfig other =
      pool("other", {{"primary", {endpoint("c.example:80")}}, {"standby", {endpoint("a.example:80")}}});
  World world(config_of({app, other}));
  health::SavedState saved;
  const auto add = [&](const std::string& in, const std::string& label, int count, bool disabled) {
    for (int i = 0; i < count; ++i) {
      health::SavedEndpoint& gone = saved.endpoints.emplace_back();
      gone.pool = in;
      gone.label = label;
      gone.address = "10.9.0." + std::to_string(i) + ":80";
      if (disabled) gone.operator_state = OperatorState::disabled;
    }
  };
  add("app", "a.example:80", 70, false);
  add("app", "b.example:80", 3, true);
  add("app", "c.example:80", 5, true);  // a name of the other pool
  add("other", "a.example:80", 80, true);
  add("nobody", "a.example:80", 5, true);
  world.core().restore(saved, world.now);
  world.drain();
  const auto count = [&](const std::string& in, const std::string& label) {
    const health::SavedState again = world.core().save(world.now);
    return std::count_if(again.endpoints.begin(), again.endpoints.end(),
                         [&](const health::SavedEndpoint& e) { return e.pool == in && e.label == label; });
  };
  EXPECT_EQ(count("app", "a.example:80"), 64);
  EXPECT_EQ(count("app", "b.example:80"), 3);
  EXPECT_EQ(count("app", "c.example:80"), 0);
  EXPECT_EQ(count("other", "a.example:80"), 64);
  EXPECT_EQ(count("nobody", "a.example:80"), 0);
  world.resolve(0, 0, 0, {"10.0.0.1:80"});  // a.example of app
  EXPECT_EQ(count("app", "a.example:80"), 1) << "answered, and nobody had anything to say of the rest";
  EXPECT_EQ(count("other", "a.example:80"), 64) << "a name of its own";
}

TEST(Names, EachAddressIsAnEndpointOfTheSameLabel) {
  World world(config_of({named()}));
  EXPECT_TRUE(addresses(world).empty());
  world.resolve(0, 0, 0, {"10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:80"});
  EXPECT_THAT(addresses(world), ElementsAre("10.0.0.1:80", "10.0.0.2:80"));
  EXPECT_EQ(world.status().tiers[0].endpoints[1].label, "app.example:80");
  EXPECT_EQ(world.core().view()->pools[0].tiers[0].endpoints[0].server_name, "app.example");
  world.run(5s);
  EXPECT_TRUE(world.status().tiers[0].serviceable);
}

TEST(Names, AddressesComeAndGoAndTheRestKeepsItsState) {
  World world(config_of({named()}));
  world.resolve(0, 0, 0, {"10.0.0.1:80", "10.0.0.2:80"});
  world.run(5s);
  const auto kept = world.endpoint_status("10.0.0.2:80");
  world.resolve(0, 0, 0, {"10.0.0.3:80", "10.0.0.2:80"});
  EXPECT_THAT(addresses(world), ElementsAre("10.0.0.2:80", "10.0.0.3:80"));
  EXPECT_EQ(world.endpoint_status("10.0.0.2:80").id, kept.id);
  EXPECT_EQ(world.endpoint_status("10.0.0.2:80").streak, kept.streak);
  EXPECT_EQ(world.count(Kind::endpoint_removed), 1U);
  world.resolve(0, 0, 0, {});
  EXPECT_THAT(addresses(world), ElementsAre("10.0.0.2:80", "10.0.0.3:80")) << "a failure keeps the last answer";
  const std::uint64_t before = world.view_changes;
  world.resolve(0, 0, 0, {"10.0.0.3:80", "10.0.0.2:80"});
  EXPECT_EQ(world.view_changes, before) << "the same set in another order changes nothing";
  world.run(5s);
  EXPECT_EQ(world.moves(), 0U);
}

TEST(Names, AReloadKeepsTheAddressesUntilTheNameIsResolvedAgain) {
  World world(config_of({named()}));
  world.resolve(0, 0, 0, {"10.0.0.1:80", "10.0.0.2:80"});
  world.run(5s);
  const auto kept = world.endpoint_status("10.0.0.2:80");
  world.reload(config_of({named()}));
  EXPECT_EQ(world.endpoint_status("10.0.0.2:80").id, kept.id);
  EXPECT_TRUE(world.endpoint_status("10.0.0.2:80").available);
}

TEST(Names, AnUnresolvableNameCountsAsLostOnlyAfterTheStartWait) {
  World world(config_of({named()}));
  world.run(2900ms);
  EXPECT_EQ(world.active(), "primary");
  world.run(200ms);
  EXPECT_EQ(world.active(), "standby");
  EXPECT_THAT(world.last(Kind::failover)->reason, HasSubstr("app.example:80: name not resolved"));
}

TEST(Names, ADrainOfTheNameHoldsForAddressesThatComeLaterAndOverARestart) {
  World world(config_of({named()}));
  world.resolve(0, 0, 0, {"10.0.0.1:80"});
  world.run(5s);
  ASSERT_TRUE(world.command(state("app.example:80", OperatorState::draining, world.now + 1h)).ok);
  world.resolve(0, 0, 0, {"10.0.0.7:80"});
  EXPECT_EQ(world.endpoint_status("10.0.0.7:80").operator_state, OperatorState::draining);
  world.restart();
  world.resolve(0, 0, 0, {"10.0.0.8:80"});
  EXPECT_EQ(world.endpoint_status("10.0.0.8:80").operator_state, OperatorState::draining);
  EXPECT_EQ(world.endpoint_status("10.0.0.8:80").operator_until, world.now + 59min + 59s + 1s);
}

TEST(Restart, TellsSinceWhenTheOperatorWantsIt) {
  World world(config_of({two_and_one()}));
  world.run(5s);
  EXPECT_FALSE(world.endpoint_status("p2").operator_since);
  const auto ordered = world.now;
  ASSERT_TRUE(world.command(state("p2", OperatorState::draining, world.now + 1h)).ok);
  world.run(60s);
  ASSERT_TRUE(world.command(state("p2", OperatorState::draining, world.now + 2h)).ok);  // longer, but not anew
  EXPECT_EQ(world.endpoint_status("p2").operator_since, ordered);
  world.restart();
  EXPECT_EQ(world.endpoint_status("p2").operator_since, ordered);
  ASSERT_TRUE(world.command(state("p2", OperatorState::enabled)).ok);
  EXPECT_FALSE(world.endpoint_status("p2").operator_since);
}

TEST(Names, OneAddressOfANameCanBeDrainedAlone) {
  World world(config_of({named()}));
  world.resolve(0, 0, 0, {"10.0.0.1:80", "10.0.0.2:80"});
  world.run(5s);
  ASSERT_TRUE(world.command(state("10.0.0.2:80", OperatorState::draining)).ok);
  EXPECT_EQ(world.endpoint_status("10.0.0.1:80").operator_state, OperatorState::enabled);
  EXPECT_EQ(world.endpoint_status("10.0.0.2:80").operator_state, OperatorState::draining);
}

TEST(Names, ResolutionsThatFitNoConfiguredNameAreIgnored) {
  World world(config_of({two_and_one()}));
  world.resolve(5, 0, 0, {"10.0.0.9:80"});
  world.resolve(0, 5, 0, {"10.0.0.9:80"});
  world.resolve(0, 0, 5, {"10.0.0.9:80"});
  world.resolve(0, 0, 0, {"10.0.0.9:80"});  // a written address needs no resolving
  EXPECT_THAT(addresses(world), UnorderedElementsAre("10.0.0.1:80", "10.0.0.2:80"));
}

}  // namespace
}  // namespace understudy::sim
