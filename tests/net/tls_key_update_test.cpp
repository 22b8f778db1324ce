// How many key updates are too many, with the clock in the test's hand.
#include <gtest/gtest.h>

#include "proxy/net/tls_context.hpp"

namespace understudy::net {
namespace {

TEST(KeyUpdateWindow, CountsOverEveryMinute) {
  using namespace std::chrono_literals;
  KeyUpdateWindow window;
  std::chrono::steady_clock::time_point now{1000s};
  for (int i = 0; i < 32; ++i) EXPECT_FALSE(window.exceeded_by_one_more(now + i * 1s));
  EXPECT_TRUE(window.exceeded_by_one_more(now + 59s)) << "33 within 59 s";
  EXPECT_FALSE(window.exceeded_by_one_more(now + 61s)) << "the first is a minute old";
  EXPECT_TRUE(window.exceeded_by_one_more(now + 61s)) << "but the third is not";
  for (int i = 0; i < 32; ++i) EXPECT_FALSE(window.exceeded_by_one_more(now + 200s));
  EXPECT_TRUE(window.exceeded_by_one_more(now + 200s));
}

}  // namespace
}  // namespace understudy::net
