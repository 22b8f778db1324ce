// Which tiers a request is offered to, in which order, and which never.
#include "health/choice.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace understudy::health {
namespace {

class Choosing : public ::testing::Test {
protected:
  Choosing() {
    for (int t = 0; t < 3; ++t) {
      TierView tier;
      tier.usable = {0};
      tier.serviceable = true;
      tier.endpoints.resize(1);
      tier.endpoints[0].load = std::make_shared<SharedLoad>();
      pool.tiers.push_back(tier);
    }
  }
  // What is asked, in order, when nobody gives: tiers as digits, "t" before a trial, "?" a draw, "s" whether it spills.
  std::string asked(Asking asking) {
    std::string text;
    last = choose(
        pool, asking,
        [&](std::uint32_t t) {
          text += std::to_string(t);
          return std::find(giving.begin(), giving.end(), t) != giving.end() ? std::optional<std::uint32_t>(0)
                                                                            : std::nullopt;
        },
        [&](std::uint32_t t) {
          text += "t" + std::to_string(t);
          return trial ? std::optional<std::uint32_t>(0) : std::nullopt;
        },
        [&] {
          text += 's';
          return spill_to;
        },
        [&](double) {
          text += '?';
          return true;
        });
    return text;
  }

  PoolView pool;
  std::vector<std::uint32_t> giving;
  bool trial = false;
  std::optional<std::uint32_t> spill_to;
  Choice last;
  const Asking get{.safe = true, .first = true}, post{.first = true};
};

TEST_F(Choosing, ASafeRequestFallsThroughAndAnotherDoesNot) {
  EXPECT_EQ(asked(get), "t0012");
  EXPECT_TRUE(last.elsewhere);
  EXPECT_EQ(asked(post), "0");  // law 11
  EXPECT_TRUE(last.elsewhere);
  EXPECT_EQ(asked({.shared = true, .first = true}), "012");
  pool.tiers[1].serviceable = false;
  pool.tiers[2].usable.clear();
  EXPECT_EQ(asked(get), "t00");
  EXPECT_FALSE(last.elsewhere);
}

TEST_F(Choosing, TheDesignatedTierComesFirstAndTheFirstThatGivesServes) {
  pool.active = 1;
  giving = {0, 2};
  EXPECT_EQ(asked(get), "t110");
  EXPECT_EQ(last.tier, 0U);
  EXPECT_TRUE(last.endpoint);
}

TEST_F(Choosing, ATrialIsForTheFirstAttemptOfASafeRequest) {
  trial = true;
  EXPECT_EQ(asked(get), "t0");
  EXPECT_TRUE(last.trial);
  EXPECT_TRUE(last.risked);
  EXPECT_EQ(asked({.safe = true}), "012");
  EXPECT_EQ(asked(post), "0");
  pool.tiers[0].doubtful = true;  // nobody is trusted there: everything is a trial
  EXPECT_EQ(asked(get), "012");
}

TEST_F(Choosing, TheSideTierGetsItsShareOfWhatMayGoThere) {
  pool.side = SideTraffic{2, 0.1, true};
  giving = {2};
  EXPECT_EQ(asked(get), "?2");
  EXPECT_TRUE(last.risked);
  EXPECT_EQ(asked(post), "0");
  EXPECT_EQ(asked({.shared = true, .first = true}), "012");
  pool.side->safe_only = false;
  EXPECT_EQ(asked({.shared = true, .first = true}), "?2");
  EXPECT_EQ(asked({.safe = true}), "012");  // not the second attempt
}

TEST_F(Choosing, WhereNobodyIsTrustedASharedPoolUsesThoseWhoAre) {
  pool.tiers[0].doubtful = pool.tiers[1].doubtful = true;
  giving = {2};
  EXPECT_EQ(asked({.shared = true, .first = true}), "2");
  EXPECT_FALSE(last.risked);
  EXPECT_EQ(asked({.safe = true, .shared = true}), "2");  // what failed there is not sent there again
  EXPECT_EQ(asked(post), "0");
}

TEST_F(Choosing, AHedgeGoesWhereNobodyIsInTrouble) {
  const Asking hedge{.safe = true, .hedge = true};
  EXPECT_EQ(asked(hedge), "012");
  pool.tiers[0].doubtful = true;
  pool.tiers[1].panic = true;
  EXPECT_EQ(asked(hedge), "2");
}

TEST_F(Choosing, WhatTheServingTierCannotCarryGoesWhereTheSpillSays) {
  pool.spill = {{2, 0.5}};
  EXPECT_EQ(asked(get), "t0012");  // law 11
  const Asking shared{.shared = true, .first = true};
  EXPECT_EQ(asked(shared), "s012");  // it stays
  spill_to = 2;
  giving = {2};
  EXPECT_EQ(asked(shared), "s2");
  EXPECT_EQ(asked({.shared = true}), "012");  // not the second attempt
}

TEST_F(Choosing, WhatIsTooMuchIsShedUnlessALowerTierMayTakeIt) {
  pool.tiers[0].max_unanswered = 4;
  pool.tiers[0].endpoints[0].load->unanswered = 4;
  EXPECT_EQ(asked(get), "t0");
  EXPECT_TRUE(last.shed);
  EXPECT_FALSE(last.endpoint);
  EXPECT_EQ(asked({.safe = true, .first = true, .again = true}), "t0012");  // what was let in
  EXPECT_FALSE(last.shed);
  EXPECT_EQ(asked({.safe = true, .hedge = true}), "12");
  giving = {2};
  EXPECT_EQ(asked({.shared = true, .first = true}), "12");
  EXPECT_FALSE(last.shed);
  pool.tiers[0].endpoints[0].load->unanswered = 3;
  giving = {0};
  EXPECT_EQ(asked(post), "0");
}

TEST_F(Choosing, OpeningsGoToTheirOwnTierAndElsewhereOnlyForWantOfIt) {
  const Asking opening{.shared = true, .first = true, .opening = true};
  EXPECT_EQ(asked(opening), "012");
  pool.openings_to = 1;
  giving = {0, 1};
  EXPECT_EQ(asked(opening), "1");
  EXPECT_EQ(asked({.shared = true, .first = true}), "0") << "a request";
  giving = {0};
  EXPECT_EQ(asked(opening), "10");
  EXPECT_EQ(last.tier, 0U);
  pool.openings_to = 7;  // of another configuration
  EXPECT_EQ(asked(opening), "0");
}

TEST_F(Choosing, WhoIsSlowToOpenIsTriedWhereAnotherIsToBeHadOrNobody) {
  const auto tried = [&] {
    std::string text;
    choose_opening_trial(pool, [&](std::uint32_t t, std::uint32_t) {
      text += std::to_string(t);
      return false;
    });
    return text;
  };
  for (TierView& tier : pool.tiers) tier.endpoints[0].available = true;
  const OpeningTrials slow{.pause = {}, .share = 0.1, .limit = {}};
  EXPECT_EQ(tried(), "");
  pool.tiers[0].endpoints[0].opening_trials = pool.tiers[2].endpoints[0].opening_trials = slow;
  pool.openings_to = 1;
  EXPECT_EQ(tried(), "0");
  pool.tiers[0].endpoints[0].suspect = true;
  EXPECT_EQ(tried(), "") << "requests are tried first";
  pool.tiers[0].endpoints[0].suspect = false;
  pool.tiers[1].endpoints[0].opening_trials = slow;
  pool.openings_to.reset();
  EXPECT_EQ(tried(), "12") << "all are slow: the designated tier is asked anyway";
  pool.tiers[2].endpoints[0].opening_trials->share = 0;
  EXPECT_EQ(tried(), "1") << "it can serve, but new tunnels may not go there (laws 3, 4, 11)";
  const Choice choice = choose_opening_trial(pool, [](std::uint32_t, std::uint32_t) { return true; });
  EXPECT_EQ(choice.tier, 1U);
  EXPECT_TRUE(choice.risked);
}

}  // namespace
}  // namespace understudy::health
