// What is written down about one outage of one pool: values, and the one function that builds them up from records. The same
// records are kept on disk, line by line, so that memory and disk can never tell different stories.
//
// Times are wall-clock, in milliseconds: they outlive the process. They are measured by the steady clock from one anchor per
// incident and process, so that a clock that is set does not bend them.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "health/types.hpp"

namespace understudy::incident {

using Wall = std::chrono::sys_time<std::chrono::milliseconds>;

// What clients of the pool met. Sums over a time; requests are counted when they are answered.
struct Counts {
  std::uint64_t requests = 0;         // answered, by an endpoint or by this process in its place
  std::uint64_t failed = 0;           // of them, with a 5xx
  std::uint64_t retried = 0;          // attempts after the first
  std::uint64_t retries_refused = 0;  // wanted, but the budget was empty
  std::uint64_t unavailable = 0;      // of failed: no endpoint was available
  std::uint64_t shed = 0;             // of failed: refused because the tier has as many as it can answer
  std::uint64_t tunnels_opened = 0;
  std::uint64_t tunnels_dropped = 0;   // ended by a fault or a move, not by either side's wish
  std::uint64_t queued = 0;            // waited for a tier that can take them, or for their turn to be opened
  std::uint64_t openings_queued = 0;   // of queued: WebSockets that waited for their turn
  std::uint64_t openings_refused = 0;  // of failed: WebSockets, because too many are being opened
  std::uint64_t tunnels_parked = 0;    // lost their endpoint while the client's socket stayed open; each time
  std::uint64_t tunnels_resumed = 0;   // of those, reopened at another endpoint
  void add(const Counts& other);
  double error_share() const { return requests == 0 ? 0 : static_cast<double>(failed) / static_cast<double>(requests); }
  bool operator==(const Counts&) const = default;
};
// Names and members in one place, for whoever writes or reads all of them.
struct CountName {
  std::string_view name;
  std::uint64_t Counts::*member;
};
inline constexpr std::array<CountName, 13> kCounts = {{{"requests", &Counts::requests},
                                                       {"failed", &Counts::failed},
                                                       {"retried", &Counts::retried},
                                                       {"retries_refused", &Counts::retries_refused},
                                                       {"unavailable", &Counts::unavailable},
                                                       {"shed", &Counts::shed},
                                                       {"tunnels_opened", &Counts::tunnels_opened},
                                                       {"tunnels_dropped", &Counts::tunnels_dropped},
                                                       {"queued", &Counts::queued},
                                                       {"openings_queued", &Counts::openings_queued},
                                                       {"openings_refused", &Counts::openings_refused},
                                                       {"tunnels_parked", &Counts::tunnels_parked},
                                                       {"tunnels_resumed", &Counts::tunnels_resumed}}};

// One point of the series: `over` from `from` on. Zero latencies: nothing was answered.
struct Sample {
  Wall from{};
  std::chrono::milliseconds over{};
  Counts counts;
  std::chrono::microseconds p50{}, p95{};  // head's first byte to the answer's last, as clients wait
  Wall end() const { return from + over; }
};

// One line of the timeline.
struct Entry {
  enum class Kind : std::uint8_t {
    signal,     // something is wrong
    recovery,   // something is well again
    diagnosis,  // what it looks like, in one sentence
    decision,   // what was concluded, and what else was considered
    action,     // what was done
    verdict,    // whether it helped
    gate,       // a condition of the return
    person,     // what somebody ordered, who and why
    milestone,  // normal again, relapse, traffic moved
    note,       // what is good to know: a reload, a restart
    count
  };
  Kind kind = Kind::note;
  std::string
      event;  // kind of the core's event, or a word of ours: "diagnosis", "normal", "relapse", "traffic_moved", …
  Wall at{};
  Wall since{};  // when what it tells of began
  std::string tier, endpoint;
  std::uint64_t epoch = 0;
  std::string cause;                      // "tcp_refused", or a class: "slow"; "" none
  std::string text;                       // a full sentence
  std::string who;                        // who ordered it; "" the machine
  std::vector<std::string> alternatives;  // decisions: what else was considered, a sentence each
};
std::string_view name_of(Entry::Kind kind);
std::optional<Entry::Kind> entry_kind(std::string_view name);

enum class Severity : std::uint8_t { minor, major, critical };
std::string_view name_of(Severity severity);

struct Opened {
  std::string pool;
  Wall began{};     // the first abnormal sample
  Wall detected{};  // the first signal was told
  std::uint64_t epoch = 0;
  std::string tier;  // that served
  std::vector<std::string> tiers;
  std::string config;   // fingerprint of the configuration
  std::string version;  // of this program
  std::string drill;    // that it comes from; "" none
};
struct Closed {
  Wall at{};
  std::string text;
  std::uint64_t left_out = 0;  // entries beyond the bound
};
struct Record {
  std::uint64_t incident = 0;
  std::variant<Opened, Entry, Sample, Closed> what;
};

struct Incident {
  std::uint64_t number = 0;
  Opened opened;
  std::vector<Entry> entries;
  std::vector<Sample> samples;
  std::optional<Closed> closed;

  // Derived from the above, record by record.
  Severity severity = Severity::minor;
  Counts counts;  // from the first abnormal sample to the end
  std::optional<Wall> decided, moved, traffic_moved, verified, went_back, returned;
  std::string diagnosis;   // the best that was found: the last before traffic moved, else the last
  std::string moved_to;    // tier of the first move
  std::string verdict;     // the last
  std::string configured;  // fingerprint that holds now
  std::uint64_t epoch = 0;
  std::uint32_t relapses = 0, restarts = 0;
  std::uint64_t damaged = 0;  // lines on disk that could not be read

  // Not kept: of one that is marked as a drill's, what was found since that no fault of the drill is on.
  std::string beyond_drill;

  bool open() const { return !closed; }
  // The last thing known of it.
  Wall last() const;
};

// Takes one record in. The first one must be Opened.
void apply(Incident& incident, const Record& record);

}  // namespace understudy::incident
