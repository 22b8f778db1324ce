// Is far more asked of a pool than is usual, and by whom? What is usual is learned slowly, and more slowly while it is
// exceeded, so that a surge does not become the norm at once but a new level does in the end.
#pragma once

#include <string>
#include <vector>

#include "health/types.hpp"

namespace understudy::health {

class SurgeWatch {
public:
  // True when a surge began or ended.
  bool observe(const ArrivalSample& sample, TimePoint now);

  bool surging() const { return surging_; }
  double rate() const { return rate_; }    // requests per second, of the newest sample
  double usual() const { return usual_; }  // zero: not known yet
  // "a surge of clients: 900 requests/s, usually 300/s; 66 % from 2 addresses (10.0.0.7 400/s, 10.0.0.8 200/s)"; "" without.
  std::string text() const;

private:
  void learn(double rate, Duration over);

  double rate_ = 0, usual_ = 0;
  Duration learned_{};      // how much time `usual_` rests on
  int high_ = 0, low_ = 0;  // samples in a row
  bool surging_ = false;
  Duration over_{};
  std::vector<ArrivalSample::Client> most_;
};

}  // namespace understudy::health
