// Spreads the leaving of many evenly over a window (law 8): with n to go and a time w left, one goes every w/n. Who leaves by
// itself makes room for the others, who comes later is spread over what is left of the window. Pure.
//
// Each worker paces its own share over the same window, so the sum is even too; `phase` keeps their first ones apart.
#pragma once

#include <chrono>
#include <cstddef>

namespace understudy::limit {

class Pacer {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  // Begins now with `members` to go. The first one goes after `phase` (0 to 1) of the time between two.
  Pacer(TimePoint now, Duration window, std::size_t members, double phase = 0);
  // How many of the `left` are to go now. After a time in which nobody asked, what was missed is not made up at once but
  // spread over the rest; at the window's end all go.
  std::size_t due(TimePoint now, std::size_t left);
  // When to ask again.
  TimePoint next() const { return next_; }
  TimePoint end() const { return end_; }

private:
  TimePoint end_;
  TimePoint next_;
};

}  // namespace understudy::limit
