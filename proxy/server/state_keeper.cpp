#include "proxy/server/state_keeper.hpp"

#include <boost/asio/post.hpp>
#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "proxy/observe/log.hpp"

namespace understudy::server {

// Between the two threads.
struct StateKeeper::Shared {
  std::mutex mutex;
  boost::asio::io_context* io = nullptr;  // null: nobody is there to hear
  StateKeeper* keeper = nullptr;          // control thread
  std::uint64_t newest = 0;               // that was written; the other thread
};

StateKeeper::StateKeeper(boost::asio::io_context& io, std::string file, Hooks hooks)
    : io_(io),
      file_(std::move(file)),
      hooks_(std::move(hooks)),
      shared_(std::make_shared<Shared>()),
      timer_(io),
      answer_timer_(io),
      last_(std::chrono::steady_clock::now()) {
  shared_->io = &io;
  shared_->keeper = this;
}

StateKeeper::~StateKeeper() {
  const std::lock_guard lock(shared_->mutex);
  shared_->io = nullptr;
  shared_->keeper = nullptr;
}

void StateKeeper::soon() {
  if (pending_ || !hooks_.ours()) return;
  arm(failing_ ? std::max<std::chrono::milliseconds>(retry_, kSoon) : kSoon);
}

void StateKeeper::arm(std::chrono::milliseconds after) {
  pending_ = true;
  timer_.expires_after(after);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    pending_ = false;
    if (hooks_.ours() && !write("state", nullptr)) soon();
  });
}

void StateKeeper::at_once(std::function<void(bool)> done) {
  if (!hooks_.ours()) return done(true);
  if (!write("state", nullptr)) {
    soon();
    boost::asio::post(io_, [done = std::move(done)] { done(false); });
    return;
  }
  if (!failing_ && std::exchange(pending_, false)) timer_.cancel();  // nothing is left to be written
  waiting_.push_back({version_, std::chrono::steady_clock::now() + kAnswer, std::move(done)});
  if (waiting_.size() == 1) await();
}

bool StateKeeper::write(const std::string& key, std::function<void()> told) {
  last_ = std::chrono::steady_clock::now();
  const std::uint64_t version = ++version_;
  return hooks_.later(key, [shared = shared_, file = file_, text = hooks_.text(), version, told = std::move(told)] {
    std::string failed;
    // Two keys are two places in the queue: what is older must not replace what is newer.
    if (shared->newest < version) failed = observe::write_file_atomically(file, text, 0600);
    if (failed.empty()) shared->newest = std::max(shared->newest, version);
    {
      const std::lock_guard lock(shared->mutex);
      if (shared->io != nullptr) {
        boost::asio::post(*shared->io, [shared, version, well = failed.empty()] {
          if (shared->keeper != nullptr) shared->keeper->written(version, well);
        });
      }
    }
    if (told) told();
    if (!failed.empty()) throw std::runtime_error("the state is not kept: " + failed);
  });
}

void StateKeeper::tick(std::chrono::steady_clock::time_point now) {
  if (now - last_ < kEvery) return;
  last_ = now;
  soon();
}

void StateKeeper::written(std::uint64_t version, bool well) {
  if (well) {
    if (std::exchange(failing_, false)) hooks_.log("the state is kept again");
    retry_ = kRetry;
  } else if (version == version_) {  // else a newer one is under way
    failing_ = true;
    arm(std::exchange(retry_, std::min<std::chrono::milliseconds>(2 * retry_, kRetryMost)));
  }
  answer(version, well);
}

void StateKeeper::answer(std::uint64_t version, bool kept) {
  while (!waiting_.empty() && waiting_.front().version <= version) {
    const Waiting first = std::move(waiting_.front());
    waiting_.pop_front();
    first.done(kept);
  }
}

void StateKeeper::await() {
  answer_timer_.expires_at(waiting_.front().until);
  answer_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const auto now = std::chrono::steady_clock::now();
    while (!waiting_.empty() && waiting_.front().until <= now) answer(waiting_.front().version, false);
    if (!waiting_.empty()) await();
  });
}

}  // namespace understudy::server
