// Keeps the addresses of named endpoints fresh: asks at start and when the TTL ends, tries failures again
// with growing pauses, and tells the core only what changed. One lookup serves every endpoint of the same
// host.
//
//   add ──► asking ──answer──► fresh ──TTL──► asking      (changed addresses are reported)
//             ▲ └──failure──► waiting (1 s, 2 s … 30 s) ─┐ (the last addresses stay)
//             └──────────────────────────────────────────┘
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "health/core.hpp"
#include "proxy/probe/resolver.hpp"

namespace understudy::probe {

// One endpoint written as a name; the indices are those of health::Resolution.
struct WatchedName {
  std::uint32_t pool = 0, tier = 0, endpoint = 0;
  std::string host;
  std::uint16_t port = 0;
  bool operator==(const WatchedName&) const = default;
};
// The endpoints of a configuration that need resolving (neither numeric nor Unix).
std::vector<WatchedName> names_of(const config::Config& config);

struct NameFailure {
  std::string host;
  std::string error;  // a sentence for the event log
  std::chrono::milliseconds retry_in{};
  std::uint32_t in_a_row = 1;  // 1 is the first; log that one and the recovery, not all
};

// Pauses after failures: first, doubled each time, at most `last`; each shortened by up to a quarter at
// random.
struct RetryPauses {
  std::chrono::milliseconds first{1'000};
  std::chrono::milliseconds last{30'000};
};

class NameWatcher {
public:
  using Changed = std::function<void(health::Resolution)>;
  using Failed = std::function<void(NameFailure)>;

  // `io` and `resolver` must outlive the watcher. Callbacks come from the io_context, never from inside a
  // call here, and may call reconfigure().
  NameWatcher(boost::asio::io_context& io, Resolver& resolver, std::uint64_t seed, Changed changed,
              Failed failed = nullptr, RetryPauses pauses = {});
  ~NameWatcher();  // no callbacks any more
  NameWatcher(const NameWatcher&) = delete;
  NameWatcher& operator=(const NameWatcher&) = delete;

  // The whole set, at start and after each reload. Hosts already watched keep addresses, TTL and pauses; an
  // endpoint that is new, or whose indices or port changed, is told the known addresses at once.
  void reconfigure(std::vector<WatchedName> names);

private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace understudy::probe
