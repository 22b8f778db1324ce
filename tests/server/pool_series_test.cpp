// What clients of a pool met in a second, from the counters of two workers.
#include "proxy/server/pool_series.hpp"

#include <gtest/gtest.h>

namespace understudy::server {
namespace {

using namespace std::chrono_literals;
using health::TimePoint;
using observe::CodeClass;

class Series : public testing::Test {
protected:
  Series() { load({"app", "other"}, {{"a", "app"}, {"b", "other"}, {"c", "app"}, {"moved", ""}}); }

  void load(const std::vector<std::string>& pools, const std::vector<std::pair<std::string, std::string>>& routes) {
    setting = {};
    std::vector<std::string> names;
    for (const auto& pool : pools) setting.pools.emplace_back().name = pool;
    for (const auto& [name, pool] : routes) {
      config::RouteConfig& route = setting.routes.emplace_back();
      route.name = name;
      route.pool = pool;
      names.push_back(name);
    }
    names.emplace_back("none");
    counters.clear();
    for (auto& book : books) counters.push_back(book.plan(std::vector<std::string>{"web", "tls"}, names, pools));
  }
  std::vector<incident::Series> take() { return series.take(setting, counters, now += 1s); }

  config::Config setting;
  std::array<observe::CounterBook, 2> books;
  PoolSeries::Counters counters;
  PoolSeries series;
  TimePoint now{1h};
};

TEST_F(Series, SumsWorkersListenersAndRoutesOfEachPool) {
  counters[0]->route(0, 0).requests.add(CodeClass::success, 5);  // before the first look: nobody knows when
  EXPECT_TRUE(take().empty());
  counters[0]->route(0, 0).requests.add(CodeClass::success, 10);
  counters[1]->route(1, 2).requests.add(CodeClass::server_error, 3);
  counters[1]->route(1, 2).duration.record(40ms);
  counters[1]->route(0, 1).requests.add(CodeClass::client_error, 2);
  counters[0]->route(0, 3).requests.add(CodeClass::redirect, 100);      // answered by the route itself
  counters[0]->route(0, 4).requests.add(CodeClass::server_error, 100);  // no route matched
  counters[0]->pools[0]->retries.add(4);
  counters[1]->pools[0]->shed.add(1);
  counters[1]->pools[1]->unavailable.add(7);
  counters[0]->pools[0]->tunnels_opened.add(2);
  counters[0]->pools[0]->tunnels_closed.add(observe::TunnelEnd::endpoint_dead);
  counters[0]->pools[0]->tunnels_closed.add(observe::TunnelEnd::client_closed);
  counters[0]->pools[0]->queued.add(6);
  counters[1]->pools[0]->queued.add(3);
  counters[0]->pools[0]->openings_queued.add(5);
  counters[0]->pools[0]->openings_refused.add(observe::OpeningRefusal::queue_full);
  counters[1]->pools[0]->openings_refused.add(observe::OpeningRefusal::late);
  counters[0]->pools[0]->parked.add(observe::ParkReason::endpoint_dead, 4);
  counters[1]->pools[0]->parked.add(observe::ParkReason::failover, 3);
  counters[0]->pools[0]->park_ends.add(observe::ParkEnd::resumed, 4);
  counters[1]->pools[0]->park_ends.add(observe::ParkEnd::late, 1);
  const auto taken = take();
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken[0].over, 1s);
  incident::Counts app;
  app.requests = 13;
  app.failed = 3;
  app.retried = 4;
  app.shed = 1;
  app.tunnels_opened = 2;
  app.tunnels_dropped = 1;
  app.queued = 9;
  app.openings_queued = 5;
  app.openings_refused = 2;
  app.tunnels_parked = 7;
  app.tunnels_resumed = 4;
  EXPECT_EQ(taken[0].counts, app);
  EXPECT_EQ(taken[0].duration.total, 1U);
  EXPECT_EQ(taken[1].counts.requests, 2U);
  EXPECT_EQ(taken[1].counts.failed, 0U);
  EXPECT_EQ(taken[1].counts.unavailable, 7U);
  EXPECT_EQ(take()[0].counts, incident::Counts{});
}

TEST_F(Series, AReloadCountsNothingTwice) {
  take();
  counters[0]->route(0, 1).requests.add(CodeClass::success, 50);
  EXPECT_EQ(take()[1].counts.requests, 50U);
  load({"app", "other"}, {{"b", "app"}});  // the route belongs to another pool now; its counter goes on
  EXPECT_TRUE(take().empty());
  counters[0]->route(0, 0).requests.add(CodeClass::success, 1);
  EXPECT_EQ(take()[0].counts.requests, 1U);
}

}  // namespace
}  // namespace understudy::server
