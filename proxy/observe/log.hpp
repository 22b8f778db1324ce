// The event log and the access log. Neither can block a worker: access records go through a bounded single-producer ring per
// worker, events through a bounded queue; the file thread writes. What does not fit is dropped and counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.hpp"
#include "proxy/observe/access_record.hpp"

namespace understudy::observe {

// Bounded single-producer, single-consumer ring of records.
class AccessRing {
public:
  explicit AccessRing(std::size_t capacity_power_of_two);
  ~AccessRing();
  // Producer: a slot to fill, or null when full (counted as dropped); then publish().
  AccessRecord* begin_write();
  void publish();
  // Consumer.
  const AccessRecord* front();
  void pop();
  std::uint64_t dropped() const;

private:
  struct Data;
  std::unique_ptr<Data> data_;
};

// Pure: one line, newline included, no byte that could break the line (security rules §7).
void format_json(const AccessRecord& record, std::string& out);
void format_combined(const AccessRecord& record, std::string& out);

enum class Level : std::uint8_t { trace, debug, info, warn, error };

// The file thread: owns every log file and performs every other file write handed to it (state, incidents).
class FileThread {
public:
  struct Options {
    config::LogConfig log;
    unsigned workers = 1;
    std::size_t ring_records = 4096;
    std::size_t queue_lines = 8192;
  };
  explicit FileThread(Options options);  // opens the files; throws std::runtime_error naming the path when it cannot
  ~FileThread();                         // stops after what is queued was written, waiting at most a second

  AccessRing* ring(unsigned worker);  // null when the access log is off
  // Any thread; never blocks. Fields are appended as key=value. Journald priority prefixes when JOURNAL_STREAM is set.
  void event(Level level, std::string_view message);
  // Any thread; never blocks. `work` runs on the file thread; false when the queue is full. A newer write under the same
  // key replaces one that has not begun.
  bool write_later(std::string key, std::function<void()> work);
  void reopen();  // SIGUSR1: keeps the old descriptor where the new one can't be opened
  void set_level(Level level);
  bool enabled(Level level) const;

  std::uint64_t access_dropped() const;
  std::uint64_t events_dropped() const;
  std::uint64_t write_errors() const;

private:
  struct State;
  std::unique_ptr<State> state_;
};

// Writes `content` to path atomically: temporary file in the same folder, fsync, rename. Empty string on success, else why not.
std::string write_file_atomically(const std::string& path, std::string_view content, unsigned mode);

}  // namespace understudy::observe
