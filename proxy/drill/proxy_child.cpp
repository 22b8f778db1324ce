#include "proxy/drill/proxy_child.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "config/load.hpp"
#include "proxy/admin/client.hpp"
#include "proxy/server/handover.hpp"
#include "proxy/server/run.hpp"

namespace understudy::drill {

namespace json = boost::json;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

admin::ClientOptions options_of(const std::string& folder, std::chrono::milliseconds patience) {
  admin::ClientOptions options;
  options.address.path = folder + "/admin.sock";
  options.address.text = "unix:" + options.address.path;
  options.connect_timeout = 500ms;
  options.answer_timeout = patience;
  return options;
}

constexpr const char* kConfigFile = "/sandbox.toml";
constexpr auto kUpgradedWithin = 15s;  // the disk and the first verdicts are each waited for 5 s at most

// What a process that takes over reads. Its text is what `config show` tells, and has to mean what this process would run with.
void write_config(const config::Config& config, const std::string& file) {
  config::LoadResult ours;
  ours.config = config;
  const std::string text = config::show(ours, true);
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) ::close(fd);
  if (!written) throw std::runtime_error("cannot write " + file + ": " + std::strerror(errno));
  config::LoadResult again = config::load(text, file, server::system_context());
  if (!again.config)
    throw std::runtime_error("the configuration cannot be handed to a process that takes over: " +
                             config::render(again.diagnostics, text));
  again.origins.clear();
  if (config::show(again, true) != text)
    throw std::runtime_error(
        "the configuration would not be the same in a process that takes over; leave act = \"upgrade\" out");
}

// This program as an operator starts it: only such a process can be replaced by another one.
[[noreturn]] void become_proxy(const std::string& program, const std::string& file) {
  ::execl(program.c_str(), "understudy", "run", "-c", file.c_str(), "--keep-root", static_cast<char*>(nullptr));
  std::fprintf(stderr, "cannot execute %s: %s\n", program.c_str(), std::strerror(errno));
  ::_exit(1);
}

[[noreturn]] void run_child(const config::Config& config, const std::string& folder, Leash* leash) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() == 1) ::_exit(1);
  // Ctrl-C is for the drill, which ends its proxy.
  if (leash != nullptr) {
    if (!leash->join()) ::_exit(1);
  } else {
    ::setpgid(0, 0);
  }
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int log = ::open((folder + "/stderr").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ::dup2(nothing, 0);
  ::dup2(log, 1);
  ::dup2(log, 2);
  ::close_range(3, ~0U, 0);
  for (const char* name : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC"})
    ::unsetenv(name);
  if (leash != nullptr) become_proxy(server::own_program(), folder + kConfigFile);
  int code = 1;
  try {
    server::RunOptions options;
    options.builtin = [config] {
      config::LoadResult result;
      result.config = config;
      return result;
    };
    options.keep_root = true;
    options.quiet = true;
    code = server::run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  std::fflush(nullptr);
  ::_exit(code);
}

std::string first_lines(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  std::string line;
  for (int i = 0; i < 5 && std::getline(in, line); ++i) text << line << "\n";
  return text.str();
}

}  // namespace

ProxyChild::~ProxyChild() { stop(); }

void ProxyChild::start(const config::Config& config, const std::string& folder, bool replaceable) {
  folder_ = folder;
  if (replaceable) write_config(config, folder + kConfigFile);
  std::fflush(nullptr);
  if (replaceable) leash_.emplace();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error(std::string("cannot start the proxy: ") + std::strerror(errno));
  if (pid_ == 0) run_child(config, folder, leash_ ? &*leash_ : nullptr);
  known_ = {pid_};
}

bool ProxyChild::alive(std::string& how) {
  const auto describe = [this](const std::string& which, int status) {
    return which +
           (status == kNotOurs    ? std::string(" ended, in a way that only the one before it knows")
            : WIFSIGNALED(status) ? " died of signal " + std::to_string(WTERMSIG(status))
                                  : " ended with code " + std::to_string(WEXITSTATUS(status))) +
           "\n" + first_lines(folder_ + "/stderr");
  };
  bool well = true;
  std::erase_if(replaced_, [&](pid_t pid) {
    const auto status = ended(pid);
    if (!status || *status == kNotOurs) return false;  // we hear of it when the one before it has ended
    if (*status != 0) how = describe("the proxy that was replaced", *status);
    well = well && *status == 0;
    return true;
  });
  if (const auto status = pid_ > 0 ? ended(pid_) : std::nullopt) {
    how = describe("the proxy", *status);
    pid_ = -1;
    if (*status != 0 && *status != kNotOurs) upgrade_until_.reset();
  }
  // One that was replaced may end before we hear of the other.
  return well && (pid_ > 0 || (upgrade_until_ && Clock::now() < *upgrade_until_));
}

std::optional<std::string> ProxyChild::get(const std::string& path) {
  const auto result = admin::Client(options_of(folder_, 500ms)).request("GET", path);
  const auto* answer = std::get_if<admin::Answer>(&result);
  if (answer == nullptr || answer->status != 200) return std::nullopt;
  return answer->body;
}

std::string ProxyChild::wait_ready(const std::string& pool, std::chrono::milliseconds within) {
  const auto until = Clock::now() + within;
  std::string how, missing = "it does not answer";
  while (Clock::now() < until) {
    if (!alive(how)) return how;
    std::this_thread::sleep_for(50ms);
    const auto text = get("/api/v1/status");
    if (!text) continue;
    const json::value value = json::parse(*text);
    const json::object& status = value.as_object();
    for (const json::value& listener : list_of(status, "listeners")) {
      const std::string address = text_of(listener.as_object(), "address");
      port_ = static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
    }
    missing.clear();
    for (const json::value& one : list_of(status, "pools")) {
      if (text_of(one.as_object(), "name") != pool) continue;
      for (const json::value& tier : list_of(one.as_object(), "tiers")) {
        if (is_true(tier.as_object(), "active")) first_tier_ = text_of(tier.as_object(), "name");
        for (const json::value& endpoint : list_of(tier.as_object(), "endpoints")) {
          if (!is_true(endpoint.as_object(), "available")) missing = text_of(endpoint.as_object(), "label");
        }
      }
    }
    if (missing.empty() && port_ != 0 && !first_tier_.empty()) return {};
    missing = "'" + missing + "' is not available, though nothing is wrong with it yet";
  }
  return "the proxy is not ready: " + missing;
}

std::vector<ProxyEvent> ProxyChild::take_events() {
  if (frozen_) return {};
  auto events = feed_.take(options_of(folder_, 500ms));
  follow();
  return events;
}

// ---- over a binary upgrade -------------------------------------------------------------------------------------------

std::string ProxyChild::begin_upgrade() {
  if (!leash_) return "this proxy cannot be replaced";
  if (is_upgrading()) return "a binary upgrade is under way";
  if (pid_ <= 0 || ::kill(pid_, SIGUSR2) != 0) return "there is no process to be replaced";
  upgrade_until_ = Clock::now() + kUpgradedWithin;
  return {};
}

// Who takes over is known by its answers, which it gives once it serves.
void ProxyChild::follow() {
  if (!upgrade_until_ || feed_.pid() <= 0 || known_.contains(feed_.pid())) return;
  upgrades_.push_back({pid_, feed_.pid(), {}});
  if (pid_ > 0) replaced_.push_back(pid_);
  pid_ = feed_.pid();
  known_.insert(pid_);
  upgrade_until_.reset();
}

std::vector<ProxyChild::Upgraded> ProxyChild::take_upgrades(bool is_over) {
  if (upgrade_until_ && (is_over || Clock::now() >= *upgrade_until_)) {
    upgrades_.push_back({pid_, -1, "no new process has taken over"});
    upgrade_until_.reset();
  }
  return std::exchange(upgrades_, {});
}

void ProxyChild::each(const std::function<void(pid_t)>& call) const {
  if (pid_ > 0) call(pid_);
  for (const pid_t pid : replaced_) call(pid);
}

std::vector<std::string> ProxyChild::alerts(const std::string& pool,
                                            std::chrono::system_clock::time_point since) const {
  return alerts_since(options_of(folder_, 500ms), pool, since);
}

json::array ProxyChild::incidents(const std::string& pool, std::chrono::system_clock::time_point since) const {
  return incidents_since(options_of(folder_, 500ms), pool, since);
}

std::string ProxyChild::act(const config::ScenarioAct& act, const std::string& pool) {
  json::object body{{"pool", pool}, {"reason", "by the scenario"}};
  std::string path;
  switch (act.act) {
    case config::ActKind::failover:
      path = "failover";
      if (!act.to.empty()) body["to"] = act.to;
      break;
    case config::ActKind::failback: path = "failback"; break;
    case config::ActKind::hold: path = "hold"; break;
    case config::ActKind::release: path = "release"; break;
    case config::ActKind::approve:
      path = "approve";
      body["gate"] = act.to;
      body["who"] = "the scenario";
      break;
    case config::ActKind::reload:
      path = "reload";
      body.clear();
      break;
    case config::ActKind::upgrade: return begin_upgrade();
  }
  const auto result = admin::Client(options_of(folder_, 5s)).request("POST", "/api/v1/" + path, json::serialize(body));
  if (const auto* gone = std::get_if<admin::NotReachable>(&result)) return gone->why;
  const auto& answer = std::get<admin::Answer>(result);
  return answer.status < 300 ? std::string() : "refused: " + answer.body;
}

void ProxyChild::freeze(bool frozen) {
  frozen_ = frozen;
  each([frozen](pid_t pid) { ::kill(pid, frozen ? SIGSTOP : SIGCONT); });
}

// One that takes over and was not heard of yet is killed with the leash.
void ProxyChild::stop() {
  upgrade_until_.reset();
  each([](pid_t pid) {
    ::kill(pid, SIGCONT);
    ::kill(pid, SIGTERM);
  });
  // Who was replaced has its own time to finish, which a second wish to end at once cuts short.
  for (const pid_t pid : replaced_) ::kill(pid, SIGINT);
  const auto until = Clock::now() + 5s;
  std::string how;
  while (alive(how), (pid_ > 0 || !replaced_.empty()) && Clock::now() < until) std::this_thread::sleep_for(10ms);
  each([](pid_t pid) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  });
  pid_ = -1;
  replaced_.clear();
  leash_.reset();
}

}  // namespace understudy::drill
