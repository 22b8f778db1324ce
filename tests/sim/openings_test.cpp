// Endpoints that are slow to open WebSockets while they answer requests: new tunnels go where they are opened in time, requests stay,
// and tunnels return only to who opens them in its usual time. The core in virtual time, devices that choose as the workers do.
#include <gmock/gmock.h>

#include <deque>

#include "health/choice.hpp"
#include "tests/support/health_sim.hpp"

namespace understudy::sim {
namespace {

using ::testing::HasSubstr;
using Kind = Event::Kind;

constexpr const char* kP1 = "10.0.0.1:80";
constexpr const char* kP2 = "10.0.0.2:80";
constexpr const char* kS1 = "10.0.1.1:80";

config::PoolConfig shared_pool() {
  config::PoolConfig app = two_and_one();
  app.tiers_mode = config::TiersMode::shared;
  app.failover.failback_after = 5s;
  return app;
}

// Devices that open a WebSocket each `every`, and wait for it as long as it takes.
class Devices {
public:
  Devices(World& world, const config::PoolConfig& pool) : world_(world) {
    shared_ = pool.tiers_mode == config::TiersMode::shared;
    come();
    flush();
  }
  std::map<std::string, Duration> takes;               // by address; else 3 ms
  std::map<std::string, std::size_t> bears;            // by address; more in a second take 1.5 s
  Duration every = 50ms;                               // zero: none
  std::map<std::string, std::uint64_t> asked, opened;  // by address
  std::vector<std::pair<TimePoint, Duration>> took;    // when it was wanted, and how long the client waited
  std::uint64_t nowhere = 0;

  // Median of those that were wanted since.
  Duration median(TimePoint since) const {
    std::vector<Duration> waits;
    for (const auto& [at, wait] : took)
      if (at >= since) waits.push_back(wait);
    if (waits.empty()) return Duration::max();
    std::sort(waits.begin(), waits.end());
    return waits[waits.size() / 2];
  }
  void forget() {
    asked.clear();
    opened.clear();
    took.clear();
  }

private:
  struct Opening {
    TimePoint wanted{}, began{};
    health::EndpointId at;
    bool left = false;
  };
  struct Books {
    health::TrafficSample sample;
    std::map<std::uint64_t, Opening> waiting;
  };

  void come() {
    world_.at(every > 0ns ? every : Duration(100ms), [this] {
      if (every > 0ns) begin({world_.now, {}, {}, false}, {});
      come();
    });
  }
  void begin(Opening opening, std::optional<health::EndpointId> except) {
    const auto view = world_.core().view();
    const health::PoolView& pool = view->pools.at(0);
    health::Choice choice;
    if (!except)
      choice = health::choose_opening_trial(pool, [&](std::uint32_t t, std::uint32_t e) {
        const health::EndpointView& endpoint = pool.tiers[t].endpoints[e];
        if (world_.now < next_trial_[endpoint.id] || !chance(endpoint.opening_trials->share)) return false;
        next_trial_[endpoint.id] = world_.now + endpoint.opening_trials->pause;
        return true;
      });
    const bool trial = choice.endpoint.has_value();
    if (!trial)
      choice = health::choose(
          pool, {.shared = shared_, .first = !except, .again = except.has_value(), .opening = true},
          [&](std::uint32_t t) { return in_tier(pool.tiers[t], except); }, [](std::uint32_t) { return std::nullopt; },
          [] { return std::nullopt; }, [this](double s) { return chance(s); });
    if (!choice.endpoint) {
      ++nowhere;
      return;
    }
    const health::EndpointView& to = pool.tiers[choice.tier].endpoints[*choice.endpoint];
    const std::string address = to.address.to_string();
    opening.began = world_.now;
    opening.at = to.id;
    const std::uint64_t id = ++last_;
    ++asked[address];
    books_[to.id].waiting[id] = opening;
    const auto found = takes.find(address);
    Duration takes_now = found != takes.end() ? found->second : Duration(3ms);
    std::deque<TimePoint>& lately = lately_[address];
    lately.push_back(world_.now);
    while (lately.front() < world_.now - 1s) lately.pop_front();
    if (const auto most = bears.find(address); most != bears.end() && lately.size() > most->second) takes_now = 1500ms;
    world_.at(takes_now, [this, id, at = to.id, address] {
      Books& books = books_[at];
      const auto it = books.waiting.find(id);
      if (it == books.waiting.end()) return;  // gone elsewhere
      ++opened[address];
      ++books.sample.successes;
      books.sample.websocket_open.record(world_.now - it->second.began);
      took.emplace_back(it->second.wanted, world_.now - it->second.wanted);
      books.waiting.erase(it);
    });
    if (trial && to.opening_trials->limit)
      world_.at(*to.opening_trials->limit, [this, id, at = to.id] { leave(id, at); });
  }
  void leave(std::uint64_t id, health::EndpointId at) {
    Books& books = books_[at];
    const auto it = books.waiting.find(id);
    if (it == books.waiting.end() || std::exchange(it->second.left, true)) return;
    const Opening opening = it->second;
    books.waiting.erase(it);
    ++books.sample.openings_left;
    begin(opening, at);
  }
  std::optional<std::uint32_t> in_tier(const health::TierView& tier, std::optional<health::EndpointId> except) {
    const bool choice = health::opens_well(tier);
    std::vector<std::uint32_t> fit;
    for (const std::uint32_t e : tier.usable)
      if (tier.endpoints[e].id != except && !(choice && tier.endpoints[e].opening_trials)) fit.push_back(e);
    if (fit.empty()) return std::nullopt;
    return fit[turn_++ % fit.size()];
  }
  bool chance(double share) { return (draw_ = (draw_ * 1103515245U + 12345U) & 0x7fffffffU) < share * 0x80000000U; }
  void flush() {
    world_.at(100ms, [this] {
      // Requests of the serving tier are well, where it is up: one sample tells of both, as in production.
      const auto view = world_.core().view();
      const health::PoolView& pool = view->pools.at(0);
      for (const health::EndpointView& endpoint : pool.tiers.at(pool.active).endpoints)
        if (world_.mode(endpoint.address.to_string()) == Mode::up) books_[endpoint.id].sample.successes += 5;
      for (auto& [id, books] : books_) {
        health::TrafficSample sample = std::exchange(books.sample, {});
        sample.endpoint = id;
        sample.opening_pending = static_cast<std::uint32_t>(books.waiting.size());
        for (const auto& [key, opening] : books.waiting)
          if (!sample.oldest_opening || opening.began < *sample.oldest_opening) sample.oldest_opening = opening.began;
        world_.sample(sample);
      }
      flush();
    });
  }

  World& world_;
  bool shared_ = false;
  std::map<health::EndpointId, Books> books_;
  std::map<health::EndpointId, TimePoint> next_trial_;
  std::map<std::string, std::deque<TimePoint>> lately_;
  std::uint64_t last_ = 0;
  std::size_t turn_ = 0;
  std::uint32_t draw_ = 1;
};

class Openings : public ::testing::Test {
protected:
  void start(const config::PoolConfig& pool) {
    world = std::make_unique<World>(config_of({pool}));
    devices = std::make_unique<Devices>(*world, pool);
    world->run(20s);
    ASSERT_EQ(world->count(Kind::endpoint_slow_to_open), 0U) << world->told();
    devices->forget();
    began = world->now;
  }
  void slow_primary(Duration takes = 2s) { devices->takes[kP1] = devices->takes[kP2] = takes; }
  std::optional<std::uint32_t> openings_to() { return world->core().view()->pools[0].openings_to; }
  std::unique_ptr<World> world;
  std::unique_ptr<Devices> devices;
  TimePoint began{};
};

TEST_F(Openings, GoWhereTheyAreOpenedInTimeAndRequestsStay) {
  start(shared_pool());
  slow_primary();
  world->run(30s);
  EXPECT_LT(devices->median(began + 1s), 20ms) << world->told();
  EXPECT_EQ(openings_to(), 1U);
  EXPECT_EQ(world->active(), "primary");
  EXPECT_EQ(world->moves(), 0U) << world->told();
  EXPECT_EQ(world->count(Kind::endpoint_suspect), 0U) << world->told();
  EXPECT_EQ(world->count(Kind::openings_moved), 1U) << world->told();
  EXPECT_EQ(world->endpoint_status("p1").openings, "slow");
  EXPECT_THAT(world->last(Kind::endpoint_slow_to_open)->reason, HasSubstr("openings take"));
  EXPECT_THAT(world->status().diagnosis, HasSubstr("2 of 2 endpoints of tier 'primary' are slow to open WebSockets"));
  // A trial is given up in time to go elsewhere: nobody waits for two seconds.
  Duration longest{};
  for (const auto& [at, wait] : devices->took)
    if (at >= began + 1s) longest = std::max(longest, wait);
  EXPECT_LT(longest, 500ms) << world->told();
  EXPECT_LE(devices->asked[kP1] + devices->asked[kP2], 60U);
}

TEST_F(Openings, ReturnOnlyWhenTheyAreOpenedInTheUsualTimeAgain) {
  start(shared_pool());
  slow_primary();
  world->run(20s);
  devices->takes[kP1] = 1500ms;  // better, but not well
  world->run(20s);
  EXPECT_EQ(world->count(Kind::openings_returned), 0U) << world->told();
  devices->takes.clear();
  ASSERT_TRUE(world->run_until([&] { return !openings_to(); }, 30s)) << world->told();
  EXPECT_EQ(world->count(Kind::openings_returned), 1U) << world->told();
  EXPECT_THAT(world->last(Kind::openings_returned)->reason, HasSubstr("new tunnels go to 'primary'"));
  ASSERT_TRUE(world->run_until([&] { return world->count(Kind::endpoint_opens_again) == 2; }, 30s)) << world->told();
  devices->forget();
  world->run(5s);
  EXPECT_EQ(devices->opened[kS1], 0U);
  EXPECT_EQ(world->status().diagnosis, "");
}

TEST_F(Openings, OneThatIsSlowIsAvoidedWithinItsTier) {
  config::PoolConfig app = two_and_one();  // exclusive, and no threshold
  start(app);
  devices->takes[kP1] = 2s;
  world->run(10s);
  EXPECT_EQ(world->endpoint_status("p1").openings, "slow");
  EXPECT_FALSE(openings_to());
  devices->forget();
  world->run(20s);
  EXPECT_LE(devices->asked[kP1], 10U);
  EXPECT_GE(devices->opened[kP2], 380U);
  EXPECT_EQ(devices->opened[kS1], 0U);
}

TEST_F(Openings, Law11AnExclusivePoolKeepsThemUnlessTheOperatorGaveAThreshold) {
  start(two_and_one());
  slow_primary();
  world->run(20s);
  EXPECT_EQ(world->count(Kind::endpoint_slow_to_open), 2U) << world->told();
  EXPECT_EQ(world->count(Kind::openings_moved), 0U);
  EXPECT_EQ(devices->asked[kS1], 0U);

  config::PoolConfig with = two_and_one();
  with.degraded.websocket_open_p95 = 1s;
  start(with);
  slow_primary();
  world->run(20s);
  EXPECT_EQ(world->count(Kind::openings_moved), 1U) << world->told();
  EXPECT_LT(devices->median(began + 3s), 20ms);
  EXPECT_EQ(world->moves(), 0U);
}

TEST_F(Openings, Law3WhereNothingOpensBetterTheyStay) {
  start(shared_pool());
  slow_primary();
  devices->takes[kS1] = 2s;
  world->run(120s);
  EXPECT_EQ(world->active(), "primary");
  EXPECT_LE(world->count(Kind::openings_moved), 1U) << world->told();
  EXPECT_FALSE(openings_to());
  EXPECT_EQ(world->endpoint_status("s1").openings, "slow");
  EXPECT_EQ(devices->nowhere, 0U);
  // The standby is tried all the same, so that it is found when it opens well.
  devices->takes[kS1] = 3ms;
  EXPECT_TRUE(world->run_until([&] { return openings_to() == 1U; }, 60s)) << world->told();
}

TEST_F(Openings, Law4AHeldPoolMovesNone) {
  start(shared_pool());
  ASSERT_TRUE(world->command(health::HoldPool{.pool = "app"}).ok);
  slow_primary();
  world->run(20s);
  EXPECT_EQ(world->count(Kind::openings_moved), 0U);
  ASSERT_TRUE(world->command(health::HoldPool{.pool = "app", .on = false}).ok);
  world->run(1s);
  EXPECT_EQ(world->count(Kind::openings_moved), 1U) << world->told();
}

// A tier above waits for its return, by its own rules: the operator's failback.
TEST_F(Openings, Law4NoneGoUpToATierThatTheOperatorLeft) {
  for (const bool shared : {true, false}) {
    config::PoolConfig app = two_and_one();
    app.failover.failback = config::FailbackMode::manual;
    if (shared) app.tiers_mode = config::TiersMode::shared;
    app.degraded.websocket_open_p95 = 500ms;
    start(app);
    ASSERT_TRUE(world->command(health::MoveTier{.pool = "app", .to = "standby", .reason = "a new kernel"}).ok);
    world->run(10s);
    ASSERT_EQ(world->active(), "standby");
    devices->forget();
    devices->takes[kS1] = 2s;
    world->run(60s);
    EXPECT_EQ(world->endpoint_status("s1").openings, "slow");
    EXPECT_EQ(world->count(Kind::openings_moved), 0U) << world->told();
    EXPECT_EQ(devices->asked[kP1] + devices->asked[kP2], 0U) << "not even as a trial, shared " << shared;
  }
}

// What the standby wrote is not compared yet: a tunnel to the primary would write beside it.
TEST_F(Openings, Law11NoneGoPastAGateOfTheReturn) {
  config::PoolConfig app = two_and_one();
  app.failover.failback_after = 1s;
  config::GateConfig gate;
  gate.name = "data compared";
  gate.kind = config::GateKind::approval;
  app.failover.gates = {gate};
  app.degraded.websocket_open_p95 = 500ms;
  start(app);
  world->set(kP1, Mode::refused);
  world->set(kP2, Mode::refused);
  world->run(10s);
  ASSERT_EQ(world->active(), "standby");
  world->set(kP1, Mode::up);
  world->set(kP2, Mode::up);
  world->run(10s);
  devices->forget();
  devices->takes[kS1] = 2s;
  world->run(60s);
  EXPECT_EQ(world->active(), "standby");
  EXPECT_EQ(world->endpoint_status("s1").openings, "slow");
  EXPECT_EQ(world->count(Kind::openings_moved), 0U) << world->told();
  EXPECT_EQ(devices->asked[kP1] + devices->asked[kP2], 0U) << world->told();
}

TEST_F(Openings, Law3NoneGoToATierThatIsNotFit) {
  health::ProbeResult bad;
  bad.cause = health::Cause::http_status;
  bad.status = 500;
  for (const bool require : {true, false}) {
    config::PoolConfig app = shared_pool();
    config::FitnessConfig request;
    request.path = "/fit";
    request.interval = 1s;
    app.fitness = {request};
    app.failover.require_fit = require;
    start(app);
    world->synthetic[kS1] = bad;
    world->run(10s);
    ASSERT_EQ(world->endpoint_status("s1").fit, health::Fit::unfit);
    devices->forget();
    slow_primary();
    world->run(20s);
    EXPECT_EQ(world->endpoint_status("p1").openings, "slow");
    EXPECT_EQ(world->count(Kind::openings_moved), 0U) << world->told();
    EXPECT_EQ(devices->asked[kS1], 0U);
    world->synthetic.clear();
    EXPECT_TRUE(world->run_until([&] { return openings_to() == 1U; }, 30s)) << world->told();
    world->synthetic[kS1] = bad;
    EXPECT_TRUE(world->run_until([&] { return !openings_to(); }, 30s)) << world->told();
  }
}

// It opens trials well, and is slow once all come: as long as it bears no more, they stay where they are opened.
TEST_F(Openings, WhoBearsFewAndNotManyIsNotReturnedTo) {
  for (const bool shared : {true, false}) {
    config::PoolConfig app = two_and_one();
    if (shared) app.tiers_mode = config::TiersMode::shared;
    app.degraded.websocket_open_p95 = 500ms;
    start(app);
    devices->bears[kP1] = devices->bears[kP2] = 3;
    world->run(300s);
    EXPECT_EQ(world->count(Kind::openings_moved), 1U) << world->told();
    EXPECT_EQ(world->count(Kind::openings_returned), 0U) << world->told();
    EXPECT_EQ(world->moves(), 0U);
    EXPECT_LT(devices->median(began + 3s), 20ms);
    devices->bears.clear();
    ASSERT_TRUE(world->run_until([&] { return !openings_to(); }, 400s)) << world->told();
    world->run(60s);
    EXPECT_EQ(world->count(Kind::openings_moved), 1U) << world->told();
  }
}

TEST_F(Openings, Law3WhereNoTierBearsThemTheyAreNotChased) {
  for (const bool shared : {true, false}) {
    config::PoolConfig app = two_and_one();
    if (shared) app.tiers_mode = config::TiersMode::shared;
    app.degraded.websocket_open_p95 = 500ms;
    start(app);
    devices->bears[kP1] = devices->bears[kP2] = 3;
    devices->bears[kS1] = 6;
    world->run(300s);
    EXPECT_LE(world->count(Kind::openings_moved), 2U) << world->told();
    EXPECT_EQ(world->moves(), 0U);
  }
}

// Nobody is left to show that it opens well again.
TEST_F(Openings, WhoIsSlowAndNotAskedAnyMoreIsTakenAsNormalInTheEnd) {
  config::PoolConfig app = shared_pool();
  app.tiers.pop_back();
  start(app);
  slow_primary();
  world->run(10s);
  ASSERT_EQ(world->endpoint_status("p1").openings, "slow");
  devices->every = 0ns;
  devices->takes.clear();
  EXPECT_TRUE(world->run_until([&] { return world->count(Kind::endpoint_opens_again) == 2; }, 50s)) << world->told();
  EXPECT_EQ(world->endpoint_status("p1").openings, "");
  EXPECT_EQ(world->status().diagnosis, "");
}

TEST_F(Openings, WhoReturnsGetsATrickleUntilItOpensInItsUsualTime) {
  start(two_and_one());
  world->set(kP1, Mode::refused);
  world->run(10s);
  ASSERT_FALSE(world->endpoint_status("p1").available);
  devices->takes[kP1] = 2s;
  devices->forget();
  world->set(kP1, Mode::up);
  ASSERT_TRUE(world->run_until([&] { return world->endpoint_status("p1").available; }, 20s));
  EXPECT_EQ(world->endpoint_status("p1").openings, "returning");
  EXPECT_LE(devices->asked[kP1], 1U);
  world->run(30s);
  EXPECT_LE(devices->asked[kP1], 12U) << "trials only\n" << world->told();
  EXPECT_EQ(world->endpoint_status("p1").openings, "slow");
  devices->takes.clear();
  EXPECT_TRUE(world->run_until([&] { return world->endpoint_status("p1").openings.empty(); }, 60s)) << world->told();
  devices->forget();
  world->run(10s);
  EXPECT_NEAR(static_cast<double>(devices->opened[kP1]), static_cast<double>(devices->opened[kP2]), 10);
}

TEST_F(Openings, AfterAFailbackTheyFollowOnceTheReturnedTierOpensThem) {
  start(shared_pool());
  world->set(kP1, Mode::refused);
  world->set(kP2, Mode::refused);
  world->run(10s);
  ASSERT_EQ(world->active(), "standby");
  slow_primary(3s);  // it comes back, answers requests, and is slow to open
  world->set(kP1, Mode::up);
  world->set(kP2, Mode::up);
  ASSERT_TRUE(world->run_until([&] { return world->active() == "primary"; }, 120s)) << world->told();
  const TimePoint back = world->now;
  devices->forget();
  world->run(20s);
  EXPECT_EQ(openings_to(), 1U) << world->told();
  EXPECT_LT(devices->median(back), 20ms);
  EXPECT_LE(devices->asked[kP1] + devices->asked[kP2], 40U);
  devices->takes.clear();
  EXPECT_TRUE(world->run_until([&] { return !openings_to(); }, 60s)) << world->told();
}

TEST_F(Openings, AfterAFailbackThatNobodyNoticedTheyAreTakenAsNormal) {
  start(shared_pool());
  devices->every = 0ns;  // all are connected
  world->set(kP1, Mode::refused);
  world->set(kP2, Mode::refused);
  world->run(10s);
  ASSERT_EQ(world->active(), "standby");
  world->set(kP1, Mode::up);
  world->set(kP2, Mode::up);
  ASSERT_TRUE(world->run_until([&] { return world->active() == "primary"; }, 120s)) << world->told();
  EXPECT_EQ(openings_to(), 1U) << "its tunnels stay for now";
  EXPECT_TRUE(world->run_until([&] { return !openings_to(); }, 11s)) << world->told();
}

TEST_F(Openings, Law11AfterAFailbackOfAnExclusivePoolTheyFollowAtOnceUnlessThatIsSlow) {
  config::PoolConfig app = two_and_one();
  app.failover.failback_after = 5s;
  app.degraded.websocket_open_p95 = 1s;
  start(app);
  const auto away_and_back = [&](Duration takes) {
    world->set(kP1, Mode::refused);
    world->set(kP2, Mode::refused);
    world->run(10s);
    ASSERT_EQ(world->active(), "standby");
    slow_primary(takes);
    world->set(kP1, Mode::up);
    world->set(kP2, Mode::up);
    ASSERT_TRUE(world->run_until([&] { return world->active() == "primary"; }, 120s)) << world->told();
  };
  away_and_back(3ms);
  EXPECT_FALSE(openings_to());
  world->run(10s);
  EXPECT_EQ(world->count(Kind::openings_moved), 0U) << world->told();
  away_and_back(3s);
  world->run(10s);
  EXPECT_EQ(openings_to(), 1U) << world->told();
}

TEST_F(Openings, WhereNobodyOpensWebSocketsNothingIsToBeShown) {
  config::PoolConfig app = shared_pool();
  app.degraded.websocket_open_p95 = 1s;
  World requests(config_of({app}));
  requests.traffic.every = 10ms;
  requests.run(5s);
  requests.set(kP1, Mode::refused);
  requests.run(10s);
  requests.set(kP1, Mode::up);
  ASSERT_TRUE(requests.run_until([&] { return requests.endpoint_status("p1").available; }, 20s));
  EXPECT_EQ(requests.endpoint_status("p1").openings, "");
}

TEST_F(Openings, AReloadLeavesThemWhereTheyAre) {
  config::PoolConfig app = shared_pool();
  start(app);
  slow_primary();
  world->run(10s);
  ASSERT_EQ(openings_to(), 1U);
  app.failover.failback_after = 7s;
  world->reload(config_of({app}));
  world->run(1s);
  EXPECT_EQ(openings_to(), 1U);
  EXPECT_EQ(world->count(Kind::openings_moved), 1U) << world->told();
}

TEST_F(Openings, FewDevicesFindItToo) {
  start(shared_pool());
  devices->every = 3s;
  slow_primary();
  ASSERT_TRUE(world->run_until([&] { return openings_to() == 1U; }, 60s)) << world->told();
  devices->forget();
  world->run(120s);
  EXPECT_LE(devices->asked[kP1] + devices->asked[kP2], 12U) << "a trial is for one of ten";
}

}  // namespace
}  // namespace understudy::sim
