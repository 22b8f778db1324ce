// Which fault of a live drill an attempt meets.
#include "proxy/net/faults.hpp"

#include <gtest/gtest.h>

namespace understudy::net {
namespace {

using namespace std::chrono_literals;
using TimePoint = std::chrono::steady_clock::time_point;
constexpr TimePoint kBegin{100s};
const health::EndpointId kEndpoint{3, 1};

Fault fault(std::uint64_t id, Fault::Kind kind) {
  Fault out;
  out.id = id;
  out.kind = kind;
  out.since = kBegin;
  out.met = std::make_shared<std::atomic<std::uint64_t>>(0);
  return out;
}

struct Drill {
  Faults faults;
  std::uint64_t random = 0;
  std::string name, value;  // the only field of the request
  std::shared_ptr<const Fault> add(Fault fault) {
    auto shared = std::make_shared<const Fault>(std::move(fault));
    faults.add(kEndpoint, shared);
    return shared;
  }
  std::uint64_t met(TimePoint now = kBegin, bool opening = false, health::EndpointId endpoint = kEndpoint) const {
    const Fault* found = met_fault(
        faults, endpoint, opening, now, [this] { return random; },
        [this](const std::string& n, const std::string& v) { return n == name && (v.empty() || v == value); });
    return found != nullptr ? found->id : 0;
  }
};

TEST(Faults, OnlyTheEndpointAndItsGenerationMeetIt) {
  Drill drill;
  const auto kill = drill.add(fault(7, Fault::Kind::refuse));
  EXPECT_EQ(drill.met(), 7U);
  EXPECT_EQ(drill.met(kBegin, false, {3, 2}), 0U);
  EXPECT_EQ(drill.met(kBegin, false, {4, 1}), 0U);
  EXPECT_EQ(kill->met->load(), 1U) << "counted for who met it only";
}

TEST(Faults, OfSeveralTheOneThatLeavesLeastCounts) {
  Drill drill;
  const auto slow = drill.add(fault(1, Fault::Kind::delay));
  drill.add(fault(2, Fault::Kind::blackhole));
  drill.add(fault(3, Fault::Kind::error));
  EXPECT_EQ(drill.met(), 2U);
  EXPECT_EQ(slow->met->load(), 0U);
}

TEST(Faults, OpeningsSharesFieldsAndTurns) {
  Drill drill;
  Fault openings = fault(1, Fault::Kind::delay);
  openings.openings_only = true;
  drill.add(openings);
  EXPECT_EQ(drill.met(kBegin, false), 0U);
  EXPECT_EQ(drill.met(kBegin, true), 1U);

  Drill share;
  Fault some = fault(2, Fault::Kind::error);
  some.requests = 0.25;
  share.add(some);
  share.random = ~std::uint64_t{0} / 5;  // 0.2
  EXPECT_EQ(share.met(), 2U);
  share.random = ~std::uint64_t{0} / 3;
  EXPECT_EQ(share.met(), 0U);

  Drill field;
  Fault marked = fault(3, Fault::Kind::error);
  marked.header = "X-Drill";
  marked.value = "yes";
  field.add(marked);
  EXPECT_EQ(field.met(), 0U);
  field.name = "X-Drill";
  field.value = "no";
  EXPECT_EQ(field.met(), 0U);
  field.value = "yes";
  EXPECT_EQ(field.met(), 3U);

  Drill turns;
  Fault flap = fault(4, Fault::Kind::refuse);
  flap.period = 2s;
  turns.add(flap);
  EXPECT_EQ(turns.met(kBegin + 1s), 4U);
  EXPECT_EQ(turns.met(kBegin + 3s), 0U);
  EXPECT_EQ(turns.met(kBegin + 5s), 4U);
}

TEST(Faults, ADelayGrowsToItsHeightAndJitters) {
  Fault slow = fault(1, Fault::Kind::delay);
  slow.delay = 800ms;
  slow.ramp = 10s;
  slow.jitter = 100ms;
  EXPECT_EQ(delay_of(slow, kBegin, 0), 0ns);
  EXPECT_EQ(delay_of(slow, kBegin + 5s, 0), 400ms);
  EXPECT_EQ(delay_of(slow, kBegin + 60s, 0), 800ms);
  EXPECT_NEAR(static_cast<double>(delay_of(slow, kBegin + 60s, std::uint64_t{1} << 63U).count()), 850e6, 1e3);
}

}  // namespace
}  // namespace understudy::net
