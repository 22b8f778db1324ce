// The health core of the whole process: told what happened and when, answers what to do and when to be woken.
// No socket, clock, thread or log. Owner: the control thread. The same object decides in production and in simulation.
//
//   configure ─┐
//   probe ─────┤                      ┌─► StartProbe / Proposal / Event / ViewChanged   (poll_action, drained in order)
//   traffic ───┼─► Core ──────────────┼─► view()                                        (immutable, shared)
//   operator ──┤                      └─► save()                                        (what survives a restart)
//   commit ────┘
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "config/model.hpp"
#include "health/agent.hpp"
#include "health/fitness.hpp"
#include "health/mirror.hpp"
#include "health/types.hpp"

namespace understudy::health {

// Changes of the designated tier go out as a proposal and take effect only when committed (design: the coordinator).
struct Proposal {
  std::string pool;
  std::uint64_t from_epoch = 0;
  std::uint32_t tier = 0;
  std::string reason;
  bool by_operator = false;
  bool is_failback = false;
};
struct Decision {
  std::string pool;
  std::uint64_t epoch = 0;  // strictly greater than from_epoch, issued by the coordinator
  std::uint32_t tier = 0;
};

struct StartProbe {
  EndpointId endpoint;
  std::uint32_t pool = 0, tier = 0;  // indices into Config::pools and its tiers
  config::SocketAddress address;
  std::string server_name;  // host as written
  TimePoint deadline{};     // the prober gives up here and answers *_timeout
};
struct ViewChanged {};
// A condition of the return is to be asked: a URL, or a command without a shell. Answered by on_gate_result(), whatever
// comes of it; what takes longer than the deadline is ended and has not passed.
struct RunGate {
  std::string pool;
  config::GateConfig gate;
  std::uint64_t run = 0;  // names this run in the answer
  TimePoint deadline{};
};
// A synthetic request is to be sent. Answered by on_synthetic_result(), at the deadline at the latest.
struct StartSynthetic {
  EndpointId endpoint;
  std::uint32_t pool = 0, tier = 0, request = 0;  // indices into Config::pools, its tiers, its `fitness`
  std::uint64_t run = 0;                          // names it in the answer
  config::SocketAddress address;
  std::string server_name;
  TimePoint deadline{};
};
using Action = std::variant<StartProbe, Proposal, Event, ViewChanged, RunGate, StartSynthetic>;

struct GateResult {
  std::string pool, gate;
  std::uint64_t run = 0;
  bool passed = false;
  std::string detail;  // one line for a person
};

// What one configured endpoint resolved to. Numeric and Unix addresses are resolved by the core itself.
struct Resolution {
  std::uint32_t pool = 0, tier = 0, endpoint = 0;  // indices into the Config
  std::vector<config::SocketAddress> addresses;    // empty: the name could not be resolved yet
};

// Operator commands. `expires` is when it undoes itself. `expected_epoch`: what the caller saw; a command that rests on an
// older one is refused.
struct SetEndpointState {
  std::string pool, endpoint;  // endpoint: label, or resolved address; pool "" when the label is unique
  OperatorState state{};
  std::optional<TimePoint> expires = {};
  std::string reason = {};
};
struct MoveTier {  // failover; `to` empty: next fit
  std::string pool;
  std::optional<std::string> to;
  std::string reason = {};
  std::optional<TimePoint> expires = {};  // then the machine may go back by itself
  std::optional<std::uint64_t> expected_epoch = {};
};
struct Failback {
  std::string pool;
  std::string reason = {};
  std::optional<std::uint64_t> expected_epoch = {};
};
struct HoldPool {
  std::string pool;
  bool on = true;
  std::optional<TimePoint> expires = {};
  std::string reason = {};
  std::optional<std::uint64_t> expected_epoch = {};
};
struct SetMaintenance {
  std::string pool;
  bool on = true;
  std::optional<TimePoint> expires = {};
  std::string reason = {};
};
// Says that a condition of the return holds ("data compared"): who, and why they think so.
struct Approve {
  std::string pool, gate, who, reason;
  std::optional<std::uint64_t> expected_epoch = {};
};
using Command = std::variant<SetEndpointState, MoveTier, Failback, HoldPool, SetMaintenance, Approve>;

// What a live drill does to the endpoints of a pool at this moment.
struct DrillFaults {
  std::string pool;
  std::string tier;  // that served when the drill began
  struct Met {
    EndpointId endpoint;
    bool checks = false;  // its checks meet it too
  };
  std::vector<Met> in_force;
};

struct CommandResult {
  bool ok = true;
  std::string error;  // what is wrong and what would be right ("no pool 'ap'; pools: app, devices")
};

// What is kept over restart and upgrade; the server writes it as JSON. Times are "time left" so that no clock is shared.
struct SavedEndpoint {
  std::string pool, label, address;
  OperatorState operator_state{};
  std::optional<Duration> operator_left;
  ActiveState active{};
  std::uint32_t ejections = 0;
  std::optional<Duration> ejected_left;
  std::optional<Duration> normal_p50 = {}, normal_p95 = {};  // the baseline
  std::optional<Duration> operator_for = {};                 // how long the operator's state has lasted
  bool quarantined = false;
};
struct SavedPool {
  std::string name;
  std::string active_tier;
  std::uint64_t epoch = 0;
  bool moved_by_operator = false;
  bool held = false;
  std::optional<Duration> held_left;
  bool maintenance = false;
  std::optional<Duration> maintenance_left;
  std::optional<Duration> moved_left = {};  // of an operator's move that ends by itself
  std::uint32_t relapses = 0;
  std::vector<std::pair<std::string, std::string>> approvals = {};  // gate, who and why
  std::string left_by_drill = {};  // tier that a live drill which is not over took the traffic from; "" none
  bool left_pinned = false;        // by an operator's move, before the drill
};
struct SavedState {
  std::vector<SavedPool> pools;
  std::vector<SavedEndpoint> endpoints;
};

// Everything `status` and the metrics show of one endpoint.
struct EndpointStatus {
  EndpointId id;
  std::string label, address;
  OperatorState operator_state{};
  ActiveState active{};
  PassiveState passive{};
  bool available = false;
  std::uint32_t streak = 0;  // equal results in a row
  std::optional<ProbeResult> last_probe;
  std::optional<TimePoint> last_probe_at, next_probe_at, since, ejected_until, operator_until, operator_since;
  std::uint32_t ejections = 0;
  double weight = 1;
  std::shared_ptr<SharedLoad> load;
  bool quarantined = false;    // out until the gates have passed
  std::string_view suspicion;  // "" or why traffic doubts it: overdue, erroring, slow, returning
  CauseClass cause_class = CauseClass::none;
  std::string_view openings;  // "" or why new tunnels avoid it: slow, returning
  std::string slow_to_open;   // the same in words
  Duration first_byte_p50{}, first_byte_p95{}, first_byte_p99{}, normal_p95{}, connect_p95{}, websocket_open_p95{};
  double error_share = 0, samples = 0;  // of the newest window with enough samples
  Fit fit = Fit::unknown;               // meaningful where the pool has synthetic requests
  std::string fit_reason;
  std::optional<TimePoint> proven_at;  // when the weakest of its proofs was made
  std::vector<Fitness::Report> synthetic;
  std::uint64_t mirrored = 0, mirrored_differently = 0;  // copies of real requests, since the start
  std::string mirror;                                    // what they tell; "" nothing
  Agent agent;
};
struct TierStatus {
  std::string name;
  bool serviceable = false, panic = false;
  bool degraded = false, failed = false;  // a threshold breached for long enough; its verdict was `failed`
  std::string degraded_reason, quality;
  double share = 0;                             // of the traffic that is due to it now, by serving, ramp and spill
  std::optional<std::uint32_t> max_unanswered;  // while it sheds
  Fit fit = Fit::unknown;
  std::string fit_reason;
  std::optional<TimePoint> proven_at;  // of the newest endpoints that it needs, the oldest
  std::vector<EndpointStatus> endpoints;
};
struct PoolStatus {
  std::string name;
  std::uint32_t active = 0;
  std::uint64_t epoch = 0;
  TimePoint active_since{};
  std::string active_reason;
  bool held = false, maintenance = false;
  std::optional<TimePoint> held_until, maintenance_until, failback_at;
  std::string failback_waits;  // what the return waits for when its time has come: "gate 'data compared'"; "" nothing
  std::string_view phase;      // serving, deciding, shifting, verifying, return_hold, returning
  std::string diagnosis;       // one sentence in plain words; "" when all is well
  std::string last_verdict;    // "", succeeded, failed or undecided, and why
  std::uint32_t relapses = 0;
  struct Gate {
    std::string name;
    bool passed = false;
    std::string detail;
  };
  std::vector<Gate> gates;
  struct Verdicts {
    std::uint64_t succeeded = 0, failed = 0, undecided = 0;
  } verdicts;                // of moves, since the start
  bool has_fitness = false;  // synthetic requests or copies of real ones are configured
  std::vector<TierStatus> tiers;
  std::optional<std::uint32_t> openings_to;  // tier of new tunnels, while it is not the designated one
  bool surge = false;                        // far more is asked than is usual
  std::uint64_t failovers = 0, failbacks = 0;
};

class Core {
public:
  // `seed` draws jitter; the same seed gives the same run.
  explicit Core(std::uint64_t seed);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // First call starts, later calls reload: endpoints with the same identity keep all their state, epochs and tiers stay.
  void configure(const config::Config& config, TimePoint now);
  // Name resolution answered. An empty list keeps the last addresses.
  void on_resolved(const Resolution& resolution, TimePoint now);
  // Restores what save() gave, once, right after the first configure(); epochs continue at stored + 1,000.
  void restore(const SavedState& state, TimePoint now);
  SavedState save(TimePoint now) const;

  void on_probe_result(EndpointId endpoint, const ProbeResult& result, TimePoint now);
  void on_agent_answer(EndpointId endpoint, const AgentAnswer& answer, TimePoint now);
  // A copy of a request that the serving tier answered with `ours`.
  void on_mirrored(EndpointId endpoint, const Mirrored& ours, const ProbeResult& theirs, TimePoint now);
  void on_synthetic_result(EndpointId endpoint, std::uint64_t run, const ProbeResult& result, TimePoint now);
  void on_traffic(std::span<const TrafficSample> samples, TimePoint now);
  // Each second or so, of every pool.
  void on_arrivals(std::span<const ArrivalSample> samples, TimePoint now);
  // This process was starved (stopped, loop lag above 100 ms) in [from, to]: no failure observed then is evidence,
  // probes under way are void and started again. Law 12.
  void on_starved(TimePoint from, TimePoint to);
  // Whenever faults of a live drill begin or end, and again while they last, since endpoints come and go.
  void on_drill(const DrillFaults& faults, TimePoint now);
  // It is over. Where it was `cut` short, what was seen of an endpoint while a fault was on it is void as soon as a check of it, made
  // at once, is answered well. Where traffic left a tier because of such a fault, it then goes back, without waiting or steps;
  // with gates in front of that tier it waits for them as ever. What was seen of others, or at other times, stands.
  void on_drill_over(const std::string& pool, bool cut, TimePoint now);
  CommandResult on_command(const Command& command, TimePoint now);
  void on_gate_result(const GateResult& result, TimePoint now);

  void on_committed(const Decision& decision, TimePoint now);
  void on_refused(const Proposal& proposal, const std::string& why, TimePoint now);
  void on_proposal_timeout(const Proposal& proposal, TimePoint now);

  void on_time(TimePoint now);  // harmless when early
  std::optional<TimePoint> next_timeout() const;

  std::optional<Action> poll_action();
  std::shared_ptr<const View> view() const;  // newest; a new object only after ViewChanged
  // Every worker has taken a view of at least this version: slots unused since may be given out again.
  void on_view_acknowledged(std::uint64_t version);

  std::vector<PoolStatus> status() const;

private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace understudy::health
