// When a tunnel that lost its endpoint tries the next one, and when it gives up. Told what happened and when; says when to be woken.
// Holds no bytes and knows no endpoint. Pure.
//
//   flowing ─ lost ─► waiting ─ due ─► opening ─ opened ─► flowing
//                        ▲                │ failed, no endpoint, no place
//                        └────────────────┘          late, or refused for good ─► over
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace understudy::exchange {

class Parking {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;
  enum class Phase : std::uint8_t { flowing, waiting, opening, over };
  // Who holds for less than that after an opening has not taken over: the time and the attempts before count on.
  static constexpr std::chrono::seconds kSteady{1};

  Phase phase() const { return phase_; }
  bool parked() const { return phase_ == Phase::waiting || phase_ == Phase::opening; }
  std::uint32_t attempt() const { return attempts_; }  // of the opening under way, from 1
  TimePoint since() const { return since_; }           // parked
  TimePoint deadline() const { return deadline_; }

  void lost(Duration timeout, TimePoint now) {
    if (phase_ == Phase::flowing && now >= opened_ + kSteady) {
      deadline_ = now + timeout;
      attempts_ = failures_ = 0;
      next_ = now;
    } else {
      next_ = now + pause(0.5);
      ++failures_;
    }
    since_ = now;
    phase_ = Phase::waiting;
  }
  bool due(TimePoint now) const { return phase_ == Phase::waiting && now >= next_ && !late(now); }
  bool late(TimePoint now) const { return parked() && now >= deadline_; }
  void begun(TimePoint now) {
    phase_ = Phase::opening;
    begun_ = now;
    ++attempts_;
  }
  // An endpoint was asked in vain. The next one is asked at once, then ever more slowly; `random` (0 to 1) keeps many apart.
  void failed(double random, TimePoint now) {
    phase_ = Phase::waiting;
    next_ = now + (failures_ == 0 ? Duration(0) : pause(random));
    ++failures_;
  }
  // There was none to be asked, or no place in the queue.
  void nobody(double random, TimePoint now) {
    phase_ = Phase::waiting;
    --attempts_;
    next_ = now + std::chrono::duration_cast<Duration>(kLook * (0.5 + random));
  }
  // Endpoints are no longer what they were: worth a look now, if the last one was not just before.
  void look(TimePoint now) {
    if (phase_ == Phase::waiting) next_ = std::min(next_, std::max(now, begun_ + kLookAgain));
  }
  void opened(TimePoint now) {
    opened_ = now;
    phase_ = Phase::flowing;
  }
  void give_up() { phase_ = Phase::over; }
  TimePoint next_deadline() const {
    if (phase_ == Phase::waiting) return std::min(next_, deadline_);
    return phase_ == Phase::opening ? deadline_ : TimePoint::max();
  }

private:
  static constexpr std::chrono::milliseconds kLook{500}, kLookAgain{200}, kFirst{50}, kMost{1000};
  // 50 to 150 ms after the second failure, then twice as much, up to 0.5 to 1.5 s.
  Duration pause(double random) const {
    const std::chrono::milliseconds whole = std::min(kMost, kFirst * (1U << std::clamp(failures_, 1U, 8U)));
    return std::chrono::duration_cast<Duration>(whole * (0.5 + random));
  }

  Phase phase_ = Phase::flowing;
  std::uint32_t attempts_ = 0, failures_ = 0;
  TimePoint since_{}, deadline_{}, next_{}, begun_{};
  TimePoint opened_{};  // the epoch of the clock: what is lost first was open for long enough
};

}  // namespace understudy::exchange
