#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "file_thread_fixture.hpp"

namespace understudy::observe {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

// "2026-11-22" becomes "dddd-dd-dd".
std::string shape_of(std::string text) {
  for (char& c : text) c = c >= '0' && c <= '9' ? 'd' : c;
  return text;
}

// ---- events ----

TEST(EventLog, WritesTimeLevelAndMessage) {
  ScratchFolder folder;
  {
    FileThread files(options_for(folder / "events"));
    files.event(Level::info, "listening on 127.0.0.1:8080 listener=web");
    files.event(Level::warn, "w");
    files.event(Level::error, "e");
  }
  const auto lines = lines_in(content_of(folder / "events"));
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_EQ(shape_of(lines[0].substr(0, 24)), "dddd-dd-ddTdd:dd:dd.dddZ");
  EXPECT_EQ(lines[0].substr(24), " info  listening on 127.0.0.1:8080 listener=web");
  EXPECT_THAT(lines[1], EndsWith("Z warn  w"));
  EXPECT_THAT(lines[2], EndsWith("Z error e"));
}

TEST(EventLog, WritesOnlyTheWantedLevels) {
  ScratchFolder folder;
  {
    auto options = options_for(folder / "events");
    options.log.level = config::LogLevel::warn;
    FileThread files(std::move(options));
    EXPECT_FALSE(files.enabled(Level::info));
    EXPECT_TRUE(files.enabled(Level::warn));
    files.event(Level::info, "hidden");
    files.event(Level::warn, "shown");
    files.set_level(Level::trace);
    EXPECT_TRUE(files.enabled(Level::trace));
    files.event(Level::trace, "fine");
  }
  EXPECT_THAT(lines_in(content_of(folder / "events")), ElementsAre(EndsWith(" warn  shown"), EndsWith(" trace fine")));
}

TEST(EventLog, KeepsAMessageInOneLineAndWithinABound) {
  ScratchFolder folder;
  {
    FileThread files(options_for(folder / "events"));
    files.event(Level::info, "one\ntwo \x1B[31m {} %s \xFF");
    files.event(Level::info, std::string(100'000, 'x'));
  }
  const auto lines = lines_in(content_of(folder / "events"));
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines[0], EndsWith("info  one\\ntwo \\x1B[31m {} %s \\xFF"));
  EXPECT_THAT(lines[1], EndsWith("xxx..."));
  EXPECT_LT(lines[1].size(), 17'000U);
}

TEST(EventLog, FoldsIdenticalLines) {
  ScratchFolder folder;
  {
    FileThread files(options_for(folder / "events"));
    for (int i = 0; i < 5; ++i) files.event(Level::warn, "the same");
    files.event(Level::warn, "another");
  }
  // On a machine that stops for a second in between they fall into two groups; none is ever lost.
  int written = 0, folded = 0;
  for (const std::string& line : lines_in(content_of(folder / "events"))) {
    if (const std::size_t at = line.find("last message repeated "); at != std::string::npos) {
      folded += std::stoi(line.substr(at + 22));
    } else if (line.ends_with(" the same")) {
      ++written;
    } else {
      EXPECT_THAT(line, EndsWith(" another"));
    }
  }
  EXPECT_EQ(written + folded, 5);
  EXPECT_LE(written, 2);
}

TEST(EventLog, GivesJournaldItsPriorities) {
  CapturedStderr captured;
  ::setenv("JOURNAL_STREAM", "8:1234", 1);
  {
    FileThread files(options_for(""));
    ::unsetenv("JOURNAL_STREAM");
    files.set_level(Level::debug);
    files.event(Level::debug, "d");
    files.event(Level::info, "i");
    files.event(Level::warn, "w");
    files.event(Level::error, "e");
  }
  EXPECT_THAT(lines_in(captured.text()),
              ElementsAre(StartsWith("<7>20"), StartsWith("<6>20"), StartsWith("<4>20"), StartsWith("<3>20")));
}

TEST(EventLog, HasNoPrioritiesElsewhere) {
  ScratchFolder folder;
  CapturedStderr captured;
  ::setenv("JOURNAL_STREAM", "8:1234", 1);
  { FileThread(options_for(folder / "events")).event(Level::info, "in a file"); }
  ::unsetenv("JOURNAL_STREAM");
  { FileThread(options_for("")).event(Level::info, "on a terminal"); }
  EXPECT_THAT(lines_in(content_of(folder / "events")), ElementsAre(StartsWith("20")));
  EXPECT_THAT(lines_in(captured.text()), ElementsAre(StartsWith("20")));
}

TEST(EventLog, TakesEventsFromManyThreads) {
  ScratchFolder folder;
  constexpr int kThreads = 4, kEach = 200;
  {
    FileThread files(options_for(folder / "events"));
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&files, t] {
        for (int i = 0; i < kEach; ++i)
          files.event(Level::info, std::to_string(t).append(" ").append(std::to_string(i)));
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(files.events_dropped(), 0U);
  }
  EXPECT_THAT(lines_in(content_of(folder / "events")), AllOf(SizeIs(kThreads * kEach), Each(StartsWith("20"))));
}

// ---- access log ----

TEST(AccessLog, WritesEveryRecordOfEveryWorkerBeforeItEnds) {
  ScratchFolder folder;
  {
    auto options = options_for(folder / "events", folder / "access", config::AccessFormat::combined);
    options.workers = 3;
    options.ring_records = 1024;
    FileThread files(std::move(options));
    for (unsigned worker = 0; worker < 3; ++worker) {
      for (int i = 0; i < 500; ++i) ASSERT_TRUE(write_record(*files.ring(worker), worker * 500 + i));
    }
    EXPECT_EQ(files.ring(3), nullptr);
  }
  auto numbers = numbers_in(lines_in(content_of(folder / "access")));
  std::sort(numbers.begin(), numbers.end());
  EXPECT_EQ(numbers, counted_to(1500));
}

TEST(AccessLog, IsWrittenWithoutBeingToldSo) {
  ScratchFolder folder;
  FileThread files(options_for(folder / "events", folder / "access", config::AccessFormat::json));
  write_record(*files.ring(0), 1);
  EXPECT_TRUE(eventually([&] { return lines_in(content_of(folder / "access")).size() == 1; }));
  EXPECT_THAT(content_of(folder / "access"), StartsWith("{\"ts\":\"1970-01-01T00:00:01.000Z\""));
}

TEST(AccessLog, HasNoRingsWhenOff) {
  ScratchFolder folder;
  FileThread files(options_for(folder / "events", folder / "access"));
  EXPECT_EQ(files.ring(0), nullptr);
  EXPECT_EQ(files.access_dropped(), 0U);
  EXPECT_THAT(folder.names(), ElementsAre("events"));
}

TEST(AccessLog, SharesAFileWithTheEventLogLineByLine) {
  ScratchFolder folder;
  {
    FileThread files(options_for(folder / "both", folder / "both", config::AccessFormat::combined));
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(write_record(*files.ring(0), i));
      files.event(Level::info, "event " + std::string(1, static_cast<char>('a' + i % 26)));
    }
  }
  int records = 0, events = 0;
  for (const std::string& line : lines_in(content_of(folder / "both"))) {
    if (line.find(" info  event ") != std::string::npos) {
      ++events;
    } else {
      ++records;
      EXPECT_NE(numbers_in({line}).at(0), -1) << line;
    }
  }
  EXPECT_EQ(records, 100);
  EXPECT_EQ(events, 100);
}

TEST(AccessLog, NeverShowsQueriesWhenTheyAreNotWanted) {
  ScratchFolder folder;
  {
    auto options = options_for(folder / "events", folder / "access", config::AccessFormat::json);
    options.log.query = false;
    FileThread files(std::move(options));
    AccessRecord* record = files.ring(0)->begin_write();
    record->path.assign("/login?token=" + std::string(2000, 's'));
    record->referer.assign("https://example.org/x?secret=1");
    files.ring(0)->publish();
  }
  const std::string line = content_of(folder / "access");
  EXPECT_THAT(line, HasSubstr("\"path\":\"/login\""));
  EXPECT_THAT(line, HasSubstr("\"referer\":\"https://example.org/x\""));
  EXPECT_THAT(line, AllOf(Not(HasSubstr("token")), Not(HasSubstr("secret")), Not(HasSubstr("\"cut\""))));
}

TEST(AccessLog, AppendsToWhatIsThere) {
  ScratchFolder folder;
  std::ofstream(folder / "access") << "from before\n";
  {
    FileThread files(options_for(folder / "events", folder / "access", config::AccessFormat::combined));
    write_record(*files.ring(0), 7);
  }
  const auto lines = lines_in(content_of(folder / "access"));
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_EQ(lines[0], "from before");
}

// ---- opening and reopening ----

TEST(FileThread, NamesThePathThatCannotBeOpened) {
  ScratchFolder folder;
  try {
    FileThread files(options_for(folder / "events", folder / "missing/access", config::AccessFormat::json));
    FAIL() << "opened";
  } catch (const std::runtime_error& failure) {
    EXPECT_EQ(failure.what(), "cannot open the access log " + (folder / "missing/access") +
                                  ": No such file or directory; create the folder");
  }
}

TEST(Reopen, WritesToTheNewFileAfterARename) {
  ScratchFolder folder;
  {
    FileThread files(options_for(folder / "events", folder / "access", config::AccessFormat::combined));
    write_record(*files.ring(0), 1);
    files.event(Level::info, "before");
    ASSERT_TRUE(
        eventually([&] { return !content_of(folder / "access").empty() && !content_of(folder / "events").empty(); }));
    std::filesystem::rename(folder / "access", folder / "access.1");
    std::filesystem::rename(folder / "events", folder / "events.1");
    files.reopen();
    ASSERT_TRUE(eventually(
        [&] { return std::filesystem::exists(folder / "access") && std::filesystem::exists(folder / "events"); }));
    write_record(*files.ring(0), 2);
    files.event(Level::info, "after");
  }
  EXPECT_THAT(numbers_in(lines_in(content_of(folder / "access.1"))), ElementsAre(1));
  EXPECT_THAT(numbers_in(lines_in(content_of(folder / "access"))), ElementsAre(2));
  EXPECT_THAT(lines_in(content_of(folder / "events.1")), ElementsAre(EndsWith("before")));
  EXPECT_THAT(lines_in(content_of(folder / "events")), ElementsAre(EndsWith("after")));
}

TEST(Reopen, KeepsTheOldFileWhenTheNewOneCannotBeOpened) {
  ScratchFolder folder;
  CapturedStderr captured;
  {
    FileThread files(options_for(folder / "events", folder / "access", config::AccessFormat::combined));
    std::filesystem::rename(folder / "access", folder / "access.1");
    std::filesystem::create_directory(folder / "access");  // in the way
    files.reopen();
    ASSERT_TRUE(eventually([&] { return files.write_errors() == 1; }));
    write_record(*files.ring(0), 5);
  }
  EXPECT_THAT(numbers_in(lines_in(content_of(folder / "access.1"))), ElementsAre(5));
  const std::string complaint =
      "cannot reopen the access log " + (folder / "access") + ": Is a directory; the old file stays in use";
  EXPECT_THAT(content_of(folder / "events"), HasSubstr(complaint));
  EXPECT_THAT(captured.text(), HasSubstr(complaint));
}

// ---- writes handed over ----

TEST(WriteLater, RunsOnTheFileThreadInOrder) {
  ScratchFolder folder;
  std::vector<int> order;
  std::thread::id where;
  {
    FileThread files(options_for(folder / "events"));
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(files.write_later("", [&, i] {
        order.push_back(i);
        where = std::this_thread::get_id();
      }));
    }
  }
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_NE(where, std::this_thread::get_id());
}

TEST(WriteLater, ReplacesAWriteUnderTheSameKeyThatHasNotBegun) {
  ScratchFolder folder;
  Gate gate;
  std::vector<std::string> ran;
  {
    FileThread files(options_for(folder / "events"));
    files.write_later("state", [&] {
      gate.wait_inside();
      ran.push_back("state 1");
    });
    gate.wait_until_entered();
    files.write_later("state", [&] { ran.push_back("state 2"); });  // the first has begun: this one waits
    files.write_later("incidents", [&] { ran.push_back("incidents"); });
    files.write_later("state", [&] { ran.push_back("state 3"); });
    gate.release();
  }
  EXPECT_THAT(ran, ElementsAre("state 1", "state 3", "incidents"));
}

TEST(WriteLater, RefusesWhenTheQueueIsFull) {
  ScratchFolder folder;
  Gate gate;
  FileThread files(options_for(folder / "events"));
  files.write_later("", [&] { gate.wait_inside(); });
  gate.wait_until_entered();
  int taken = 0;
  while (taken < 100'000 && files.write_later("", [] {})) ++taken;
  EXPECT_EQ(taken, 1024);
  gate.release();
  EXPECT_TRUE(eventually([&] { return files.write_later("", [] {}); })) << "there is room again";
}

TEST(WriteLater, SurvivesAFailingWrite) {
  ScratchFolder folder;
  CapturedStderr captured;
  bool later = false;
  {
    FileThread files(options_for(folder / "events"));
    files.write_later("state", []() { throw std::runtime_error("no room"); });
    files.write_later("next", [&] { later = true; });
    ASSERT_TRUE(eventually([&] { return files.write_errors() == 1; }));
  }
  EXPECT_TRUE(later);
  EXPECT_THAT(content_of(folder / "events"), HasSubstr("error writing 'state' failed: no room"));
}

TEST(FileThread, LeavesSignalsToOthers) {
  ScratchFolder folder;
  FileThread files(options_for(folder / "events"));
  sigset_t mask;
  std::atomic<bool> done{false};
  files.write_later("", [&] {
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    done = true;
  });
  ASSERT_TRUE(eventually([&] { return done.load(); }));
  for (const int signal : {SIGTERM, SIGHUP, SIGUSR1, SIGPIPE}) EXPECT_EQ(sigismember(&mask, signal), 1) << signal;
  sigset_t own;
  pthread_sigmask(SIG_SETMASK, nullptr, &own);
  EXPECT_EQ(sigismember(&own, SIGTERM), 0) << "the maker's mask is as before";
}

TEST(FileThread, OpensDescriptorsThatChildrenDoNotInherit) {
  ScratchFolder folder;
  std::vector<int> before;
  for (int fd = 0; fd < 256; ++fd) {
    if (::fcntl(fd, F_GETFD) != -1) before.push_back(fd);
  }
  FileThread files(options_for(folder / "events", folder / "access", config::AccessFormat::json));
  int opened = 0;
  for (int fd = 0; fd < 256; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags == -1 || std::find(before.begin(), before.end(), fd) != before.end()) continue;
    ++opened;
    EXPECT_NE(flags & FD_CLOEXEC, 0) << fd;
  }
  EXPECT_GE(opened, 4);  // two logs, two wake-ups
}

}  // namespace
}  // namespace understudy::observe
