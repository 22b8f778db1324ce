// Long random runs: whatever happens in whatever order, some things must always be true.
#include <gtest/gtest.h>

#include "health/random.hpp"
#include "tests/support/health_sim.hpp"

namespace understudy::sim {
namespace {

using Does = ScriptedCoordinator::Does;

class Walk {
public:
  explicit Walk(std::uint64_t seed) : random_(seed), world_(config_, seed) {
    world_.after_step = [this] { check(); };
    world_.coordinator.otherwise.delay = 20ms;
  }

  void run(int steps) {
    for (step_ = 0; step_ < steps && !::testing::Test::HasFailure(); ++step_) {
      act();
      world_.run(std::chrono::milliseconds(pick(400)));
      check_wakeup();
      check_proposals();
    }
  }
  World& world() { return world_; }

private:
  std::uint64_t pick(std::uint64_t below) { return random_.next() % below; }
  bool chance(std::uint64_t percent) { return pick(100) < percent; }

  std::vector<config::PoolConfig> pools() {
    std::vector<config::PoolConfig> result;
    for (int p = 0; p < 3; ++p) {
      if (p > 0 && chance(10)) continue;
      config::PoolConfig config;
      config.name = std::string("pool") + std::to_string(p);
      const std::uint64_t tiers = 1 + pick(3);
      for (std::uint64_t t = 0; t < tiers; ++t) {
        config::TierConfig tier;
        tier.name = std::string("tier") + std::to_string(chance(10) ? t + 1 + pick(3) * 3 : t * 10);
        const std::uint64_t endpoints = 1 + pick(4);
        for (std::uint64_t e = 0; e < endpoints; ++e) {
          const std::uint64_t host = t * 4 + e + (chance(20) ? 20 : 0);
          const std::string address = std::string("10.") + std::to_string(p) + ".0." + std::to_string(host + 1) + ":80";
          tier.endpoints.push_back(chance(15)
                                       ? endpoint(std::string("name") + std::to_string(host) + ".example:80")
                                       : endpoint(address, chance(50) ? std::string("e") + std::to_string(host) : ""));
        }
        config.tiers.push_back(std::move(tier));
      }
      config.check.kind = chance(15) ? config::CheckKind::none : config::CheckKind::tcp;
      config.check.interval = 1s;
      config.check.timeout = 300ms;
      config.check.fall = static_cast<std::uint32_t>(1 + pick(3));
      config.check.rise = static_cast<std::uint32_t>(1 + pick(3));
      config.check.start = static_cast<config::StartPolicy>(pick(3));
      config.failover.failback = static_cast<config::FailbackMode>(pick(3));
      config.failover.failback_after = 5s;
      config.failover.min_available_count = static_cast<std::uint32_t>(1 + pick(2));
      if (chance(30)) config.failover.min_available_share = 0.5;
      config.passive.base_ejection = 2s;
      config.passive.enabled = chance(90);
      if (chance(40)) config.slow_start = 3s;
      result.push_back(std::move(config));
    }
    return result;
  }

  const config::PoolConfig* some_pool() { return &config_.pools[pick(config_.pools.size())]; }

  void act() {
    if (config_.pools.empty()) config_ = config_of(pools()), world_.reload(config_);
    switch (pick(16)) {
      case 0:
      case 1:
      case 2:
      case 3: return fail_something();
      case 4:
      case 5: return send_traffic();
      case 6: return order_endpoint();
      case 7: return order_pool();
      case 8:
        if (chance(40)) {
          config_ = config_of(pools());
          world_.reload(config_);
        }
        return;
      case 9: return resolve_name();
      case 10: return change_coordinator();
      case 11: return odd_decisions();
      case 12:
        if (chance(20)) world_.stop_self(std::chrono::milliseconds(200 + pick(4000)), chance(50));
        return;
      case 13:
        if (chance(10)) {
          for (auto& [name, epoch] : epochs_) epoch_floor_[name] = epoch.epoch + health::epoch_restart_gap;
          epochs_.clear();
          members_.clear();
          world_.restart(random_.next());
        }
        return;
      case 14: return drill_something();
      default: return;
    }
  }

  // Faults on some, then others, then it is over, in whatever order.
  void drill_something() {
    const health::PoolStatus pool = world_.core().status()[pick(config_.pools.size())];
    if (chance(40)) {
      world_.core().on_drill_over(pool.name, chance(80), world_.now);
    } else {
      health::DrillFaults faults{pool.name, pool.tiers[pool.active].name, {}};
      for (const auto& tier : pool.tiers) {
        for (const auto& e : tier.endpoints)
          if (chance(40)) faults.in_force.push_back({e.id, chance(50)});
      }
      world_.core().on_drill(faults, world_.now);
    }
    world_.drain();
  }

  void fail_something() {
    const std::string address =
        std::string("10.") + std::to_string(pick(3)) + ".0." + std::to_string(1 + pick(12)) + ":80";
    world_.set(address, chance(50) ? Mode::up : static_cast<Mode>(pick(5)));
  }
  void send_traffic() {
    std::vector<health::TrafficSample> samples;
    const auto view = world_.core().view();
    for (const auto& pool : view->pools) {
      for (const auto& tier : pool.tiers) {
        for (const auto& e : tier.endpoints) {
          if (!chance(50)) continue;
          health::TrafficSample sample;
          sample.endpoint = e.id;
          if (chance(5)) ++sample.endpoint.generation;  // of somebody who is gone
          if (chance(50)) {
            sample.successes = 1 + pick(10);
          } else {
            sample.failures.at(1 + pick(sample.failures.size() - 1)) = 1 + pick(8);
            sample.consecutive_failures = static_cast<std::uint32_t>(pick(12));
          }
          samples.push_back(sample);
        }
      }
    }
    world_.core().on_traffic(samples, world_.now);
    world_.drain();
  }
  void order_endpoint() {
    const config::PoolConfig* pool = some_pool();
    const config::TierConfig& tier = pool->tiers[pick(pool->tiers.size())];
    const config::EndpointConfig& e = tier.endpoints[pick(tier.endpoints.size())];
    health::SetEndpointState command{pool->name, e.label(), static_cast<health::OperatorState>(pick(4)), {}};
    if (chance(50)) command.state = health::OperatorState::enabled;
    if (chance(50) && command.state != health::OperatorState::enabled) {
      command.expires = world_.now + std::chrono::milliseconds(1 + pick(5000));
    }
    const health::CommandResult result = world_.command(command);
    EXPECT_TRUE(result.ok) << result.error;
  }
  void order_pool() {
    const config::PoolConfig* pool = some_pool();
    std::optional<TimePoint> expires;
    if (chance(70)) expires = world_.now + std::chrono::milliseconds(1 + pick(5000));
    switch (pick(4)) {
      case 0: {
        std::optional<std::string> to;
        if (chance(50)) to = pool->tiers[pick(pool->tiers.size())].name;
        world_.command(health::MoveTier{pool->name, to, "the walk"});
        break;
      }
      case 1: world_.command(health::Failback{pool->name}); break;
      case 2: world_.command(health::HoldPool{pool->name, chance(30), expires}); break;
      default: world_.command(health::SetMaintenance{pool->name, chance(50), expires});
    }
  }
  void resolve_name() {
    const auto p = static_cast<std::uint32_t>(pick(3)), t = static_cast<std::uint32_t>(pick(3));
    const auto e = static_cast<std::uint32_t>(pick(4));
    std::vector<std::string> addresses;
    for (std::uint64_t i = pick(4); i > 0; --i) {
      addresses.push_back(std::string("10.") + std::to_string(pick(3)) + ".0." + std::to_string(1 + pick(12)) + ":80");
    }
    world_.resolve(p, t, e, addresses);
  }
  void change_coordinator() {
    world_.coordinator.otherwise = {static_cast<Does>(chance(60) ? 0 : pick(4)), std::chrono::milliseconds(pick(2000))};
    if (chance(50)) world_.coordinator.otherwise.delay = 0ns;
  }
  void odd_decisions() {
    const config::PoolConfig* pool = some_pool();
    const std::uint64_t epoch = world_.core().status().front().epoch;
    world_.core().on_committed({pool->name, epoch > 3 ? epoch - pick(3) : 0, static_cast<std::uint32_t>(pick(6))},
                               world_.now);
    health::Proposal made_up;
    made_up.pool = pool->name;
    made_up.tier = static_cast<std::uint32_t>(pick(4));
    world_.core().on_refused(made_up, "", world_.now);
    world_.core().on_proposal_timeout(made_up, world_.now);
    const health::EndpointId id{static_cast<std::uint32_t>(pick(40)), static_cast<std::uint32_t>(pick(4))};
    world_.core().on_probe_result(id, {static_cast<health::Cause>(pick(18)), 0, {}, ""}, world_.now);
    world_.core().on_time(world_.now);
    world_.drain();
  }

  // ---- what must always be true

  void check() {
    const auto view = world_.core().view();
    std::set<std::uint32_t> slots;
    for (const auto& pool : view->pools) {
      ASSERT_LT(pool.active, pool.tiers.size());
      check_epoch(pool);
      for (const auto& tier : pool.tiers) check_tier(tier, slots);
    }
    for (; told_ < world_.events.size(); ++told_) ASSERT_FALSE(world_.events[told_].reason.empty());
  }
  void check_epoch(const health::PoolView& pool) {
    const auto& name = pool.tiers[pool.active].name;
    const auto floor = epoch_floor_.find(pool.name);
    if (floor != epoch_floor_.end()) {
      ASSERT_GE(pool.epoch, floor->second);
    }
    const auto before = epochs_.find(pool.name);
    if (before != epochs_.end()) {
      ASSERT_GE(pool.epoch, before->second.epoch);
      if (before->second.tier != name) {
        ASSERT_GT(pool.epoch, before->second.epoch) << "a move without an epoch";
      }
    }
    epochs_[pool.name] = {pool.epoch, name};
  }
  void check_tier(const health::TierView& tier, std::set<std::uint32_t>& slots) {
    ASSERT_TRUE(std::is_sorted(tier.usable.begin(), tier.usable.end()));
    for (const std::uint32_t i : tier.usable) {
      ASSERT_LT(i, tier.endpoints.size());
      ASSERT_FALSE(tier.endpoints[i].draining || tier.endpoints[i].disabled) << "new work only to enabled endpoints";
    }
    for (std::uint32_t i = 0; i < tier.endpoints.size(); ++i) {
      const auto& e = tier.endpoints[i];
      ASSERT_TRUE(slots.insert(e.id.slot).second) << "two endpoints share slot " << e.id.slot;
      ASSERT_GT(e.weight, 0);
      ASSERT_NE(e.load, nullptr);
      if (e.available) {
        const bool on_trial = std::binary_search(tier.trials.begin(), tier.trials.end(), i);
        ASSERT_TRUE(on_trial || std::binary_search(tier.usable.begin(), tier.usable.end(), i));
      }
    }
    Members key;
    for (const std::uint32_t i : tier.usable) key.emplace_back(i, tier.endpoints[i].id, tier.endpoints[i].weight);
    const auto [known, is_new] = members_.try_emplace(tier.membership, key);
    ASSERT_EQ(known->second, key) << "membership " << tier.membership << " means two things";
  }
  void check_wakeup() {
    const auto due = world_.core().next_timeout();
    if (!due || *due > world_.now) return;
    world_.core().on_time(world_.now);
    world_.drain();
    const auto again = world_.core().next_timeout();
    ASSERT_TRUE(!again || *again > world_.now) << "woken for nothing";
  }
  // At most one proposal of a pool is under way: a second one only after an answer, a time-out, an order or a
  // new epoch.
  void check_proposals() {
    std::map<std::string, int> machine;
    for (; seen_ < world_.coordinator.seen.size(); ++seen_) {
      const auto& proposal = world_.coordinator.seen[seen_];
      ASSERT_FALSE(proposal.reason.empty());
      if (!proposal.by_operator) ++machine[proposal.pool + "/" + std::to_string(proposal.from_epoch)];
    }
    for (const auto& [key, count] : machine) ASSERT_LE(count, 4) << key << ": proposals in a burst";
  }

  using Members = std::vector<std::tuple<std::uint32_t, health::EndpointId, double>>;
  struct Seen {
    std::uint64_t epoch;
    std::string tier;
  };
  health::Random random_;
  config::Config config_ = config_of(pools());
  World world_;
  std::map<std::string, Seen> epochs_;
  std::map<std::string, std::uint64_t> epoch_floor_;
  std::map<std::uint64_t, Members> members_;
  std::size_t told_ = 0, seen_ = 0;
  int step_ = 0;
};

TEST(RandomWalk, TenThousandStepsKeepEveryInvariant) {
  std::size_t moves = 0, events = 0;
  for (std::uint64_t seed = 1; seed <= 10 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Walk walk(seed);
    walk.run(1000);
    moves += walk.world().moves();
    events += walk.world().events.size();
  }
  // The walk went somewhere.
  EXPECT_GT(moves, 100U);
  EXPECT_GT(events, 5000U);
}

TEST(RandomWalk, TheSameSeedGivesTheSameRun) {
  std::string told[2];
  for (std::string& text : told) {
    Walk walk(77);
    walk.run(300);
    text = walk.world().told();
  }
  EXPECT_EQ(told[0], told[1]);
  EXPECT_FALSE(told[0].empty());
}

}  // namespace
}  // namespace understudy::sim
