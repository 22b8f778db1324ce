// What the core remembers, for the core's own files only. Contract and use: core.hpp.
//
// Every public call changes endpoints first (refresh() marks their pools touched) and then calls settle(),
// which judges each touched pool once: recount tiers, events, failover. So one call that reports several
// losses sees them together.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "health/availability.hpp"
#include "health/core.hpp"
#include "health/ejector.hpp"
#include "health/failover.hpp"
#include "health/opening_watch.hpp"
#include "health/probe_schedule.hpp"
#include "health/random.hpp"
#include "health/shedder.hpp"
#include "health/signals.hpp"
#include "health/slots.hpp"
#include "health/slow_start.hpp"
#include "health/spill.hpp"
#include "health/surge.hpp"
#include "health/suspicion.hpp"
#include "health/threshold.hpp"
#include "health/tier_watch.hpp"
#include "health/timer_index.hpp"
#include "health/agent.hpp"
#include "health/mirror.hpp"
#include "health/weighing.hpp"

namespace understudy::health {

// What the operator said about something, and until when it holds.
struct OperatorOrder {
  OperatorState state = OperatorState::enabled;
  std::optional<TimePoint> until;
  std::optional<TimePoint> since = {};  // when this state was first ordered
};

// Timers of an endpoint: probe (due, or its answer is lost), ejection's end, operator's end, start wait, slow
// start step.
struct Endpoint {
  EndpointId id;
  std::uint32_t pool = 0, tier = 0;
  std::string label;
  config::SocketAddress address;
  std::string address_text;
  std::string server_name;
  double configured_weight = 1;

  OperatorOrder order;
  bool held_available = false;
  bool quarantined = false;  // was down, and the gates have not passed since it is back
  TimePoint quarantined_at{};
  Threshold threshold;
  ProbeSchedule probes;
  Ejector ejector;
  SlowStart slow_start;
  Signals signals;
  Suspicion suspicion;
  Fitness fitness;
  Fit told_fit = Fit::unknown;
  Fit weighed_fit = Fit::unknown;     // when its tier was last weighed
  std::optional<MirrorWatch> mirror;  // once a copy was answered
  Agent agent;
  OpeningWatch openings;
  bool told_slow_to_open = false;
  Dwell outlier;  // far slower than its peers
  ClientWeighing weighing;
  std::uint32_t pending = 0;
  std::optional<TimePoint> oldest_pending;  // as of the last sample
  std::optional<TimePoint> last_success;
  bool asked_after_drill = false;  // what a drill did to it is void once a check is answered well
  bool probe_doubted = false;      // failing probes are not obeyed: traffic is well (check.trust)

  TimePoint added_at{};        // the start wait counts from here
  bool newcomer = false;       // added to a pool that was serving already: slow start
  bool was_available = false;  // ever
  ActiveState verdict_before = ActiveState::unknown;
  TimePoint verdict_since{};  // of the active verdict
  TimePoint streak_since{};   // first of the equal results in a row
  std::optional<ProbeResult> last_probe;
  std::optional<TimePoint> last_probe_at;
  Cause last_failure = Cause::none;
  bool late_before = false;  // the last failure came long after its deadline
  std::shared_ptr<SharedLoad> load = std::make_shared<SharedLoad>();

  // Derived by refresh().
  bool available = false;
  bool undecided = true;
  double weight = 1;
  TimePoint since{};  // of `available`
  // What the view shows of it.
  struct Shown {
    bool available = false;
    OperatorState operator_state = OperatorState::enabled;
    bool eased = false, bad = false, dead = false, suspect = false;
    Duration trial_pause{};
    std::optional<OpeningTrials> openings;
    double weight = 1;
    bool operator==(const Shown&) const = default;
  };
  Shown shown;
  std::optional<Duration> hedge_after;  // as published: it moves all the time, and is told when it has moved far
};

// The operator's order, or, where that leaves it be, what its agent asks for. For new work; what is open is the operator's.
OperatorState state_in_force(const Endpoint& endpoint);
// Its agent, and no operator, keeps new work away.
bool eased(const Endpoint& endpoint);

// Checks or traffic say that it is no good (whatever the operator says): waiting repeatable requests may
// leave it.
bool marked_bad(const Endpoint& endpoint);
// Checks say that it is down.
bool marked_dead(const Endpoint& endpoint);

struct Pool;
// Does the pool's check name an agent, on a port or in a field?
bool asks_agents(const Pool& pool);
// Does anything of the pool's configuration prove fitness?
bool proves_fitness(const Pool& pool);
struct Tier;
// The tier's fitness in words, "" when there is nothing to say. Goes through all its endpoints: for what is told or shown only.
std::string fitness_reason(const Tier& tier, const Pool& pool, TimePoint now);
// Since when as many of its endpoints as it needs are proven; likewise.
std::optional<TimePoint> proven_since(const Tier& tier, const Pool& pool, TimePoint now);
// By synthetic requests and by copies of real ones; and what is wrong, "" for nothing.
Fit fit_of(const Endpoint& endpoint, const Pool& pool, TimePoint now);
std::string fit_reason(const Endpoint& endpoint, const Pool& pool, TimePoint now);

// One configured endpoint: an address, or a name with the addresses it has now.
struct Source {
  std::string label;
  std::string text;  // as written
  std::string server_name;
  std::uint32_t weight = 1;
  bool numeric = false;
  TimePoint added_at{};
  OperatorOrder order;  // given to the label: new addresses of it follow
  std::vector<Endpoint*> endpoints;
};

enum class TierVerdict : std::uint8_t { none, serviceable, lost };

// What the fitness of a tier's endpoints amounts to. In words, and since when it is proven: fitness_reason(), proven_since().
struct TierFitness {
  Fit fit = Fit::unknown;
  std::size_t proven = 0;  // endpoints that are fit
};

struct Tier {
  std::string name;
  std::vector<Source> sources;
  std::vector<Endpoint*> endpoints;  // of all sources, in config order
  TierCount count;
  bool panic = false;
  bool serviceable = false;                        // as the view shows it
  std::optional<TimePoint> opens_no_better_until;  // new tunnels went there and met no better; not again before
  TimePoint opened_no_better_at{};
  std::uint32_t opened_no_better = 0;    // times in a row
  bool takes_openings = false;           // new tunnels may go here, or be tried here, though another tier serves
  TierVerdict told = TierVerdict::none;  // last verdict that made an event, or was assumed at the start
  TimePoint told_at{};
  std::vector<std::uint32_t> usable, trials;
  bool doubtful = false;     // `usable` holds suspects only
  bool unproven = false;     // the traffic given to it before its return is not well
  bool all_doubted = false;  // traffic doubts every available endpoint, not only for having been away
  bool all_overdue = false;  // and none of them answers
  TierWatch watch;
  Shedder shedder;
  double served = 0, unserved = 0;  // good answers, and requests that got none, since the shedder was asked
  std::optional<TimePoint> shedding_since;
  TierFitness fitness;
  Fit told_fit = Fit::unknown;
  bool told_degraded = false;
  bool failed = false;  // its verdict was `failed`, and nothing newer speaks for it
  TimePoint failed_at{};
  // What `usable` means, by which a change of membership is seen: index, endpoint, weight.
  std::vector<std::tuple<std::uint32_t, EndpointId, double>> usable_key;
  std::uint64_t membership = 0;
};

// The part of a tier, by weight, that neither checks nor traffic speak against.
double trusted_part(const Tier& tier);

// For so long before its return a tier gets a little traffic.
inline constexpr Duration proof_time = std::chrono::seconds(10);
// When an unanswered request of it is overdue; nothing: nobody knows.
std::optional<Duration> overdue_after(const Endpoint& endpoint, const Pool& pool);
// Share of failures that is no reason for anything, where the operator names none.
inline double tolerated_errors(const config::DegradedConfig& policy) { return policy.error_rate.value_or(0.05); }

// A move that is being judged: what it was like before the fault, and when it began.
struct Verification {
  std::uint32_t from = 0;
  TimePoint began{};
  Measure before;  // the baseline of the tier that was left
  Quality fault;   // what that tier was like when it was left
  Dwell bad;
};
// Traffic that moves in steps, there or back.
struct Ramp {
  std::uint32_t from = 0;
  TimePoint began{};
  bool down = false;  // away from a higher tier: only what is well of that is worth it
};
struct Gate {
  config::GateConfig config;
  bool passed = false;
  std::string detail = "not asked yet";
  std::string approved_by;  // who and why
  std::optional<TimePoint> asked_at, answered_at;
  std::uint64_t run = 0;  // of the question under way; 0: none
};
// A machine's answer counts for so long. It is asked again so long before the return is due, and until then.
inline constexpr Duration gate_validity = std::chrono::seconds(10);
inline constexpr Duration gate_lead = std::chrono::seconds(5);
// Passed, and not too long ago to rest a return on. What people approved holds until it is taken back.
bool passed_lately(const Gate& gate, TimePoint now);
// Traffic may return by itself within gate_lead.
bool return_is_near(const Pool& pool, TimePoint now);

// When a fault of a live drill was on an endpoint.
struct DrillWindow {
  EndpointId endpoint;
  bool checks = false;  // its checks met it too
  TimePoint from{}, until = TimePoint::max();
};
// A live drill of a pool: under way, or cut short and not all forgiven yet.
struct Drilled {
  std::string tier;                  // that served when it began
  std::vector<DrillWindow> windows;  // by beginning
  std::optional<TimePoint> cut;
};
// What was left because of a drill's fault on it, and how the pool stood then.
struct LeftByDrill {
  std::string tier;
  bool pinned = false;                   // by an operator's move
  std::optional<TimePoint> moved_until;  // the end of that
};
// Traffic goes back there once its endpoints answer checks of after `since`, until `until`.
struct DrillReturn {
  TimePoint since{}, until{};
};

// Timers of a pool: those of its Failover, hold's end, maintenance's end, refresh of maintenance_left, start
// wait of names.
struct Pool {
  Pool(const config::PoolConfig& written, std::uint64_t epoch);
  std::uint32_t index = 0;
  config::PoolConfig config;
  std::vector<Tier> tiers;
  Failover failover;
  bool touched = false;
  bool held = false, maintenance = false, all_down = false;
  bool nothing_better_told = false;
  std::optional<Duration> usual_overdue;  // the longest that an endpoint with a baseline is given for an answer
  std::optional<TimePoint> overdue_learned_at;
  std::optional<TimePoint> watched_at, watch_due;  // the tiers' signals were weighed, and will be
  std::optional<Verification> verification;
  std::optional<Ramp> ramp;
  std::optional<TimePoint> returned_at;      // traffic came back to the tier that serves
  std::optional<SideTraffic> side;           // as the view shows it
  std::vector<SpillShare> spill;             // as the view shows it
  std::optional<std::uint32_t> openings_to;  // tier for new tunnels, while it is not the designated one
  SurgeWatch surge;
  std::vector<Gate> gates;
  Fitness::Requests fitness;           // never null
  std::vector<DataHistory> histories;  // one per request: what the serving tier answered
  std::string histories_of;            // that tier
  std::string last_verdict;
  PoolStatus::Verdicts verdicts;
  std::optional<TimePoint> moved_until;  // of an operator's move that ends by itself
  std::optional<Drilled> drilled;
  std::optional<LeftByDrill> left_by_drill;
  std::optional<DrillReturn> drill_return;
  bool settling = true;  // some endpoint waits for its first verdict
  std::optional<TimePoint> held_until, maintenance_until;
  std::optional<std::pair<std::uint32_t, TimePoint>> hold_told;  // failback_pending went out for this tier and time
  TimePoint active_since{};
  std::string active_reason;
  std::uint64_t failovers = 0, failbacks = 0;

  Tier& active() { return tiers[failover.active()]; }
  const Tier& active() const { return tiers[failover.active()]; }
  bool checked() const { return config.check.kind != config::CheckKind::none; }
};

struct Core::State {
  explicit State(std::uint64_t seed) : random(seed) {}

  // ---- the parts (core.cpp)
  Random random;
  Slots slots;
  std::vector<std::unique_ptr<Endpoint>> endpoints;  // by slot
  std::vector<std::unique_ptr<Pool>> pools;          // order of the config
  std::map<std::string, std::uint32_t, std::less<>> pool_index;
  std::map<std::string, std::uint64_t> retired_epochs;  // of pools that a reload removed: they never start over
  TimerIndex endpoint_timers;                           // by slot
  TimerIndex pool_timers;                               // by pool index
  std::vector<Pool*> touched;
  std::deque<Action> actions;
  TimePoint last_now{};
  std::optional<TimePoint> starved_until;
  std::optional<TimePoint> evidence_from;  // what traffic says up to then tells of the starvation and of its backlog
  bool configured = false;
  std::uint64_t last_membership = 0;

  TimePoint advance(TimePoint now);  // time never goes back in here
  Endpoint* find(EndpointId id) const;
  Pool* find_pool(std::string_view name) const;
  void emit(Event event) { actions.emplace_back(std::move(event)); }
  void emit(Event::Kind kind, const Pool& pool, const Tier* tier, const Endpoint* endpoint, std::string reason,
            Cause cause = Cause::none, std::optional<TimePoint> since = std::nullopt);
  void touch(Pool& pool);

  // ---- endpoints (core_endpoints.cpp): time and evidence
  void refresh(Endpoint& endpoint,
               TimePoint now);  // derives availability and weight, arms the timer, touches the pool
  void arm(Endpoint& endpoint, TimePoint now);
  void start_probe(Endpoint& endpoint, TimePoint now);
  void begin_probing(Endpoint& endpoint, TimePoint first);
  void probed(Endpoint& endpoint, const ProbeResult& result, TimePoint now);
  void verdict_changed(Endpoint& endpoint, const ProbeResult& result, TimePoint was_since, TimePoint now);
  void sampled(Endpoint& endpoint, const TrafficSample& sample, TimePoint now);
  void publish_hedge(Endpoint& endpoint, const Pool& pool);
  void convict(Endpoint& endpoint, const Evidence& evidence, TimePoint now);
  void readmit(Endpoint& endpoint, std::string reason, TimePoint now);
  void endpoint_due(Endpoint& endpoint, TimePoint now);
  void set_operator(Endpoint& endpoint, OperatorOrder order, std::string reason, bool by_operator, TimePoint now);
  void forgive_starved(Endpoint& endpoint, TimePoint from, TimePoint to);
  // What spoke against it in that time is void; `why` says so in the events.
  void forgive(Endpoint& endpoint, TimePoint from, TimePoint to, const std::string& why);

  // ---- what traffic says (core_traffic.cpp)
  SuspicionInput suspicion_input(const Endpoint& endpoint, const TrafficSample& sample) const;
  void doubt(Endpoint& endpoint, bool was_suspect, bool was_gone, TimePoint now);
  void doubt_peers(const Endpoint& first, TimePoint now);
  void trust_again(Endpoint& endpoint, std::string reason, TimePoint now);
  bool traffic_is_well(const Endpoint& endpoint, TimePoint now) const;
  void weigh_probe(Endpoint& endpoint, TimePoint now);
  void arrived(Pool& pool, const ArrivalSample& sample, TimePoint now);
  void compare_with_peers(Pool& pool, Tier& tier, TimePoint now);
  void eject_outlier(Pool& pool, Tier& tier, Endpoint& endpoint, Duration own, Duration peers, TimePoint now);

  // ---- moves (core_moves.cpp): degradation, verdicts, ramps, gates
  void watch_tiers(Pool& pool, TimePoint now);
  void tell_degraded(Pool& pool, std::uint32_t tier, TimePoint now);
  void forgive_failed(Pool& pool, Tier& tier, TimePoint now);
  void moved(Pool& pool, std::uint32_t from, bool by_operator, bool after_drill, TimePoint now);
  void verify(Pool& pool, TimePoint now);
  void fail_verification(Pool& pool, Tier& tier, const std::string& why, TimePoint now);
  void end_verification(Pool& pool, const Tier& judged, std::string_view verdict, const std::string& why,
                        TimePoint now);
  void steer(Pool& pool, TimePoint now);
  void learn_overdue(Pool& pool, TimePoint now);
  static void forget_recent(Tier& tier);
  std::optional<SideTraffic> ramp_step(Pool& pool, TimePoint now);
  std::vector<SpillShare> spill_of(const Pool& pool) const;
  void tell_spill(Pool& pool, const std::vector<SpillShare>& before);
  // ---- live drills (core_drill.cpp)
  void drill_seen(const DrillFaults& faults, TimePoint now);
  void drill_over(Pool& pool, bool cut, TimePoint now);
  void drill_moved(Pool& pool, std::uint32_t from, bool by_operator, bool pinned, std::optional<TimePoint> moved_until,
                   TimePoint now);
  void drill_probed(Endpoint& endpoint, const ProbeResult& result, TimePoint now);
  void ask_after_drill(Endpoint& endpoint, TimePoint now);
  void absolve(Endpoint& endpoint, TimePoint now);
  void absolve_verdicts(Pool& pool);
  void return_after_drill(Pool& pool, TimePoint now);
  // ---- where new tunnels go (core_openings.cpp)
  std::optional<TimePoint> serving_since(const Endpoint& endpoint) const;
  void compare_openings(Endpoint& endpoint) const;
  void openings_seen(Endpoint& endpoint, bool changed, TimePoint now);
  void openings_probed(Endpoint& endpoint, const ProbeResult& result, TimePoint now);
  void openings_returned(Endpoint& endpoint, TimePoint now);
  void openings_expire(Endpoint& endpoint, TimePoint now);
  bool may_take_openings(const Pool& pool, std::uint32_t tier, TimePoint now) const;
  void steer_openings(Pool& pool, TimePoint now);
  // ---- what is shut out (core_limits.cpp): quarantine, shedding
  void quarantine(Endpoint& endpoint, TimePoint now);
  void ask_again(Pool& pool);
  void release(Endpoint& endpoint, const std::string& why, TimePoint now);
  void release_quarantined(Pool& pool, TimePoint now);
  bool waits_in_quarantine(const Pool& pool) const;
  void shed(Pool& pool, std::uint32_t tier, const TierSignals& signals, TimePoint now);
  void tell_shedding(Pool& pool, Tier& tier, TimePoint now);

  void reset_gates(Pool& pool, std::string_view why);
  void ask_gates(Pool& pool, TimePoint now);
  bool gated(const Pool& pool, std::uint32_t tier, TimePoint now) const;
  bool measures_well(const Pool& pool, const Measure& measured, Duration usual) const;
  enum class Proof : std::uint8_t { given, missing, failed };
  Proof proof_of_return(Pool& pool, std::uint32_t tier, TimePoint now);
  Comparison against_serving(const Pool& pool, const Tier& tier) const;
  void gate_answered(const GateResult& result, TimePoint now);
  std::uint64_t last_gate_run = 0;

  // ---- synthetic requests (core_fitness.cpp)
  void begin_fitness(Endpoint& endpoint, TimePoint first);
  void start_synthetic(Endpoint& endpoint, TimePoint now);
  void synthetic_answered(Endpoint& endpoint, std::uint64_t run, const ProbeResult& result, TimePoint now);
  // ---- what agents say, and copies of real requests prove (core_agent.cpp)
  void agent_answered(Endpoint& endpoint, const AgentAnswer& answer, TimePoint now);
  void mirrored(Endpoint& endpoint, const Mirrored& ours, const ProbeResult& theirs, TimePoint now);
  void weigh_fitness(Pool& pool, TimePoint now);
  void fitness_seen(const Endpoint& endpoint, TimePoint now);
  void tell_fitness(Pool& pool, Tier& tier, TimePoint now);
  std::uint64_t last_synthetic = 0;

  // ---- pools (core_judge.cpp): tiers, panic, moves
  void settle(TimePoint now);
  void judge(Pool& pool, TimePoint now);
  void recount(Pool& pool, Tier& tier, TimePoint now);
  void tell_tier(Pool& pool, std::uint32_t index, TimePoint now);
  void choose_usable(Pool& pool, std::uint32_t index, bool other_to_be_had);
  void tell_all_down(Pool& pool, TimePoint now);
  void tell_nothing_better(Pool& pool, TimePoint now);
  void tell_hold(Pool& pool, TimePoint now);
  void propose(Pool& pool, const Failover::Wish& wish, TimePoint now);
  void pool_due(Pool& pool, TimePoint now);
  void tell_unanswered(Pool& pool, const Proposal& proposal, Failover::Outcome outcome, std::string what);
  void arm(Pool& pool, TimePoint now);

  // ---- configuration (core_configure.cpp)
  struct Retired;
  void rebuild(Pool& pool, const config::PoolConfig& written, bool is_new, TimePoint now);
  void rebuild_gates(Pool& pool);
  void rebuild_tiers(Pool& pool, const config::PoolConfig& written, Retired& retired, bool is_new, TimePoint now);
  void remap_failover(Pool& pool, const std::vector<std::string>& before, TimePoint now);
  Endpoint& add_endpoint(Pool& pool, std::uint32_t tier, Source& source, const config::SocketAddress& address,
                         bool newcomer, TimePoint now);
  void remove_endpoint(Pool& pool, Endpoint& endpoint, const std::string& reason);
  void list_endpoints(Tier& tier);
  void resolved(const Resolution& resolution, TimePoint now);

  // ---- operator (core_commands.cpp)
  CommandResult execute(const SetEndpointState& command, TimePoint now);
  CommandResult execute(const MoveTier& command, TimePoint now);
  CommandResult execute(const Failback& command, TimePoint now);
  CommandResult execute(const HoldPool& command, TimePoint now);
  CommandResult execute(const SetMaintenance& command, TimePoint now);
  CommandResult execute(const Approve& command, TimePoint now);
  Pool* named_pool(const std::string& name, CommandResult& result) const;

  // ---- over restarts (core_save.cpp)
  using SavedKey = std::tuple<std::string, std::string, std::string>;  // pool, label, address ("": the label itself)
  std::map<SavedKey, SavedEndpoint> unclaimed;                         // restored, but not yet resolved
  void save_unclaimed(SavedState& saved) const;
  void restore_pool(const SavedPool& saved, TimePoint now);
  void claim(Endpoint& endpoint, TimePoint now);
  void apply(Endpoint& endpoint, const SavedEndpoint& saved, TimePoint now);

  // ---- what workers read (core_view.cpp)
  std::shared_ptr<const View> newest = std::make_shared<View>();
  bool view_stale = false, view_announced = false;
  void view_changed();
  std::shared_ptr<const View> build_view();
};

inline void take_earlier(std::optional<TimePoint>& earliest, std::optional<TimePoint> other) {
  if (other && (!earliest || *other < *earliest)) earliest = other;
}
// now + left, far away instead of overflowing; negative counts as zero.
TimePoint later(TimePoint now, Duration left);

}  // namespace understudy::health
