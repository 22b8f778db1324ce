#include "proxy/cli/client_verbs.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <sstream>

#include "tests/admin/running_server.hpp"

namespace understudy::cli {
namespace {

using admin::RunningServer;

struct Outcome {
  int code = 0;
  std::string out, err;
};

Outcome run(const config::Address& address, const std::vector<std::string>& words, const std::string& token = {}) {
  const auto parsed = parse_arguments(words);
  if (const auto* finished = std::get_if<Finished>(&parsed)) return {finished->code, finished->out, finished->err};
  std::ostringstream out, err;
  const int code = run_client_verb(std::get<Arguments>(parsed), Daemon{address, token}, {}, out, err);
  return {code, out.str(), err.str()};
}

TEST(CliVerbs, StatusIsForPeopleOrJson) {
  RunningServer server;
  EXPECT_EQ(run(server.address(), {"status"}).out, "[ok] pool app serves from primary\n");
  const Outcome json = run(server.address(), {"status", "--json"});
  EXPECT_EQ(json.code, 0);
  EXPECT_EQ(json.out, "{\"sentence\":\"pool app serves from primary\",\"state\":\"ok\",\"pools\":[]}\n");
}

TEST(CliVerbs, IncidentsAreListedAndShown) {
  RunningServer server;
  const Outcome list = run(server.address(), {"incidents"});
  EXPECT_EQ(list.code, 0) << list.err;
  EXPECT_EQ(list.out.substr(0, 47), "12    2025-11-26 10:04:05  open      major     ");
  const Outcome text = run(server.address(), {"incident", "show", "12"});
  EXPECT_NE(text.out.find("## Timeline"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("moved &lt;b&gt;because&lt;/b&gt; \\| of p1 (ordered by anna)"), std::string::npos)
      << text.out;
  const Outcome json = run(server.address(), {"incident", "show", "12", "--json"});
  EXPECT_EQ(boost::json::parse(json.out).at("number").to_number<int>(), 12);
  const Outcome unknown = run(server.address(), {"incident", "show", "13"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.err.find("no incident 13"), std::string::npos);
}

TEST(CliVerbs, AnAlertIsTested) {
  RunningServer server;
  EXPECT_EQ(run(server.address(), {"alert", "test", "ops"}).out, "delivered\n");
  const Outcome unknown = run(server.address(), {"alert", "test", "opps"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.err.find("alerts: ops"), std::string::npos);
}

TEST(CliVerbs, PoolVerbsReachTheDaemonAndShowTheNewState) {
  RunningServer server({}, true);
  const Outcome failover =
      run(server.address(), {"failover", "app", "--to", "standby", "--reason", "\"quoted\" reason"});
  EXPECT_EQ(failover.code, 0) << failover.err;
  EXPECT_EQ(failover.out, "pool app\n  standby serves\n");
  EXPECT_EQ(run(server.address(), {"failback", "app"}).code, 0);
  EXPECT_EQ(run(server.address(), {"hold", "app", "--for", "2h", "--reason", "site works"}).code, 0);
  EXPECT_EQ(run(server.address(), {"maintenance", "app", "off"}).code, 0);
  ASSERT_EQ(server.control.commands.size(), 4U);
  const auto& move = std::get<health::MoveTier>(server.control.commands[0].command);
  EXPECT_EQ(move.to, "standby");
  EXPECT_EQ(move.reason, "\"quoted\" reason");
  EXPECT_TRUE(std::get<health::HoldPool>(server.control.commands[2].command).expires);
  EXPECT_EQ(std::get<health::HoldPool>(server.control.commands[2].command).reason, "site works");
  EXPECT_FALSE(std::get<health::SetMaintenance>(server.control.commands[3].command).on);
}

TEST(CliVerbs, OrdersCarryReasonEpochAndWho) {
  RunningServer server;
  EXPECT_EQ(run(server.address(), {"failover", "app", "--for", "2h", "--expected-epoch", "7"}).code, 0);
  EXPECT_EQ(run(server.address(), {"failback", "app", "--reason", "over", "--expected-epoch", "8"}).code, 0);
  EXPECT_EQ(run(server.address(), {"release", "app", "--reason", "done"}).code, 0);
  EXPECT_EQ(run(server.address(), {"approve", "app", "data compared", "--who", "anna", "--reason", "0 differ"}).code,
            0);
  EXPECT_EQ(run(server.address(), {"disable", "p1", "--pool", "app", "--reason", "disk"}).code, 0);
  ASSERT_EQ(server.control.commands.size(), 5U);
  const auto& move = std::get<health::MoveTier>(server.control.commands[0].command);
  EXPECT_TRUE(move.expires);
  EXPECT_EQ(move.expected_epoch, 7U);
  const auto& back = std::get<health::Failback>(server.control.commands[1].command);
  EXPECT_EQ(back.reason, "over");
  EXPECT_EQ(back.expected_epoch, 8U);
  const auto& release = std::get<health::HoldPool>(server.control.commands[2].command);
  EXPECT_FALSE(release.on);
  EXPECT_EQ(release.reason, "done");
  const auto& approve = std::get<health::Approve>(server.control.commands[3].command);
  EXPECT_EQ(approve.gate, "data compared");
  EXPECT_EQ(approve.who, "anna");
  EXPECT_EQ(approve.reason, "0 differ");
  EXPECT_EQ(std::get<health::SetEndpointState>(server.control.commands[4].command).reason, "disk");

  server.control.refusal =
      admin::Problem{409, "Stale epoch", "the order rests on epoch 7, but pool 'app' is at epoch 9"};
  const Outcome stale = run(server.address(), {"failback", "app", "--expected-epoch", "7"});
  EXPECT_EQ(stale.code, 1);
  EXPECT_EQ(stale.err,
            "understudy: refused (409): Stale epoch\nthe order rests on epoch 7, but pool 'app' is at epoch 9\n");
}

TEST(CliVerbs, EndpointVerbsReachTheDaemon) {
  RunningServer server;
  EXPECT_EQ(run(server.address(), {"drain", "unix:/run/app 1.sock", "--pool", "a/b", "--for", "30m"}).code, 0);
  server.control.pools_answer = boost::json::parse(
      R"({"pools":[{"name":"other","tiers":[]},{"name":"app","tiers":[{"name":"primary","endpoints":[{"label":"p1"}]}]}]})");
  const Outcome enabled = run(server.address(), {"enable", "p1"});
  EXPECT_EQ(enabled.code, 0);
  EXPECT_EQ(enabled.out, "pool app\n    primary\n    - p1\n      healthy\n") << "only the pool that has it";
  ASSERT_EQ(server.control.commands.size(), 2U);
  const auto& drain = std::get<health::SetEndpointState>(server.control.commands[0].command);
  EXPECT_EQ(drain.pool, "a/b");
  EXPECT_EQ(drain.endpoint, "unix:/run/app 1.sock");
  EXPECT_EQ(drain.state, health::OperatorState::draining);
  EXPECT_TRUE(drain.expires);
  const auto& enable = std::get<health::SetEndpointState>(server.control.commands[1].command);
  EXPECT_EQ(enable.pool, "");
  EXPECT_EQ(enable.state, health::OperatorState::enabled);
}

TEST(CliVerbs, ProcessVerbsPrintTheMessage) {
  RunningServer server;
  EXPECT_EQ(run(server.address(), {"reload"}).out,
            "reloaded\nwarning: f:3: careful\nnote: server.workers changes only with a restart\n");
  EXPECT_EQ(run(server.address(), {"logs", "reopen"}).out, "reopened\n");
  EXPECT_EQ(run(server.address(), {"stop", "--now"}).out, "stopping\n");
  EXPECT_EQ(server.control.stops, std::vector<bool>{true});
  EXPECT_EQ(run(server.address(), {"events", "--since", "5"}).out, "no events\n");
  EXPECT_EQ(server.control.since, 5U);
}

TEST(CliVerbs, ARefusalIsCode1WithEveryLine) {
  RunningServer server;
  server.control.refusal = admin::Problem{422, "the file has errors", "understudy.toml:3:1: error: a\n\x1b[31mb"};
  const Outcome outcome = run(server.address(), {"reload"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "understudy: refused (422): the file has errors\nunderstudy.toml:3:1: error: a\n?[31mb\n");
}

TEST(CliVerbs, ATokenIsNeededWhereOneIsConfigured) {
  admin::Options options;
  options.token = "t";
  RunningServer server(options);
  const Outcome refused = run(server.address(), {"status"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("UNDERSTUDY_TOKEN"), std::string::npos) << refused.err;
  EXPECT_EQ(run(server.address(), {"status"}, "t").code, 0);
}

TEST(CliVerbs, NobodyThereIsCode3) {
  admin::TemporaryFolder folder;
  const Outcome outcome = run(admin::unix_address(folder.file("none.sock")), {"status"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_NE(outcome.err.find("no daemon answers at unix:"), std::string::npos);
  EXPECT_NE(outcome.err.find("--admin"), std::string::npos);
}

TEST(CliVerbs, HealthcheckIs0Or1) {
  RunningServer server;
  EXPECT_EQ(run(server.address(), {"healthcheck"}).code, 0);
  EXPECT_EQ(run(server.address(), {"healthcheck", "--ready"}).code, 0);
  server.control.ready = false;
  EXPECT_EQ(run(server.address(), {"healthcheck"}).code, 0);
  const Outcome unready = run(server.address(), {"healthcheck", "--ready"});
  EXPECT_EQ(unready.code, 1);
  EXPECT_EQ(unready.err, "pool app: no endpoint available\n");
  admin::TemporaryFolder folder;
  EXPECT_EQ(run(admin::unix_address(folder.file("none.sock")), {"healthcheck"}).code, 1);
}

// ---- where the daemon is

config::LoadContext files(std::map<std::string, std::string> contents) {
  config::LoadContext context;
  context.environment = [](const std::string&) { return std::nullopt; };
  context.read_file = [contents = std::move(contents)](const std::string& path) -> std::optional<std::string> {
    const auto found = contents.find(path);
    return found == contents.end() ? std::nullopt : std::optional(found->second);
  };
  return context;
}

constexpr const char* kRest = "[listen.web]\naddress = \":8080\"\n[pool.app]\nprimary = [\"10.0.0.11:3000\"]\n";

TEST(CliDaemon, AdminOptionComesFirst) {
  Arguments arguments;
  arguments.admin = "127.0.0.1:9900";
  arguments.token = "t";
  const auto found = find_daemon(arguments, files({}));
  ASSERT_TRUE(std::holds_alternative<Daemon>(found));
  EXPECT_EQ(std::get<Daemon>(found).address.port, 9900);
  EXPECT_EQ(std::get<Daemon>(found).token, "t");
  arguments.admin = "127.0.0.1";
  const auto bad = find_daemon(arguments, files({}));
  ASSERT_TRUE(std::holds_alternative<NoDaemon>(bad));
  EXPECT_EQ(std::get<NoDaemon>(bad).code, 2);
}

TEST(CliDaemon, TheFilesAddressAndTokenAreTaken) {
  Arguments arguments;
  const std::string text = std::string("[admin]\nlisten = \"127.0.0.1:9911\"\ntoken = \"from-the-file\"\n") + kRest;
  const auto standard = find_daemon(arguments, files({{kDefaultConfig, text}}));
  ASSERT_TRUE(std::holds_alternative<Daemon>(standard));
  EXPECT_EQ(std::get<Daemon>(standard).address.text, "127.0.0.1:9911");
  EXPECT_EQ(std::get<Daemon>(standard).token, "from-the-file");
  arguments.config = "my.toml";
  arguments.token = "given";
  const auto named = find_daemon(arguments, files({{"my.toml", text}}));
  ASSERT_TRUE(std::holds_alternative<Daemon>(named));
  EXPECT_EQ(std::get<Daemon>(named).token, "given");
}

TEST(CliDaemon, WithoutAFileItIsTheDefaultSocket) {
  for (const auto& contents : std::vector<std::map<std::string, std::string>>{{}, {{kDefaultConfig, "broken = [["}}}) {
    const auto found = find_daemon(Arguments{}, files(contents));
    ASSERT_TRUE(std::holds_alternative<Daemon>(found));
    EXPECT_EQ(std::get<Daemon>(found).address.path, "/run/understudy/admin.sock");
  }
  config::LoadContext ordinary_user = files({});
  ordinary_user.runtime_dir = "/run/user/1000/understudy";
  const auto own = find_daemon(Arguments{}, ordinary_user);
  ASSERT_TRUE(std::holds_alternative<Daemon>(own));
  EXPECT_EQ(std::get<Daemon>(own).address.path, "/run/user/1000/understudy/admin.sock");
}

TEST(CliDaemon, ANamedFileMustBeUsable) {
  Arguments arguments;
  arguments.config = "my.toml";
  for (const auto& contents : std::vector<std::map<std::string, std::string>>{{}, {{"my.toml", "broken = [["}}}) {
    const auto found = find_daemon(arguments, files(contents));
    ASSERT_TRUE(std::holds_alternative<NoDaemon>(found));
    EXPECT_EQ(std::get<NoDaemon>(found).code, 1);
    EXPECT_NE(std::get<NoDaemon>(found).why.find("my.toml"), std::string::npos);
  }
}

}  // namespace
}  // namespace understudy::cli
