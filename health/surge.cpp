#include "health/surge.hpp"

#include <algorithm>
#include <cmath>

#include "health/explain.hpp"

namespace understudy::health {
namespace {

constexpr double surge_factor = 3;    // times what is usual
constexpr double over_factor = 2;     // below that it is over
constexpr double least_surplus = 20;  // requests per second
constexpr int samples_to_begin = 2, samples_to_end = 3;
constexpr Duration least_learned = std::chrono::seconds(20);
constexpr Duration learning_half_life = std::chrono::minutes(5);
constexpr Duration surging_half_life = std::chrono::minutes(30);
constexpr std::size_t named = 3;
constexpr double noteworthy = 0.05;  // of all requests

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
std::string per_second(double rate) { return std::to_string(std::lround(rate)) + "/s"; }

}  // namespace

void SurgeWatch::learn(double rate, Duration over) {
  // At first the mean of what was seen, then what fades.
  const Duration half_life = surging_ ? surging_half_life : learning_half_life;
  const double fading = 1 - std::exp2(-seconds(over) / seconds(half_life));
  const double mean = seconds(over) / seconds(learned_ + over);
  usual_ += (rate - usual_) * std::max(fading, std::min(mean, 1.0) > 0.02 && !surging_ ? mean : 0.0);
  learned_ = std::min<Duration>(learned_ + over, learning_half_life);
}

bool SurgeWatch::observe(const ArrivalSample& sample, TimePoint now) {
  (void)now;
  if (sample.over <= Duration::zero()) return false;
  rate_ = static_cast<double>(sample.requests) / seconds(sample.over);
  over_ = sample.over;
  most_ = sample.most;
  const bool known = learned_ >= least_learned;
  const bool high = known && rate_ >= surge_factor * usual_ && rate_ - usual_ >= least_surplus;
  high_ = high ? high_ + 1 : 0;
  low_ = rate_ < over_factor * usual_ || rate_ - usual_ < least_surplus ? low_ + 1 : 0;
  const bool was = surging_;
  if (!surging_ && high_ >= samples_to_begin) surging_ = true;
  if (surging_ && low_ >= samples_to_end) surging_ = false;
  if (surging_ || !high) learn(rate_, sample.over);
  return was != surging_;
}

std::string SurgeWatch::text() const {
  if (!surging_) return "";
  std::string text =
      "a surge of clients: " + std::to_string(std::lround(rate_)) + " requests/s, usually " + per_second(usual_);
  std::string list;
  double sum = 0;
  std::size_t count = 0;
  for (const ArrivalSample::Client& client : most_) {
    const double rate = static_cast<double>(client.requests) / seconds(over_);
    if (count == named || rate < noteworthy * rate_) break;
    sum += rate;
    ++count;
    list += (list.empty() ? "" : ", ") + client.address + " " + per_second(rate);
  }
  if (count == 0 || sum * 2 < rate_ - usual_) {
    text += "; from many addresses";
    if (!list.empty()) text += ", most from " + list;
    return text;
  }
  return text + "; " + describe_share(std::min(sum / std::max(rate_, 1.0), 1.0)) + " from " + std::to_string(count) +
         (count == 1 ? " address (" : " addresses (") + list + ")";
}

}  // namespace understudy::health
