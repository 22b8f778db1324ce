#include "proxy/admin/api.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "tests/admin/fake_control.hpp"

namespace understudy::admin {
namespace {

Request read(std::string path, std::string method = "GET") {
  Request request;
  request.method = std::move(method);
  const std::size_t question = path.find('?');
  request.path = path.substr(0, question);
  request.query = question == std::string::npos ? "" : path.substr(question + 1);
  return request;
}

Request change(std::string path) {
  Request request = read(std::move(path), "POST");
  request.fields = {{"X-Understudy", "1"}, {"Content-Type", "application/json"}};
  request.has_body = true;
  return request;
}

Response ask(FakeControl& control, const Request& request, std::string_view body = {}) {
  Api api(control);
  if (auto refused = api.refuse(request)) return *refused;
  Response answer;
  int answers = 0;
  api.handle(request, body, "loopback", [&](Response response) {
    answer = std::move(response);
    ++answers;
  });
  EXPECT_EQ(answers, 1) << request.path;
  return answer;
}

std::string detail_of(const Response& response) {
  return std::string(boost::json::parse(response.body).at("detail").as_string());
}

TEST(AdminApi, EveryReadAnswers) {
  for (const char* path :
       {"/", "/livez", "/readyz", "/metrics", "/api/v1/status", "/api/v1/pools", "/api/v1/pools/app", "/api/v1/events",
        "/api/v1/events?since=7", "/api/v1/incidents", "/api/v1/incidents/12", "/api/v1/incidents/12?format=markdown",
        "/api/v1/incidents/12?format=text", "/api/v1/drills", "/api/v1/drills/7", "/api/v1/drills/history",
        "/api/v1/alerts", "/api/v1/config", "/api/v1/version"}) {
    FakeControl control;
    EXPECT_EQ(ask(control, read(path)).status, 200U) << path;
    EXPECT_EQ(ask(control, read(path, "HEAD")).status, 200U) << path;
  }
}

TEST(AdminApi, AnIncidentIsJsonOrADraftForPeople) {
  FakeControl control;
  const auto json = boost::json::parse(ask(control, read("/api/v1/incidents/12")).body);
  EXPECT_EQ(json.at("began").as_string(), "2025-11-26T10:04:05.250Z");
  EXPECT_EQ(json.at("detect_ms").to_number<int>(), 1200);
  EXPECT_EQ(json.at("decide_ms").to_number<int>(), 1500);
  EXPECT_TRUE(json.at("returned").is_null());
  EXPECT_EQ(json.at("counts").at("failed").to_number<int>(), 7);
  EXPECT_EQ(json.at("entries").at(0).at("who").as_string(), "anna");
  EXPECT_EQ(json.at("samples").at(0).at("requests").to_number<int>(), 100);
  const Response page = ask(control, read("/api/v1/incidents/12?format=markdown"));
  EXPECT_EQ(page.content_type, "text/markdown; charset=utf-8");
  EXPECT_NE(page.body.find("# Incident 12: pool app, 2025-11-26"), std::string::npos) << page.body;
  const auto list = boost::json::parse(ask(control, read("/api/v1/incidents")).body);
  EXPECT_EQ(list.at("incidents").at(0).at("state").as_string(), "open");
  EXPECT_FALSE(list.at("incidents").at(0).as_object().contains("entries"));

  EXPECT_EQ(ask(control, read("/api/v1/incidents/13")).status, 404U);
  for (const char* path : {"/api/v1/incidents/-1", "/api/v1/incidents/12x", "/api/v1/incidents/99999999999999999999",
                           "/api/v1/incidents/12?format=pdf"})
    EXPECT_EQ(ask(control, read(path)).status, 400U) << path;
}

TEST(AdminApi, AnAlertIsTestedByName) {
  FakeControl control;
  EXPECT_EQ(ask(control, change("/api/v1/alerts/ops/test"), "{}").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/alerts/opps/test"), "{}").status, 404U);
  EXPECT_EQ(ask(control, change("/api/v1/alerts/ops/test"), R"({"to":"x"})").status, 422U);
  EXPECT_EQ(ask(control, read("/api/v1/alerts/ops/test")).status, 405U);
}

TEST(AdminApi, ADrillIsBegunHeldAndStopped) {
  FakeControl control;
  const Response begun =
      ask(control, change("/api/v1/drill"), R"({"scenario":"name = \"x\"\nlength = \"9s\"\n","file":"s.toml"})");
  EXPECT_EQ(begun.status, 200U);
  EXPECT_EQ(control.drill_asked, (std::vector<std::string>{"name = \"x\"\nlength = \"9s\"\n", "s.toml", "loopback"}));
  EXPECT_EQ(ask(control, change("/api/v1/drills/7/renew"), "{}").status, 200U);
  EXPECT_EQ(control.renewals, 1);
  EXPECT_EQ(ask(control, change("/api/v1/drills/7/stop"), R"({"reason":"enough"})").status, 200U);
  EXPECT_EQ(control.drill_stopped, "enough");
  EXPECT_EQ(ask(control, change("/api/v1/drills/8/renew")).status, 404U);
  EXPECT_EQ(ask(control, change("/api/v1/drills/x/renew")).status, 400U);
  EXPECT_EQ(ask(control, change("/api/v1/drill"), "{}").status, 422U);
  EXPECT_EQ(ask(control, change("/api/v1/drill"), R"({"scenario":"x","file":"a\nb"})").status, 422U) << "one line";
  EXPECT_EQ(ask(control, read("/api/v1/drill")).status, 405U);
  Request plain = read("/api/v1/drill", "POST");
  plain.has_body = true;
  EXPECT_EQ(ask(control, plain, R"({"scenario":"x"})").status, 403U) << "without the marks of a change";
}

TEST(AdminApi, ReadsRefuseOtherMethodsAndNameTheRightOne) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"}) {
    FakeControl control;
    const Response response = ask(control, read("/api/v1/status", method));
    EXPECT_EQ(response.status, 405U) << method;
    EXPECT_EQ(response.fields.at(0), NameValue("Allow", "GET, HEAD"));
  }
}

TEST(AdminApi, ChangesArePostOnly) {
  for (const char* path : {"/api/v1/reload", "/api/v1/check", "/api/v1/logs/reopen", "/api/v1/stop", "/api/v1/failover",
                           "/api/v1/failback", "/api/v1/hold", "/api/v1/release", "/api/v1/approve",
                           "/api/v1/maintenance", "/api/v1/pools/app/endpoints/a/state", "/api/v1/endpoints/a/state"}) {
    for (const char* method : {"GET", "HEAD", "PUT", "DELETE"}) {
      FakeControl control;
      const Response response = ask(control, read(path, method));
      EXPECT_EQ(response.status, 405U) << method << " " << path;
      EXPECT_EQ(response.fields.at(0), NameValue("Allow", "POST"));
      EXPECT_TRUE(control.commands.empty() && control.stops.empty() && control.reloads == 0);
    }
    FakeControl control;
    EXPECT_EQ(ask(control, read(path, "POST")).status, 403U) << "no X-Understudy: " << path;
  }
}

TEST(AdminApi, WhileAnotherProcessTakesOverNothingLastingIsChanged) {
  FakeControl control;
  control.no_lasting_changes = Problem{503, "A binary upgrade is under way", "ask again in a moment"};
  const std::pair<const char*, const char*> orders[] = {
      {"/api/v1/reload", "{}"},
      {"/api/v1/drill", R"({"scenario":"x"})"},
      {"/api/v1/failover", R"({"pool":"app"})"},
      {"/api/v1/failback", R"({"pool":"app"})"},
      {"/api/v1/hold", R"({"pool":"app"})"},
      {"/api/v1/release", R"({"pool":"app"})"},
      {"/api/v1/approve", R"({"pool":"app","gate":"g","who":"w","reason":"r"})"},
      {"/api/v1/maintenance", R"({"pool":"app","on":true})"},
      {"/api/v1/pools/app/endpoints/a/state", R"({"state":"draining"})"},
      {"/api/v1/endpoints/a/state", R"({"state":"draining"})"}};
  for (const auto& [path, body] : orders) {
    const Response response = ask(control, change(path), body);
    EXPECT_EQ(response.status, 503U) << path;
    EXPECT_EQ(detail_of(response), "ask again in a moment");
    EXPECT_EQ(response.fields.at(0), NameValue("Retry-After", "1"));
  }
  EXPECT_TRUE(control.commands.empty() && control.reloads == 0 && control.drill_asked.empty());
  // What is done here and now is, and who looks is answered.
  EXPECT_EQ(ask(control, change("/api/v1/stop"), R"({"now":false})").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/check"), "{}").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/logs/reopen"), "{}").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/alerts/ops/test"), "{}").status, 200U);
  EXPECT_EQ(ask(control, read("/api/v1/status")).status, 200U);
  EXPECT_EQ(control.stops.size(), 1U);
  // And when the other one serves, a stop of this one would not be what was meant.
  control.no_changes = control.no_lasting_changes;
  EXPECT_EQ(ask(control, change("/api/v1/stop"), R"({"now":false})").status, 503U);
  EXPECT_EQ(control.stops.size(), 1U);
  EXPECT_EQ(ask(control, read("/api/v1/status")).status, 200U);
}

TEST(AdminApi, UnknownPathsAre404) {
  for (const char* path : {"/api", "/api/v1", "/api/v1/", "/api/v1/statusx", "/api/v1/status/", "//", "/api/v1/pools/",
                           "/api/v1/pools/a/b", "/api/v1/pools/%zz", "/api/v1/pools/%00", "/API/v1/status", "*", "",
                           "/api/v1/pools/../status"}) {
    FakeControl control;
    const Response response = ask(control, read(path));
    EXPECT_EQ(response.status, 404U) << path;
    EXPECT_EQ(response.content_type, "application/problem+json");
  }
}

TEST(AdminApi, AReadWithABodyIsRefused) {
  FakeControl control;
  Request request = read("/api/v1/status");
  request.has_body = true;
  EXPECT_EQ(ask(control, request).status, 400U);
}

TEST(AdminApi, HealthPathsSpeakPlainText) {
  FakeControl control;
  EXPECT_EQ(ask(control, read("/readyz")).body, "ok\n");
  EXPECT_EQ(ask(control, read("/readyz?verbose")).body, "pool app: ok\nok\n");
  control.ready = false;
  const Response response = ask(control, read("/readyz"));
  EXPECT_EQ(response.status, 503U);
  EXPECT_EQ(response.body, "pool app: no endpoint available\n");
  control.alive = false;
  EXPECT_EQ(ask(control, read("/livez")).status, 503U);
}

TEST(AdminApi, MetricsAreNegotiated) {
  FakeControl control;
  EXPECT_TRUE(ask(control, read("/metrics")).content_type.starts_with("text/plain"));
  EXPECT_FALSE(control.openmetrics);
  Request request = read("/metrics");
  request.fields = {{"Accept", "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"}};
  EXPECT_TRUE(ask(control, request).content_type.starts_with("application/openmetrics-text"));
  EXPECT_TRUE(control.openmetrics);
}

TEST(AdminApi, EventsTakeANumber) {
  FakeControl control;
  EXPECT_EQ(ask(control, read("/api/v1/events?since=41")).status, 200U);
  EXPECT_EQ(control.since, 41U);
  for (const char* bad : {"x", "-1", "1x", "", "99999999999999999999999"}) {
    EXPECT_EQ(ask(control, read(std::string("/api/v1/events?since=") + bad)).status, 400U) << bad;
  }
}

TEST(AdminApi, AProblemOfTheControlPlaneIsPassedOn) {
  FakeControl control;
  const Response response = ask(control, read("/api/v1/pools/ap"));
  EXPECT_EQ(response.status, 404U);
  EXPECT_EQ(detail_of(response), "no pool 'ap'; pools: app");
  EXPECT_EQ(boost::json::parse(response.body).at("status").to_number<int>(), 404);
}

TEST(AdminApi, AnExceptionBecomesA500) {
  FakeControl control;
  control.throws = true;
  EXPECT_EQ(ask(control, read("/api/v1/status")).status, 500U);
}

TEST(AdminApi, FailoverReachesTheControlPlane) {
  FakeControl control;
  EXPECT_EQ(ask(control, change("/api/v1/failover"), R"({"pool":"app","to":"standby","reason":"drill"})").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/failover"), R"({"pool":"app"})").status, 200U);
  ASSERT_EQ(control.commands.size(), 2U);
  const auto& first = std::get<health::MoveTier>(control.commands[0].command);
  EXPECT_EQ(first.pool, "app");
  EXPECT_EQ(first.to, "standby");
  EXPECT_EQ(first.reason, "drill");
  EXPECT_EQ(control.commands[0].pool, "app");
  EXPECT_EQ(control.commands[0].who, "loopback");
  EXPECT_FALSE(std::get<health::MoveTier>(control.commands[1].command).to) << "no tier named: the next fit one";
}

TEST(AdminApi, HoldAndMaintenanceCanExpire) {
  FakeControl control;
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(ask(control, change("/api/v1/hold"), R"({"pool":"app","for":"30m"})").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/maintenance"), R"({"pool":"app","on":false})").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/failback"), R"({"pool":"app"})").status, 200U);
  ASSERT_EQ(control.commands.size(), 3U);
  const auto& hold = std::get<health::HoldPool>(control.commands[0].command);
  EXPECT_TRUE(hold.on);
  ASSERT_TRUE(hold.expires);
  EXPECT_GE(*hold.expires, before + std::chrono::minutes(30));
  EXPECT_LE(*hold.expires, std::chrono::steady_clock::now() + std::chrono::minutes(30));
  const auto& maintenance = std::get<health::SetMaintenance>(control.commands[1].command);
  EXPECT_FALSE(maintenance.on);
  EXPECT_FALSE(maintenance.expires);
  EXPECT_EQ(std::get<health::Failback>(control.commands[2].command).pool, "app");
}

TEST(AdminApi, OrdersCarryReasonEpochAndEnd) {
  FakeControl control;
  const auto good = [&](const char* path, const char* body) {
    EXPECT_EQ(ask(control, change(std::string("/api/v1/") + path), body).status, 200U) << path;
  };
  good("failover", R"({"pool":"app","for":"2h","reason":"drill","expected_epoch":18446744073709551615})");
  good("failback", R"({"pool":"app","reason":"over","expected_epoch":0})");
  good("hold", R"({"pool":"app","reason":"site works","expected_epoch":8})");
  good("release", R"({"pool":"app","reason":"done"})");
  good("approve", R"({"pool":"app","gate":"data compared","who":"anna","reason":"0 rows differ","expected_epoch":9})");
  good("maintenance", R"({"pool":"app","on":true,"reason":"kernel"})");
  good("pools/app/endpoints/a/state", R"({"state":"disabled","reason":"disk"})");
  ASSERT_EQ(control.commands.size(), 7U);
  const auto& move = std::get<health::MoveTier>(control.commands[0].command);
  EXPECT_TRUE(move.expires);
  EXPECT_EQ(move.reason, "drill");
  EXPECT_EQ(move.expected_epoch, UINT64_MAX);
  const auto& back = std::get<health::Failback>(control.commands[1].command);
  EXPECT_EQ(back.reason, "over");
  EXPECT_EQ(back.expected_epoch, 0U);
  const auto& hold = std::get<health::HoldPool>(control.commands[2].command);
  EXPECT_TRUE(hold.on && !hold.expires);
  EXPECT_EQ(hold.reason, "site works");
  EXPECT_EQ(hold.expected_epoch, 8U);
  const auto& release = std::get<health::HoldPool>(control.commands[3].command);
  EXPECT_FALSE(release.on);
  EXPECT_EQ(release.reason, "done");
  EXPECT_FALSE(release.expected_epoch);
  const auto& approve = std::get<health::Approve>(control.commands[4].command);
  EXPECT_EQ(approve.pool, "app");
  EXPECT_EQ(approve.gate, "data compared");
  EXPECT_EQ(approve.who, "anna");
  EXPECT_EQ(approve.reason, "0 rows differ");
  EXPECT_EQ(approve.expected_epoch, 9U);
  EXPECT_EQ(std::get<health::SetMaintenance>(control.commands[5].command).reason, "kernel");
  EXPECT_EQ(std::get<health::SetEndpointState>(control.commands[6].command).reason, "disk");
}

TEST(AdminApi, EndpointStatesReachTheControlPlane) {
  const std::vector<std::pair<std::string, health::OperatorState>> words = {
      {"enabled", health::OperatorState::enabled},
      {"draining", health::OperatorState::draining},
      {"disabled", health::OperatorState::disabled},
      {"held", health::OperatorState::held}};
  for (const auto& [word, state] : words) {
    FakeControl control;
    const std::string path = "/api/v1/pools/my%20app/endpoints/unix%3A%2Frun%2Fx.sock/state";
    EXPECT_EQ(ask(control, change(path), R"({"state":")" + word + R"("})").status, 200U);
    ASSERT_EQ(control.commands.size(), 1U);
    const auto& command = std::get<health::SetEndpointState>(control.commands[0].command);
    EXPECT_EQ(command.pool, "my app");
    EXPECT_EQ(command.endpoint, "unix:/run/x.sock");
    EXPECT_EQ(command.state, state) << word;
  }
  FakeControl control;
  EXPECT_EQ(ask(control, change("/api/v1/endpoints/10.0.0.1:80/state"), R"({"state":"draining","for":"1h"})").status,
            200U);
  EXPECT_EQ(std::get<health::SetEndpointState>(control.commands.at(0).command).pool, "");
}

TEST(AdminApi, ProcessCommandsReachTheControlPlane) {
  FakeControl control;
  EXPECT_EQ(ask(control, change("/api/v1/reload"), "").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/reload"), "{}").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/check"), "{}").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/logs/reopen"), " {} \n").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/stop"), "{}").status, 200U);
  EXPECT_EQ(ask(control, change("/api/v1/stop"), R"({"now":true})").status, 200U);
  EXPECT_EQ(control.reloads, 2);
  EXPECT_EQ(control.checks, 1);
  EXPECT_EQ(control.reopens, 1);
  EXPECT_EQ(control.stops, (std::vector<bool>{false, true}));
}

TEST(AdminApi, ARefusedReloadTellsEveryFinding) {
  FakeControl control;
  control.refusal = Problem{422, "the file has errors", "understudy.toml:3:1: error: a\nunderstudy.toml:9:1: error: b"};
  const Response response = ask(control, change("/api/v1/reload"), "{}");
  EXPECT_EQ(response.status, 422U);
  EXPECT_EQ(detail_of(response), control.refusal->detail);
}

struct BadBody {
  const char* path;
  std::string body;
  unsigned status;
  const char* says;
};

TEST(AdminApi, BadBodiesAreRefusedWithThePlaceAndTheRemedy) {
  const std::vector<BadBody> cases = {
      {"failover", "", 422, "'pool' is required; known are pool, to, for, reason, expected_epoch"},
      {"failover", "{", 400, "byte 2: "},
      {"failover", "{}x", 400, "byte 3: "},
      {"failover", "{}{}", 400, "byte 3: "},
      {"failover", "[]", 400, "the body must be a JSON object"},
      {"failover", "\"app\"", 400, "the body must be a JSON object"},
      {"failover", "null", 400, "the body must be a JSON object"},
      {"failover", "pool=app", 400, "byte 1: "},
      {"failover", R"({"pool":"app","pool":"web"})", 400, "key 'pool' stands twice"},
      {"failover", R"({"pool":"app","p\u006fol":"web"})", 400, "key 'pool' stands twice"},
      {"failover", R"({"poool":"app"})", 422, "unknown key 'poool', did you mean 'pool'?"},
      {"failover", R"({"pool":"app","tire":"x"})", 422,
       "unknown key 'tire'; known are pool, to, for, reason, expected_epoch"},
      {"failover", R"({"pool":1})", 422, "'pool' must be text, not a number"},
      {"failover", R"({"pool":null})", 422, "'pool' must be text, not null"},
      {"failover", R"({"pool":{"a":1}})", 422, "'pool' must be text, not an object"},
      {"failover", R"({"pool":["app"]})", 422, "'pool' must be text, not a list"},
      {"failover", "{\"pool\":" + std::string(1000, '['), 400, "byte "},
      {"failover", R"({"pool":"app\nx"})", 422, "'pool' must be one line"},
      {"failover", "{\"pool\":\"app\",\"reason\":\"" + std::string(501, 'x') + "\"}", 422, "'reason' must be one line"},
      {"failover", "{\"pool\":\"\xff\xfe\"}", 400, "byte "},
      {"failover", "{\"pool\":\"a\"/* c */}", 400, "byte "},
      {"failover", "{\"pool\":\"a\",}", 400, "byte "},
      {"hold", R"({"pool":"app","on":true})", 422, "unknown key 'on'"},
      {"maintenance", R"({"pool":"app"})", 422, "'on' is required"},
      {"maintenance", R"({"pool":"app","on":"on"})", 422, "'on' must be true or false, not text"},
      {"maintenance", R"({"pool":"app","on":1})", 422, "'on' must be true or false, not a number"},
      {"release", R"({"pool":"app","for":"1h"})", 422, "unknown key 'for'"},
      {"failback", R"({"pool":"app","expected_epoch":"7"})", 422, "'expected_epoch' must be a whole number, not text"},
      {"failback", R"({"pool":"app","expected_epoch":7.5})", 422, "a whole number, not a number with a fraction"},
      {"failback", R"({"pool":"app","expected_epoch":-7})", 422, "a whole number, not a number below 0"},
      {"failback", R"({"pool":"app","expected_epoch":null})", 422, "a whole number, not null"},
      {"failover", R"({"pool":"app","for":"0s"})", 422, "must be more than nothing"},
      {"approve", R"({"pool":"app","gate":"g","who":"anna"})", 422, "'reason' is required"},
      {"approve", R"({"pool":"app","gate":"g","reason":"r"})", 422, "'who' is required"},
      {"hold", R"({"pool":"app","for":"30"})", 422, "'for' "},
      {"hold", R"({"pool":"app","for":""})", 422, "'for' "},
      {"hold", R"({"pool":"app","for":"0s"})", 422, "must be more than nothing"},
      {"hold", R"({"pool":"app","for":"-5m"})", 422, "'for' "},
      {"hold", R"({"pool":"app","for":"9000h"})", 422, "at most 8760h"},
      {"hold", R"({"pool":"app","for":"99999999999999999999d"})", 422, "'for' "},
      {"hold", R"({"pool":"app","for":30})", 422, "'for' must be text, not a number"},
      {"reload", R"({"now":true})", 422, "unknown key 'now'; this command takes none"},
      {"stop", R"({"now":1})", 422, "'now' must be true or false, not a number"},
      {"pools/app/endpoints/a/state", R"({"state":"drainig"})", 422, "did you mean 'draining'?"},
      {"pools/app/endpoints/a/state", R"({"state":"gone"})", 422, "must be enabled, draining, disabled or held"},
      {"pools/app/endpoints/a/state", R"({})", 422, "'state' is required"},
  };
  for (const BadBody& c : cases) {
    FakeControl control;
    const Response response = ask(control, change(std::string("/api/v1/") + c.path), c.body);
    EXPECT_EQ(response.status, c.status) << c.path << " " << c.body.substr(0, 60);
    EXPECT_EQ(response.content_type, "application/problem+json");
    EXPECT_NE(detail_of(response).find(c.says), std::string::npos)
        << c.body.substr(0, 60) << " -> " << detail_of(response);
    EXPECT_TRUE(control.commands.empty() && control.reloads == 0 && control.stops.empty()) << "nothing happened";
  }
}

TEST(AdminApi, EveryAnswerCarriesTheSecurityFields) {
  const std::string bytes = serialize(text_response(200, "hello"), false, true);
  for (const char* field :
       {"\r\nContent-Security-Policy: default-src 'none'", "\r\nX-Content-Type-Options: nosniff\r\n",
        "\r\nX-Frame-Options: DENY\r\n", "\r\nCache-Control: no-store\r\n", "\r\nContent-Length: 5\r\n",
        "\r\nConnection: close\r\n"}) {
    EXPECT_NE(bytes.find(field), std::string::npos) << field;
  }
  EXPECT_EQ(bytes.find("Access-Control"), std::string::npos);
  EXPECT_TRUE(serialize(text_response(200, "hello"), true, false).ends_with("\r\n\r\n")) << "HEAD has no body";
}

}  // namespace
}  // namespace understudy::admin
