#include "proxy/exchange/frame_tracker.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>

#include "tests/exchange/frame_oracle.hpp"

namespace understudy::exchange {
namespace {

using oracle::frame;
using Sender = FrameTracker::Sender;
using Reserved = FrameTracker::Reserved;

constexpr FrameTracker::Rules kFromClient{Sender::client, Reserved::none, UINT64_MAX};
constexpr FrameTracker::Rules kFromServer{Sender::server, Reserved::none, UINT64_MAX};

FrameError error_of(const std::string& bytes, const FrameTracker::Rules& rules) {
  FrameTracker tracker(rules);
  tracker.feed(bytes.data(), bytes.size());
  return tracker.error();
}

TEST(FrameTracker, KnowsEveryBoundaryWhateverTheCutAndTheLength) {
  for (const std::size_t size : {0U, 1U, 125U, 126U, 127U, 65535U, 65536U, 70000U}) {
    for (const bool masked : {false, true}) {
      const std::string bytes = frame({.opcode = 2, .size = size, .masked = masked});
      for (const std::size_t step : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
        FrameTracker tracker(masked ? kFromClient : kFromServer);
        EXPECT_TRUE(tracker.at_boundary());
        for (std::size_t at = 0; at < bytes.size(); at += step) {
          const std::size_t n = std::min(step, bytes.size() - at);
          tracker.feed(bytes.data() + at, n);
          ASSERT_EQ(tracker.at_boundary(), at + n == bytes.size()) << size << " masked " << masked << " at " << at;
        }
        EXPECT_FALSE(tracker.close_seen());
        EXPECT_EQ(tracker.messages(), 1U);
        EXPECT_EQ(tracker.error(), FrameError::none);
      }
    }
  }
}

TEST(FrameTracker, AMessageEndsWithItsLastFragmentAndControlFramesInBetweenEndNothing) {
  FrameTracker tracker(kFromClient);
  const auto pass = [&](const std::string& bytes) {
    EXPECT_EQ(tracker.feed(bytes.data(), bytes.size()), bytes.size());
  };
  pass(frame({.opcode = 1, .size = 3, .masked = true, .fin = false}));
  EXPECT_TRUE(tracker.at_boundary());
  EXPECT_FALSE(tracker.at_message_boundary());
  pass(frame({.opcode = 9, .size = 125, .masked = true}));
  EXPECT_FALSE(tracker.at_message_boundary());
  pass(frame({.opcode = 0, .size = 0, .masked = true, .fin = false}));
  EXPECT_EQ(tracker.messages(), 0U);
  pass(frame({.opcode = 0, .size = 9, .masked = true}));
  EXPECT_TRUE(tracker.at_message_boundary());
  EXPECT_EQ(tracker.messages(), 1U);
}

TEST(FrameTracker, ReadsTheCodeOfACloseMaskedOrNotAndWithoutOne) {
  for (const bool masked : {false, true}) {
    const std::string bytes = frame({.opcode = 1, .size = 10, .masked = masked}) +
                              frame({.opcode = 8, .masked = masked}, std::string("\x03\xF4") + "moving");
    for (const std::size_t step : {std::size_t{1}, std::size_t{3}, bytes.size()}) {
      FrameTracker tracker(masked ? kFromClient : kFromServer);
      for (std::size_t at = 0; at < bytes.size(); at += step)
        tracker.feed(bytes.data() + at, std::min(step, bytes.size() - at));
      EXPECT_TRUE(tracker.at_boundary());
      EXPECT_TRUE(tracker.close_seen());
      EXPECT_EQ(tracker.close_code(), 1012);
    }
  }
  FrameTracker without(kFromServer);
  const std::string bytes = frame({.opcode = 8});
  without.feed(bytes.data(), bytes.size());
  EXPECT_TRUE(without.close_seen());
  EXPECT_EQ(without.close_code(), 0);
}

TEST(FrameTracker, EveryKindOfInvalidFramingIsNamed) {
  const std::string begun = frame({.opcode = 1, .size = 1, .fin = false});
  EXPECT_EQ(error_of(frame({.opcode = 1, .size = 1}), kFromClient), FrameError::mask);
  EXPECT_EQ(error_of(frame({.opcode = 1, .size = 1, .masked = true}), kFromServer), FrameError::mask);
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15})
    EXPECT_EQ(error_of(frame({.opcode = opcode}), kFromServer), FrameError::opcode) << opcode;
  EXPECT_EQ(error_of(frame({.size = 125, .length_bytes = 2}), kFromServer), FrameError::length);
  EXPECT_EQ(error_of(frame({.size = 65535, .length_bytes = 8}), kFromServer), FrameError::length);
  EXPECT_EQ(error_of("\x82\x7F\x80" + std::string(7, '\0'), kFromServer), FrameError::length);
  EXPECT_EQ(error_of(frame({.opcode = 9, .size = 126}), kFromServer), FrameError::control_length);
  EXPECT_EQ(error_of(frame({.opcode = 8, .size = 1}), kFromServer), FrameError::control_length);
  EXPECT_EQ(error_of(frame({.opcode = 10, .fin = false}), kFromServer), FrameError::control_fragmented);
  EXPECT_EQ(error_of(frame({.opcode = 0}), kFromServer), FrameError::continuation);
  EXPECT_EQ(error_of(begun + frame({.opcode = 2}), kFromServer), FrameError::message_interrupted);
  EXPECT_EQ(error_of(frame({.opcode = 8}) + frame({.opcode = 9}), kFromServer), FrameError::after_close);
  for (std::size_t i = 0; i < static_cast<std::size_t>(FrameError::count); ++i)
    EXPECT_NE(name_of(static_cast<FrameError>(i)), "unknown");
}

TEST(FrameTracker, ReservedBitsAreWhatTheAgreedExtensionsUse) {
  const std::string first = frame({.opcode = 1, .size = 1, .fin = false, .reserved = 0x40});
  EXPECT_EQ(error_of(first, kFromServer), FrameError::reserved_bits);
  const FrameTracker::Rules deflate{Sender::server, Reserved::first_of_message, UINT64_MAX};
  EXPECT_EQ(error_of(first, deflate), FrameError::none);
  EXPECT_EQ(error_of(first + frame({.opcode = 0, .reserved = 0x40}), deflate), FrameError::reserved_bits);
  EXPECT_EQ(error_of(first + frame({.opcode = 9, .reserved = 0x40}), deflate), FrameError::reserved_bits);
  EXPECT_EQ(error_of(frame({.opcode = 1, .reserved = 0x60}), deflate), FrameError::reserved_bits);
  const FrameTracker::Rules anything{Sender::server, Reserved::any, UINT64_MAX};
  EXPECT_EQ(error_of(first + frame({.opcode = 0, .reserved = 0x70}), anything), FrameError::none);
}

TEST(FrameTracker, AMessageIsMeasuredOverAllItsFragments) {
  const FrameTracker::Rules small{Sender::server, Reserved::none, 1000};
  EXPECT_EQ(error_of(frame({.size = 1000}) + frame({.size = 1000}), small), FrameError::none);
  EXPECT_EQ(error_of(frame({.size = 1001}), small), FrameError::message_too_big);
  const std::string half = frame({.opcode = 2, .size = 500, .fin = false});
  EXPECT_EQ(error_of(half + frame({.opcode = 9, .size = 100}) + frame({.opcode = 0, .size = 500}), small),
            FrameError::none);
  EXPECT_EQ(error_of(half + frame({.opcode = 0, .size = 501}), small), FrameError::message_too_big);
  EXPECT_EQ(error_of("\x82\x7F\x7F" + std::string(7, '\xFF'), small), FrameError::message_too_big);
}

TEST(FrameTracker, OnlyWhatIsKnownToBeValidMayBePassedOn) {
  const std::string good = frame({.size = 300});
  FrameTracker tracker(kFromServer);
  const std::string cut = good + good.substr(0, 3);
  EXPECT_EQ(tracker.feed(cut.data(), cut.size()), good.size());
  FrameTracker second(kFromServer);
  const std::string bad = good + frame({.opcode = 5});
  EXPECT_EQ(second.feed(bad.data(), bad.size()), good.size());
  EXPECT_EQ(second.feed(good.data(), good.size()), 0U);
  EXPECT_FALSE(second.at_boundary());
}

// 20,000 texts of frames that are mostly right, each cut at random places, against a reader of the whole.
TEST(FrameTracker, AgreesWithAPlainReaderOnRandomTextsCutAnywhere) {
  std::mt19937_64 random(6455);
  const auto one_in = [&random](unsigned n) { return random() % n == 0; };
  std::array<std::uint64_t, static_cast<std::size_t>(FrameError::count)> met{};
  for (int round = 0; round < 20'000; ++round) {
    const FrameTracker::Rules rules{static_cast<Sender>(random() % 3), static_cast<Reserved>(random() % 3),
                                    one_in(3) ? 400 : UINT64_MAX};
    std::string text;
    bool inside = false;
    for (auto left = random() % 8; left > 0; --left) {
      oracle::FrameShape shape;
      const bool control = one_in(4);
      shape.opcode = one_in(30) ? static_cast<int>(random() % 16) : control ? 9 : inside ? 0 : 2;
      if (one_in(12)) shape.opcode = 8;
      shape.fin = control || one_in(2);
      if (!control) inside = !shape.fin;
      shape.masked = rules.sender == Sender::client || (rules.sender == Sender::any && one_in(2));
      if (one_in(40)) shape.masked = !shape.masked;
      if (one_in(20)) shape.reserved = 0x40;
      if (one_in(40)) shape.length_bytes = 8;
      shape.size = random() % (one_in(3) ? 300 : 40);
      if (shape.length_bytes < 0 || shape.size > 0) text += frame(shape);
    }
    if (one_in(3) && !text.empty()) text.resize(random() % text.size());

    const oracle::Reading expected = oracle::read(text, rules);
    FrameTracker tracker(rules);
    std::size_t at = 0, good = 0;
    while (at < text.size()) {
      const std::size_t n = std::min<std::size_t>(1 + random() % 40, text.size() - at);
      const std::size_t safe = tracker.feed(text.data() + at, n);
      if (safe > 0) good = at + safe;
      at += n;
      if (tracker.error() != FrameError::none) break;
      const bool boundary = std::count(expected.starts.begin(), expected.starts.end(), at) > 0;
      ASSERT_EQ(tracker.at_boundary(), boundary) << round;
      ASSERT_EQ(tracker.messages(),
                static_cast<std::uint64_t>(std::count_if(expected.messages.begin(), expected.messages.end(),
                                                         [at](std::size_t m) { return m <= at; })));
    }
    ASSERT_EQ(tracker.error(), expected.error) << round;
    ASSERT_LE(good, std::max(expected.good, std::size_t{0})) << round;
    ASSERT_EQ(tracker.close_seen(), expected.close) << round;
    ASSERT_EQ(tracker.close_code(), expected.code) << round;
    ++met[static_cast<std::size_t>(expected.error)];
  }
  for (std::size_t i = 0; i < met.size(); ++i)
    EXPECT_GT(met[i], i == 0 ? 5000U : 0U) << name_of(static_cast<FrameError>(i));
}

}  // namespace
}  // namespace understudy::exchange
