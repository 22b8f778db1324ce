// A pool, its endpoints and its clients in virtual time. Requests come open loop and live as in the data plane: picked from
// the newest view, repeated where law 2 allows, given up at their deadlines; what they meet is sampled as the workers do.
//
// Events of the queue: request (the next one comes), answer (an attempt ends), deadline (an attempt is late), hedge (an attempt
// is worth a second one), ask (a request that waits for a tier asks again), probe and synthetic (a result), sample (every 100 ms, urgent ones after 5 ms), gate, fault (starve),
// act (of the operator).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "config/scenario.hpp"
#include "health/coordinator.hpp"
#include "health/core.hpp"
#include "health/random.hpp"
#include "health/rehearsal/judge.hpp"
#include "health/rehearsal/script.hpp"

namespace understudy::health {

class RehearsalWorld {
public:
  RehearsalWorld(const config::Config& config, const config::Scenario& scenario, std::uint64_t seed);

  void run();
  // Told of each view and of each request sent, for those who check laws.
  struct Watch {
    std::function<void(const View&, TimePoint)> view;
    std::function<void(const View&, const std::string& tier, bool safe, TimePoint)> sent;
  };
  void watch(Watch watch) { watch_ = std::move(watch); }
  const Core& core() const { return core_; }

  // ---- what came of it
  struct Totals {
    std::uint64_t requests = 0, answered = 0, failed = 0, failed_repeatable = 0, slow = 0, bad = 0, doubled = 0;
    std::uint64_t hedged = 0, retried = 0, moves = 0, shed = 0;
  };
  const Totals& totals() const { return totals_; }
  const std::vector<Told>& events() const { return events_; }
  TimePoint begin() const { return begin_; }
  const Script& script() const { return script_; }
  // The tier that was designated at a time.
  std::string serving_at(TimePoint at) const;

private:
  enum class Kind : std::uint8_t {
    request,
    answer,
    deadline,
    hedge,
    ask,
    probe,
    synthetic,
    sample,
    urgent,
    gate,
    starve,
    act
  };
  struct Item {
    TimePoint at;
    std::uint64_t order;
    Kind kind;
    std::uint64_t id;       // request, probe, gate or index
    std::uint32_t attempt;  // of the request; a stale one is ignored
    bool operator>(const Item& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  struct Request {
    TimePoint came{}, sent{};
    bool safe = true, open = false, trial = false, risked = false, error_repeated = false, shed = false;
    std::uint32_t attempt = 0, attempts = 0, reached = 0;
    EndpointId endpoint{};
    std::vector<EndpointId> tried;
    std::optional<TimePoint> waits_since;
    bool asks = false;           // again after a while
    Cause coming = Cause::none;  // what the attempt will end with
    std::uint16_t status = 0;    // and says, where that is an answer of failure class
    bool hedged = false;
    std::optional<std::uint64_t> twin;  // the other attempt of the same client's request
  };
  struct ProbeRun {
    EndpointId endpoint;
    TimePoint started{}, deadline{};
    std::string tier, label;
  };
  // A synthetic request meets what a real one does.
  struct SyntheticRun {
    EndpointId endpoint;
    std::uint64_t run = 0;
    ProbeResult result;
  };
  struct Target {
    std::string tier, label;
    std::shared_ptr<SharedLoad> load;
    bool unhealthy = false;
    std::optional<Duration> overdue_after;
    TrafficSample sample;
    bool touched = false;
    std::multimap<TimePoint, std::uint64_t> pending;  // sent, unanswered
    TimePoint next_trial{};
  };

  void push(TimePoint at, Kind kind, std::uint64_t id = 0, std::uint32_t attempt = 0);
  void handle(const Item& item);
  void drain();
  void refresh_view();

  void arrive();
  std::uint64_t new_request();
  void pick(std::uint64_t id);
  const EndpointView* choose_endpoint(Request& request, bool hedge = false);
  std::optional<std::uint32_t> choose_in(const TierView& tier, const Request& request);
  std::optional<std::uint32_t> choose_trial(const TierView& tier);
  std::optional<std::uint32_t> choose_spill(const PoolView& pool);
  void start(std::uint64_t id, const EndpointView& endpoint);
  bool repeats_error(Request& request);
  void end_attempt(std::uint64_t id, Cause cause, bool report);
  bool repeats_answer(const Request& request, Cause cause) const;
  void hedge(std::uint64_t id);
  void supersede(std::uint64_t id);
  void forget_pending(std::uint64_t id);
  void close(std::uint64_t id);
  bool doubted(EndpointId endpoint) const;
  void done(std::uint64_t id, bool ok);
  void report(EndpointId endpoint, Cause cause, std::optional<Duration> first_byte);
  void lost(EndpointId endpoint);
  void give_samples(bool urgent);
  void probe_ends(std::uint64_t id);
  void begin_synthetic(const StartSynthetic& start);
  std::string label_of(EndpointId id, std::uint32_t pool, std::uint32_t tier,
                       const config::SocketAddress& address) const;
  void starve(const config::ScenarioFault& fault);
  void act(const config::ScenarioAct& act);

  const config::Scenario& scenario_;
  config::Config config_;
  TimePoint begin_{std::chrono::hours(1)}, now_{std::chrono::hours(1)}, end_{};
  Script script_;
  Core core_;
  LocalCoordinator coordinator_;
  Random random_;
  std::shared_ptr<const View> view_;
  std::map<EndpointId, Target> targets_;
  std::priority_queue<Item, std::vector<Item>, std::greater<>> queue_;
  std::uint64_t order_ = 0;
  std::vector<Request> requests_;
  std::vector<std::uint64_t> free_;
  std::set<std::uint64_t> waiting_;
  std::map<std::uint64_t, ProbeRun> probes_;
  std::map<std::uint64_t, SyntheticRun> synthetics_;  // by run
  std::map<std::uint64_t, RunGate> gates_;
  std::uint64_t last_probe_ = 0, last_gate_ = 0;
  double post_debt_ = 0, hedge_share_ = 0, retry_budget_ = 0;
  bool urgent_planned_ = false;
  Totals totals_;
  std::vector<Told> events_;
  Watch watch_;
  std::vector<std::pair<TimePoint, std::string>> serving_;
};

}  // namespace understudy::health
