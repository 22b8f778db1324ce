#include "proxy/demo/demo.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <thread>

#include "proxy/demo/load.hpp"
#include "proxy/demo/origin.hpp"
#include "proxy/server/run.hpp"

namespace understudy::demo {

using namespace std::chrono_literals;
using boost::system::error_code;

namespace {

struct Totals {
  std::uint64_t ok = 0, failed = 0, lost = 0, opened = 0;
};

class Demo {
public:
  explicit Demo(const DemoOptions& options)
      : options_(options), primary_1_(io_, "primary-1"), primary_2_(io_, "primary-2"), standby_(io_, "standby") {}

  int run();

private:
  std::string config() const;
  std::string address_to_open() const;
  asio::awaitable<void> show();
  asio::awaitable<void> watch(std::chrono::seconds duration);
  void say(const std::string& text) const;
  void line(Seen seen);
  void check(bool good, const std::string& text);

  DemoOptions options_;
  asio::io_context io_{1};
  Origin primary_1_, primary_2_, standby_;
  std::unique_ptr<Load> load_;
  std::map<std::string, std::uint64_t> last_origins_;  // of the last second
  Totals totals_;
  std::chrono::steady_clock::time_point begin_{};
  bool passed_ = true;
};

std::string Demo::config() const {
  const auto at = [](const Origin& origin) {
    return "{ address = \"127.0.0.1:" + std::to_string(origin.port()) + "\", name = \"" + origin.name() + "\" }";
  };
  return "[server]\nstate_dir = \"none\"\nshutdown_grace = \"1s\"\n\n[admin]\nlisten = \"" + options_.admin +
         "\"\n\n[log]\nlevel = \"error\"\n\n[listen.web]\naddress = \"" + options_.listen +
         "\"\n\n[check]\npath = \"/healthz\"\ninterval = \"500ms\"\ntimeout = \"300ms\"\nfall = 2\nrise = "
         "2\n\n[pool.app]\nprimary = [" +
         at(primary_1_) + ", " + at(primary_2_) + "]\nstandby = [" + at(standby_) +
         "]\nresponse_timeout = \"5s\"\n\n[pool.app.failover]\nfailback = \"after 3s\"\nramp = "
         "\"1s\"\n\n[[route]]\npool = "
         "\"app\"\nwebsocket = { close_over = \"1s\" }\n";
}

void Demo::say(const std::string& text) const {
  const auto s =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin_).count();
  std::printf("%6.1f s  %s\n", static_cast<double>(s) / 1000, text.c_str());
  std::fflush(stdout);
}

// ":8080" listens everywhere, but is no address for a browser.
std::string Demo::address_to_open() const {
  return options_.listen.starts_with(':') ? "127.0.0.1" + options_.listen : options_.listen;
}

void Demo::check(bool good, const std::string& text) {
  say((good ? "   ok: " : "   NOT SO: ") + text);
  passed_ &= good;
}

void Demo::line(Seen seen) {
  std::string served;
  for (const auto& [name, count] : seen.by_origin)
    served += (served.empty() ? "" : ", ") + name + " " + std::to_string(count);
  std::sort(seen.latency_us.begin(), seen.latency_us.end());
  const double p95 = seen.latency_us.empty() ? 0 : seen.latency_us[seen.latency_us.size() * 95 / 100] / 1000.0;
  const unsigned silent = load_->sockets_silent();
  char text[256];
  std::snprintf(text, sizeof text, "   %4llu answers, %llu failed, p95 %6.1f ms | %u sockets held%s, %llu lost | by %s",
                static_cast<unsigned long long>(seen.ok), static_cast<unsigned long long>(seen.failed), p95,
                load_->sockets_open(), silent ? (" (" + std::to_string(silent) + " silent)").c_str() : "",
                static_cast<unsigned long long>(seen.sockets_lost), served.empty() ? "nobody" : served.c_str());
  say(text + (seen.last_failure.empty() ? "" : " | " + seen.last_failure));
  last_origins_ = seen.by_origin;
  totals_.ok += seen.ok;
  totals_.failed += seen.failed;
  totals_.lost += seen.sockets_lost;
  totals_.opened += seen.sockets_opened;
}

asio::awaitable<void> Demo::watch(std::chrono::seconds duration) {
  asio::steady_timer timer(io_);
  for (int i = 0; i < duration.count(); ++i) {
    timer.expires_after(1s);
    error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    line(load_->take());
  }
}

// The timetable. What a client must not notice is checked, not only said.
asio::awaitable<void> Demo::show() {
  const auto only = [this](const char* name) { return last_origins_.size() == 1 && last_origins_.count(name) == 1; };
  const auto none = [this](const char* name) { return last_origins_.count(name) == 0; };
  say("two primaries and a standby serve " + options_.listen + "; 20 clients and 10 WebSockets come in");
  load_->start();
  co_await watch(3s);
  check(none("standby") && !last_origins_.empty(), "the primaries serve, the standby waits");

  say("primary-1 is killed");
  primary_1_.kill();
  co_await watch(3s);
  check(only("primary-2"), "primary-2 carries on alone");

  say("primary-2 is killed too");
  primary_2_.kill();
  co_await watch(4s);
  check(only("standby"), "the standby serves");

  say("both primaries come back; the way back is taken after 3 s without trouble");
  primary_1_.revive();
  primary_2_.revive();
  co_await watch(8s);
  for (int more = 0; more < 16 && !none("standby"); ++more) co_await watch(1s);  // a busy machine takes its time
  check(none("standby") && !last_origins_.empty(), "the primaries serve again");

  say("both primaries freeze: they accept connections and answer nothing");
  primary_1_.freeze();
  primary_2_.freeze();
  co_await watch(5s);
  check(only("standby"), "the standby serves");

  say("the primaries thaw");
  primary_1_.revive();
  primary_2_.revive();
  co_await watch(8s);
  for (int more = 0; more < 16 && !none("standby"); ++more) co_await watch(1s);  // a busy machine takes its time
  check(none("standby") && !last_origins_.empty(), "the primaries serve again");

  check(totals_.failed == 0,
        std::to_string(totals_.ok) + " requests answered, " + std::to_string(totals_.failed) + " failed");
  for (int more = 0; more < 5 && load_->sockets_open() < 10; ++more) co_await watch(1s);  // they follow within a second
  check(load_->sockets_open() == 10, std::to_string(totals_.lost) + " WebSockets lost their endpoint, " +
                                         std::to_string(load_->sockets_open()) + " of 10 are open again");
  say(passed_ ? "every phase went as announced" : "NOT every phase went as announced");
  if (options_.once) {
    load_->stop();
    ::kill(::getpid(), SIGTERM);
    co_return;
  }
  say("it keeps running: open http://" + address_to_open() + "/ (who serves and why: http://" + options_.admin +
      "/, or understudy status --admin " + options_.admin + "); Ctrl-C ends it");
  for (;;) {
    asio::steady_timer timer(io_);
    timer.expires_after(10s);
    error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    line(load_->take());
  }
}

int Demo::run() {
  begin_ = std::chrono::steady_clock::now();
  const auto listen = config::parse_address(options_.listen, 0, nullptr);
  const auto numeric = listen ? listen->numeric() : std::nullopt;
  if (!numeric || numeric->port == 0) {
    std::fprintf(stderr, "understudy demo: --listen '%s' is no IP address with a port; write it as 127.0.0.1:8080\n",
                 options_.listen.c_str());
    return 2;
  }
  std::string wrong;
  if (!config::parse_address(options_.admin, 0, &wrong)) {
    std::fprintf(stderr, "understudy demo: --admin '%s' %s\n", options_.admin.c_str(), wrong.c_str());
    return 2;
  }
  const tcp::endpoint proxy(asio::ip::make_address(listen->host.empty() ? "127.0.0.1" : listen->host), numeric->port);
  load_ = std::make_unique<Load>(io_, proxy, 20, 10);

  const auto work = asio::make_work_guard(io_);
  std::thread thread([this] { io_.run(); });
  server::RunOptions options;
  const std::string text = config();
  options.builtin = [text] { return config::load(text, "demo.toml", server::system_context()); };
  options.quiet = true;
  options.on_ready = [this](const std::string&) { asio::co_spawn(io_, show(), asio::detached); };
  const int code = server::run(options);
  io_.stop();
  thread.join();
  if (code != 0) return code;
  return passed_ ? 0 : 1;
}

}  // namespace

int run(const DemoOptions& options) {
  try {
    Demo demo(options);
    return demo.run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "understudy demo: %s\n", e.what());
    return 1;
  }
}

}  // namespace understudy::demo
