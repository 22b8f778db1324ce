#include "health/surge.hpp"

#include <gmock/gmock.h>

namespace understudy::health {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct Pool {
  SurgeWatch watch;
  TimePoint now{1h};
  int changes = 0;
  void ask(std::uint64_t rate, int seconds, std::vector<ArrivalSample::Client> most = {}) {
    for (int i = 0; i < seconds; ++i, now += 1s) changes += watch.observe({0, rate, 1s, most}, now) ? 1 : 0;
  }
};

TEST(Surge, IsNamedWithItsClientsAndTheirCounts) {
  Pool pool;
  pool.ask(300, 60);
  EXPECT_EQ(pool.watch.text(), "");
  pool.ask(1200, 3, {{"10.0.0.7", 600}, {"10.0.0.8", 250}, {"10.0.0.9", 3}});
  EXPECT_TRUE(pool.watch.surging());
  EXPECT_EQ(
      pool.watch.text(),
      "a surge of clients: 1200 requests/s, usually 301/s; 71 % from 2 addresses (10.0.0.7 600/s, 10.0.0.8 250/s)");
  pool.ask(310, 5);
  EXPECT_FALSE(pool.watch.surging());
  EXPECT_EQ(pool.changes, 2);
}
TEST(Surge, FromManyIsCalledThat) {
  Pool pool;
  pool.ask(300, 60);
  pool.ask(1200, 3, {{"10.0.0.7", 6}, {"10.0.0.8", 5}});
  EXPECT_THAT(pool.watch.text(), HasSubstr("from many addresses"));
}
TEST(Surge, IsNoneBeforeTheUsualIsKnownNorWhereLittleIsAsked) {
  Pool pool;
  pool.ask(10, 10);
  pool.ask(500, 5);
  EXPECT_FALSE(pool.watch.surging()) << "nothing is usual yet";
  Pool quiet;
  quiet.ask(2, 100);
  quiet.ask(12, 10);
  EXPECT_FALSE(quiet.watch.surging()) << "six times two is not much";
}
TEST(Surge, ANewLevelBecomesTheUsualInTheEnd) {
  Pool pool;
  pool.ask(100, 120);
  pool.ask(400, 60);
  EXPECT_TRUE(pool.watch.surging());
  pool.ask(400, 3600);
  EXPECT_FALSE(pool.watch.surging());
  EXPECT_EQ(pool.changes, 2);
}
TEST(Surge, OneSecondIsAWave) {
  Pool pool;
  pool.ask(300, 60);
  pool.ask(1500, 1);
  pool.ask(300, 5);
  EXPECT_EQ(pool.changes, 0);
}

}  // namespace
}  // namespace understudy::health
