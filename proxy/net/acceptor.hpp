// Accepts from one listening socket for one worker. The socket belongs to the server and is never closed here.
#pragma once

#include <string>

#include "proxy/net/reactor.hpp"

namespace understudy::net {

class Worker;

class Acceptor final : public Pollable, public Timer {
public:
  // `shared`: other workers accept from the same socket.
  Acceptor(Worker& worker, std::string name, int fd, bool shared)
      : worker_(worker), name_(std::move(name)), fd_(fd), shared_(shared) {}
  bool start();
  // Takes what is queued, then listens no more.
  void stop();
  int fd() const { return fd_; }
  const std::string& name() const { return name_; }
  void rename(const std::string& name) { name_ = name; }

private:
  void on_events(std::uint32_t) override;
  // Up to `most` connections; false when the queue is empty or cannot be taken from now.
  bool accept_some(int most);
  void on_timer(TimePoint now) override;
  void pause();

  Worker& worker_;
  std::string name_;
  int fd_;
  bool shared_;
  int expected_ = 1;             // connections that an event will bring
  std::uint64_t full_turn_ = 0;  // the turn of the loop in which that many came
  bool listening_ = false;
  bool paused_ = false;
};

}  // namespace understudy::net
