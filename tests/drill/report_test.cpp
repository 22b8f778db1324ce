// What is printed and written of a drill.
#include "proxy/drill/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace understudy::drill {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

Result failed_one() {
  Result result;
  result.file = "x.toml";
  result.config_file = "c.toml";
  result.scenario.name = "A <b> & \"c\" | d";
  result.scenario.proves = "It holds.";
  result.scenario.load.websockets = 3;
  result.verdict = Verdict::failed;
  result.notes = {"the endpoints are embedded origins on loopback"};
  result.checks = {{"at most 0 requests failed", false, "2"}, {"no event all_down", true, "0 times"}};
  result.requests = 10;
  result.facts.answered = 8;
  result.facts.failed = 2;
  result.facts.failed_repeatable = 1;
  result.failures = {{"status 503", 1}, {"timeout", 1}};
  result.answers = {{"a", 5}, {"b", 3}};
  result.times.detected = 1230ms;
  result.devices.dropped = 2;
  result.devices.reasons = {{"closed 1012", 2}};
  result.log = {"   1.000 s  fault: kill at primary"};
  RequestRecord record;
  record.outcome = Outcome::answered;
  record.status = 200;
  record.origin = 0;
  record.due = 10ms;
  record.latency = 5500us;
  result.records = {record};
  result.origins = {"a"};
  return result;
}

TEST(Report, TellsWhatFailedAndWhatDiffered) {
  const std::string text = report_text(failed_one(), true);
  EXPECT_THAT(text, HasSubstr("with c.toml, but:\n  the endpoints are embedded origins on loopback\n"));
  EXPECT_THAT(text, HasSubstr("10 requests: 8 answered, 2 failed (1 status 503, 1 timeout)"));
  EXPECT_THAT(text, HasSubstr("2 dropped (2 closed 1012)"));
  EXPECT_THAT(text, HasSubstr("FAILED  at most 0 requests failed  2\n"));
  EXPECT_THAT(text, HasSubstr("\nFAILED: 1 of 2 expectations\n"));
  EXPECT_THAT(text, HasSubstr("fault: kill at primary"));
  EXPECT_THAT(report_text(failed_one(), false), Not(HasSubstr("fault: kill")));
}

TEST(Report, CallsAnInvalidRunInvalidWhateverItFound) {
  Result result = failed_one();
  result.verdict = Verdict::invalid;
  result.why_invalid = "the load generator did not keep its pace";
  EXPECT_THAT(report_text(result, false), HasSubstr("INVALID: the load generator did not keep its pace; nothing can"));
  EXPECT_THAT(report_junit({result}), HasSubstr("failures=\"0\" errors=\"2\""));
  EXPECT_THAT(report_markdown({result}), HasSubstr("| invalid |"));
}

TEST(Report, IsJson) {
  const auto value = boost::json::parse(report_json({failed_one()})).as_object();
  EXPECT_FALSE(value.at("passed").as_bool());
  const auto& drill = value.at("drills").as_array().at(0).as_object();
  EXPECT_EQ(drill.at("verdict").as_string(), "failed");
  EXPECT_EQ(drill.at("detected_ms").as_double(), 1230);
  EXPECT_TRUE(drill.at("returned_ms").is_null());
  EXPECT_EQ(drill.at("answered_by").as_object().at("a").to_number<int>(), 5);
  EXPECT_EQ(drill.at("expectations").as_array().size(), 2U);
}

TEST(Report, EscapesInJUnit) {
  const std::string text = report_junit({failed_one()});
  EXPECT_THAT(
      text,
      HasSubstr("<testsuite name=\"A &lt;b&gt; &amp; &quot;c&quot; | d\" tests=\"2\" failures=\"1\" errors=\"0\">"));
  EXPECT_THAT(text, HasSubstr("<failure message=\"found: 2\"/>"));
}

TEST(Report, IsARowOfATable) {
  const std::string text = report_markdown({failed_one()});
  EXPECT_THAT(text,
              HasSubstr("| A <b> & \"c\" \\| d | It holds. | failed | 10 | 2 | 1 | 0 | 1.23 s | – | – | 0.0 ms |\n"));
}

TEST(Report, ListsEveryRequest) {
  EXPECT_EQ(requests_csv(failed_one()),
            "id,method,due_ms,late_ms,outcome,status,latency_ms,origin\n0,GET,10.000,0.000,answered,200,5.500,a\n");
}

}  // namespace
}  // namespace understudy::drill
