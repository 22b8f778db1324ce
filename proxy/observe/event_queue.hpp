// Where spdlog's logger puts an event: a bounded queue that the file thread empties. (spdlog's own
// asynchronous queue is not used: it can make the caller wait.)
#pragma once

#include <spdlog/common.h>
#include <spdlog/sinks/sink.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace understudy::observe {

struct QueuedEvent {
  spdlog::log_clock::time_point at;
  spdlog::level::level_enum level{};
  std::string message;
};

class EventQueue final : public spdlog::sinks::sink {
public:
  // Bounded by lines and by a kibibyte per line on average. `wake` is called after a push and must not block.
  EventQueue(std::size_t max_lines, std::function<void()> wake) : max_lines_(max_lines), wake_(std::move(wake)) {}

  // Any thread. The lock is held for one push or one swap, never while anything is written.
  void log(const spdlog::details::log_msg& message) override;
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

  // File thread: everything queued, in order; `taken` is replaced.
  void take(std::vector<QueuedEvent>& taken);
  bool empty() const { return size_.load(std::memory_order_acquire) == 0; }
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

private:
  const std::size_t max_lines_;
  const std::function<void()> wake_;
  std::mutex mutex_;
  std::vector<QueuedEvent> lines_;
  std::size_t bytes_ = 0;
  std::atomic<std::size_t> size_{0};
  std::atomic<std::uint64_t> dropped_{0};
};

// Turns events into lines: "2026-11-22T02:14:05.123Z info  message". One thread only.
class EventFormat {
public:
  // With priorities each line begins with "<N>", as journald reads it.
  explicit EventFormat(bool priorities);
  ~EventFormat();
  // Appends one line, newline included; nothing in the message can break it. Identical lines that follow each
  // other within a second are counted instead of written.
  void append(const QueuedEvent& event, std::string& out);
  // Writes "last message repeated N times" once its second is over (or `anyway`).
  void settle(spdlog::log_clock::time_point now, bool anyway, std::string& out);
  bool folding() const { return repeats_ > 0; }

private:
  void append_line(spdlog::log_clock::time_point at, spdlog::level::level_enum level, const std::string& message,
                   std::string& out);
  bool priorities_;
  std::unique_ptr<spdlog::formatter> formatter_;
  QueuedEvent last_;
  std::uint64_t repeats_ = 0;
};

}  // namespace understudy::observe
