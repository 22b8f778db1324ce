#include "proxy/net/wheel.hpp"

#include <algorithm>
#include <bit>

namespace understudy::net {

namespace {

// Distance from `from` to the next set bit, going round; `size` if none.
template <std::size_t Words>
std::uint64_t next_set(const std::array<std::uint64_t, Words>& bits, std::uint64_t from) {
  constexpr std::uint64_t size = Words * 64;
  for (std::uint64_t step = 0; step < size;) {
    const std::uint64_t at = (from + step) % size;
    const std::uint64_t word = bits[at / 64] >> (at % 64);
    if (word != 0) return std::min<std::uint64_t>(step + static_cast<std::uint64_t>(std::countr_zero(word)), size);
    step += 64 - at % 64;
  }
  return size;
}

template <std::size_t Words>
void mark(std::array<std::uint64_t, Words>& bits, std::uint64_t at) {
  bits[at / 64] |= std::uint64_t{1} << (at % 64);
}
template <std::size_t Words>
void unmark(std::array<std::uint64_t, Words>& bits, std::uint64_t at) {
  bits[at / 64] &= ~(std::uint64_t{1} << (at % 64));
}

}  // namespace

Wheel::Wheel(TimePoint now) : start_(now) {}

// The first tick at which `t` has passed (rounded up).
std::uint64_t Wheel::tick_of(TimePoint t) const {
  if (t <= start_) return 0;
  const auto ns = (t - start_).count();
  const auto tick = std::chrono::nanoseconds(kTick).count();
  return static_cast<std::uint64_t>((ns + tick - 1) / tick);
}

void Wheel::set(Timer& timer, TimePoint deadline) {
  timer.deadline_ = deadline;
  if (timer.armed_ && deadline >= timer.slot_time_) return;  // re-slotted when its slot is due
  place(timer);
}

void Wheel::place(Timer& timer) {
  timer.armed_ = true;
  const std::uint64_t due = std::max(tick_of(timer.deadline_), tick_ + 1);
  if (due - tick_ < kFine) {
    timer.slot_time_ = time_of(due);
    fine_[due % kFine].push_back(timer);
    mark(fine_used_, due % kFine);
    return;
  }
  // A coarse slot is brought down at its beginning, so it is never later than the deadline.
  const std::uint64_t second = std::min(due / kTicksPerSecond, second_ + kCoarse - 1);
  timer.slot_time_ = time_of(second * kTicksPerSecond);
  coarse_[second % kCoarse].push_back(timer);
  mark(coarse_used_, second % kCoarse);
}

void Wheel::cancel(Timer& timer) {
  timer.unlink();
  timer.armed_ = false;
}

void Wheel::run_slot(Slot& slot, TimePoint now) {
  // Taken out first: what on_timer sets for "now" must wait for the next call.
  Slot due;
  slot.for_each([&due](Timer& timer) { due.push_back(timer); });
  while (Timer* timer = due.front()) {
    timer->unlink();
    if (timer->deadline_ > now) {
      place(*timer);
      continue;
    }
    timer->armed_ = false;
    timer->on_timer(now);
  }
}

void Wheel::advance(TimePoint now) {
  if (now < start_) return;
  const auto target = static_cast<std::uint64_t>((now - start_) / kTick);
  while (tick_ < target) {
    // Jump over empty ticks, but not over the beginning of an occupied second.
    const std::uint64_t fine_step = next_set(fine_used_, (tick_ + 1) % kFine);
    const std::uint64_t next_second = (second_ + 1) * kTicksPerSecond;
    std::uint64_t next_tick = std::min(target, tick_ + 1 + fine_step);
    next_tick = std::min(next_tick, std::max(next_second, tick_ + 1));
    tick_ = next_tick;
    while ((second_ + 1) * kTicksPerSecond <= tick_) {
      ++second_;
      const std::uint64_t at = second_ % kCoarse;
      unmark(coarse_used_, at);
      Slot due;
      coarse_[at].for_each([&due](Timer& timer) { due.push_back(timer); });
      while (Timer* timer = due.front()) {
        timer->unlink();
        // Due in this very tick: it must not be put behind the tick that is about to run.
        if (timer->deadline_ <= time_of(tick_)) {
          timer->slot_time_ = time_of(tick_);
          fine_[tick_ % kFine].push_back(*timer);
          mark(fine_used_, tick_ % kFine);
        } else {
          place(*timer);
        }
      }
    }
    const std::uint64_t at = tick_ % kFine;
    if (fine_used_[at / 64] >> (at % 64) & 1) {
      unmark(fine_used_, at);
      run_slot(fine_[at], now);
    }
  }
}

std::optional<TimePoint> Wheel::next() const {
  const std::uint64_t fine_step = next_set(fine_used_, (tick_ + 1) % kFine);
  const std::uint64_t coarse_step = next_set(coarse_used_, (second_ + 1) % kCoarse);
  std::optional<TimePoint> soonest;
  if (fine_step < kFine) soonest = time_of(tick_ + 1 + fine_step);
  if (coarse_step < kCoarse) {
    const TimePoint t = time_of((second_ + 1 + coarse_step) * kTicksPerSecond);
    soonest = soonest ? std::min(*soonest, t) : t;
  }
  return soonest;
}

}  // namespace understudy::net
