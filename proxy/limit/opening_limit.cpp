#include "proxy/limit/opening_limit.hpp"

#include <algorithm>
#include <cmath>

namespace understudy::limit {

namespace {
using Seconds = std::chrono::duration<double>;
constexpr double kUsual = 3;                           // times the usual is slow
constexpr std::chrono::milliseconds kSlack{50};        // and at least so much more
constexpr double kForget = 600;                        // seconds in which the usual doubles unless it is met again
constexpr double kMemory = 4;                          // seconds, of the rate
constexpr std::chrono::milliseconds kLeastPause{100};  // between two halvings
}  // namespace

std::optional<OpeningLimit::Duration> OpeningLimit::good() const {
  if (options_.good) return options_.good;
  if (!usual_) return std::nullopt;
  return std::max<Duration>(Duration(static_cast<Duration::rep>(static_cast<double>(usual_->count()) * kUsual)),
                            *usual_ + kSlack);
}

void OpeningLimit::opened(Duration took, TimePoint now) {
  const bool used = reached_;  // else more would teach nothing
  end();
  if (usual_) {
    const double drift = std::exp2(std::min(1.0, Seconds(now - counted_).count() / kForget));
    usual_ = std::min(took, Duration(static_cast<Duration::rep>(static_cast<double>(usual_->count()) * drift)));
  } else {
    usual_ = took;
  }
  count(now);
  if (took > *good()) return halve(now, took);
  if (!used) {
    grown_ = now;
    return;
  }
  if (grown_) room_ = std::min(1.0, room_ + Seconds(now - *grown_).count() * options_.growth);
  grown_ = now;
  const double step = std::min(1 / limit_, room_);  // one for as many as the limit, as TCP does
  room_ -= step;
  limit_ = std::min(options_.most, limit_ + step);
}

void OpeningLimit::failed(TimePoint now) {
  end();
  halve(now, kLeastPause);
}

// Once for all that were under way together: they tell of the same load.
void OpeningLimit::halve(TimePoint now, Duration pause) {
  grown_ = now;
  if (now < no_halving_before_) return;
  limit_ = std::max(options_.least, limit_ / 2);
  no_halving_before_ = now + std::max<Duration>(pause, kLeastPause);
}

void OpeningLimit::count(TimePoint now) {
  if (!first_) first_ = counted_ = now;
  weight_ = weight_ * std::exp(-Seconds(now - counted_).count() / kMemory) + 1;
  counted_ = now;
}

double OpeningLimit::rate(TimePoint now) const {
  if (!first_) return 0;
  const double known = 1 - std::exp(-std::max(0.25, Seconds(now - *first_).count()) / kMemory);
  return weight_ * std::exp(-Seconds(now - counted_).count() / kMemory) / (kMemory * known);
}

}  // namespace understudy::limit
