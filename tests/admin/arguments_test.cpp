#include "proxy/cli/arguments.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace understudy::cli {
namespace {

using Words = std::vector<std::string>;

class CliArguments : public testing::Test {
protected:
  void SetUp() override {
    ::unsetenv("UNDERSTUDY_ADMIN");
    ::unsetenv("UNDERSTUDY_TOKEN");
  }
  void TearDown() override { SetUp(); }
};

Arguments good(const Words& words) {
  const auto parsed = parse_arguments(words);
  if (const auto* finished = std::get_if<Finished>(&parsed)) {
    ADD_FAILURE() << finished->out << finished->err;
    return {};
  }
  return std::get<Arguments>(parsed);
}

Finished finished(const Words& words) {
  const auto parsed = parse_arguments(words);
  if (const auto* done = std::get_if<Finished>(&parsed)) return *done;
  ADD_FAILURE() << "was accepted";
  return {};
}

TEST_F(CliArguments, AnIncidentIsShownInOneForm) {
  const Arguments arguments = good({"incident", "show", "12", "--markdown"});
  EXPECT_EQ(arguments.number, 12U);
  EXPECT_TRUE(arguments.markdown);
  EXPECT_EQ(good({"alert", "test", "ops"}).alert, "ops");
  for (const Words& words : {Words{"incident", "show"},
                             {"incident", "show", "last"},
                             {"incident", "show", "-1"},
                             {"incident", "show", "1", "--json", "--markdown"},
                             {"incident"},
                             {"alert", "test"}})
    EXPECT_EQ(finished(words).code, 2) << words.back();
}

TEST_F(CliArguments, ALiveDrillAsksTheDaemonAndASandboxDoesNot) {
  ::setenv("UNDERSTUDY_ADMIN", "127.0.0.1:9900", 1);
  const Arguments live = good({"drill", "--live", "s.toml"});
  EXPECT_TRUE(live.live);
  EXPECT_EQ(live.admin, "127.0.0.1:9900");
  EXPECT_EQ(good({"drill", "s.toml"}).admin, "");
  EXPECT_EQ(good({"drill", "history", "--json"}).verb, Verb::drill_history);
  for (const Words& words : {Words{"drill", "s.toml", "--admin", "127.0.0.1:9900"},
                             {"drill", "--live", "s.toml", "--short"},
                             {"drill", "--live", "s.toml", "--requests", "x.csv"},
                             {"drill", "--live"}})
    EXPECT_EQ(finished(words).code, 2) << words.back();
}

TEST_F(CliArguments, EveryVerbIsKnown) {
  const std::vector<std::pair<Words, Verb>> cases = {
      {{"run", "-c", "f"}, Verb::run},
      {{"check"}, Verb::check},
      {{"-t"}, Verb::check},
      {{"config", "show"}, Verb::config_show},
      {{"init"}, Verb::init},
      {{"schema"}, Verb::schema},
      {{"quick", "--primary", "a:1"}, Verb::quick},
      {{"demo"}, Verb::demo},
      {{"rehearse", "s"}, Verb::rehearse},
      {{"drill", "s"}, Verb::drill},
      {{"reload"}, Verb::reload},
      {{"reload", "--wait"}, Verb::reload},
      {{"status"}, Verb::status},
      {{"incidents"}, Verb::incidents},
      {{"incident", "show", "12"}, Verb::incident_show},
      {{"alert", "test", "ops"}, Verb::alert_test},
      {{"failover", "app"}, Verb::failover},
      {{"failback", "app"}, Verb::failback},
      {{"hold", "app"}, Verb::hold},
      {{"release", "app"}, Verb::release},
      {{"approve", "app", "g", "--who", "a", "--reason", "r"}, Verb::approve},
      {{"maintenance", "app", "off"}, Verb::maintenance},
      {{"drain", "e"}, Verb::set_state},
      {{"disable", "e"}, Verb::set_state},
      {{"enable", "e"}, Verb::set_state},
      {{"events"}, Verb::events},
      {{"healthcheck"}, Verb::healthcheck},
      {{"logs", "reopen"}, Verb::logs_reopen},
      {{"stop"}, Verb::stop},
      {{"version"}, Verb::version},
      {{"-v"}, Verb::version},
      {{"-V"}, Verb::version},
      {{"--version"}, Verb::version},
  };
  for (const auto& [words, verb] : cases) EXPECT_EQ(good(words).verb, verb) << words[0];
}

TEST_F(CliArguments, ValuesLandWhereTheyBelong) {
  EXPECT_EQ(good({"check", "my.toml", "--json", "--strict", "--no-files"}).config, "my.toml");
  EXPECT_EQ(good({"-t", "-c", "my.toml"}).config, "my.toml");
  const Arguments check = good({"check", "--json", "--strict", "--no-files"});
  EXPECT_TRUE(check.json && check.strict && check.no_files);
  EXPECT_TRUE(good({"config", "show", "--defaults"}).defaults);
  EXPECT_TRUE(good({"run", "--keep-root"}).keep_root);
  EXPECT_EQ(good({"init"}).path, "understudy.toml");
  EXPECT_EQ(good({"init", "x.toml"}).path, "x.toml");

  const Arguments quick =
      good({"quick", "--listen", ":8080", "--primary", "a:1,b:2", "--primary", "c:3", "--standby", "d:4"});
  EXPECT_EQ(quick.listen, ":8080");
  EXPECT_EQ(quick.primary, (Words{"a:1", "b:2", "c:3"}));
  EXPECT_EQ(quick.standby, Words{"d:4"});

  const Arguments failover = good({"failover", "app", "--to", "standby", "--reason", "slow disks"});
  EXPECT_EQ(failover.pool, "app");
  EXPECT_EQ(failover.tier, "standby");
  EXPECT_EQ(failover.reason, "slow disks");

  EXPECT_FALSE(failover.expected_epoch);
  EXPECT_EQ(good({"failover", "app", "--for", "2h", "--expected-epoch", "7"}).expected_epoch, 7U);
  EXPECT_EQ(good({"failback", "app", "--reason", "over", "--expected-epoch", "0"}).expected_epoch, 0U);

  const Arguments hold = good({"hold", "app", "--for", "1h30m", "--reason", "site works"});
  EXPECT_EQ(hold.duration, "1h30m");
  EXPECT_EQ(hold.reason, "site works");
  EXPECT_EQ(good({"release", "app", "--expected-epoch", "9"}).expected_epoch, 9U);
  const Arguments approve = good({"approve", "app", "data compared", "--who", "anna", "--reason", "0 rows differ"});
  EXPECT_FALSE(approve.expected_epoch);
  EXPECT_EQ(good({"approve", "app", "g", "--who", "a", "--reason", "r", "--expected-epoch", "7"}).expected_epoch, 7U);
  EXPECT_EQ(approve.gate, "data compared");
  EXPECT_EQ(approve.who, "anna");
  EXPECT_EQ(approve.reason, "0 rows differ");
  EXPECT_TRUE(good({"maintenance", "app", "on"}).on);
  EXPECT_FALSE(good({"maintenance", "app", "off"}).on);

  const Arguments drain = good({"drain", "10.0.0.1:80", "--pool", "app", "--for", "30m"});
  EXPECT_EQ(drain.state, "draining");
  EXPECT_EQ(drain.endpoint, "10.0.0.1:80");
  EXPECT_EQ(drain.pool, "app");
  EXPECT_EQ(good({"disable", "e"}).state, "disabled");
  EXPECT_EQ(good({"enable", "e"}).state, "enabled");

  EXPECT_EQ(good({"events", "--since", "12"}).since, 12U);
  EXPECT_TRUE(good({"stop", "--now"}).now);
  EXPECT_TRUE(good({"healthcheck", "--ready"}).ready);
  const Arguments demo = good({"demo", "--once", "--listen", "127.0.0.1:1", "--admin", "127.0.0.1:2"});
  EXPECT_TRUE(demo.once);
  EXPECT_EQ(demo.builtin_admin, "127.0.0.1:2");
}

TEST_F(CliArguments, AdminAndTokenComeFromTheEnvironmentUnlessGiven) {
  ::setenv("UNDERSTUDY_ADMIN", "127.0.0.1:1", 1);
  ::setenv("UNDERSTUDY_TOKEN", "secret", 1);
  EXPECT_EQ(good({"status"}).admin, "127.0.0.1:1");
  EXPECT_EQ(good({"logs", "reopen"}).token, "secret");
  EXPECT_EQ(good({"status", "--admin", "unix:/x", "--token", "t"}).admin, "unix:/x");
  EXPECT_EQ(good({"status", "--token", "t"}).token, "t");
  EXPECT_EQ(good({"check"}).admin, "") << "not asked for there";
  ::setenv("UNDERSTUDY_TOKEN", "secret\r\nHost: evil", 1);
  EXPECT_EQ(finished({"status"}).code, 2);
}

TEST_F(CliArguments, UsageErrorsAreCode2AndNameTheRemedy) {
  const std::vector<std::pair<Words, std::string>> cases = {
      {{"stauts"}, "unknown command 'stauts'; did you mean 'status'?"},
      {{"failovr", "app"}, "did you mean 'failover'?"},
      {{"xyzzy"}, "unknown command 'xyzzy'; commands are run, check, config"},
      {{"config", "shw"}, "unknown command 'shw'; did you mean 'show'?"},
      {{"config"}, "A subcommand is required"},
      {{"logs", "rotate"}, "unknown command 'rotate'"},
      {{"status", "--jsn"}, "unknown option '--jsn'; did you mean '--json'?"},
      {{"status", "extra"}, "unexpected argument 'extra'"},
      {{"--json", "status"}, "unknown option '--json' before the command"},
      {{"failover"}, "pool is required"},
      {{"maintenance", "app"}, "state is required"},
      {{"maintenance", "app", "maybe"}, "maybe"},
      {{"hold", "app", "on"}, "unexpected argument 'on'"},
      {{"hold", "app", "--for", "30"}, "30"},
      {{"failback", "app", "--expected-epoch", "new"}, "new"},
      {{"failback", "app", "--expected-epoch", "-1"}, "-1"},
      {{"approve", "app", "g", "--reason", "r"}, "--who is required"},
      {{"approve", "app", "g", "--who", "a"}, "--reason is required"},
      {{"release", "app", "--for", "1h"}, "unknown option '--for'"},
      {{"drain", "e", "--for", "0s"}, "must be more than nothing"},
      {{"quick"}, "--primary is required"},
      {{"quick", "--primary", ","}, "--primary names no endpoint"},
      {{"events", "--since", "soon"}, "soon"},
      {{"events", "--since", "-1"}, "'-1' is no whole number"},
      {{"run", "-c"}, "1 required"},
  };
  for (const auto& [words, text] : cases) {
    const Finished result = finished(words);
    EXPECT_EQ(result.code, 2) << words[0];
    EXPECT_NE(result.err.find(text), std::string::npos) << words[0] << ": " << result.err;
    EXPECT_NE(result.err.find("--help'"), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  }
  const Finished nothing = finished({});
  EXPECT_EQ(nothing.code, 2);
  EXPECT_NE(nothing.err.find("quick"), std::string::npos);
}

TEST_F(CliArguments, HelpIsCode0WithExamples) {
  for (const Words& words : std::vector<Words>{{"--help"},
                                               {"-h"},
                                               {"status", "--help"},
                                               {"config", "show", "-h"},
                                               {"drain", "--help"},
                                               {"config", "--help"}}) {
    const Finished result = finished(words);
    EXPECT_EQ(result.code, 0) << words[0];
    EXPECT_NE(result.out.find(words.size() == 2 && words[0] == "config" ? "show" : "Examples:"), std::string::npos)
        << result.out;
    EXPECT_EQ(result.err, "");
  }
}

TEST_F(CliArguments, DrillTakesScenariosAndWhereItsReportsGo) {
  const Arguments drill =
      good({"drill", "a.toml", "b.toml", "-c", "c.toml", "--short", "--json", "j", "--retries", "2"});
  EXPECT_EQ(drill.scenarios, (Words{"a.toml", "b.toml"}));
  EXPECT_EQ(drill.config, "c.toml");
  EXPECT_EQ(drill.json_file, "j");
  EXPECT_TRUE(drill.in_short);
  EXPECT_EQ(drill.retries, 2U);
  EXPECT_EQ(finished({"drill"}).code, 2);
  EXPECT_EQ(finished({"drill", "a", "--retries", "3"}).code, 2) << "a machine that is never quiet proves nothing";
}

TEST_F(CliArguments, RehearseTakesAScenarioAndMaybeAConfigurationBeforeIt) {
  const Arguments alone = good({"rehearse", "s.toml"});
  EXPECT_EQ(alone.scenario, "s.toml");
  EXPECT_EQ(alone.config, "");
  EXPECT_EQ(alone.seed, 1U);
  const Arguments both = good({"rehearse", "c.toml", "s.toml", "--json", "--seed", "7"});
  EXPECT_EQ(both.scenario, "s.toml");
  EXPECT_EQ(both.config, "c.toml");
  EXPECT_TRUE(both.json);
  EXPECT_EQ(both.seed, 7U);
  EXPECT_EQ(finished({"rehearse"}).code, 2);
  EXPECT_EQ(finished({"rehearse", "a", "b", "c"}).code, 2);
  EXPECT_TRUE(good({"schema", "--scenario"}).of_scenarios);
}

}  // namespace
}  // namespace understudy::cli
