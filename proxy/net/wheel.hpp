// Deadlines of one worker: 256 slots of 8 ms for what is near, 512 of 1 s for the rest, re-slotted lazily.
// A node never stands in a slot later than its deadline, so it is late by at most one fine tick (8 ms), far ones too: they
// come down into the fine slots first. Setting a later deadline only stores it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

#include "proxy/net/object.hpp"

namespace understudy::net {

using TimePoint = std::chrono::steady_clock::time_point;

class Wheel;

struct TimerHook : ListHook {};

class Timer : public TimerHook {
public:
  Timer() = default;
  virtual ~Timer() = default;
  bool armed() const { return armed_; }
  TimePoint deadline() const { return deadline_; }

protected:
  // Called by advance() when the deadline has passed; the timer is no longer armed and may be set again.
  virtual void on_timer(TimePoint now) = 0;

private:
  friend class Wheel;
  TimePoint deadline_{};
  TimePoint slot_time_{};  // when its slot is due
  bool armed_ = false;
};

class Wheel {
public:
  static constexpr std::chrono::milliseconds kTick{8};

  explicit Wheel(TimePoint now);
  void set(Timer& timer, TimePoint deadline);
  void cancel(Timer& timer);
  // Runs what is due. Timers set while it runs and due already are run by the next call.
  void advance(TimePoint now);
  // When advance() should be called next; nullopt when nothing is set.
  std::optional<TimePoint> next() const;

private:
  static constexpr std::uint64_t kFine = 256, kCoarse = 512, kTicksPerSecond = 125;
  using Slot = List<Timer, TimerHook>;
  void place(Timer& timer);
  void run_slot(Slot& slot, TimePoint now);
  std::uint64_t tick_of(TimePoint t) const;
  TimePoint time_of(std::uint64_t tick) const { return start_ + kTick * tick; }

  TimePoint start_;
  std::uint64_t tick_ = 0;    // fine ticks fully run
  std::uint64_t second_ = 0;  // coarse slots fully brought down
  std::array<Slot, kFine> fine_;
  std::array<Slot, kCoarse> coarse_;
  std::array<std::uint64_t, kFine / 64> fine_used_{};  // may say yes for a slot emptied since
  std::array<std::uint64_t, kCoarse / 64> coarse_used_{};
};

}  // namespace understudy::net
