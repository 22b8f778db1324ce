#include "proxy/server/state_file.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "proxy/server/handover.hpp"

namespace understudy::server {
namespace {

using std::chrono::microseconds;
using std::chrono::minutes;
using std::chrono::seconds;

health::SavedState whole_state() {
  health::SavedPool pool;
  pool.name = "app";
  pool.active_tier = "standby";
  pool.epoch = 1'234'567'890'123;
  pool.moved_by_operator = true;
  pool.moved_left = minutes(12);
  pool.held = true;
  pool.held_left = minutes(30);
  pool.maintenance = true;
  pool.maintenance_left = seconds(7);
  pool.relapses = 3;
  pool.left_by_drill = "primary";
  pool.left_pinned = true;
  pool.approvals = {{"data compared", "anna: 0 rows \"differ\""}, {"window", "bert: agreed"}};
  health::SavedEndpoint endpoint;
  endpoint.pool = "app";
  endpoint.label = "p1";
  endpoint.address = "10.0.0.11:3000";
  endpoint.operator_state = health::OperatorState::held;
  endpoint.operator_left = minutes(5);
  endpoint.operator_for = minutes(2);
  endpoint.active = health::ActiveState::unhealthy;
  endpoint.ejections = 4;
  endpoint.ejected_left = seconds(40);
  endpoint.normal_p50 = microseconds(4'800);
  endpoint.normal_p95 = microseconds(12'345);
  health::SavedEndpoint plain;
  plain.label = "p2";
  return {{pool, {}}, {endpoint, plain}};
}

// Of a state with one field put to `value`, by path.
std::string with(const char* list, const char* key, const boost::json::value& value) {
  boost::json::value whole = boost::json::parse(to_json(whole_state()));
  whole.at(list).as_array().at(0).as_object()[key] = value;
  return boost::json::serialize(whole);
}

TEST(StateFile, WhatIsWrittenIsRead) {
  const health::SavedState before = whole_state();
  std::string why;
  const auto after = from_json(to_json(before), why);
  ASSERT_TRUE(after) << why;
  ASSERT_EQ(after->pools.size(), 2U);
  const health::SavedPool &p = after->pools[0], &q = before.pools[0];
  EXPECT_EQ(p.name, q.name);
  EXPECT_EQ(p.active_tier, q.active_tier);
  EXPECT_EQ(p.epoch, q.epoch);
  EXPECT_EQ(p.moved_by_operator, q.moved_by_operator);
  EXPECT_EQ(p.moved_left, q.moved_left);
  EXPECT_EQ(p.held, q.held);
  EXPECT_EQ(p.held_left, q.held_left);
  EXPECT_EQ(p.maintenance, q.maintenance);
  EXPECT_EQ(p.maintenance_left, q.maintenance_left);
  EXPECT_EQ(p.relapses, q.relapses);
  EXPECT_EQ(p.left_by_drill, q.left_by_drill);
  EXPECT_EQ(p.left_pinned, q.left_pinned);
  EXPECT_EQ(p.approvals, q.approvals);
  EXPECT_FALSE(after->pools[1].moved_left || after->pools[1].held_left);
  EXPECT_TRUE(after->pools[1].approvals.empty());
  ASSERT_EQ(after->endpoints.size(), 2U);
  const health::SavedEndpoint &e = after->endpoints[0], &f = before.endpoints[0];
  EXPECT_EQ(e.pool, f.pool);
  EXPECT_EQ(e.label, f.label);
  EXPECT_EQ(e.address, f.address);
  EXPECT_EQ(e.operator_state, f.operator_state);
  EXPECT_EQ(e.operator_left, f.operator_left);
  EXPECT_EQ(e.operator_for, f.operator_for);
  EXPECT_EQ(e.active, f.active);
  EXPECT_EQ(e.ejections, f.ejections);
  EXPECT_EQ(e.ejected_left, f.ejected_left);
  EXPECT_EQ(e.normal_p50, f.normal_p50);
  EXPECT_EQ(e.normal_p95, f.normal_p95);
  EXPECT_FALSE(after->endpoints[1].normal_p50 || after->endpoints[1].operator_left);
}

TEST(StateFile, AnOperatorsTimeGoesOnWhileNobodyRuns) {
  const std::chrono::system_clock::time_point saved{std::chrono::hours(490'000)};
  const std::string text = to_json(whole_state(), saved);
  std::string why;
  const auto later = from_json(text, why, saved + minutes(6));
  ASSERT_TRUE(later) << why;
  EXPECT_EQ(later->pools[0].held_left, minutes(24));
  EXPECT_EQ(later->pools[0].moved_left, minutes(6));
  EXPECT_EQ(later->pools[0].maintenance_left, seconds(0)) << "over meanwhile";
  EXPECT_EQ(later->endpoints[0].operator_left, minutes(0));
  EXPECT_EQ(later->endpoints[0].operator_for, minutes(8));
  EXPECT_FALSE(later->endpoints[1].operator_left);
  const auto earlier = from_json(text, why, saved - minutes(6));
  EXPECT_EQ(earlier->pools[0].held_left, minutes(30)) << "a clock that went back takes nothing away";
}

TEST(StateFile, AnotherVersionsFieldsAreTolerated) {
  std::string why;
  // As 0.1.0 wrote it, and a field of a version to come.
  const auto older = from_json(
      R"({"format":1,"pools":[{"name":"app","active_tier":"standby","epoch":7,"moved_by_operator":false,"held":false,
          "held_left_ms":null,"maintenance":false,"maintenance_left_ms":null,"mood":{"good":[1,2]}}],
          "endpoints":[{"pool":"app","label":"p1","address":"10.0.0.11:3000","operator":"enabled","active":"healthy",
          "ejections":0}],"weather":"fine"})",
      why);
  ASSERT_TRUE(older) << why;
  EXPECT_EQ(older->pools.at(0).epoch, 7U);
  EXPECT_EQ(older->pools[0].relapses, 0U);
  EXPECT_FALSE(older->pools[0].moved_left);
  EXPECT_FALSE(older->endpoints.at(0).normal_p50);
  EXPECT_TRUE(from_json(R"({"format":1})", why)) << why;
}

TEST(StateFile, WhatCannotBeMeantIsToldWithItsPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not JSON"},
      {"{\"format\":1", "not JSON"},
      {"[]", "not JSON as this program writes it"},
      {R"({"format":2})", "a format this version does not know"},
      {R"({"format":"1"})", "a format this version does not know"},
      {R"({"pools":[]})", "a format this version does not know"},
      {R"({"format":1,"pools":{}})", "pools is no list"},
      {R"({"format":1,"pools":["app"]})", "pools[0] is no object"},
      {with("pools", "epoch", -1), "pools[0].epoch is no number from 0 on"},
      {with("pools", "epoch", "7"), "pools[0].epoch is no number from 0 on"},
      {with("pools", "relapses", 5'000'000'000), "pools[0].relapses is no number from 0 on"},
      {with("pools", "relapses", 1.5), "pools[0].relapses is no number from 0 on"},
      {with("pools", "held", 1), "pools[0].held is neither true nor false"},
      {with("pools", "moved_left_ms", "1m"), "pools[0].moved_left_ms is no length of time"},
      {with("pools", "moved_left_ms", -5), "pools[0].moved_left_ms is no length of time"},
      {with("pools", "moved_left_ms", INT64_MAX), "pools[0].moved_left_ms is no length of time"},
      {with("pools", "approvals", "all"), "pools[0].approvals is no list"},
      {with("pools", "approvals", boost::json::array{"anna"}), "pools[0].approvals[0] is no object"},
      {with("pools", "approvals", boost::json::array{boost::json::object{{"gate", 3}}}),
       "pools[0].approvals[0].gate is no text"},
      {with("endpoints", "label", nullptr), ""},  // as absent
      {with("endpoints", "operator", "resting"), "endpoints[0].operator is no state known here"},
      {with("endpoints", "normal_p95_us", true), "endpoints[0].normal_p95_us is no length of time"},
  };
  for (const auto& [text, says] : cases) {
    std::string why;
    const auto state = from_json(text, why);
    EXPECT_EQ(state.has_value(), says.empty()) << text << " -> " << why;
    EXPECT_NE(why.find(says), std::string::npos) << text << " -> " << why;
  }
}

// A crash may leave any beginning of the file: never taken for the whole, never a crash.
TEST(StateFile, NoBeginningOfItIsTakenForTheWhole) {
  const std::string text = to_json(whole_state());
  for (std::size_t size = 0; size + 1 < text.size(); ++size) {
    std::string why;
    EXPECT_FALSE(from_json(text.substr(0, size), why)) << size;
    EXPECT_FALSE(why.empty());
  }
}

// ---- the lock that is handed over ----------------------------------------------------------------------------------

class Folder : public ::testing::Test {
protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder); }
  void put(const std::string& name) const { std::ofstream(folder + "/" + name) << "x"; }
  bool there(const std::string& name) const { return std::filesystem::exists(folder + "/" + name); }
  std::string folder = testing::TempDir() + "understudy-state-XXXXXX", why;
};

TEST_F(Folder, WhatKilledWritersLeftIsRemoved) {
  std::filesystem::create_directory(folder + "/incidents");
  for (const char* name : {"state.json.4711.0.tmp", "incidents/index.1.22.tmp"}) put(name);
  for (const char* name : {"state.json", "state.json.tmp", "state.json.7.tmp", "notes.a.1.tmp", "state.json.4711.0"})
    put(name);
  {
    StateDir before, after;
    ASSERT_EQ(before.open(folder, why), StateDir::Outcome::kept);
    EXPECT_FALSE(there("state.json.4711.0.tmp") || there("incidents/index.1.22.tmp"));
    for (const char* name : {"state.json", "state.json.tmp", "state.json.7.tmp", "notes.a.1.tmp", "state.json.4711.0"})
      EXPECT_TRUE(there(name)) << name;
    put("state.json.4711.1.tmp");
    ASSERT_EQ(after.open(folder, why, ::dup(before.lock())), StateDir::Outcome::kept);
    EXPECT_TRUE(there("state.json.4711.1.tmp")) << "the process before may be writing it";
    before.let_go();
  }
}

TEST_F(Folder, WhatCannotBeReadIsToldAndSetAside) {
  StateDir dir;
  ASSERT_EQ(dir.open(folder, why), StateDir::Outcome::kept);
  EXPECT_FALSE(dir.read(why));
  EXPECT_EQ(why, "") << "no file is no trouble";
  std::filesystem::create_directory(folder + "/state.json");  // EISDIR, whoever asks; root reads anything else
  EXPECT_FALSE(dir.read(why));
  EXPECT_NE(why.find("cannot be read: Is a directory; set aside as "), std::string::npos) << why;
  EXPECT_NE(why.find("are forgotten"), std::string::npos) << why;
  EXPECT_TRUE(there("state.json.unreadable"));
  EXPECT_FALSE(there("state.json"));
}

class HandedOver : public ::testing::Test {
protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::string folder = testing::TempDir() + "understudy-lock-XXXXXX", why;
};

TEST_F(HandedOver, ALockIsHeldByBothUntilTheFirstLetsGo) {
  StateDir before, stranger;
  ASSERT_EQ(before.open(folder, why), StateDir::Outcome::kept);
  EXPECT_EQ(stranger.open(folder, why), StateDir::Outcome::in_use);
  {
    StateDir after;
    EXPECT_EQ(after.open(folder, why, ::dup(before.lock())), StateDir::Outcome::kept);
    before.let_go();
    EXPECT_FALSE(before.kept());
    EXPECT_EQ(StateDir().open(folder, why), StateDir::Outcome::in_use);
  }
  EXPECT_EQ(stranger.open(folder, why), StateDir::Outcome::kept);
}

TEST_F(HandedOver, AnotherFoldersLockIsNotTaken) {
  StateDir before, after;
  ASSERT_EQ(before.open(folder, why), StateDir::Outcome::kept);
  EXPECT_EQ(after.open(folder + "/other", why, ::dup(before.lock())), StateDir::Outcome::kept);
  EXPECT_TRUE(std::filesystem::exists(after.lock_file()));
  before.let_go();
  EXPECT_EQ(StateDir().open(folder, why), StateDir::Outcome::kept) << "what was passed is closed";
}

TEST(Inheritance, IsReadOnceAndWhatNobodyTakesIsClosed) {
  std::array<int, 2> line{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, line.data()), 0);
  const int web = ::dup(line[0]), admin = ::dup(line[0]);
  const std::string text = "line=" + std::to_string(line[1]) + "\nadmin:unix:/run/a=b=" + std::to_string(admin) +
                           "\nlisten:web=" + std::to_string(web) + "\nlisten:gone=99999\nnonsense\n";
  ::setenv("UNDERSTUDY_HANDOVER", text.c_str(), 1);
  {
    Inheritance inheritance;
    inheritance.read();
    EXPECT_EQ(std::getenv("UNDERSTUDY_HANDOVER"), nullptr);
    ASSERT_TRUE(inheritance.any());
    EXPECT_EQ(inheritance.take_lock(), -1);
    EXPECT_EQ(inheritance.take_admin("unix:/run/other"), -1);
    EXPECT_EQ(inheritance.take_admin("unix:/run/a=b"), admin);
    const auto listening = inheritance.take_listening();
    ASSERT_EQ(listening.size(), 1U);
    EXPECT_EQ(listening[0].name, "web");
    EXPECT_EQ(listening[0].fd, web);
    EXPECT_EQ(::fcntl(web, F_GETFD), FD_CLOEXEC);
    inheritance.say_ready();
    char word = 0;
    EXPECT_EQ(::recv(line[0], &word, 1, MSG_DONTWAIT), 1);
    EXPECT_EQ(::recv(line[0], &word, 1, MSG_DONTWAIT), 0) << "and it is closed";
  }
  for (const int fd : {web, admin, line[0]}) ::close(fd);
}

}  // namespace
}  // namespace understudy::server
