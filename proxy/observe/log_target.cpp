#include "proxy/observe/log_target.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <stdexcept>
#include <system_error>

namespace understudy::observe {
namespace {

constexpr auto kRetryAfter = std::chrono::seconds(1);

std::string reason(int error) { return std::generic_category().message(error); }

std::string_view remedy(int error) {
  switch (error) {
    case ENOENT: return "create the folder";
    case EACCES:
    case EPERM:
    case EROFS: return "let this user write there, or choose another path";
    case EISDIR: return "give the path of a file in it";
    case ENOSPC:
    case EDQUOT: return "make room";
    case EBADF: return "start the process with that stream open, or configure a path";
    default: return "choose another path";
  }
}

// A FIFO is opened for both directions: so it opens without a reader, and the reader may come, go and come
// back.
int open_path(const std::string& path, mode_t& type) {
  struct stat before {};
  const bool fifo = ::stat(path.c_str(), &before) == 0 && S_ISFIFO(before.st_mode);
  const int direction = fifo ? O_RDWR : O_WRONLY | O_CREAT | O_APPEND;
  const int fd = ::open(path.c_str(), direction | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
  if (fd < 0) return -1;
  struct stat opened {};
  type = ::fstat(fd, &opened) == 0 ? opened.st_mode & S_IFMT : S_IFREG;
  return fd;
}

}  // namespace

LogTarget::LogTarget(std::string path, std::string what) : path_(std::move(path)), what_(std::move(what)) {
  if (path_.empty() || path_ == "/dev/stderr") standard_ = 2;
  if (path_ == "/dev/stdout") standard_ = 1;
  if (standard_ >= 0) {
    open_standard();
    return;
  }
  mode_t type = S_IFREG;
  fd_ = open_path(path_, type);
  if (fd_ < 0) {
    const int error = errno;
    throw std::runtime_error("cannot open the " + what_ + " " + path_ + ": " + reason(error) + "; " +
                             std::string(remedy(error)));
  }
  kind_ = type == S_IFREG ? Kind::file : type == S_IFIFO ? Kind::own_pipe : Kind::own_nonblocking;
}

LogTarget::~LogTarget() {
  if (fd_ >= 0) ::close(fd_);
}

// A standard stream is shared with other processes (a shell, a pipeline): making it non-blocking would change
// it for them. Pipes and terminals get a description of our own; sockets (journald) are written with a flag
// per call; a regular file keeps the shared offset, so that nobody's lines are overwritten.
void LogTarget::open_standard() {
  struct stat status {};
  if (::fstat(standard_, &status) != 0) {
    throw std::runtime_error("cannot write the " + what_ + " to " +
                             (standard_ == 2 ? "standard error" : "standard output") + ": " + reason(errno) + "; " +
                             std::string(remedy(EBADF)));
  }
  const mode_t type = status.st_mode & S_IFMT;
  if (type != S_IFREG && type != S_IFSOCK) {
    const std::string link = "/proc/self/fd/" + std::to_string(standard_);
    fd_ = ::open(link.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    kind_ = type == S_IFIFO ? Kind::own_pipe : Kind::own_nonblocking;
    if (fd_ >= 0) return;
  }
  fd_ = ::fcntl(standard_, F_DUPFD_CLOEXEC, 3);
  if (fd_ < 0) throw std::runtime_error("cannot write the " + what_ + ": " + reason(errno));
  kind_ = type == S_IFREG ? Kind::file : type == S_IFSOCK ? Kind::socket : Kind::shared;
}

// Up to PIPE_BUF bytes go into a pipe as a whole or not at all; so whole lines up to that size never mix with
// those of other writers. Elsewhere everything goes in one call.
std::size_t LogTarget::next_chunk() const {
  const std::size_t waiting = lines_.size() - written_;
  if ((kind_ != Kind::own_pipe && kind_ != Kind::shared) || waiting <= PIPE_BUF) return waiting;
  const std::size_t end = lines_.rfind('\n', written_ + PIPE_BUF - 1);
  return end != std::string::npos && end >= written_ ? end + 1 - written_ : PIPE_BUF;
}

std::ptrdiff_t LogTarget::write_some(const char* data, std::size_t size) {
  for (;;) {
    std::ptrdiff_t done = -1;
    if (kind_ == Kind::socket) {
      done = ::send(fd_, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
      if (kind_ == Kind::shared) {
        pollfd ready{fd_, POLLOUT, 0};
        if (::poll(&ready, 1, 0) == 0) {
          errno = EAGAIN;
          return -1;
        }
      }
      done = ::write(fd_, data, size);
    }
    if (done >= 0 || errno != EINTR) return done;
  }
}

// Keeps the beginning of a line that was written in part: reopen() may need it again.
void LogTarget::forget_written() {
  if (written_ == lines_.size()) {
    lines_.clear();
    written_ = 0;
    if (lines_.capacity() > 4 * kHighMark) lines_.shrink_to_fit();
    return;
  }
  if (written_ == 0) return;
  const std::size_t newline = lines_.rfind('\n', written_ - 1);
  const std::size_t line = newline == std::string::npos ? 0 : newline + 1;
  lines_.erase(0, line);
  written_ -= line;
}

LogTarget::Outcome LogTarget::flush(TimePoint now) {
  if (lines_.empty()) return Outcome::written;
  if (error_ != 0 && now < retry_at_) return Outcome::failed;
  Outcome outcome = Outcome::written;
  while (written_ < lines_.size()) {
    const std::ptrdiff_t done = write_some(lines_.data() + written_, next_chunk());
    if (done > 0) {
      written_ += static_cast<std::size_t>(done);
      error_ = 0;
      continue;
    }
    const int error = done == 0 ? EIO : errno;
    if (error == EAGAIN || error == EWOULDBLOCK) {
      outcome = Outcome::blocked;
    } else {
      outcome = Outcome::failed;
      error_ = error;
      ++failures_;
      retry_at_ = now + kRetryAfter;
    }
    break;
  }
  blocked_ = outcome == Outcome::blocked;
  forget_written();
  return outcome;
}

std::string LogTarget::reopen() {
  if (standard_ >= 0) return {};
  mode_t type = S_IFREG;
  const int fresh = open_path(path_, type);
  if (fresh < 0) return reason(errno);
  ::close(fd_);
  fd_ = fresh;
  kind_ = type == S_IFREG ? Kind::file : type == S_IFIFO ? Kind::own_pipe : Kind::own_nonblocking;
  const std::size_t newline = written_ == 0 ? std::string::npos : lines_.rfind('\n', written_ - 1);
  written_ = newline == std::string::npos ? 0 : newline + 1;
  error_ = 0;
  blocked_ = false;
  return {};
}

std::string LogTarget::description() const {
  if (standard_ == 2) return what_ + " (standard error)";
  if (standard_ == 1) return what_ + " (standard output)";
  return what_ + " " + path_;
}

}  // namespace understudy::observe
