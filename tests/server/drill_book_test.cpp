// The history of drills on disk: what is written is read again, and what is damaged costs nothing else.
#include "proxy/server/drill_book.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/observe/scratch.hpp"

namespace understudy::server {
namespace {

using namespace std::chrono_literals;
using health::DrillHistory;
using health::Wall;

DrillHistory history() {
  DrillHistory out;
  out.duties.push_back({"weekly", "app", Wall(1'000ms)});
  health::DrillRecord record;
  record.name = "The \"primary\"\n dies";
  record.pool = "app";
  record.who = "uid 0";
  record.began = Wall(1'764'151'445'250ms);
  record.ended = record.began + 20s;
  record.complete = record.passed = true;
  record.requests = 1234;
  record.failed = 5;
  record.detected = 350ms;
  record.shifted = 900ms;
  out.add(record);
  record.complete = record.passed = false;
  record.why = "its lease";
  record.detected.reset();
  out.add(record);
  return out;
}

TEST(DrillHistoryText, WhatIsWrittenIsReadAgain) {
  std::size_t damaged = 9;
  const DrillHistory read = drill_history_of(to_text(history()), damaged);
  EXPECT_EQ(damaged, 0U);
  ASSERT_EQ(read.records.size(), 2U);
  const health::DrillRecord& first = read.records[0];
  EXPECT_EQ(first.name, "The \"primary\"\n dies");
  EXPECT_EQ(first.began, Wall(1'764'151'445'250ms));
  EXPECT_TRUE(first.passed);
  EXPECT_EQ(first.requests, 1234U);
  EXPECT_EQ(first.detected, 350ms);
  EXPECT_FALSE(first.returned);
  EXPECT_FALSE(read.records[1].complete);
  EXPECT_EQ(read.records[1].why, "its lease");
  ASSERT_EQ(read.duties.size(), 1U);
  EXPECT_EQ(read.duties[0].since, Wall(1'000ms));
  EXPECT_EQ(to_text(read), to_text(history()));
}

TEST(DrillHistoryText, EveryCutAndEveryChangedByteLeavesTheOtherLines) {
  const std::string text = to_text(history());
  std::size_t damaged = 0;
  for (std::size_t end = 0; end <= text.size(); ++end) {
    const DrillHistory read = drill_history_of(text.substr(0, end), damaged);
    EXPECT_LE(damaged, 1U) << end;
    EXPECT_LE(read.records.size(), 2U);
  }
  const std::size_t second = text.find('\n') + 1;
  const DrillHistory read =
      drill_history_of("{\n[]\n\"x\"\n{\"v\":2,\"type\":\"drill\"}\n" + text.substr(second), damaged);
  EXPECT_EQ(damaged, 4U);
  EXPECT_EQ(read.records.size(), 2U);
}

constexpr health::Wall kNow{std::chrono::hours(24 * 20000)};

TEST(DrillBook, OneThatTheProcessDiedInWasCutShort) {
  const observe::testing::ScratchFolder scratch;
  const auto later = [](const std::function<void()>& one) {
    one();
    return true;
  };
  std::string problem;
  {
    DrillBook book;
    book.open(scratch / "drills.jsonl", later, kNow, problem);
    book.begin(history().records[0]);
    EXPECT_TRUE(book.history().records.empty());
  }
  DrillBook again;
  again.open(scratch / "drills.jsonl", later, kNow, problem);
  EXPECT_EQ(problem, "");
  ASSERT_EQ(again.history().records.size(), 1U);
  EXPECT_NE(again.history().records[0].why.find("the end of the process that ran it"), std::string::npos);
  DrillBook third;
  third.open(scratch / "drills.jsonl", later, kNow, problem);
  EXPECT_EQ(third.history().records.size(), 1U) << "once";
}

TEST(DrillBook, KeepsWhatItWasToldInItsFile) {
  const observe::testing::ScratchFolder scratch;
  const std::string file = scratch / "drills.jsonl";
  std::vector<std::function<void()>> work;
  const auto later = [&work](std::function<void()> one) {
    work.push_back(std::move(one));
    return true;
  };
  std::string problem;
  DrillBook book;
  book.open(file, later, kNow, problem);
  EXPECT_EQ(problem, "");
  book.add(history().records[0]);
  ASSERT_EQ(work.size(), 1U);
  work[0]();
  DrillBook again;
  again.open(file, later, kNow, problem);
  EXPECT_EQ(problem, "");
  EXPECT_EQ(again.history().records.size(), 1U);
  std::ofstream(file, std::ios::app) << "{\"v\":1,";
  DrillBook third;
  third.open(file, later, kNow, problem);
  EXPECT_NE(problem.find("1 lines"), std::string::npos) << problem;
  EXPECT_EQ(third.history().records.size(), 1U);
  third.let_go();
  third.add(history().records[0]);
  EXPECT_EQ(work.size(), 1U) << "another process has it now";
}

TEST(DrillBook, WithoutAFolderItForgets) {
  std::string problem;
  DrillBook book;
  book.open("", nullptr, kNow, problem);
  book.add(history().records[0]);
  EXPECT_EQ(problem, "");
  EXPECT_EQ(book.history().records.size(), 1U);
}

}  // namespace
}  // namespace understudy::server
