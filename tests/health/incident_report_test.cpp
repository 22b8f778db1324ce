// An incident as a page for people.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "health/incident/chart.hpp"
#include "health/incident/report.hpp"
#include "health/incident/words.hpp"

namespace understudy::incident {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

Wall at(int ms) { return Wall(milliseconds(1'764'151'445'250 + ms)); }  // 2025-11-26 10:04:05.250

Entry entry(Entry::Kind kind, const std::string& event, int ms, const std::string& text) {
  Entry out;
  out.kind = kind;
  out.event = event;
  out.at = out.since = at(ms);
  out.text = text;
  return out;
}

Incident outage() {
  Incident out;
  Opened opened;
  opened.pool = "app";
  opened.began = at(0);
  opened.detected = at(1200);
  opened.epoch = 3;
  opened.tier = "primary";
  opened.tiers = {"primary", "standby"};
  opened.config = "c0ffee";
  apply(out, {7, opened});
  apply(out, {7, entry(Entry::Kind::note, "act", -30'000, "somebody looked")});
  apply(out, {7, entry(Entry::Kind::signal, "tier_lost", 1500, "tier 'primary' lost <script>alert(1)</script>")});
  apply(out, {7, entry(Entry::Kind::diagnosis, "diagnosis", 1550, "2 of 2 endpoints | refuse *connections*")});
  Entry moved = entry(Entry::Kind::action, "failover", 1600, "moved\nto standby");
  moved.tier = "standby";
  moved.epoch = 4;
  apply(out, {7, moved});
  apply(out, {7, entry(Entry::Kind::milestone, "traffic_moved", 1700, "all of it")});
  apply(out, {7, entry(Entry::Kind::verdict, "verdict", 31'600, "the move succeeded")});
  Entry back = entry(Entry::Kind::action, "failback", 90'000, "back");
  back.tier = "primary";
  back.epoch = 5;
  apply(out, {7, back});
  apply(out, {7, entry(Entry::Kind::milestone, "normal", 91'000, "well")});
  for (int i = -10; i < 100; ++i) {
    Sample sample{
        at(i * 1000), milliseconds(1000), {}, std::chrono::microseconds(2000), std::chrono::microseconds(9000)};
    sample.counts.requests = 100;
    sample.counts.failed = i >= 0 && i < 2 ? 50 : 0;
    if (i == 1) {
      sample.counts.queued = 1'234;
      sample.counts.openings_queued = 34;
      sample.counts.openings_refused = 9;
      sample.counts.tunnels_parked = 20;
      sample.counts.tunnels_resumed = 19;
      sample.counts.tunnels_dropped = 1;
    }
    apply(out, {7, sample});
  }
  return out;
}

TEST(IncidentReport, TellsItInPlainWords) {
  EXPECT_EQ(
      summary(outage()),
      "Pool app was not well from 2025-11-26 10:04:05.250 UTC for 1 min 31 s. 2 of 2 endpoints | refuse *connections*. "
      "Traffic was moved to tier 'standby' 1.6 s after the first sign, and back after 1 min 30 s. "
      "100 of 10,000 requests failed (1.0 %).");
}

TEST(IncidentReport, HasTheTimesAndTheImpact) {
  const std::string page = markdown(outage(), Charts::with);
  for (const char* row :
       {"| begin | 10:04:05.250 | 0 |", "| detect | 10:04:06.450 | +1.2 s |", "| decide | 10:04:06.850 | +1.6 s |",
        "| shift | 10:04:06.950 | +1.7 s |", "| verify | 10:04:36.850 | +32 s |",
        "| return | 10:05:35.250 | +1 min 30 s |", "| normal | 10:05:36.250 | +1 min 31 s |", "| close | open |",
        "| failed (5xx) | 100 (1.0 %) |", "| of them: too many WebSockets were being opened | 9 |",
        "| queued, for a tier or for their turn | 1,234 |", "| of them: WebSockets, for their turn to be opened | 34 |",
        "| WebSockets dropped | 1 |", "| WebSockets parked: without an endpoint, their clients did not notice | 20 |",
        "| of them: reopened at another endpoint | 19 |", "| 10:03:35.250 | -30 s | note, act | somebody looked |"})
    EXPECT_THAT(page, HasSubstr(row));
  EXPECT_THAT(page, HasSubstr("epochs 3 to 5"));
  EXPECT_THAT(page, HasSubstr("- [ ] **Root cause**"));
}

TEST(IncidentReport, WhatStrangersSaidIsTextOnly) {
  const std::string page = markdown(outage(), Charts::without);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("lost &lt;script&gt;"));
  EXPECT_THAT(page, HasSubstr("endpoints \\| refuse \\*connections\\*"));
  EXPECT_THAT(page, HasSubstr("| moved to standby |")) << "a line of a table stays one line";
  EXPECT_THAT(page, Not(HasSubstr("<svg")));
}

TEST(IncidentReport, OfWhatHasOnlyBegunLeavesOutWhatIsNotKnown) {
  Incident begun;
  Opened opened;
  opened.pool = "app";
  opened.began = opened.detected = at(0);
  apply(begun, {1, opened});
  const std::string page = markdown(begun, Charts::with);
  EXPECT_THAT(page, HasSubstr("Nothing was found that explains it."));
  EXPECT_THAT(page, Not(HasSubstr("| shift |")));
  EXPECT_THAT(page, Not(HasSubstr("<svg")));
  EXPECT_THAT(summary(begun), HasSubstr("No request was answered meanwhile."));
}

TEST(IncidentChart, DrawsPeaksAndIsBounded) {
  Chart chart{"Failed <requests>", "%", {}, {{at(5000), "moved"}, {at(-5), "outside"}}};
  EXPECT_EQ(svg(chart), "");
  for (int i = 0; i < 10'000; ++i) chart.points.emplace_back(at(i), i == 5003 ? 80 : 1);
  const std::string drawn = svg(chart);
  EXPECT_THAT(drawn, HasSubstr("Failed &lt;requests&gt;"));
  EXPECT_THAT(drawn, HasSubstr(">moved<"));
  EXPECT_THAT(drawn, Not(HasSubstr("outside")));
  EXPECT_THAT(drawn, HasSubstr("100.0 %")) << "the axis ends above the peak";
  const std::string points = drawn.substr(drawn.find("points=\""));
  EXPECT_LE(std::count(points.begin(), points.end(), ','), 600);
  EXPECT_THAT(points, HasSubstr(",53.6 ")) << "no peak is lost";
}

}  // namespace
}  // namespace understudy::incident
