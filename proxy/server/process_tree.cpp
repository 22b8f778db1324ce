#include "proxy/server/process_tree.hpp"

#include <signal.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace understudy::server {
namespace {

constexpr std::size_t kMost = 4096;  // what starts more is no program that asks whether data is well
constexpr int kRounds = 8;

// A child is listed by the thread that started it.
void add_children(pid_t pid, std::vector<pid_t>& out) {
  std::error_code error;
  const std::filesystem::path threads = "/proc/" + std::to_string(pid) + "/task";
  for (std::filesystem::directory_iterator thread(threads, error), end; !error && thread != end;
       thread.increment(error)) {
    std::ifstream children(thread->path() / "children");
    for (pid_t child = 0; children >> child && out.size() < kMost;) out.push_back(child);
  }
}

std::vector<pid_t> descendants(pid_t root) {
  std::vector<pid_t> all{root};
  for (std::size_t i = 0; i < all.size(); ++i) add_children(all[i], all);
  all.erase(all.begin());
  return all;
}

}  // namespace

// What is stopped starts nothing more, and nobody's number is given out anew while its parent, who would have to wait for it,
// is stopped.
void kill_tree(pid_t root) {
  if (root <= 1) return;
  ::kill(-root, SIGSTOP);
  std::set<pid_t> found;
  for (int round = 0; round < kRounds; ++round) {
    const std::size_t before = found.size();
    for (const pid_t pid : descendants(root)) {
      if (found.insert(pid).second) ::kill(pid, SIGSTOP);
    }
    if (found.size() == before) break;
  }
  for (const pid_t pid : found) ::kill(pid, SIGKILL);
  ::kill(-root, SIGKILL);
}

}  // namespace understudy::server
