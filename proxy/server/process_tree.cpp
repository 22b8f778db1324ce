#include "proxy/server/process_tree.hpp"

#include <signal.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

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

}  // namespace

// What is stopped starts nothing more, and nobody's number is given out anew while its parent, who would have to wait for it,
// is stopped.
void TreeKill::visit(pid_t pid) {
  if (pid != root_ && found_.insert(pid).second) ::kill(pid, SIGSTOP);
  add_children(pid, walk_);
}

// Until a round meets nobody new.
void TreeKill::end_round() {
  all_found_ = found_.size() == found_before_ || round_ == kRounds;
  found_before_ = found_.size();
  ++round_;
  walk_ = {root_};
  at_ = 0;
}

bool TreeKill::step(std::size_t processes) {
  if (root_ <= 1) return true;
  if (round_ == 0) {
    ::kill(-root_, SIGSTOP);
    round_ = 1;
    walk_ = {root_};
  }
  for (; processes > 0 && !all_found_; --processes) {
    visit(walk_[at_++]);
    if (at_ == walk_.size()) end_round();
  }
  for (; processes > 0 && all_found_ && !found_.empty(); --processes) {
    ::kill(*found_.begin(), SIGKILL);
    found_.erase(found_.begin());
  }
  if (!all_found_ || !found_.empty()) return false;
  ::kill(-root_, SIGKILL);
  return true;
}

void kill_tree(pid_t root) { TreeKill(root).step(SIZE_MAX); }

}  // namespace understudy::server
