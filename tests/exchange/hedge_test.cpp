// Two attempts for one request, on invented time: when the second begins, which of them wins, and what becomes of the other.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "proxy/exchange/state.hpp"

namespace understudy::exchange {
namespace {

using namespace std::chrono_literals;
using Kind = ActionKind;
using Kinds = std::vector<Kind>;

class Hedge : public ::testing::Test {
protected:
  Kinds on(EventKind kind, Cause cause = Cause::none, bool flag = false, std::uint16_t status = 0,
           End end = End::none) {
    last = state.on({kind, cause, status, flag, end}, now);
    Kinds kinds;
    for (const Action& a : last) kinds.push_back(a.kind);
    return kinds;
  }
  Kinds head(std::uint16_t status) { return on(EventKind::response_head, Cause::none, false, status); }
  Action action(std::size_t i) const { return *(last.begin() + i); }
  void connect(bool reused = false) {
    if (!reused) on(EventKind::dialing);
    on(EventKind::connected, Cause::none, reused);
    on(EventKind::first_byte_sent);
    on(EventKind::sent);
  }
  // A safe request, sent and waiting.
  void send() {
    on(EventKind::head, Cause::none, true);
    state.hedge_next_attempt(20ms);
    connect();
  }
  // It is overdue, and there is place for another attempt.
  void hedge() {
    now += 20ms;
    ASSERT_EQ(on(EventKind::deadline), Kinds{Kind::hedge});
    on(EventKind::hedged);
    connect();
    ASSERT_TRUE(state.two());
  }

  Policy policy{1s, 30s, 60s, {}, {}, 3, false, 1s};
  TimePoint now{1h};
  State state{policy, now};
  Actions last;
};

TEST_F(Hedge, LooksForASecondEndpointWhenTheFirstIsOverdueAndNotBefore) {
  send();
  EXPECT_EQ(state.next_deadline(), now + 20ms);
  now += 19ms;
  EXPECT_TRUE(on(EventKind::deadline).empty());
  now += 1ms;
  EXPECT_EQ(on(EventKind::deadline), Kinds{Kind::hedge});
  on(EventKind::hedged);
  EXPECT_EQ(state.phase(), Phase::picking);
  connect();
  EXPECT_EQ(state.phase(), Phase::awaiting);
  EXPECT_EQ(state.attempts(), 2U);
  // One is enough.
  now += 10s;
  EXPECT_TRUE(on(EventKind::deadline).empty());
}

TEST_F(Hedge, AConnectThatHangsIsOverdueToo) {
  on(EventKind::head, Cause::none, true);
  state.hedge_next_attempt(20ms);
  on(EventKind::dialing);
  EXPECT_EQ(state.next_deadline(), now + 120ms);  // a new connection has its time
  now += 120ms;
  EXPECT_EQ(on(EventKind::deadline), Kinds{Kind::hedge});
}

TEST_F(Hedge, WithoutADelayOrForWhatMayNotBeRepeatedThereIsNone) {
  on(EventKind::head, Cause::none, true);
  connect();
  EXPECT_EQ(state.next_deadline(), now + 30s);
  state = State(policy, now);
  on(EventKind::head, Cause::none, false);
  state.hedge_next_attempt(20ms);
  connect();
  EXPECT_EQ(state.next_deadline(), now + 30s);
  policy.max_retries = 0;  // no attempt after the first
  state = State(policy, now);
  send();
  EXPECT_EQ(state.next_deadline(), now + 30s);
}

TEST_F(Hedge, RefusedItIsAskedForAgainLater) {
  send();
  now += 20ms;
  EXPECT_EQ(on(EventKind::deadline), Kinds{Kind::hedge});
  on(EventKind::hedge_refused);
  EXPECT_FALSE(state.two());
  EXPECT_EQ(state.next_deadline(), now + 20ms);
  now += 20ms;
  EXPECT_EQ(on(EventKind::deadline), Kinds{Kind::hedge});
  on(EventKind::hedge_refused);
  EXPECT_EQ(state.next_deadline(), now + 40ms);
}

TEST_F(Hedge, TheSecondMayWin) {
  send();
  hedge();
  now += 5ms;
  EXPECT_EQ(head(200), (Kinds{Kind::supersede, Kind::forward}));
  EXPECT_FALSE(state.two());
  EXPECT_EQ(state.first_byte_time(), 5ms);
  EXPECT_EQ(on(EventKind::response_end), (Kinds{Kind::report, Kind::finish}));
  EXPECT_EQ(state.end(), End::ok);
}

TEST_F(Hedge, TheFirstMayWin) {
  send();
  hedge();
  now += 5ms;
  state.exchange_roles();
  EXPECT_EQ(head(404), (Kinds{Kind::supersede, Kind::forward}));
  EXPECT_EQ(state.first_byte_time(), 25ms);
  EXPECT_EQ(state.phase(), Phase::streaming);
}

TEST_F(Hedge, AFastFailureOfTheSecondLeavesTheFirstItsTime) {
  send();
  now += 20ms;
  on(EventKind::deadline);
  on(EventKind::hedged);
  on(EventKind::dialing);
  EXPECT_EQ(on(EventKind::dial_failed, Cause::tcp_refused), (Kinds{Kind::report, Kind::drop, Kind::resume}));
  EXPECT_FALSE(state.two());
  EXPECT_EQ(state.phase(), Phase::awaiting);
  EXPECT_EQ(state.next_deadline(), now - 20ms + 30s);  // and no third
  EXPECT_EQ(head(200), Kinds{Kind::forward});
}

TEST_F(Hedge, WhenTheFirstFailsTheSecondGoesOnAlone) {
  send();
  hedge();
  state.exchange_roles();
  EXPECT_EQ(on(EventKind::attempt_failed, Cause::tcp_reset), (Kinds{Kind::report, Kind::drop, Kind::resume}));
  EXPECT_EQ(state.next_deadline(), now + 30s);
  EXPECT_EQ(head(200), Kinds{Kind::forward});
}

TEST_F(Hedge, WhenBothFailItIsRepeatedWithinTheCount) {
  send();
  hedge();
  on(EventKind::attempt_failed, Cause::http_malformed);
  EXPECT_EQ(on(EventKind::attempt_failed, Cause::tcp_reset), (Kinds{Kind::report, Kind::drop, Kind::pick}));
  EXPECT_TRUE(action(2).token);
  connect();
  EXPECT_EQ(state.attempts(), 3U);
  on(EventKind::attempt_failed, Cause::tcp_reset);
  connect();
  EXPECT_EQ(on(EventKind::attempt_failed, Cause::tcp_reset), (Kinds{Kind::report, Kind::drop, Kind::answer}));
  EXPECT_EQ(state.attempts(), 4U);  // 1 + retry.max, the hedge among them
}

TEST_F(Hedge, AnAnswerOfFailureClassWaitsForABetterOne) {
  send();
  hedge();
  EXPECT_EQ(head(500), Kinds{Kind::hold});
  EXPECT_TRUE(state.other_held());
  EXPECT_EQ(state.phase(), Phase::awaiting);  // the first, now the current one
  EXPECT_EQ(head(200), (Kinds{Kind::drop_other, Kind::forward}));
  EXPECT_EQ(action(0).cause, Cause::http_status);
}

TEST_F(Hedge, AKeptFailureIsTheAnswerWhenNoBetterOneComes) {
  send();
  hedge();
  head(500);
  now = *state.next_deadline();
  EXPECT_EQ(on(EventKind::deadline), (Kinds{Kind::report, Kind::drop, Kind::resume}));
  EXPECT_EQ(action(0).cause, Cause::http_timeout);
  EXPECT_EQ(head(500), Kinds{Kind::forward});
}

TEST_F(Hedge, OfTwoFailuresTheLaterIsTheAnswerOrIsRepeated) {
  send();
  hedge();
  head(500);
  EXPECT_EQ(head(503), (Kinds{Kind::drop_other, Kind::forward}));
  policy.retry_on_5xx = true;
  state = State(policy, now);
  send();
  hedge();
  EXPECT_EQ(head(503), Kinds{Kind::hold});
  EXPECT_EQ(head(503), (Kinds{Kind::drop_other, Kind::report, Kind::drop, Kind::pick}));
}

TEST_F(Hedge, EachKeepsItsOwnDeadlines) {
  policy.try_timeout = 500ms;
  state = State(policy, now);
  send();
  const TimePoint first = now;
  hedge();
  EXPECT_EQ(state.next_deadline(), first + 500ms);
  now = first + 500ms;
  EXPECT_EQ(on(EventKind::deadline), Kinds{Kind::drop_other});
  EXPECT_EQ(action(0).cause, Cause::http_timeout);
  EXPECT_EQ(state.next_deadline(), first + 520ms);
  now += 20ms;
  EXPECT_EQ(on(EventKind::deadline), (Kinds{Kind::report, Kind::drop, Kind::pick}));
}

TEST_F(Hedge, BothLateAtOnceIsOneRetry) {
  policy.response_timeout = 100ms;
  state = State(policy, now);
  send();
  hedge();
  now += 10s;
  EXPECT_EQ(on(EventKind::deadline), (Kinds{Kind::drop_other, Kind::report, Kind::drop, Kind::pick}));
}

TEST_F(Hedge, ATrialThatIsOverdueStaysWhereAnotherWaitsBesideIt) {
  on(EventKind::head, Cause::none, true);
  state.limit_next_attempt(100ms);
  state.hedge_next_attempt(20ms);
  connect();
  hedge();
  now += 80ms;
  EXPECT_EQ(on(EventKind::deadline), Kinds{});
  EXPECT_TRUE(state.two()) << "the other may hang, and this one be answered late";
}

TEST_F(Hedge, ATrialWithoutCompanyMakesRoomWhenItIsOverdue) {
  on(EventKind::head, Cause::none, true);
  state.limit_next_attempt(100ms);
  connect();
  now += 100ms;
  EXPECT_EQ(on(EventKind::deadline), (Kinds{Kind::report, Kind::drop, Kind::pick}));
}

TEST_F(Hedge, TheWholeRequestsDeadlineEndsBoth) {
  policy.request_timeout = 1s;
  state = State(policy, now);
  send();
  hedge();
  now += 1s;
  EXPECT_EQ(on(EventKind::deadline), (Kinds{Kind::report, Kind::drop_other, Kind::answer}));
  EXPECT_EQ(action(2).end, End::request_timeout);
  EXPECT_FALSE(state.two());
}

TEST_F(Hedge, AClientThatLeavesEndsBoth) {
  send();
  hedge();
  EXPECT_EQ(on(EventKind::downstream_gone), Kinds{Kind::finish});
  EXPECT_FALSE(state.two());
  EXPECT_FALSE(state.next_deadline());
}

TEST_F(Hedge, ALostEndpointEndsItsOwnAttemptOnly) {
  send();
  hedge();
  EXPECT_EQ(on(EventKind::other_lost), Kinds{Kind::drop_other});
  EXPECT_EQ(action(0).cause, Cause::none);
  EXPECT_EQ(on(EventKind::endpoint_lost), (Kinds{Kind::drop, Kind::pick}));
  state = State(policy, now);
  send();
  hedge();
  EXPECT_EQ(on(EventKind::endpoint_lost), (Kinds{Kind::drop, Kind::resume}));
  EXPECT_EQ(head(200), Kinds{Kind::forward});
}

// Whatever happens in whatever order: one answer, one second attempt, no more attempts than are allowed, nothing after the end.
TEST_F(Hedge, NeverGivesTwoAnswersNorMoreAttemptsThanAreAllowed) {
  for (std::uint32_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto draw = [&random](unsigned n) { return static_cast<unsigned>(random()) % n; };
    policy.retry_on_5xx = draw(2) == 0;
    policy.try_timeout = draw(2) == 0 ? std::optional<Duration>(200ms) : std::nullopt;
    policy.request_timeout = draw(3) == 0 ? std::optional<Duration>(2s) : std::nullopt;
    policy.max_retries = draw(4);
    now = TimePoint{1h};
    state = State(policy, now);
    unsigned answers = 0, hedges = 0;
    Kinds todo = on(EventKind::head, Cause::none, draw(5) != 0);
    for (int step = 0; step < 200 && state.phase() != Phase::finished; ++step) {
      for (const Kind kind : todo) {
        if (kind == Kind::pick) {
          state.hedge_next_attempt(20ms);
          if (draw(3) == 0)
            on(EventKind::connected, Cause::none, true);
          else
            on(EventKind::dialing);
          break;
        }
        if (kind == Kind::hedge) {
          if (draw(4) == 0) {
            on(EventKind::hedge_refused);
          } else {
            ++hedges;
            on(EventKind::hedged);
            on(EventKind::dialing);
          }
        }
      }
      ASSERT_LE(state.attempts(), policy.max_retries + 1);
      todo.clear();
      if (state.two() && !state.other_held() && draw(2) == 0) state.exchange_roles();
      const Phase phase = state.phase();
      switch (draw(9)) {
        case 0:
          if (const auto due = state.next_deadline()) now = std::max(now, *due);
          todo = on(EventKind::deadline);
          break;
        case 1: now += std::chrono::milliseconds(draw(60)); break;
        case 2:
          if (phase == Phase::dialing) on(EventKind::connected);
          if (state.phase() == Phase::uploading) {
            on(EventKind::first_byte_sent);
            on(EventKind::sent);
          }
          break;
        case 3:
          if (phase == Phase::awaiting || phase == Phase::uploading) todo = head(draw(2) == 0 ? 200 : 503);
          break;
        case 4:
          if (phase == Phase::dialing) todo = on(EventKind::dial_failed, Cause::tcp_refused);
          if (phase == Phase::awaiting) todo = on(EventKind::attempt_failed, Cause::tcp_reset);
          break;
        case 5: todo = on(EventKind::endpoint_lost); break;
        case 6:
          if (state.two()) todo = on(EventKind::other_lost);
          break;
        case 7:
          if (phase == Phase::streaming) todo = on(EventKind::response_end);
          break;
        case 8:
          if (draw(50) == 0) todo = on(EventKind::downstream_gone);
          break;
      }
      for (const Kind kind : todo) answers += kind == Kind::forward || kind == Kind::answer ? 1 : 0;
      if (state.phase() == Phase::streaming) {
        ASSERT_FALSE(state.two());
        on(EventKind::downstream_started);  // the head leaves in the same turn
      }
    }
    ASSERT_LE(answers, 1U);
    ASSERT_LE(hedges, 1U);
    if (state.phase() != Phase::finished) continue;
    ASSERT_FALSE(state.two());
    ASSERT_FALSE(state.next_deadline());
    ASSERT_TRUE(on(EventKind::deadline).empty());
  }
}

}  // namespace
}  // namespace understudy::exchange
