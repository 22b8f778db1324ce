#include "proxy/limit/opening_desk.hpp"

#include <algorithm>
#include <cmath>

namespace understudy::limit {

namespace {
constexpr std::chrono::seconds kOpensLately{10};
constexpr double kNearlyAll = 0.6;
constexpr double kStart = 500;     // openings a second, of who was never away: no brake on a standby that is well
constexpr double kStillGrows = 4;  // times as many in a while, of an endpoint whose limits are not found yet
}  // namespace

OpeningDesk::State& OpeningDesk::state(Endpoint endpoint) {
  const auto found = states_.find(endpoint);
  if (found != states_.end()) return found->second;
  OpeningLimit::Options limit;
  limit.most = terms_.most ? *terms_.most : 1e6;
  limit.start = terms_.adaptive ? std::min(limit.start, limit.most) : limit.most;
  if (!terms_.adaptive) limit.least = limit.most;
  OpeningPace::Options pace;
  pace.start = kStart;
  pace.adaptive = terms_.adaptive;
  pace.most = terms_.rate;
  if (pace.most) pace.burst = std::min(pace.burst, std::max(1.0, *pace.most / 10));
  return states_.emplace(endpoint, State{OpeningLimit(limit), OpeningPace(pace), {}, false}).first->second;
}

std::uint32_t OpeningDesk::room(Endpoint endpoint, TimePoint now) {
  State& s = state(endpoint);
  if (!s.limit.may_begin()) return 0;
  return std::min(s.limit.limit() - s.limit.in_progress(), s.pace.ready(now));
}

void OpeningDesk::begin(Endpoint endpoint, TimePoint now) {
  State& s = state(endpoint);
  s.limit.begun();
  s.pace.begun(now);
}

void OpeningDesk::opened(Endpoint endpoint, Duration took, TimePoint now) {
  State& s = state(endpoint);
  s.limit.opened(took, now);
  const bool slow = took > *s.limit.good();
  if (s.row.add(now - took, slow)) {
    s.pace.slow(now - took, now);
  } else if (!slow && s.limit.normal()) {
    s.pace.good(now);
  }
}

void OpeningDesk::failed(Endpoint endpoint, TimePoint now) {
  State& s = state(endpoint);
  s.limit.failed(now);
  // A few of many that fail have reasons of their own.
  if (s.limit.rate(now) < kNearlyAll * s.pace.rate()) s.pace.bad(now);
}

void OpeningDesk::abandoned(Endpoint endpoint) { state(endpoint).limit.abandoned(); }

void OpeningDesk::cold(Endpoint endpoint, bool away) {
  State& s = state(endpoint);
  s.row = {};
  s.away = away;
  s.limit.cold();
  s.pace.cold();
}

bool OpeningDesk::opens(Endpoint endpoint, TimePoint now) const {
  const auto found = states_.find(endpoint);
  if (found == states_.end()) return false;
  const auto last = found->second.limit.last();
  return last && now - *last < kOpensLately;
}

void OpeningDesk::keep(const std::vector<Endpoint>& endpoints) {
  std::erase_if(states_, [&](const auto& entry) {
    return entry.second.limit.in_progress() == 0 &&
           std::find(endpoints.begin(), endpoints.end(), entry.first) == endpoints.end();
  });
}

std::vector<OpeningDesk::Token> OpeningDesk::call(std::uint32_t room) {
  std::vector<Token> out;
  for (std::size_t free = room > called_ ? room - called_ : 0; free > 0; --free) {
    const auto token = queue_.pop();
    if (!token) break;
    out.push_back(*token);
  }
  called_ += out.size();
  return out;
}

double OpeningDesk::expected_rate(TimePoint now) const {
  double rate = 0;
  for (const auto& [endpoint, s] : states_) {
    const double measured = s.limit.rate(now);
    if (measured > 0.1) rate += measured * (s.pace.fresh() && s.limit.fresh() && !s.away ? kStillGrows : 1);
  }
  return rate;
}

std::optional<OpeningDesk::Duration> OpeningDesk::estimate(TimePoint now) const {
  if (queue_.empty()) return std::nullopt;
  const double rate = std::max(expected_rate(now), 0.5);
  return Duration(static_cast<Duration::rep>(1e9 * static_cast<double>(queue_.size()) / rate));
}

std::vector<OpeningDesk::Seen> OpeningDesk::look(TimePoint now) const {
  std::vector<Seen> out;
  for (const auto& [endpoint, s] : states_)
    out.push_back({endpoint, s.limit.in_progress(), s.limit.limit(), s.pace.rate(), s.limit.rate(now)});
  return out;
}

}  // namespace understudy::limit
