// What the tests of the file thread share: its options, records that can be told apart, and a task that can
// be held.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "proxy/observe/log.hpp"
#include "scratch.hpp"

namespace understudy::observe::testing {

inline FileThread::Options options_for(const std::string& events, const std::string& access = {},
                                       config::AccessFormat format = config::AccessFormat::off) {
  FileThread::Options options;
  options.log.path = events;
  options.log.access_path = access;
  options.log.access_format = format;
  return options;
}

inline bool write_record(AccessRing& ring, std::int64_t number, std::string_view path = "/") {
  AccessRecord* record = ring.begin_write();
  if (record == nullptr) return false;
  record->unix_us = number * 1'000'000;
  record->bytes_out = static_cast<std::uint64_t>(number);
  record->status = 200;
  record->method.assign("GET");
  record->client_ip.assign("192.0.2.1");
  record->path.assign(path);
  ring.publish();
  return true;
}

// The numbers given to write_record, out of combined lines; -1 for a line that is not whole.
inline std::vector<std::int64_t> numbers_in(const std::vector<std::string>& lines) {
  const std::string begin = "192.0.2.1 - - [", status = " HTTP/1.1\" 200 ", end = " \"-\" \"-\"";
  std::vector<std::int64_t> numbers;
  for (const std::string& line : lines) {
    const std::size_t at = line.find(status);
    const bool whole = line.starts_with(begin) && line.ends_with(end) && at != std::string::npos &&
                       std::count(line.begin(), line.end(), '"') == 6 && line.find(begin, 1) == std::string::npos;
    const std::size_t from = at + status.size();
    numbers.push_back(whole ? std::stoll(line.substr(from, line.size() - end.size() - from)) : -1);
  }
  return numbers;
}

inline std::vector<std::int64_t> counted_to(std::int64_t end, std::int64_t from = 0) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = from; i < end; ++i) numbers.push_back(i);
  return numbers;
}

// Something that a task waits for; shared, because a detached thread may outlive the test's frame.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false, entered = false;
  void wait_inside() {
    std::unique_lock lock(mutex);
    entered = true;
    changed.notify_all();
    changed.wait(lock, [&] { return open; });
  }
  void wait_until_entered() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return entered; });
  }
  void release() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
};

}  // namespace understudy::observe::testing
