// The real proxy, in a process of its own: it can be stopped and woken, and what it does to itself it does not do to the load.
// After a binary upgrade that is the process which has taken over.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "config/scenario.hpp"
#include "health/types.hpp"
#include "proxy/drill/event_feed.hpp"
#include "proxy/drill/leash.hpp"

namespace understudy::drill {

class ProxyChild {
public:
  ProxyChild() = default;
  ~ProxyChild();
  ProxyChild(const ProxyChild&) = delete;
  ProxyChild& operator=(const ProxyChild&) = delete;

  // Forks: REQUIRES that this process has no other thread. `folder` is the sandbox's. One that can be replaced (act `upgrade`)
  // is this program anew, which reads the configuration from a file in there. Throws std::runtime_error.
  void start(const config::Config& config, const std::string& folder, bool replaceable);
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
  // Whether it is there; else how it ended. One that was replaced has to end well too, though nobody waits for it.
  bool alive(std::string& how);
  // An upgrade was ordered, and nothing has come of it yet. It does while take_events() is called.
  bool is_upgrading() const { return upgrade_until_.has_value(); }
  struct Upgraded {
    pid_t from = -1, to = -1;
    std::string why;  // none took over; empty: it did
  };
  // What has come of upgrades since the last call. `is_over`: what is still under way has failed.
  std::vector<Upgraded> take_upgrades(bool is_over);
  // As an operator would, then by force.
  void stop();

private:
  std::optional<std::string> get(const std::string& path);
  std::string begin_upgrade();
  void follow();
  void each(const std::function<void(pid_t)>& call) const;  // that may be there

  std::optional<Leash> leash_;
  pid_t pid_ = -1;               // that serves; none, between one that has ended and one that was not heard of yet
  std::vector<pid_t> replaced_;  // still there: they finish what they have
  std::set<pid_t> known_;        // that have served
  std::optional<std::chrono::steady_clock::time_point> upgrade_until_;
  std::vector<Upgraded> upgrades_;
  bool frozen_ = false;
  std::string folder_, first_tier_;
  std::uint16_t port_ = 0;
  EventFeed feed_;
};

}  // namespace understudy::drill
