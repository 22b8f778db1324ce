#include "health/weighing.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace understudy::health {
namespace {

constexpr double few_others = 5;      // requests of the others that say nothing yet
constexpr double least_others = 0.1;  // of all requests: fewer are not "several clients"

std::uint64_t part_of(std::uint64_t count, double share) {
  return static_cast<std::uint64_t>(std::llround(static_cast<double>(count) * share));
}

// Takes the client's surplus out of the failures that it may have provoked; they count as nobody's.
void discount_failures(TrafficSample& sample, std::uint64_t surplus) {
  for (std::size_t i = 1; i < sample.failures.size() && surplus > 0; ++i) {
    if (!may_be_provoked(static_cast<Cause>(i))) continue;
    const std::uint64_t taken = std::min(sample.failures[i], surplus);
    sample.failures[i] -= taken;
    sample.failures[static_cast<std::size_t>(Cause::own_error)] += taken;
    surplus -= taken;
  }
}

}  // namespace

bool may_be_provoked(Cause cause) {
  switch (cause) {
    case Cause::tcp_reset:
    case Cause::http_timeout:
    case Cause::http_status:
    case Cause::http_malformed:
    case Cause::http_body:
    case Cause::body_cut:
    case Cause::body_timeout:
    case Cause::ws_refused:
    case Cause::ws_timeout:
    case Cause::ws_malformed: return true;
    default: return false;
  }
}

void ClientWeighing::Fading::add(double value, TimePoint now) {
  if (now > at_ && value_ > 0)
    value_ *= std::exp2(-std::chrono::duration<double>(now - at_) / std::chrono::duration<double>(half_life_));
  at_ = std::max(at_, now);
  value_ += value;
}

void ClientWeighing::observe(const TrafficSample& seen, std::optional<Duration> slow_after, TimePoint now) {
  std::uint64_t failures = 0;
  for (std::size_t i = 1; i < seen.failures.size(); ++i) {
    if (may_be_provoked(static_cast<Cause>(i))) failures += seen.failures[i];
  }
  if (seen.client.id != 0 && std::exchange(client_, seen.client.id) != seen.client.id) {
    other_bad_.add(client_bad_.value(), now);
    client_bad_.clear();
    client_requests_.clear();
  }
  if (seen.busiest.id != 0 && std::exchange(busiest_, seen.busiest.id) != seen.busiest.id) busiest_requests_.clear();
  client_failures_ = std::min(seen.client.failures, failures);
  const std::uint64_t slow = slow_after ? seen.first_byte.above(*slow_after) : 0;
  const std::uint64_t slow_of_client =
      slow_after ? std::min<std::uint64_t>(seen.client.first_byte.above(*slow_after), slow) : 0;
  const auto all = static_cast<double>(seen.successes + failures);
  requests_.add(all, now);
  client_requests_.add(static_cast<double>(std::min(seen.client.successes, seen.successes) + client_failures_), now);
  busiest_requests_.add(std::min(static_cast<double>(seen.busiest.requests), all), now);
  client_bad_.add(static_cast<double>(client_failures_ + slow_of_client), now);
  other_bad_.add(static_cast<double>(failures - client_failures_ + slow - slow_of_client), now);
}

double ClientWeighing::requests_of_others(std::uint64_t client) const {
  double own = client == client_ ? client_requests_.value() : 0;
  if (client == busiest_ && client != 0) own = std::max(own, busiest_requests_.value());
  return std::max(0.0, requests_.value() - own);
}

TrafficSample ClientWeighing::weigh(const TrafficSample& seen, double elsewhere) {
  const double others = requests_of_others(client_) + elsewhere;
  const bool several = others >= few_others && others >= least_others * (requests_.value() + elsewhere);
  factor_ = several && one_is_behind_most() ? other_bad_.value() / client_bad_.value() : 1;
  if (factor_ >= 1) return seen;
  TrafficSample weighed = seen;
  discount_failures(weighed, client_failures_ - part_of(client_failures_, factor_));
  const std::uint64_t successes = std::min(seen.client.successes, seen.successes);
  weighed.successes -= successes - part_of(successes, factor_);
  // That somebody was answered at all stays known.
  if (seen.successes > 0) weighed.successes = std::max<std::uint64_t>(weighed.successes, 1);
  weighed.first_byte.total = 0;
  for (std::size_t i = 0; i < weighed.first_byte.buckets.size(); ++i) {
    const std::uint32_t own = std::min(seen.client.first_byte.buckets[i], seen.first_byte.buckets[i]);
    weighed.first_byte.buckets[i] -= own - static_cast<std::uint32_t>(part_of(own, factor_));
    weighed.first_byte.total += weighed.first_byte.buckets[i];
  }
  return weighed;
}

}  // namespace understudy::health
