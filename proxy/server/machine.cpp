#include "proxy/server/machine.hpp"

#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <linux/capability.h>

namespace understudy::server {

std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  // An "unlimited" hard limit still has a ceiling in the kernel; a million is plenty.
  const rlim_t wanted = std::min<rlim_t>(limit.rlim_max, 1'048'576);
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = wanted;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

std::uint64_t connections_that_fit(std::uint64_t descriptors, std::uint64_t reserve, unsigned workers,
                                   std::uint64_t listeners) {
  const std::uint64_t own = reserve + workers * (4 + listeners) + 16;
  return descriptors > own + 2 ? (descriptors - own) / 2 : 1;
}

std::uint64_t default_buffer_memory() {
  struct sysinfo info {};
  std::uint64_t total = 1ULL << 30;
  if (::sysinfo(&info) == 0) total = static_cast<std::uint64_t>(info.totalram) * info.mem_unit;
  // A container's limit counts, where there is one.
  std::ifstream limit("/sys/fs/cgroup/memory.max");
  std::uint64_t bytes = 0;
  if (limit >> bytes && bytes > 0) total = std::min(total, bytes);
  return total / 4;
}

unsigned usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

void forbid_new_privileges() {
  ::prctl(PR_SET_DUMPABLE, 0);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // The bounding set is what a program started from here could gain; what this process holds now is not touched.
  if (::geteuid() == 0)
    for (int cap = 0; cap <= CAP_LAST_CAP; ++cap) ::prctl(PR_CAPBSET_DROP, cap);
}

bool find_identity(const config::ServerConfig& config, bool keep_root, bool builtin, Identity& out, std::string& why) {
  if (::geteuid() != 0 || keep_root) return true;
  const auto look_up = [&out](const std::string& name) {
    const passwd* entry = ::getpwnam(name.c_str());
    if (entry == nullptr) return false;
    out = {entry->pw_uid, entry->pw_gid, name};
    return true;
  };
  if (!config.user.empty()) {
    if (!look_up(config.user)) {
      why = "[server] user '" + config.user + "' does not exist on this machine";
      return false;
    }
  } else if (!look_up("understudy") && !(builtin && look_up("nobody"))) {
    why = "refusing to run as root: set [server] user, create a user 'understudy', or pass --keep-root";
    return false;
  }
  if (!config.group.empty()) {
    const group* entry = ::getgrnam(config.group.c_str());
    if (entry == nullptr) {
      why = "[server] group '" + config.group + "' does not exist on this machine";
      return false;
    }
    out.gid = entry->gr_gid;
  }
  return true;
}

std::string become(const Identity& identity) {
  if (identity.name.empty()) return {};
  if (::setgroups(0, nullptr) != 0 || ::setresgid(identity.gid, identity.gid, identity.gid) != 0 ||
      ::setresuid(identity.uid, identity.uid, identity.uid) != 0) {
    return "cannot become user '" + identity.name + "': " + std::strerror(errno);
  }
  if (::setuid(0) == 0) return "privileges came back after they were dropped";
  return {};
}

std::uint64_t monotonic_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace understudy::server
