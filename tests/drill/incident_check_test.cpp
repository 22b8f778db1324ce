// A record of an outage that counts or dates otherwise than the clients is found.
#include "proxy/drill/incident_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::drill {
namespace {

using namespace std::chrono_literals;

RequestRecord request(Micros due, Outcome outcome, std::uint16_t status, Micros latency = 10ms) {
  RequestRecord out;
  out.due = due;
  out.outcome = outcome;
  out.status = status;
  out.latency = latency;
  return out;
}

std::vector<RequestRecord> three_failed() {
  return {request(1s, Outcome::answered, 200), request(4s, Outcome::status, 502), request(5s, Outcome::status, 503, 2s),
          request(6s, Outcome::status, 500), request(6s, Outcome::status, 404)};
}

TEST(IncidentCheck, NothingHappenedAndNothingIsWritten) {
  EXPECT_FALSE(check_incidents({}, {request(1s, Outcome::answered, 200)}, {}, 4s));
}

TEST(IncidentCheck, CountsAndTimesThatAgreePass) {
  const auto check = check_incidents({{4200ms, 1}, {5s, 2}}, three_failed(), {}, 4s);
  ASSERT_TRUE(check);
  EXPECT_TRUE(check->passed);
  EXPECT_EQ(check->found, "3 of 3 failed, from 4.2 s (the load: 4.0 s)");
  DeviceCounts devices;
  devices.refused_openings = 2;
  EXPECT_TRUE(check_incidents({{4s, 5}}, three_failed(), devices, 4s)->passed) << "WebSockets are in it";
}

TEST(IncidentCheck, OneMoreOrLessIsFound) {
  EXPECT_FALSE(check_incidents({{4s, 2}}, three_failed(), {}, 4s)->passed);
  EXPECT_FALSE(check_incidents({{4s, 4}}, three_failed(), {}, 4s)->passed);
  const auto none = check_incidents({}, three_failed(), {}, 4s);
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->passed);
  EXPECT_EQ(none->found, "no incident, though 3 requests failed");
}

TEST(IncidentCheck, ABeginningThatIsASecondOffIsFound) {
  EXPECT_TRUE(check_incidents({{5009ms, 3}}, three_failed(), {}, 4s)->passed);
  EXPECT_FALSE(check_incidents({{5011ms, 3}}, three_failed(), {}, 4s)->passed) << "after the first failure";
  EXPECT_FALSE(check_incidents({{2900ms, 3}}, three_failed(), {}, 4s)->passed) << "before the first fault";
  EXPECT_TRUE(check_incidents({{3100ms, 3}}, three_failed(), {}, 4s)->passed);
}

}  // namespace
}  // namespace understudy::drill
