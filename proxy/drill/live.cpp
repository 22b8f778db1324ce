#include "proxy/drill/live.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "health/rehearsal/script.hpp"
#include "proxy/drill/event_feed.hpp"
#include "proxy/drill/report.hpp"

namespace understudy::drill {

namespace json = boost::json;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto kPoll = 100ms;
constexpr auto kAftermath = 5s;      // after one that was cut short: until traffic is back
constexpr auto kLastCount = 1500ms;  // after its end its last second is counted
constexpr int kRenewals = 4;         // in a lease

Micros micros(double ms) { return Micros(std::llround(ms * 1000)); }

json::object object_of(const std::string& body) {
  json::error_code error;
  json::value value = json::parse(body, error);
  return !error && value.is_object() ? std::move(value.get_object()) : json::object();
}

// Asks for the lease again and again, in a thread of its own: whatever else takes its time must not end the drill.
class Lease {
public:
  Lease(admin::ClientOptions proxy, std::uint64_t id, std::chrono::milliseconds length)
      : proxy_(std::move(proxy)), path_("/api/v1/drills/" + std::to_string(id) + "/renew"), every_(length / kRenewals) {
    proxy_.connect_timeout = proxy_.answer_timeout = length;
    thread_ = std::thread([this] { hold(); });
  }
  ~Lease() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  // Why the proxy was not heard the last time; "" it was.
  std::string silent() const {
    const std::lock_guard lock(mutex_);
    return silent_;
  }

private:
  void hold() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      lock.unlock();
      const auto result = admin::Client(proxy_).request("POST", path_, "{}");
      lock.lock();
      const auto* gone = std::get_if<admin::NotReachable>(&result);
      silent_ = gone != nullptr ? gone->why : std::string();
      wake_.wait_for(lock, every_, [this] { return stopping_; });
    }
  }

  admin::ClientOptions proxy_;
  std::string path_;
  std::chrono::milliseconds every_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::string silent_;
  std::thread thread_;
};

class LiveRun {
public:
  LiveRun(const config::Scenario& scenario, const admin::ClientOptions& proxy, const Options& options)
      : scenario_(scenario), proxy_(proxy), options_(options) {
    result_.scenario = scenario;
    result_.config_file = options.config_file;
    result_.live = true;
  }

  std::optional<Refused> begin(const std::string& text, const std::string& file);
  Result run();

private:
  std::optional<json::object> ask(const std::string& method, const std::string& path, const std::string& body = {});
  void take_state();
  void take_events();
  void watch();
  void await_return();
  void report_progress();
  void evaluate();
  void note(Clock::duration at, const std::string& text) {
    log_.emplace_back(at, text);
    news_.push_back(stamp(at) + text);
  }
  std::string drill_path() const { return "/api/v1/drills/" + std::to_string(id_); }

  const config::Scenario& scenario_;
  const admin::ClientOptions& proxy_;
  const Options& options_;
  Result result_;
  EventFeed feed_;
  std::uint64_t id_ = 0;
  std::string pool_;
  std::chrono::milliseconds lease_{};
  json::object state_;
  Clock::time_point begin_{};
  std::chrono::system_clock::time_point begin_wall_{};
  std::vector<std::pair<Clock::duration, std::string>> log_;
  std::vector<std::string> news_;
  Clock::time_point last_progress_{};
  std::optional<Clock::time_point> silent_since_;
};

std::optional<json::object> LiveRun::ask(const std::string& method, const std::string& path, const std::string& body) {
  const auto result = admin::Client(proxy_).request(method, path, body);
  const auto* answer = std::get_if<admin::Answer>(&result);
  if (answer == nullptr || answer->status != 200) return std::nullopt;
  return object_of(answer->body);
}

std::optional<Refused> LiveRun::begin(const std::string& text, const std::string& file) {
  feed_.take(proxy_);  // what was before is none of ours
  const std::string body = json::serialize(json::object{{"scenario", text}, {"file", file}});
  const auto result = admin::Client(proxy_).request("POST", "/api/v1/drill", body);
  if (const auto* gone = std::get_if<admin::NotReachable>(&result)) throw std::runtime_error(gone->why);
  const auto& answer = std::get<admin::Answer>(result);
  state_ = object_of(answer.body);
  if (answer.status != 200) return Refused{answer.status, text_of(state_, "title"), text_of(state_, "detail")};
  begin_ = Clock::now();
  id_ = static_cast<std::uint64_t>(number_of(state_, "id"));
  pool_ = text_of(state_, "pool");
  lease_ = std::chrono::milliseconds(std::llround(number_of(state_, "lease_ms")));
  begin_wall_ = parse_time(text_of(state_, "began"));
  health::ScenarioFacts& facts = result_.facts;
  facts.begin = begin_;
  facts.first_tier = text_of(state_, "tier");
  const health::Script script(scenario_, begin_);
  facts.first_fault = script.first_fault();
  facts.last_heal = script.last_heal();
  return std::nullopt;
}

void LiveRun::take_state() {
  if (auto state = ask("GET", drill_path())) state_ = std::move(*state);
  health::ScenarioFacts& facts = result_.facts;
  const auto count = [this](const char* key) { return static_cast<std::uint64_t>(number_of(state_, key)); };
  result_.requests = count("requests");
  result_.met = count("met");
  facts.failed = count("failed");
  facts.bad = count("bad");
  facts.answered = result_.requests - std::min(result_.requests, facts.bad);
  facts.sockets_dropped = count("tunnels_dropped");
  result_.latency = {micros(number_of(state_, "p50_ms")), micros(number_of(state_, "p95_ms")),
                     micros(number_of(state_, "p99_ms")), micros(number_of(state_, "worst_ms"))};
}

void LiveRun::take_events() {
  for (ProxyEvent& seen : feed_.take(proxy_)) {
    const auto at = std::chrono::duration_cast<Clock::duration>(seen.at - begin_wall_);
    if (at < -10ms || (!seen.event.pool.empty() && seen.event.pool != pool_)) continue;
    note(at, std::string(health::name_of(seen.event.kind)) + ": " + seen.event.reason);
    result_.facts.events.push_back({begin_ + at, std::move(seen.event)});
  }
}

void LiveRun::report_progress() {
  const auto now = Clock::now();
  if (!options_.progress || (now < last_progress_ + 250ms && news_.empty())) return;
  last_progress_ = now;
  Progress progress;
  progress.length = std::chrono::duration<double>(scenario_.length).count();
  progress.elapsed = std::min(progress.length, std::chrono::duration<double>(now - begin_).count());
  progress.sent = result_.requests;
  progress.failed = result_.facts.failed;
  progress.serving = health::serving_at(result_.facts, now);
  progress.news = std::exchange(news_, {});
  options_.progress(progress);
}

// Until it is over, whoever ended it.
void LiveRun::watch() {
  const Lease lease(proxy_, id_, lease_);
  while (true) {
    if (options_.interrupted != nullptr && *options_.interrupted != 0) {
      result_.why_invalid = "it was interrupted";
      ask("POST", drill_path() + "/stop", R"({"reason":"interrupted"})");
      return;
    }
    take_state();
    take_events();
    report_progress();
    if (text_of(state_, "state") != "running") return;
    const std::string silent = lease.silent();
    if (silent.empty()) {
      silent_since_.reset();
    } else if (!silent_since_) {
      silent_since_ = Clock::now();
    } else if (Clock::now() - *silent_since_ > lease_) {
      result_.why_invalid = "the connection to the proxy was lost, whose lease ended the drill: " + silent;
      return;
    }
    std::this_thread::sleep_for(kPoll);
  }
}

// What was cut short is taken back: seen from here too.
void LiveRun::await_return() {
  const auto until = Clock::now() + kAftermath;
  while (Clock::now() < until && health::serving_at(result_.facts, Clock::now()) != result_.facts.first_tier) {
    std::this_thread::sleep_for(kPoll);
    take_events();
    report_progress();
  }
}

void LiveRun::evaluate() {
  health::ScenarioFacts& facts = result_.facts;
  std::stable_sort(facts.events.begin(), facts.events.end(),
                   [](const health::Told& a, const health::Told& b) { return a.at < b.at; });
  result_.times = health::times_of(facts);
  result_.checks = health::judge(scenario_.expect, facts);
  const std::string state = text_of(state_, "state");
  if (state == "cut")
    result_.checks.insert(result_.checks.begin(),
                          {"the drill runs to its end", false, "cut short by " + text_of(state_, "why")});
  std::stable_sort(log_.begin(), log_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [at, text] : log_) result_.log.push_back(stamp(at) + text);
  // Who was cut short has failed, whatever was asked meanwhile.
  if (result_.why_invalid.empty() && state != "cut" && result_.requests == 0)
    result_.why_invalid = "no client asked for anything meanwhile";
  const bool passed = std::all_of(result_.checks.begin(), result_.checks.end(), [](const auto& c) { return c.passed; });
  result_.verdict = !result_.why_invalid.empty() ? Verdict::invalid : passed ? Verdict::passed : Verdict::failed;
}

Result LiveRun::run() {
  watch();
  const auto counted = Clock::now() + kLastCount;
  if (text_of(state_, "state") == "cut") await_return();
  std::this_thread::sleep_until(counted);
  take_events();
  take_state();
  result_.facts.alerts = alerts_since(proxy_, pool_, begin_wall_);
  report_progress();
  evaluate();
  return std::move(result_);
}

}  // namespace

std::variant<Result, Refused> run_live(const config::Scenario& scenario, const std::string& text,
                                       const std::string& file, const admin::ClientOptions& proxy,
                                       const Options& options) {
  LiveRun run(scenario, proxy, options);
  if (auto refused = run.begin(text, file)) return std::move(*refused);
  return run.run();
}

}  // namespace understudy::drill
