// `understudy rehearse`: what is read, what is refused, and what is printed.
#include "proxy/cli/rehearse.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <map>
#include <sstream>

namespace understudy::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* config_text =
    "[listen.web]\naddress = \":8080\"\n[pool.app]\nprimary = [\"10.0.0.11:3000\"]\nstandby = [\"10.0.1.11:3000\"]\n";
constexpr const char* quiet = "name = \"Nothing happens\"\nlength = \"5s\"\n[expect]\nmoves = 0\n";

struct Ran {
  int code;
  std::string out, err;
};

Ran rehearse(const std::map<std::string, std::string>& files, const std::string& config, const std::string& scenario,
             bool json = false) {
  config::LoadContext context;
  context.read_file = [&](const std::string& path) -> std::optional<std::string> {
    const auto found = files.find(path);
    return found == files.end() ? std::nullopt : std::optional(found->second);
  };
  Arguments arguments;
  arguments.config = config;
  arguments.scenario = scenario;
  arguments.json = json;
  std::ostringstream out, err;
  const int code = run_rehearsal(arguments, context, out, err);
  return {code, out.str(), err.str()};
}

TEST(Rehearse, TellsWhatWasExpectedAndFound) {
  const Ran ran = rehearse({{"c.toml", config_text}, {"s.toml", quiet}}, "c.toml", "s.toml");
  EXPECT_EQ(ran.code, 0) << ran.out << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("Nothing happens\nwith c.toml\n"));
  EXPECT_THAT(ran.out, HasSubstr("passed: all of 1 expectation\n"));
  EXPECT_EQ(ran.err, "");
}

TEST(Rehearse, FailsWhenAnExpectationDoes) {
  const std::string killed =
      "name = \"Everything dies\"\nlength = \"5s\"\n[[fault]]\nat = \"1s\"\nwhere = \"all\"\nkind = "
      "\"kill\"\n[expect]\nfailed "
      "= 0\n";
  const Ran ran = rehearse({{"c.toml", config_text}, {"s.toml", killed}}, "c.toml", "s.toml");
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.out, HasSubstr("\nFAILED  at most 0 requests failed"));
  EXPECT_THAT(ran.out, HasSubstr("\nFAILED: 1 of 1 expectation\n"));
}

TEST(Rehearse, SaysTheSameEveryTime) {
  const std::string killed =
      "name = \"The primary dies\"\nlength = \"9s\"\n[[fault]]\nat = \"1s\"\nwhere = \"primary\"\nkind = "
      "\"kill\"\n[expect]\nfailed = 0\n";
  const std::map<std::string, std::string> files{{"c.toml", config_text}, {"s.toml", killed}};
  const Ran first = rehearse(files, "c.toml", "s.toml");
  EXPECT_THAT(first.out, HasSubstr("failover"));
  EXPECT_EQ(first.out, rehearse(files, "c.toml", "s.toml").out);
}

TEST(Rehearse, TakesTheConfigurationThatTheScenarioNames) {
  const std::string named = std::string("config = \"configs/c.toml\"\n") + quiet;
  const std::map<std::string, std::string> files{{"/drills/configs/c.toml", config_text}, {"/drills/s.toml", named}};
  EXPECT_EQ(rehearse(files, "", "/drills/s.toml").code, 0);
  const Ran other = rehearse(files, "/other.toml", "/drills/s.toml");
  EXPECT_EQ(other.code, 2);
  EXPECT_EQ(other.err, "/other.toml: error: cannot read the file\n");
}

TEST(Rehearse, WithoutAnyConfigurationSaysHowToNameOne) {
  const Ran ran = rehearse({{"s.toml", quiet}}, "", "s.toml");
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.err, HasSubstr("s.toml: error: it names no configuration\n     | write understudy rehearse CONFIG "
                                 "SCENARIO"));
}

TEST(Rehearse, TellsEveryErrorOfBothFiles) {
  const Ran ran =
      rehearse({{"c.toml", "[pool.app]\nprimray = []\n"}, {"s.toml", "nmae = \"x\"\n"}}, "c.toml", "s.toml");
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.err, HasSubstr("s.toml:1:1: error: unknown key 'nmae'"));
  EXPECT_THAT(ran.err, HasSubstr("c.toml:2:1: error: unknown key 'primray'"));
  EXPECT_EQ(ran.out, "");
}

TEST(Rehearse, RefusesWhatDoesNotFitTheConfiguration) {
  const std::string elsewhere = std::string(quiet) + "[[fault]]\nat = \"1s\"\nwhere = \"primray\"\nkind = \"kill\"\n";
  const std::map<std::string, std::string> files{{"c.toml", config_text}, {"s.toml", elsewhere}};
  const Ran ran = rehearse(files, "c.toml", "s.toml");
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.err, HasSubstr("s.toml:7:9: error: 'where' of fault 1 names 'primray'"));
  const Ran json = rehearse(files, "c.toml", "s.toml", true);
  EXPECT_EQ(json.code, 2);
  EXPECT_EQ(json.err, "");
  const auto value = boost::json::parse(json.out);
  EXPECT_FALSE(value.at("passed").as_bool());
  EXPECT_EQ(value.at("diagnostics").as_array().size(), 1U);
  EXPECT_EQ(value.at("diagnostics").at(0).at("file").as_string(), "s.toml");
}

TEST(Rehearse, PrintsJson) {
  const Ran ran = rehearse({{"c.toml", config_text}, {"s.toml", quiet}}, "c.toml", "s.toml", true);
  EXPECT_EQ(ran.code, 0);
  const auto value = boost::json::parse(ran.out);
  EXPECT_TRUE(value.at("passed").as_bool());
  EXPECT_EQ(value.at("name").as_string(), "Nothing happens");
  EXPECT_EQ(value.at("config").as_string(), "c.toml");
  EXPECT_EQ(value.at("moves").to_number<int>(), 0);
  EXPECT_GT(value.at("requests").to_number<int>(), 490);
  EXPECT_EQ(value.at("expectations").at(0).at("passed").as_bool(), true);
  EXPECT_TRUE(value.at("log").is_array());
}

TEST(RehearsalText, LinesUpTheExpectations) {
  config::Scenario scenario;
  scenario.name = "Two";
  scenario.proves = "It is so.";
  health::Rehearsal rehearsal;
  rehearsal.log = {"1.000 s  failover: because"};
  rehearsal.checks = {{"short", true, "1"}, {"much longer", false, "2"}};
  rehearsal.requests = 10;
  rehearsal.failed = 1;
  rehearsal.slow = 2;
  rehearsal.retried = 3;
  rehearsal.hedged = 4;
  rehearsal.moves = 1;
  EXPECT_EQ(
      rehearsal_text(scenario, "c.toml", rehearsal),
      "Two\nIt is so.\nwith c.toml\n\n1.000 s  failover: because\n\n10 requests: 1 failed, 2 took longer than 1s, 3 "
      "repeated, 4 hedged; 1 move\n\npassed  short        1\nFAILED  much longer  2\n\nFAILED: 1 of 2 expectations\n");
}

}  // namespace
}  // namespace understudy::cli
