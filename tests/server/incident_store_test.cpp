// Incidents on disk: every byte at which the process may stop, damage, a disk that takes nothing, bounds.
#include "proxy/server/incident_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "proxy/server/incident_codec.hpp"

namespace understudy::server {
namespace {

using incident::Entry;
using incident::Incident;
using incident::Record;
using incident::Sample;
using incident::Wall;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Wall at(int ms) { return Wall(milliseconds(1'700'000'000'000 + ms)); }

Record opened(std::uint64_t number, const std::string& pool = "app") {
  incident::Opened what;
  what.pool = pool;
  what.began = at(0);
  what.detected = at(1500);
  what.epoch = 3;
  what.tier = "primary";
  what.tiers = {"primary", "standby"};
  what.config = "c0ffee";
  what.version = "1.0";
  return {number, what};
}

Record entry(std::uint64_t number, int ms, const std::string& text) {
  Entry what;
  what.kind = Entry::Kind::action;
  what.event = "failover";
  what.at = at(ms);
  what.since = at(ms - 300);
  what.tier = "standby";
  what.endpoint = "p1";
  what.epoch = 4;
  what.cause = "tcp_refused";
  what.text = text;
  what.who = "anna";
  what.alternatives = {"tier 'primary': cannot serve", "tier 'standby': can serve"};
  return {number, what};
}

Record sample(std::uint64_t number, int ms) {
  Sample what{at(ms), milliseconds(1000), {}, std::chrono::microseconds(1234), std::chrono::microseconds(56789)};
  what.counts = {100, 7, 3, 2, 1, 4, 5, 6, 8, 9, 10, 11, 12};
  return {number, what};
}

Record closed(std::uint64_t number, int ms) { return {number, incident::Closed{at(ms), "well for 5 min", 2}}; }

class Store : public testing::Test {
protected:
  Store() {
    std::string name = (std::filesystem::temp_directory_path() / "understudy-incidents-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    root_ = name;
    folder_ = root_ + "/incidents";
  }
  ~Store() override {
    ::chmod(folder_.c_str(), 0700);
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  // Work is done at once, or kept until it is run.
  IncidentStore::Later at_once() {
    return [](const std::function<void()>& work) {
      work();
      return true;
    };
  }
  std::string file(std::uint64_t number) const {
    char name[32];
    std::snprintf(name, sizeof name, "/%06llu.jsonl", static_cast<unsigned long long>(number));
    return folder_ + name;
  }
  static std::string content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }
  static void put(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& one : std::filesystem::directory_iterator(folder_)) out.push_back(one.path().filename());
    std::sort(out.begin(), out.end());
    return out;
  }
  std::string root_, folder_;
};

TEST_F(Store, WhatIsWrittenIsRead) {
  IncidentStore store(folder_, {}, at_once());
  const std::string text = "moved: \"p1\"\n\t ä \xff end";
  Incident before;
  for (const Record& record : {opened(7), entry(7, 2000, text), sample(7, 1000), closed(7, 9000)}) {
    apply(before, record);
    store.append(record);
  }
  std::string why;
  const auto after = IncidentStore::read(folder_, 7, why);
  ASSERT_TRUE(after) << why;
  EXPECT_EQ(after->number, 7U);
  EXPECT_EQ(after->opened.pool, "app");
  EXPECT_EQ(after->opened.began, at(0));
  EXPECT_EQ(after->opened.detected, at(1500));
  EXPECT_EQ(after->opened.epoch, 3U);
  EXPECT_THAT(after->opened.tiers, ElementsAre("primary", "standby"));
  EXPECT_EQ(after->opened.config, "c0ffee");
  ASSERT_EQ(after->entries.size(), 1U);
  const Entry &e = after->entries[0], &b = before.entries[0];
  EXPECT_EQ(e.kind, b.kind);
  EXPECT_EQ(e.at, b.at);
  EXPECT_EQ(e.since, b.since);
  EXPECT_EQ(e.tier, b.tier);
  EXPECT_EQ(e.endpoint, b.endpoint);
  EXPECT_EQ(e.cause, b.cause);
  EXPECT_EQ(e.text, "moved: \"p1\"\n\t ä ? end") << "a byte that is no UTF-8 is replaced";
  EXPECT_EQ(e.who, b.who);
  EXPECT_EQ(e.alternatives, b.alternatives);
  ASSERT_EQ(after->samples.size(), 1U);
  EXPECT_EQ(after->samples[0].counts, before.samples[0].counts);
  EXPECT_EQ(after->samples[0].p95, before.samples[0].p95);
  EXPECT_EQ(after->counts, before.counts);
  ASSERT_TRUE(after->closed);
  EXPECT_EQ(after->closed->left_out, 2U);
  struct stat info {};
  ASSERT_EQ(::stat(file(7).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  ASSERT_EQ(::stat(folder_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0700U);
}

TEST_F(Store, ASampleOfAnEarlierVersionIsRead) {
  const std::string line =
      R"({"v":1,"incident":7,"type":"sample","from":1700000001000,"over":1000,"requests":100,"failed":7,"shed":4,"tunnels_dropped":6,"p50_us":1234,"p95_us":56789)"
      R"(,"crc":"cc6c2845"})";
  std::string why;
  const auto record = from_line(line, why);
  ASSERT_TRUE(record) << why;
  const auto& counts = std::get<Sample>(record->what).counts;
  EXPECT_EQ(counts, (incident::Counts{100, 7, 0, 0, 0, 4, 0, 6})) << "what it did not count is none";
}

TEST_F(Store, EveryByteAtWhichItMayStopKeepsTheLinesBefore) {
  {
    IncidentStore store(folder_, {}, at_once());
    store.append(opened(1));
    store.append(entry(1, 2000, "first"));
    store.append(sample(1, 1000));
    store.append(entry(1, 3000, "second"));
  }
  const std::string whole = content(file(1));
  std::vector<std::size_t> ends;
  for (std::size_t i = 0; i < whole.size(); ++i)
    if (whole[i] == '\n') ends.push_back(i + 1);
  ASSERT_EQ(ends.size(), 4U);
  for (std::size_t length = 0; length <= whole.size(); ++length) {
    put(file(1), whole.substr(0, length));
    const auto lines = static_cast<std::size_t>(
        std::count_if(ends.begin(), ends.end(), [&](std::size_t end) { return end <= length; }));
    const auto loaded = IncidentStore::load(folder_);
    EXPECT_EQ(loaded.next, 2U);
    if (lines == 0) {
      EXPECT_THAT(loaded.open, IsEmpty());
      EXPECT_EQ(loaded.notes.size(), 1U) << length;
      continue;
    }
    ASSERT_EQ(loaded.open.size(), 1U) << length;
    const Incident& incident = loaded.open[0];
    EXPECT_EQ(incident.entries.size() + incident.samples.size(), lines - 1) << length;
    const bool torn = length != ends[lines - 1];
    ASSERT_EQ(loaded.notes.size(), torn ? 1U : 0U) << length;
    if (torn) {
      EXPECT_THAT(loaded.notes[0], HasSubstr("cut off"));
    }
    EXPECT_EQ(content(file(1)), whole.substr(0, ends[lines - 1])) << "garbage is kept from growing";
    // And what is appended then is read.
    IncidentStore store(folder_, {}, at_once());
    store.append(entry(1, 4000, "after"));
    std::string why;
    const auto again = IncidentStore::read(folder_, 1, why);
    ASSERT_TRUE(again) << why;
    EXPECT_EQ(again->entries.back().text, "after") << length;
    EXPECT_EQ(again->damaged, 0U);
  }
}

TEST_F(Store, ADamagedLineIsLeftOutAndTold) {
  {
    IncidentStore store(folder_, {}, at_once());
    for (const Record& record : {opened(1), entry(1, 2000, "first"), entry(1, 3000, "second"), closed(1, 9000)})
      store.append(record);
  }
  const std::string whole = content(file(1));
  std::string bad = whole;
  bad[bad.find("first")] = 'F';
  put(file(1), bad);
  const auto loaded = IncidentStore::load(folder_);
  ASSERT_EQ(loaded.closed.size(), 1U);
  EXPECT_EQ(loaded.closed[0].damaged, 1U);
  ASSERT_EQ(loaded.notes.size(), 1U);
  EXPECT_THAT(loaded.notes[0], HasSubstr("line 2 is damaged (its checksum does not fit)"));
  std::string why;
  EXPECT_EQ(IncidentStore::read(folder_, 1, why)->entries.size(), 1U);
  EXPECT_EQ(content(file(1)), bad) << "what cannot be understood is not thrown away";

  // Lines of another incident, or out of order, tell nothing of this one.
  put(file(1), to_line(opened(2)) + whole + to_line(opened(1)));
  EXPECT_EQ(IncidentStore::read(folder_, 1, why)->entries.size(), 2U);
}

TEST_F(Store, LinesWaitForADiskThatTakesNothing) {
  IncidentStore store(folder_, {}, at_once());
  store.append(opened(1));
  ASSERT_EQ(store.tick().trouble, "");
  // No file can be made where a folder is missing and a file stands in its place.
  std::filesystem::rename(folder_, folder_ + ".aside");
  put(folder_, "in the way");
  store.append(opened(2));
  store.append(entry(2, 2000, "kept"));
  const auto failing = store.tick();
  EXPECT_THAT(failing.trouble, HasSubstr("cannot open"));
  EXPECT_EQ(failing.waiting, 2U);
  EXPECT_GE(failing.errors, 1U);
  // Nothing is unbounded: points go before what was decided.
  for (int i = 0; i < 6'000; ++i) store.append(sample(2, i));
  EXPECT_GT(store.tick().dropped, 1000U);
  const std::uint64_t dropped = store.tick().dropped;
  store.append(entry(2, 3000, "kept too"));
  EXPECT_EQ(store.tick().dropped, dropped);

  std::filesystem::remove(folder_);
  std::filesystem::rename(folder_ + ".aside", folder_);
  store.tick();
  EXPECT_EQ(store.tick().trouble, "");
  EXPECT_EQ(store.tick().waiting, 0U);
  std::string why;
  const auto incident = IncidentStore::read(folder_, 2, why);
  ASSERT_TRUE(incident) << why;
  EXPECT_EQ(incident->entries.size(), 2U);
}

TEST_F(Store, AHungDiskHoldsNobody) {
  std::vector<std::function<void()>> kept;
  IncidentStore store(folder_, {}, [&kept](std::function<void()> work) {
    kept.push_back(std::move(work));
    return kept.size() < 100;
  });
  store.append(opened(1));
  for (int i = 0; i < 100'000; ++i) store.append(entry(1, 2000, "waits"));
  EXPECT_GT(store.tick().dropped, 0U);
  EXPECT_LT(store.tick().waiting * to_line(entry(1, 2000, "waits")).size(), std::size_t{3} << 20);
  kept.front()();
  EXPECT_EQ(store.tick().waiting, 0U);
}

TEST_F(Store, TheOldestClosedOnesMakeRoom) {
  IncidentStore store(folder_, {.keep = 3, .max_bytes = 64 << 20}, at_once());
  store.append(opened(1));  // stays open
  for (std::uint64_t n = 2; n <= 6; ++n) {
    store.append(opened(n));
    store.append(closed(n, 9000));
  }
  EXPECT_THAT(names(), ElementsAre("000001.jsonl", "000005.jsonl", "000006.jsonl"));
  EXPECT_THAT(store.tick().removed, ElementsAre(2U, 3U, 4U));
  EXPECT_THAT(store.tick().removed, IsEmpty());

  // By bytes; the newest stays whatever it takes.
  store.set_limits({.keep = 100, .max_bytes = 1});
  store.append(closed(1, 9000));
  EXPECT_THAT(names(), ElementsAre("000006.jsonl"));
  EXPECT_EQ(IncidentStore::load(folder_).next, 7U) << "a number is never given out again";
}

TEST_F(Store, FollowsNoLink) {
  std::filesystem::create_directories(folder_);
  put(root_ + "/secret", "precious\n");
  std::filesystem::create_symlink(root_ + "/secret", file(1));
  const auto loaded = IncidentStore::load(folder_);
  EXPECT_THAT(loaded.open, IsEmpty());
  EXPECT_EQ(loaded.notes.size(), 1U);
  IncidentStore store(folder_, {}, at_once());
  store.append(opened(1));
  EXPECT_EQ(content(root_ + "/secret"), "precious\n");
  EXPECT_THAT(store.tick().trouble, HasSubstr("cannot open"));
}

TEST(IncidentCodec, RefusesWhatItDoesNotWrite) {
  std::string why;
  const std::string line = to_line(entry(1, 2000, "text"));
  ASSERT_EQ(line.back(), '\n');
  const std::string good = line.substr(0, line.size() - 1);
  EXPECT_TRUE(from_line(good, why));
  // One flipped bit anywhere.
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(from_line(bad, why)) << i;
  }
  EXPECT_FALSE(from_line("", why));
  EXPECT_FALSE(from_line(std::string(kLongestRecord + 1, 'x'), why));
  EXPECT_FALSE(from_line("{\"v\":1}", why));
}

}  // namespace
}  // namespace understudy::server
