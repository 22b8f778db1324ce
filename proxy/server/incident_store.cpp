#include "proxy/server/incident_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include "proxy/server/incident_codec.hpp"

namespace understudy::server {

using incident::Incident;
using incident::Record;

namespace {

constexpr std::string_view kEnding = ".jsonl";
constexpr std::size_t kLargestFile = 32 << 20;
constexpr std::size_t kQueueBytes = 2 << 20;
constexpr std::size_t kQueueBytesOfSamples = 1 << 20;  // points of the series leave room for what was decided

std::string name_of_file(std::uint64_t number) {
  char name[40];
  std::snprintf(name, sizeof name, "%06llu%s", static_cast<unsigned long long>(number), kEnding.data());
  return name;
}

std::string path_of(const std::string& folder, std::uint64_t number) { return folder + "/" + name_of_file(number); }

struct Found {
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;
};

// By number; what has another name is not ours.
std::vector<Found> list(const std::string& folder) {
  std::vector<Found> out;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::uint64_t number = 0;
    const auto [rest, wrong] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (wrong != std::errc{} || name != name_of_file(number)) continue;
    std::error_code ignored;
    const auto bytes = it->file_size(ignored);
    out.push_back({number, ignored ? 0 : bytes});
  }
  std::sort(out.begin(), out.end(), [](const Found& a, const Found& b) { return a.number < b.number; });
  return out;
}

class Descriptor {
public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }

private:
  int fd_;
};

std::string error_text(std::string_view doing, const std::string& path) {
  std::string text = "cannot ";
  text.append(doing).append(" ").append(path).append(": ").append(std::strerror(errno));
  if (errno == ENOSPC || errno == EDQUOT) text += "; make room, or lower [incidents] max_bytes";
  return text;
}

// Whole content, or why not.
std::optional<std::string> content_of(const std::string& path, std::string& why) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (file.get() < 0 || ::fstat(file.get(), &info) != 0) {
    why = error_text("read", path);
    return std::nullopt;
  }
  if (!S_ISREG(info.st_mode) || static_cast<std::size_t>(info.st_size) > kLargestFile) {
    why = path + " is no file that this program writes";
    return std::nullopt;
  }
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t got = 0;
  while (got < text.size()) {
    const ssize_t n = ::read(file.get(), text.data() + got, text.size() - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) why = error_text("read", path);
    if (n < 0) return std::nullopt;
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  text.resize(got);
  return text;
}

struct Parsed {
  std::optional<Incident> incident;
  std::size_t good = 0;  // bytes up to the end of the last good line
  std::size_t torn = 0;  // bytes behind it
  std::string damage;    // of the first bad line in the middle
};

// A bad line in the middle is left out and counted; a bad end was being written when the process stopped.
Parsed parse(std::string_view text, std::uint64_t number) {
  Parsed out;
  Incident incident;
  bool opened = false;
  std::uint64_t bad = 0, line_number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string_view::npos) break;
    ++line_number;
    std::string why;
    const auto record = from_line(text.substr(at, end - at), why);
    at = end + 1;
    const bool first = record && std::holds_alternative<incident::Opened>(record->what);
    if (!record || record->incident != number || first == opened) {
      ++bad;
      if (out.damage.empty())
        out.damage = "line " + std::to_string(line_number) + " is damaged (" +
                     (record ? std::string("out of place") : why) + ")";
      continue;
    }
    opened = true;
    apply(incident, *record);
    incident.damaged = bad;
    out.good = at;
  }
  out.torn = text.size() - out.good;
  if (opened) {
    if (incident.damaged == 0) out.damage.clear();
    out.incident = std::move(incident);
  }
  return out;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

struct IncidentStore::Disk {
  explicit Disk(std::string where) : folder(std::move(where)) {}

  struct Line {
    std::uint64_t incident = 0;
    std::string text;
    bool first = false, last = false;
  };
  const std::string folder;

  std::mutex mutex;  // held for moments, never over a system call
  std::deque<Line> queue;
  std::size_t bytes = 0;
  Limits limits;
  std::string trouble;
  std::vector<std::uint64_t> removed;
  std::atomic<std::uint64_t> dropped{0}, errors{0};

  // File thread only.
  struct File {
    Descriptor descriptor;
    std::uint64_t size = 0;
  };
  std::map<std::uint64_t, File> files;

  void drain();
  std::string put(const Line& line);
  File* open(std::uint64_t number, std::string& why);
  void make_room();
  void fail(std::deque<Line> rest, std::string why);
};

// File thread. What fails goes back to the front and is tried again with the next second.
void IncidentStore::Disk::drain() {
  std::deque<Line> lines;
  {
    const std::lock_guard lock(mutex);
    lines.swap(queue);
    bytes = 0;
  }
  std::set<std::uint64_t> touched;
  bool room = false;
  while (!lines.empty()) {
    const Line& line = lines.front();
    if (std::string why = put(line); !why.empty()) return fail(std::move(lines), std::move(why));
    touched.insert(line.incident);
    room |= line.first || line.last;
    if (line.last) {
      ::fdatasync(files[line.incident].descriptor.get());
      files.erase(line.incident);
    }
    lines.pop_front();
  }
  std::string why;
  for (const std::uint64_t number : touched) {
    const auto file = files.find(number);
    if (file != files.end() && ::fdatasync(file->second.descriptor.get()) != 0)
      why = error_text("write through", path_of(folder, number));
  }
  if (!why.empty()) return fail({}, std::move(why));
  {
    const std::lock_guard lock(mutex);
    if (!touched.empty()) trouble.clear();
  }
  if (room) make_room();
}

void IncidentStore::Disk::fail(std::deque<Line> rest, std::string why) {
  errors.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard lock(mutex);
  trouble = std::move(why);
  for (auto line = rest.rbegin(); line != rest.rend(); ++line) {
    bytes += line->text.size();
    queue.push_front(std::move(*line));
  }
}

IncidentStore::Disk::File* IncidentStore::Disk::open(std::uint64_t number, std::string& why) {
  const auto known = files.find(number);
  if (known != files.end()) return &known->second;
  const std::string path = path_of(folder, number);
  ::mkdir(folder.c_str(), 0700);
  File file{Descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600)), 0};
  struct stat info {};
  if (file.descriptor.get() < 0 || ::fstat(file.descriptor.get(), &info) != 0) {
    why = error_text("open", path);
    return nullptr;
  }
  file.size = static_cast<std::uint64_t>(info.st_size);
  // The name must survive too; some file systems cannot sync a folder.
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());
  return &files.emplace(number, std::move(file)).first->second;
}

// Empty, or why the line is not there; then nothing of it is.
std::string IncidentStore::Disk::put(const Line& line) {
  std::string why;
  File* file = open(line.incident, why);
  if (file == nullptr) return why;
  if (write_all(file->descriptor.get(), line.text)) {
    file->size += line.text.size();
    return {};
  }
  why = error_text("write", path_of(folder, line.incident));
  if (::ftruncate(file->descriptor.get(), static_cast<off_t>(file->size)) != 0)
    why += "; a part of a line is left in it";
  return why;
}

// The oldest go first; the newest stays whatever its size, and so does what is open.
void IncidentStore::Disk::make_room() {
  Limits bounds;
  {
    const std::lock_guard lock(mutex);
    bounds = limits;
  }
  std::vector<Found> found = list(folder);
  std::uint64_t all = 0;
  for (const Found& one : found) all += one.bytes;
  std::size_t count = found.size();
  for (std::size_t i = 0; i + 1 < found.size() && (count > bounds.keep || all > bounds.max_bytes); ++i) {
    if (files.contains(found[i].number)) continue;
    if (::unlink(path_of(folder, found[i].number).c_str()) != 0) continue;
    --count;
    all -= found[i].bytes;
    const std::lock_guard lock(mutex);
    removed.push_back(found[i].number);
  }
}

IncidentStore::Loaded IncidentStore::load(const std::string& folder) {
  Loaded out;
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) out.notes.push_back(error_text("make", folder));
  for (const Found& found : list(folder)) {
    out.next = std::max(out.next, found.number + 1);
    const std::string path = path_of(folder, found.number);
    std::string why;
    const auto text = content_of(path, why);
    if (!text) {
      out.notes.push_back(why);
      continue;
    }
    Parsed parsed = parse(*text, found.number);
    if (!parsed.damage.empty()) out.notes.push_back("incident " + path + ": " + parsed.damage + "; it is left out");
    if (!parsed.incident) {
      // The number was given out, but nothing is known; an empty name stays so that it is not given out again.
      out.notes.push_back("incident " + path + " has no beginning; nothing of it can be told");
      continue;
    }
    if (parsed.torn > 0) {
      const bool cut = ::truncate(path.c_str(), static_cast<off_t>(parsed.good)) == 0;
      out.notes.push_back("incident " + path + ": the last " + std::to_string(parsed.torn) +
                          " bytes were not written whole" + (cut ? " and were cut off" : "; cutting them off failed"));
    }
    if (parsed.incident->open()) {
      out.open.push_back(std::move(*parsed.incident));
    } else {
      parsed.incident->entries.clear();
      parsed.incident->samples.clear();
      parsed.incident->entries.shrink_to_fit();
      parsed.incident->samples.shrink_to_fit();
      out.closed.push_back(std::move(*parsed.incident));
    }
  }
  return out;
}

std::optional<Incident> IncidentStore::read(const std::string& folder, std::uint64_t number, std::string& why) {
  const auto text = content_of(path_of(folder, number), why);
  if (!text) return std::nullopt;
  Parsed parsed = parse(*text, number);
  if (!parsed.incident) why = "nothing of it can be read";
  return std::move(parsed.incident);
}

std::vector<std::string> IncidentStore::files(const std::string& folder) {
  std::vector<std::string> out{folder};
  for (const Found& found : list(folder)) out.push_back(path_of(folder, found.number));
  return out;
}

IncidentStore::IncidentStore(const std::string& folder, Limits limits, Later later)
    : folder_(folder), later_(std::move(later)), disk_(std::make_shared<Disk>(folder)) {
  disk_->limits = limits;
}

IncidentStore::~IncidentStore() = default;

void IncidentStore::set_limits(Limits limits) {
  const std::lock_guard lock(disk_->mutex);
  disk_->limits = limits;
}

void IncidentStore::append(const Record& record) {
  Disk::Line line;
  line.incident = record.incident;
  line.text = to_line(record);
  line.first = std::holds_alternative<incident::Opened>(record.what);
  line.last = std::holds_alternative<incident::Closed>(record.what);
  const bool is_sample = std::holds_alternative<incident::Sample>(record.what);
  {
    const std::lock_guard lock(disk_->mutex);
    if (disk_->bytes + line.text.size() > (is_sample ? kQueueBytesOfSamples : kQueueBytes)) {
      disk_->dropped.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    disk_->bytes += line.text.size();
    disk_->queue.push_back(std::move(line));
  }
  hand_over();
}

// A hand-over that is refused is made up for by the next second's.
void IncidentStore::hand_over() {
  later_([disk = disk_] { disk->drain(); });
}

IncidentStore::Report IncidentStore::tick() {
  Report report;
  {
    const std::lock_guard lock(disk_->mutex);
    report.trouble = disk_->trouble;
    report.removed.swap(disk_->removed);
    report.waiting = disk_->queue.size();
  }
  report.dropped = disk_->dropped.load(std::memory_order_relaxed);
  report.errors = disk_->errors.load(std::memory_order_relaxed);
  if (report.waiting > 0) hand_over();
  return report;
}

}  // namespace understudy::server
