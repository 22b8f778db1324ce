// The client address behind most of the failures and slow answers of one endpoint, and what that address was answered: by it
// the core sees to it that nobody who knows a URL that fails takes an endpoint out for all the others (security: health checks).
//
// One place and a majority vote (Boyer and Moore) over what was bad: an answer costs one comparison, memory does not grow with
// the number of clients, and whoever causes more than half holds the place in the end.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "health/types.hpp"
#include "proxy/observe/histogram.hpp"

namespace understudy::observe {

// Written by one worker. Any thread may read; who reads while the place changes hands may get a part of either.
class ClientEvidence {
public:
  struct Counts {
    std::uint64_t client = 0, turn = 0;  // 0: nobody; `turn` differs whenever the place was given anew
    std::uint64_t successes = 0, failures = 0, bad = 0;
    std::array<std::uint64_t, kBuckets> first_byte{};
  };

  // `client`: a hash of the address. The answer began; `slow`: later than is normal by far.
  void answered(std::uint64_t client, std::chrono::nanoseconds waited, bool slow);
  // The attempt is over. What no client can bring about (health::may_be_provoked) is nobody's.
  void ended(std::uint64_t client, health::Cause cause);
  void reset();
  Counts read() const;

private:
  // A vote against `client`. True: the place is its.
  bool blame(std::uint64_t client);

  static constexpr unsigned kMostVotes = 64;  // so that the next one to blame need not outdo all that was ever bad
  using Count = std::atomic<std::uint64_t>;
  static void bump(Count& c) { c.store(c.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
  Count client_{0}, turn_{0}, successes_{0}, failures_{0}, bad_{0};
  Histogram first_byte_;
  unsigned votes_ = 0;
};

// The client address that asks most, if one does more than half: a majority vote over all answers. Written by one worker; any
// thread may read.
class BusiestClient {
public:
  struct Counts {
    std::uint64_t client = 0, requests = 0;
  };
  void ended(std::uint64_t client) {
    constexpr auto relaxed = std::memory_order_relaxed;
    if (client_.load(relaxed) == client) {
      votes_ = votes_ < kMostVotes ? votes_ + 1 : votes_;
      requests_.store(requests_.load(relaxed) + 1, relaxed);
    } else if (votes_ > 0) {
      --votes_;
    } else {
      client_.store(client, relaxed);
      requests_.store(1, relaxed);
      votes_ = 1;
    }
  }
  void reset() {
    client_.store(0, std::memory_order_relaxed);
    requests_.store(0, std::memory_order_relaxed);
    votes_ = 0;
  }
  Counts read() const { return {client_.load(std::memory_order_relaxed), requests_.load(std::memory_order_relaxed)}; }

private:
  static constexpr unsigned kMostVotes = 1024;
  std::atomic<std::uint64_t> client_{0}, requests_{0};
  unsigned votes_ = 0;
};

// Made with the first failure or slow answer, as most endpoints have none. Owned here; readers of other threads see it whole.
class LazyClientEvidence {
public:
  LazyClientEvidence() = default;
  ~LazyClientEvidence() { delete place_.load(std::memory_order_relaxed); }
  LazyClientEvidence(const LazyClientEvidence&) = delete;
  LazyClientEvidence& operator=(const LazyClientEvidence&) = delete;

  void answered(std::uint64_t client, std::chrono::nanoseconds waited, bool slow) {
    if (ClientEvidence* evidence = slow ? &made() : place_.load(std::memory_order_relaxed))
      evidence->answered(client, waited, slow);
  }
  void ended(std::uint64_t client, health::Cause cause) {
    if (ClientEvidence* evidence = cause != health::Cause::none ? &made() : place_.load(std::memory_order_relaxed))
      evidence->ended(client, cause);
  }
  void reset() {
    if (ClientEvidence* evidence = place_.load(std::memory_order_relaxed)) evidence->reset();
  }
  const ClientEvidence* get() const { return place_.load(std::memory_order_acquire); }

private:
  ClientEvidence& made();
  std::atomic<ClientEvidence*> place_{nullptr};
};

// What was counted since the last time, over the workers. Control thread only, one per endpoint.
class ClientEvidenceReader {
public:
  using Client = health::TrafficSample::Client;
  using Busiest = health::TrafficSample::Busiest;
  // In the order of the workers; null: that one has none.
  Client take(const std::vector<const ClientEvidence*>& workers);
  Busiest take(const std::vector<const BusiestClient*>& workers);

private:
  std::vector<ClientEvidence::Counts> before_;
  std::vector<BusiestClient::Counts> busiest_before_;
};

}  // namespace understudy::observe
