#include "proxy/drill/run.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <optional>
#include <stdexcept>
#include <thread>
#include <tuple>

#include "config/scenario_keys.hpp"
#include "health/explain.hpp"
#include "health/rehearsal/script.hpp"
#include "proxy/drill/incident_check.hpp"
#include "proxy/drill/origin.hpp"
#include "proxy/drill/proxy_child.hpp"
#include "proxy/drill/report.hpp"
#include "proxy/drill/sandbox.hpp"
#include "proxy/drill/target.hpp"

namespace understudy::drill {

using namespace std::chrono_literals;

namespace {

constexpr auto kRecordedWithin = 1500ms;
constexpr auto kReadyWithin = 15s;
constexpr auto kPoll = 100ms;
constexpr auto kBeat = 20ms;

std::string pool_of(const config::Scenario& scenario, const config::Config& config) {
  return scenario.pool.empty() ? config.pools.front().name : scenario.pool;
}

class Folder {
public:
  Folder() {
    std::string text = (std::filesystem::temp_directory_path() / "understudy-drill-XXXXXX").string();
    if (::mkdtemp(text.data()) == nullptr)
      throw std::runtime_error("cannot make a temporary folder: " + std::string(std::strerror(errno)));
    path_ = std::filesystem::absolute(text).string();
    std::filesystem::create_directory(path_ + "/state");
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

private:
  std::string path_;
};

// An io_context on a thread of its own, and how late it comes round.
class Loop {
public:
  Loop() : work_(asio::make_work_guard(io)), timer_(io) {}
  ~Loop() { finish(); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void start() {
    asio::post(io, [this] { beat(); });
    thread_ = std::thread([this] { io.run(); });
  }
  void finish() {
    if (!thread_.joinable()) return;
    asio::post(io, [this] {
      stopping_ = true;
      timer_.cancel();
    });
    work_.reset();
    thread_.join();
  }
  template <class Call>
  auto on(Call call) {
    std::packaged_task<decltype(call())()> task(std::move(call));
    auto result = task.get_future();
    asio::post(io, [&task] { task(); });
    return result.get();
  }
  const std::vector<Micros>& beats() const { return beats_; }  // after finish()

  asio::io_context io{1};

private:
  void beat() {
    const auto due = Clock::now() + kBeat;
    timer_.expires_at(due);
    timer_.async_wait([this, due](boost::system::error_code error) {
      if (error || stopping_) return;
      beats_.push_back(std::chrono::duration_cast<Micros>(Clock::now() - due));
      beat();
    });
  }
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::steady_timer timer_;
  bool stopping_ = false;
  std::vector<Micros> beats_;
  std::thread thread_;
};

class Run {
public:
  Run(const config::Scenario& scenario, const config::Config& config, const Options& options)
      : scenario_(scenario), options_(options), pool_(pool_of(scenario, config)), places_(places_of(config)) {
    result_.scenario = scenario;
    result_.config_file = options.config_file;
    calm_.length = config::Duration::zero();
    make_origins();
    std::vector<std::uint16_t> ports;
    for (const auto& origin : origins_) ports.push_back(origin->port());
    sandbox_ = make_sandbox(config, ports, folder_.path());
    if (upgrades()) rename_for_file(sandbox_);
    result_.notes = sandbox_.notes;
  }

  Result run();

private:
  // What the main thread does at a time: freezes or wakes the proxy, or acts as its operator.
  struct Item {
    Clock::duration at;
    std::function<void()> act;
  };

  void make_origins();
  void make_timetable();
  void begin();
  void watch();
  void finish();
  void note(Clock::duration at, const std::string& text);
  void take_events();
  void perform(const config::ScenarioAct& act);
  void refused(Clock::duration at, const std::string& why);
  void take_upgrades(bool is_over);
  bool upgrades() const {
    return std::any_of(scenario_.acts.begin(), scenario_.acts.end(),
                       [](const config::ScenarioAct& act) { return act.act == config::ActKind::upgrade; });
  }
  void report_progress(bool last);
  void evaluate();
  void take_incidents();
  void count_requests();
  void count_executions();

  const config::Scenario& scenario_;
  const Options& options_;
  std::string pool_;
  std::vector<Place> places_;
  config::Scenario calm_;  // of gates: nothing ever happens
  Folder folder_;
  Ledger ledger_;
  Loop origin_loop_, load_loop_;
  std::vector<std::unique_ptr<Origin>> origins_;
  std::unique_ptr<Load> load_;
  std::unique_ptr<Devices> devices_;
  Sandbox sandbox_;
  ProxyChild proxy_;
  Result result_;
  std::vector<Item> timetable_;
  std::size_t next_item_ = 0;
  Clock::time_point begin_{};
  std::chrono::system_clock::time_point begin_wall_{};
  std::promise<void> load_done_;
  std::vector<std::pair<Clock::duration, std::string>> log_;
  std::vector<std::string> news_;
  Clock::time_point last_progress_{};
  std::string died_;
  std::vector<IncidentSeen> incidents_;
};

void Run::make_origins() {
  for (std::uint32_t i = 0; i < places_.size(); ++i) {
    const Place& place = places_[i];
    // Of other pools nobody asks anything here, and their endpoints are well.
    const bool is_meant = !place.is_gate && place.pool == pool_;
    origins_.push_back(std::make_unique<Origin>(origin_loop_.io,
                                                OriginScript(is_meant ? scenario_ : calm_, place.tier, place.label),
                                                OriginSettings{i, place.check}, ledger_));
  }
}

void Run::make_timetable() {
  const auto add = [this](Clock::duration at, std::function<void()> act) {
    timetable_.push_back({at, std::move(act)});
  };
  for (const config::ScenarioFault& fault : scenario_.faults) {
    const std::string kind = config::fault_kinds().at(static_cast<std::size_t>(fault.kind));
    const std::string what = fault.kind == config::FaultKind::starve ? kind : kind + " at " + fault.where;
    const bool starves = fault.kind == config::FaultKind::starve;
    add(fault.at, [this, at = fault.at, what, starves] {
      if (starves) proxy_.freeze(true);
      note(at, "fault: " + what);
    });
    if (!fault.until) continue;
    add(*fault.until, [this, at = *fault.until, what, starves] {
      if (starves) proxy_.freeze(false);
      note(at, "heals: " + what);
    });
  }
  for (const config::ScenarioAct& act : scenario_.acts) add(act.at, [this, act] { perform(act); });
  std::stable_sort(timetable_.begin(), timetable_.end(), [](const Item& a, const Item& b) { return a.at < b.at; });
}

void Run::perform(const config::ScenarioAct& act) {
  static const std::array<const char*, 7> words{"failover", "failback", "hold",   "release",
                                                "approve",  "reload",   "upgrade"};
  note(act.at, std::string("operator: ") + words.at(static_cast<std::size_t>(act.act)) +
                   (act.to.empty() ? "" : " '" + act.to + "'"));
  if (const std::string why = proxy_.act(act, pool_); !why.empty()) refused(act.at, why);
}

void Run::refused(Clock::duration at, const std::string& why) {
  health::Told told{begin_ + at, {}};
  told.event.kind = health::Event::Kind::proposal_refused;
  told.event.reason = "the operator's order was refused: " + why;
  note(at, told.event.reason);
  result_.facts.events.push_back(std::move(told));
}

void Run::take_upgrades(bool is_over) {
  const auto at = std::min<Clock::duration>(Clock::now() - begin_, scenario_.length);
  for (const ProxyChild::Upgraded& upgraded : proxy_.take_upgrades(is_over)) {
    if (!upgraded.why.empty()) {
      refused(at, upgraded.why);
    } else {
      note(at, "process " + std::to_string(upgraded.to) + " serves from now on");
    }
  }
}

void Run::note(Clock::duration at, const std::string& text) {
  log_.emplace_back(at, text);
  news_.push_back(stamp(at) + text);
}

void Run::take_events() {
  for (ProxyEvent& seen : proxy_.take_events()) {
    const auto at = std::chrono::duration_cast<Clock::duration>(seen.at - begin_wall_);
    const bool is_of_pool = seen.event.pool.empty() || seen.event.pool == pool_;
    if (at < Clock::duration::zero() || at > scenario_.length || !is_of_pool) continue;
    note(at, std::string(health::name_of(seen.event.kind)) + ": " + seen.event.reason);
    result_.facts.events.push_back({begin_ + at, std::move(seen.event)});
  }
}

void Run::begin() {
  LoadSettings settings;
  settings.proxy = tcp::endpoint(asio::ip::address_v4::loopback(), proxy_.port());
  settings.load = scenario_.load;
  settings.length = scenario_.length;
  settings.target = *find_target(sandbox_.config, pool_);
  load_ = std::make_unique<Load>(load_loop_.io, settings);
  devices_ = std::make_unique<Devices>(load_loop_.io, settings);
  load_loop_.start();
  // The WebSockets are open when it begins.
  begin_ = Clock::now() + (scenario_.load.websockets > 0 ? 1500ms : 300ms);
  begin_wall_ = std::chrono::system_clock::now() +
                std::chrono::duration_cast<std::chrono::system_clock::duration>(begin_ - Clock::now());
  origin_loop_.on([this] {
    for (const auto& origin : origins_) origin->begin(begin_);
    return 0;
  });
  load_loop_.on([this] {
    devices_->start();
    load_->start(begin_, [this] { load_done_.set_value(); });
    return 0;
  });
  health::ScenarioFacts& facts = result_.facts;
  facts.begin = begin_;
  facts.first_tier = proxy_.first_tier();
  const health::Script script(scenario_, begin_);
  facts.first_fault = script.first_fault();
  facts.last_heal = script.last_heal();
}

void Run::watch() {
  const Clock::time_point end = begin_ + scenario_.length;
  std::string how;
  while (Clock::now() < end) {
    while (next_item_ < timetable_.size() && begin_ + timetable_[next_item_].at <= Clock::now())
      timetable_[next_item_++].act();
    if (options_.interrupted != nullptr && *options_.interrupted != 0) {
      result_.why_invalid = "it was interrupted";
      return;
    }
    if (!proxy_.alive(how)) {
      died_ = how;
      return note(Clock::now() - begin_, how);
    }
    take_events();
    take_upgrades(false);
    report_progress(false);
    // The last events of a process that is being replaced are told by it alone.
    Clock::time_point next = std::min(end, Clock::now() + (proxy_.is_upgrading() ? kBeat : kPoll));
    if (next_item_ < timetable_.size()) next = std::min(next, begin_ + timetable_[next_item_].at);
    std::this_thread::sleep_until(next);
  }
  while (next_item_ < timetable_.size()) timetable_[next_item_++].act();  // those at the end itself
}

void Run::report_progress(bool last) {
  const auto now = Clock::now();
  if (!options_.progress || (!last && now < last_progress_ + 250ms && news_.empty())) return;
  last_progress_ = now;
  Progress progress;
  progress.length = std::chrono::duration<double>(scenario_.length).count();
  progress.elapsed = std::min(progress.length, std::max(0.0, std::chrono::duration<double>(now - begin_).count()));
  std::tie(progress.sent, progress.failed, progress.sockets_open) = load_loop_.on([this] {
    const Load::Tally tally = load_->tally();
    return std::make_tuple(tally.sent, tally.failed, devices_->counts().open);
  });
  progress.serving = health::serving_at(result_.facts, Clock::now());
  progress.news = std::exchange(news_, {});
  options_.progress(progress);
}

// What is under way is waited for; then the clients leave, the proxy ends, and the origins last: they tell what they carried out.
void Run::finish() {
  const bool is_over = died_.empty() && result_.why_invalid.empty();
  if (is_over) {
    // Nobody opens any more while the record is completed: it counts what they count.
    result_.devices = load_loop_.on([this] {
      DeviceCounts counts = devices_->counts();
      devices_->stop();
      return counts;
    });
    load_done_.get_future().wait_for(scenario_.load.patience + 1s);
    std::this_thread::sleep_for(200ms);
    take_events();
    take_upgrades(true);
    result_.facts.alerts = proxy_.alerts(pool_, begin_wall_);
    take_incidents();
  }
  report_progress(true);
  load_loop_.on([this] {
    devices_->stop();
    load_->stop();
    return 0;
  });
  load_loop_.finish();
  proxy_.stop();
  origin_loop_.on([this] {
    for (const auto& origin : origins_) origin->stop();
    return 0;
  });
  origin_loop_.finish();
}

// The record's newest point is written when its second is over.
void Run::take_incidents() {
  if (!proxy_.incidents(pool_, begin_wall_ - 1s).empty()) std::this_thread::sleep_for(kRecordedWithin);
  const auto since = [this](const std::string& text) {
    return std::chrono::duration_cast<Micros>(parse_time(text) - begin_wall_);
  };
  for (const boost::json::value& one : proxy_.incidents(pool_, begin_wall_ - 1s)) {
    const boost::json::object& told = one.as_object();
    const double failed = number_of(told.at("counts").as_object(), "failed");
    incidents_.push_back({since(text_of(told, "began")), static_cast<std::uint64_t>(failed)});
  }
}

void Run::count_requests() {
  health::ScenarioFacts& facts = result_.facts;
  std::vector<Micros> times, late;
  std::vector<std::uint64_t> by_origin(places_.size());
  for (const RequestRecord& record : load_->records()) {
    const bool answered = record.outcome == Outcome::answered;
    ++result_.requests;
    late.push_back(record.late);
    const bool in_time = answered && record.latency <= scenario_.expect.slow_after;
    facts.answered += in_time ? 1 : 0;
    facts.failed += answered ? 0 : 1;
    facts.failed_repeatable += !answered && !record.post ? 1 : 0;
    facts.bad += in_time ? 0 : 1;
    if (answered) times.push_back(record.latency);
    if (answered && record.origin >= 0 && static_cast<std::size_t>(record.origin) < by_origin.size())
      ++by_origin[static_cast<std::size_t>(record.origin)];
    std::string why(name_of(record.outcome));
    if (record.outcome == Outcome::status) why += " " + std::to_string(record.status);
    if (!answered) ++result_.failures[why];
  }
  result_.records = load_->records();
  for (std::size_t i = 0; i < places_.size(); ++i) {
    result_.origins.push_back(places_[i].label);
    if (places_[i].pool == pool_ && !places_[i].is_gate) result_.answers.emplace_back(places_[i].label, by_origin[i]);
  }
  std::sort(times.begin(), times.end());
  const auto quantile = [&times](std::size_t percent) {
    return times.empty() ? Micros(0) : times[(times.size() - 1) * percent / 100];
  };
  result_.latency = {quantile(50), quantile(95), quantile(99), quantile(100)};
  result_.pace = pace_of(std::move(late));
  result_.origins_pace = pace_of(origin_loop_.beats());
}

void Run::count_executions() {
  const auto& records = load_->records();
  for (const auto& [id, times] : ledger_.all()) {
    if (times < 2 || id >= records.size()) continue;
    (records[id].post ? result_.facts.doubled : result_.repeated) += 1;
  }
}

void Run::evaluate() {
  count_requests();
  count_executions();
  health::ScenarioFacts& facts = result_.facts;
  facts.sockets_dropped = result_.devices.dropped;
  facts.sockets_cut = result_.devices.cut;
  facts.drops_per_second = busiest_second(result_.devices.drop_times);
  facts.sockets_open = result_.devices.open;
  const std::vector<Micros>& openings = result_.devices.opening_times;
  facts.slow_openings = result_.devices.failed_openings +
                        static_cast<std::uint64_t>(std::count_if(openings.begin(), openings.end(), [this](Micros took) {
                          return took > scenario_.expect.slow_after;
                        }));
  std::stable_sort(facts.events.begin(), facts.events.end(),
                   [](const health::Told& a, const health::Told& b) { return a.at < b.at; });
  result_.times = health::times_of(facts);
  result_.checks = health::judge(scenario_.expect, facts);
  std::optional<Micros> first_fault;
  if (facts.first_fault) first_fault = std::chrono::duration_cast<Micros>(*facts.first_fault - begin_);
  if (auto told = check_incidents(incidents_, result_.records, result_.devices, first_fault); told && died_.empty())
    result_.checks.push_back(std::move(*told));
  if (!died_.empty()) result_.checks.insert(result_.checks.begin(), {"the proxy runs to the end", false, died_});
  std::stable_sort(log_.begin(), log_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [at, text] : log_) result_.log.push_back(stamp(at) + text);
  const auto share = [](const Pace& pace) {
    char text[80];
    std::snprintf(text, sizeof text, "%.1f%% of its turns came more than 50 ms late", pace.late_share * 100);
    return std::string(text);
  };
  if (!result_.pace.kept()) result_.why_invalid = "the load generator did not keep its pace: " + share(result_.pace);
  if (!result_.origins_pace.kept())
    result_.why_invalid = "the origins did not keep their pace: " + share(result_.origins_pace);
  const bool passed = std::all_of(result_.checks.begin(), result_.checks.end(), [](const auto& c) { return c.passed; });
  result_.verdict = !died_.empty()                 ? Verdict::failed
                    : !result_.why_invalid.empty() ? Verdict::invalid
                    : passed                       ? Verdict::passed
                                                   : Verdict::failed;
}

Result Run::run() {
  proxy_.start(sandbox_.config, folder_.path(), upgrades());
  // Probes have to be answered while it gets ready: the origins run, the clients do not yet.
  origin_loop_.start();
  const std::string why = proxy_.wait_ready(pool_, kReadyWithin);
  if (!why.empty()) {
    origin_loop_.on([this] {
      for (const auto& origin : origins_) origin->stop();
      return 0;
    });
    proxy_.stop();
    origin_loop_.finish();
    throw std::runtime_error(why);
  }
  make_timetable();
  begin();
  watch();
  finish();
  evaluate();
  return std::move(result_);
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed: return "passed";
    case Verdict::failed: return "failed";
    case Verdict::invalid: return "invalid";
  }
  return "";
}

std::string unfit_for_drill(const config::Scenario& scenario, const config::Config& config) {
  const std::string pool = pool_of(scenario, config);
  if (config.listeners.empty()) return "the configuration has no listener; add [listen.web] with an address";
  const auto target = find_target(config, pool);
  if (!target)
    return "no request can be made up that the routes take to [pool." + pool +
           "]; give it a [[route]] that no earlier one covers";
  if (!target->post && scenario.load.post > 0)
    return "route '" + target->route + "' takes no POST, and the load has some; write post = \"0%\" in [load]";
  if (!target->websocket && scenario.load.websockets > 0)
    return "route '" + target->route + "' forbids WebSockets, and the load has some; leave 'websockets' out of [load]";
  return {};
}

Result run(const config::Scenario& scenario, const config::Config& config, const Options& options) {
  Run drill(scenario, config, options);
  return drill.run();
}

}  // namespace understudy::drill
