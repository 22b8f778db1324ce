#include "proxy/admin/access.hpp"

#include <gtest/gtest.h>

namespace understudy::admin {
namespace {

using std::chrono::milliseconds;

Request request_with(std::vector<NameValue> fields) {
  Request request;
  request.method = "GET";
  request.path = "/";
  request.fields = std::move(fields);
  return request;
}

struct OriginCase {
  const char* name;
  bool unix_socket;
  std::vector<NameValue> fields;
  bool allowed;
};

TEST(AdminAccess, HostOriginAndFetchSiteDecideWhoMayAsk) {
  const std::vector<OriginCase> cases = {
      {"loopback v4", false, {{"Host", "127.0.0.1:9900"}}, true},
      {"localhost", false, {{"Host", "localhost:9900"}}, true},
      {"localhost in capitals", false, {{"host", "LocalHost:9900"}}, true},
      {"loopback v6", false, {{"Host", "[::1]:9900"}}, true},
      {"configured name, any port", false, {{"Host", "admin.example.org:444"}}, true},
      {"configured name with its port", false, {{"Host", "ops.example.org:1"}}, true},
      {"configured name with another port", false, {{"Host", "ops.example.org:2"}}, false},
      {"no Host", false, {}, false},
      {"empty Host", false, {{"Host", ""}}, false},
      {"no port", false, {{"Host", "127.0.0.1"}}, false},
      {"other port", false, {{"Host", "127.0.0.1:9901"}}, false},
      {"port with a sign", false, {{"Host", "127.0.0.1:+9900"}}, false},
      {"port and more", false, {{"Host", "127.0.0.1:9900x"}}, false},
      {"rebound name", false, {{"Host", "evil.example:9900"}}, false},
      {"name that begins like ours", false, {{"Host", "localhost.evil.example:9900"}}, false},
      {"name that ends like ours", false, {{"Host", "evil.admin.example.org:9900"}}, false},
      {"other loopback address", false, {{"Host", "127.0.0.2:9900"}}, false},
      {"own origin", false, {{"Host", "127.0.0.1:9900"}, {"Origin", "http://127.0.0.1:9900"}}, true},
      {"own origin through a TLS terminator",
       false,
       {{"Host", "admin.example.org"}, {"Origin", "https://admin.example.org"}},
       true},
      {"foreign origin", false, {{"Host", "127.0.0.1:9900"}, {"Origin", "http://evil.example"}}, false},
      {"origin of another of our names",
       false,
       {{"Host", "127.0.0.1:9900"}, {"Origin", "http://localhost:9900"}},
       false},
      {"null origin", false, {{"Host", "127.0.0.1:9900"}, {"Origin", "null"}}, false},
      {"empty origin", false, {{"Host", "127.0.0.1:9900"}, {"Origin", ""}}, false},
      {"two origins, one foreign",
       false,
       {{"Host", "127.0.0.1:9900"}, {"Origin", "http://127.0.0.1:9900"}, {"Origin", "http://evil.example"}},
       false},
      {"rebinding makes Host and Origin equal",
       false,
       {{"Host", "evil.example:9900"}, {"Origin", "http://evil.example:9900"}},
       false},
      {"same-origin", false, {{"Host", "127.0.0.1:9900"}, {"Sec-Fetch-Site", "same-origin"}}, true},
      {"typed into the address bar", false, {{"Host", "127.0.0.1:9900"}, {"Sec-Fetch-Site", "none"}}, true},
      {"same-site", false, {{"Host", "127.0.0.1:9900"}, {"Sec-Fetch-Site", "same-site"}}, false},
      {"cross-site", false, {{"Host", "127.0.0.1:9900"}, {"Sec-Fetch-Site", "cross-site"}}, false},
      {"unknown site", false, {{"Host", "127.0.0.1:9900"}, {"Sec-Fetch-Site", "nested-document"}}, false},
      {"unix socket with any Host", true, {{"Host", "whatever"}}, true},
      {"unix socket, foreign origin", true, {{"Host", "localhost"}, {"Origin", "http://evil.example"}}, false},
      {"unix socket, forwarded port, own page",
       true,
       {{"Host", "localhost:7777"}, {"Origin", "http://localhost:7777"}},
       true},
      {"unix socket, rebound forwarded port",
       true,
       {{"Host", "evil.example:7"}, {"Origin", "http://evil.example:7"}},
       false},
      {"unix socket, cross-site", true, {{"Host", "localhost"}, {"Sec-Fetch-Site", "cross-site"}}, false},
  };
  for (const OriginCase& c : cases) {
    AccessRules rules;
    rules.unix_socket = c.unix_socket;
    rules.port = 9900;
    rules.hosts = {"admin.example.org", "ops.example.org:1"};
    const auto problem = check_origin(rules, request_with(c.fields));
    EXPECT_EQ(!problem, c.allowed) << c.name << (problem ? ": " + problem->detail : "");
    if (problem) {
      EXPECT_EQ(problem->status, 403U) << c.name;
    }
  }
}

TEST(AdminAccess, HostWithoutPortMeansPort80) {
  AccessRules rules;
  rules.port = 80;
  EXPECT_FALSE(check_origin(rules, request_with({{"Host", "localhost"}})));
}

TEST(AdminAccess, TokenMustBeTheWholeToken) {
  const std::vector<std::pair<std::vector<NameValue>, Login>> cases = {
      {{{"Authorization", "Bearer s3cret"}}, Login::ok},
      {{{"authorization", "bearer   s3cret"}}, Login::ok},
      {{}, Login::missing},
      {{{"Authorization", "Bearer "}}, Login::wrong},
      {{{"Authorization", "Bearer"}}, Login::wrong},
      {{{"Authorization", "Bearer s3cre"}}, Login::wrong},
      {{{"Authorization", "Bearer s3crett"}}, Login::wrong},
      {{{"Authorization", "Bearer s3crets3cret"}}, Login::wrong},
      {{{"Authorization", "Bearer S3cret"}}, Login::wrong},
      {{{"Authorization", "Basic s3cret"}}, Login::wrong},
      {{{"Authorization", "Bearer s3cret"}, {"Authorization", "Bearer s3cret"}}, Login::wrong},
  };
  AccessRules rules;
  rules.token = "s3cret";
  for (const auto& [fields, expected] : cases) {
    EXPECT_EQ(check_token(rules, request_with(fields)), expected) << (fields.empty() ? "none" : fields[0].second);
  }
  rules.token = "";
  EXPECT_EQ(check_token(rules, request_with({{"Authorization", "Bearer "}})), Login::wrong)
      << "an empty token opens nothing";
  rules.token.reset();
  EXPECT_EQ(check_token(rules, request_with({})), Login::ok);
}

TEST(AdminAccess, ChangesNeedTheirMarkAndJson) {
  struct Case {
    std::vector<NameValue> fields;
    unsigned status;  // 0: allowed
  };
  const std::vector<Case> cases = {
      {{{"X-Understudy", "1"}, {"Content-Type", "application/json"}}, 0},
      {{{"X-Understudy", "1"}, {"Content-Type", "Application/JSON; charset=utf-8"}}, 0},
      {{{"Content-Type", "application/json"}}, 403},
      {{{"X-Understudy", "0"}, {"Content-Type", "application/json"}}, 403},
      {{{"X-Understudy", "1"}, {"X-Understudy", "1"}, {"Content-Type", "application/json"}}, 403},
      {{{"X-Understudy", "1"}}, 415},
      {{{"X-Understudy", "1"}, {"Content-Type", "text/plain"}}, 415},
      {{{"X-Understudy", "1"}, {"Content-Type", "application/jsonx"}}, 415},
      {{{"X-Understudy", "1"}, {"Content-Type", "text/plain"}, {"Content-Type", "application/json"}}, 415},
      {{{"X-Understudy", "1"}, {"Content-Type", "application/x-www-form-urlencoded"}}, 415},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto problem = check_mutation(request_with(cases[i].fields));
    EXPECT_EQ(problem ? problem->status : 0U, cases[i].status) << "case " << i;
    if (problem) {
      EXPECT_NE(problem->detail.find("send the header"), std::string::npos) << "names the remedy";
    }
  }
}

TEST(FailedLogins, AllowFiveAtOnceThenFiveASecond) {
  FailedLogins logins;
  FailedLogins::TimePoint now{};
  now += std::chrono::hours(1);
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(logins.limited("a", now)) << i;
    logins.record("a", now);
  }
  EXPECT_TRUE(logins.limited("a", now));
  EXPECT_FALSE(logins.limited("b", now)) << "another source is not braked";
  EXPECT_TRUE(logins.limited("a", now + milliseconds(190)));
  EXPECT_FALSE(logins.limited("a", now + milliseconds(201)));
  int compared = 0;
  for (int ms = 0; ms < 10'000; ++ms) {
    const auto at = now + std::chrono::seconds(1) + milliseconds(ms);
    if (logins.limited("a", at)) continue;
    logins.record("a", at);
    ++compared;
  }
  EXPECT_GE(compared, 50);
  EXPECT_LE(compared, 56) << "five at once and five a second for ten seconds";
}

TEST(FailedLogins, MemoryIsBoundedAndTheOldestIsForgottenFirst) {
  FailedLogins logins(5, 8);
  const FailedLogins::TimePoint now = FailedLogins::TimePoint{} + std::chrono::hours(1);
  for (int i = 0; i < 5; ++i) logins.record("first", now);
  for (int i = 0; i < 7; ++i) logins.record("other " + std::to_string(i), now);
  EXPECT_TRUE(logins.limited("first", now));
  logins.record("first", now);  // failing again makes it the newest
  for (int i = 0; i < 7; ++i) logins.record("more " + std::to_string(i), now);
  EXPECT_TRUE(logins.limited("first", now));
  EXPECT_EQ(logins.sources(), 8U);
  for (int i = 0; i < 100; ++i) logins.record("flood " + std::to_string(i), now);
  EXPECT_EQ(logins.sources(), 8U);
  EXPECT_FALSE(logins.limited("first", now));
}

TEST(PercentEncoding, RoundTripsAndRefusesWhatIsBroken) {
  const std::string label = "unix:/run/a b.sock?x#%";
  EXPECT_EQ(percent_encode(label), "unix%3A%2Frun%2Fa%20b.sock%3Fx%23%25");
  EXPECT_EQ(percent_decode(percent_encode(label)), label);
  for (const char* bad : {"%", "%4", "%zz", "a%0", "%00", "%0a", "%7f"}) EXPECT_FALSE(percent_decode(bad)) << bad;
}

TEST(AdminRequest, QueryValuesAreFoundByKey) {
  Request request;
  request.query = "verbose&since=12&empty=";
  EXPECT_EQ(request.query_value("verbose"), "");
  EXPECT_EQ(request.query_value("since"), "12");
  EXPECT_EQ(request.query_value("empty"), "");
  EXPECT_FALSE(request.query_value("sinc"));
}

}  // namespace
}  // namespace understudy::admin
