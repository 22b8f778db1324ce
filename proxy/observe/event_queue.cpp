#include "proxy/observe/event_queue.hpp"

#include <spdlog/pattern_formatter.h>

#include <chrono>

#include "proxy/observe/escape.hpp"

namespace understudy::observe {
namespace {

constexpr auto kFoldFor = std::chrono::seconds(1);

// Our names of the levels, padded so that messages begin in one column.
class LevelWord final : public spdlog::custom_flag_formatter {
public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    const std::string_view word = word_of(message.level);
    out.append(word.data(), word.data() + word.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override { return std::make_unique<LevelWord>(); }

private:
  static std::string_view word_of(spdlog::level::level_enum level) {
    switch (level) {
      case spdlog::level::trace: return "trace";
      case spdlog::level::debug: return "debug";
      case spdlog::level::info: return "info ";
      case spdlog::level::warn: return "warn ";
      default: return "error";
    }
  }
};

// sd-daemon(3): the priorities of syslog.
std::string_view priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug: return "<7>";
    case spdlog::level::info: return "<6>";
    case spdlog::level::warn: return "<4>";
    default: return "<3>";
  }
}

}  // namespace

void EventQueue::log(const spdlog::details::log_msg& message) {
  QueuedEvent event{message.time, message.level, std::string(message.payload.data(), message.payload.size())};
  {
    const std::lock_guard lock(mutex_);
    if (lines_.size() >= max_lines_ || bytes_ + event.message.size() > max_lines_ * 1024) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    bytes_ += event.message.size();
    lines_.push_back(std::move(event));
    size_.store(lines_.size(), std::memory_order_release);
  }
  wake_();
}

void EventQueue::take(std::vector<QueuedEvent>& taken) {
  taken.clear();
  const std::lock_guard lock(mutex_);
  taken.swap(lines_);
  bytes_ = 0;
  size_.store(0, std::memory_order_release);
}

EventFormat::EventFormat(bool priorities) : priorities_(priorities) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc, "\n");
  formatter->add_flag<LevelWord>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %* %v");
  formatter_ = std::move(formatter);
}

EventFormat::~EventFormat() = default;

void EventFormat::append_line(spdlog::log_clock::time_point at, spdlog::level::level_enum level,
                              const std::string& message, std::string& out) {
  std::string safe;
  append_event_text(safe, message);
  if (priorities_) out += priority_of(level);
  spdlog::memory_buf_t line;
  formatter_->format(spdlog::details::log_msg(at, {}, {}, level, safe), line);
  out.append(line.data(), line.size());
}

void EventFormat::append(const QueuedEvent& event, std::string& out) {
  const bool same = !last_.message.empty() && event.level == last_.level && event.message == last_.message;
  if (same && event.at - last_.at < kFoldFor) {
    ++repeats_;
    return;
  }
  settle(event.at, true, out);
  append_line(event.at, event.level, event.message, out);
  last_ = event;
}

void EventFormat::settle(spdlog::log_clock::time_point now, bool anyway, std::string& out) {
  if (repeats_ == 0 || (!anyway && now - last_.at < kFoldFor)) return;
  append_line(now, last_.level,
              "last message repeated " + std::to_string(repeats_) + (repeats_ == 1 ? " time" : " times"), out);
  repeats_ = 0;
  last_ = {};
}

}  // namespace understudy::observe
