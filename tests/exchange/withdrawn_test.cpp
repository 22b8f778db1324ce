// An attempt that a live drill kept from its endpoint begins anew, as if it had never been.
#include <gtest/gtest.h>

#include <vector>

#include "proxy/exchange/state.hpp"

namespace understudy::exchange {
namespace {

using namespace std::chrono_literals;
using Kinds = std::vector<ActionKind>;

class Withdrawn : public ::testing::Test {
protected:
  Kinds on(EventKind kind, Cause cause = Cause::none, bool flag = false) {
    last = state.on({kind, cause, 0, flag, End::none}, now);
    Kinds kinds;
    for (const Action& a : last) kinds.push_back(a.kind);
    return kinds;
  }
  void send(bool idempotent) {
    on(EventKind::head, Cause::none, idempotent);
    on(EventKind::dialing);
    on(EventKind::connected);
    on(EventKind::first_byte_sent);
    on(EventKind::sent);
  }

  Policy policy{1s, 30s, 60s, {}, {}, 1, false, 1s};
  TimePoint now{1h};
  State state{policy, now};
  Actions last;
};

TEST_F(Withdrawn, APostIsSentThoughItLookedSent) {
  send(false);
  now += 5s;
  EXPECT_EQ(on(EventKind::withdrawn), (Kinds{ActionKind::drop, ActionKind::pick}));
  EXPECT_FALSE(last.begin()[1].token) << "it costs nothing";
  EXPECT_EQ(state.attempts(), 0U);
  on(EventKind::connected, Cause::none, true);
  EXPECT_FALSE(state.byte_sent());
  EXPECT_EQ(state.attempts(), 1U);
  on(EventKind::first_byte_sent);
  EXPECT_EQ(on(EventKind::attempt_failed, Cause::http_timeout),
            (Kinds{ActionKind::report, ActionKind::drop, ActionKind::answer}))
      << "law 2 holds for what is sent in earnest";
}

TEST_F(Withdrawn, WhileItDialsToo) {
  on(EventKind::head, Cause::none, false);
  on(EventKind::dialing);
  EXPECT_EQ(on(EventKind::withdrawn), (Kinds{ActionKind::drop, ActionKind::pick}));
}

TEST_F(Withdrawn, AfterTheHeadIsNothing) {
  send(true);
  on(EventKind::response_head);
  EXPECT_EQ(on(EventKind::withdrawn), Kinds{});
}

TEST_F(Withdrawn, OfTwoTheOtherGoesOn) {
  on(EventKind::head, Cause::none, true);
  state.hedge_next_attempt(20ms);
  on(EventKind::dialing);
  on(EventKind::connected);
  on(EventKind::first_byte_sent);
  on(EventKind::sent);
  now += 30ms;
  on(EventKind::hedged);
  on(EventKind::dialing);
  ASSERT_TRUE(state.two());
  EXPECT_EQ(on(EventKind::withdrawn), (Kinds{ActionKind::drop, ActionKind::resume}));
  EXPECT_FALSE(state.two());
  EXPECT_EQ(state.phase(), Phase::awaiting);
}

}  // namespace
}  // namespace understudy::exchange
