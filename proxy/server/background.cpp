#include "proxy/server/background.hpp"

#include <pthread.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace understudy::server {

namespace {
constexpr std::chrono::seconds kLeaveAfter{1};
}

// Shared with the thread: when a hung disk keeps the thread from ending, it lives on with the thread.
struct Background::State {
  explicit State(boost::asio::io_context& context) : io(&context) {}

  std::mutex mutex;
  std::condition_variable changed;
  boost::asio::io_context* io;  // null once the owner has gone
  struct Piece {
    std::function<void()> work, done;
  };
  std::deque<Piece> pieces;
  bool ended = false;

  // Control thread only.
  std::thread thread;
  std::size_t pending = 0;

  static void loop(const std::shared_ptr<State>& self) {
    std::unique_lock lock(self->mutex);
    for (;;) {
      self->changed.wait(lock, [&] { return !self->pieces.empty() || self->io == nullptr; });
      if (self->io == nullptr) break;
      Piece piece = std::move(self->pieces.front());
      self->pieces.pop_front();
      lock.unlock();
      piece.work();
      piece.work = nullptr;  // what it held goes here, not under the lock
      lock.lock();
      if (self->io == nullptr) break;
      boost::asio::post(*self->io, [self, done = std::move(piece.done)] {
        --self->pending;
        done();
      });
    }
    self->ended = true;
    self->changed.notify_all();
  }
};

Background::Background(boost::asio::io_context& io) : state_(std::make_shared<State>(io)) {}

Background::~Background() {
  if (!state_->thread.joinable()) return;
  bool ended = false;
  {
    std::unique_lock lock(state_->mutex);
    state_->io = nullptr;
    state_->changed.notify_all();
    ended = state_->changed.wait_for(lock, kLeaveAfter, [this] { return state_->ended; });
  }
  if (ended)
    state_->thread.join();
  else
    state_->thread.detach();
}

std::size_t Background::pending() const { return state_->pending; }

void Background::run(std::function<void()> work, std::function<void()> done) {
  if (!state_->thread.joinable()) {
    sigset_t all, before;  // signals are the control thread's
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      state_->thread = std::thread([state = state_] { State::loop(state); });
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_setname_np(state_->thread.native_handle(), "us-reload");
  }
  ++state_->pending;
  {
    const std::lock_guard lock(state_->mutex);
    state_->pieces.push_back({std::move(work), std::move(done)});
  }
  state_->changed.notify_all();
}

}  // namespace understudy::server
