// Nobody waits for the file thread: rings and queues in front of it are bounded, and what does not fit is
// counted. It waits on one eventfd (events and tasks), on stuck targets becoming writable, and looks at the
// rings every 20 ms, because workers never make a system call for a record.
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/logger.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "proxy/observe/event_queue.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/observe/log_target.hpp"

namespace understudy::observe {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto kRingPoll = milliseconds(20);
constexpr auto kReportEvery = std::chrono::minutes(1);
constexpr auto kStopWithin = milliseconds(1000);   // what the destructor waits
constexpr auto kFinishWithin = milliseconds(800);  // what the thread takes of it to empty the queues
constexpr std::size_t kTasksMax = 1024;
constexpr std::size_t kEventBytesMax = 16 * 1024;  // one message
constexpr std::size_t kRecordsPerRing = 64;        // taken from one ring before the next has its turn
constexpr int kRoundsPerTurn = 64;                 // before events and tasks have their turn

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::trace: return spdlog::level::trace;
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

class Eventfd {
public:
  Eventfd() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd for the file thread");
  }
  ~Eventfd() { ::close(fd_); }
  Eventfd(const Eventfd&) = delete;
  Eventfd& operator=(const Eventfd&) = delete;
  void raise() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto done = ::write(fd_, &one, sizeof one);
  }
  void clear() const {
    std::uint64_t value = 0;
    [[maybe_unused]] const auto done = ::read(fd_, &value, sizeof value);
  }
  int fd() const { return fd_; }

private:
  int fd_;
};

struct Task {
  std::string key;
  std::function<void()> work;
};

// Writes handed to the thread, in order; at most one per key waits ("" is no key).
class TaskQueue {
public:
  bool push(std::string key, std::function<void()> work) {
    std::function<void()> replaced;  // destroyed outside the lock: it may own much
    const std::lock_guard lock(mutex_);
    const auto same =
        key.empty() ? tasks_.end()
                    : std::find_if(tasks_.begin(), tasks_.end(), [&](const Task& task) { return task.key == key; });
    if (same != tasks_.end()) {
      replaced = std::exchange(same->work, std::move(work));
      return true;
    }
    if (tasks_.size() >= kTasksMax) return false;
    tasks_.push_back({std::move(key), std::move(work)});
    return true;
  }
  std::optional<Task> pop() {
    const std::lock_guard lock(mutex_);
    if (tasks_.empty()) return std::nullopt;
    std::optional<Task> first(std::move(tasks_.front()));
    tasks_.pop_front();
    return first;
  }
  bool empty() const {
    const std::lock_guard lock(mutex_);
    return tasks_.empty();
  }

private:
  mutable std::mutex mutex_;
  std::deque<Task> tasks_;
};

// What was last said about one thing, so that it is said once a minute.
struct Report {
  std::optional<Clock::time_point> at;
  std::uint64_t count = 0;
  bool due(Clock::time_point now) const { return !at || now - *at >= kReportEvery; }
};

// A name is all that must go when queries are not to be logged; the rest of the record stays.
template <std::size_t N>
void cut_query(FixedText<N>& text) {
  const std::size_t mark = text.view().find('?');
  if (mark == std::string_view::npos) return;
  text.size = static_cast<std::uint16_t>(mark);
  text.cut = false;
}

bool under_journald() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  return stream != nullptr && *stream != '\0';
}

}  // namespace

// Shared by the owner and the thread: if a hung disk keeps the thread from ending, it lives on with the
// thread.
struct FileThread::State {
  struct Core;
  std::shared_ptr<Core> core;
  std::thread thread;
};

struct FileThread::State::Core {
  explicit Core(Options given);

  // Any thread.
  void wake() {
    if (!wake_pending.exchange(true, std::memory_order_acq_rel)) wake_up.raise();
  }

  // File thread.
  void run();
  void wait();
  Clock::duration patience(Clock::time_point now) const;
  void reopen_all();
  void write_events();
  void run_tasks();
  void write_access();
  bool drain_rings_once();
  void put_out(LogTarget& target);
  void flush(LogTarget& target, Report& report);
  Report& access_report() { return access_target == event_target ? event_failure : access_failure; }
  void report_drops(Clock::time_point now);
  bool say(Level level, const std::string& text, const LogTarget* about);
  bool finished() const;

  Options options;
  Eventfd wake_up, ended;
  std::atomic<bool> wake_pending{false}, stopping{false}, reopen_wanted{false};
  std::atomic<std::uint64_t> errors{0};
  std::vector<std::unique_ptr<AccessRing>> rings;
  std::shared_ptr<EventQueue> events;
  std::unique_ptr<spdlog::logger> logger;
  TaskQueue tasks;

  // Only the file thread touches these after the start.
  std::shared_ptr<LogTarget> event_target, access_target;  // may be one and the same; no access target: off
  std::unique_ptr<LogTarget> console;  // for what the event log can't take; null without standard error
  EventFormat event_format, console_format;
  std::vector<QueuedEvent> taken;
  bool more_records = false;
  Report event_failure, access_failure, console_failure, access_drops, event_drops;
};

FileThread::State::Core::Core(Options given)
    : options(std::move(given)),
      event_format(under_journald() && (options.log.path.empty() || options.log.path == "/dev/stderr")),
      console_format(under_journald()) {
  const config::LogConfig& log = options.log;
  event_target = std::make_shared<LogTarget>(log.path, "event log");
  if (log.access_format != config::AccessFormat::off) {
    access_target =
        log.access_path == log.path ? event_target : std::make_shared<LogTarget>(log.access_path, "access log");
    for (unsigned i = 0; i < options.workers; ++i) rings.push_back(std::make_unique<AccessRing>(options.ring_records));
  }
  if (!event_target->is_standard_error()) {
    try {
      console = std::make_unique<LogTarget>("", "console");
    } catch (const std::runtime_error&) {
      console = nullptr;  // no standard error: the event log alone has to do
    }
  }
  events = std::make_shared<EventQueue>(options.queue_lines, [this] { wake(); });
  logger = std::make_unique<spdlog::logger>("understudy", events);
  logger->set_level(spdlog_level(static_cast<Level>(log.level)));
}

void FileThread::State::Core::run() {
  std::optional<Clock::time_point> deadline;
  for (;;) {
    wait();
    wake_up.clear();
    wake_pending.exchange(false, std::memory_order_acq_rel);
    // Read before the queues: what was queued before the stop is written.
    if (!deadline && stopping.load(std::memory_order_acquire)) {
      deadline = Clock::now() + kFinishWithin;
      event_target->retry_now();
      if (access_target) access_target->retry_now();
    }
    if (reopen_wanted.exchange(false, std::memory_order_acq_rel)) reopen_all();
    write_events();
    run_tasks();
    write_access();
    report_drops(Clock::now());
    if (deadline && (finished() || Clock::now() >= *deadline)) break;
  }
  ended.raise();
}

// How long nothing needs to be looked at unless something wakes the thread.
Clock::duration FileThread::State::Core::patience(Clock::time_point now) const {
  if (more_records) return Clock::duration::zero();
  if (!rings.empty() || stopping.load(std::memory_order_relaxed)) return kRingPoll;
  Clock::duration time = kReportEvery;
  if (event_format.folding()) time = std::chrono::milliseconds(1100);
  if (event_target->failed())
    time = std::min(time, std::max(event_target->retry_at() - now, Clock::duration(kRingPoll)));
  return time;
}

void FileThread::State::Core::wait() {
  std::array<pollfd, 4> fds{};
  nfds_t count = 0;
  fds[count++] = {wake_up.fd(), POLLIN, 0};
  for (const LogTarget* target : {event_target.get(), access_target.get(), console.get()}) {
    if (target != nullptr && target->blocked() && !target->failed()) fds[count++] = {target->fd(), POLLOUT, 0};
  }
  const auto time = std::chrono::ceil<milliseconds>(patience(Clock::now()));
  ::poll(fds.data(), count, static_cast<int>(time.count()));
}

void FileThread::State::Core::reopen_all() {
  for (LogTarget* target : {event_target.get(), access_target.get()}) {
    if (target == nullptr || (target == access_target.get() && access_target == event_target)) continue;
    put_out(*target);
    if (const std::string why = target->reopen(); !why.empty()) {
      errors.fetch_add(1, std::memory_order_relaxed);
      say(Level::error, "cannot reopen the " + target->description() + ": " + why + "; the old file stays in use",
          nullptr);
    }
  }
}

void FileThread::State::Core::put_out(LogTarget& target) {
  const std::uint64_t before = target.failures();
  target.flush(Clock::now());
  errors.fetch_add(target.failures() - before, std::memory_order_relaxed);
}

// Writes what waits, and says once a minute when that fails, and once when it works again.
void FileThread::State::Core::flush(LogTarget& target, Report& report) {
  const bool was_failed = target.failed();
  put_out(target);
  if (target.failed()) {
    if (const Clock::time_point now = Clock::now(); report.due(now)) {
      say(Level::error,
          "cannot write the " + target.description() + ": " + std::generic_category().message(target.error()) +
              "; trying again every second, lines that do not fit meanwhile are dropped and counted",
          &target);
      report.at = now;
    }
  } else if (was_failed) {
    say(Level::info, "the " + target.description() + " can be written again", nullptr);
    report.at.reset();
  }
}

void FileThread::State::Core::write_events() {
  if (!event_target->full()) {
    if (!events->empty()) {
      events->take(taken);
      for (const QueuedEvent& event : taken) event_format.append(event, event_target->lines());
    }
    event_format.settle(spdlog::log_clock::now(), stopping.load(std::memory_order_relaxed), event_target->lines());
  }
  flush(*event_target, event_failure);
  if (console) flush(*console, console_failure);
}

void FileThread::State::Core::run_tasks() {
  for (int i = 0; i < kRoundsPerTurn; ++i) {
    std::optional<Task> task = tasks.pop();
    if (!task) return;
    try {
      task->work();
    } catch (const std::exception& failure) {
      errors.fetch_add(1, std::memory_order_relaxed);
      say(Level::error, "writing '" + task->key + "' failed: " + failure.what(), nullptr);
    } catch (...) {
      errors.fetch_add(1, std::memory_order_relaxed);
      say(Level::error, "writing '" + task->key + "' failed", nullptr);
    }
  }
  wake();  // more are waiting; the logs have their turn first
}

// One round over the rings; false when all of them were empty or the target takes no more.
bool FileThread::State::Core::drain_rings_once() {
  bool any = false;
  for (const auto& ring : rings) {
    for (std::size_t i = 0; i < kRecordsPerRing && !access_target->full(); ++i) {
      const AccessRecord* record = ring->front();
      if (record == nullptr) break;
      if (!options.log.query) {
        auto& own = const_cast<AccessRecord&>(*record);  // the slot is the consumer's until pop()
        cut_query(own.path);
        cut_query(own.referer);
      }
      if (options.log.access_format == config::AccessFormat::json) {
        format_json(*record, access_target->lines());
      } else {
        format_combined(*record, access_target->lines());
      }
      ring->pop();
      any = true;
    }
  }
  return any;
}

void FileThread::State::Core::write_access() {
  more_records = false;
  if (!access_target) return;
  for (int round = 0; round < kRoundsPerTurn; ++round) {
    more_records = drain_rings_once();
    if (!more_records) break;
    if (access_target->full()) flush(*access_target, access_report());
    if (access_target->full()) {
      more_records = false;  // stuck: the rings fill and count what they drop
      break;
    }
  }
  if (access_target != event_target || !access_target->empty()) flush(*access_target, access_report());
}

// Into the event log, unless it is the very thing that `about` complains of, and to standard error where that
// is another.
bool FileThread::State::Core::say(Level level, const std::string& text, const LogTarget* about) {
  const QueuedEvent event{spdlog::log_clock::now(), spdlog_level(level), text};
  bool said = false;
  if (event_target.get() != about && !event_target->full()) {
    event_format.append(event, event_target->lines());
    put_out(*event_target);
    said = true;
  }
  if (console && console.get() != about && !console->full()) {
    console_format.append(event, console->lines());
    put_out(*console);
    said = true;
  }
  return said;
}

void FileThread::State::Core::report_drops(Clock::time_point now) {
  const auto report = [&](Report& last, std::uint64_t total, const LogTarget& target, std::string_view things) {
    if (total == last.count || !last.due(now)) return;
    const std::string text = std::to_string(total - last.count) + " " + std::string(things) + " dropped: the " +
                             target.description() + " does not take them as fast as they come";
    if (!say(Level::warn, text, target.blocked() || target.failed() ? &target : nullptr)) return;
    last.count = total;
    last.at = now;
  };
  std::uint64_t records = 0;
  for (const auto& ring : rings) records += ring->dropped();
  if (access_target) report(access_drops, records, *access_target, "access records");
  report(event_drops, events->dropped(), *event_target, "events");
}

bool FileThread::State::Core::finished() const {
  const auto given_up = [](const LogTarget& target) { return target.empty() || target.failed(); };
  const bool events_done = (events->empty() && event_target->empty()) || event_target->failed();
  if (!events_done || !tasks.empty()) return false;
  if (!access_target) return true;
  const bool rings_empty =
      std::all_of(rings.begin(), rings.end(), [](const auto& ring) { return ring->front() == nullptr; });
  return given_up(*access_target) && (rings_empty || access_target->failed());
}

// ---- the owner's side ----

FileThread::FileThread(Options options) : state_(std::make_unique<State>()) {
  state_->core = std::make_shared<State::Core>(std::move(options));
  // Signals belong to the control thread; and a closed pipe is an error here, never a signal.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    state_->thread = std::thread([core = state_->core] { core->run(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(state_->thread.native_handle(), "us-files");
}

FileThread::~FileThread() {
  State::Core& core = *state_->core;
  core.stopping.store(true, std::memory_order_release);
  core.wake_up.raise();
  const Clock::time_point deadline = Clock::now() + kStopWithin;
  pollfd ended{core.ended.fd(), POLLIN, 0};
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    const int ready = ::poll(&ended, 1, static_cast<int>(std::max<milliseconds::rep>(left.count(), 0)));
    if (ready > 0) {
      state_->thread.join();
      return;
    }
    if (ready == 0 || errno != EINTR) break;
  }
  state_->thread.detach();  // held by a hung disk; what it uses lives on with it
}

AccessRing* FileThread::ring(unsigned worker) {
  auto& rings = state_->core->rings;
  return worker < rings.size() ? rings[worker].get() : nullptr;
}

void FileThread::event(Level level, std::string_view message) {
  spdlog::logger& logger = *state_->core->logger;
  const auto wanted = spdlog_level(level);
  if (!logger.should_log(wanted)) return;
  if (message.size() <= kEventBytesMax) {
    logger.log(wanted, spdlog::string_view_t(message.data(), message.size()));
    return;
  }
  const std::string shortened = std::string(message.substr(0, kEventBytesMax)) + "...";
  logger.log(wanted, spdlog::string_view_t(shortened));
}

bool FileThread::write_later(std::string key, std::function<void()> work) {
  if (!state_->core->tasks.push(std::move(key), std::move(work))) return false;
  state_->core->wake();
  return true;
}

void FileThread::reopen() {
  state_->core->reopen_wanted.store(true, std::memory_order_release);
  state_->core->wake();
}

void FileThread::set_level(Level level) { state_->core->logger->set_level(spdlog_level(level)); }

bool FileThread::enabled(Level level) const { return state_->core->logger->should_log(spdlog_level(level)); }

std::uint64_t FileThread::access_dropped() const {
  std::uint64_t total = 0;
  for (const auto& ring : state_->core->rings) total += ring->dropped();
  return total;
}

std::uint64_t FileThread::events_dropped() const { return state_->core->events->dropped(); }

std::uint64_t FileThread::write_errors() const { return state_->core->errors.load(std::memory_order_relaxed); }

}  // namespace understudy::observe
