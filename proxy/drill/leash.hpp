// A group of processes that does not outlive this one, though they start others and end before these do: what PR_SET_PDEATHSIG
// cannot say, as it is lost over a fork and asks for the parent alone.
//
//   this process ── holds one end of a pipe ──► keeper, leader of the group: when the other end is gone, it kills the group
//        │                                          ▲ in the same group
//        └── starts, with join() ──► a process ── starts ──► another one: when its parent ends it becomes our child
#pragma once

#include <sys/types.h>

#include <optional>

namespace understudy::drill {

class Leash {
public:
  // Forks the keeper: REQUIRES that this process has no other thread. Until the end of the leash orphans of descendants become
  // children of this process (PR_SET_CHILD_SUBREAPER). Throws std::system_error.
  Leash();
  // Kills whoever is left in the group, and waits for all of them.
  ~Leash();
  Leash(const Leash&) = delete;
  Leash& operator=(const Leash&) = delete;

  // For the calling process, a child of the one that made the leash. Whoever it starts is on it as well. False: it must end, as
  // the one that made the leash is gone. This copy of it holds nothing any more.
  bool join();

private:
  void end();

  pid_t keeper_ = -1;  // and the number of the group, which nobody else can have while the keeper lives
  int line_ = -1;      // our end
  bool was_reaper_ = false;
};

// How a process has ended, as waitpid has it; nothing while it runs. Of a descendant that is not a child of ours before its own
// parent has ended: kNotOurs until then.
inline constexpr int kNotOurs = -1;
std::optional<int> ended(pid_t pid);

}  // namespace understudy::drill
