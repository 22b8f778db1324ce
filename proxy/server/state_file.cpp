#include "proxy/server/state_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

namespace understudy::server {

namespace json = boost::json;
using health::OperatorState;

namespace {

using Wall = std::chrono::system_clock::time_point;
constexpr int kFormat = 1;

json::value left_of(const std::optional<health::Duration>& left) {
  if (!left) return nullptr;
  return std::chrono::duration_cast<std::chrono::milliseconds>(*left).count();
}

json::value micros(const std::optional<health::Duration>& time) {
  if (!time) return nullptr;
  return std::chrono::duration_cast<std::chrono::microseconds>(*time).count();
}

// One object of the file. What is absent (or null) keeps its default: another version wrote it. What is there and cannot be
// meant is told in `why`, once, with its place.
class Fields {
public:
  Fields(const json::value& value, std::string place, std::string& why)
      : object_(value.if_object()), place_(std::move(place)), why_(why) {
    if (object_ == nullptr) blame("", "is no object");
  }

  void read(const char* key, std::string& out) {
    if (const json::value* v = find(key)) {
      if (!v->is_string()) return blame(key, "is no text");
      out = v->get_string().c_str();
    }
  }
  void read(const char* key, bool& out) {
    if (const json::value* v = find(key)) {
      if (!v->is_bool()) return blame(key, "is neither true nor false");
      out = v->get_bool();
    }
  }
  template <typename Count>
  void read_count(const char* key, Count& out) {
    if (const json::value* v = find(key)) {
      json::error_code error;
      out = v->to_number<Count>(error);
      if (error) blame(key, "is no number from 0 on");
    }
  }
  // Longer than anybody lives is no time, and would not fit.
  template <typename Unit>
  void read_time(const char* key, std::optional<health::Duration>& out) {
    if (const json::value* v = find(key)) {
      json::error_code error;
      const auto number = v->to_number<std::int64_t>(error);
      if (error || number < 0 || number > Unit(kLongest).count()) return blame(key, "is no length of time");
      out = Unit(number);
    }
  }
  template <typename Enum>
  void read_enum(const char* key, int last, Enum& out) {
    std::string word;
    read(key, word);
    if (word.empty()) return;
    for (int i = 0; i <= last; ++i) {
      if (health::name_of(static_cast<Enum>(i)) == word) {
        out = static_cast<Enum>(i);
        return;
      }
    }
    blame(key, "is no state known here");
  }
  // Calls f(Fields&) for every item of a list.
  template <typename F>
  void each(const char* key, F f) {
    const json::value* v = find(key);
    if (v == nullptr) return;
    if (!v->is_array()) return blame(key, "is no list");
    std::size_t index = 0;
    for (const json::value& item : v->get_array()) {
      Fields fields(item, place_of(key) + "[" + std::to_string(index++) + "]", why_);
      f(fields);
    }
  }

private:
  static constexpr std::chrono::hours kLongest{24 * 365 * 100};

  const json::value* find(const char* key) const {
    const json::value* v = object_ == nullptr ? nullptr : object_->if_contains(key);
    return v == nullptr || v->is_null() ? nullptr : v;
  }
  std::string place_of(const char* key) const {
    return place_.empty() || *key == '\0' ? place_ + key : place_ + "." + key;
  }
  void blame(const char* key, const char* what) {
    if (why_.empty()) why_ = place_of(key) + " " + what;
  }

  const json::object* object_;
  std::string place_;
  std::string& why_;
};

json::value to_value(const health::SavedPool& p) {
  json::array approvals;
  for (const auto& [gate, by] : p.approvals) approvals.push_back({{"gate", gate}, {"by", by}});
  return {{"name", p.name},
          {"active_tier", p.active_tier},
          {"epoch", p.epoch},
          {"moved_by_operator", p.moved_by_operator},
          {"moved_left_ms", left_of(p.moved_left)},
          {"held", p.held},
          {"held_left_ms", left_of(p.held_left)},
          {"maintenance", p.maintenance},
          {"maintenance_left_ms", left_of(p.maintenance_left)},
          {"relapses", p.relapses},
          {"left_by_drill", p.left_by_drill},
          {"left_pinned", p.left_pinned},
          {"approvals", std::move(approvals)}};
}

json::value to_value(const health::SavedEndpoint& e) {
  return {{"pool", e.pool},
          {"label", e.label},
          {"address", e.address},
          {"operator", health::name_of(e.operator_state)},
          {"operator_left_ms", left_of(e.operator_left)},
          {"operator_for_ms", left_of(e.operator_for)},
          {"active", health::name_of(e.active)},
          {"quarantined", e.quarantined},
          {"ejections", e.ejections},
          {"ejected_left_ms", left_of(e.ejected_left)},
          {"normal_p50_us", micros(e.normal_p50)},
          {"normal_p95_us", micros(e.normal_p95)}};
}

health::SavedPool pool_of(Fields& fields) {
  using std::chrono::milliseconds;
  health::SavedPool p;
  fields.read("name", p.name);
  fields.read("active_tier", p.active_tier);
  fields.read_count("epoch", p.epoch);
  fields.read("moved_by_operator", p.moved_by_operator);
  fields.read_time<milliseconds>("moved_left_ms", p.moved_left);
  fields.read("held", p.held);
  fields.read_time<milliseconds>("held_left_ms", p.held_left);
  fields.read("maintenance", p.maintenance);
  fields.read_time<milliseconds>("maintenance_left_ms", p.maintenance_left);
  fields.read_count("relapses", p.relapses);
  fields.read("left_by_drill", p.left_by_drill);
  fields.read("left_pinned", p.left_pinned);
  fields.each("approvals", [&p](Fields& approval) {
    auto& [gate, by] = p.approvals.emplace_back();
    approval.read("gate", gate);
    approval.read("by", by);
  });
  return p;
}

health::SavedEndpoint endpoint_of(Fields& fields) {
  using std::chrono::microseconds;
  using std::chrono::milliseconds;
  health::SavedEndpoint e;
  fields.read("pool", e.pool);
  fields.read("label", e.label);
  fields.read("address", e.address);
  fields.read_enum("operator", 3, e.operator_state);
  fields.read_time<milliseconds>("operator_left_ms", e.operator_left);
  fields.read_time<milliseconds>("operator_for_ms", e.operator_for);
  fields.read_enum("active", 2, e.active);
  fields.read("quarantined", e.quarantined);
  fields.read_count("ejections", e.ejections);
  fields.read_time<milliseconds>("ejected_left_ms", e.ejected_left);
  fields.read_time<microseconds>("normal_p50_us", e.normal_p50);
  fields.read_time<microseconds>("normal_p95_us", e.normal_p95);
  return e;
}

// An order "for two hours" ends two hours later by everybody's watch. A clock that went back takes nothing away.
void let_pass(health::SavedState& state, health::Duration passed) {
  if (passed <= health::Duration::zero()) return;
  const auto shorten = [passed](std::optional<health::Duration>& left) {
    if (left) left = std::max(*left - passed, health::Duration::zero());
  };
  for (health::SavedPool& pool : state.pools) {
    shorten(pool.held_left);
    shorten(pool.maintenance_left);
    shorten(pool.moved_left);
  }
  for (health::SavedEndpoint& endpoint : state.endpoints) {
    shorten(endpoint.operator_left);
    if (endpoint.operator_for) *endpoint.operator_for += passed;
  }
}

// "state.json.4711.3.tmp": what a process that was killed while it wrote has left.
bool is_leftover(std::string_view name) {
  const auto ends_with_number = [&name] {
    const std::size_t digits = name.find_last_not_of("0123456789");
    const bool is = digits != std::string_view::npos && name[digits] == '.' && digits + 1 < name.size();
    if (is) name = name.substr(0, digits);
    return is;
  };
  constexpr std::string_view kEnd = ".tmp";
  if (!name.ends_with(kEnd)) return false;
  name.remove_suffix(kEnd.size());
  return ends_with_number() && ends_with_number() && !name.empty();
}

void remove_leftovers(const std::string& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> found;
  for (std::filesystem::directory_iterator item(folder, error), end; !error && item != end; item.increment(error)) {
    if (is_leftover(item->path().filename().native())) found.push_back(item->path());
  }
  for (const auto& path : found) ::unlink(path.c_str());
}

// Everything in the file; or why it cannot be read, as errno; 0 where there is none.
std::optional<std::string> read_all(const std::string& path, int& trouble) {
  constexpr std::size_t kPiece = 64 * 1024;
  trouble = 0;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    trouble = errno == ENOENT ? 0 : errno;
    return std::nullopt;
  }
  std::string text;
  for (;;) {
    const std::size_t before = text.size();
    text.resize(before + kPiece);
    const ssize_t n = ::read(fd, text.data() + before, kPiece);
    if (n < 0 && errno != EINTR) trouble = errno;
    text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n == 0 || trouble != 0) break;
  }
  ::close(fd);
  if (trouble != 0) return std::nullopt;
  return text;
}

}  // namespace

std::string to_json(const health::SavedState& state, std::chrono::system_clock::time_point at) {
  json::array pools, endpoints;
  for (const auto& pool : state.pools) pools.push_back(to_value(pool));
  for (const auto& endpoint : state.endpoints) endpoints.push_back(to_value(endpoint));
  json::object whole{{"format", kFormat}, {"pools", pools}, {"endpoints", endpoints}};
  if (at != Wall{}) whole["saved_at_ms"] = std::chrono::floor<std::chrono::milliseconds>(at).time_since_epoch().count();
  return json::serialize(whole) + "\n";
}

std::optional<health::SavedState> from_json(const std::string& text, std::string& why, Wall now) {
  json::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) {
    why = error ? "not JSON: " + error.message() : "not JSON as this program writes it";
    return std::nullopt;
  }
  std::string wrong;
  Fields root(value, "", wrong);
  int format = 0;
  root.read_count("format", format);
  if (!wrong.empty() || format != kFormat) {
    why = "written in a format this version does not know";
    return std::nullopt;
  }
  health::SavedState state;
  root.each("pools", [&state](Fields& fields) { state.pools.push_back(pool_of(fields)); });
  root.each("endpoints", [&state](Fields& fields) { state.endpoints.push_back(endpoint_of(fields)); });
  std::optional<health::Duration> saved_at;
  root.read_time<std::chrono::milliseconds>("saved_at_ms", saved_at);
  if (!wrong.empty()) {
    why = std::move(wrong);
    return std::nullopt;
  }
  if (saved_at && now != Wall{}) let_pass(state, now.time_since_epoch() - *saved_at);
  return state;
}

StateDir::~StateDir() {
  if (lock_ >= 0) ::close(lock_);
}

void StateDir::let_go() {
  if (lock_ >= 0) ::close(lock_);
  lock_ = -1;
}

// Both processes hold the same lock for a while: it belongs to the open file, not to whoever opened it.
int StateDir::same_lock(int lock) const {
  struct stat held {
  }, wanted{};
  if (lock < 0) return -1;
  if (!path_.empty() && ::fstat(lock, &held) == 0 && ::stat(lock_file().c_str(), &wanted) == 0 &&
      held.st_dev == wanted.st_dev && held.st_ino == wanted.st_ino)
    return lock;
  ::close(lock);
  return -1;
}

StateDir::Outcome StateDir::open(const std::string& path, std::string& why, int lock) {
  path_ = path;
  const int inherited = same_lock(lock);
  if (path.empty()) {
    why = "state_dir is \"none\"";
    return Outcome::not_kept;
  }
  std::error_code error;
  std::filesystem::create_directories(path, error);
  const int fd =
      inherited >= 0 ? inherited : ::open(lock_file().c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) {
    why = "cannot write to state_dir '" + path + "' (" + std::strerror(errno) +
          "); make it writable or set [server] state_dir";
    return Outcome::not_kept;
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char owner[32] = {};
    const ssize_t n = ::pread(fd, owner, sizeof owner - 1, 0);
    ::close(fd);
    why = "state_dir '" + path + "' is in use by another understudy";
    if (n > 0) why += " (process " + std::string(owner, std::strcspn(owner, "\n")) + ")";
    why += "; stop it, or set another [server] state_dir";
    return Outcome::in_use;
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) == 0) {
    [[maybe_unused]] const auto written = ::pwrite(fd, pid.data(), pid.size(), 0);
  }
  lock_ = fd;
  if (inherited < 0) {  // else the process before this one may be writing
    remove_leftovers(path_);
    remove_leftovers(incidents());
  }
  return Outcome::kept;
}

std::optional<health::SavedState> StateDir::read(std::string& why, Wall now) const {
  const auto set_aside = [this](const char* as) {
    const std::string aside = file() + as;
    return std::rename(file().c_str(), aside.c_str()) == 0 ? "; set aside as " + aside : std::string{};
  };
  const std::string forgotten =
      ". Starting without it: which tier served, the epochs and the operators' orders are forgotten.";
  int trouble = 0;
  const auto text = read_all(file(), trouble);
  if (trouble != 0) {
    why = file() + " cannot be read: " + std::strerror(trouble) + set_aside(".unreadable") + forgotten;
    return std::nullopt;
  }
  if (!text) return std::nullopt;
  auto state = from_json(*text, why, now);
  if (!state) why = file() + " is not usable: " + why + set_aside(".damaged") + forgotten;
  return state;
}

}  // namespace understudy::server
