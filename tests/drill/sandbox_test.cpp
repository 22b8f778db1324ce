// What becomes of a configuration in a drill, and which request its routes take to a pool.
#include "proxy/drill/sandbox.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.hpp"
#include "proxy/drill/behaviour.hpp"
#include "proxy/drill/run.hpp"
#include "proxy/drill/target.hpp"

namespace understudy::drill {
namespace {

using testing::Contains;
using testing::HasSubstr;

config::Config config_of(const std::string& text) {
  config::LoadContext context;
  context.runtime_dir = "/run/x";
  const config::LoadResult result = config::load(text, "c.toml", context);
  if (!result.config) throw std::runtime_error(config::render(result.diagnostics, text));
  return *result.config;
}

const std::string site =
    "[server]\nuser = \"www\"\nwatch_config = true\n"
    "[listen.plain]\naddress = \":80\"\nredirect_to = \"https\"\n"
    "[listen.web]\naddress = \":8443\"\n"
    "[pool.app]\nprimary = [\"db.example:3000\", { address = \"10.0.0.12:3000\", name = \"two\" }]\nstandby = "
    "[\"[::1]:3000\"]\ncheck = { path = \"/up\", port = 9000, body = \"fine\" }\ntls = { ca = \"/x.pem\", server_name "
    "= \"app.internal\" }\n"
    "failover = { gates = [{ approval = \"data\" }, { url = \"http://gate.example/x\", expect = \"same\" }, { command "
    "= "
    "[\"/usr/bin/compare\"] }] }\n";

TEST(Sandbox, TakesThePlaceOfEverythingOutside) {
  const config::Config config = config_of(site);
  const std::vector<Place> places = places_of(config);
  ASSERT_EQ(places.size(), 4U) << "three endpoints and the gate that is a URL";
  EXPECT_EQ(places[0].label, "db.example:3000");
  EXPECT_EQ(places[0].check.body, "fine");
  EXPECT_TRUE(places[3].is_gate);
  EXPECT_EQ(places[3].check.body, "same");

  const Sandbox sandbox = make_sandbox(config, {4001, 4002, 4003, 4004}, "/tmp/d");
  const config::Config& made = sandbox.config;
  ASSERT_EQ(made.listeners.size(), 1U);
  EXPECT_EQ(made.listeners[0].name, "web") << "the one that serves";
  EXPECT_EQ(made.listeners[0].address.text, "127.0.0.1:0");
  const config::PoolConfig& pool = made.pools.at(0);
  EXPECT_EQ(pool.tiers[0].endpoints[0].address.text, "127.0.0.1:4001");
  EXPECT_EQ(pool.tiers[0].endpoints[0].label(), "db.example:3000") << "its name in scenarios, status and events";
  EXPECT_EQ(pool.tiers[1].endpoints[0].address.port, 4003);
  EXPECT_FALSE(pool.tls);
  EXPECT_EQ(pool.check.port, 0);
  EXPECT_EQ(pool.check.path, "/up") << "all else is as it was";
  EXPECT_EQ(pool.failover.gates[0].kind, config::GateKind::approval);
  EXPECT_EQ(pool.failover.gates[1].url, "http://127.0.0.1:4004/gate");
  EXPECT_EQ(pool.failover.gates[2].command, std::vector<std::string>{"/bin/true"});
  EXPECT_EQ(made.server.state_dir, "/tmp/d/state");
  EXPECT_EQ(made.server.user, "");
  EXPECT_FALSE(made.server.watch_config);
  EXPECT_EQ(made.admin.listen.path, "/tmp/d/admin.sock");
  EXPECT_EQ(made.log.path, "/tmp/d/events.log");
  EXPECT_THAT(sandbox.notes, Contains(HasSubstr("without TLS")));
  EXPECT_THAT(sandbox.notes, Contains(HasSubstr("is not asked: it passes")));
}

TEST(Sandbox, CanBeReadFromAFileWithNamesThatFit) {
  const std::string ipv6 =
      "[pool.other]\nprimary = [\"[::1]:3000\"]\n[[route]]\nmatch = { host = \"x\" }\npool = "
      "\"other\"\n[[route]]\npool = \"app\"\n";
  Sandbox sandbox = make_sandbox(config_of(site + ipv6), {4001, 4002, 4003, 4004, 4005}, "/tmp/d");
  rename_for_file(sandbox);
  const auto& tiers = sandbox.config.pools[0].tiers;
  EXPECT_EQ(tiers[0].endpoints[0].name, "db.example-3000");
  EXPECT_EQ(tiers[0].endpoints[1].name, "two");
  EXPECT_EQ(tiers[1].endpoints[0].name, "---1--3000");
  EXPECT_THAT(sandbox.notes, Contains("the proxy reads names from a file: db.example:3000 is called db.example-3000"));
  config::LoadResult ours;
  ours.config = sandbox.config;
  const std::string text = config::show(ours, true);
  config::LoadResult again;
  again.config = config_of(text);
  EXPECT_EQ(config::show(again, true), text) << "what takes over has the same configuration";
}

const std::string pools =
    "[listen.web]\naddress = \":80\"\n[pool.a]\nprimary = [\"10.0.0.1:80\"]\n[pool.b]\nprimary = "
    "[\"10.0.0.2:80\"]\n";

TEST(Target, MeetsTheRule) {
  const config::Config config = config_of(pools +
                                          "[[route]]\nmatch = { host = \"*.example.org\", path = \"/devices/*\", "
                                          "headers = { x-kind = \"*\" } }\npool = \"b\"\n"
                                          "[[route]]\npool = \"a\"\n");
  const auto b = find_target(config, "b");
  ASSERT_TRUE(b);
  EXPECT_EQ(b->host, "drill.example.org");
  EXPECT_EQ(b->path, "/devices/drill");
  EXPECT_EQ(b->headers.size(), 1U);
  const auto a = find_target(config, "a");
  ASSERT_TRUE(a);
  EXPECT_TRUE(a->post && a->websocket);
}

TEST(Target, KnowsWhatItsRouteForbids) {
  const config::Config config = config_of(
      pools +
      "[[route]]\nmatch = { path = \"/read\", methods = [\"GET\"] }\npool = \"a\"\nwebsocket = false\n[[route]]\npool "
      "= \"b\"\n");
  const auto target = find_target(config, "a");
  ASSERT_TRUE(target);
  EXPECT_FALSE(target->post);
  EXPECT_FALSE(target->websocket);
  config::Scenario scenario;
  scenario.pool = "a";
  EXPECT_EQ(unfit_for_drill(scenario, config), "");
  scenario.load.post = 0.5;
  EXPECT_THAT(unfit_for_drill(scenario, config), HasSubstr("takes no POST"));
  scenario.load.post = 0;
  scenario.load.websockets = 1;
  EXPECT_THAT(unfit_for_drill(scenario, config), HasSubstr("forbids WebSockets"));
}

TEST(Target, IsNoneWhereAnEarlierRouteTakesIt) {
  const config::Config config =
      config_of(pools +
                "[[route]]\nmatch = { path = \"/x/*\" }\npool = \"a\"\n[[route]]\nmatch = { path = \"/x/y\" }\npool "
                "= \"b\"\n[[route]]\nmatch = { path = \"/z\" }\npool = \"a\"\n");
  EXPECT_TRUE(find_target(config, "a"));
  EXPECT_FALSE(find_target(config, "b"));
}

TEST(Behaviours, EndWithTheScenario) {
  const std::string text =
      "name = \"x\"\nlength = \"10s\"\n[[fault]]\nat = \"2s\"\nwhere = \"primary\"\nkind = \"freeze\"\n[expect]\nmoves "
      "= 9\n";
  const config::ScenarioResult loaded = config::load_scenario(text, "x.toml");
  ASSERT_TRUE(loaded.scenario);
  const OriginScript script(*loaded.scenario, "primary", "a"), other(*loaded.scenario, "standby", "b");
  using std::chrono::seconds;
  EXPECT_EQ(script.at(seconds(1)).sockets, Behaviour::Sockets::well);
  EXPECT_EQ(script.at(seconds(2)).sockets, Behaviour::Sockets::frozen);
  EXPECT_EQ(script.at(seconds(10)).sockets, Behaviour::Sockets::well)
      << "what it was given is carried out, and counted";
  EXPECT_EQ(other.at(seconds(2)).sockets, Behaviour::Sockets::well);
  EXPECT_EQ(script.changes(), (std::vector<Micros>{seconds(2), seconds(10)}));
}

}  // namespace
}  // namespace understudy::drill
