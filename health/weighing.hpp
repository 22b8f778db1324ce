// No one client address weighs more than half of the evidence against an endpoint, where several clients send: somebody who
// knows a URL that fails, or one that takes long, must not be able to have an endpoint taken out for all the others.
//
// The workers tell which address is behind most of the failures and slow answers. Where the others send at least a tenth of
// the requests, that client's part of a sample counts only as far as they meet the same. Behind a CDN there may be only one
// address: it counts fully. What no request can bring about (a refused connection) always counts. At an endpoint that gets
// nothing but repetitions and trials only who fails is seen: there the others are those of the whole pool.
#pragma once

#include <optional>

#include "health/types.hpp"

namespace understudy::health {

// Can what one client sends bring this about?
bool may_be_provoked(Cause cause);

class ClientWeighing {
public:
  // Takes the sample in. `slow_after`: answers that take longer speak against the endpoint.
  void observe(const TrafficSample& seen, std::optional<Duration> slow_after, TimePoint now);
  // The part of it that is evidence. `elsewhere`: requests that other clients sent to other endpoints of late, where this one
  // does not serve.
  TrafficSample weigh(const TrafficSample& seen, double elsewhere);
  // Is one client behind most of what speaks against it? And who.
  bool one_is_behind_most() const { return client_bad_.value() > other_bad_.value(); }
  std::uint64_t client() const { return client_; }
  // Requests of late that were not sent by that client.
  double requests_of_others(std::uint64_t client) const;
  // What the client's part counted last, in [0, 1].
  double factor() const { return factor_; }

private:
  // A number that is halved with time.
  class Fading {
  public:
    explicit Fading(Duration half_life) : half_life_(half_life) {}
    void add(double value, TimePoint now);
    double value() const { return value_; }
    void clear() { value_ = 0; }

  private:
    Duration half_life_;
    TimePoint at_{};
    double value_ = 0;
  };

  // Before it did any harm a client is known only if it asks most: both counts are kept.
  Fading requests_{std::chrono::seconds(15)}, client_requests_{std::chrono::seconds(15)},
      busiest_requests_{std::chrono::seconds(15)};
  std::uint64_t client_ = 0, busiest_ = 0;
  Fading client_bad_{std::chrono::seconds(2)}, other_bad_{std::chrono::seconds(2)};
  double factor_ = 1;
  std::uint64_t client_failures_ = 0;  // of the newest sample, that it may have provoked
};

}  // namespace understudy::health
