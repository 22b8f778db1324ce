#include "health/shedder.hpp"

#include <algorithm>
#include <cmath>

namespace understudy::health {
namespace {

constexpr double headroom = 2;
constexpr double least_per_endpoint = 4;
constexpr double much_slower = 3;   // times the usual: fewer at once
constexpr double fast_enough = 2;   // times the usual: a few more
constexpr double costly = 0.8;      // of the goodput before a cut
constexpr double reached = 0.9;     // of the cap
constexpr double behind = 0.1;      // of what is answered, that was asked and is not
constexpr double far_behind = 1.5;  // times as many under way as at first
constexpr double chance = 2;        // standard deviations of what comes by chance
constexpr double few = 5;           // answers that say nothing of a pace
constexpr int settling_looks = 1;
constexpr int convincing_looks = 2;  // in a row
constexpr double deepest_cut = 8;    // the first cap is at least this part of what is under way
constexpr double idle = 0.7;         // of the cap
constexpr double growth = 1.1;
constexpr Duration longest_look = std::chrono::seconds(5);
constexpr Duration best_half_life = std::chrono::minutes(1);

Duration times(Duration duration, double factor) {
  return Duration(static_cast<Duration::rep>(static_cast<double>(duration.count()) * factor));
}
double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

double usual_cap(const ShedMeasure& measure) {
  return std::max(measure.goodput * seconds(measure.usual) * headroom,
                  least_per_endpoint * static_cast<double>(std::max<std::uint32_t>(measure.endpoints, 1)));
}

std::optional<std::uint32_t> Shedder::cap() const {
  if (!cap_) return std::nullopt;
  return static_cast<std::uint32_t>(std::clamp(std::ceil(*cap_), 1.0, 1e9));
}

std::optional<TimePoint> Shedder::next_look() const {
  if (!cap_ || !window_) return std::nullopt;
  return *window_ + look_;
}

void Shedder::reset() {
  cap_.reset();
  cut_.reset();
  window_.reset();
  quiet_since_.reset();
  slow_looks_ = looks_behind_ = 0;
  futile_ = false;
  goodput_ = goodput_before_ = best_ = 0;
}

void Shedder::skip(Duration starved) {
  for (std::optional<TimePoint>* at : {&window_, &quiet_since_, &retry_at_}) {
    if (*at) **at += starved;
  }
}

void Shedder::begin_window(TimePoint at, double under_way) {
  window_ = at;
  served_ = failed_ = peak_ = 0;
  began_with_ = under_way;
}

// More is asked than is answered: it piles up, or ends without an answer. When a tier becomes slow more are under way for
// that alone, until the first of the slow answers are there: what was answered before says nothing. Where each request takes
// long whatever the number, from then on as many are answered as come.
bool Shedder::falls_behind(const ShedInput& input) {
  if (slow_looks_ < settling_looks) {
    ++slow_looks_;
    first_ = input.under_way;
    return false;
  }
  const double unanswered = input.under_way - began_with_ + failed_;
  const double by_chance = chance * std::sqrt(std::max(0.0, served_ + unanswered));
  const bool behind_now = unanswered >= std::max(behind * served_, by_chance);
  looks_behind_ = behind_now ? looks_behind_ + 1 : 0;
  return looks_behind_ >= convincing_looks || input.under_way >= far_behind * first_;
}

// Without a cap a look lasts until there are answers to judge by.
bool Shedder::enough_to_judge(TimePoint now) const {
  return cap_ || served_ + failed_ >= few || now - *window_ >= longest_look;
}

double Shedder::target(const ShedInput& input) const {
  return formula_({std::max(goodput_, best_), input.usual, input.endpoints});
}

bool Shedder::observe(const ShedInput& input, TimePoint now) {
  if (!window_) begin_window(now, input.under_way);
  if (now < *window_) return false;  // a cut takes as long to show as an answer takes
  served_ += input.served;
  failed_ += input.failed;
  peak_ = std::max(peak_, input.under_way);
  // What a cap does shows after as long as an answer takes. Whether there is more than can be answered shows sooner, and where
  // it is so, answers take longer the longer one looks.
  look_ = cap_ ? std::clamp<Duration>(times(input.took, 1.5), least_look, longest_look) : open_look;
  if (now - *window_ < look_ || !enough_to_judge(now)) return false;
  measure(now);
  const bool changed = cap_ ? adjust(input, now) : consider(input, now);
  if (*window_ <= now) begin_window(now, input.under_way);
  return changed;
}

void Shedder::measure(TimePoint now) {
  const Duration lasted = now - *window_;
  goodput_before_ = std::exchange(goodput_, served_ / seconds(lasted));
  best_ = std::max(goodput_, best_ * std::exp2(-seconds(lasted) / seconds(best_half_life)));
}

// Without a cap: is one due?
bool Shedder::consider(const ShedInput& input, TimePoint now) {
  futile_ = false;
  if (!input.overloaded) slow_looks_ = looks_behind_ = 0;
  if (!input.overloaded || input.usual <= Duration::zero()) return false;
  if (input.took < times(input.usual, fast_enough)) return false;
  if (!falls_behind(input)) return false;
  if (retry_at_ && now < *retry_at_) return false;
  const double wanted = target(input);
  if (input.under_way <= wanted) return false;  // it is not their number that makes it slow
  cut_to(std::max(wanted, input.under_way / deepest_cut), input.under_way, input, now);
  return true;
}

bool Shedder::adjust(const ShedInput& input, TimePoint now) {
  const bool full = peak_ >= *cap_ * reached;
  if (const auto cut = std::exchange(cut_, std::nullopt); cut && full && goodput_ < cut->goodput * costly) {
    lift(true, now);
    return true;
  }
  if (peak_ >= *cap_ * idle) quiet_since_.reset();
  if (!full) {
    if (!quiet_since_ && peak_ < *cap_ * idle) quiet_since_ = now;
    if (quiet_since_ && now - *quiet_since_ >= idle_time) {
      lift(false, now);
      return true;
    }
    return false;
  }
  const double wanted = target(input);
  if (input.took > times(input.usual, much_slower) && wanted < *cap_) {
    cut_to(std::max(wanted, *cap_ / 2), *cap_, input, now);
    return true;
  }
  if (input.took > times(input.usual, fast_enough)) return false;
  cap_ = *cap_ * growth + 1;
  return true;
}

void Shedder::cut_to(double cap, double before, const ShedInput& input, TimePoint now) {
  cut_ = Cut{before, std::min(goodput_, goodput_before_)};  // a look may have been lucky
  cap_ = cap;
  quiet_since_.reset();
  // What is under way is answered as slowly as before; only then the cut shows.
  begin_window(now + std::clamp<Duration>(input.took, Duration::zero(), longest_look), input.under_way);
}

void Shedder::lift(bool futile, TimePoint now) {
  cap_.reset();
  quiet_since_.reset();
  futile_ = futile;
  if (!futile) {
    pause_ = least_pause;
    retry_at_.reset();
    return;
  }
  retry_at_ = now + pause_;
  pause_ = std::min<Duration>(2 * pause_, longest_pause);
}

}  // namespace understudy::health
