#include "proxy/server/process_tree.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>

namespace understudy::server {
namespace {

// A tree of sleepers, each in a group of its own. All hold the writing end of `life`, so that its end tells when the last is gone.
class TreeKillOf : public ::testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(::pipe2(life_.data(), O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(ready_.data(), O_CLOEXEC), 0);
  }
  void TearDown() override {
    for (const int fd : {life_[0], ready_[0], ready_[1]}) ::close(fd);
    if (root_ > 0) ::waitpid(root_, nullptr, 0);
  }

  // `wide` children, each the head of a chain of `deep` more.
  void grow(int wide, int deep) {
    root_ = ::fork();
    ASSERT_GE(root_, 0);
    if (root_ == 0) {
      ::setpgid(0, 0);
      for (int i = 0; i < wide; ++i)
        if (::fork() == 0) chain(deep);
      sleep_for_good();
    }
    ::close(life_[1]);
    std::array<char, 4096> told{};
    const int all = 1 + wide * (1 + deep);
    for (int there = 0; there < all;) {
      pollfd wait{ready_[0], POLLIN, 0};
      ASSERT_GT(::poll(&wait, 1, 60'000), 0) << there << " of " << all << " have begun";
      there += static_cast<int>(::read(ready_[0], told.data(), told.size()));
    }
  }
  bool all_gone() {
    pollfd wait{life_[0], POLLIN, 0};
    char byte = 0;
    return ::poll(&wait, 1, 60'000) > 0 && ::read(life_[0], &byte, 1) == 0;
  }

  pid_t root_ = -1;

private:
  [[noreturn]] void sleep_for_good() {
    ::alarm(120);  // whatever becomes of the test
    [[maybe_unused]] const auto told = ::write(ready_[1], "x", 1);
    for (;;) ::pause();
  }
  [[noreturn]] void chain(int deep) {
    ::setpgid(0, 0);
    if (deep > 0 && ::fork() == 0) chain(deep - 1);
    sleep_for_good();
  }
  std::array<int, 2> life_{}, ready_{};
};

TEST_F(TreeKillOf, AWideTreeIsKilledInSteps) {
  grow(200, 0);
  TreeKill kill(root_);
  int steps = 1;
  while (!kill.step(16) && steps < 1'000) ++steps;
  // Twice a look at each of 201, and a kill.
  EXPECT_GE(steps, (2 * 201 + 200) / 16);
  EXPECT_LE(steps, (3 * 201 + 200) / 16);
  EXPECT_TRUE(all_gone());
}
TEST_F(TreeKillOf, ADeepTreeIsKilledAtOnce) {
  grow(3, 20);
  kill_tree(root_);
  EXPECT_TRUE(all_gone());
}
TEST_F(TreeKillOf, WhatWasBegunInStepsIsEndedAtOnce) {
  grow(5, 10);
  TreeKill kill(root_);
  for (int i = 0; i < 40; ++i) ASSERT_FALSE(kill.step(3));
  EXPECT_TRUE(kill.step(SIZE_MAX));
  EXPECT_TRUE(all_gone());
}
TEST(TreeKill, WhatIsNobodysChildIsLeftAlone) {
  EXPECT_TRUE(TreeKill(0).step(1));
  EXPECT_TRUE(TreeKill(1).step(1));
  EXPECT_TRUE(TreeKill(-1).step(1));
}

}  // namespace
}  // namespace understudy::server
