#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <thread>

#include "proxy/observe/log.hpp"
#include "scratch.hpp"

namespace understudy::observe {
namespace {

using testing::content_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ScratchFolder;

TEST(WriteFileAtomically, WritesContentAndMode) {
  ScratchFolder folder;
  const std::string path = folder / "state.json";
  const std::string content("with a zero \0 and a newline\n", 28);
  EXPECT_EQ(write_file_atomically(path, content, 0640), "");
  EXPECT_EQ(content_of(path), content);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640U);
  EXPECT_THAT(folder.names(), ElementsAre("state.json")) << "no temporary file stays";
}

TEST(WriteFileAtomically, GivesReadersTheOldFileOrTheNewNeverAMixture) {
  ScratchFolder folder;
  const std::string path = folder / "state";
  const std::string old_content(100'000, 'o'), new_content(50'000, 'n');
  ASSERT_EQ(write_file_atomically(path, old_content, 0600), "");
  std::thread writer([&] {
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(write_file_atomically(path, i % 2 == 0 ? new_content : old_content, 0600), "");
    }
  });
  for (int i = 0; i < 100; ++i) {
    const std::string seen = content_of(path);
    EXPECT_TRUE(seen == old_content || seen == new_content) << seen.size();
  }
  writer.join();
}

TEST(WriteFileAtomically, LeavesTheOldFileToWhoHasItOpen) {
  ScratchFolder folder;
  const std::string path = folder / "state";
  ASSERT_EQ(write_file_atomically(path, "old", 0600), "");
  std::ifstream open_before(path);
  ASSERT_EQ(write_file_atomically(path, "newer", 0600), "");
  std::string seen;
  open_before >> seen;
  EXPECT_EQ(seen, "old") << "replaced, not overwritten";
}

TEST(WriteFileAtomically, NamesThePathAndTheReasonWhenTheFolderIsMissing) {
  ScratchFolder folder;
  const std::string path = folder / "missing/state";
  const std::string why = write_file_atomically(path, "x", 0600);
  EXPECT_THAT(why, HasSubstr("cannot write " + path + ": No such file or directory"));
  EXPECT_THAT(why, HasSubstr("the folder must exist"));
}

TEST(WriteFileAtomically, RemovesItsTemporaryFileWhenTheRenameFails) {
  ScratchFolder folder;
  std::filesystem::create_directories(folder / "state/full");  // a folder can't be replaced by a file
  const std::string why = write_file_atomically(folder / "state", "x", 0600);
  EXPECT_THAT(why, HasSubstr("renaming"));
  EXPECT_THAT(folder.names(), ElementsAre("state"));
}

// A disk that takes only the first half: the limit on the size of files stands in for it.
TEST(WriteFileAtomically, KeepsTheOldFileWhenTheNewOneDoesNotFit) {
  ScratchFolder folder;
  const std::string path = folder / "state";
  ASSERT_EQ(write_file_atomically(path, "old", 0600), "");
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  rlimit small = limit;
  small.rlim_cur = 4096;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string why = write_file_atomically(path, std::string(10'000, 'n'), 0600);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, before);
  EXPECT_THAT(why, HasSubstr("File too large"));
  EXPECT_EQ(content_of(path), "old");
  EXPECT_THAT(folder.names(), ElementsAre("state"));
}

}  // namespace
}  // namespace understudy::observe
