// A process with everything it started, ended for good.
#pragma once

#include <sys/types.h>

namespace understudy::server {

// Kills the child `root`, its process group and all its descendants, also those that made a group or session of their own, as
// timeout(1) does. `root` must not have been waited for. What its parent has left already is nobody's descendant any more and
// lives, unless it is of the group. Never blocks for longer than a look at /proc takes.
void kill_tree(pid_t root);

}  // namespace understudy::server
