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
constexpr double kDoubling = 2;                        // seconds, before the first halving
constexpr std::uint32_t kFewestJudged = 8;

OpeningLimit::Duration times(OpeningLimit::Duration d, double factor) {
  return OpeningLimit::Duration(static_cast<OpeningLimit::Duration::rep>(static_cast<double>(d.count()) * factor));
}
}  // namespace

std::optional<OpeningLimit::Duration> OpeningLimit::good() const {
  if (options_.good) return options_.good;
  if (!usual_) return std::nullopt;
  return std::max<Duration>(times(*usual_, kUsual), *usual_ + kSlack);
}

void OpeningLimit::opened(Duration took, TimePoint now) {
  const bool used = reached_;  // else more would teach nothing
  end();
  count(now);
  bool halved = false;
  judge(took, now, halved);
  if (!halved) grow(now, used && took <= *good());
}

// Openings differ for reasons of their own, so a few say little: the limit is halved when seven in eight of a round were slow.
void OpeningLimit::judge(Duration took, TimePoint now, bool& halved) {
  if (!usual_ || (!learnt_ && took < *usual_)) usual_ = took;
  const std::uint32_t round = std::clamp<std::uint32_t>(limit(), kFewestJudged, kMostJudged);
  lately_[judged_++] = took;
  if (took > *good()) ++late_;
  if (late_ * 8 >= round * 7) {
    slow_ = halved = true;
    if (limit_ <= options_.least) learn(now);
    judged_ = late_ = 0;
    halve(now, took);
  } else if (judged_ >= round) {
    slow_ = false;
    learn(now);
    judged_ = late_ = 0;
  }
}

// The median of a round. With hardly any in progress nothing but the endpoint itself makes it slow: that is then what is usual.
void OpeningLimit::learn(TimePoint now) {
  const auto middle = lately_.begin() + judged_ / 2;
  std::nth_element(lately_.begin(), middle, lately_.begin() + judged_);
  if (!learnt_) {
    usual_ = *middle;
  } else if (limit_ <= options_.least * 2) {
    usual_ = std::min((*usual_ + *middle) / 2, *usual_ * 2);
  } else {
    usual_ = std::min(*middle, times(*usual_, std::exp2(std::min(1.0, Seconds(now - learnt_at_).count() / kForget))));
  }
  learnt_ = true;
  learnt_at_ = now;
}

void OpeningLimit::grow(TimePoint now, bool used) {
  if (used) {
    const double speed = fresh_ ? limit_ * std::log(2.0) / kDoubling : options_.growth;
    if (grown_) room_ = std::min(1.0, room_ + Seconds(now - *grown_).count() * speed);
    // Once it was halved one for as many as the limit, as TCP does.
    const double step = std::min(fresh_ ? 1.0 : 1 / limit_, room_);
    room_ -= step;
    limit_ = std::min(options_.most, limit_ + step);
  }
  grown_ = now;
}

// Like one that took too long: a few of many have reasons of their own.
void OpeningLimit::failed(TimePoint now) {
  end();
  const Duration too_long = good() ? *good() + std::chrono::milliseconds(1) : Duration(0);
  bool halved = false;
  if (usual_ || options_.good) judge(too_long, now, halved);
}

// Once for all that were under way together: they tell of the same load.
void OpeningLimit::halve(TimePoint now, Duration pause) {
  grown_ = now;
  fresh_ = false;
  if (now < no_halving_before_) return;
  limit_ = std::max(options_.least, limit_ / 2);
  no_halving_before_ = now + std::max<Duration>(pause, kLeastPause);
}

void OpeningLimit::cold() {
  limit_ = std::min(limit_, options_.start);
  fresh_ = true;
  reached_ = false;
  room_ = 0;
  grown_.reset();
  judged_ = late_ = 0;
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
