// Which tier of one pool serves, as a state machine over facts; no endpoint, no text, no clock.
//
//              degraded: candidates are             a candidate is better,         committed:
//              measured (audition)                  or the tier is lost,           epoch grows
//   Serving ───────────────────────────► Deciding ──────────────────────► Shifting ─────────────► Verifying
//     ▲  ▲                                │   │    or the operator's order  │  ▲                      │
//     │  │   nothing better: stays,       │   └─────────────────────────────┘  │ verdict failed:      │ verdict
//     │  └── asked again after 30 s ──────┘     refused: pause 1 s             │ the next candidate   │ good, or
//     │                                         no answer for 5 s: none        └──────────────────────┤ undecided
//     │                                                                                               ▼
//     └──── Returning ◄──── Shifting ◄──── hold over, gates passed ◄──── ReturnHold ◄──── Serving (lower tier)
//            (ramp)                                                       │    ▲
//                └── relapse: back down, the next hold is twice as long ──┘    └─ relapse: begins anew
//
//   state        | target lost            | lower tier bad too     | operator's verb  | refused, no answer | relapse
//   -------------+------------------------+------------------------+------------------+--------------------+-----------------
//   Serving      | (no target)            | nothing moves          | Shifting         | -                  | -
//   Deciding     | the next candidate     | nothing better: stays  | Shifting         | -                  | Serving (it is well)
//   Shifting     | committed all the same | committed, then judged | replaces it      | asked again        | committed, then judged
//   Verifying    | Deciding               | verdict failed, stays  | Shifting         | -                  | -
//                |                        | on the least bad       |                  |                    |
//   ReturnHold   | the hold begins anew   | Deciding: may go back  | Shifting         | -                  | the hold begins anew
//   Returning    | back down at once      | stays                  | Shifting         | -                  | back down at once
//
// Rules: a lost tier is left at once, for the next serviceable tier below, else above; the fitter ones first, those that are
// degraded or whose verdict was `failed` last. With `require_fit` only for a fit one, unless nothing at all is left of it. A
// degraded tier is never left for an unfit one while it is none itself, and traffic does not return to a tier that is less
// fit than the serving one. A degraded tier is left only for one that measures better. Going back picks the topmost tier whose hold
// is over and whose gates passed. An operator's move forbids going back until the operator's failback (a tier that is lost is
// left at once all the same); a hold forbids everything but the operator's orders.
//
// Timers: `answer` (pending), `retry` (after a refusal), `return` (the hold is over), `ask` (nothing better: again).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "health/core.hpp"
#include "health/tier_watch.hpp"

namespace understudy::health {

// What is known of one tier now. Undecided: not serviceable yet, but no verdict either; nothing is judged by
// it.
struct TierFacts {
  bool serviceable = false;
  bool undecided = false;
  bool degraded = false;  // a threshold was breached for long enough
  bool failed = false;    // its verdict was `failed` and nothing newer speaks for it
  bool doubted = false;   // traffic doubts all of its endpoints
  bool unproven = false;  // the little traffic that it is given before its return is not well: the hold begins anew
  bool gated = false;     // a condition of the return to it has not passed
  Comparison against_serving = Comparison::unknown;
  bool proving = false;  // the return to it waits for what a little traffic says
  Fit fit = Fit::unknown;
  bool down = false;      // not even one endpoint is left of it
  bool less_fit = false;  // than the serving tier
};

class Failover {
public:
  enum class Why : std::uint8_t {
    lost,
    degraded,
    verdict_failed,
    relapsed,
    returned,
    operator_move,
    operator_failback,
    drill_over  // back to where a drill took traffic from
  };
  enum class Phase : std::uint8_t { serving, deciding, shifting, verifying, return_hold, returning };
  struct Wish {
    std::uint32_t tier = 0;
    Why why{};
    std::string note;  // the operator's words
  };
  // A tier above the active one could serve; `due` is when traffic returns to it, empty: when the operator
  // says so.
  struct Hold {
    std::uint32_t tier = 0;
    TimePoint since{};
    std::optional<TimePoint> due;
  };
  struct Committed {
    enum class Kind : std::uint8_t { stale, unknown_tier, confirmed, moved };
    Kind kind = Kind::stale;
    std::uint32_t from = 0;
    std::optional<Proposal> answered;  // our own proposal that this answers
    bool drill_over = false;           // it was asked for by go_back()
  };

  Failover(std::size_t tiers, std::uint64_t epoch);

  // Facts of all tiers, in order, whenever one may have changed.
  void observe(std::span<const TierFacts> facts, TimePoint now);
  // What to propose now, if anything. Tell proposed() when it was.
  std::optional<Wish> decide(const config::FailoverConfig& policy, bool held, TimePoint now);
  void proposed(const Proposal& proposal, TimePoint now);
  // The tier to be measured with a little safe traffic, while the serving one is degraded and nothing comparable is known.
  std::optional<std::uint32_t> audition() const { return audition_; }
  // Degraded, and no other tier measures better.
  bool nothing_better() const { return nothing_better_; }
  // The operator wants that tier; outranks what is pending.
  void order(std::uint32_t tier, bool failback, std::string note, TimePoint now);
  // Back to the tier that a drill took traffic from: nobody's order, dropped where the pool is held, the tier is lost or it is not
  // committed. `pinned`: an operator's move forbade going back before the drill, and does so again.
  void go_back(std::uint32_t tier, bool pinned, std::string note, TimePoint now);
  // The operator's failback where nothing has to move: the machine may go back by itself again.
  void release() { moved_by_operator_ = false; }
  // The operator wants it to stay where it is.
  void pin() { moved_by_operator_ = active_ != 0; }

  Committed commit(const Decision& decision, TimePoint now);
  // What becomes of a proposal that was refused or not answered.
  enum class Outcome : std::uint8_t {
    not_ours,  // it is not (or no longer) the one that waits
    again,     // made again if still wanted
    dropped    // the operator's order has been tried for long enough
  };
  Outcome refused(const Proposal& proposal, TimePoint now);
  Outcome timed_out(const Proposal& proposal, TimePoint now);
  // The proposal that should have been answered by now, if any.
  std::optional<Proposal> overdue(TimePoint now) const;

  std::optional<TimePoint> next_timeout(const config::FailoverConfig& policy, bool held, TimePoint now) const;
  std::optional<Hold> hold(const config::FailoverConfig& policy, TimePoint now) const;
  // When traffic may return by itself at the earliest, to whichever tier above; empty: not by itself.
  std::optional<TimePoint> earliest_return(const config::FailoverConfig& policy, TimePoint now) const;

  // The configuration changed: where each old tier is now. False when the active tier is gone; the topmost
  // serves then, under the next epoch.
  bool remap(const std::vector<std::optional<std::uint32_t>>& now_at, std::size_t tiers);
  void restore(std::uint32_t active, std::uint64_t epoch, bool moved_by_operator);
  void restore_relapses(std::uint32_t relapses, TimePoint now);
  // Nothing was observed for that long: holds and waits go on where they stood.
  void skip(Duration starved);
  // The tier that got its traffic back not long ago could not keep it: the next hold is twice as long. Decays with good time.
  void note_relapse(const config::FailoverConfig& policy, TimePoint now);
  std::uint32_t relapses(const config::FailoverConfig& policy, TimePoint now) const;
  // The ramp of a return or the judgement of a move is over.
  void settled() { phase_ = Phase::serving; }
  Phase phase() const;

  std::uint32_t active() const { return active_; }
  std::uint64_t epoch() const { return epoch_; }
  bool moved_by_operator() const { return moved_by_operator_; }
  bool pending() const { return pending_.has_value(); }
  bool ordered() const { return order_.has_value(); }
  bool serviceable(std::uint32_t tier) const { return facts_[tier].serviceable; }

private:
  struct Pending {
    Proposal proposal;
    std::optional<std::uint32_t> target;  // where the proposed tier is now; empty when a reload removed it
    TimePoint deadline;
  };
  struct Order {
    std::uint32_t tier;
    bool failback;
    std::string note;
    TimePoint until;
    bool after_drill = false, pinned = false;
  };
  Outcome give_up(TimePoint now);
  bool waits_for(const Proposal& proposal) const;
  std::optional<std::uint32_t> refuge(const config::FailoverConfig& policy) const;
  std::optional<Wish> leave_degraded(const config::FailoverConfig& policy, TimePoint now);
  Duration hold_time(const config::FailoverConfig& policy, TimePoint now) const;
  std::optional<std::uint32_t> return_target(const config::FailoverConfig& policy, TimePoint now) const;
  std::optional<TimePoint> return_due(const config::FailoverConfig& policy, std::uint32_t tier, TimePoint now) const;

  std::uint32_t active_ = 0;
  std::uint64_t epoch_;
  bool moved_by_operator_ = false;
  std::vector<TierFacts> facts_;
  std::vector<TimePoint> serviceable_since_;  // meaningful where serviceable
  std::optional<Pending> pending_;
  std::optional<Order> order_;
  std::optional<TimePoint> retry_at_;
  Phase phase_ = Phase::serving;  // serving, verifying or returning; the others are derived
  std::optional<std::uint32_t> audition_;
  std::optional<TimePoint> audition_until_, ask_at_;
  bool nothing_better_ = false;
  std::uint32_t relapses_ = 0;
  TimePoint relapsed_at_{};
};
std::string_view name_of(Failover::Phase phase);
// A tier that is left within this time after its return relapsed; after that much good time one relapse is forgotten.
Duration relapse_window(const config::FailoverConfig& policy);

}  // namespace understudy::health
