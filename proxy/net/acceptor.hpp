// Accepts from one listening socket for one worker. The socket belongs to the server and is never closed here.
#pragma once

#include <string>

#include "proxy/net/reactor.hpp"

namespace understudy::net {

class Worker;

class Acceptor final : public Pollable, public Timer {
public:
  // `shared`: other workers accept from the same socket.
  Acceptor(Worker& worker, std::string name, int fd, bool tcp, bool shared)
      : worker_(worker), name_(std::move(name)), fd_(fd), tcp_(tcp), shared_(shared) {}
  bool start();
  // Takes what is queued, then listens no more.
  void stop();
  int fd() const { return fd_; }
  const std::string& name() const { return name_; }
  void rename(const std::string& name) { name_ = name; }
  // Up to 64 connections; false when the queue is empty.
  bool accept_some();

private:
  void on_events(std::uint32_t) override {
    if (listening_) accept_some();
  }
  void on_timer(TimePoint now) override;
  void pause();

  Worker& worker_;
  std::string name_;
  int fd_;
  bool tcp_;
  bool shared_;
  bool listening_ = false;
  bool paused_ = false;
};

}  // namespace understudy::net
