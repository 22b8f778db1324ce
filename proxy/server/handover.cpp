#include "proxy/server/handover.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX has no header for it

namespace understudy::server {

namespace {

constexpr const char* kVariable = "UNDERSTUDY_HANDOVER";  // one NAME=DESCRIPTOR per line
constexpr const char* kLine = "line";
constexpr const char* kLock = "lock";
constexpr const char* kState = "state";
constexpr const char* kTickets = "tickets";
constexpr const char* kAdmin = "admin:";
constexpr const char* kListen = "listen:";
constexpr std::chrono::seconds kPatience{60};
constexpr std::chrono::milliseconds kEndsSoon{200};  // who closed the line has ended, or is about to
constexpr int kCannotExecute = 127;
constexpr off_t kMostPassed = off_t{64} << 20;

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

void close_all(int& fd) {
  if (fd >= 0) ::close(std::exchange(fd, -1));
}

// Variables that speak to this process and would mislead the next.
bool is_ours_alone(const char* variable) {
  for (const char* name : {"UNDERSTUDY_HANDOVER=", "LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=", "WATCHDOG_PID="})
    if (std::strncmp(variable, name, std::strlen(name)) == 0) return true;
  return false;
}

std::vector<std::string> own_arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> out;
  for (std::string word; std::getline(file, word, '\0');) out.push_back(word);
  return out;
}

// Everything the child needs, made before the fork: after it only calls that are safe between threads are allowed.
struct Start {
  std::vector<std::string> words, variables;
  std::vector<char*> argv, envp;
  std::vector<int> descriptors;
  std::vector<int> own;  // memory with what is passed as text

  ~Start() {
    for (int& fd : own) close_all(fd);
  }
  Start(const Start&) = delete;
  Start& operator=(const Start&) = delete;
  Start(const std::string& program, const Successor::Estate& estate, int line) : words(own_arguments()) {
    if (words.empty()) words.push_back(program);
    std::string passed;
    const auto pass = [&](const std::string& name, int fd) {
      if (fd < 0) return;
      passed += name + "=" + std::to_string(fd) + "\n";
      descriptors.push_back(fd);
    };
    pass(kLine, line);
    pass(kLock, estate.lock);
    own.push_back(in_memory(estate.state));
    pass(kState, own.back());
    std::string tickets = estate.tickets.text();
    own.push_back(in_memory(tickets));
    pass(kTickets, own.back());
    TicketSecret::wipe(tickets);
    pass(kAdmin + estate.admin_where, estate.admin);
    for (const Passed& socket : estate.listening) pass(kListen + socket.name, socket.fd);
    for (char** variable = environ; *variable != nullptr; ++variable)
      if (!is_ours_alone(*variable)) variables.emplace_back(*variable);
    variables.push_back(std::string(kVariable) + "=" + passed);
    for (std::string& word : words) argv.push_back(word.data());
    for (std::string& variable : variables) envp.push_back(variable.data());
    argv.push_back(nullptr);
    envp.push_back(nullptr);
  }
};

// In the child. Signals are blocked until their handlers, which speak to the parent's pipes, are gone.
[[noreturn]] void become(const char* program, const Start& start) {
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &usual, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  for (const int fd : start.descriptors) ::fcntl(fd, F_SETFD, 0);
  ::execve(program, start.argv.data(), start.envp.data());
  ::_exit(kCannotExecute);
}

std::string describe_end(int status) {
  if (WIFSIGNALED(status)) return "it was ended by signal " + std::to_string(WTERMSIG(status));
  const int code = WEXITSTATUS(status);
  if (code == kCannotExecute) return "it cannot be executed";
  return "it ended with exit code " + std::to_string(code) + "; what it said stands on the standard error output";
}

}  // namespace

int in_memory(std::string_view text) {
  const int fd = ::memfd_create("understudy-handover", MFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = errno;
      ::close(fd);
      throw std::system_error(error, std::generic_category(), "cannot keep what is to be handed over in memory");
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return fd;
}

std::optional<std::string> out_of_memory_file(int fd) {
  struct stat info {};
  std::optional<std::string> out;
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= kMostPassed) {
    out.emplace(static_cast<std::size_t>(info.st_size), '\0');
    std::size_t at = 0;
    while (at < out->size()) {
      const ssize_t n = ::pread(fd, out->data() + at, out->size() - at, static_cast<off_t>(at));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      at += static_cast<std::size_t>(n);
    }
    if (at < out->size()) out.reset();
  }
  close_all(fd);
  return out;
}

std::string own_program() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  return length > 0 ? std::string(path.data(), static_cast<std::size_t>(length)) : std::string();
}

// ---- what is passed as text ---------------------------------------------------------------------------------------

TicketSecret::TicketSecret(std::string keys, std::chrono::milliseconds age) : keys_(std::move(keys)), age_(age) {}
TicketSecret::TicketSecret(TicketSecret&& other) noexcept
    : keys_(std::exchange(other.keys_, {})), age_(std::exchange(other.age_, {})) {}
TicketSecret& TicketSecret::operator=(TicketSecret&& other) noexcept {
  wipe();
  keys_ = std::exchange(other.keys_, {});
  age_ = std::exchange(other.age_, {});
  return *this;
}

void TicketSecret::wipe(std::string& text) {
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

// AGE in milliseconds, a line feed, the keys.
std::string TicketSecret::text() const {
  const std::string age = std::to_string(age_.count());
  std::string out;
  out.reserve(age.size() + 1 + keys_.size());
  return out.append(age).append("\n").append(keys_);
}

TicketSecret TicketSecret::from_text(std::string& text) {
  TicketSecret out;
  std::int64_t age = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), age);
  if (error == std::errc{} && age >= 0 && end != text.data() + text.size() && *end == '\n') {
    out.keys_.assign(text, static_cast<std::size_t>(end + 1 - text.data()));
    out.age_ = std::chrono::milliseconds(age);
  }
  wipe(text);
  return out;
}

// ---- the new one ---------------------------------------------------------------------------------------------------

Inheritance::~Inheritance() {
  for (Passed& socket : listening_) close_all(socket.fd);
  close_all(admin_);
  close_all(lock_);
  close_all(line_);
}

void Inheritance::read() {
  const char* text = std::getenv(kVariable);
  if (text == nullptr) return;
  std::istringstream lines(text);
  for (std::string entry; std::getline(lines, entry);) {
    const auto equals = entry.rfind('=');
    if (equals == std::string::npos) continue;
    int fd = -1;
    const char* end = entry.data() + entry.size();
    if (std::from_chars(entry.data() + equals + 1, end, fd).ptr != end || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
      continue;
    entry.resize(equals);
    if (entry == kLine) line_ = fd;
    if (entry == kLock) lock_ = fd;
    if (entry == kState) state_ = out_of_memory_file(fd);
    if (entry == kTickets) {
      if (auto secret = out_of_memory_file(fd)) tickets_ = TicketSecret::from_text(*secret);
    }
    if (starts_with(entry, kListen)) listening_.push_back({entry.substr(std::strlen(kListen)), fd});
    if (starts_with(entry, kAdmin)) {
      admin_ = fd;
      admin_where_ = entry.substr(std::strlen(kAdmin));
    }
  }
  ::unsetenv(kVariable);
}

int Inheritance::take_admin(const std::string& where) { return where == admin_where_ ? std::exchange(admin_, -1) : -1; }

void Inheritance::say_ready() {
  const char word = 'R';
  [[maybe_unused]] const auto sent = ::send(line_, &word, 1, MSG_NOSIGNAL);
  close_all(line_);
}

// ---- the old one ---------------------------------------------------------------------------------------------------

struct Successor::State : std::enable_shared_from_this<Successor::State> {
  State(boost::asio::io_context& io, Done d) : line(io), timer(io), done(std::move(d)) {}

  void listen() {
    line.async_read_some(boost::asio::buffer(&word, 1),
                         [self = shared_from_this()](const boost::system::error_code& error, std::size_t n) {
                           if (!self->done) return;
                           if (!error && n == 1) return self->finish("");
                           self->wait(kEndsSoon, "it closed the line to this process");
                         });
    wait(kPatience, "it was not ready within " + std::to_string(kPatience.count()) + " s");
  }
  void wait(std::chrono::milliseconds time, const std::string& why) {
    timer.expires_after(time);
    timer.async_wait([self = shared_from_this(), why](const boost::system::error_code& error) {
      if (!error && self->done) self->give_up(why);
    });
  }
  void give_up(const std::string& why) {
    int status = 0;
    if (::waitpid(pid, &status, WNOHANG) == pid) return finish(describe_end(status));
    ::kill(pid, SIGKILL);
    ::waitpid(pid, &status, 0);
    finish(why);
  }
  void finish(const std::string& why) {
    timer.cancel();
    boost::system::error_code ignored;
    line.close(ignored);
    std::exchange(done, nullptr)(why);
  }

  boost::asio::posix::stream_descriptor line;
  boost::asio::steady_timer timer;
  Done done;
  pid_t pid = -1;
  char word = 0;
};

Successor::Successor(boost::asio::io_context& io, const std::string& program, const Estate& estate, Done done)
    : state_(std::make_shared<State>(io, std::move(done))) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw std::system_error(errno, std::generic_category(), "socketpair");
  state_->line.assign(ends[0]);
  const Start start(program, estate, ends[1]);
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  state_->pid = ::fork();
  if (state_->pid == 0) become(program.c_str(), start);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::close(ends[1]);
  if (state_->pid < 0) throw std::system_error(error, std::generic_category(), "fork");
  state_->listen();
}

// Before it was ready it has nothing that is not ours still.
Successor::~Successor() {
  if (!state_->done) return;
  state_->done = nullptr;
  ::kill(state_->pid, SIGKILL);
  ::waitpid(state_->pid, nullptr, 0);
}

pid_t Successor::pid() const { return state_->pid; }

}  // namespace understudy::server
