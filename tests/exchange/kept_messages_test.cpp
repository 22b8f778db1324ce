#include "proxy/exchange/kept_messages.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/exchange/frame_oracle.hpp"

namespace understudy::exchange {
namespace {

using oracle::frame;
using Fit = KeptMessages::Fit;

// What a client says: messages in one or more frames, with control frames before and inside them.
struct Said {
  std::string bytes;
  std::vector<std::string> messages;  // their data frames
  std::vector<std::size_t> ends;      // in `bytes`
  std::vector<std::pair<std::size_t, std::string>> pings;
};

std::string data(int opcode, std::string payload, bool fin = true) {
  return frame({.opcode = opcode, .masked = true, .fin = fin}, std::move(payload));
}

Said script() {
  Said out;
  const auto control = [&](int opcode, const std::string& payload) {
    out.bytes += frame({.opcode = opcode, .masked = true}, payload);
    if (opcode == 9) out.pings.emplace_back(out.bytes.size(), payload);
  };
  const auto message = [&](const std::vector<std::string>& frames, bool ping_inside) {
    std::string whole;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      out.bytes += frames[i];
      whole += frames[i];
      if (ping_inside && i + 1 < frames.size()) control(9, "inside");
    }
    out.messages.push_back(whole);
    out.ends.push_back(out.bytes.size());
  };
  message({data(1, "hello")}, false);
  message({data(2, std::string(130, 'a'))}, false);
  control(9, "first");
  message({data(1, "frag", false), data(0, "men", false), data(0, "ted")}, true);
  control(10, "unasked");
  message({frame({.opcode = 2, .size = 0, .masked = true})}, false);
  message({data(1, "last but one", false), data(0, "!")}, true);
  control(9, "second");
  message({data(1, "last")}, false);
  return out;
}

// Passes on or holds all of it in pieces.
void pass_on(KeptMessages& kept, std::string_view bytes, std::size_t piece) {
  for (std::size_t at = 0; at < bytes.size(); at += piece)
    kept.passed_on(bytes.data() + at, std::min(piece, bytes.size() - at));
}
void hold(KeptMessages& kept, std::string_view bytes, std::size_t piece) {
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const std::size_t n = std::min(piece, bytes.size() - at);
    ASSERT_EQ(kept.hold(bytes.data() + at, n), n);
  }
}
// What an endpoint is told, at most `most` bytes, in pieces.
std::string tell(KeptMessages& kept, std::size_t most, std::size_t piece) {
  std::string out;
  while (!kept.next().empty() && out.size() < most) {
    const auto part = kept.next().substr(0, std::min(piece, most - out.size()));
    out += part;
    kept.sent(part.size());
  }
  return out;
}
std::size_t whole_before(const Said& said, std::size_t at) {
  return static_cast<std::size_t>(std::upper_bound(said.ends.begin(), said.ends.end(), at) - said.ends.begin());
}
std::string expected(const Said& said, std::size_t first, std::size_t told) {
  std::string out;
  for (std::size_t i = 0; i < std::min(first, told); ++i) out += said.messages[i];
  for (std::size_t i = told; i < said.messages.size(); ++i) out += said.messages[i];
  return out;
}

TEST(KeptMessages, LostAtAnyByteTheNextEndpointIsToldTheFirstOnesAndAllThatTheLastDidNotHearWhole) {
  const Said said = script();
  for (const std::uint32_t first : {0U, 1U, 3U, 100U})
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, said.bytes.size()})
      for (std::size_t lost = 0; lost <= said.bytes.size(); ++lost) {
        KeptMessages kept({first, 4096});
        const std::string_view all = said.bytes;
        pass_on(kept, all.substr(0, lost), piece);
        ASSERT_EQ(kept.lose(), Fit::yes);
        hold(kept, all.substr(lost), piece);
        kept.resume();
        ASSERT_EQ(tell(kept, SIZE_MAX, piece), expected(said, first, whole_before(said, lost))) << lost;
        ASSERT_TRUE(kept.caught_up());
        ASSERT_EQ(kept.held(), 0U);
      }
}

TEST(KeptMessages, LostAgainWhileItIsToldNothingIsToldTwiceOrTorn) {
  const Said said = script();
  const std::size_t lost = said.ends[1] + 30;  // inside the third message
  for (const std::uint32_t first : {0U, 2U, 100U})
    for (std::size_t again = 0; again < 400; ++again) {
      KeptMessages kept({first, 4096});
      pass_on(kept, std::string_view(said.bytes).substr(0, lost), 5);
      ASSERT_EQ(kept.lose(), Fit::yes);
      hold(kept, std::string_view(said.bytes).substr(lost), 11);
      kept.resume();
      const std::string heard = tell(kept, again, 3);
      // The second endpoint heard the first ones again, and then whole messages from the third on.
      std::size_t told = 2, size = 0;
      for (std::size_t i = 0; i < std::min<std::size_t>(first, 2); ++i) size += said.messages[i].size();
      while (told < said.messages.size() && size + said.messages[told].size() <= heard.size())
        size += said.messages[told++].size();
      ASSERT_EQ(kept.lose(), Fit::yes);
      kept.resume();
      ASSERT_EQ(tell(kept, SIZE_MAX, 4), expected(said, first, told)) << first << " at " << again;
    }
}

TEST(KeptMessages, WhatIsSaidWhileTheNextEndpointIsToldFollowsInOrder) {
  const Said said = script();
  const std::string_view all = said.bytes;
  for (std::size_t lost = 0; lost < all.size(); ++lost) {
    KeptMessages kept({1, 4096});
    pass_on(kept, all.substr(0, lost), 9);
    ASSERT_EQ(kept.lose(), Fit::yes);
    kept.resume();
    std::string heard;
    std::size_t at = lost;
    while (at < all.size() && !(kept.caught_up() && at > lost)) {  // one byte comes for every byte that goes
      hold(kept, all.substr(at++, 1), 1);
      heard += tell(kept, 1, 1);
    }
    heard += tell(kept, SIZE_MAX, 100);
    ASSERT_TRUE(kept.next().empty());
    while (!kept.caught_up()) hold(kept, all.substr(at++, 1), 1);
    heard += tell(kept, SIZE_MAX, 100);
    // From here on bytes go through as they are, control frames among them.
    std::string rest(all.substr(at));
    pass_on(kept, rest, 1);
    std::string want;
    std::size_t whole = whole_before(said, lost);
    if (whole > 0) want = said.messages[0];
    for (std::size_t i = whole; i < said.messages.size(); ++i) want += said.messages[i];
    std::string only_data;
    FrameCutter cutter;
    const std::string stream = heard + rest;
    cutter.feed(stream.data(), stream.size(), [&](const FrameCutter::Piece& p) {
      if (!p.control()) only_data += p.bytes;
    });
    ASSERT_EQ(only_data, want) << lost;
    ASSERT_EQ(oracle::read(stream, {FrameTracker::Sender::client, FrameTracker::Reserved::none, UINT64_MAX}).error,
              FrameError::none);
  }
}

TEST(KeptMessages, TheNewestPingThatNobodyAnsweredIsOurs) {
  KeptMessages kept({0, 4096});
  const std::string ping = frame({.opcode = 9, .masked = true}, "one"),
                    other = frame({.opcode = 9, .masked = true}, "two");
  kept.passed_on(ping.data(), ping.size());
  kept.pong_seen();
  EXPECT_EQ(kept.take_ping(), std::nullopt);
  kept.passed_on(other.data(), 4);
  EXPECT_EQ(kept.lose(), Fit::yes);
  EXPECT_EQ(kept.take_ping(), std::nullopt);
  EXPECT_EQ(kept.hold(other.data() + 4, other.size() - 4), other.size() - 4);
  EXPECT_EQ(kept.take_ping(), "two");
  EXPECT_EQ(kept.take_ping(), std::nullopt);
  kept.resume();
  EXPECT_TRUE(kept.next().empty());
}

TEST(KeptMessages, InsideAControlFrameItHasNotCaughtUp) {
  KeptMessages kept({0, 4096});
  const std::string ping = frame({.opcode = 9, .masked = true}, "beat");
  EXPECT_EQ(kept.lose(), Fit::yes);
  kept.hold(ping.data(), 3);
  kept.resume();
  EXPECT_TRUE(kept.next().empty());
  EXPECT_FALSE(kept.caught_up());
  kept.hold(ping.data() + 3, ping.size() - 3);
  EXPECT_TRUE(kept.caught_up());
}

TEST(KeptMessages, ACloseIsHeldAndNothingBehindIt) {
  KeptMessages kept({0, 4096});
  EXPECT_EQ(kept.lose(), Fit::yes);
  const std::string text = data(1, "bye") + frame({.opcode = 8, .masked = true}, std::string("\x03\xe8", 2));
  EXPECT_EQ(kept.hold(text.data(), text.size()), text.size());
  EXPECT_TRUE(kept.close_held());
  EXPECT_EQ(kept.hold("x", 1), 0U);
  kept.resume();
  EXPECT_EQ(kept.next(), data(1, "bye"));
}

TEST(KeptMessages, KnowsHowManyWholeMessagesNobodyWasTold) {
  const Said said = script();
  for (std::size_t lost = 0; lost <= said.bytes.size(); ++lost)
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, said.bytes.size()}) {
      KeptMessages kept({2, 4096});
      const std::string_view all = said.bytes;
      pass_on(kept, all.substr(0, lost), piece);
      EXPECT_EQ(kept.untold(), 0U);
      ASSERT_EQ(kept.lose(), Fit::yes);
      hold(kept, all.substr(lost), piece);
      const std::size_t whole = said.messages.size() - whole_before(said, lost);
      ASSERT_EQ(kept.untold(), whole) << lost;
      // Half a message is none, on either side.
      kept.hold(all.data(), said.ends[0] - 1);
      ASSERT_EQ(kept.untold(), whole);
      kept.resume();
      std::uint64_t told = 0;
      while (!kept.next().empty()) {
        told += kept.sent(std::min(piece, kept.next().size()));
        ASSERT_EQ(kept.untold() + told, whole) << lost;
      }
      ASSERT_EQ(kept.untold(), 0U);
    }
}

TEST(KeptMessages, WhatIsNotHeldTakesNoMemory) {
  const std::string message = data(2, std::string(12000, 'm'));
  const std::string_view half = std::string_view(message).substr(0, 7000),
                         rest = std::string_view(message).substr(7000);
  KeptMessages kept({1, 256 * 1024});
  const std::string hello = data(1, std::string(900, 'h'));
  kept.passed_on(hello.data(), hello.size());  // is kept
  for (int i = 0; i < 2; ++i) {
    kept.passed_on(half.data(), half.size());
    EXPECT_GE(kept.allocated(), 7000U);
    kept.passed_on(rest.data(), rest.size());
    EXPECT_LE(kept.allocated(), hello.size() + 600);
    EXPECT_EQ(kept.lose(), Fit::yes);
    hold(kept, message, 1000);
    kept.resume();
    tell(kept, SIZE_MAX, 5000);
    EXPECT_LE(kept.allocated(), hello.size() + 600);
  }
  KeptMessages long_one({1, 1000});
  long_one.passed_on(hello.data(), 800);
  long_one.passed_on(hello.data() + 800, hello.size() - 800);
  long_one.passed_on(message.data(), message.size());
  EXPECT_LE(long_one.allocated(), 1600U);
}

TEST(KeptMessages, HoldsNoMoreThanItsBoundAndGoesOnWhenThereIsRoom) {
  KeptMessages kept({0, 1000});
  const std::string message = data(2, std::string(400, 'm'));
  const std::string many = message + message + message;
  EXPECT_EQ(kept.lose(), Fit::yes);
  EXPECT_EQ(kept.hold(many.data(), many.size()), 1000U);
  EXPECT_TRUE(kept.full());
  EXPECT_EQ(kept.hold(many.data() + 1000, 10), 0U);
  kept.resume();
  std::string heard = tell(kept, SIZE_MAX, 64);
  EXPECT_EQ(heard.size(), 1000U);
  EXPECT_TRUE(kept.caught_up());
  kept.passed_on(many.data() + 1000, many.size() - 1000);
  EXPECT_EQ(kept.held(), 0U);
  EXPECT_EQ(kept.lose(), Fit::yes);
  kept.resume();
  EXPECT_TRUE(kept.next().empty());
}

TEST(KeptMessages, KeepsNoMoreThanTheOthersLeave) {
  const std::string message = data(2, std::string(9000, 'm'));
  for (const std::size_t piece : {50UL, message.size()}) {
    KeptMessages kept({1, 10'000});
    kept.allow(5000);
    pass_on(kept, message, piece);
    EXPECT_EQ(kept.bytes(), 0U) << "it is more than there is room for";
    EXPECT_EQ(kept.lose(), piece == 50 ? Fit::opening_too_long : Fit::opening_no_room);
  }
  KeptMessages other({0, 10'000});
  EXPECT_EQ(other.lose(), Fit::yes);
  other.allow(5000);
  EXPECT_EQ(other.hold(message.data(), message.size()), 5000U);
  EXPECT_TRUE(other.full());
  other.allow(0);
  EXPECT_EQ(other.hold(message.data() + 5000, 10), 0U);
  other.allow(50);
  EXPECT_EQ(other.hold(message.data() + 5000, message.size() - 5000), 50U);
  other.allow(SIZE_MAX);
  EXPECT_FALSE(other.full());
  EXPECT_EQ(other.hold(message.data() + 5050, message.size() - 5050), message.size() - 5050);
  other.resume();
  EXPECT_EQ(tell(other, SIZE_MAX, 64), message) << "whole, in spite of all";
}

TEST(KeptMessages, WithoutRoomItStillHearsAPingAndAClose) {
  KeptMessages kept({1, 1 << 20});
  kept.allow(0);
  pass_on(kept, data(1, "who I am"), 3);
  EXPECT_EQ(kept.lose(), Fit::yes) << "a little is kept of each";
  kept.allow(0);
  const std::string ping = frame({.opcode = 9, .masked = true}, "there?"),
                    bye = frame({.opcode = 8, .masked = true}, "");
  EXPECT_EQ(kept.hold(ping.data(), ping.size()), ping.size());
  EXPECT_EQ(kept.take_ping(), "there?");
  const std::string much = data(2, std::string(9000, 'm'));
  EXPECT_EQ(kept.hold(much.data(), much.size()), 4096U);
  EXPECT_TRUE(kept.full());
  KeptMessages quiet({0, 1 << 20});
  quiet.allow(0);
  EXPECT_EQ(quiet.lose(), Fit::yes);
  EXPECT_EQ(quiet.hold(bye.data(), bye.size()), bye.size());
  EXPECT_TRUE(quiet.close_held());
}

TEST(KeptMessages, WhatIsMoreThanMayBeKeptCanNotBeToldAgain) {
  const std::string big = data(2, std::string(2000, 'b')), small = data(1, "s");
  {
    KeptMessages kept({0, 1000});
    pass_on(kept, std::string_view(big).substr(0, 1500), 100);
    EXPECT_EQ(kept.lose(), Fit::message_too_long);
    pass_on(kept, std::string_view(big).substr(1500), 100);
    EXPECT_EQ(kept.lose(), Fit::yes);
  }
  {
    KeptMessages kept({1, 1000});
    pass_on(kept, big, 100);
    EXPECT_EQ(kept.lose(), Fit::opening_too_long);
    pass_on(kept, small, 100);
    EXPECT_EQ(kept.lose(), Fit::opening_too_long);
  }
  {
    KeptMessages kept({1, 1000});  // whole at once
    pass_on(kept, big, big.size());
    EXPECT_EQ(kept.lose(), Fit::opening_too_long);
  }
}

// Whole messages in what an endpoint was told; of one in progress nothing.
std::vector<std::string> whole_messages(const std::string& bytes) {
  std::vector<std::string> out;
  std::string message;
  FrameCutter cutter;
  cutter.feed(bytes.data(), bytes.size(), [&](const FrameCutter::Piece& piece) {
    if (piece.control()) return;
    message += piece.bytes;
    if (piece.ends_message()) out.push_back(std::exchange(message, {}));
  });
  return out;
}

TEST(KeptMessages, WhateverHappensWhenEveryMessageIsHeardOnceAndInOrder) {
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 3000; ++round) {
    std::string said;
    std::vector<std::string> messages;
    for (std::size_t m = 2 + below(12); m > 0; --m) {
      const std::size_t frames = 1 + below(3);
      std::string whole;
      for (std::size_t f = 0; f < frames; ++f) {
        const std::string part = frame({.opcode = f == 0 ? 1 : 0,
                                        .size = below(3) == 0 ? below(300) : below(10),
                                        .masked = true,
                                        .fin = f + 1 == frames});
        whole += part;
        said += part;
        if (below(4) == 0) said += frame({.opcode = below(2) == 0 ? 9 : 10, .size = below(20), .masked = true});
      }
      messages.push_back(whole);
    }
    const std::uint32_t first = static_cast<std::uint32_t>(below(4));
    KeptMessages kept({first, 1 << 20});
    std::vector<std::string> endpoints(1);
    std::vector<std::size_t> replayed(1, 0);
    std::size_t at = 0, told = 0;
    enum { flowing, parked, catching_up } state = flowing;
    for (;;) {
      const std::size_t n = std::min(1 + below(40), said.size() - at);
      if (state == flowing) {
        if (n == 0) break;
        kept.passed_on(said.data() + at, n);
        endpoints.back().append(said, at, n);
        at += n;
      } else {
        if (n > 0 && below(2) == 0) at += kept.hold(said.data() + at, n);
        if (state == catching_up) {
          const auto part = kept.next().substr(0, 1 + below(60));
          endpoints.back() += part;
          kept.sent(part.size());
          if (kept.caught_up()) state = flowing;
        } else if (below(3) == 0) {
          kept.resume();
          state = catching_up;
          replayed.push_back(std::min<std::size_t>(first, told));
          endpoints.emplace_back();
        }
      }
      if (state != parked && below(12) == 0) {
        ASSERT_EQ(kept.lose(), Fit::yes);
        const std::size_t heard = whole_messages(endpoints.back()).size();
        told += heard - std::min(heard, replayed.back());
        state = parked;
      }
    }
    std::vector<std::string> heard;
    for (std::size_t e = 0; e < endpoints.size(); ++e) {
      const auto whole = whole_messages(endpoints[e]);
      for (std::size_t i = 0; i < std::min(replayed[e], whole.size()); ++i) ASSERT_EQ(whole[i], messages[i]);
      for (std::size_t i = replayed[e]; i < whole.size(); ++i) heard.push_back(whole[i]);
    }
    ASSERT_EQ(heard, messages) << round;
    ASSERT_EQ(kept.held(), 0U);
  }
}

}  // namespace
}  // namespace understudy::exchange
