// When the state is written: the disk is a folder, the thread that writes is played by the test.
#include "proxy/server/state_keeper.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <vector>

namespace understudy::server {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class Keeping : public ::testing::Test {
protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    StateKeeper::Hooks hooks;
    hooks.ours = [this] { return ours; };
    hooks.text = [this] { return text; };
    hooks.later = [this](std::string key, std::function<void()> work) {
      if (full) return false;
      for (auto& [known, waiting] : queue) {
        if (known != key) continue;
        waiting = std::move(work);
        return true;
      }
      queue.emplace_back(std::move(key), std::move(work));
      return true;
    };
    hooks.log = [this](const std::string& line) { told += line + "\n"; };
    keeper = std::make_unique<StateKeeper>(io, folder + "/deep/state.json", std::move(hooks));
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  void disk(bool there) {
    if (there)
      std::filesystem::create_directory(folder + "/deep");
    else
      std::filesystem::remove_all(folder + "/deep");
  }
  std::string written() const {
    std::ifstream in(folder + "/deep/state.json");
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // What the other thread does.
  void write_all() {
    auto begun = std::exchange(queue, {});
    for (auto& [key, work] : begun) {
      try {
        work();
      } catch (const std::runtime_error&) {
        ++failures;
      }
    }
  }
  // Both threads, until it holds.
  bool run_until(const std::function<bool()>& holds, std::chrono::milliseconds bound = 10s) {
    const auto end = Clock::now() + bound;
    while (!holds() && Clock::now() < end) {
      io.restart();
      io.run_for(5ms);
      if (working) write_all();
    }
    return holds();
  }

  boost::asio::io_context io;
  std::string folder = testing::TempDir() + "understudy-keeper-XXXXXX", text = "one", told;
  bool ours = true, full = false, working = true;
  int failures = 0;
  std::vector<std::pair<std::string, std::function<void()>>> queue;
  std::unique_ptr<StateKeeper> keeper;
};

TEST_F(Keeping, WhatHappensTogetherIsWrittenTogether) {
  disk(true);
  working = false;
  keeper->soon();
  keeper->soon();
  EXPECT_TRUE(queue.empty()) << "not at once";
  text = "two";
  ASSERT_TRUE(run_until([&] { return !queue.empty(); }));
  EXPECT_EQ(queue.size(), 1U);
  write_all();
  EXPECT_EQ(written(), "two");
}

TEST_F(Keeping, AWriteThatFailedIsRepeatedUntilItSucceeds) {
  disk(false);
  keeper->soon();
  ASSERT_TRUE(run_until([&] { return failures == 2; })) << "without any event in between";
  text = "two";
  disk(true);
  const auto began = Clock::now();
  ASSERT_TRUE(run_until([&] { return written() == "two"; }));
  EXPECT_LE(Clock::now() - began, StateKeeper::kRetryMost + 1s);
  ASSERT_TRUE(run_until([&] { return !told.empty(); }));
  EXPECT_EQ(told, "the state is kept again\n");
}

TEST_F(Keeping, AnOrderIsAnsweredWhenItIsWritten) {
  disk(true);
  working = false;
  std::optional<bool> first, second;
  keeper->soon();
  keeper->at_once([&](bool kept) { first = kept; });
  ASSERT_EQ(queue.size(), 1U) << "at once";
  EXPECT_FALSE(run_until([&] { return first.has_value(); }, 50ms)) << "nothing is written yet";
  text = "two";
  keeper->at_once([&](bool kept) { second = kept; });
  ASSERT_EQ(queue.size(), 1U) << "the newer replaces the older";
  write_all();
  EXPECT_EQ(written(), "two");
  ASSERT_TRUE(run_until([&] { return first && second; }));
  EXPECT_TRUE(*first && *second);
}

TEST_F(Keeping, AnOrderWaitsForNoDiskThatHangsOrFails) {
  disk(true);
  working = false;
  std::optional<bool> hangs, fails, refused;
  const auto began = Clock::now();
  keeper->at_once([&](bool kept) { hangs = kept; });
  ASSERT_TRUE(run_until([&] { return hangs.has_value(); }));
  EXPECT_FALSE(*hangs);
  EXPECT_GE(Clock::now() - began, StateKeeper::kAnswer - 50ms);
  working = true;
  disk(false);
  keeper->at_once([&](bool kept) { fails = kept; });
  ASSERT_TRUE(run_until([&] { return fails.has_value(); }, 900ms));
  EXPECT_FALSE(*fails);
  full = true;
  keeper->at_once([&](bool kept) { refused = kept; });
  EXPECT_FALSE(refused) << "never from inside";
  ASSERT_TRUE(run_until([&] { return refused.has_value(); }));
  EXPECT_FALSE(*refused);
}

TEST_F(Keeping, WhatIsOlderReplacesNothingNewer) {
  disk(true);
  working = false;
  int copies = 0;
  ASSERT_TRUE(keeper->write("state", nullptr));
  text = "two";
  ASSERT_TRUE(keeper->write("upgrade", [&] { ++copies; }));
  text = "three";
  ASSERT_TRUE(keeper->write("state", nullptr));  // takes the first one's place in the queue
  write_all();
  EXPECT_EQ(written(), "three");
  EXPECT_EQ(copies, 1);
}

TEST_F(Keeping, WhatIsLearnedIsWrittenEveryFewMinutes) {
  disk(true);
  const auto now = Clock::now();
  keeper->tick(now + 1min);
  EXPECT_FALSE(run_until([&] { return !written().empty(); }, 400ms));
  keeper->tick(now + StateKeeper::kEvery + 1s);
  EXPECT_TRUE(run_until([&] { return written() == "one"; }));
}

TEST_F(Keeping, WhatIsNotOursIsLeftAlone) {
  disk(true);
  ours = false;
  std::optional<bool> kept;
  keeper->soon();
  keeper->at_once([&](bool well) { kept = well; });
  EXPECT_EQ(kept, true) << "there is nothing to wait for";
  EXPECT_FALSE(run_until([&] { return !queue.empty() || !written().empty(); }, 400ms));
}

TEST_F(Keeping, NobodyHearsOfAWriteThatOutlivesTheKeeper) {
  disk(true);
  working = false;
  bool heard = false;
  keeper->at_once([&](bool) { heard = true; });
  keeper.reset();
  write_all();
  EXPECT_EQ(written(), "one");
  EXPECT_FALSE(run_until([&] { return heard; }, 50ms));
}

}  // namespace
}  // namespace understudy::server
