#include "health/mirror.hpp"

#include "health/explain.hpp"

namespace understudy::health {
namespace {

constexpr Duration memory = std::chrono::minutes(10);
constexpr double usual_factor = 3;
constexpr Duration usual_margin = std::chrono::milliseconds(50);

bool same_class(std::uint16_t a, std::uint16_t b) { return a / 100 == b / 100; }

LatencyCounts one(Duration elapsed) {
  LatencyCounts counts;
  counts.record(elapsed);
  return counts;
}

}  // namespace

void MirrorWatch::add(const Mirrored& ours, const ProbeResult& theirs, const config::DegradedConfig& limits,
                      TimePoint now) {
  if (theirs.cause == Cause::own_error) return;
  ++total_;
  newest_ = now;
  const bool same = theirs.ok() && same_class(ours.status, theirs.status);
  outcomes_.add(same ? 1 : 0, same ? 0 : 1, now);
  if (!same) {
    ++different_;
    last_difference_ =
        "answered " + std::to_string(theirs.status) + " where " + std::to_string(ours.status) + " was right";
    if (!theirs.ok()) last_difference_ = theirs.detail.empty() ? std::string(name_of(theirs.cause)) : theirs.detail;
  }
  ours_.add(one(ours.elapsed), now);
  if (theirs.status != 0 || !theirs.ok()) {
    theirs_.add(one(theirs.elapsed), now);
    const bool late = theirs.elapsed > longest(limits);
    in_time_.add(late ? 0 : 1, late ? 1 : 0, now);
  }
  failing_ = still_failing(limits);
  slow_ = still_slow(limits);
}

Duration MirrorWatch::longest(const config::DegradedConfig& limits) const {
  if (limits.latency_p95) return *limits.latency_p95;
  const double ours = static_cast<double>(ours_.quantile(0.95).count());
  return Duration(static_cast<Duration::rep>(ours * usual_factor)) + usual_margin;
}

bool MirrorWatch::still_slow(const config::DegradedConfig& limits) const {
  const Duration theirs = theirs_.quantile(0.95), limit = longest(limits);
  if (slow_) return static_cast<double>(theirs.count()) > static_cast<double>(limit.count()) * leave_late;
  return outcomes_.weight() >= least && in_time_.bad() >= least_bad && theirs > limit;
}

bool MirrorWatch::still_failing(const config::DegradedConfig& limits) const {
  const double limit = limits.error_rate.value_or(usual_difference), share = outcomes_.bad_share();
  if (failing_) return share > limit * leave_part;
  return outcomes_.weight() >= least && outcomes_.bad() >= least_bad && share > limit;
}

Fit MirrorWatch::verdict(TimePoint now) const {
  if (outcomes_.weight() < least || now - newest_ > memory) return Fit::unknown;
  return failing_ || slow_ ? Fit::unfit : Fit::fit;
}

std::string MirrorWatch::describe() const {
  if (outcomes_.weight() < least) return "";
  std::string text =
      describe_share(outcomes_.bad_share()) + " of the copies of real requests are answered differently, p95 " +
      health::describe(theirs_.quantile(0.95)) + " (the serving tier: " + health::describe(ours_.quantile(0.95)) + ")";
  if (failing_ && !last_difference_.empty()) text += "; last: " + last_difference_;
  return text;
}

}  // namespace understudy::health
