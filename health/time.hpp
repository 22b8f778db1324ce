// Time in the core: values that are passed in; nothing here asks for the time.
#pragma once

#include <chrono>

namespace understudy::health {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

}  // namespace understudy::health
