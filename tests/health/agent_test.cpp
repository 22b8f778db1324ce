// What an agent's words amount to.
#include "health/agent.hpp"

#include <gmock/gmock.h>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct Heard : ::testing::Test {
  bool say(std::string_view text) { return agent.take(text, now += 1s); }
  Agent agent;
  TimePoint now{1h};
};

TEST_F(Heard, APercentageIsAPartOfTheWeight) {
  EXPECT_EQ(agent.share(), 1);
  EXPECT_TRUE(say("75%\n"));
  EXPECT_EQ(agent.share(), 0.75);
  EXPECT_TRUE(agent.takes_new());
  EXPECT_FALSE(say("75%"));  // no news
  EXPECT_TRUE(say("0%"));
  EXPECT_FALSE(agent.takes_new());
  EXPECT_TRUE(agent.leaves_in_peace());
  EXPECT_TRUE(say("100%"));
  EXPECT_TRUE(agent.takes_new());
}

TEST_F(Heard, WordsHoldUntilTheyAreTakenBack) {
  EXPECT_TRUE(say("drain"));
  EXPECT_EQ(agent.state(), Agent::State::drain);
  EXPECT_TRUE(say("50%"));  // says nothing of the drain
  EXPECT_EQ(agent.state(), Agent::State::drain);
  EXPECT_TRUE(say("READY"));
  EXPECT_EQ(agent.state(), Agent::State::ready);
  EXPECT_EQ(agent.share(), 0.5);
  for (const char* word : {"down", "failed", "fail", "stopped"}) {
    EXPECT_TRUE(say(word)) << word;
    EXPECT_EQ(agent.state(), Agent::State::down);
    EXPECT_FALSE(agent.leaves_in_peace());
    EXPECT_FALSE(say("ready")) << "only 'up' takes it back";
    EXPECT_TRUE(say("up"));
  }
  EXPECT_TRUE(say("maint"));
  EXPECT_EQ(agent.state(), Agent::State::maintenance);
  EXPECT_TRUE(say("down"));
  EXPECT_EQ(agent.state(), Agent::State::down);
  EXPECT_TRUE(say("up"));
  EXPECT_EQ(agent.state(), Agent::State::maintenance);
}

TEST_F(Heard, SeveralWordsAndAReason) {
  EXPECT_TRUE(say(" up,\tready 40% # queue of 120 \x01\r\n"));
  EXPECT_EQ(agent.share(), 0.4);
  EXPECT_EQ(agent.reason(), "queue of 120 ?");
  EXPECT_EQ(agent.heard_at(), now);
  EXPECT_TRUE(say("down#database gone"));
  EXPECT_EQ(agent.reason(), "database gone");
}

TEST_F(Heard, WhatIsNotUnderstoodChangesNothingAndIsToldOnce) {
  say("60% drain");
  const auto heard = agent.heard_at();
  for (const char* text : {"", " \n", "-5%", "5.5%", "%", "maxconn:", "maxconn:many", "100% ready please"}) {
    Agent before = agent;
    EXPECT_TRUE(say(text)) << text;
    EXPECT_FALSE(say(text)) << text;
    EXPECT_EQ(agent.state(), Agent::State::drain);
    EXPECT_EQ(agent.share(), 0.6);
    EXPECT_FALSE(agent.complaint().empty());
    agent = before;
  }
  say("maxconn:many");
  EXPECT_THAT(agent.complaint(), HasSubstr("'maxconn:many'"));
  EXPECT_EQ(agent.heard_at(), heard);
  EXPECT_TRUE(agent.miss("no answer"));
  EXPECT_FALSE(agent.miss("no answer"));
  EXPECT_EQ(agent.state(), Agent::State::drain);
  EXPECT_TRUE(say("60% drain")) << "it is understood again";
  EXPECT_EQ(agent.complaint(), "");
}

TEST_F(Heard, WhatHaproxysAgentsMaySayBesidesIsNoReasonToIgnoreTheRest) {
  EXPECT_TRUE(say("up 50% maxconn:30"));
  EXPECT_EQ(agent.share(), 0.5);
  EXPECT_EQ(agent.complaint(), "");
  EXPECT_TRUE(say("150%"));
  EXPECT_EQ(agent.share(), 1);
  EXPECT_TRUE(say("drain 99999999999999999999%"));
  EXPECT_EQ(agent.share(), 1);
  EXPECT_EQ(agent.state(), Agent::State::drain);
  EXPECT_FALSE(say("maxconn:7"));
  EXPECT_EQ(agent.complaint(), "");
}

TEST_F(Heard, ABabblerIsNewsOnce) {
  EXPECT_TRUE(say("load=1"));
  EXPECT_FALSE(say("load=2"));
  EXPECT_THAT(agent.complaint(), HasSubstr("'load=2'")) << "the newest is shown";
  EXPECT_TRUE(agent.miss("closed the connection")) << "that is another complaint";
  EXPECT_FALSE(agent.miss("closed the connection"));
  EXPECT_TRUE(say("load=3"));
  EXPECT_TRUE(say("up")) << "it is understood again";
  EXPECT_EQ(agent.complaint(), "");
}

TEST_F(Heard, AnyBytesAreHarmless) {
  std::string text;
  for (int i = 0; i < 256; ++i) text += static_cast<char>(i);
  say(text + "%");
  for (const char c : agent.complaint()) EXPECT_TRUE(c >= ' ' && c <= '~');
  say("up#" + text);
  for (const char c : agent.reason()) EXPECT_TRUE(c >= ' ' && c <= '~');
}

}  // namespace
}  // namespace understudy::health
