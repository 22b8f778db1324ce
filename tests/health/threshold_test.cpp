#include "health/threshold.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace understudy::health {
namespace {

ActiveState after(const std::string& results, const Threshold::Policy& policy, ActiveState from) {
  Threshold threshold;
  threshold.assume(from);
  for (const char c : results) threshold.add(c == '+', policy);
  return threshold.state();
}

TEST(Threshold, ResultsInARowMakeVerdicts) {
  using enum ActiveState;
  struct Case {
    const char* results;
    ActiveState from, verdict;
  };
  const std::vector<Case> cases{
      {"", unknown, unknown},          {"+", unknown, healthy},     {"--", unknown, unknown},
      {"---", unknown, unhealthy},     {"--+", unknown, healthy},   {"--", healthy, healthy},
      {"---", healthy, unhealthy},     {"--+--", healthy, healthy}, {"+--+--+", healthy, healthy},
      {"+", unhealthy, unhealthy},     {"++", unhealthy, healthy},  {"+-+-+-", unhealthy, unhealthy},
      {"++---++", unhealthy, healthy},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(after(c.results, {2, 3, 1}, c.from), c.verdict) << c.results << " from " << name_of(c.from);
  }
}

TEST(Threshold, ThePolicyMayAskForMoreThanOneFirstSuccess) {
  EXPECT_EQ(after("+", {2, 3, 2}, ActiveState::unknown), ActiveState::unknown);
  EXPECT_EQ(after("++", {2, 3, 2}, ActiveState::unknown), ActiveState::healthy);
}

TEST(Threshold, TellsWhenAVerdictChangesAndWhenItIsAboutTo) {
  Threshold threshold;
  const Threshold::Policy policy{2, 2, 1};
  EXPECT_TRUE(threshold.changing());
  EXPECT_TRUE(threshold.add(true, policy));
  EXPECT_FALSE(threshold.changing());
  EXPECT_FALSE(threshold.add(true, policy));
  EXPECT_FALSE(threshold.add(false, policy));
  EXPECT_TRUE(threshold.changing());
  EXPECT_TRUE(threshold.add(false, policy));
  EXPECT_FALSE(threshold.changing());
  EXPECT_EQ(threshold.streak(), 2U);
  EXPECT_FALSE(threshold.add(false, policy));
  EXPECT_EQ(threshold.streak(), 3U);
}

TEST(Threshold, ForgottenResultsCountNoMore) {
  Threshold threshold;
  const Threshold::Policy policy{2, 2, 1};
  threshold.add(true, policy);
  threshold.add(false, policy);
  threshold.forget_streak();
  EXPECT_FALSE(threshold.add(false, policy));
  EXPECT_EQ(threshold.state(), ActiveState::healthy);
}

}  // namespace
}  // namespace understudy::health
