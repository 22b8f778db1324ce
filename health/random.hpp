// Repeatable random numbers: the same seed gives the same run on every platform (the standard distributions
// do not).
#pragma once

#include <cstdint>

namespace understudy::health {

// Steele, Lea and Flood's SplitMix64: one addition and three xor-shifts a number; good enough for jitter.
class Random {
public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
    return mixed ^ (mixed >> 31U);
  }
  // Uniform in [0, 1).
  double fraction() { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }

private:
  std::uint64_t state_;
};

}  // namespace understudy::health
