#include "proxy/limit/pacer.hpp"

#include <algorithm>

namespace understudy::limit {

namespace {
constexpr std::chrono::milliseconds kMissed{100};  // later than this is no lateness but an absence
}  // namespace

Pacer::Pacer(TimePoint now, Duration window, std::size_t members, double phase)
    : end_(now + std::max(window, Duration(0))), next_(now) {
  if (members == 0) return;
  const auto apart = static_cast<double>((end_ - now).count()) / static_cast<double>(members);
  next_ += Duration(static_cast<Duration::rep>(apart * std::clamp(phase, 0.0, 1.0)));
}

std::size_t Pacer::due(TimePoint now, std::size_t left) {
  if (now >= end_) {
    next_ = end_;
    return left;
  }
  if (now - next_ > kMissed) next_ = now;
  std::size_t go = 0;
  while (left > go && next_ <= now) {
    const auto rest = static_cast<Duration::rep>(left - go);
    next_ += (end_ - next_) / rest;
    ++go;
  }
  return go;
}

}  // namespace understudy::limit
