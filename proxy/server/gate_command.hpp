// A program that a gate runs: started without a shell and in a process group of its own, waited for without blocking, killed
// with all it started when its time is over. Control thread; the program gets nothing of ours but its arguments, PATH and the
// names of its pool and gate.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "health/core.hpp"
#include "proxy/server/process_tree.hpp"

namespace understudy::server {

class GateCommand : public std::enable_shared_from_this<GateCommand> {
public:
  // One line for a person; passed when the program ended with 0.
  using Done = std::function<void(bool passed, std::string detail)>;
  static constexpr std::size_t kKept = 4096;                        // of what it writes, the end
  static constexpr std::size_t kMostOutput = std::size_t{1} << 20;  // then it is killed

  GateCommand(boost::asio::io_context& io, const health::RunGate& gate, Done done);
  ~GateCommand();
  GateCommand(const GateCommand&) = delete;
  GateCommand& operator=(const GateCommand&) = delete;

  // `done` is called once from the io_context, never from inside begin(), at the deadline at the latest.
  void begin();
  // Kills; `done` is not called any more.
  void cancel();

private:
  std::string spawn();  // empty, or why it could not be started
  void await_end();
  void await_output();
  bool read_output();  // what is there; false when no more comes
  void on_end();
  std::string why_not_executed();
  std::string describe_end(int status);
  std::string last_line() const;
  void begin_kill();
  void go_on_killing();
  void finish(bool passed, std::string detail);

  boost::asio::io_context& io_;
  health::RunGate gate_;
  Done done_;
  boost::asio::steady_timer timer_;
  boost::asio::posix::stream_descriptor end_;      // pidfd: readable when it has ended
  boost::asio::posix::stream_descriptor output_;   // its standard output and error
  boost::asio::posix::stream_descriptor refusal_;  // the errno of a failed exec, else nothing
  pid_t pid_ = -1;                                 // also its group; -1: none, or waited for
  std::optional<TreeKill> kill_;                   // under way
  bool ended_ = false;                             // but perhaps not waited for yet
  std::string kept_;
  std::size_t written_ = 0;
};

}  // namespace understudy::server
