#include "proxy/server/service_manager.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace understudy::server {

namespace {
constexpr std::size_t kKept = 64;

std::uint64_t number_in(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 0;
}
}  // namespace

ServiceManager::ServiceManager() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  const std::size_t size = std::strlen(path);
  if (size < 2 || size >= sizeof address_.sun_path) return;
  address_.sun_family = AF_UNIX;
  std::memcpy(address_.sun_path, path, size);
  if (path[0] == '@') address_.sun_path[0] = '\0';
  length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size + (path[0] == '@' ? 0 : 1));
  fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const std::uint64_t pid = number_in("WATCHDOG_PID");
  if (pid == 0 || pid == static_cast<std::uint64_t>(::getpid()))
    watchdog_ = std::chrono::microseconds(number_in("WATCHDOG_USEC") / 2);
}

ServiceManager::~ServiceManager() {
  if (fd_ >= 0) ::close(fd_);
}

bool ServiceManager::send(const std::string& message) const {
  const auto sent = ::sendto(fd_, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                             reinterpret_cast<const sockaddr*>(&address_), length_);
  // Only a full queue is worth another try; a manager that has gone hears nothing.
  return sent >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS);
}

void ServiceManager::say(std::string message) {
  if (fd_ < 0 || retired_) return;
  if (kept_.empty() && send(message)) return;
  if (kept_.size() >= kKept) kept_.pop_front();
  kept_.push_back(std::move(message));
}

void ServiceManager::status(const std::string& text) {
  if (fd_ < 0 || text == last_status_) return;
  last_status_ = text;
  say("STATUS=" + text);
}

void ServiceManager::tick(std::chrono::steady_clock::time_point now,
                          const std::vector<std::unique_ptr<net::Worker>>& workers) {
  if (fd_ < 0) return;
  while (!kept_.empty() && send(kept_.front())) kept_.pop_front();
  if (watchdog_.count() > 0 && now >= next_feed_) feed(now, workers);
}

// Half an interval after they were asked, all workers must have come round; a wedged one leaves the watchdog hungry.
void ServiceManager::feed(std::chrono::steady_clock::time_point now,
                          const std::vector<std::unique_ptr<net::Worker>>& workers) {
  next_feed_ = now + watchdog_;
  if (!answered_) answered_ = std::make_shared<std::vector<std::atomic<std::uint64_t>>>(workers.size());
  for (const auto& last : *answered_)
    if (last.load(std::memory_order_acquire) != round_) return;
  say("WATCHDOG=1");
  ++round_;
  for (std::size_t i = 0; i < workers.size(); ++i)
    workers[i]->post(
        [answered = answered_, i, round = round_] { (*answered)[i].store(round, std::memory_order_release); });
}

}  // namespace understudy::server
