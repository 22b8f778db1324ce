// Scenarios name kinds of event by the words of the core, which config may not include.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/scenario.hpp"
#include "health/types.hpp"

namespace understudy::health {
namespace {

TEST(EventKinds, OfScenariosAreThoseOfTheCore) {
  std::vector<std::string_view> kinds;
  for (int i = 0;; ++i) {
    const std::string_view name = name_of(static_cast<Event::Kind>(i));
    if (name == "?") break;
    kinds.push_back(name);
  }
  EXPECT_THAT(kinds, testing::ElementsAreArray(config::event_kinds()));
}

}  // namespace
}  // namespace understudy::health
