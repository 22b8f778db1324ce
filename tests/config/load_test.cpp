// What a file means: the model that comes out of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/config/support.hpp"

namespace understudy::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

const std::string listener = "[listen.web]\naddress = \":8080\"\n";
const std::string pool = "[pool.app]\nprimary = [\"10.0.0.11:3000\", \"10.0.0.12:3000\"]\n";

// Loads what must be right, with no complaint at all.
Config good(const std::string& text) {
  const LoadResult result = load_text(text);
  EXPECT_EQ(render(result.diagnostics, text), "");
  if (!result.config) throw std::runtime_error("refused: " + text);
  return *result.config;
}

TEST(Load, FiveLinesAreEnough) {
  const Config config = good(
      "[listen.web]\naddress = \":8080\"\n[pool.app]\nprimary = [\"10.0.0.11:3000\", "
      "\"10.0.0.12:3000\"]\nstandby = [\"10.0.1.11:3000\"]\n");
  ASSERT_EQ(config.listeners.size(), 1U);
  EXPECT_EQ(config.listeners[0].name, "web");
  EXPECT_EQ(config.listeners[0].address.port, 8080);
  EXPECT_FALSE(config.listeners[0].tls);
  const PoolConfig* app = config.pool("app");
  ASSERT_NE(app, nullptr);
  ASSERT_EQ(app->tiers.size(), 2U);
  EXPECT_EQ(app->tiers[0].name, "primary");
  EXPECT_EQ(app->tiers[0].endpoints.size(), 2U);
  EXPECT_EQ(app->tiers[0].endpoints[1].label(), "10.0.0.12:3000");
  EXPECT_EQ(app->tiers[1].name, "standby");
  EXPECT_EQ(app->check.kind, CheckKind::tcp);
  EXPECT_EQ(app->failover.failback, FailbackMode::after);
  EXPECT_EQ(app->failover.failback_after, 1min);
  ASSERT_EQ(config.routes.size(), 1U) << "a catch-all is added for the only pool";
  EXPECT_EQ(config.routes[0].pool, "app");
  EXPECT_EQ(config.routes[0].name, "route-1");
  EXPECT_TRUE(config.routes[0].websocket.allowed);
  EXPECT_EQ(config.admin.listen.text, "unix:/run/understudy/admin.sock");
  EXPECT_EQ(config.server.state_dir, "/var/lib/understudy");
  EXPECT_FALSE(config.admin.token);
  EXPECT_EQ(config.pool("other"), nullptr);
}

TEST(Load, TheStarterFileGivesNothingToComplainAbout) { good(starter_file()); }

TEST(Load, PoolsAndListenersAreSortedAndRoutesAreNot) {
  const Config config = good(
      "[listen.b]\naddress = \":81\"\n[listen.a]\naddress = \":80\"\n[pool.z]\nprimary = "
      "[\"h:1\"]\n[pool.a]\nprimary = [\"h:2\"]\n"
      "[[route]]\nmatch = { path = \"/z\" }\npool = \"z\"\n[[route]]\npool = \"a\"\n");
  EXPECT_EQ(config.listeners[0].name, "a");
  EXPECT_EQ(config.pools[0].name, "a");
  EXPECT_EQ(config.pool("z")->name, "z");
  EXPECT_EQ(config.routes[0].pool, "z");
  EXPECT_EQ(config.routes[0].name, "route-1");
  EXPECT_EQ(config.routes[1].name, "route-2");
}

TEST(Load, PoolsInheritTheirCheckKeyByKey) {
  const Config config =
      good(listener +
           "[check]\npath = \"/healthz\"\ninterval = \"4s\"\nexpect = \"200\"\n[pool.a]\nprimary = "
           "[\"h:1\"]\n[pool.a.check]\ninterval = \"3s\"\n"
           "[pool.b]\nprimary = [\"h:1\"]\n[pool.b.check]\ntcp = true\n[pool.c]\nprimary = "
           "[\"h:1\"]\n[pool.c.check]\nwebsocket = \"/ws\"\n"
           "[pool.d]\nprimary = [\"h:1\"]\n[pool.d.check]\noff = true\n"
           "[[route]]\nmatch = { path = \"/a\" }\npool = \"a\"\n[[route]]\nmatch = { path = \"/b\" }\npool = "
           "\"b\"\n[[route]]\nmatch = { path = \"/c\" }\npool = \"c\"\n[[route]]\npool = \"d\"\n");
  const CheckConfig& a = config.pool("a")->check;
  EXPECT_EQ(a.kind, CheckKind::http);
  EXPECT_EQ(a.path, "/healthz");
  EXPECT_EQ(a.interval, 3s);
  EXPECT_EQ(a.expect.size(), 1U);
  EXPECT_EQ(a.expect[0].high, 200);
  const CheckConfig& b = config.pool("b")->check;
  EXPECT_EQ(b.kind, CheckKind::tcp);
  EXPECT_EQ(b.path, "") << "the inherited path has no meaning in a TCP check";
  EXPECT_EQ(b.interval, 4s);
  EXPECT_EQ(config.pool("c")->check.kind, CheckKind::websocket);
  EXPECT_EQ(config.pool("c")->check.path, "/ws");
  EXPECT_EQ(config.pool("d")->check.kind, CheckKind::none);
}

TEST(Load, ListenersInheritTheirLimitsKeyByKey) {
  const Config config = good(
      "[limits]\nheader_timeout = \"5s\"\nmin_rate = \"none\"\nmax_body_bytes = "
      "\"1MiB\"\n[listen.web]\naddress = \":1\"\n[listen.web.limits]\nheader_timeout = "
      "\"6s\"\nmax_body_bytes = \"none\"\n" +
      pool);
  const Limits& limits = config.listeners[0].limits;
  EXPECT_EQ(limits.header_timeout, 6s);
  EXPECT_EQ(limits.min_rate, 0U);
  EXPECT_EQ(limits.max_body_bytes, std::nullopt);
  EXPECT_EQ(limits.idle_timeout, 60s);
}

// The defaults of the table of attacks; see the reference page.
TEST(Load, DefaultLimitsAreTheDocumentedOnes) {
  const Config config = good(listener + pool);
  const Limits& limits = config.listeners[0].limits;
  EXPECT_EQ(limits.header_timeout, 10s);
  EXPECT_EQ(limits.first_byte_timeout, 10s);
  EXPECT_EQ(limits.body_timeout, 60s);
  EXPECT_EQ(limits.write_timeout, 60s);
  EXPECT_EQ(limits.idle_timeout, 60s);
  EXPECT_EQ(limits.min_rate, 240U);
  EXPECT_EQ(limits.max_header_bytes, 16U * 1024);
  EXPECT_EQ(limits.max_headers, 100U);
  EXPECT_EQ(limits.max_uri_bytes, 8U * 1024);
  EXPECT_EQ(limits.max_body_bytes, std::nullopt);
  EXPECT_EQ(limits.drain_body_bytes, 64U * 1024);
  EXPECT_EQ(config.server.max_connections_per_ip, 512U);
  EXPECT_EQ(config.server.fd_reserve, 32U);
  EXPECT_EQ(config.admin.max_connections, 32U);
  EXPECT_EQ(config.dns.max_addresses, 64U);
  EXPECT_EQ(config.dns.min_ttl, 1s);
  const PoolConfig& app = config.pools[0];
  EXPECT_EQ(app.max_response_header_bytes, 64U * 1024);
  EXPECT_EQ(app.retry.max, 3U);
  EXPECT_EQ(app.retry.budget, 0.2);
  EXPECT_EQ(app.passive.max_ejected, 0.5);
}

TEST(Load, CheckTimesFollowAShortIntervalDown) {
  const CheckConfig check = good(listener + pool + "[check]\ninterval = \"200ms\"\n").pools[0].check;
  EXPECT_EQ(check.interval, 200ms);
  EXPECT_EQ(check.timeout, 200ms);
  EXPECT_EQ(check.fast_interval, 200ms);
}

TEST(Load, EndpointsMayBeNamesLiteralsOrSockets) {
  const Config config =
      good(listener +
           "[pool.app]\nprimary = [\"app.internal:80\", \"[::1]:81\", \"unix:/run/a.sock\", { address = "
           "\"10.0.0.1:82\", name = \"x\", weight = 7 }]\n");
  const auto& endpoints = config.pools[0].tiers[0].endpoints;
  ASSERT_EQ(endpoints.size(), 4U);
  EXPECT_FALSE(endpoints[0].address.numeric());
  EXPECT_EQ(endpoints[1].address.numeric()->to_string(), "[::1]:81");
  EXPECT_TRUE(endpoints[2].address.is_unix());
  EXPECT_EQ(endpoints[3].label(), "x");
  EXPECT_EQ(endpoints[3].weight, 7U);
}

TEST(Load, TiersMayBeMoreThanTwo) {
  const std::string tiers =
      "tiers = [{ name = \"a\", endpoints = [\"h:1\"] }, { name = \"b\", endpoints = [\"h:2\"] }, { name = "
      "\"c\", endpoints = [\"h:3\"] }]\n";
  const Config config = good(listener + "[pool.app]\n" + tiers + "tiers_mode = \"shared\"\n");
  ASSERT_EQ(config.pools[0].tiers.size(), 3U);
  EXPECT_EQ(config.pools[0].tiers[2].name, "c");
  EXPECT_EQ(config.pools[0].tiers_mode, TiersMode::shared);
}

TEST(Load, TheModeOfTiersMayBeWrittenShort) {
  const LoadResult result = load_text(listener + pool + "tiers = \"shared\"\n");
  ASSERT_TRUE(result.config);
  EXPECT_EQ(result.config->pools[0].tiers_mode, TiersMode::shared);
  EXPECT_EQ(result.config->pools[0].tiers.size(), 1U);
  EXPECT_EQ(result.origins.at("pool.app.tiers_mode"), "understudy.toml:5:1");
}

TEST(Load, FailoverIsACountOrAShareAndAWayBack) {
  const auto failover = [](const std::string& keys) {
    return good(listener + pool + "[pool.app.failover]\n" + keys).pools[0].failover;
  };
  EXPECT_EQ(failover("min_available = \"2\"\n").min_available_count, 2U);
  EXPECT_EQ(failover("min_available = 2\n").min_available_count, 2U);
  EXPECT_EQ(failover("min_available = \"50%\"\n").min_available_share, 0.5);
  EXPECT_EQ(failover("failback = \"auto\"\n").failback, FailbackMode::automatic);
  EXPECT_EQ(failover("failback = \"manual\"\n").failback, FailbackMode::manual);
  EXPECT_EQ(failover("failback = \"after 5m\"\n").failback_after, 5min);
}

TEST(Load, NothingAbsoluteIsDegradedByDefault) {
  const PoolConfig app = good(listener + pool).pools[0];
  EXPECT_EQ(app.degraded.latency_p95, std::nullopt);
  EXPECT_EQ(app.degraded.error_rate, std::nullopt);
  EXPECT_EQ(app.degraded.websocket_open_p95, std::nullopt);
  EXPECT_EQ(app.degraded.latency_factor, 5U);
  EXPECT_EQ(app.degraded.dwell, 10s);
  EXPECT_EQ(app.failover.verify, 30s);
  EXPECT_EQ(app.failover.ramp, 10s);
  EXPECT_EQ(app.failover.max_hold, 30min);
  EXPECT_THAT(app.failover.gates, IsEmpty());
  EXPECT_EQ(app.check.trust, Trust::probe) << "failing probes are obeyed unless the operator says otherwise";
}

TEST(Load, ATierMayBeJudgedWhenThereIsNoOther) {
  const DegradedConfig degraded =
      good(listener + pool + "[pool.app.degraded]\nlatency_p95 = \"30s\"\nerror_rate = \"0.5%\"\nfor = \"1s\"\n")
          .pools[0]
          .degraded;
  EXPECT_EQ(degraded.latency_p95, 30s) << "as long as the response timeout is no complaint";
  EXPECT_EQ(degraded.error_rate, 0.005);
  EXPECT_EQ(degraded.dwell, 1s);
}

TEST(Load, TheLongestHoldFollowsALongOneUp) {
  const auto failover = [](const std::string& keys) {
    return good(listener + pool + "[pool.app.failover]\n" + keys).pools[0].failover;
  };
  EXPECT_EQ(failover("failback = \"after 2h\"\n").max_hold, 2h);
  EXPECT_EQ(failover("failback = \"after 2h\"\nmax_hold = \"2h\"\n").max_hold, 2h);
  EXPECT_EQ(failover("failback = \"after 5s\"\nmax_hold = \"1m\"\n").max_hold, 1min);
  EXPECT_EQ(failover("failback = \"manual\"\nmax_hold = \"1s\"\n").max_hold, 1s);
}

TEST(Load, PoolsInheritTrustAndKeepDoubtOnlyWhereThereIsAny) {
  const Config config =
      good(listener +
           "[check]\ntrust = \"both\"\ndoubt = \"1m\"\n[pool.a]\nprimary = [\"h:1\"]\n[pool.b]\nprimary "
           "= [\"h:1\"]\ncheck = { trust = \"probe\" }\n"
           "[[route]]\nmatch = { path = \"/a\" }\npool = \"a\"\n[[route]]\npool = \"b\"\n");
  EXPECT_EQ(config.pools[0].check.trust, Trust::both);
  EXPECT_EQ(config.pools[0].check.doubt, 1min);
  EXPECT_EQ(config.pools[1].check.trust, Trust::probe);
  EXPECT_EQ(config.pools[1].check.doubt, 30s);
}

TEST(Load, GatesAreOfThreeKindsAndEachHasAName) {
  const auto gates =
      good(listener + pool +
           "[pool.app.failover]\ngates = [{ url = \"http://10.0.0.11:9000/ready\", expect = \"OK\" }, { url = "
           "\"http://h/\", name = \"other site\" }, { command = [\"/usr/local/bin/compare-data\", \"app\", \"\"], "
           "timeout = "
           "\"30s\" }, { approval = \"data compared\" }]\n")
          .pools[0]
          .failover.gates;
  ASSERT_EQ(gates.size(), 4U);
  EXPECT_EQ(gates[0].kind, GateKind::url);
  EXPECT_EQ(gates[0].name, "http://10.0.0.11:9000/ready");
  EXPECT_EQ(gates[0].expect, "OK");
  EXPECT_EQ(gates[0].timeout, 10s);
  EXPECT_EQ(gates[1].name, "other site");
  EXPECT_EQ(gates[1].url, "http://h/");
  EXPECT_EQ(gates[2].kind, GateKind::command);
  EXPECT_EQ(gates[2].name, "compare-data");
  EXPECT_THAT(gates[2].command, ElementsAre("/usr/local/bin/compare-data", "app", ""));
  EXPECT_EQ(gates[2].timeout, 30s);
  EXPECT_EQ(gates[3].kind, GateKind::approval);
  EXPECT_EQ(gates[3].name, "data compared");
}

TEST(Load, AGateMayHideItsUrlInAFileThatIsNotRead) {
  LoadContext context = test_context();
  context.read_file = nullptr;
  const LoadResult result =
      load(listener + pool + "[pool.app.failover]\ngates = [{ url = \"${file:gate.url}\", expect = \"OK\" }]\n",
           "u.toml", context);
  ASSERT_TRUE(result.config);
  EXPECT_EQ(result.config->pools[0].failover.gates[0].kind, GateKind::url);
}

TEST(Load, ExpectIsAListOfRanges) {
  const auto expect = [](const std::string& value) {
    return good(listener + pool + "[check]\npath = \"/\"\nexpect = " + value + "\n").pools[0].check.expect;
  };
  EXPECT_EQ(expect("\"200-299\"").size(), 1U);
  const auto ranges = expect("\"200, 204,300-399\"");
  ASSERT_EQ(ranges.size(), 3U);
  EXPECT_EQ(ranges[1].low, 204);
  EXPECT_EQ(ranges[1].high, 204);
  EXPECT_EQ(ranges[2].low, 300);
  EXPECT_EQ(ranges[2].high, 399);
  EXPECT_EQ(expect("204")[0].low, 204);
  for (const char* bad :
       {"\"\"", "\"2xx\"", "\"99\"", "\"600\"", "\"300-200\"", "\"200,\"", "\"200-\"", "\"-\"", "\"0200\"", "42"}) {
    EXPECT_FALSE(load_text(listener + pool + "[check]\npath = \"/\"\nexpect = " + bad + "\n").config) << bad;
  }
}

TEST(Load, HashLooksAtOneOfFourThings) {
  const auto hashed = [](const std::string& on) {
    return good(listener + pool + "balance = \"hash\"\n" + on).pools[0];
  };
  EXPECT_EQ(hashed("").hash_on, HashKey::client_address);
  EXPECT_EQ(hashed("hash_on = \"path\"\n").hash_on, HashKey::path);
  EXPECT_EQ(hashed("hash_on = \"header:X-User\"\n").hash_name, "X-User");
  EXPECT_EQ(hashed("hash_on = \"cookie:sid\"\n").hash_on, HashKey::cookie);
}

TEST(Load, RoutesMatchAndAct) {
  const Config config =
      good(listener + pool +
           "[[route]]\nmatch = { host = \"*.Example.ORG\", path = \"/a/*\", methods = [\"GET\", \"HEAD\"], "
           "headers = { X-B = \"*\" } }\nredirect = { to = \"https://{host}/b{path}\", status = 302 }\n"
           "[[route]]\nmatch = { path = \"/c\" }\nrespond = { status = 404, body = \"no\\n\" }\n"
           "[[route]]\nmatch = { method = \"DELETE\" }\npool = \"app\"\nwebsocket = false\nmax_body_bytes = "
           "\"1MiB\"\nencoded_slash = \"allow\"\n"
           "[[route]]\npool = \"app\"\nwebsocket = { idle_timeout = \"none\" }\nrequest_headers = { add = { "
           "C = \"3\" }, set = { B = \"2\" }, remove = [\"A\"] }\n");
  ASSERT_EQ(config.routes.size(), 4U);
  EXPECT_EQ(config.routes[0].match.host, "*.example.org");
  EXPECT_THAT(config.routes[0].match.methods, ElementsAre("GET", "HEAD"));
  EXPECT_EQ(config.routes[0].redirect->status, 302);
  EXPECT_EQ(config.routes[1].respond->status, 404);
  EXPECT_EQ(config.routes[1].respond->content_type, "text/plain; charset=utf-8");
  EXPECT_FALSE(config.routes[2].websocket.allowed);
  EXPECT_EQ(config.routes[2].max_body_bytes, 1024U * 1024);
  EXPECT_TRUE(config.routes[2].allow_encoded_slash);
  EXPECT_TRUE(config.routes[3].websocket.allowed);
  EXPECT_EQ(config.routes[3].websocket.idle_timeout, std::nullopt);
  ASSERT_EQ(config.routes[3].request_headers.size(), 3U);
  EXPECT_EQ(config.routes[3].request_headers[0].op, HeaderOp::remove) << "fields are removed before others are set";
  EXPECT_EQ(config.routes[3].request_headers[1].op, HeaderOp::set);
  EXPECT_EQ(config.routes[3].request_headers[2].op, HeaderOp::add);
}

TEST(Load, RedirectingAndRespondingNeedNoPool) {
  EXPECT_THAT(good(listener + "[[route]]\nrespond = { status = 503 }\n").pools, IsEmpty());
}

TEST(Load, PathsAreRelativeToTheFile) {
  LoadContext context = test_context();
  const std::string text =
      "[server]\nstate_dir = \"state\"\n[log]\naccess = { format = \"json\", path = \"/abs.log\" "
      "}\n[listen.web]\naddress = \"unix:web.sock\"\ntls = { certificate = \"site.pem\", key = "
      "\"keys/site.key\" }\n[pool.app]\nprimary = [\"unix:@abstract\"]\n";
  const LoadResult result = load(text, "/etc/understudy/understudy.toml", context);
  ASSERT_TRUE(result.config) << render(result.diagnostics, text);
  EXPECT_EQ(result.config->server.state_dir, "/etc/understudy/state");
  EXPECT_EQ(result.config->log.access_path, "/abs.log");
  EXPECT_EQ(result.config->listeners[0].address.path, "/etc/understudy/web.sock");
  EXPECT_EQ(result.config->listeners[0].tls->certificates[0].certificate, "/etc/understudy/site.pem");
  EXPECT_EQ(result.config->listeners[0].tls->certificates[0].key, "/etc/understudy/keys/site.key");
  EXPECT_EQ(result.config->pools[0].tiers[0].endpoints[0].address.path, "@abstract");
}

TEST(Load, StateStandsWhereSystemdSays) {
  LoadContext context;
  context.environment = [](const std::string& name) -> std::optional<std::string> {
    return name == "STATE_DIRECTORY" ? std::optional<std::string>("/var/lib/private/u:/second") : std::nullopt;
  };
  const LoadResult result = load(listener + pool, "u.toml", context);
  EXPECT_EQ(result.config->server.state_dir, "/var/lib/private/u");
  EXPECT_EQ(result.origins.at("server.state_dir"), "environment STATE_DIRECTORY");
  EXPECT_EQ(load(listener + pool + "[server]\nstate_dir = \"none\"\n", "u.toml", context).config->server.state_dir, "");
}

TEST(Expansion, TakesWholeValuesFromOutside) {
  const LoadResult result = load_text(
      "[server]\nworkers = \"${WORKERS}\"\nwatch_config = \"${WATCH}\"\n[admin]\nlisten = "
      "\"127.0.0.1:1\"\ntoken = \"${file:admin.token}\"\n" +
      listener + "[pool.app]\nprimary = [\"${UPSTREAM}\"]\nconnect_timeout = \"${TIMEOUT}\"\n");
  ASSERT_TRUE(result.config);
  EXPECT_EQ(result.config->server.workers, 4U);
  EXPECT_TRUE(result.config->server.watch_config);
  EXPECT_EQ(result.config->admin.token->value, "canary-9d41-of-the-file") << "without the line end of the file";
  EXPECT_EQ(result.config->pools[0].tiers[0].endpoints[0].address.text, "10.0.0.11:8080");
  EXPECT_EQ(result.config->pools[0].connect_timeout, 1500ms);
  EXPECT_EQ(result.origins.at("server.workers"), "environment WORKERS");
  EXPECT_EQ(result.origins.at("admin.token"), "file admin.token");
  EXPECT_THAT(result.diagnostics, IsEmpty()) << "a token from a file is no inline secret";
}

TEST(Expansion, TakesOneLineEndOffAFile) {
  const LoadResult result =
      load_text(listener + pool + "[admin]\nlisten = \"127.0.0.1:1\"\ntoken = \"${file:crlf.token}\"\n");
  EXPECT_EQ(result.config->admin.token->value, "with-crlf");
}

TEST(Expansion, CanBeEscaped) {
  const Config config = good(listener + pool +
                             "[[route]]\nmatch = { headers = { A = \"$${b}\", C = \"x$${y}z$\" } }\npool = "
                             "\"app\"\n[[route]]\npool = \"app\"\n");
  EXPECT_EQ(config.routes[0].match.headers[0].second, "${b}");
  EXPECT_EQ(config.routes[0].match.headers[1].second, "x${y}z$");
}

TEST(Expansion, IsNotRepeated) {
  LoadContext context;
  context.environment = [](const std::string&) { return std::optional<std::string>("${OTHER}"); };
  const LoadResult result =
      load(listener + pool +
               "[[route]]\nmatch = { headers = { A = \"${X}\" } }\npool = \"app\"\n[[route]]\npool = \"app\"\n",
           "u.toml", context);
  EXPECT_EQ(result.config->routes[0].match.headers[0].second, "${OTHER}");
}

TEST(Files, AreNotAskedForWithoutAReader) {
  LoadContext context = test_context();
  context.read_file = nullptr;
  const std::string text =
      "[admin]\nlisten = \"0.0.0.0:9900\"\ntoken = \"${file:no.token}\"\n[listen.web]\naddress = "
      "\":443\"\ntls = { certificate = \"missing.pem\", key = \"missing.key\" }\n" +
      pool;
  const LoadResult result = load(text, "u.toml", context);
  EXPECT_EQ(render(result.diagnostics, text), "");
  EXPECT_TRUE(result.config);
}

TEST(Origins, SayWhereEveryValueComesFrom) {
  const LoadResult result = load_text("[check]\ninterval = \"3s\"\n" + listener + pool +
                                      "balance = \"random\"\n[pool.app.check]\nrise = 4\n");
  ASSERT_TRUE(result.config);
  EXPECT_EQ(result.origins.at("pool.app.balance"), "understudy.toml:7:1");
  EXPECT_EQ(result.origins.at("pool.app.check.rise"), "understudy.toml:9:1");
  EXPECT_EQ(result.origins.at("pool.app.check.interval"), "understudy.toml:2:1") << "inherited from [check]";
  EXPECT_EQ(result.origins.count("pool.app.check.fall"), 0U) << "a default";
  EXPECT_EQ(result.origins.count("pool.app.connect_timeout"), 0U) << "a default";
  EXPECT_EQ(result.origins.count("listen.web.limits.idle_timeout"), 0U) << "a default";
  EXPECT_EQ(result.origins.count("server.workers"), 0U) << "a default";
}

TEST(Starter, LoadsWithoutAComplaint) {
  const Config config = good(starter_file());
  EXPECT_EQ(config.pools.size(), 1U);
  EXPECT_EQ(config.pools[0].tiers.size(), 2U);
}

TEST(Quick, IsOneListenerAndOnePool) {
  const LoadResult result =
      quick(":8080", "127.0.0.1:9900", {"127.0.0.1:1", "127.0.0.1:2"}, {"127.0.0.1:3"}, test_context());
  ASSERT_TRUE(result.config);
  EXPECT_EQ(result.config->admin.listen.text, "127.0.0.1:9900");
  EXPECT_EQ(result.config->server.state_dir, "");
  EXPECT_EQ(result.config->listeners[0].address.port, 8080);
  EXPECT_EQ(result.config->pools[0].tiers[0].endpoints.size(), 2U);
  EXPECT_EQ(result.config->pools[0].tiers[1].endpoints[0].address.text, "127.0.0.1:3");
  EXPECT_EQ(result.config->routes.size(), 1U);
  EXPECT_EQ(result.origins.at("listen.web.address"), "command line");
  EXPECT_EQ(quick(":8080", "127.0.0.1:9900", {"127.0.0.1:1"}, {}, test_context()).config->pools[0].tiers.size(), 1U);
}

TEST(Quick, RefusesWhatAFileWouldRefuse) {
  const LoadResult result = quick("8080", "127.0.0.1:9900", {"127.0.0.1"}, {"a\"b"}, test_context());
  EXPECT_FALSE(result.config);
  EXPECT_EQ(render(result.diagnostics, ""),
            "command line: error: 'address' '8080' is only a number\n     | write \":8080\" for a port on "
            "every address\n"
            "command line: error: 'primary' '127.0.0.1' has no port\n     | write it as host:port\n"
            "command line: error: 'standby' 'a\"b' is neither a host name nor an IP address with a port\n");
}

TEST(Quick, DoesNotExpandArguments) {
  const LoadResult result = quick("${SECRET}", "127.0.0.1:9900", {"h:1"}, {}, test_context());
  ASSERT_FALSE(result.diagnostics.empty());
  EXPECT_EQ(result.diagnostics[0].message.find("canary"), std::string::npos);
  EXPECT_NE(result.diagnostics[0].message.find("${SECRET}"), std::string::npos);
}

TEST(Diff, NamesWhatOnlyARestartCanChange) {
  const Config before = good(listener + pool);
  const Config after = good(
      "[server]\nworkers = 2\nstate_dir = \"/other\"\nshutdown_grace = \"5s\"\nmax_connections_per_ip = "
      "9\n[admin]\nlisten = \"127.0.0.1:9901\"\nmax_connections = 5\n[log]\nlevel = \"debug\"\n" +
      listener + pool + "balance = \"random\"\n");
  EXPECT_THAT(restart_only_changes(before, after), ElementsAre("server.workers", "server.state_dir", "admin.listen"));
  EXPECT_THAT(restart_only_changes(before, before), IsEmpty());
}

}  // namespace
}  // namespace understudy::config
