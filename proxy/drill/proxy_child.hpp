// The real proxy, in a process of its own: it can be stopped and woken, and what it does to itself it does not do to the load.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "config/scenario.hpp"
#include "health/types.hpp"
#include "proxy/drill/event_feed.hpp"

namespace understudy::drill {

class ProxyChild {
public:
  ProxyChild() = default;
  ~ProxyChild();
  ProxyChild(const ProxyChild&) = delete;
  ProxyChild& operator=(const ProxyChild&) = delete;

  // Forks: REQUIRES that this process has no other thread. `folder` is the sandbox's.
  void start(const config::Config& config, const std::string& folder);
  // Waits until it listens and every endpoint of the pool is available. Empty, or why it does not.
  std::string wait_ready(const std::string& pool, std::chrono::milliseconds within);
  std::uint16_t port() const { return port_; }
  const std::string& first_tier() const { return first_tier_; }  // that served when it was ready

  // What has happened since the last call; nothing while it does not answer.
  std::vector<ProxyEvent> take_events();
  // Types of the messages that its alerts were given since then.
  std::vector<std::string> alerts(const std::string& pool, std::chrono::system_clock::time_point since) const;
  // The incidents of a pool that began since then.
  boost::json::array incidents(const std::string& pool, std::chrono::system_clock::time_point since) const;
  // What an operator does. Empty, or why it was refused.
  std::string act(const config::ScenarioAct& act, const std::string& pool);
  void freeze(bool frozen);  // SIGSTOP, SIGCONT
  bool is_frozen() const { return frozen_; }
  // Whether it is there; else how it ended.
  bool alive(std::string& how);
  // As an operator would, then by force.
  void stop();

private:
  std::optional<std::string> get(const std::string& path);

  pid_t pid_ = -1;
  int status_ = 0;
  bool frozen_ = false;
  std::string folder_, first_tier_;
  std::uint16_t port_ = 0;
  EventFeed feed_;
};

}  // namespace understudy::drill
