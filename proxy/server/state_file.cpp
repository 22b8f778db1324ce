#include "proxy/server/state_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace understudy::server {

namespace json = boost::json;
using health::OperatorState;

namespace {

constexpr int kFormat = 1;

json::value left_of(const std::optional<health::Duration>& left) {
  if (!left) return nullptr;
  return std::chrono::duration_cast<std::chrono::milliseconds>(*left).count();
}

std::optional<health::Duration> read_left(const json::object& o, const char* key) {
  const json::value* v = o.if_contains(key);
  if (v == nullptr || !v->is_int64()) return std::nullopt;
  return std::chrono::milliseconds(v->get_int64());
}

template <typename Enum>
Enum read_enum(const json::object& o, const char* key, int last, Enum fallback) {
  const json::value* v = o.if_contains(key);
  if (v == nullptr || !v->is_string()) return fallback;
  for (int i = 0; i <= last; ++i)
    if (health::name_of(static_cast<Enum>(i)) == std::string_view(v->get_string())) return static_cast<Enum>(i);
  return fallback;
}

std::string read_text(const json::object& o, const char* key) {
  const json::value* v = o.if_contains(key);
  return v != nullptr && v->is_string() ? std::string(v->get_string()) : std::string{};
}
bool read_bool(const json::object& o, const char* key) {
  const json::value* v = o.if_contains(key);
  return v != nullptr && v->is_bool() && v->get_bool();
}
std::uint64_t read_count(const json::object& o, const char* key) {
  const json::value* v = o.if_contains(key);
  if (v == nullptr) return 0;
  if (v->is_uint64()) return v->get_uint64();
  return v->is_int64() && v->get_int64() > 0 ? static_cast<std::uint64_t>(v->get_int64()) : 0;
}

}  // namespace

std::string to_json(const health::SavedState& state) {
  json::array pools, endpoints;
  for (const auto& p : state.pools) {
    pools.push_back({{"name", p.name},
                     {"active_tier", p.active_tier},
                     {"epoch", p.epoch},
                     {"moved_by_operator", p.moved_by_operator},
                     {"held", p.held},
                     {"held_left_ms", left_of(p.held_left)},
                     {"maintenance", p.maintenance},
                     {"maintenance_left_ms", left_of(p.maintenance_left)}});
  }
  for (const auto& e : state.endpoints) {
    endpoints.push_back({{"pool", e.pool},
                         {"label", e.label},
                         {"address", e.address},
                         {"operator", health::name_of(e.operator_state)},
                         {"operator_left_ms", left_of(e.operator_left)},
                         {"active", health::name_of(e.active)},
                         {"ejections", e.ejections},
                         {"ejected_left_ms", left_of(e.ejected_left)}});
  }
  return json::serialize(json::object{{"format", kFormat}, {"pools", pools}, {"endpoints", endpoints}}) + "\n";
}

std::optional<health::SavedState> from_json(const std::string& text, std::string& why) {
  json::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) {
    why = "not JSON: " + error.message();
    return std::nullopt;
  }
  const json::object& root = value.get_object();
  if (read_count(root, "format") != static_cast<std::uint64_t>(kFormat)) {
    why = "written in a format this version does not know";
    return std::nullopt;
  }
  health::SavedState state;
  if (const auto* pools = root.if_contains("pools"); pools != nullptr && pools->is_array()) {
    for (const json::value& v : pools->get_array()) {
      if (!v.is_object()) continue;
      const json::object& o = v.get_object();
      health::SavedPool p;
      p.name = read_text(o, "name");
      p.active_tier = read_text(o, "active_tier");
      p.epoch = read_count(o, "epoch");
      p.moved_by_operator = read_bool(o, "moved_by_operator");
      p.held = read_bool(o, "held");
      p.held_left = read_left(o, "held_left_ms");
      p.maintenance = read_bool(o, "maintenance");
      p.maintenance_left = read_left(o, "maintenance_left_ms");
      state.pools.push_back(std::move(p));
    }
  }
  if (const auto* endpoints = root.if_contains("endpoints"); endpoints != nullptr && endpoints->is_array()) {
    for (const json::value& v : endpoints->get_array()) {
      if (!v.is_object()) continue;
      const json::object& o = v.get_object();
      health::SavedEndpoint e;
      e.pool = read_text(o, "pool");
      e.label = read_text(o, "label");
      e.address = read_text(o, "address");
      e.operator_state = read_enum(o, "operator", 3, OperatorState::enabled);
      e.operator_left = read_left(o, "operator_left_ms");
      e.active = read_enum(o, "active", 2, health::ActiveState::unknown);
      e.ejections = static_cast<std::uint32_t>(read_count(o, "ejections"));
      e.ejected_left = read_left(o, "ejected_left_ms");
      state.endpoints.push_back(std::move(e));
    }
  }
  return state;
}

StateDir::~StateDir() {
  if (lock_ >= 0) ::close(lock_);
}

StateDir::Outcome StateDir::open(const std::string& path, std::string& why) {
  path_ = path;
  if (path.empty()) {
    why = "state_dir is \"none\"";
    return Outcome::not_kept;
  }
  std::error_code error;
  std::filesystem::create_directories(path, error);
  const int fd = ::open(lock_file().c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
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
  return Outcome::kept;
}

std::optional<health::SavedState> StateDir::read(std::string& why) const {
  std::ifstream in(file());
  if (!in) return std::nullopt;
  std::stringstream text;
  text << in.rdbuf();
  auto state = from_json(text.str(), why);
  if (!state) {
    const std::string aside = file() + ".damaged";
    if (std::rename(file().c_str(), aside.c_str()) == 0) why += "; set aside as " + aside;
    why = file() + " is not usable: " + why + ". Starting without it.";
  }
  return state;
}

}  // namespace understudy::server
