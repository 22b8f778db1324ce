// The history of live drills as people read it.
#include "proxy/admin/drill_text.hpp"

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::admin {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string text(const std::string& history, const std::string& duties = "") {
  return drill_history_text(boost::json::parse("{\"history\":[" + history + "],\"duties\":[" + duties + "]}"));
}

std::string run(const std::string& detected, const std::string& verdict = "passed", const std::string& more = "") {
  return R"({"name":"dies","pool":"app","began":"2026-11-26T10:20:30.123Z","verdict":")" + verdict +
         R"(","failed":3,"detected_ms":)" + detected + R"(,"shifted_ms":null,"returned_ms":null)" + more + "}";
}

TEST(DrillHistoryText, TellsEachAndHowItsTimesDevelop) {
  EXPECT_EQ(text(""), "");
  const std::string once = text(run("400"));
  EXPECT_THAT(once, HasSubstr("2026-11-26 10:20"));
  EXPECT_THAT(once, HasSubstr("0.40 s"));
  EXPECT_THAT(once, Not(HasSubstr("%")));
  EXPECT_THAT(text(run("400") + "," + run("400") + "," + run("500")), HasSubstr("0.50 s +25%"));
  EXPECT_THAT(text(run("null", "cut", R"(,"why":"its lease")")), HasSubstr("dies (its lease)"));
}

TEST(DrillHistoryText, TellsWhatIsOverdue) {
  EXPECT_THAT(
      text("", R"({"drill":"weekly","pool":"app","due":"2026-11-24T09:00:00.000Z","made":null,"overdue":true})"),
      HasSubstr("OVERDUE: drill weekly of pool app, last due 2026-11-24 09:00, last made never"));
  EXPECT_THAT(text("", R"({"drill":"weekly","pool":"app","due":null,"made":null,"overdue":false})"),
              HasSubstr("scheduled: drill weekly of pool app, last due not yet"));
}

TEST(DrillHistoryText, StandsWhateverItIsGiven) {
  for (const char* odd :
       {"[]", "null", "{}", R"({"history":3,"duties":{}})", R"({"history":[1,null,{}],"duties":[[],{}]})"})
    drill_history_text(boost::json::parse(odd));
  EXPECT_THAT(text(R"({"name":"\u001b[31mred"})"), Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace understudy::admin
