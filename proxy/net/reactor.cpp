#include "proxy/net/reactor.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace understudy::net {

namespace {
constexpr int kBatch = 256;
constexpr std::chrono::milliseconds kStarved{100};  // law 12
constexpr std::uint64_t kMailbox = UINT64_MAX;
}  // namespace

Reactor::Reactor() : wheel_(std::chrono::steady_clock::now()), now_(std::chrono::steady_clock::now()) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) {
    const int error = errno;
    ::close(epoll_);
    throw std::system_error(error, std::generic_category(), "eventfd");
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kMailbox;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_fd_, &event);
}

Reactor::~Reactor() {
  for (Pollable* object : graveyard_) object->release();
  ::close(wake_fd_);
  ::close(epoll_);
}

int Reactor::add(int fd, Pollable& object, std::uint32_t events) {
  const auto at = static_cast<std::size_t>(fd);
  if (at >= entries_.size()) entries_.resize(std::max<std::size_t>(64, at * 2));
  Entry& entry = entries_[at];
  epoll_event event{};
  event.events = events;
  event.data.u64 = std::uint64_t{++entry.generation} << 32 | at;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return errno;
  entry.object = &object;
  object.retain();
  return 0;
}

void Reactor::remove(int fd, Pollable& object) {
  epoll_event event{};
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, &event);
  forget(fd, object);
}

void Reactor::forget(int fd, Pollable& object) {
  entries_[static_cast<std::size_t>(fd)].object = nullptr;
  graveyard_.push_back(&object);  // its reference goes at the end of the batch
}

void Reactor::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mail_mutex_);
    mail_.push_back(std::move(work));
  }
  if (!mail_pending_.exchange(true, std::memory_order_acq_rel)) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(wake_fd_, &one, sizeof one);
  }
}

// What throws is unwound to here; the worker then closes the connection that was being served. The rest of
// the batch goes on: with edge-triggered events a skipped one would never come again.
template <typename F>
void Reactor::guarded(F&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    exceptions_.fetch_add(1, std::memory_order_relaxed);
    if (on_exception) on_exception(e.what());
  }
}

void Reactor::run_mail() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto n = ::read(wake_fd_, &count, sizeof count);
  mail_pending_.store(false, std::memory_order_release);
  std::vector<std::function<void()>> mail;
  {
    const std::lock_guard lock(mail_mutex_);
    mail.swap(mail_);
  }
  for (auto& work : mail) guarded(work);
}

void Reactor::run_ready() {
  while (Ready* item = ready_.front()) {
    item->unlink();
    item->on_ready();
  }
}

void Reactor::turn() {
  std::array<epoll_event, kBatch> events;
  int timeout = -1;
  const auto next = wheel_.next();
  if (next) {
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(*next - std::chrono::steady_clock::now()).count();
    timeout = static_cast<int>(std::clamp<long long>(wait, 0, 60'000));
  }
  if (!deferred_.empty()) timeout = 0;
  const int n = ::epoll_wait(epoll_, events.data(), kBatch, timeout);
  fresh();
  ++turns_;
  last_turn_.store(now_.time_since_epoch().count(), std::memory_order_relaxed);
  starved_ = next && now_ > *next + kStarved;
  bool mail = false;
  for (int i = 0; i < n; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kMailbox) {
      mail = true;
      continue;
    }
    const Entry& entry = entries_[static_cast<std::uint32_t>(event.data.u64)];
    Pollable* const object = entry.object;
    if (object == nullptr || entry.generation != event.data.u64 >> 32) continue;  // closed meanwhile
    guarded([&] {
      object->on_events(event.events);
      run_ready();
    });
  }
  // Bytes before deadlines: an answer that came in time is seen in time, even if this thread was late.
  guarded([this] { wheel_.advance(now_); });
  if (mail) run_mail();
  // Only those deferred so far: what defers itself again waits for the next turn.
  deferred_.for_each([this](Ready& item) { ready_.push_back(item); });
  guarded([this] { run_ready(); });
}

void Reactor::run() {
  while (!stopped_) {
    turn();
    for (std::size_t i = 0; i < graveyard_.size(); ++i) graveyard_[i]->release();
    graveyard_.clear();
  }
}

}  // namespace understudy::net
