#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "proxy/observe/log.hpp"

namespace understudy::observe {
namespace {

std::string path_of(std::int64_t number) { return std::string("/").append(std::to_string(number)); }

TEST(AccessRing, GivesRecordsBackInOrder) {
  AccessRing ring(4);
  EXPECT_EQ(ring.front(), nullptr);
  for (int round = 0; round < 10; ++round) {  // several times around
    for (int i = 0; i < 3; ++i) {
      AccessRecord* record = ring.begin_write();
      ASSERT_NE(record, nullptr);
      record->unix_us = round * 10 + i;
      ring.publish();
    }
    for (int i = 0; i < 3; ++i) {
      const AccessRecord* record = ring.front();
      ASSERT_NE(record, nullptr);
      EXPECT_EQ(record->unix_us, round * 10 + i);
      ring.pop();
    }
    EXPECT_EQ(ring.front(), nullptr);
  }
  EXPECT_EQ(ring.dropped(), 0U);
}

TEST(AccessRing, CountsWhatDoesNotFitAndKeepsTheOlder) {
  AccessRing ring(4);
  for (int i = 0; i < 10; ++i) {
    AccessRecord* record = ring.begin_write();
    ASSERT_EQ(record != nullptr, i < 4);
    if (record == nullptr) continue;
    record->unix_us = i;
    ring.publish();
  }
  EXPECT_EQ(ring.dropped(), 6U);
  for (int i = 0; i < 4; ++i) {
    ASSERT_NE(ring.front(), nullptr);
    EXPECT_EQ(ring.front()->unix_us, i);
    ring.pop();
  }
  EXPECT_NE(ring.begin_write(), nullptr) << "there is room again";
}

TEST(AccessRing, HidesARecordUntilItIsPublished) {
  AccessRing ring(4);
  ring.begin_write()->status = 200;
  EXPECT_EQ(ring.front(), nullptr);
  AccessRecord* again = ring.begin_write();  // begun twice, published once: one record, with fresh fields
  EXPECT_EQ(again->status, 0);
  EXPECT_EQ(again->path.size, 0);
  ring.publish();
  ASSERT_NE(ring.front(), nullptr);
  ring.pop();
  EXPECT_EQ(ring.front(), nullptr);
}

TEST(AccessRing, RoundsACapacityUpToAPowerOfTwo) {
  AccessRing ring(5);
  int taken = 0;
  while (ring.begin_write() != nullptr) {
    ring.publish();
    ++taken;
  }
  EXPECT_EQ(taken, 8);
}

TEST(AccessRing, HandsWholeRecordsFromOneThreadToAnother) {
  constexpr int kAttempts = 100'000;
  AccessRing ring(64);
  std::atomic<bool> done{false};
  std::uint64_t accepted = 0;
  std::thread producer([&] {
    for (int i = 0; i < kAttempts; ++i) {
      AccessRecord* record = ring.begin_write();
      if (record == nullptr) {
        std::this_thread::yield();
        continue;
      }
      record->unix_us = i;
      record->path.assign(path_of(i));
      record->status = static_cast<std::uint16_t>(i % 600);
      ring.publish();
      ++accepted;
    }
    done.store(true, std::memory_order_release);
  });
  std::uint64_t received = 0, wrong = 0;
  std::int64_t last = -1;
  for (;;) {
    const bool ended = done.load(std::memory_order_acquire);
    const AccessRecord* record = ring.front();
    if (record == nullptr) {
      if (ended) break;
      std::this_thread::yield();
      continue;
    }
    const std::int64_t i = record->unix_us;
    if (i <= last || record->path.view() != path_of(i) || record->status != i % 600) ++wrong;
    last = i;
    ring.pop();
    ++received;
  }
  producer.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_GT(received, 0U);
  EXPECT_EQ(received, accepted);
  EXPECT_EQ(accepted + ring.dropped(), static_cast<std::uint64_t>(kAttempts));
}

TEST(FixedText, MarksWhatItCut) {
  FixedText<4> text;
  text.assign("abcd");
  EXPECT_EQ(text.view(), "abcd");
  EXPECT_FALSE(text.cut);
  text.assign("abcde");
  EXPECT_EQ(text.view(), "abcd");
  EXPECT_TRUE(text.cut);
  text.assign(std::string_view());
  EXPECT_EQ(text.view(), "");
  EXPECT_FALSE(text.cut);
}

}  // namespace
}  // namespace understudy::observe
