// The requests of the rehearsal's world: where they go, what they meet, what becomes of them.
#include <algorithm>
#include <utility>

#include "health/rehearsal/world.hpp"

namespace understudy::health {
namespace {

constexpr Duration urgent_time = std::chrono::milliseconds(5);
constexpr Duration patience = std::chrono::seconds(1);  // how long a request waits for a tier that can take it
constexpr Duration ask_time = std::chrono::milliseconds(50);
constexpr Duration connect_time = std::chrono::microseconds(200);

bool is_urgent(Cause cause) {
  switch (class_of(cause)) {
    case CauseClass::refused:
    case CauseClass::unreachable:
    case CauseClass::stalled:
    case CauseClass::erroring: return true;
    default: return false;
  }
}

}  // namespace

void RehearsalWorld::arrive() {
  push(now_ + Duration(static_cast<Duration::rep>(1e9 / scenario_.load.rate)), Kind::request);
  std::uint64_t id = 0;
  if (free_.empty()) {
    id = requests_.size();
    requests_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  Request& request = requests_[id];
  const std::uint32_t attempt = request.attempt + 1;  // what is still queued for its predecessor is stale
  request = {};
  request.attempt = attempt;
  request.came = now_;
  request.open = true;
  post_debt_ += scenario_.load.post;
  request.safe = post_debt_ < 1;
  if (!request.safe) post_debt_ -= 1;
  ++totals_.requests;
  pick(id);
}

// As Worker::pick() does it.
const EndpointView* RehearsalWorld::choose(Request& request) {
  const PoolView& pool = view_->pools.front();
  const bool shared = config_.pools.front().tiers_mode == config::TiersMode::shared;
  const bool others = request.safe || shared;
  const bool first = request.tried.empty();
  request.trial = request.shed = false;
  if (pool.maintenance) return nullptr;
  const bool aside = pool.side && (request.safe || (shared && !pool.side->safe_only));
  if (first && aside && random_.fraction() < pool.side->share) {
    if (const EndpointView* found = choose_in(pool.tiers[pool.side->tier], request)) return found;
  }
  const TierView& active = pool.tiers[pool.active];
  const bool spill = first && shared && active.doubtful;
  if (first && request.safe && (spill || !active.doubtful)) {
    for (const std::uint32_t i : active.trials) {
      const EndpointView& endpoint = active.endpoints[i];
      Target& target = targets_.at(endpoint.id);
      if (!target.pending.empty() || now_ < target.next_trial) continue;
      target.next_trial = now_ + endpoint.trial_pause;
      request.trial = true;
      return &endpoint;
    }
  }
  if (spill) {
    for (std::size_t t = 0; t < pool.tiers.size(); ++t) {
      if (t == pool.active || !pool.tiers[t].serviceable || pool.tiers[t].doubtful) continue;
      if (const EndpointView* found = choose_in(pool.tiers[t], request)) return found;
    }
  }
  if (first && shared && !pool.spill.empty()) {
    double at = random_.fraction();
    for (const SpillShare& part : pool.spill) {
      if (at < part.share) {
        if (const EndpointView* found = choose_in(pool.tiers[part.tier], request)) return found;
        break;
      }
      at -= part.share;
    }
  }
  if (first && request.attempts == 0 && is_full(active)) {
    for (std::size_t t = pool.active + 1; shared && t < pool.tiers.size(); ++t) {
      if (!pool.tiers[t].serviceable || pool.tiers[t].doubtful || is_full(pool.tiers[t])) continue;
      if (const EndpointView* found = choose_in(pool.tiers[t], request)) return found;
    }
    request.shed = true;
    return nullptr;
  }
  if (const EndpointView* found = choose_in(active, request)) return found;
  if (!others) return nullptr;
  for (std::size_t t = 0; t < pool.tiers.size(); ++t) {
    if (t == pool.active || !pool.tiers[t].serviceable) continue;
    if (const EndpointView* found = choose_in(pool.tiers[t], request)) return found;
  }
  return nullptr;
}

bool RehearsalWorld::is_full(const TierView& tier) const {
  if (!tier.max_unanswered) return false;
  std::uint64_t waiting = 0;
  for (const EndpointView& endpoint : tier.endpoints) waiting += endpoint.load->unanswered;
  return waiting >= *tier.max_unanswered;
}

// By weight, among those that were not tried.
const EndpointView* RehearsalWorld::choose_in(const TierView& tier, const Request& request) {
  double total = 0;
  const auto tried = [&](const EndpointView& endpoint) {
    return std::find(request.tried.begin(), request.tried.end(), endpoint.id) != request.tried.end();
  };
  for (const std::uint32_t i : tier.usable) total += tried(tier.endpoints[i]) ? 0 : tier.endpoints[i].weight;
  if (total <= 0) return nullptr;
  double at = random_.fraction() * total;
  const EndpointView* last = nullptr;
  for (const std::uint32_t i : tier.usable) {
    const EndpointView& endpoint = tier.endpoints[i];
    if (tried(endpoint)) continue;
    last = &endpoint;
    at -= endpoint.weight;
    if (at < 0) break;
  }
  return last;
}

void RehearsalWorld::pick(std::uint64_t id) {
  Request& request = requests_[id];
  const EndpointView* endpoint = choose(request);
  if (request.shed) {
    ++totals_.shed;
    return done(id, false);
  }
  if (endpoint == nullptr && !request.tried.empty()) {
    request.tried.clear();
    endpoint = choose(request);
  }
  if (endpoint != nullptr) {
    request.waits_since.reset();
    return start(id, *endpoint);
  }
  if (!request.waits_since) request.waits_since = now_;
  const PoolView& pool = view_->pools.front();
  const bool elsewhere =
      std::any_of(pool.tiers.begin(), pool.tiers.end(), [](const TierView& t) { return t.serviceable; });
  if ((!elsewhere && !pool.settling) || now_ - *request.waits_since >= patience) return done(id, false);
  waiting_.push_back(id);
  push(now_ + ask_time, Kind::ask, id, request.attempt);
}

void RehearsalWorld::start(std::uint64_t id, const EndpointView& endpoint) {
  Request& request = requests_[id];
  const config::PoolConfig& pool = config_.pools.front();
  ++request.attempt;
  ++request.attempts;
  if (request.attempts > 1) ++totals_.retried;
  request.endpoint = endpoint.id;
  request.tried.push_back(endpoint.id);
  request.sent = now_;
  Target& target = targets_.at(endpoint.id);
  if (watch_.sent) watch_.sent(*view_, target.tier, request.safe, now_);
  const Behaviour is = script_.at(target.tier, target.label, now_);
  if (is.connect == Behaviour::Connect::refuses) {
    request.coming = Cause::tcp_refused;
    return push(now_ + connect_time, Kind::answer, id, request.attempt);
  }
  if (is.connect == Behaviour::Connect::silent) {
    request.coming = Cause::tcp_timeout;
    return push(now_ + pool.connect_timeout, Kind::answer, id, request.attempt);
  }
  target.pending.emplace(now_, id);
  ++target.load->unanswered;
  target.touched = true;
  request.coming = is.error_share > 0 && random_.fraction() < is.error_share ? Cause::http_status : Cause::none;
  Duration limit = pool.response_timeout;
  if (request.safe && pool.try_timeout) limit = std::min<Duration>(limit, *pool.try_timeout);
  if (request.trial && endpoint.overdue_after) limit = std::min(limit, *endpoint.overdue_after);
  if (is.latency && *is.latency <= limit) {
    push(now_ + *is.latency, Kind::answer, id, request.attempt);
  } else {
    push(now_ + limit, Kind::deadline, id, request.attempt);
  }
}

void RehearsalWorld::end_attempt(std::uint64_t id, Cause cause, bool told) {
  Request& request = requests_[id];
  Target& target = targets_.at(request.endpoint);
  target.touched = true;  // also where nothing is reported: fewer wait now
  const bool was_sent = cause != Cause::tcp_refused && cause != Cause::tcp_timeout;
  const auto [from, to] = target.pending.equal_range(request.sent);
  for (auto it = from; it != to; ++it) {
    if (it->second != id) continue;
    target.pending.erase(it);
    --target.load->unanswered;
    break;
  }
  const bool answered = cause == Cause::none || cause == Cause::http_status;
  if (told) report(request.endpoint, cause, answered ? std::optional<Duration>(now_ - request.sent) : std::nullopt);
  if (answered) return done(id, cause == Cause::none);
  const config::PoolConfig& pool = config_.pools.front();
  if ((!request.safe && was_sent) || request.attempts > pool.retry.max) return done(id, false);
  pick(id);
}

void RehearsalWorld::done(std::uint64_t id, bool ok) {
  Request& request = requests_[id];
  const bool slow = now_ - request.came > scenario_.expect.slow_after;
  totals_.failed += ok ? 0 : 1;
  totals_.slow += slow ? 1 : 0;
  totals_.bad += !ok || slow ? 1 : 0;
  request.open = false;
  free_.push_back(id);
}

void RehearsalWorld::report(EndpointId endpoint, Cause cause, std::optional<Duration> first_byte) {
  Target& target = targets_.at(endpoint);
  target.touched = true;
  if (first_byte) target.sample.first_byte.record(*first_byte);
  if (cause == Cause::none) {
    ++target.sample.successes;
    target.load->consecutive_failures = 0;
    return;
  }
  ++target.sample.failures.at(static_cast<std::size_t>(cause));
  ++target.load->consecutive_failures;
  if (!is_urgent(cause) || std::exchange(urgent_planned_, true)) return;
  target.sample.urgent = true;
  push(now_ + urgent_time, Kind::urgent);
}

// What waits at an endpoint that is marked unhealthy and may be repeated goes elsewhere.
void RehearsalWorld::lost(EndpointId endpoint) {
  std::vector<std::uint64_t> leaving;
  for (const auto& [since, id] : targets_.at(endpoint).pending) {
    if (requests_[id].safe && requests_[id].attempts <= config_.pools.front().retry.max) leaving.push_back(id);
  }
  for (const std::uint64_t id : leaving) end_attempt(id, Cause::http_timeout, false);
}

void RehearsalWorld::give_samples(bool urgent) {
  if (urgent) urgent_planned_ = false;
  std::vector<TrafficSample> samples;
  for (auto& [id, target] : targets_) {
    if (!target.touched && target.pending.empty()) continue;
    if (urgent && !target.sample.urgent) continue;
    target.sample.pending = static_cast<std::uint32_t>(target.pending.size());
    target.sample.oldest_pending = target.pending.empty() ? std::nullopt : std::optional(target.pending.begin()->first);
    target.sample.consecutive_failures = target.load->consecutive_failures;
    samples.push_back(target.sample);
    target.sample = {};
    target.sample.endpoint = id;
    target.touched = false;
  }
  if (!samples.empty()) core_.on_traffic(samples, now_);
}

}  // namespace understudy::health
