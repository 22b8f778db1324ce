// One exchange's life on invented time: what is tried again, what never is, and when it gives up.
#include "proxy/exchange/state.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace understudy::exchange {
namespace {

using namespace std::chrono_literals;
using Kind = ActionKind;

class Life : public ::testing::Test {
protected:
  std::vector<Kind> on(EventKind kind, Cause cause = Cause::none, bool flag = false, std::uint16_t status = 0,
                       End end = End::none) {
    last = state.on({kind, cause, status, flag, end}, now);
    std::vector<Kind> kinds;
    for (const Action& a : last) kinds.push_back(a.kind);
    return kinds;
  }
  Action action(std::size_t i) const { return *(last.begin() + i); }
  // Up to a request that was sent whole and waits.
  void send(bool idempotent, bool reused = false) {
    on(EventKind::head, Cause::none, idempotent);
    connect(reused);
  }
  void connect(bool reused = false) {
    if (!reused) on(EventKind::dialing);
    on(EventKind::connected, Cause::none, reused);
    on(EventKind::first_byte_sent);
    on(EventKind::sent);
  }

  Policy policy{1s, 30s, 60s, {}, {}, 3, false, 1s};
  TimePoint now{1h};
  State state{policy, now};
  Actions last;
};

TEST_F(Life, APlainGetIsPickedForwardedReportedAndRecycled) {
  EXPECT_EQ(on(EventKind::head, Cause::none, true), std::vector{Kind::pick});
  EXPECT_FALSE(action(0).token);
  connect();
  EXPECT_EQ(on(EventKind::response_head, Cause::none, false, 200), std::vector{Kind::forward});
  on(EventKind::downstream_started);
  EXPECT_EQ(on(EventKind::response_end), (std::vector{Kind::report, Kind::finish}));
  EXPECT_TRUE(action(1).recycle);
  EXPECT_EQ(state.end(), End::ok);
}

TEST_F(Life, TheAnswersTimeIsThatOfTheRequestWithoutTheConnection) {
  on(EventKind::head, Cause::none, true);
  on(EventKind::dialing);
  EXPECT_FALSE(state.answer_time());
  now += 30ms;
  on(EventKind::connected);
  on(EventKind::first_byte_sent);
  on(EventKind::sent);
  now += 5ms;
  on(EventKind::response_head, Cause::none, false, 200);
  EXPECT_EQ(state.answer_time(), 5ms);
  EXPECT_EQ(state.first_byte_time(), 35ms);
}

TEST_F(Life, ARefusedConnectIsTriedElsewhereForFreeEvenForAPost) {
  on(EventKind::head, Cause::none, false);
  on(EventKind::dialing);
  EXPECT_EQ(on(EventKind::dial_failed, Cause::tcp_refused), (std::vector{Kind::report, Kind::drop, Kind::pick}));
  EXPECT_FALSE(action(2).token);
}

TEST_F(Life, APostThatMayHaveArrivedIsNeverRepeated) {
  send(false);
  EXPECT_EQ(on(EventKind::attempt_failed, Cause::tcp_reset), (std::vector{Kind::report, Kind::drop, Kind::answer}));
  EXPECT_EQ(action(2).end, End::upstream_reset);
  EXPECT_EQ(status_of(action(2).end), 502);
}

TEST_F(Life, APostOnAConnectionThatTookNoByteIsRepeated) {
  on(EventKind::head, Cause::none, false);
  on(EventKind::connected, Cause::none, true);
  EXPECT_EQ(on(EventKind::attempt_failed, Cause::tcp_reset), (std::vector{Kind::drop, Kind::pick}));
  EXPECT_FALSE(action(1).token);
}

TEST_F(Life, AGetIsRepeatedAtTheBudgetsCostUntilItsRetriesAreUsedUp) {
  send(true);
  for (int retry = 0; retry < 3; ++retry) {
    EXPECT_EQ(on(EventKind::attempt_failed, Cause::http_malformed),
              (std::vector{Kind::report, Kind::drop, Kind::pick}));
    EXPECT_TRUE(action(2).token);
    connect();
  }
  EXPECT_EQ(on(EventKind::attempt_failed, Cause::http_malformed),
            (std::vector{Kind::report, Kind::drop, Kind::answer}));
  EXPECT_EQ(state.attempts(), 4U);
}

TEST_F(Life, AnEmptyBudgetAnswersWithTheFirstFailure) {
  send(true);
  on(EventKind::attempt_failed, Cause::http_malformed);
  EXPECT_EQ(on(EventKind::budget_empty), std::vector{Kind::answer});
  EXPECT_EQ(action(0).end, End::upstream_bad_response);
}

TEST_F(Life, TheKeepAliveRaceIsNoEvidenceAgainstTheEndpoint) {
  send(true, true);
  EXPECT_EQ(on(EventKind::attempt_failed, Cause::tcp_reset), (std::vector{Kind::drop, Kind::pick}));
}

TEST_F(Life, NothingIsRepeatedOnceTheClientHasSeenAByte) {
  send(true);
  on(EventKind::response_head, Cause::none, false, 200);
  on(EventKind::downstream_started);
  EXPECT_EQ(on(EventKind::attempt_failed, Cause::body_cut), (std::vector{Kind::report, Kind::drop, Kind::finish}));
  EXPECT_FALSE(action(2).recycle);
}

TEST_F(Life, ABodyThatOutgrewTheReplayIsNotRepeated) {
  send(true);
  on(EventKind::not_replayable);
  EXPECT_EQ(on(EventKind::attempt_failed, Cause::tcp_reset), (std::vector{Kind::report, Kind::drop, Kind::answer}));
}

TEST_F(Life, EachDeadlineIsWhereThePolicyPutsItAndHasItsOwnEnd) {
  on(EventKind::head, Cause::none, false);
  on(EventKind::dialing);
  EXPECT_EQ(state.next_deadline(), now + 1s);
  now += 200ms;
  on(EventKind::connected);
  EXPECT_EQ(state.next_deadline(), std::nullopt);  // uploading: the client's deadlines count, not ours
  on(EventKind::first_byte_sent);
  on(EventKind::sent);
  EXPECT_EQ(state.next_deadline(), now + 30s);
  now += 29'999ms;
  EXPECT_TRUE(on(EventKind::deadline).empty());  // early is harmless
  now += 1ms;
  EXPECT_EQ(on(EventKind::deadline), (std::vector{Kind::report, Kind::drop, Kind::answer}));
  EXPECT_EQ(action(0).cause, Cause::http_timeout);
  EXPECT_EQ(status_of(action(2).end), 504);
}

TEST_F(Life, AnEndpointThatTakesNoByteOfTheRequestIsGivenUp) {
  on(EventKind::head, Cause::none, false);
  on(EventKind::dialing);
  on(EventKind::connected);
  EXPECT_FALSE(state.next_deadline());  // the client may take its time
  on(EventKind::first_byte_sent);
  on(EventKind::upload_waits, Cause::none, true);
  EXPECT_EQ(state.next_deadline(), now + 30s);
  now += 20s;
  on(EventKind::first_byte_sent);  // it took some
  EXPECT_EQ(state.next_deadline(), now + 30s);
  on(EventKind::upload_waits, Cause::none, false);
  EXPECT_FALSE(state.next_deadline());
  on(EventKind::upload_waits, Cause::none, true);
  now += 30s;
  EXPECT_EQ(on(EventKind::deadline), (std::vector{Kind::report, Kind::drop, Kind::answer}));
  EXPECT_EQ(state.end(), End::upstream_header_timeout);
}

TEST_F(Life, AConnectThatTakesTooLongIsTriedElsewhere) {
  on(EventKind::head, Cause::none, false);
  on(EventKind::dialing);
  now += 1s;
  EXPECT_EQ(on(EventKind::deadline), (std::vector{Kind::report, Kind::drop, Kind::pick}));
  EXPECT_EQ(action(0).cause, Cause::tcp_timeout);
}

TEST_F(Life, AnAnswerThatStopsIsCut) {
  send(true);
  on(EventKind::response_head, Cause::none, false, 200);
  on(EventKind::downstream_started);
  now += 10s;
  on(EventKind::response_progress);
  EXPECT_EQ(state.next_deadline(), now + 60s);
  now += 60s;
  EXPECT_EQ(on(EventKind::deadline), (std::vector{Kind::report, Kind::finish}));
  EXPECT_EQ(action(0).cause, Cause::body_timeout);
}

TEST_F(Life, TheWholeRequestHasADeadlineOfItsOwn) {
  policy.request_timeout = 5s;
  state = State(policy, now);
  send(true);
  EXPECT_EQ(state.next_deadline(), now + 5s);
  now += 5s;
  EXPECT_EQ(on(EventKind::deadline), (std::vector{Kind::report, Kind::answer}));
  EXPECT_EQ(action(1).end, End::request_timeout);
}

TEST_F(Life, ATryTimeoutMovesOnlyWhatMayBeRepeated) {
  policy.try_timeout = 500ms;
  state = State(policy, now);
  send(true);
  EXPECT_EQ(state.next_deadline(), now + 500ms);
  now += 500ms;
  EXPECT_EQ(on(EventKind::deadline), (std::vector{Kind::report, Kind::drop, Kind::pick}));
  state = State(policy, now);
  send(false);
  EXPECT_EQ(state.next_deadline(), now + 30s);
}

TEST_F(Life, ALostEndpointLetsRepeatableRequestsGoAndKeepsOthers) {
  send(true);
  EXPECT_EQ(on(EventKind::endpoint_lost), (std::vector{Kind::drop, Kind::pick}));
  EXPECT_TRUE(action(1).token);
  state = State(policy, now);
  send(false);
  EXPECT_TRUE(on(EventKind::endpoint_lost).empty());
  EXPECT_EQ(state.phase(), Phase::awaiting);
}

TEST_F(Life, WithoutAnEndpointItWaitsForAMoveAndAsksAgain) {
  on(EventKind::head, Cause::none, false);
  EXPECT_TRUE(on(EventKind::no_endpoint, Cause::none, true).empty());
  EXPECT_EQ(state.phase(), Phase::waiting);
  EXPECT_EQ(on(EventKind::moved), std::vector{Kind::pick});
  EXPECT_TRUE(on(EventKind::no_endpoint, Cause::none, true).empty());
  int asked = 0;
  const TimePoint begin = now;
  while (state.phase() == Phase::waiting && asked < 100) {
    now = *state.next_deadline();
    ASSERT_EQ(on(EventKind::deadline), std::vector{Kind::pick});
    ++asked;
    on(EventKind::no_endpoint, Cause::none, true);
  }
  EXPECT_EQ(now, begin + 1s);
  EXPECT_LE(asked, 20);
  EXPECT_EQ(status_of(state.end()), 503);
  EXPECT_EQ(state.waited(), 1s);
}

TEST_F(Life, TheTimesItWaitedAreSummedAndAnAttemptIsNoWait) {
  on(EventKind::head, Cause::none, true);
  EXPECT_EQ(state.waited(), 0s);
  on(EventKind::no_endpoint, Cause::none, true);
  now += 30ms;
  on(EventKind::moved);
  on(EventKind::dialing);
  EXPECT_EQ(state.waited(), 30ms);
  now += 400ms;
  on(EventKind::dial_failed, Cause::tcp_refused);
  on(EventKind::no_endpoint, Cause::none, true);
  now += 12ms;
  on(EventKind::moved);
  on(EventKind::connected, Cause::none, true);
  now += 200ms;
  on(EventKind::sent);
  EXPECT_EQ(state.waited(), 42ms);
}

TEST_F(Life, WithNoTierToWaitForItAnswersAtOnce) {
  on(EventKind::head, Cause::none, true);
  EXPECT_EQ(on(EventKind::no_endpoint, Cause::none, false), std::vector{Kind::answer});
  EXPECT_EQ(action(0).end, End::no_endpoint);
}

TEST_F(Life, AClientThatLeavesEndsItWithoutAnAnswer) {
  send(true);
  EXPECT_EQ(on(EventKind::downstream_gone), std::vector{Kind::finish});
  EXPECT_TRUE(on(EventKind::attempt_failed, Cause::tcp_reset).empty());  // over is over
}

TEST_F(Life, AServerErrorIsRepeatedOnlyWhereThePoolAsksForIt) {
  send(true);
  EXPECT_EQ(on(EventKind::response_head, Cause::none, false, 503), std::vector{Kind::forward});
  policy.retry_on_5xx = true;
  state = State(policy, now);
  send(true);
  EXPECT_EQ(on(EventKind::response_head, Cause::none, false, 503), (std::vector{Kind::report, Kind::drop, Kind::pick}));
  connect();
  EXPECT_EQ(on(EventKind::response_head, Cause::none, false, 500), std::vector{Kind::forward});
}

TEST_F(Life, AnErrorThatIsPaidForIsRepeatedOnce) {
  send(true);
  EXPECT_TRUE(state.may_repeat_error());
  EXPECT_EQ(on(EventKind::response_head, Cause::none, true, 500), (std::vector{Kind::report, Kind::drop, Kind::pick}));
  EXPECT_FALSE(action(2).token);  // it is paid
  EXPECT_FALSE(state.may_repeat_error());
  connect();
  EXPECT_EQ(on(EventKind::response_head, Cause::none, true, 500), std::vector{Kind::forward});

  state = State(policy, now);
  send(false);  // law 2
  EXPECT_FALSE(state.may_repeat_error());
  EXPECT_EQ(on(EventKind::response_head, Cause::none, true, 500), std::vector{Kind::forward});

  state = State(policy, now);
  send(true);
  EXPECT_EQ(on(EventKind::response_head, Cause::none, true, 404),
            std::vector{Kind::forward});  // no error of the server
}

// The client did not ask for the trial: it pays neither with the answer nor with its budget.
TEST_F(Life, AFailedTrialIsRepeatedOnceAndFreeOfCharge) {
  state.risk_next_attempt();
  send(true);
  const Actions actions = state.on({EventKind::response_head, Cause::none, 500, false, End::none}, now);
  EXPECT_TRUE(actions.has(Kind::report));
  const auto* const pick =
      std::find_if(actions.begin(), actions.end(), [](const Action& a) { return a.kind == Kind::pick; });
  ASSERT_NE(pick, actions.end());
  EXPECT_FALSE(pick->token);
  connect();
  EXPECT_EQ(on(EventKind::response_head, Cause::none, false, 500), std::vector{Kind::forward});  // no trial any more

  state = State(policy, now);
  state.risk_next_attempt();
  send(false);  // law 2
  EXPECT_EQ(on(EventKind::response_head, Cause::none, false, 500), std::vector{Kind::forward});
  policy.max_retries = 0;
  state = State(policy, now);
  state.risk_next_attempt();
  send(true);
  EXPECT_EQ(on(EventKind::response_head, Cause::none, false, 500), std::vector{Kind::forward});
}

// ---- the opening of a WebSocket ------------------------------------------------------------------------------------

TEST_F(Life, AnOpeningWaitsForItsTurnAndIsRefusedWhenThatComesTooLate) {
  policy.opening_wait = 10s;
  state = State(policy, now);
  on(EventKind::head, Cause::none, true);
  EXPECT_TRUE(on(EventKind::opening_waits).empty());
  EXPECT_EQ(state.phase(), Phase::waiting);
  EXPECT_EQ(state.next_deadline(), now + 10s) << "it does not ask again by itself";
  now += 3s;
  EXPECT_EQ(on(EventKind::moved), std::vector{Kind::pick});
  EXPECT_EQ(state.waited(), 3s);
  EXPECT_TRUE(on(EventKind::opening_waits).empty()) << "somebody was faster";
  EXPECT_EQ(state.next_deadline(), now + 7s) << "the whole wait counts";
  now += 6s;
  EXPECT_TRUE(on(EventKind::deadline).empty());
  now += 1s;
  EXPECT_EQ(on(EventKind::deadline), std::vector{Kind::answer});
  EXPECT_EQ(state.end(), End::openings);
  EXPECT_EQ(status_of(state.end()), 503);
}

TEST_F(Life, AnOpeningWithoutAPlaceIsRefusedAtOnce) {
  on(EventKind::head, Cause::none, true);
  on(EventKind::opening_waits);
  EXPECT_EQ(on(EventKind::opening_refused), std::vector{Kind::answer});
  EXPECT_EQ(state.end(), End::openings);
}

TEST_F(Life, AnOpeningThatABusyEndpointRefusedIsTriedAgainWithinTheWaitAndIsNoRetry) {
  policy.opening_wait = 10s;
  policy.max_retries = 0;
  state = State(policy, now);
  send(true);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(state.may_open_again(now));
    EXPECT_EQ(on(EventKind::opening_busy, Cause::none, false, 503), (std::vector{Kind::drop, Kind::pick}))
        << "no report";
    EXPECT_FALSE(action(1).token);
    EXPECT_TRUE(on(EventKind::opening_waits).empty());
    now += 2s;
    EXPECT_EQ(on(EventKind::moved), std::vector{Kind::pick});
    connect();
  }
  EXPECT_FALSE(state.may_open_again(now)) << "then its answer is passed on";
}

}  // namespace
}  // namespace understudy::exchange
