// Binary upgrade, both ends: the old process that hands over, the new one that takes over (handover.hpp).
#include <signal.h>

#include <boost/asio/post.hpp>
#include <algorithm>
#include <system_error>

#include "proxy/server/process.hpp"

namespace understudy::server {

namespace {
constexpr std::chrono::seconds kStateInTime{5};  // a disk that takes longer does not hold the upgrade up
constexpr std::chrono::milliseconds kLook{20};
constexpr std::chrono::milliseconds kDrillOver{500};  // a check of what it was on, and the way back
constexpr std::chrono::seconds kFirstVerdicts{5};     // waited for, at most
constexpr std::chrono::seconds kLastWord{5};          // beyond the pace of the tunnels, for those who go last
}  // namespace

// ---- the old one ---------------------------------------------------------------------------------------------------

// The new process knows what was ordered until it was started. What came later would be done by one that is about to leave, and
// forgotten. Who asks again a moment later finds one that decides: this one if the other failed.
std::optional<admin::Problem> Process::refuses_changes(bool lasting) {
  if (handed_over_)
    return admin::Problem{503, "Another process serves",
                          "a binary upgrade has replaced this process; ask again, and the new one answers"};
  if (successor_ && lasting)
    return admin::Problem{503, "A binary upgrade is under way",
                          "a new process is taking over and would not know of this; ask again in a moment"};
  return std::nullopt;
}

// While it is open which process goes on. False: none has been started.
bool Process::pass_on(int signal) {
  if (successor_) passed_on_.insert(signal);
  return successor_ != nullptr;
}

void Process::begin_upgrade() {
  const char* refused = stop_ != Stop::no              ? "this process is stopping"
                        : successor_ || upgrade_begun_ ? "one is under way"
                        : taking_over_                 ? "this process has not taken over yet itself"
                        : options_.config_path.empty() ? "it needs a configuration file"
                        : program_.empty()             ? "it is not known where the program stands (/proc is missing)"
                                                       : nullptr;
  if (refused != nullptr) {
    log(observe::Level::warn, std::string("SIGUSR2: no binary upgrade: ") + refused);
    return;
  }
  log(observe::Level::info, "binary upgrade: starting " + program_);
  upgrade_begun_ = true;
  if (!drills_.desk().any_running()) return save_for_successor();
  cut_drills("", "a binary upgrade");
  record_drills(true);
  // The new process is to start where traffic has gone back to.
  upgrade_timer_.expires_after(kDrillOver);
  upgrade_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error && upgrade_begun_) save_for_successor();
  });
}

// It reads incidents and drills from the disk: what waits to be written there is, when this is.
void Process::save_for_successor() {
  upgrade_timer_.expires_after(kStateInTime);
  upgrade_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || !upgrade_begun_) return;
    log(observe::Level::warn, "binary upgrade: the disk is slow; the newest lines of incidents may not be written yet");
    launch_successor();
  });
  if (!state_dir_.kept()) return launch_successor();
  const bool taken = write_state("upgrade", [this] {
    boost::asio::post(io_, [this] {
      if (upgrade_begun_) launch_successor();
    });
  });
  if (!taken) launch_successor();
}

void Process::launch_successor() {
  upgrade_begun_ = false;
  upgrade_timer_.cancel();
  if (stop_ != Stop::no) return;
  cut_drills("", "a binary upgrade");  // one that was begun meanwhile
  record_drills(true);
  passed_on_.clear();
  Successor::Estate estate;
  estate.listening = listeners_.to_pass();
  estate.lock = state_dir_.lock();
  estate.admin = admin_->listening();
  estate.admin_where = loaded_.config->admin.listen.text;
  const TimePoint now = std::chrono::steady_clock::now();
  estate.tickets = {plans_->tickets().secret(), std::chrono::floor<std::chrono::milliseconds>(now - tickets_rotated_)};
  estate.state = to_json(core_.save(now), std::chrono::system_clock::now());
  try {
    successor_ = std::make_unique<Successor>(io_, program_, estate, [this](const std::string& why) { succeeded(why); });
    log(observe::Level::info, "binary upgrade: process " + std::to_string(successor_->pid()) +
                                  " was started; orders and reloads are refused until it serves or has failed");
  } catch (const std::system_error& e) {
    succeeded(e.what());
  }
}

void Process::succeeded(const std::string& why) {
  const pid_t pid = successor_ ? successor_->pid() : -1;
  // Not from inside its own call.
  boost::asio::post(io_, [gone = std::shared_ptr<Successor>(std::move(successor_))] {});
  if (!why.empty()) {
    ++upgrades_failed_;
    log(observe::Level::error, "binary upgrade failed: " + program_ + ": " + why + "; this process goes on serving");
    save_state_soon();  // which nobody did meanwhile
    if (passed_on_.contains(SIGHUP)) reload([](const admin::Reply&) {});
    return;
  }
  handed_over_ = true;
  log(observe::Level::info, "binary upgrade: process " + std::to_string(pid) +
                                " serves from now on; this one finishes what it has and then ends");
  for (const int signal : passed_on_) ::kill(pid, signal);
  manager_.say("MAINPID=" + std::to_string(pid));
  manager_.retire();
  admin_->hand_over();
  listeners_.forget_files();
  state_dir_.let_go();
  drill_book_.let_go();
  // Tunnels leave at their configured pace, however short the grace of a stop is.
  config::Duration longest = loaded_.config->server.shutdown_grace;
  for (const config::RouteConfig& route : loaded_.config->routes)
    if (route.websocket.allowed) longest = std::max<config::Duration>(longest, route.websocket.close_over + kLastWord);
  const TimePoint now = std::chrono::steady_clock::now();
  stop_ = Stop::leading;
  stop_deadline_ = now + longest;
  lead_until_ = now;
  continue_stop();
}

// ---- the new one ---------------------------------------------------------------------------------------------------

// Clients resume with the new process what they began with the old one. While that still serves, both may rotate: the next key is
// known to both.
void Process::adopt_tickets(TimePoint now) {
  const TicketSecret passed = inheritance_.take_tickets();
  if (plans_->tickets().adopt(passed.keys())) {
    tickets_rotated_ = now - passed.age();
  } else if (inheritance_.any()) {
    log(observe::Level::warn,
        "binary upgrade: the keys of TLS session tickets were not handed over; clients make new sessions");
  }
}

// Nobody is served, nor is anything taken from the old process, before the endpoints have their first verdicts.
void Process::take_over(TimePoint since) {
  const TimePoint now = std::chrono::steady_clock::now();
  const bool settling = std::any_of(view_->pools.begin(), view_->pools.end(), [](const auto& p) { return p.settling; });
  if (stop_ != Stop::no) return;
  if (settling && now < since + kFirstVerdicts) {
    upgrade_timer_.expires_after(kLook);
    upgrade_timer_.async_wait([this, since](const boost::system::error_code& error) {
      if (!error) take_over(since);
    });
    return;
  }
  try {
    admin_->start(std::exchange(admin_socket_, -1));
  } catch (const std::exception& e) {
    // The old process hears from our end that this was nothing.
    log(observe::Level::error, std::string("binary upgrade: ") + e.what());
    exit_code_ = 1;
    io_.stop();
    return;
  }
  taking_over_ = false;
  listeners_.own_files();
  listeners_.serve(workers_);
  inheritance_.say_ready();
  save_state_soon();
  log(observe::Level::info, "binary upgrade: this process has taken over");
  manager_.say("READY=1\nSTATUS=" + describe_start());
}

}  // namespace understudy::server
