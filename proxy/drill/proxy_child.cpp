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

#include "proxy/admin/client.hpp"
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

[[noreturn]] void run_child(const config::Config& config, const std::string& folder) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() == 1) ::_exit(1);
  ::setpgid(0, 0);  // Ctrl-C is for the drill, which ends its proxy
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int log = ::open((folder + "/stderr").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ::dup2(nothing, 0);
  ::dup2(log, 1);
  ::dup2(log, 2);
  ::close_range(3, ~0U, 0);
  for (const char* name : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC"})
    ::unsetenv(name);
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

void ProxyChild::start(const config::Config& config, const std::string& folder) {
  folder_ = folder;
  std::fflush(nullptr);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error(std::string("cannot start the proxy: ") + std::strerror(errno));
  if (pid_ == 0) run_child(config, folder);
}

bool ProxyChild::alive(std::string& how) {
  if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == 0) return true;
  if (pid_ > 0) {
    how = WIFSIGNALED(status_) ? std::string("the proxy died of signal ") + std::to_string(WTERMSIG(status_))
                               : "the proxy ended with code " + std::to_string(WEXITSTATUS(status_));
    how += "\n" + first_lines(folder_ + "/stderr");
    pid_ = -1;
  }
  return false;
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
  return feed_.take(options_of(folder_, 500ms));
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
  }
  const auto result = admin::Client(options_of(folder_, 5s)).request("POST", "/api/v1/" + path, json::serialize(body));
  if (const auto* gone = std::get_if<admin::NotReachable>(&result)) return gone->why;
  const auto& answer = std::get<admin::Answer>(result);
  return answer.status < 300 ? std::string() : "refused: " + answer.body;
}

void ProxyChild::freeze(bool frozen) {
  frozen_ = frozen;
  if (pid_ > 0) ::kill(pid_, frozen ? SIGSTOP : SIGCONT);
}

void ProxyChild::stop() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGCONT);
  ::kill(pid_, SIGTERM);
  const auto until = Clock::now() + 5s;
  std::string how;
  while (alive(how) && Clock::now() < until) std::this_thread::sleep_for(10ms);
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, &status_, 0);
  pid_ = -1;
}

}  // namespace understudy::drill
