// A world in virtual time around the whole health core: endpoints that do as the script says, a coordinator
// that may be slow, refuse, repeat itself or stay silent, and a client that sends requests. Nothing sleeps;
// an hour takes moments.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "config/model.hpp"
#include "health/coordinator.hpp"
#include "health/core.hpp"

// By how much a sanitizer makes simulations slower: they do that much less, or may take that much longer.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDERSTUDY_SLOW_BUILD 10
#else
#define UNDERSTUDY_SLOW_BUILD 1
#endif

namespace understudy::sim {

using namespace std::chrono_literals;
using health::Duration;
using health::Event;
using health::TimePoint;

// ---- configuration

inline config::EndpointConfig endpoint(const std::string& address, const std::string& name = "",
                                       std::uint32_t weight = 1) {
  std::string error;
  config::EndpointConfig result;
  result.address = config::parse_address(address, 0, &error).value();
  result.name = name;
  result.weight = weight;
  return result;
}

inline config::SocketAddress socket_address(const std::string& text) {
  return endpoint(text).address.numeric().value();
}

using Tiers = std::vector<std::pair<std::string, std::vector<config::EndpointConfig>>>;

// Checks every second, 500 ms timeout, fall 2, rise 2; everything else as a user gets it by default.
inline config::PoolConfig pool(const std::string& name, const Tiers& tiers) {
  config::PoolConfig result;
  result.name = name;
  for (const auto& [tier, endpoints] : tiers) result.tiers.push_back({tier, endpoints});
  result.check.kind = config::CheckKind::http;
  result.check.path = "/healthz";
  result.check.interval = 1s;
  result.check.timeout = 500ms;
  result.check.fall = 2;
  result.check.rise = 2;
  return result;
}

// p1 and p2 are primary, s1 is standby.
inline config::PoolConfig two_and_one(const std::string& name = "app") {
  return pool(name, {{"primary", {endpoint("10.0.0.1:80", "p1"), endpoint("10.0.0.2:80", "p2")}},
                     {"standby", {endpoint("10.0.1.1:80", "s1")}}});
}

inline config::Config config_of(std::vector<config::PoolConfig> pools) {
  config::Config result;
  result.pools = std::move(pools);
  return result;
}

// ---- coordinator

class ScriptedCoordinator : public health::Coordinator {
public:
  enum class Does { commit, refuse, lose, repeat };
  struct Step {
    Does does = Does::commit;
    Duration delay{};
  };
  std::deque<Step> script;  // for the next proposals, one each; afterwards `otherwise`
  Step otherwise;
  const TimePoint* clock = nullptr;
  std::vector<health::Proposal> seen;

  void propose(const health::Proposal& proposal) override {
    seen.push_back(proposal);
    Step step = otherwise;
    if (!script.empty()) {
      step = script.front();
      script.pop_front();
    }
    const TimePoint due = *clock + step.delay;
    std::uint64_t& newest = issued_[proposal.pool];
    newest = std::max(newest, proposal.from_epoch);
    if (step.does == Does::lose) return;
    if (step.does == Does::refuse || proposal.from_epoch < newest) {
      answers_.emplace(due, health::Refusal{proposal, "the script says no"});
      return;
    }
    const health::Decision decision{proposal.pool, ++newest, proposal.tier};
    answers_.emplace(due, decision);
    if (step.does == Does::repeat) {
      answers_.emplace(due, decision);
      answers_.emplace(due + 50ms, decision);
    }
  }

  std::optional<health::Answer> poll_answer() override {
    if (answers_.empty() || answers_.begin()->first > *clock) return std::nullopt;
    health::Answer answer = answers_.begin()->second;
    answers_.erase(answers_.begin());
    return answer;
  }
  std::optional<TimePoint> next_answer() const {
    if (answers_.empty()) return std::nullopt;
    return answers_.begin()->first;
  }

private:
  std::map<std::string, std::uint64_t> issued_;
  std::multimap<TimePoint, health::Answer> answers_;
};

// ---- the world

// up: answers in 2 ms. refused: nothing listens. frozen: TCP answers, the application does not (outage C).
// failing: answers 500. unreachable: no answer at all, to nobody.
enum class Mode { up, refused, frozen, failing, unreachable };

struct Traffic {
  Duration every{0};  // one request each; 0: none
  Duration response_timeout = 5s;
};

class World {
public:
  explicit World(const config::Config& config, std::uint64_t seed = 1) : core_(std::make_unique<health::Core>(seed)) {
    coordinator.clock = &now;
    core_->configure(config, now);
    config_ = config;
    drain();
  }

  TimePoint now{1h};  // any time; never zero, so that "unset" shows
  ScriptedCoordinator coordinator;
  std::vector<Event> events;
  std::map<std::string, Mode> modes;  // by address
  Traffic traffic;
  std::map<std::string, std::uint64_t> served, failed;   // requests by tier
  std::map<std::string, bool> gates;                     // by name
  std::map<std::string, health::ProbeResult> synthetic;  // by address
  std::uint64_t synthetics = 0;
  std::uint64_t gates_asked = 0;
  std::uint64_t probes = 0, unserved = 0, view_changes = 0;
  std::function<void()> after_step;  // invariants

  health::Core& core() { return *core_; }
  Duration elapsed() const { return now - TimePoint{1h}; }

  void set(const std::string& address, Mode mode) { modes[address] = mode; }
  Mode mode(const std::string& address) const {
    const auto found = modes.find(address);
    return found == modes.end() ? Mode::up : found->second;
  }
  void at(Duration after, std::function<void()> action) { queue_.emplace(now + after, std::move(action)); }

  void reload(const config::Config& config) {
    core_->configure(config, now);
    config_ = config;
    drain();
  }
  // As after a crash: a new process with a new core, told what the old one had saved.
  void restart(std::uint64_t seed = 2) {
    const health::SavedState saved = core_->save(now);
    queue_.clear();
    core_ = std::make_unique<health::Core>(seed);
    core_->configure(config_, now);
    core_->restore(saved, now);
    samples_.clear();
    drain();
  }
  health::CommandResult command(const health::Command& command) {
    health::CommandResult result = core_->on_command(command, now);
    drain();
    return result;
  }
  void resolve(std::uint32_t pool, std::uint32_t tier, std::uint32_t endpoint,
               const std::vector<std::string>& addresses) {
    health::Resolution resolution{pool, tier, endpoint, {}};
    for (const std::string& text : addresses) resolution.addresses.push_back(socket_address(text));
    core_->on_resolved(resolution, now);
    drain();
  }
  void sample(const health::TrafficSample& sample) {
    core_->on_traffic({&sample, 1}, now);
    drain();
  }

  void run(Duration length) {
    const TimePoint end = now + length;
    if (traffic.every > 0ns && !requesting_) request_loop();
    int standing = 0;
    while (true) {
      const std::optional<TimePoint> next = next_event();
      if (!next || *next > end) break;
      standing = *next > now ? 0 : standing + 1;
      ASSERT_LT(standing, 100'000) << "the world does not get on";
      now = std::max(now, *next);
      step();
    }
    now = end;
    core_->on_time(now);
    drain();
  }
  // Until something holds; how long it took, or nullopt when it did not come true within `limit`.
  std::optional<Duration> run_until(const std::function<bool()>& holds, Duration limit) {
    const TimePoint began = now;
    while (!holds()) {
      if (now - began >= limit) return std::nullopt;
      run(10ms);
    }
    return now - began;
  }

  // This process is stopped (SIGSTOP) for that long. What should have happened meanwhile happens at its end:
  // answers that came in time are read late and count as timed out. `late_notice`: the results come before
  // anybody noticed the stop.
  void stop_self(Duration length, bool late_notice = false) {
    const TimePoint from = now;
    now += length;
    if (!late_notice) core_->on_starved(from, now);
    std::multimap<TimePoint, std::function<void()>> kept;
    std::swap(kept, queue_);
    for (auto& [due, action] : kept) queue_.emplace(std::max(due, now), std::move(action));
    stopped_from_ = from;
    for (int i = 0; i < 3; ++i) {
      while (!queue_.empty() && queue_.begin()->first <= now) pop_queue();
      core_->on_time(now);
      drain();
    }
    stopped_from_.reset();
    if (late_notice) core_->on_starved(from, now);
    drain();
  }

  health::PoolStatus status(std::size_t pool = 0) const { return core_->status().at(pool); }
  std::string active(std::size_t pool = 0) const {
    const health::PoolStatus s = status(pool);
    return s.tiers.at(s.active).name;
  }
  health::EndpointStatus endpoint_status(const std::string& label_or_address) const {
    for (const health::PoolStatus& p : core_->status()) {
      for (const health::TierStatus& tier : p.tiers) {
        for (const health::EndpointStatus& e : tier.endpoints) {
          if (e.label == label_or_address || e.address == label_or_address) return e;
        }
      }
    }
    ADD_FAILURE() << "no endpoint " << label_or_address;
    return {};
  }
  std::size_t count(Event::Kind kind, const std::string& endpoint_or_tier = "") const {
    return static_cast<std::size_t>(std::count_if(events.begin(), events.end(), [&](const Event& e) {
      return e.kind == kind &&
             (endpoint_or_tier.empty() || e.endpoint == endpoint_or_tier || e.tier == endpoint_or_tier);
    }));
  }
  std::size_t moves() const { return count(Event::Kind::failover) + count(Event::Kind::failback); }
  const Event* last(Event::Kind kind) const {
    const auto found = std::find_if(events.rbegin(), events.rend(), [&](const Event& e) { return e.kind == kind; });
    return found == events.rend() ? nullptr : &*found;
  }
  std::string told() const {
    std::string text;
    for (const Event& e : events) {
      const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(e.at - TimePoint{1h}).count();
      text += std::to_string(ms) + " ms " + std::string(name_of(e.kind)) + " " + e.reason + "\n";
    }
    return text;
  }

  void drain() {
    bool more = true;
    for (int rounds = 0; more; ++rounds) {
      if (rounds > 1000) throw std::runtime_error("core and coordinator go round in circles");
      more = false;
      while (auto action = core_->poll_action()) {
        more = true;
        std::visit([this](auto& a) { perform(a); }, *action);
      }
      while (auto answer = coordinator.poll_answer()) {
        more = true;
        if (const auto* decision = std::get_if<health::Decision>(&*answer)) {
          core_->on_committed(*decision, now);
        } else {
          const auto& refusal = std::get<health::Refusal>(*answer);
          core_->on_refused(refusal.proposal, refusal.why, now);
        }
      }
    }
    if (after_step) after_step();
  }

private:
  std::optional<TimePoint> next_event() const {
    std::optional<TimePoint> next = core_->next_timeout();
    const auto earlier = [&](std::optional<TimePoint> other) {
      if (other && (!next || *other < *next)) next = other;
    };
    if (!queue_.empty()) earlier(queue_.begin()->first);
    earlier(coordinator.next_answer());
    return next;
  }
  void pop_queue() {
    const std::function<void()> action = std::move(queue_.begin()->second);
    queue_.erase(queue_.begin());
    action();
    drain();
  }
  void step() {
    if (!queue_.empty() && queue_.begin()->first <= now) return pop_queue();
    if (const auto due = core_->next_timeout(); due && *due <= now) core_->on_time(now);
    drain();
  }

  void perform(const health::StartProbe& probe) {
    ++probes;
    const std::string address = probe.address.to_string();
    EXPECT_GT(probe.deadline, now);
    const TimePoint started = now;
    const Mode then = mode(address);
    const bool silent = then == Mode::frozen || then == Mode::unreachable;
    const TimePoint due = silent ? probe.deadline : now + 2ms;
    queue_.emplace(due, [this, id = probe.endpoint, address, started, deadline = probe.deadline] {
      core_->on_probe_result(id, probe_result(address, started, deadline), now);
    });
  }
  // A synthetic request meets what is said of it by `synthetic`, else what a probe would.
  void perform(const health::StartSynthetic& start) {
    const std::string address = start.address.to_string();
    EXPECT_GT(start.deadline, now);
    ++synthetics;
    queue_.emplace(now + 2ms, [this, start, address, started = now] {
      health::ProbeResult result = probe_result(address, started, start.deadline);
      if (const auto found = synthetic.find(address); found != synthetic.end() && result.ok()) result = found->second;
      result.elapsed = std::max<Duration>(result.elapsed, now - started);
      core_->on_synthetic_result(start.endpoint, start.run, result, now);
    });
  }
  health::ProbeResult probe_result(const std::string& address, TimePoint started, TimePoint deadline) const {
    health::ProbeResult result;
    result.elapsed = now - started;
    result.status = 200;
    if (stopped_from_ && now >= deadline) {  // we were not there to see the answer
      result.cause = health::Cause::http_timeout;
      return result;
    }
    switch (mode(address)) {
      case Mode::up: break;
      case Mode::refused: result.cause = health::Cause::tcp_refused; break;
      case Mode::frozen: result.cause = health::Cause::http_timeout; break;
      case Mode::unreachable: result.cause = health::Cause::tcp_timeout; break;
      case Mode::failing:
        result.cause = health::Cause::http_status;
        result.status = 500;
        break;
    }
    return result;
  }
  void perform(const health::Proposal& proposal) {
    EXPECT_FALSE(proposal.reason.empty());
    coordinator.propose(proposal);
  }
  void perform(const Event& event) {
    EXPECT_FALSE(event.reason.empty());
    events.push_back(event);
  }
  // Gates are answered by the script, a moment later; what it does not mention passes.
  void perform(const health::RunGate& gate) {
    ++gates_asked;
    queue_.emplace(now + 50ms, [this, gate] {
      const auto found = gates.find(gate.gate.name);
      const bool passed = found == gates.end() || found->second;
      core_->on_gate_result({gate.pool, gate.gate.name, gate.run, passed, passed ? "the script says yes" : "not yet"},
                            now);
    });
  }
  void perform(const health::ViewChanged&) {
    ++view_changes;
    const auto view = core_->view();
    core_->on_view_acknowledged(view->version);
  }

  // One request each `traffic.every` to the serving tier, in turn over its usable endpoints.
  void request_loop() {
    requesting_ = true;
    queue_.emplace(now + traffic.every, [this] {
      request();
      if (traffic.every > 0ns) {
        request_loop();
      } else {
        requesting_ = false;
      }
    });
  }
  void request() {
    const auto view = core_->view();
    const health::PoolView& p = view->pools.at(0);
    const health::TierView& tier = p.tiers.at(p.active);
    if (tier.usable.empty()) {
      ++unserved;
      return;
    }
    const health::EndpointView& to = tier.endpoints.at(tier.usable[turn_++ % tier.usable.size()]);
    const std::string address = to.address.to_string();
    const auto finish = [this, id = to.id, load = to.load, name = tier.name](health::Cause cause) {
      health::TrafficSample& sample = samples_[id];
      if (cause == health::Cause::none) {
        ++served[name];
        ++sample.successes;
        load->consecutive_failures = 0;
      } else {
        ++failed[name];
        ++sample.failures.at(static_cast<std::size_t>(cause));
        ++load->consecutive_failures;
        sample.urgent = true;
      }
      sample.endpoint = id;
      sample.consecutive_failures = load->consecutive_failures;
      if (!flushing_) {
        flushing_ = true;
        queue_.emplace(now + (sample.urgent ? 5ms : 100ms), [this] { flush(); });
      }
    };
    switch (mode(address)) {
      case Mode::up: return finish(health::Cause::none);
      case Mode::refused: return finish(health::Cause::tcp_refused);
      case Mode::failing: return finish(health::Cause::http_status);
      case Mode::unreachable: queue_.emplace(now + 1s, [finish] { finish(health::Cause::tcp_timeout); }); return;
      case Mode::frozen:
        queue_.emplace(now + traffic.response_timeout, [finish] { finish(health::Cause::http_timeout); });
        return;
    }
  }
  void flush() {
    flushing_ = false;
    std::vector<health::TrafficSample> all;
    for (auto& [id, sample] : samples_) all.push_back(sample);
    samples_.clear();
    core_->on_traffic(all, now);
  }

  std::unique_ptr<health::Core> core_;
  config::Config config_;
  std::multimap<TimePoint, std::function<void()>> queue_;
  std::map<health::EndpointId, health::TrafficSample> samples_;
  std::optional<TimePoint> stopped_from_;
  std::size_t turn_ = 0;
  bool requesting_ = false, flushing_ = false;
};

}  // namespace understudy::sim
