#include "proxy/server/gate_command.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "proxy/observe/escape.hpp"
#include "proxy/probe/words.hpp"
#include "proxy/server/process_tree.hpp"

namespace understudy::server {
namespace {

using Descriptor = boost::asio::posix::stream_descriptor;

constexpr std::size_t kReadSize = 16 * 1024;
constexpr std::size_t kLongestLine = 160;
constexpr const char* kUsualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr int kCannotExecute = 127;
constexpr std::size_t kKilledAtOnce = 64;  // processes that are looked at in a turn of the thread: some 3 ms

// Both ends above the standard three, which the child sets anew; only our end does not block.
struct Pipe {
  int ours = -1, theirs = -1;
  ~Pipe() {
    if (ours >= 0) ::close(ours);
    if (theirs >= 0) ::close(theirs);
  }
  Pipe() = default;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  bool open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    ours = raised(ends[0]);
    theirs = raised(ends[1]);
    return ours >= 0 && theirs >= 0 && ::fcntl(ours, F_SETFL, O_NONBLOCK) == 0;
  }

private:
  static int raised(int fd) {
    if (fd > STDERR_FILENO) return fd;
    const int higher = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    ::close(fd);
    return higher;
  }
};

// Everything the child needs, made before the fork: after it only calls that are safe between threads are allowed.
struct Program {
  std::vector<std::string> environment;
  std::vector<char*> argv, envp;
  int null = -1, output = -1, refusal = -1;

  explicit Program(const health::RunGate& gate) {
    const char* path = std::getenv("PATH");
    environment = {std::string("PATH=") + (path != nullptr && *path != '\0' ? path : kUsualPath),
                   "UNDERSTUDY_POOL=" + gate.pool, "UNDERSTUDY_GATE=" + gate.gate.name};
    for (const std::string& word : gate.gate.command) argv.push_back(const_cast<char*>(word.c_str()));
    for (const std::string& word : environment) envp.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    envp.push_back(nullptr);
  }
};

// In the child. All signals are blocked until their handlers, which speak to the parent's pipes, are gone.
[[noreturn]] void become(const Program& program) {
  ::setpgid(0, 0);
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &usual, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(program.null, STDIN_FILENO);
  ::dup2(program.output, STDOUT_FILENO);
  ::dup2(program.output, STDERR_FILENO);
  // All of ours are close-on-exec already; a library's might not be.
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  ::execve(program.argv[0], program.argv.data(), program.envp.data());
  const int error = errno;
  [[maybe_unused]] const auto told = ::write(program.refusal, &error, sizeof error);
  ::_exit(kCannotExecute);
}

// fork and not posix_spawn: that one waits until the program was read from its disk, and this thread may not wait for a disk.
pid_t start(const Program& program) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) become(program);
  const int error = errno;
  if (pid > 0) ::setpgid(pid, pid);  // whoever comes first
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

// glibc 2.36 declares pidfd_open() without C linkage.
int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// "10 s", "1.5 s", "500 ms".
std::string spaced(std::chrono::milliseconds time) {
  std::string text = probe::duration_text(time, time);
  return text.insert(text.find_first_not_of("0123456789."), " ");
}

}  // namespace

GateCommand::GateCommand(boost::asio::io_context& io, const health::RunGate& gate, Done done)
    : io_(io), gate_(gate), done_(std::move(done)), timer_(io), end_(io), output_(io), refusal_(io) {}

GateCommand::~GateCommand() {
  if (pid_ <= 0) return;
  if (!kill_) kill_.emplace(pid_);
  kill_->step(SIZE_MAX);
  ::waitpid(pid_, nullptr, WNOHANG);
}

void GateCommand::begin() {
  if (std::string trouble = spawn(); !trouble.empty()) {
    boost::asio::post(io_, [self = shared_from_this(), trouble = std::move(trouble)] { self->finish(false, trouble); });
    return;
  }
  timer_.expires_at(gate_.deadline);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error) return;
    self->begin_kill();
    self->finish(false, "killed after " + spaced(self->gate_.gate.timeout));
  });
  await_end();
  await_output();
}

void GateCommand::cancel() {
  done_ = nullptr;
  begin_kill();
  finish(false, {});
}

std::string GateCommand::spawn() {
  if (gate_.gate.command.empty()) return "no program is configured";
  const auto failed = [this](int error) {
    return "cannot start " + gate_.gate.command.front() + ": " + std::strerror(error);
  };
  Program program(gate_);
  Pipe output, refusal;
  if (!output.open() || !refusal.open()) return failed(errno);
  program.output = output.theirs;
  program.refusal = refusal.theirs;
  program.null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (program.null < 0) return failed(errno);
  const pid_t pid = start(program);
  const int error = errno;
  ::close(program.null);
  if (pid < 0) return failed(error);
  pid_ = pid;
  int end = open_pidfd(pid);
  int trouble = end < 0 ? errno : 0;
  for (const auto& [descriptor, fd] : {std::pair{&end_, &end}, {&output_, &output.ours}, {&refusal_, &refusal.ours}}) {
    boost::system::error_code refused;
    if (trouble == 0) descriptor->assign(*fd, refused);
    if (refused) trouble = refused.value();
    if (trouble == 0) *fd = -1;  // the descriptor's now
  }
  if (trouble == 0) return {};
  if (end >= 0) ::close(end);
  kill_tree(pid_);
  return failed(trouble);
}

// Goes on after a kill or a cancel, so that nothing is left unwaited for.
void GateCommand::await_end() {
  end_.async_wait(Descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
    if (error) return;
    self->ended_ = true;
    if (!self->kill_) self->on_end();
  });
}

void GateCommand::await_output() {
  output_.async_wait(Descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
    if (error || !self->read_output()) return;
    if (self->written_ <= kMostOutput) return self->await_output();
    self->begin_kill();
    self->finish(false, "killed: it wrote more than 1 MiB");
  });
}

// At most one piece, so that a talkative program does not hold up the thread.
bool GateCommand::read_output() {
  std::array<char, kReadSize> piece{};
  const ssize_t size = ::read(output_.native_handle(), piece.data(), piece.size());
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  if (size == 0) return false;
  written_ += static_cast<std::size_t>(size);
  kept_.append(piece.data(), static_cast<std::size_t>(size));
  if (kept_.size() > kKept) kept_.erase(0, kept_.size() - kKept);
  return true;
}

void GateCommand::on_end() {
  // Not waited for yet, so its group's number still is its own: what it left running ends with it.
  kill_tree(pid_);
  int status = 0;
  const pid_t waited = ::waitpid(std::exchange(pid_, -1), &status, WNOHANG);
  boost::system::error_code ignored;
  end_.close(ignored);
  if (!done_) return;
  // The pipe holds at most 64 KiB by default.
  for (int pieces = 0; pieces < 8 && read_output(); ++pieces) {
    if (written_ > kMostOutput) break;
  }
  if (waited <= 0) return finish(false, "ended, but its exit code was lost");
  if (std::string why = why_not_executed(); !why.empty()) return finish(false, std::move(why));
  finish(WIFEXITED(status) && WEXITSTATUS(status) == 0, describe_end(status));
}

std::string GateCommand::why_not_executed() {
  int error = 0;
  if (::read(refusal_.native_handle(), &error, sizeof error) != sizeof error) return {};
  return "cannot run " + gate_.gate.command.front() + ": " + std::strerror(error);
}

std::string GateCommand::describe_end(int status) {
  std::string text = WIFSIGNALED(status) ? "ended by signal " + std::to_string(WTERMSIG(status)) + " (" +
                                               ::strsignal(WTERMSIG(status)) + ")"
                                         : "exit code " + std::to_string(WEXITSTATUS(status));
  const std::string line = last_line();
  return line.empty() ? text : text + ": " + line;
}

// Programs say last what they found. Its bytes are a stranger's.
std::string GateCommand::last_line() const {
  const std::size_t end = kept_.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return {};
  const std::size_t before = kept_.rfind('\n', end);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  std::string line;
  observe::append_event_text(line, std::string_view(kept_).substr(begin, end + 1 - begin));
  return probe::printable(line, kLongestLine);
}

void GateCommand::begin_kill() {
  if (pid_ <= 0 || kill_) return;
  kill_.emplace(pid_);
  go_on_killing();
}

// A program with thousands of descendants must not hold up the thread. Meanwhile it is stopped and not waited for.
void GateCommand::go_on_killing() {
  if (!kill_->step(kKilledAtOnce)) {
    boost::asio::post(io_, [self = shared_from_this()] { self->go_on_killing(); });
    return;
  }
  kill_.reset();
  if (ended_) on_end();
}

void GateCommand::finish(bool passed, std::string detail) {
  timer_.cancel();
  boost::system::error_code ignored;
  output_.close(ignored);
  refusal_.close(ignored);
  if (const Done done = std::exchange(done_, nullptr)) done(passed, std::move(detail));
}

}  // namespace understudy::server
