// What is written down about an outage, with the whole core deciding in virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "health/incident/recorder.hpp"
#include "tests/support/health_sim.hpp"

namespace understudy::incident {
namespace {

using namespace std::chrono_literals;
using sim::Mode;
using sim::World;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;
using testing::Not;

constexpr Wall kMidnight{std::chrono::hours(24 * 20000)};

// Carries facts from the world to the recorder as the process does: events at once, status when it is wanted, a series each
// second.
class Notebook {
public:
  explicit Notebook(World& world, Duration settle = 1min, std::uint64_t next = 1) : world_(world) {
    Settings settings;
    settings.settle = settle;
    settings.config = "c0ffee";
    settings.version = "1.0";
    recorder.emplace(settings);
    recorder->resume({}, next, moment());
    told_ = world.events.size();
    second_ = world.now;
  }

  std::optional<Recorder> recorder;
  std::vector<Record> records;
  std::map<std::uint64_t, Incident> folded;  // from the records alone, as somebody reads them from the disk
  std::string who;
  Counts add;  // to the next series

  Moment moment() const { return {world_.now, wall(world_.now)}; }
  static Wall wall(TimePoint at) {
    return kMidnight + std::chrono::round<std::chrono::milliseconds>(at - TimePoint{1h});
  }

  void run(Duration length) {
    for (const TimePoint end = world_.now + length; world_.now < end;) {
      world_.run(std::min<Duration>(50ms, end - world_.now));
      turn();
    }
  }
  void turn() {
    for (; told_ < world_.events.size(); ++told_) recorder->on_event(world_.events[told_], who, moment());
    if (world_.now - second_ >= 1s) {
      Series series;
      series.over = world_.now - second_;
      series.counts = std::exchange(add, {});
      const std::uint64_t served = sum(world_.served), failed = sum(world_.failed) + world_.unserved;
      series.counts.requests += served + failed - answered_;
      series.counts.failed += failed - failed_;
      series.duration.record(20ms, static_cast<std::uint32_t>(served + failed - answered_));
      answered_ = served + failed;
      failed_ = failed;
      second_ = world_.now;
      recorder->on_series("app", series, moment());
    }
    if (recorder->wants_status(world_.now)) recorder->on_status(world_.core().status(), moment());
    take();
  }
  void take() {
    while (auto record = recorder->poll_record()) {
      apply(folded[record->incident], *record);
      records.push_back(std::move(*record));
    }
  }
  const Incident* open() const {
    const auto found = recorder->open().find("app");
    return found == recorder->open().end() ? nullptr : &found->second;
  }
  std::uint64_t failed() const { return failed_; }

private:
  static std::uint64_t sum(const std::map<std::string, std::uint64_t>& by_tier) {
    std::uint64_t total = 0;
    for (const auto& [tier, count] : by_tier) total += count;
    return total;
  }
  World& world_;
  std::size_t told_ = 0;
  TimePoint second_{};
  std::uint64_t answered_ = 0, failed_ = 0;
};

config::Config one_pool() {
  auto pool = sim::two_and_one();
  pool.failover.failback_after = 20s;
  pool.failover.verify = 10s;
  return sim::config_of({pool});
}

std::vector<std::string> events_of(const Incident& incident) {
  std::vector<std::string> out;
  for (const Entry& entry : incident.entries) out.push_back(entry.event);
  return out;
}

void primaries(World& world, Mode mode) {
  world.set("10.0.0.1:80", mode);
  world.set("10.0.0.2:80", mode);
}

TEST(Incident, TellsAnOutageFromTheFirstBadSampleToTheReturn) {
  World world(one_pool());
  world.traffic.every = 20ms;
  Notebook book(world);
  book.run(40s);
  EXPECT_TRUE(book.records.empty()) << "nothing was wrong";
  const Wall fault = Notebook::wall(world.now);
  const std::uint64_t failed_before = book.failed();
  primaries(world, Mode::refused);
  book.run(30s);
  ASSERT_NE(book.open(), nullptr) << world.told();
  primaries(world, Mode::up);
  const Wall heal = Notebook::wall(world.now);
  book.run(3min);
  ASSERT_EQ(book.open(), nullptr) << world.told();
  ASSERT_EQ(book.folded.size(), 1U);

  const Incident& incident = book.folded.at(1);
  EXPECT_LE(incident.opened.began, fault + 1s);
  EXPECT_GE(incident.opened.began, fault - 1s);
  EXPECT_LE(incident.opened.detected, fault + 2s);
  EXPECT_EQ(incident.opened.pool, "app");
  EXPECT_EQ(incident.opened.tier, "primary");
  EXPECT_EQ(incident.opened.config, "c0ffee");
  EXPECT_EQ(incident.severity, Severity::major);
  ASSERT_TRUE(incident.decided && incident.moved && incident.traffic_moved && incident.verified && incident.went_back &&
              incident.returned);
  EXPECT_LE(*incident.moved, fault + 3s);
  EXPECT_LE(*incident.decided, *incident.moved);
  EXPECT_LE(*incident.moved, *incident.traffic_moved);
  EXPECT_LE(*incident.traffic_moved, *incident.verified);
  EXPECT_GE(*incident.went_back, heal);
  EXPECT_GE(*incident.returned, *incident.went_back);
  EXPECT_EQ(incident.moved_to, "standby");
  EXPECT_EQ(incident.epoch, incident.opened.epoch + 2);
  EXPECT_THAT(incident.verdict, HasSubstr("succeeded"));
  EXPECT_THAT(incident.diagnosis, HasSubstr("refuse connections"));
  EXPECT_GT(book.failed(), failed_before);
  EXPECT_EQ(incident.counts.failed, book.failed() - failed_before) << "every failed request is counted, once";
  EXPECT_THAT(incident.entries, Contains(testing::AllOf(Field(&Entry::event, "considered"),
                                                        Field(&Entry::alternatives, testing::SizeIs(2)))));
  EXPECT_GE(incident.closed->at, *incident.returned + 1min);
}

TEST(Incident, KnowsWhatServedThoughTheMoveCameAtOnce) {
  auto pool = sim::pool(
      "app", {{"primary", {sim::endpoint("10.0.0.1:80", "p1")}}, {"standby", {sim::endpoint("10.0.1.1:80", "s1")}}});
  World world(sim::config_of({pool}));
  Notebook book(world);
  book.run(10s);
  world.set("10.0.0.1:80", Mode::refused);
  book.run(10s);
  ASSERT_NE(book.open(), nullptr);
  EXPECT_EQ(book.open()->opened.tier, "primary");
  EXPECT_EQ(book.open()->opened.epoch + 1, book.open()->epoch);
  EXPECT_TRUE(book.open()->moved);
  EXPECT_TRUE(book.open()->traffic_moved);
  const std::vector<std::string> events = events_of(*book.open());
  EXPECT_THAT(events, Contains("considered"));
  EXPECT_LT(std::find(events.begin(), events.end(), "tier_lost"), std::find(events.begin(), events.end(), "failover"));
}

TEST(Incident, HoldsTheValuesAroundTheFault) {
  World world(one_pool());
  world.traffic.every = 20ms;
  Notebook book(world);
  book.run(2min);
  const Wall fault = Notebook::wall(world.now);
  primaries(world, Mode::refused);
  book.run(20s);
  ASSERT_NE(book.open(), nullptr);
  const Incident& incident = *book.open();
  std::size_t before = 0;
  Wall end{};
  for (const Sample& sample : incident.samples) {
    EXPECT_GE(sample.from, end) << "samples follow each other";
    end = sample.end();
    before += sample.end() <= fault ? 1 : 0;
  }
  EXPECT_GE(before, 25U);
  EXPECT_LE(before, Recorder::kBefore + 1);
  EXPECT_NEAR(static_cast<double>(incident.samples.front().counts.requests), 50, 2);
  EXPECT_GT(incident.samples.front().p95, 15ms);
}

// ---- of live drills

class DrilledIncident : public testing::Test {
protected:
  DrilledIncident() { world.run(20s); }
  void drill(std::set<std::string> endpoints, std::set<std::string> tiers) {
    notes.recorder->on_drill_faults("app", endpoints, tiers, notes.moment());
  }
  void kill(bool up = false) {
    for (const char* address : {"10.0.0.1:80", "10.0.0.2:80"}) world.set(address, up ? Mode::up : Mode::refused);
  }
  World world{sim::config_of({sim::two_and_one()})};
  Notebook notes{world};
};

TEST_F(DrilledIncident, IsTheDrillsWhereAFaultWas) {
  notes.recorder->on_drill("app", "The primary dies", notes.moment());
  drill({"p1", "p2"}, {"primary"});
  kill();
  notes.run(4s);
  ASSERT_NE(notes.open(), nullptr);
  EXPECT_EQ(notes.open()->opened.drill, "The primary dies");
  EXPECT_EQ(notes.open()->beyond_drill, "");
  world.set("10.0.1.1:80", Mode::refused);  // for real
  notes.run(4s);
  EXPECT_THAT(notes.open()->beyond_drill, HasSubstr("s1"));
}

TEST_F(DrilledIncident, IsRealWhereNoFaultHasBegun) {
  notes.recorder->on_drill("app", "The primary dies later", notes.moment());
  kill();
  notes.run(4s);
  ASSERT_NE(notes.open(), nullptr);
  EXPECT_EQ(notes.open()->opened.drill, "");
}

TEST_F(DrilledIncident, IsRealWhereAnotherEndpointFails) {
  notes.recorder->on_drill("app", "Half of it", notes.moment());
  drill({"p2"}, {"primary"});
  world.set("10.0.0.1:80", Mode::refused);
  notes.run(4s);
  ASSERT_NE(notes.open(), nullptr);
  EXPECT_EQ(notes.open()->opened.drill, "");
}

TEST(Incident, APassingDoubtIsNone) {
  World world(one_pool());
  Notebook book(world);
  book.run(10s);
  health::Event doubt;
  doubt.kind = health::Event::Kind::endpoint_suspect;
  doubt.at = doubt.since = world.now;
  doubt.pool = "app";
  doubt.tier = "primary";
  doubt.endpoint = "p1";
  doubt.reason = "p1 is doubted";
  book.recorder->on_event(doubt, "", book.moment());
  book.run(10s);
  EXPECT_TRUE(book.records.empty());
  // It is told as context of what follows.
  primaries(world, Mode::refused);
  book.run(10s);
  ASSERT_NE(book.open(), nullptr);
  const auto& entries = book.open()->entries;
  const auto told =
      std::find_if(entries.begin(), entries.end(), [](const auto& e) { return e.text == "p1 is doubted"; });
  ASSERT_NE(told, entries.end());
  EXPECT_GT(book.open()->opened.began, told->at);
}

TEST(Incident, WorkThatTheOperatorAnnouncedIsNone) {
  World world(one_pool());
  Notebook book(world);
  book.run(10s);
  ASSERT_TRUE(world.command(health::SetEndpointState{"app", "p1", health::OperatorState::disabled, {}, "reboot"}).ok);
  book.run(1s);
  world.set("10.0.0.1:80", Mode::unreachable);
  book.run(1min);
  ASSERT_TRUE(world.command(health::MoveTier{"app", "standby", "test"}).ok);
  book.run(1min);
  EXPECT_TRUE(book.records.empty()) << world.told();
}

TEST(Incident, NamesWhoOrderedWhat) {
  World world(one_pool());
  Notebook book(world);
  book.run(10s);
  world.set("10.0.0.1:80", Mode::refused);
  book.run(20s);
  ASSERT_NE(book.open(), nullptr);
  EXPECT_EQ(book.open()->severity, Severity::minor);
  book.who = "anna";
  ASSERT_TRUE(world.command(health::MoveTier{"app", "standby", "p2 alone is too weak"}).ok);
  book.turn();
  book.who.clear();
  book.recorder->on_act("app", "ben", "failback of pool app: refused", book.moment());
  const auto& entries = book.open()->entries;
  EXPECT_THAT(entries, Contains(testing::AllOf(Field(&Entry::event, "failover"), Field(&Entry::who, "anna"),
                                               Field(&Entry::text, HasSubstr("too weak")))));
  EXPECT_THAT(entries, Contains(testing::AllOf(Field(&Entry::event, "act"), Field(&Entry::who, "ben"))));
}

TEST(Incident, ARelapseJoinsWhatIsOpen) {
  World world(one_pool());
  Notebook book(world);
  book.run(10s);
  primaries(world, Mode::refused);
  book.run(10s);
  primaries(world, Mode::up);
  for (int i = 0; i < 600 && !(book.open() && book.open()->returned); ++i) book.run(200ms);
  ASSERT_TRUE(book.open() && book.open()->returned) << world.told();
  book.run(30s);
  primaries(world, Mode::frozen);
  book.run(30s);
  ASSERT_NE(book.open(), nullptr);
  EXPECT_EQ(book.open()->relapses, 1U);
  EXPECT_FALSE(book.open()->returned) << "the return was not the last one";
  primaries(world, Mode::up);
  book.run(6min);
  EXPECT_EQ(book.open(), nullptr);
  EXPECT_EQ(book.folded.size(), 1U);

  // What comes after the pool was well for long enough is another one.
  primaries(world, Mode::refused);
  book.run(10s);
  ASSERT_NE(book.open(), nullptr);
  EXPECT_EQ(book.open()->number, 2U);
}

TEST(Incident, EverythingDownIsCritical) {
  World world(one_pool());
  Notebook book(world);
  book.run(10s);
  primaries(world, Mode::refused);
  world.set("10.0.1.1:80", Mode::refused);
  book.run(20s);
  ASSERT_NE(book.open(), nullptr);
  EXPECT_EQ(book.open()->severity, Severity::critical);
  EXPECT_THAT(events_of(*book.open()), Contains("all_down"));
}

TEST(Incident, GoesOnAfterARestart) {
  World world(one_pool());
  world.traffic.every = 20ms;
  Notebook before(world);
  before.run(10s);
  primaries(world, Mode::refused);
  before.run(20s);
  ASSERT_NE(before.open(), nullptr);
  const Incident kept = before.folded.at(1);

  world.run(7s);
  world.restart();
  Notebook after(world, 1min);
  after.recorder->resume({kept}, 5, after.moment());
  after.folded[1] = kept;
  after.run(10s);
  ASSERT_NE(after.open(), nullptr);
  EXPECT_EQ(after.open()->number, 1U);
  EXPECT_EQ(after.open()->restarts, 1U);
  EXPECT_THAT(after.open()->entries,
              Contains(testing::AllOf(Field(&Entry::event, "restarted"), Field(&Entry::text, HasSubstr("7")))));
  EXPECT_EQ(after.open()->moved, kept.moved);
  primaries(world, Mode::up);
  after.run(4min);
  EXPECT_EQ(after.open(), nullptr) << world.told();
  EXPECT_TRUE(after.folded.at(1).returned);

  primaries(world, Mode::refused);
  after.run(10s);
  ASSERT_NE(after.open(), nullptr);
  EXPECT_EQ(after.open()->number, 5U) << "numbers are never given out again";
}

TEST(Incident, OfAPoolThatIsGoneIsClosed) {
  auto other = sim::two_and_one("other");
  World world(sim::config_of({sim::two_and_one(), other}));
  Notebook book(world);
  book.run(10s);
  primaries(world, Mode::refused);
  book.run(10s);
  ASSERT_EQ(book.recorder->open().size(), 2U) << "both pools have these endpoints";
  world.reload(sim::config_of({other}));
  Settings settings;
  settings.config = "decade";
  settings.settle = 1min;
  book.recorder->configure(settings, book.moment());
  book.run(2s);
  ASSERT_EQ(book.recorder->open().size(), 1U);
  EXPECT_EQ(book.recorder->open().begin()->first, "other");
  EXPECT_EQ(book.recorder->open().begin()->second.configured, "decade");
}

TEST(Incident, StaysWithinItsBounds) {
  World world(one_pool());
  Notebook book(world);
  book.run(10s);
  primaries(world, Mode::refused);
  book.run(10s);
  ASSERT_NE(book.open(), nullptr);
  health::Event event;
  event.kind = health::Event::Kind::endpoint_suspect;
  event.pool = "app";
  event.endpoint = "p1";
  event.reason = std::string(100'000, 'x') + "ä";
  for (int i = 0; i < 5000; ++i) {
    event.at = event.since = world.now;
    event.endpoint = i % 2 == 0 ? "p1" : "";
    book.recorder->on_event(event, "", book.moment());
  }
  // Two days of it.
  for (int i = 0; i < 2 * 24 * 3600; ++i) {
    world.now += 1s;
    book.recorder->on_series("app", {1s, {.requests = 10, .failed = 10}, {}}, book.moment());
    book.take();
  }
  const Incident& incident = *book.open();
  EXPECT_LE(incident.entries.size(), Recorder::kMostEndpointEntries + Recorder::kMostEntries);
  EXPECT_LE(incident.samples.size(), Recorder::kMostSamples);
  EXPECT_GE(incident.counts.failed, std::uint64_t{2} * 24 * 3600 * 10 - 18'000);
  for (const Entry& entry : incident.entries) EXPECT_LE(entry.text.size(), 2010U);
}

TEST(Incident, AClockThatIsSetBendsNoTimes) {
  World world(one_pool());
  Notebook book(world);
  book.run(10s);
  primaries(world, Mode::refused);
  book.run(10s);
  ASSERT_NE(book.open(), nullptr);
  Moment set = book.moment();
  set.wall += std::chrono::hours(5);
  book.recorder->on_act("app", "anna", "looked", set);
  EXPECT_LT(book.open()->entries.back().at, Notebook::wall(world.now) + 1s);
}

TEST(Incidents, OpeningsThatAreSlowAreOneThoughRequestsAreWell) {
  config::Config config = one_pool();
  config.pools[0].tiers_mode = config::TiersMode::shared;
  config.pools[0].degraded.websocket_open_p95 = 500ms;
  World world(config);
  world.traffic.every = 20ms;
  Notebook notebook(world, 5s);
  const auto openings = [&](Duration took, int samples) {
    for (int i = 0; i < samples; ++i) {
      for (const char* label : {"p1", "p2"}) {
        health::TrafficSample sample;
        sample.endpoint = world.endpoint_status(label).id;
        sample.websocket_open.record(took, 2);
        world.sample(sample);
      }
      notebook.run(100ms);
    }
  };
  notebook.run(5s);
  openings(5ms, 20);
  EXPECT_EQ(notebook.open(), nullptr);
  openings(2s, 10);
  ASSERT_NE(notebook.open(), nullptr) << world.told();
  EXPECT_THAT(events_of(*notebook.open()), Contains("endpoint_slow_to_open"));
  EXPECT_THAT(events_of(*notebook.open()), Contains("openings_moved"));
  EXPECT_FALSE(notebook.open()->moved) << "requests stay";
  const auto returned = [&notebook] {
    const auto events = events_of(*notebook.open());
    return std::find(events.begin(), events.end(), "openings_returned") != events.end();
  };
  for (int i = 0; i < 200 && !returned(); ++i) {  // step by step
    openings(5ms, 1);
    ASSERT_NE(notebook.open(), nullptr);
  }
  EXPECT_THAT(events_of(*notebook.open()), Contains("openings_returned"));
  notebook.run(10s);
  EXPECT_EQ(notebook.open(), nullptr);
}

}  // namespace
}  // namespace understudy::incident
