// When the state is written: soon after an event, at once for an operator's order, every few minutes for what was learned
// meanwhile, and again when it failed. Publish, then persist: a move never waits for the disk.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

namespace understudy::server {

// Control thread only; the writing itself is done where Hooks::later runs it. What is still being written when this is
// destroyed is written to its end and reported to nobody.
class StateKeeper {
public:
  static constexpr std::chrono::milliseconds kSoon{200};
  static constexpr std::chrono::seconds kAnswer{1};                // who waits for the disk waits no longer
  static constexpr std::chrono::seconds kRetry{1}, kRetryMost{5};  // after a write that failed, doubling
  static constexpr std::chrono::minutes kEvery{5};                 // baselines make no event

  struct Hooks {
    std::function<bool()> ours;         // is there anything to keep, and is it ours to decide?
    std::function<std::string()> text;  // of the file, as of now
    // Runs work on another thread, in order; false when it cannot be taken. A newer one with the key replaces one that has
    // not begun. What work throws is told there.
    std::function<bool(std::string key, std::function<void()> work)> later;
    std::function<void(const std::string&)> log;
  };
  StateKeeper(boost::asio::io_context& io, std::string file, Hooks hooks);
  ~StateKeeper();
  StateKeeper(const StateKeeper&) = delete;
  StateKeeper& operator=(const StateKeeper&) = delete;

  // Within kSoon, together with what else happens until then.
  void soon();
  // At once. `done(kept)` is called from the io_context when it is written, or with false when it failed or takes longer than
  // kAnswer; from inside, with true, when there is nothing to keep.
  void at_once(std::function<void(bool kept)> done);
  // Under a key of its own; `written` is called on the other thread, also when it failed. False when it cannot be taken.
  bool write(const std::string& key, std::function<void()> written);
  // As often as one likes.
  void tick(std::chrono::steady_clock::time_point now);

private:
  struct Shared;
  struct Waiting {
    std::uint64_t version;
    std::chrono::steady_clock::time_point until;
    std::function<void(bool)> done;
  };
  void arm(std::chrono::milliseconds after);
  void written(std::uint64_t version, bool well);
  void answer(std::uint64_t version, bool kept);
  void await();

  boost::asio::io_context& io_;
  std::string file_;
  Hooks hooks_;
  std::shared_ptr<Shared> shared_;
  boost::asio::steady_timer timer_, answer_timer_;
  bool pending_ = false;
  std::uint64_t version_ = 0;  // of the newest state that was given away to be written
  std::chrono::milliseconds retry_{kRetry};
  bool failing_ = false;
  std::chrono::steady_clock::time_point last_{};
  std::deque<Waiting> waiting_;  // by version, and so by time
};

}  // namespace understudy::server
