// A binary upgrade: the running process starts the program that now stands where its own did, and hands over what only one can
// have. Nothing is let go before the other says that it can serve, so a new program that cannot start changes nothing.
//
//   old ── state written, fork, exec with the listening sockets, the lock of state_dir, the state and a line to us ──► new
//   old ◄── "ready" on the line, once its endpoints have their first verdicts ──────────────────────────── new
//   old: names the new one to the service manager, accepts no more, drains at the configured pace
//
// What is text is passed in anonymous memory of which the new process gets the descriptor: it has a bound of its own, waits for no
// disk, and nobody reads it in the environment or among the arguments.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace understudy::server {

// A socket that is passed on under a listener's name. A listener may have several.
struct Passed {
  std::string name;
  int fd = -1;
};

// The keys of TLS session tickets on their way from one process to the next. Wipes itself.
class TicketSecret {
public:
  TicketSecret() = default;
  // `age`: since they were last rotated, so that many upgrades do not put that off.
  TicketSecret(std::string keys, std::chrono::milliseconds age);
  ~TicketSecret() { wipe(); }
  TicketSecret(TicketSecret&& other) noexcept;
  TicketSecret& operator=(TicketSecret&& other) noexcept;

  const std::string& keys() const { return keys_; }  // "": none
  std::chrono::milliseconds age() const { return age_; }
  std::string text() const;                          // for from_text(), in another process; wipe it
  static TicketSecret from_text(std::string& text);  // which is wiped
  static void wipe(std::string& text);

private:
  void wipe() { wipe(keys_); }
  std::string keys_;
  std::chrono::milliseconds age_{};
};

// What this process was given by the one before it. Closes what nobody takes.
class Inheritance {
public:
  Inheritance() = default;
  ~Inheritance();
  Inheritance(const Inheritance&) = delete;
  Inheritance& operator=(const Inheritance&) = delete;

  // Reads the environment, and takes it out of there. Call it once, before any thread runs.
  void read();
  bool any() const { return line_ >= 0; }
  std::vector<Passed> take_listening() { return std::move(listening_); }
  // The lock of state_dir; -1 if there was none.
  int take_lock() { return std::exchange(lock_, -1); }
  // The admin socket, if it is this one; -1.
  int take_admin(const std::string& where);
  // What it decided and was ordered until it started this one; nothing from a version that did not pass it.
  std::optional<std::string> take_state() { return std::exchange(state_, std::nullopt); }
  // Empty from a version that did not pass them.
  TicketSecret take_tickets() { return std::move(tickets_); }
  // To the one before: it may go.
  void say_ready();

private:
  std::vector<Passed> listening_;
  std::optional<std::string> state_;
  TicketSecret tickets_;
  std::string admin_where_;
  int admin_ = -1, lock_ = -1, line_ = -1;
};

// The new program, from its start until it is ready or has failed.
class Successor {
public:
  struct Estate {
    std::vector<Passed> listening;
    std::string admin_where;
    int admin = -1, lock = -1;
    std::string state;  // as in state_dir
    TicketSecret tickets;
  };
  // `why` is empty when it is ready; else it has ended. Called once, from the loop of `io`.
  using Done = std::function<void(const std::string& why)>;

  // Starts `program` with this process's own arguments. Throws std::system_error.
  Successor(boost::asio::io_context& io, const std::string& program, const Estate& estate, Done done);
  ~Successor();
  Successor(const Successor&) = delete;
  Successor& operator=(const Successor&) = delete;
  pid_t pid() const;

private:
  struct State;
  std::shared_ptr<State> state_;
};

// A descriptor of anonymous memory that holds `text`. Throws std::system_error.
int in_memory(std::string_view text);
// What it holds; nothing when it is no such descriptor or holds more than 64 MiB. Closes it.
std::optional<std::string> out_of_memory_file(int fd);

// Where this process's program stands; "" unknown. Ask at the start: later another file may stand there.
std::string own_program();

}  // namespace understudy::server
