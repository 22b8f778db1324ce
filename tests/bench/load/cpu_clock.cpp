#include "tests/bench/load/cpu_clock.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace bench {

std::uint64_t cpu_ns(const std::vector<int>& pids) {
  std::uint64_t total = 0;
  for (const int pid : pids) {
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", failed)) {
      std::uint64_t used = 0;
      if (std::ifstream(entry.path() / "schedstat") >> used) total += used;
    }
  }
  return total;
}

std::uint64_t machine_busy_ns() {
  std::ifstream file("/proc/stat");
  std::string name;
  std::uint64_t user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0;
  file >> name >> user >> nice >> system >> idle >> wait >> irq >> soft >> steal;
  const auto tick = static_cast<std::uint64_t>(1'000'000'000 / ::sysconf(_SC_CLK_TCK));
  return (user + nice + system + irq + soft + steal) * tick;
}

}  // namespace bench
