// What a rehearsal or a drill cannot do or measure is refused by name, and what the shortened form leaves out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/scenario.hpp"

namespace understudy::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// The complaints of a rung; "" when there are none.
std::string said(const std::string& text, Rung rung) {
  const ScenarioResult result = load_scenario(text, "s.toml", rung);
  EXPECT_EQ(result.scenario.has_value(), result.diagnostics.empty());
  return render(result.diagnostics, text);
}

std::string with(const std::string& load, const std::string& fault, const std::string& expect = "moves = 9") {
  return "name = \"x\"\n[load]\n" + load + "\n[[fault]]\nat = \"1s\"\nwhere = \"all\"\n" + fault + "\n[expect]\n" +
         expect + "\n";
}

TEST(ScenarioRung, ARehearsalRefusesFaultsOfRealConnections) {
  for (const std::string kind : {"slow_body", "slow_websocket", "cold", "overload"}) {
    const std::string latency = kind == "overload" ? "" : "latency = \"1s\"\n";
    const std::string limit = kind == "overload" || kind == "cold" ? "limit = 3" : "";
    const std::string text = with("websockets = 3", "kind = \"" + kind + "\"\n" + latency + limit);
    EXPECT_EQ(said(text, Rung::any), "");
    EXPECT_EQ(said(text, Rung::drill), "");
    EXPECT_THAT(said(text, Rung::rehearse), HasSubstr("s.toml:7:8: error: kind = \"" + kind + "\" can't be rehearsed"));
    EXPECT_THAT(said(text, Rung::rehearse), HasSubstr("run it with 'understudy drill'"));
  }
}

TEST(ScenarioRung, BothTakeWhatMakesSenseInBoth) {
  for (const std::string kind :
       {"kill", "unreachable", "freeze", "hang", "errors", "backlog", "reset", "half_response"}) {
    const std::string text = with("post = \"30%\"", "kind = \"" + kind + "\"", "doubled = 0\nfailed_repeatable = 0");
    EXPECT_EQ(said(text, Rung::rehearse), "");
    EXPECT_EQ(said(text, Rung::drill), "");
  }
}

TEST(ScenarioRung, ARehearsalHasNoWebSocketsToCount) {
  const std::string text =
      with("websockets = 3", "kind = \"kill\"",
           "sockets_dropped = 3\nsockets_cut = 3\ndrops_per_second = 3\nslow_openings = 3\nleast_open = 3");
  EXPECT_EQ(said(text, Rung::drill), "");
  EXPECT_THAT(said(text, Rung::rehearse), HasSubstr("'sockets_dropped' can't be measured in a rehearsal"));
  for (const char* key : {"sockets_cut", "drops_per_second", "least_open"})
    EXPECT_THAT(said(text, Rung::rehearse), HasSubstr(std::string("'") + key + "' can't be measured in a rehearsal"));
}

TEST(ScenarioRung, ADrillRefusesAGreenPageWhereNothingListens) {
  for (const std::string kind : {"kill", "unreachable", "backlog"}) {
    const std::string text = with("", "kind = \"" + kind + "\"\nhealth = \"good\"");
    EXPECT_EQ(said(text, Rung::rehearse), "");
    EXPECT_THAT(said(text, Rung::drill),
                HasSubstr("s.toml:8:10: error: a health page can't be good behind kind = \"" + kind));
  }
  EXPECT_EQ(said(with("", "kind = \"freeze\"\nhealth = \"good\""), Rung::drill), "");
}

TEST(ScenarioRung, ADrillEndsWithinReason) {
  const std::string day = "name = \"x\"\nlength = \"2h\"\n[expect]\nmoves = 9\n";
  EXPECT_THAT(said(day, Rung::drill), HasSubstr("s.toml:2:10: error: a drill of more than an hour is refused"));
  EXPECT_EQ(said(day, Rung::rehearse), "");
  const std::string crowd = "name = \"x\"\n[load]\nrate = \"50000/s\"\n[expect]\nmoves = 9\n";
  EXPECT_THAT(said(crowd, Rung::drill), HasSubstr("more than 2000000 requests"));
  EXPECT_THAT(said(with("", "kind = \"slow_websocket\"\nlatency = \"1s\""), Rung::drill),
              HasSubstr("does nothing without WebSockets"));
}

TEST(ScenarioRung, NothingIsCountedThatCannotOccur) {
  EXPECT_THAT(said(with("", "kind = \"kill\"", "doubled = 0"), Rung::any),
              HasSubstr("'doubled' can't be measured: every request may be repeated"));
  EXPECT_THAT(said(with("", "kind = \"kill\"", "least_open = 1"), Rung::any),
              HasSubstr("'least_open' can't be measured without WebSockets"));
  EXPECT_THAT(said(with("websockets = 3", "kind = \"kill\"", "least_open = 4"), Rung::any),
              HasSubstr("'least_open' is above 'websockets'"));
  EXPECT_THAT(said(with("websockets = 3", "kind = \"kill\"", "sockets_dropped = 3\nsockets_cut = 4"), Rung::any),
              HasSubstr("'sockets_cut' is above 'sockets_dropped', which counts them too"));
  EXPECT_THAT(said(with("", "kind = \"kill\"", "failed = 1\nfailed_repeatable = 2"), Rung::any),
              HasSubstr("'failed_repeatable' is above 'failed'"));
}

TEST(ScenarioShort, EndsEarlierAndTellsWhatItLeavesOut) {
  const std::string text =
      "name = \"x\"\nlength = \"30s\"\nshort = \"10s\"\n[[fault]]\nat = \"4s\"\nuntil = \"12s\"\nwhere = \"a\"\nkind = "
      "\"kill\"\n[[fault]]\nat = \"15s\"\nwhere = \"a\"\nkind = \"kill\"\nuntil = \"16s\"\n[[operator]]\nat = "
      "\"20s\"\nact "
      "= \"failback\"\n[expect]\nfailed = 0\nmoves = 2\nleast_moves = 2\nreturned = \"9s\"\nleast_answered = "
      "100\nserving = [{ at = \"8s\", tier = \"b\" }, { at = \"30s\", tier = \"a\" }]\n";
  const ScenarioResult whole = load_scenario(text, "s.toml");
  ASSERT_TRUE(whole.scenario) << render(whole.diagnostics, text);
  std::vector<std::string> left_out;
  const Scenario scenario = shortened(*whole.scenario, left_out);
  EXPECT_EQ(scenario.length, 10s);
  ASSERT_EQ(scenario.faults.size(), 1U);
  EXPECT_FALSE(scenario.faults[0].until) << "it lasts to the end";
  EXPECT_THAT(scenario.acts, IsEmpty());
  EXPECT_EQ(scenario.expect.failed, 0U);
  EXPECT_EQ(scenario.expect.moves, 2U) << "an upper limit holds at any time";
  EXPECT_EQ(scenario.expect.serving.size(), 1U);
  EXPECT_THAT(left_out, ElementsAre("returned", "least_moves", "least_answered", "serving at 30s"));
}

TEST(ScenarioShort, KeepsTheReturnWhereThereIsTimeForIt) {
  const std::string text =
      "name = \"x\"\nlength = \"30s\"\nshort = \"20s\"\n[[fault]]\nat = \"4s\"\nuntil = \"8s\"\nwhere = \"a\"\nkind = "
      "\"kill\"\n[expect]\nreturned = \"9s\"\n";
  std::vector<std::string> left_out;
  EXPECT_EQ(shortened(*load_scenario(text, "s.toml").scenario, left_out).expect.returned, 9s);
  EXPECT_THAT(left_out, IsEmpty());
  EXPECT_THAT(said("name = \"x\"\nlength = \"9s\"\nshort = \"9s\"\n[expect]\nmoves = 0\n", Rung::any),
              HasSubstr("s.toml:3:9: error: 'short' is not shorter than 'length'"));
}

TEST(ScenarioRung, ALiveDrillRefusesWhatCannotBeInjected) {
  for (const std::string kind : {"backlog", "half_response", "slow_body", "cold", "overload"}) {
    const std::string latency = kind == "slow_body" || kind == "cold" ? "latency = \"1s\"\n" : "";
    const std::string limit = kind == "overload" || kind == "cold" ? "limit = 3" : "";
    const std::string text = with("", "kind = \"" + kind + "\"\n" + latency + limit);
    EXPECT_EQ(said(text, Rung::drill), "");
    EXPECT_THAT(said(text, Rung::live), HasSubstr("s.toml:7:8: error: kind = \"" + kind + "\" can't be injected"));
    EXPECT_THAT(said(text, Rung::live), HasSubstr("in the sandbox"));
  }
  for (const std::string kind : {"slow", "errors", "reset"}) {
    const std::string text =
        with("", "kind = \"" + kind + (kind == "slow" ? "\"\nlatency = \"1s\"" : "\"\nshare = \"99%\""));
    EXPECT_EQ(said(text, Rung::live), "");
  }
}

TEST(ScenarioRung, ALiveDrillLeavesSomethingToServeTheClients) {
  for (const std::string kind : {"kill", "unreachable", "freeze", "hang", "errors", "reset"}) {
    EXPECT_THAT(said(with("", "kind = \"" + kind + "\""), Rung::live),
                HasSubstr("s.toml:6:9: error: this would leave nothing to serve the clients"));
    EXPECT_EQ(said(with("", "kind = \"" + kind + "\"\nrequests = \"1%\""), Rung::live), "");
    EXPECT_EQ(said(with("", "kind = \"" + kind + "\"\nheader = \"X-Drill: yes\""), Rung::live), "");
  }
  EXPECT_THAT(said(with("", "kind = \"hang\"\nheader = \"X Drill\""), Rung::live), HasSubstr("is no header field"));
}

TEST(ScenarioRung, OnlyALiveDrillPicksRequests) {
  const std::string text = with("", "kind = \"hang\"\nrequests = \"1%\"");
  EXPECT_EQ(said(text, Rung::any), "");
  EXPECT_THAT(said(text, Rung::drill), HasSubstr("run it with 'understudy drill --live'"));
  EXPECT_THAT(said(text, Rung::rehearse), HasSubstr("run it with 'understudy drill --live'"));
}

TEST(ScenarioRung, ALiveDrillOrdersNothingAndMeasuresWhatItCan) {
  const std::string base = with(
      "websockets = 9\npost = \"30%\"", "kind = \"errors\"\nshare = \"5%\"",
      "doubled = 0\nfailed_repeatable = 0\nleast_open = 3\nsockets_dropped = 4\nsockets_cut = 0\ndrops_per_second = 2");
  for (const char* key : {"doubled", "failed_repeatable", "sockets_cut", "drops_per_second", "least_open"})
    EXPECT_THAT(said(base, Rung::live), HasSubstr(std::string("'") + key + "' can't be measured in a running proxy"));
  EXPECT_THAT(said(base, Rung::live), Not(HasSubstr("sockets_dropped")));
  for (const char* act : {"failback", "upgrade"}) {
    const std::string acts =
        with("", "kind = \"errors\"\nshare = \"5%\"") + "[[operator]]\nat = \"2s\"\nact = \"" + act + "\"\n";
    EXPECT_THAT(said(acts, Rung::live), HasSubstr("a live drill orders nothing")) << act;
    EXPECT_EQ(said(acts, Rung::drill), "") << act;
    EXPECT_EQ(said(acts, Rung::rehearse), "") << act;
  }
}

TEST(ScenarioRung, AlertsCannotBeCountedOverAnUpgrade) {
  const std::string text = with("", "kind = \"kill\"", "alerts = [\"incident.opened\"]");
  EXPECT_EQ(said(text, Rung::drill), "");
  EXPECT_THAT(said(text + "[[operator]]\nat = \"2s\"\nact = \"upgrade\"\n", Rung::drill),
              HasSubstr("'alerts' can't be measured over an upgrade"));
}

TEST(ScenarioRung, GuardsAreChecked) {
  const std::string text = with("", "kind = \"errors\"\nshare = \"5%\"");
  EXPECT_EQ(said(text + "[guards]\nblock_out = [\"mon-fri 08:00-18:00\"]\nerror_share = \"none\"\n", Rung::live), "");
  EXPECT_THAT(said(text + "[guards]\nblock_out = [\"monday\"]\n", Rung::live),
              HasSubstr("'monday' names no days of the week"));
  EXPECT_THAT(said(text + "[guards]\nlease = \"100ms\"\n", Rung::live), HasSubstr("'lease'"));
}

}  // namespace
}  // namespace understudy::config
