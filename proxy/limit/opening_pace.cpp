#include "proxy/limit/opening_pace.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace understudy::limit {

namespace {
using Seconds = std::chrono::duration<double>;
constexpr double kDoubling = 2;                // seconds, while it was never refused
constexpr double kCareful = 20;                // and once it was
constexpr double kCold = 20;                   // openings a second, of who was away
constexpr double kFastest = 1e6;               // as good as no limit
constexpr double kLess = 0.7;                  // of the rate, after a refusal
constexpr double kMany = 100, kFarLess = 0.3;  // still refused at so many a second
constexpr std::chrono::milliseconds kBetweenCuts{500};
constexpr std::chrono::milliseconds kLately{300};  // the limit was met so long ago at most
constexpr std::chrono::seconds kForgotten{300};    // nothing was opened for so long
}  // namespace

double OpeningPace::allowed() const {
  const double own = options_.adaptive ? rate_ : kFastest;
  return options_.most ? std::min(own, *options_.most) : own;
}

double OpeningPace::room() const { return std::max(options_.burst, allowed() / 10); }

void OpeningPace::refill(TimePoint now) {
  if (!filled_) {
    tokens_ = room();
  } else if (now > *filled_) {
    if (now - *filled_ > kForgotten) {
      cold();
      rate_ = options_.start;  // it was there all the time
    }
    tokens_ = std::min(room(), tokens_ + Seconds(now - *filled_).count() * allowed());
  }
  filled_ = filled_ ? std::max(*filled_, now) : now;
}

std::uint32_t OpeningPace::ready(TimePoint now) {
  if (unbounded()) return UINT32_MAX;
  refill(now);
  if (tokens_ < 1) used_up_ = now;
  return static_cast<std::uint32_t>(tokens_);
}

void OpeningPace::begun(TimePoint now) {
  refill(now);
  tokens_ = std::max(0.0, tokens_ - 1);
  if (tokens_ < 1) used_up_ = now;
}

void OpeningPace::good(TimePoint now) {
  const bool wanted = used_up_ && now - *used_up_ <= kLately;  // else more would teach nothing
  const double since = grown_ ? std::clamp(Seconds(now - *grown_).count(), 0.0, 1.0) : 0;
  grown_ = now;
  if (wanted) rate_ = std::min(kFastest, rate_ * std::exp2(since / (fresh_ ? kDoubling : kCareful)));
}

// Once for all that were refused together. Where no more was wanted than it was given, it was not too much that was asked.
void OpeningPace::bad(TimePoint now) {
  if (!used_up_ || now - *used_up_ > kLately) return;
  grown_ = now;
  if (cut_ && now - *cut_ < kBetweenCuts) return;
  cut_ = now;
  const bool far_off = !std::exchange(fresh_, false) && rate_ > kMany;
  rate_ = std::max(options_.least, rate_ * (far_off ? kFarLess : kLess));
  tokens_ = std::min(tokens_, 1.0);
}

void OpeningPace::cold() {
  rate_ = std::min(options_.start, kCold);
  fresh_ = true;
  tokens_ = std::min(tokens_, room());
  used_up_.reset();
  grown_.reset();
  cut_.reset();
}

}  // namespace understudy::limit
