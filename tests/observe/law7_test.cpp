// Law 7: the data plane outlives the rest. Stuck pipes, full disks and hung writes hold nobody.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "file_thread_fixture.hpp"

namespace understudy::observe {
namespace {

using namespace testing;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

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
    EXPECT_TRUE(eventually([&] { return content_of(folder / "events").find("still flow") != std::string::npos; }));
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
    EXPECT_TRUE(eventually([&] { return content_of(folder / "events").find("still flow") != std::string::npos; }));
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
    return captured.text().find("cannot write the event log /dev/full: No space left on device") != std::string::npos;
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
    EXPECT_TRUE(eventually([&] { return captured.text().find("can be written again") != std::string::npos; }));
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

}  // namespace
}  // namespace understudy::observe
