// Decides what is an incident, and writes it down: fed with the core's events, what the core shows of each pool, and a sampled
// series of what clients met. Pure and told the time; what it writes are records (incident.hpp), in the order in which they are
// to be kept.
//
//           signal, and the pool is not well          well for `settle`
//   nothing ────────────────────────────► open ───────────────────────────► closed
//      ▲                                  │  ▲                                 │
//      └─ a signal that passes by itself  └──┘ relapse: not well again before  └─► the next signal opens the next one
//
// A signal alone opens nothing: the pool must be found not well (an enabled endpoint that is marked bad, a tier that is lost,
// degraded or in panic, another tier than the first one serving), so that work which an operator announced by `drain` or
// `disable` is no incident. A mere suspicion must last for three seconds. The incident then begins with the first signal.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "health/core.hpp"
#include "health/incident/incident.hpp"
#include "health/latency.hpp"

namespace understudy::incident {

using health::Duration;
using health::TimePoint;

struct Moment {
  TimePoint at{};
  Wall wall{};
};

// What clients of one pool met in one short time, all of about the same length (a second).
struct Series {
  Duration over{};
  Counts counts;
  health::LatencyCounts duration;  // head's first byte to the answer's last
};

struct Settings {
  Duration settle = std::chrono::minutes(5);  // a pool that is well for so long closes its incident
  std::string config;                         // fingerprint
  std::string version;
};

class Recorder {
public:
  // The bounds of one incident; what is beyond is counted.
  static constexpr std::size_t kMostEndpointEntries = 200;  // of single endpoints
  static constexpr std::size_t kMostEntries = 800;          // all others
  static constexpr std::size_t kMostSamples = 4096;
  static constexpr std::size_t kMostDiagnoses = 32;
  static constexpr std::size_t kContext = 16;  // entries from before the first signal
  static constexpr std::size_t kBefore = 30;   // samples from before it

  explicit Recorder(Settings settings) : settings_(std::move(settings)) {}
  // After a reload. A new fingerprint is noted in what is open.
  void configure(Settings settings, const Moment& now);

  // What a former process left open goes on, under its number; `next` is the first number that is free.
  void resume(std::vector<Incident> open, std::uint64_t next, const Moment& now);

  // `who` is set for what somebody ordered.
  void on_event(const health::Event& event, const std::string& who, const Moment& now);
  // All pools. Asked for by wants_status().
  void on_status(std::span<const health::PoolStatus> pools, const Moment& now);
  bool wants_status(TimePoint now) const;
  // Once a second, of every pool that was asked something or has an open incident.
  void on_series(const std::string& pool, const Series& series, const Moment& now);
  // What somebody did that the core tells no event of.
  void on_act(const std::string& pool, const std::string& who, const std::string& text, const Moment& now);

  // A live drill of the pool begins (its name) or ended (""). An incident that begins meanwhile is marked as its doing where what
  // it began with was found at endpoints that a fault was on, and nothing but doubts elsewhere.
  void on_drill(const std::string& pool, const std::string& name, const Moment& now);

  // The endpoints (labels) that faults of it are on now, and the tiers that have such.
  void on_drill_faults(const std::string& pool, const std::set<std::string>& endpoints,
                       const std::set<std::string>& tiers, const Moment& now);

  // This process ends in good order: what was counted so far is written.
  void on_stop(const Moment& now);

  std::optional<Record> poll_record();
  // By pool; what poll_record() has not given out yet is in it.
  const std::map<std::string, Incident, std::less<>>& open() const { return open_; }

private:
  // What is known of a pool beyond the incident itself.
  struct Watch {
    std::vector<Entry> signals;     // since it was last well
    std::optional<TimePoint> when;  // the first of them was told
    Wall told{};
    std::vector<Entry> context;  // a few, the oldest first
    std::vector<Sample> before;  // not those in which nothing was asked
    struct Serving {
      std::string tier;
      std::uint64_t epoch = 0;
    };
    Serving serving;              // as last seen
    std::optional<Serving> left;  // by a move since the signals began
    struct Drilled {              // the last live drill
      std::string name;
      Wall from{};
      std::optional<Wall> until;
      std::map<std::string, Wall> endpoints, tiers;  // a fault was on them until then
    } drill;
    // Of the signals: a fault of a drill explains one; one that is more than a doubt is not explained.
    bool explained = false, unexplained = false;
    // Of an open incident.
    TimePoint anchor_at{};
    Wall anchor_wall{};
    std::optional<TimePoint> well_since;
    std::size_t endpoint_entries = 0, other_entries = 0, diagnoses = 0, samples = 0, fine = 0;
    std::uint64_t left_out = 0;
    Wall sample_from{};
    Duration sampled{};
    Counts counts;
    health::LatencyCounts duration;
    std::string diagnosis_told;
    bool consider = false;   // a decision was made: what else there was is to be noted
    bool shifting = false;   // a move was made, and traffic is still on its way
    bool was_moved = false;  // the machine left the first tier
  };

  Wall wall_of(const Watch& watch, TimePoint at, const Moment& now) const;
  Entry entry_of(const health::Event& event, const std::string& who, const Watch& watch, const Moment& now) const;
  void add(Incident& incident, Watch& watch, Entry entry);
  void write(Incident& incident, Record record);
  void note(Incident& incident, Watch& watch, Entry::Kind kind, std::string event, std::string text, const Moment& now);
  void open(const health::PoolStatus& pool, Watch& watch, const Moment& now);
  void follow(const health::PoolStatus& pool, Incident& incident, Watch& watch, const Moment& now);
  void judge(const health::PoolStatus& pool, Incident& incident, Watch& watch, const Moment& now);
  void close(Incident& incident, Watch& watch, std::string text, const Moment& now);
  void put_sample(Incident& incident, Watch& watch);
  static bool is_of_drill(const health::Event& event, const Watch& watch, Wall at);
  void remember(Watch& watch, Entry entry) const;
  Wall first_abnormal(const Watch& watch, Wall since) const;

  Settings settings_;
  std::uint64_t next_ = 1;
  std::map<std::string, Incident, std::less<>> open_;
  std::map<std::string, Watch, std::less<>> watches_;
  std::deque<Record> records_;
  std::set<std::string, std::less<>> pending_;  // pools with signals and no incident
  TimePoint looked_at_{};
  bool look_now_ = true;
};

}  // namespace understudy::incident
