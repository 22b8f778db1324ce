// Nobody outlives a drill, whoever started them.
#include "proxy/drill/leash.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <thread>

namespace understudy::drill {
namespace {

using namespace std::chrono_literals;

template <class Condition>
bool within(std::chrono::milliseconds time, const Condition& is_so) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

struct Pair {
  pid_t first = -1, second = -1;
};

// On the leash: a process, and one that it started. `first_ends`: at once, with code 7. The other one stands still.
Pair start_two(Leash& leash, bool first_ends, bool stopped = true) {
  std::array<int, 2> line{};
  EXPECT_EQ(::pipe(line.data()), 0);
  Pair pair;
  pair.first = ::fork();
  if (pair.first == 0) {
    if (!leash.join()) ::_exit(1);
    const pid_t second = ::fork();
    if (second == 0) {
      if (stopped) ::raise(SIGSTOP);
      for (;;) ::pause();
    }
    [[maybe_unused]] const auto told = ::write(line[1], &second, sizeof second);
    if (first_ends) ::_exit(7);
    for (;;) ::pause();
  }
  EXPECT_EQ(::read(line[0], &pair.second, sizeof pair.second), ssize_t(sizeof pair.second));
  ::close(line[0]);
  ::close(line[1]);
  return pair;
}

TEST(Leash, EndsWhomAnEndedProcessLeftBehind) {
  auto leash = std::make_unique<Leash>();
  const Pair pair = start_two(*leash, true);
  std::optional<int> how;
  ASSERT_TRUE(within(5s, [&] { return (how = ended(pair.first)).has_value(); }));
  EXPECT_EQ(WEXITSTATUS(*how), 7);
  EXPECT_FALSE(ended(pair.second)) << "it is ours now, and stands still";
  leash.reset();
  EXPECT_EQ(ended(pair.second), kNotOurs) << "killed, and waited for";
}

TEST(Leash, KnowsThatADescendantHasEndedBeforeItIsOurs) {
  Leash leash;
  const Pair pair = start_two(leash, false);
  EXPECT_FALSE(ended(pair.first));
  EXPECT_FALSE(ended(pair.second));
  ::kill(pair.second, SIGKILL);
  EXPECT_TRUE(within(5s, [&] { return ended(pair.second).has_value(); }));
  EXPECT_EQ(ended(pair.second), kNotOurs) << "its parent has not waited for it";
  ::kill(pair.first, SIGKILL);
  std::optional<int> how;
  ASSERT_TRUE(within(5s, [&] { return (how = ended(pair.second)).has_value() && *how != kNotOurs; }));
  EXPECT_EQ(WTERMSIG(*how), SIGKILL);
}

// Also of those that do not stand still: who does is told to end by the kernel when its group has lost its last parent.
TEST(Leash, HoldsWhenItsOwnerIsKilled) {
  for (const bool stopped : {true, false}) {
    std::array<int, 2> line{};
    ASSERT_EQ(::pipe(line.data()), 0);
    const pid_t owner = ::fork();
    if (owner == 0) {
      Leash leash;
      const Pair pair = start_two(leash, true, stopped);
      [[maybe_unused]] const auto told = ::write(line[1], &pair.second, sizeof pair.second);
      for (;;) ::pause();
    }
    ::close(line[1]);
    pid_t left = -1;
    ASSERT_EQ(::read(line[0], &left, sizeof left), ssize_t(sizeof left));
    EXPECT_FALSE(ended(left));
    ::kill(owner, SIGKILL);
    ::waitpid(owner, nullptr, 0);
    EXPECT_TRUE(within(5s, [&] { return ended(left).has_value(); })) << "stopped " << stopped;
    ::kill(left, SIGKILL);
    ::close(line[0]);
  }
}

}  // namespace
}  // namespace understudy::drill
