// No one client address weighs more than half of the evidence against an endpoint, where several clients send: somebody who
// knows a URL that fails, or one that takes long, must not be able to have an endpoint taken out for all the others.
//
// The workers tell which address is behind most of the failures and slow answers. Where the others send at least a tenth of
// the requests, that client's part of a sample counts only as far as they meet the same. Behind a CDN there may be only one
// address: it counts fully. What no request can bring about (a refused connection) always counts.
#pragma once

#include <optional>

#include "health/types.hpp"

namespace understudy::health {

// Can what one client sends bring this about?
bool may_be_provoked(Cause cause);

class ClientWeighing {
public:
  // The part of the sample that is evidence. `slow_after`: answers that take longer speak against the endpoint.
  TrafficSample weigh(const TrafficSample& seen, std::optional<Duration> slow_after, TimePoint now);
  // What the client's part counted last, in [0, 1].
  double factor() const { return factor_; }

private:
  // A number that is halved with time.
  class Fading {
  public:
    explicit Fading(Duration half_life) : half_life_(half_life) {}
    void add(double value, TimePoint now);
    double value() const { return value_; }

  private:
    Duration half_life_;
    TimePoint at_{};
    double value_ = 0;
  };

  Fading client_requests_{std::chrono::seconds(15)}, other_requests_{std::chrono::seconds(15)};
  Fading client_bad_{std::chrono::seconds(2)}, other_bad_{std::chrono::seconds(2)};
  double factor_ = 1;
};

}  // namespace understudy::health
