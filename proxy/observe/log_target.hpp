// One log file, pipe, terminal or standard stream, and the lines that wait to be written to it. Belongs to
// the file thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace understudy::observe {

class LogTarget {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // Opens `path` for appending; "", "/dev/stderr" and "/dev/stdout" are the standard streams. `what` names it
  // in messages
  // ("access log"). Throws std::runtime_error naming the path, the reason and the remedy.
  LogTarget(std::string path, std::string what);
  ~LogTarget();
  LogTarget(const LogTarget&) = delete;
  LogTarget& operator=(const LogTarget&) = delete;

  // Whole lines are appended here by the owner.
  std::string& lines() { return lines_; }
  bool empty() const { return lines_.empty(); }
  // Enough waits: the owner stops appending, so that what is in front of this fills and drops.
  bool full() const { return lines_.size() - written_ >= kHighMark; }

  enum class Outcome : std::uint8_t { written, blocked, failed };
  // Writes what waits, with as few calls as possible. Does not wait for readers of pipes, sockets and
  // terminals (a regular file on a hung disk does hold the thread). After a failure nothing is tried for a
  // second; `blocked` is worth a poll for POLLOUT.
  Outcome flush(TimePoint now);
  void retry_now() { retry_at_ = {}; }

  // Opens the path anew (after a rename) and closes the old descriptor; a line written in part begins again
  // in the new file.
  // "" on success or for a standard stream; else the reason, and the old descriptor stays in use.
  std::string reopen();

  int fd() const { return fd_; }
  bool blocked() const { return blocked_; }
  bool failed() const { return error_ != 0; }
  int error() const { return error_; }  // errno of the last failure, 0 after a success
  TimePoint retry_at() const { return retry_at_; }
  std::uint64_t failures() const { return failures_; }
  bool is_standard_error() const { return standard_ == 2; }
  std::string description() const;  // "access log /var/log/x.log"

private:
  static constexpr std::size_t kHighMark = 256 * 1024;
  // How the descriptor must be written so that it can't hold the thread.
  enum class Kind : std::uint8_t { file, own_nonblocking, own_pipe, socket, shared };
  void open_standard();
  std::size_t next_chunk() const;
  std::ptrdiff_t write_some(const char* data, std::size_t size);
  void forget_written();

  std::string path_, what_;
  int standard_ = -1;  // 1, 2: a standard stream
  int fd_ = -1;
  Kind kind_ = Kind::file;
  std::string lines_;
  std::size_t written_ = 0;  // of lines_
  bool blocked_ = false;
  int error_ = 0;
  std::uint64_t failures_ = 0;
  TimePoint retry_at_{};
};

}  // namespace understudy::observe
