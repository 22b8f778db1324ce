#include "proxy/drill/leash.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

namespace understudy::drill {

namespace {

// Holds nothing but its end of the line: whoever reads our output to its end is not to wait for the keeper.
[[noreturn]] void keep(int line) {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  ::setpgid(0, 0);
  ::prctl(PR_SET_NAME, "drill-keeper");
  ::dup2(line, 0);
  ::close_range(1, ~0U, 0);
  char nothing = 0;
  while (::read(0, &nothing, 1) < 0 && errno == EINTR) continue;
  ::kill(0, SIGKILL);  // itself too
  ::_exit(0);
}

}  // namespace

Leash::Leash() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  int before = 0;
  ::prctl(PR_GET_CHILD_SUBREAPER, &before);
  was_reaper_ = before != 0;
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0) keeper_ = ::fork();
  if (keeper_ == 0) {
    ::close(ends[1]);
    keep(ends[0]);
  }
  const int error = errno;
  ::close(ends[0]);
  line_ = ends[1];
  if (keeper_ < 0) {
    end();
    throw std::system_error(error, std::generic_category(), "the keeper of the proxy");
  }
  ::setpgid(keeper_, keeper_);  // also here: whoever joins must find the group
}

Leash::~Leash() { end(); }

// Our end of the line must not live on in a fork: the keeper would wait for that, too.
bool Leash::join() {
  if (line_ >= 0) ::close(std::exchange(line_, -1));
  return ::setpgid(0, std::exchange(keeper_, -1)) == 0;
}

void Leash::end() {
  if (keeper_ > 0) {
    ::kill(-keeper_, SIGKILL);
    // When a parent among them is ours to wait for, its children are already ours.
    while (::waitpid(-keeper_, nullptr, 0) > 0 || errno == EINTR) continue;
  }
  keeper_ = -1;
  if (line_ >= 0) ::close(std::exchange(line_, -1));
  if (!was_reaper_) ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

std::optional<int> ended(pid_t pid) {
  int status = 0;
  const pid_t found = ::waitpid(pid, &status, WNOHANG);
  if (found == pid) return status;
  if (found == 0 || errno != ECHILD) return std::nullopt;
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return kNotOurs;
  const auto name_ends = text.rfind(')');  // the name may hold anything
  const bool runs = name_ends != std::string::npos && name_ends + 2 < text.size() && text[name_ends + 2] != 'Z';
  return runs ? std::nullopt : std::optional(kNotOurs);
}

}  // namespace understudy::drill
