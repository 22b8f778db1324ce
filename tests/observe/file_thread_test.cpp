#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <mutex>

#include "proxy/observe/log.hpp"
#include "scratch.hpp"

namespace understudy::observe {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Clock = std::chrono::steady_clock;

FileThread::Options options_for(const std::string& events, const std::string& access = {},
                                config::AccessFormat format = config::AccessFormat::off) {
  FileThread::Options options;
  options.log.path = events;
  options.log.access_path = access;
  options.log.access_format = format;
  return options;
}

bool write_record(AccessRing& ring, std::int64_t number, std::string_view path = "/") {
  AccessRecord* record = ring.begin_write();
  if (record == nullptr) return false;
  record->unix_us = number * 1'000'000;
  record->bytes_out = static_cast<std::uint64_t>(number);
  record->status = 200;
  record->method.assign("GET");
  record->client_ip.assign("192.0.2.1");
  record->path.assign(path);
  ring.publish();
  return true;
}

// The numbers given to write_record, out of combined lines; -1 for a line that is not whole.
std::vector<std::int64_t> numbers_in(const std::vector<std::string>& lines) {
  const std::string begin = "192.0.2.1 - - [", status = " HTTP/1.1\" 200 ", end = " \"-\" \"-\"";
  std::vector<std::int64_t> numbers;
  for (const std::string& line : lines) {
    const std::size_t at = line.find(status);
    const bool whole = line.starts_with(begin) && line.ends_with(end) && at != std::string::npos &&
                       std::count(line.begin(), line.end(), '"') == 6 &&
                       line.find(begin, 1) == std::string::npos;
    const std::size_t from = at + status.size();
    numbers.push_back(whole ? std::stoll(line.substr(from, line.size() - end.size() - from)) : -1);
  }
  return numbers;
}

// "2026-11-22" becomes "dddd-dd-dd".
std::string shape_of(std::string text) {
  for (char& c : text) c = c >= '0' && c <= '9' ? 'd' : c;
  return text;
}

std::vector<std::int64_t> counted_to(std::int64_t end, std::int64_t from = 0) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = from; i < end; ++i) numbers.push_back(i);
  return numbers;
}

// A named pipe whose reader has it open and reads only when told to.
class StuckPipe {
public:
  explicit StuckPipe(std::string path) : path_(std::move(path)) {
    if (::mkfifo(path_.c_str(), 0600) != 0) throw std::runtime_error("no fifo");
    reader_ = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  }
  ~StuckPipe() { ::close(reader_); }
  StuckPipe(const StuckPipe&) = delete;
  StuckPipe& operator=(const StuckPipe&) = delete;
  const std::string& path() const { return path_; }
  const std::string& read_what_is_there() {
    char block[65536];
    for (ssize_t n = 0; (n = ::read(reader_, block, sizeof block)) > 0;)
      text_.append(block, static_cast<std::size_t>(n));
    return text_;
  }

private:
  std::string path_;
  int reader_ = -1;
  std::string text_;
};

// Something that a task waits for; shared, because a detached thread may outlive the test's frame.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false, entered = false;
  void wait_inside() {
    std::unique_lock lock(mutex);
    entered = true;
    changed.notify_all();
    changed.wait(lock, [&] { return open; });
  }
  void wait_until_entered() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return entered; });
  }
  void release() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
};

// ---- events
// ------------------------------------------------------------------------------------------------------

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
  EXPECT_THAT(lines_in(content_of(folder / "events")),
              ElementsAre(EndsWith(" warn  shown"), EndsWith(" trace fine")));
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
  EXPECT_THAT(lines_in(captured.text()), ElementsAre(StartsWith("<7>20"), StartsWith("<6>20"),
                                                     StartsWith("<4>20"), StartsWith("<3>20")));
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
  EXPECT_THAT(lines_in(content_of(folder / "events")),
              AllOf(SizeIs(kThreads * kEach), Each(StartsWith("20"))));
}

// ---- access log
// --------------------------------------------------------------------------------------------------

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

// ---- opening and reopening
// ---------------------------------------------------------------------------------------

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
    ASSERT_TRUE(eventually(
        [&] { return !content_of(folder / "access").empty() && !content_of(folder / "events").empty(); }));
    std::filesystem::rename(folder / "access", folder / "access.1");
    std::filesystem::rename(folder / "events", folder / "events.1");
    files.reopen();
    ASSERT_TRUE(eventually([&] {
      return std::filesystem::exists(folder / "access") && std::filesystem::exists(folder / "events");
    }));
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

// ---- writes handed over
// ------------------------------------------------------------------------------------------

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

// ---- law 7: the data plane outlives the rest
// ---------------------------------------------------------------------

TEST(Law7, AStuckPipeAsAccessLogHoldsNobodyAndLosesOnlyWhatItCounts) {
  ScratchFolder folder;
  CapturedStderr captured;
  StuckPipe pipe(folder / "access");
  std::vector<std::int64_t> accepted;
  bool task_ran = false;
  {
    auto options = options_for(folder / "events", pipe.path(), config::AccessFormat::combined);
    options.ring_records = 1024;
    FileThread files(std::move(options));
    // The pipe's 64 KiB, what the thread holds (256 KiB and a line) and the ring are all that can be
    // accepted: below 10,000.
    std::int64_t number = 0;
    EXPECT_TRUE(eventually([&] {
      bool all = true;
      for (int i = 0; i < 1024 && all; ++i, ++number) {
        all = write_record(*files.ring(0), number, "/a/path/of/some/length");
        if (all) accepted.push_back(number);
      }
      return !all && accepted.size() > 4000;
    }));
    EXPECT_LT(accepted.size(), 10'000U);
    EXPECT_GT(files.access_dropped(), 0U);
    files.event(Level::info, "events still flow");
    files.write_later("state", [&] { task_ran = true; });
    EXPECT_TRUE(
        eventually([&] { return content_of(folder / "events").find("still flow") != std::string::npos; }));
    EXPECT_TRUE(eventually([&] {
      return content_of(folder / "events").find("access records dropped") != std::string::npos;
    })) << "the loss is told";
    // The reader comes back: everything accepted arrives, whole and in order.
    EXPECT_TRUE(eventually([&] { return lines_in(pipe.read_what_is_there()).size() >= accepted.size(); }));
  }
  EXPECT_TRUE(task_ran);
  EXPECT_EQ(numbers_in(lines_in(pipe.read_what_is_there())), accepted);
}

TEST(Law7, AStuckPipeAsEventLogHoldsNobody) {
  ScratchFolder folder;
  CapturedStderr captured;
  StuckPipe pipe(folder / "events");
  bool task_ran = false;
  auto options = options_for(pipe.path(), folder / "access", config::AccessFormat::combined);
  options.queue_lines = 100;
  auto files = std::make_unique<FileThread>(std::move(options));
  const std::string message(1000, 'e');
  EXPECT_TRUE(eventually([&] {
    for (char c = 'a'; c <= 'z'; ++c) files->event(Level::info, c + message);
    return files->events_dropped() > 0;
  }));
  write_record(*files->ring(0), 1);
  EXPECT_TRUE(eventually([&] { return !content_of(folder / "access").empty(); }));
  files->write_later("state", [&] { task_ran = true; });
  const auto begun = Clock::now();
  files.reset();
  EXPECT_LT(Clock::now() - begun, std::chrono::seconds(3)) << "a second, and time for a loaded machine";
  EXPECT_TRUE(task_ran);
  EXPECT_THAT(captured.text(), HasSubstr("events dropped"));
}

TEST(Law7, AStuckStandardErrorHoldsNobodyAndStaysAsItWas) {
  CapturedStderr captured;
  const int flags = ::fcntl(2, F_GETFL);
  auto options = options_for("", "", config::AccessFormat::json);
  options.queue_lines = 100;
  options.ring_records = 64;
  auto files = std::make_unique<FileThread>(std::move(options));
  EXPECT_TRUE(eventually([&] {
    for (int i = 0; i < 100; ++i) {
      files->event(Level::info, std::to_string(i));
      write_record(*files->ring(0), i);
    }
    return files->events_dropped() > 0 && files->access_dropped() > 0;
  }));
  EXPECT_EQ(::fcntl(2, F_GETFL), flags) << "others who share the stream still find it blocking";
  const auto begun = Clock::now();
  files.reset();
  EXPECT_LT(Clock::now() - begun, std::chrono::seconds(3));
  EXPECT_FALSE(captured.text().empty());
}

TEST(Law7, AFullDiskIsCountedAndToldOnce) {
  ScratchFolder folder;
  CapturedStderr captured;
  {
    auto options = options_for(folder / "events", "/dev/full", config::AccessFormat::combined);
    options.ring_records = 64;
    FileThread files(std::move(options));
    EXPECT_TRUE(eventually([&] {
      for (int i = 0; i < 1000; ++i) write_record(*files.ring(0), i);
      return files.write_errors() >= 2 && files.access_dropped() > 0;  // tried again, and the ring filled
    }));
    files.event(Level::info, "events still flow");
    EXPECT_TRUE(
        eventually([&] { return content_of(folder / "events").find("still flow") != std::string::npos; }));
  }
  const std::string complaint = "cannot write the access log /dev/full: No space left on device";
  for (const std::string& text : {content_of(folder / "events"), captured.text()}) {
    std::size_t told = 0;
    for (const std::string& line : lines_in(text)) told += line.find(complaint) != std::string::npos ? 1 : 0;
    EXPECT_EQ(told, 1U) << text;
  }
}

TEST(Law7, AFullDiskUnderTheEventLogIsToldOnStandardError) {
  CapturedStderr captured;
  FileThread files(options_for("/dev/full"));
  files.event(Level::info, "lost");
  EXPECT_TRUE(eventually([&] {
    return captured.text().find("cannot write the event log /dev/full: No space left on device") !=
           std::string::npos;
  }));
  EXPECT_GE(files.write_errors(), 1U);
}

// The limit on the size of files stands in for a disk that fills in the middle of a line and is cleared
// later.
TEST(Law7, ADiskThatHasRoomAgainGetsEveryLineWhole) {
  ScratchFolder folder;
  CapturedStderr captured;
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  {
    auto options = options_for("", folder / "access", config::AccessFormat::combined);
    FileThread files(std::move(options));
    rlimit small = limit;
    small.rlim_cur = 1000;  // not a multiple of a line
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    for (std::int64_t i = 0; i < 50; ++i) EXPECT_TRUE(write_record(*files.ring(0), i));
    const bool failed = eventually([&] { return files.write_errors() > 0; });
    ::setrlimit(RLIMIT_FSIZE, &limit);
    ASSERT_TRUE(failed);
    EXPECT_EQ(content_of(folder / "access").size(), 1000U) << "stopped inside a line";
    EXPECT_TRUE(eventually([&] { return lines_in(content_of(folder / "access")).size() == 50; }));
    EXPECT_TRUE(
        eventually([&] { return captured.text().find("can be written again") != std::string::npos; }));
  }
  EXPECT_EQ(numbers_in(lines_in(content_of(folder / "access"))), counted_to(50));
}

TEST(Law7, ALineCutByAFullDiskBeginsAgainInTheNewFile) {
  ScratchFolder folder;
  CapturedStderr captured;
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  {
    FileThread files(options_for("", folder / "access", config::AccessFormat::combined));
    rlimit small = limit;
    small.rlim_cur = 1000;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    for (std::int64_t i = 0; i < 50; ++i) EXPECT_TRUE(write_record(*files.ring(0), i));
    const bool failed = eventually([&] { return files.write_errors() > 0; });
    std::filesystem::rename(folder / "access", folder / "access.1");
    files.reopen();
    const bool reopened = eventually([&] { return std::filesystem::exists(folder / "access"); });
    ::setrlimit(RLIMIT_FSIZE, &limit);
    ASSERT_TRUE(failed && reopened);
  }
  const auto old_lines = lines_in(content_of(folder / "access.1"));
  ASSERT_THAT(old_lines.back(), EndsWith("<no newline>"));
  const auto kept = static_cast<std::int64_t>(old_lines.size()) - 1;
  EXPECT_EQ(numbers_in(lines_in(content_of(folder / "access"))), counted_to(50, kept));
}

TEST(Law7, AHungDiskDoesNotHoldTheEndOfTheProcess) {
  ScratchFolder folder;
  auto gate = std::make_shared<Gate>();  // the detached thread may leave it last
  auto left = std::make_shared<std::atomic<bool>>(false);
  auto files = std::make_unique<FileThread>(options_for(folder / "events"));
  files->write_later("state", [gate, left] {
    gate->wait_inside();
    left->store(true);
  });
  gate->wait_until_entered();
  const auto begun = Clock::now();
  files.reset();
  EXPECT_LT(Clock::now() - begun, std::chrono::seconds(3));
  EXPECT_FALSE(left->load());
  gate->release();
  EXPECT_TRUE(eventually([&] { return left->load(); }));
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
  for (const int signal : {SIGTERM, SIGHUP, SIGUSR1, SIGPIPE})
    EXPECT_EQ(sigismember(&mask, signal), 1) << signal;
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
