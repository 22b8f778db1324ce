// A process with everything it started, ended for good.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <set>
#include <vector>

namespace understudy::server {

// Kills the child `root`, its process group and all its descendants, also those that made a group or session of their own, as
// timeout(1) does. `root` must not have been waited for before the end. What its parent has left already is nobody's descendant
// any more and lives, unless it is of the group.
//
// A look at a process takes some 50 µs, however many others the machine has; it is looked at twice. So a thread that has other
// things to do goes on in steps.
class TreeKill {
public:
  explicit TreeKill(pid_t root) : root_(root) {}
  // Looks at so many processes, or kills as many. True when nothing is left to do.
  bool step(std::size_t processes);

private:
  void visit(pid_t pid);
  void end_round();

  pid_t root_;
  int round_ = 0;  // 0: not begun
  bool all_found_ = false;
  std::vector<pid_t> walk_;  // of this round, in the order in which they were met
  std::size_t at_ = 0;
  std::set<pid_t> found_;
  std::size_t found_before_ = 0;
};

// The same at once.
void kill_tree(pid_t root);

}  // namespace understudy::server
