// CPU time used so far, user and system.
#pragma once

#include <cstdint>
#include <vector>

namespace bench {

// Nanoseconds of all threads of these processes (/proc/PID/task/*/schedstat, which the scheduler keeps to the nanosecond).
std::uint64_t cpu_ns(const std::vector<int>& pids);
// Nanoseconds of everything on the machine, in steps of a clock tick.
std::uint64_t machine_busy_ns();

}  // namespace bench
