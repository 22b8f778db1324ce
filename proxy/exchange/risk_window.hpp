// How many of a client's messages may be lost with the endpoint they were passed on to: those of the last second, those since a
// second before the endpoint was last heard of (it may have been frozen since), and those its machine has not acknowledged. Pure;
// 100 bytes a tunnel, so times are known to an eighth of a second and never too late.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

namespace understudy::exchange {

class RiskWindow {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kStep{125};
  static constexpr std::chrono::seconds kWindow{1};

  // Messages became whole by bytes that were passed on now. `heard`: when the endpoint last gave a sign of life.
  void add(std::uint32_t messages, std::uint64_t bytes, TimePoint heard, TimePoint now) {
    roll(heard, now);
    steps_[0].messages += messages;
    steps_[0].bytes += bytes;
    all_messages_ += messages;
    all_bytes_ += bytes;
  }
  // `unacknowledged` bytes were not confirmed by the endpoint's machine.
  std::uint64_t at_risk(std::uint64_t unacknowledged, TimePoint heard, TimePoint now) {
    roll(heard, now);
    std::uint64_t messages = older_.messages, bytes = older_.bytes;
    for (const Step& step : steps_) {
      messages += step.messages;
      bytes += step.bytes;
    }
    if (unacknowledged > bytes && all_messages_ > messages) {
      // What is older than the window and still on its way is known by its size only.
      const std::uint64_t rest = unacknowledged - bytes,
                          per_message = std::max<std::uint64_t>(1, all_bytes_ / all_messages_);
      messages += std::min((rest + per_message - 1) / per_message, all_messages_ - messages);
    }
    return messages;
  }
  // Another endpoint: nothing was passed on to it yet.
  void reset() { *this = RiskWindow{}; }

private:
  struct Step {
    std::uint32_t messages = 0;
    std::uint64_t bytes = 0;
  };
  // What is older than a second is forgotten, unless the endpoint may not have lived to take it in.
  void roll(TimePoint heard, TimePoint now) {
    if (older_.messages > 0 && older_until_ + kWindow <= heard) older_ = {};
    if (now < begun_ + kStep) return;
    const std::int64_t by = (now - begun_) / kStep;
    for (std::int64_t i = std::min(by, static_cast<std::int64_t>(steps_.size())); i > 0; --i) {
      const Step last = steps_.back();
      for (std::size_t k = steps_.size() - 1; k > 0; --k) steps_[k] = steps_[k - 1];
      steps_[0] = {};
      const TimePoint until = now - kWindow;
      if (last.messages == 0 || until + kWindow <= heard) continue;
      older_.messages += last.messages;
      older_.bytes += last.bytes;
      older_until_ = until;
    }
    begun_ += by * kStep;
  }

  std::array<Step, 9> steps_{};  // newest first; the oldest begins at least a second ago
  Step older_;                   // and what came before, since the endpoint was heard of
  TimePoint older_until_{}, begun_{};
  std::uint64_t all_messages_ = 0, all_bytes_ = 0;
};

}  // namespace understudy::exchange
