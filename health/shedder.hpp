// When a tier is too slow and nothing better is to be had, fewer requests at once are answered sooner, and just as many of
// them: what is beyond a cap is refused at once instead of waiting with everybody else.
//
//            overloaded, more under way than the formula allows,
//            and it falls behind what it is asked: cut at once,
//            for what waits grows with each moment
//   open ──────────────────────────────────────────────────────────► capped ◄─┐ slow still: cut, at most by half
//     ▲                                                               │  │  └─┘ fast again: grow by a tenth
//     ├── the cap was not reached for a while ────────────────────────┘  │
//     └── a cut cost answers (they were slow for another reason): ◄──────┘
//         everything is let in again, and the next try waits longer
//
// A slow database is not to be answered with refusals: where each request takes long whatever the number, a cap only loses
// answers. Such a tier answers as many as it is asked, only later; and should that be misread, the last arrow takes it back.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "health/time.hpp"

namespace understudy::health {

// What the formula is given.
struct ShedMeasure {
  double goodput = 0;           // good answers per second: now, or the most of late where now is less
  Duration usual{};             // how long an answer takes when all is well (median)
  std::uint32_t endpoints = 1;  // that share the work
};
// How many requests a tier should have under way. The usual one: as many as it needs for its goodput at its usual speed
// (Little's law), twice that for waves, and a few per endpoint at least.
using ShedFormula = std::function<double(const ShedMeasure&)>;
double usual_cap(const ShedMeasure& measure);

struct ShedInput {
  bool overloaded = false;  // degraded, and no other tier measures better
  double under_way = 0;     // requests without an answer, now
  double served = 0;        // good answers since the last call
  double failed = 0;        // requests that got none
  Duration took{};          // median of the newest answers
  Duration usual{};         // the same when all is well; zero: not known
  std::uint32_t endpoints = 1;
};

class Shedder {
public:
  static constexpr Duration least_look = std::chrono::seconds(1);  // between two changes of the cap
  static constexpr Duration open_look =
      std::chrono::milliseconds(300);                              // without one, while enough is answered to judge by
  static constexpr Duration idle_time = std::chrono::seconds(10);  // a cap that was not reached for so long goes
  static constexpr Duration least_pause = std::chrono::seconds(30);
  static constexpr Duration longest_pause = std::chrono::minutes(10);

  explicit Shedder(ShedFormula formula = usual_cap) : formula_(std::move(formula)) {}

  // True when the cap began, changed or ended.
  bool observe(const ShedInput& input, TimePoint now);
  // Another tier serves, or nothing is known any more.
  void reset();
  void skip(Duration starved);

  std::optional<std::uint32_t> cap() const;
  // The last cap ended because it cost answers.
  bool was_futile() const { return futile_; }
  double goodput() const { return goodput_; }
  // When it wants to be asked again, while there is a cap.
  std::optional<TimePoint> next_look() const;

private:
  struct Cut {
    double cap = 0, goodput = 0;  // before it
  };
  void begin_window(TimePoint at, double under_way);
  bool falls_behind(const ShedInput& input);
  bool enough_to_judge(TimePoint now) const;
  void measure(TimePoint now);
  bool consider(const ShedInput& input, TimePoint now);
  bool adjust(const ShedInput& input, TimePoint now);
  void cut_to(double cap, double before, const ShedInput& input, TimePoint now);
  void lift(bool futile, TimePoint now);
  double target(const ShedInput& input) const;

  ShedFormula formula_;
  std::optional<double> cap_;
  std::optional<Cut> cut_;  // the newest change was one, and is not judged yet
  std::optional<TimePoint> window_, quiet_since_, retry_at_;
  Duration pause_ = least_pause;
  Duration look_ = least_look;
  double served_ = 0, failed_ = 0, peak_ = 0, began_with_ = 0;  // of the window
  double first_ = 0;                                            // under way when the tier had become slow
  int slow_looks_ = 0, looks_behind_ = 0;
  double goodput_ = 0, goodput_before_ = 0, best_ = 0;  // of the last look, the one before, and of late
  bool futile_ = false;
};

}  // namespace understudy::health
