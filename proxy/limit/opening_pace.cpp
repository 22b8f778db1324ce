#include "proxy/limit/opening_pace.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace understudy::limit {

namespace {
using Seconds = std::chrono::duration<double>;
constexpr double kDoubling = 2;  // seconds, while it was never refused
constexpr double kCareful = 20;  // and once it was
constexpr double kNear = 120;    // and close to where it fell
constexpr double kClose = 0.8;   // of that
constexpr double kBears = 1.1;   // times that, and it did not fall
constexpr std::chrono::seconds kASecond{1};
constexpr double kCold = 20;                   // openings a second, of who was away
constexpr std::uint32_t kSlowInARow = 3;       // fewer may have reasons of their own
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

// Those at once come on top of the rate in their second: fewer where it is known how many are too many.
double OpeningPace::room() const { return std::max(fell_ > 0 ? 1 : options_.burst, allowed() / 10); }

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
  count(now);
}

void OpeningPace::count(TimePoint now) {
  const std::int64_t tenth = now.time_since_epoch() / std::chrono::milliseconds(100);
  const std::int64_t passed = std::clamp<std::int64_t>(tenth - tenth_, 0, 10);
  for (std::int64_t t = 0; t < passed; ++t) tenths_[static_cast<std::size_t>(tenth - t) % tenths_.size()] = 0;
  tenth_ = std::max(tenth_, tenth);
  ++tenths_[static_cast<std::size_t>(tenth_) % tenths_.size()];
  most_begun_ = std::max(most_begun_, std::accumulate(tenths_.begin(), tenths_.end(), 0U));
  if (!counted_since_) counted_since_ = now;
}

void OpeningPace::good(TimePoint now) {
  const bool wanted = used_up_ && now - *used_up_ <= kLately;  // else more would teach nothing
  const double since = grown_ ? std::clamp(Seconds(now - *grown_).count(), 0.0, 1.0) : 0;
  grown_ = now;
  if (wanted) rate_ = std::min(kFastest, rate_ * std::exp2(since / doubling()));
  if (!well_since_ && ++well_ >= kSlowInARow) well_since_ = now;
  if (fell_ > 0 && (rate_ > kBears * fell_ || now - fell_at_ > kForgotten)) {
    fell_ = 0;  // it bears them now, and nobody knows how many more
    fresh_ = true;
  }
}

double OpeningPace::doubling() const {
  if (fell_ > 0 && rate_ >= kClose * fell_) return kNear;
  return fresh_ ? kDoubling : kCareful;
}

// Once for all that were refused together. Where no more was wanted than it was given, it was not too much that was asked.
void OpeningPace::bad(TimePoint now) {
  if (!used_up_ || now - *used_up_ > kLately) return;
  grown_ = now;
  if (!just_cut(now)) cut(now, rate_);
}

void OpeningPace::slow(TimePoint begun, TimePoint now) {
  if (!used_up_ || begun - *used_up_ > kLately || (cut_ && begun <= *cut_)) return;  // those were begun at another pace
  if (!well_since_ || begun < *well_since_) return;                 // it begins slowly: it did not fall
  if (!counted_since_ || now - *counted_since_ < kASecond) return;  // how many that are in a second is not known yet
  if (just_cut(now)) return;
  fell_ = std::min<double>(most_begun_, rate_);
  fell_at_ = now;
  cut(now, fell_);
}

bool OpeningPace::just_cut(TimePoint now) const { return cut_ && now - *cut_ < kBetweenCuts; }

void OpeningPace::cut(TimePoint now, double rate) {
  cut_ = grown_ = now;
  most_begun_ = 0;
  counted_since_.reset();
  const bool far_off = !std::exchange(fresh_, false) && rate > kMany;
  rate_ = std::max(options_.least, rate * (far_off ? kFarLess : kLess));
  tokens_ = std::min(tokens_, 1.0);
}

void OpeningPace::cold() {
  rate_ = std::min(options_.start, kCold);
  fresh_ = true;
  tokens_ = std::min(tokens_, room());
  used_up_.reset();
  grown_.reset();
  cut_.reset();
  counted_since_.reset();
  well_since_.reset();
  most_begun_ = well_ = 0;
}

bool SlowInARow::add(TimePoint begun, bool slow) {
  if (!slow) {
    if (!last_ || begun <= *first_) return false;
    if (begun < *last_) {
      *this = {};  // in between
    } else if (!good_ || begun < *good_) {
      good_ = begun;
    }
    return false;
  }
  if (!last_ || (good_ && begun > *good_)) *this = {};
  first_ = first_ ? std::min(*first_, begun) : begun;
  last_ = last_ ? std::max(*last_, begun) : begun;
  return ++count_ >= kSlowInARow;
}

}  // namespace understudy::limit
