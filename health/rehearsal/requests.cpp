// The requests of the rehearsal's world: where they go, what they meet, what becomes of them.
#include <algorithm>
#include <utility>

#include "health/choice.hpp"
#include "health/rehearsal/world.hpp"

namespace understudy::health {
namespace {

constexpr Duration urgent_time = std::chrono::milliseconds(5);
constexpr Duration patience = std::chrono::seconds(1);  // how long a request waits for a tier that can take it
constexpr Duration ask_time = std::chrono::milliseconds(50);
constexpr Duration dialling_time =
    std::chrono::milliseconds(100);  // that a connect may take longer before it is hedged
constexpr double most_hedges = 50;   // laid aside, as the workers do
constexpr Duration hedge_again = std::chrono::milliseconds(20);
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

std::uint64_t RehearsalWorld::new_request() {
  std::uint64_t id = 0;
  if (free_.empty()) {
    id = requests_.size();
    requests_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  const std::uint32_t attempt = requests_[id].attempt + 1;  // what is still queued for its predecessor is stale
  requests_[id] = {};
  requests_[id].attempt = attempt;
  requests_[id].open = true;
  return id;
}

void RehearsalWorld::arrive() {
  push(now_ + Duration(static_cast<Duration::rep>(1e9 / scenario_.load.rate)), Kind::request);
  const config::RetryConfig& retry = config_.pools.front().retry;
  hedge_share_ = std::min(most_hedges, hedge_share_ + retry.hedge_share);
  // As in the data plane: a part of each request and so many a second, ten seconds' worth at most. Here hedges alone pay.
  const double rate = scenario_.load.rate, earned = retry.budget + retry.budget_floor / rate;
  retry_budget_ = std::min(retry_budget_ + earned, std::max(1.0, 10 * rate * earned));
  const std::uint64_t id = new_request();
  Request& request = requests_[id];
  request.came = now_;
  post_debt_ += scenario_.load.post;
  request.safe = post_debt_ < 1;
  if (!request.safe) post_debt_ -= 1;
  ++totals_.requests;
  pick(id);
}

const EndpointView* RehearsalWorld::choose_endpoint(Request& request, bool hedge) {
  const PoolView& pool = view_->pools.front();
  request.trial = request.risked = request.shed = false;
  if (pool.maintenance) return nullptr;
  Asking asking;
  asking.safe = request.safe;
  asking.shared = config_.pools.front().tiers_mode == config::TiersMode::shared;
  asking.first = request.tried.empty();
  asking.again = request.attempts > 0;
  asking.hedge = hedge;
  const Choice choice = choose(
      pool, asking, [&](std::uint32_t tier) { return choose_in(pool.tiers[tier], request); },
      [&](std::uint32_t tier) { return choose_trial(pool.tiers[tier]); }, [&] { return choose_spill(pool); },
      [this](double share) { return random_.fraction() < share; });
  request.shed = choice.shed;
  if (!choice.endpoint) return nullptr;
  request.trial = choice.trial;
  request.risked = choice.risked;
  return &pool.tiers[choice.tier].endpoints[*choice.endpoint];
}

// One at a time, after the pause that the core prescribes.
std::optional<std::uint32_t> RehearsalWorld::choose_trial(const TierView& tier) {
  for (const std::uint32_t i : tier.trials) {
    const EndpointView& endpoint = tier.endpoints[i];
    Target& target = targets_.at(endpoint.id);
    if (!target.pending.empty() || now_ < target.next_trial) continue;
    target.next_trial = now_ + endpoint.trial_pause;
    return i;
  }
  return std::nullopt;
}

// The tier that takes this request from a serving one that cannot carry all of them.
std::optional<std::uint32_t> RehearsalWorld::choose_spill(const PoolView& pool) {
  double at = random_.fraction();
  for (const SpillShare& part : pool.spill) {
    if (at < part.share) return part.tier;
    at -= part.share;
  }
  return std::nullopt;
}

// By weight, among those that were not tried.
std::optional<std::uint32_t> RehearsalWorld::choose_in(const TierView& tier, const Request& request) {
  double total = 0;
  const auto tried = [&](const EndpointView& endpoint) {
    return std::find(request.tried.begin(), request.tried.end(), endpoint.id) != request.tried.end();
  };
  for (const std::uint32_t i : tier.usable) total += tried(tier.endpoints[i]) ? 0 : tier.endpoints[i].weight;
  if (total <= 0) return std::nullopt;
  double at = random_.fraction() * total;
  std::optional<std::uint32_t> last;
  for (const std::uint32_t i : tier.usable) {
    if (tried(tier.endpoints[i])) continue;
    last = i;
    at -= tier.endpoints[i].weight;
    if (at < 0) break;
  }
  return last;
}

void RehearsalWorld::pick(std::uint64_t id) {
  Request& request = requests_[id];
  const EndpointView* endpoint = choose_endpoint(request);
  if (request.shed) {
    ++totals_.shed;
    return done(id, false);
  }
  if (endpoint == nullptr && !request.tried.empty()) {
    request.tried.clear();
    endpoint = choose_endpoint(request);
  }
  if (endpoint != nullptr) {
    request.waits_since.reset();
    request.asks = false;
    return start(id, *endpoint);
  }
  if (!request.waits_since) request.waits_since = now_;
  const PoolView& pool = view_->pools.front();
  const bool elsewhere =
      std::any_of(pool.tiers.begin(), pool.tiers.end(), [](const TierView& t) { return t.serviceable; });
  if ((!elsewhere && !pool.settling) || now_ - *request.waits_since >= patience) return done(id, false);
  waiting_.insert(id);
  if (!std::exchange(request.asks, true)) push(now_ + ask_time, Kind::ask, id, request.attempt);
}

void RehearsalWorld::start(std::uint64_t id, const EndpointView& endpoint) {
  Request& request = requests_[id];
  const config::PoolConfig& pool = config_.pools.front();
  ++request.attempt;
  ++request.attempts;
  if (request.attempts > 1 && !request.twin) ++totals_.retried;
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
  const bool hedged = request.safe && !request.hedged && pool.retry.hedge && endpoint.hedge_after;
  if (is.connect == Behaviour::Connect::silent) {
    if (hedged) push(now_ + dialling_time + *endpoint.hedge_after, Kind::hedge, id, request.attempt);
    request.coming = Cause::tcp_timeout;
    return push(now_ + pool.connect_timeout, Kind::answer, id, request.attempt);
  }
  if (++request.reached == 2 && !request.safe) ++totals_.doubled;
  target.pending.emplace(now_, id);
  ++target.load->unanswered;
  target.touched = true;
  request.coming = is.error_share > 0 && random_.fraction() < is.error_share ? is.error_cause : Cause::none;
  request.status = is.error_status;
  std::optional<Duration> latency = is.latency;
  if (latency && is.jitter > Duration::zero())
    *latency += Duration(static_cast<Duration::rep>(static_cast<double>(is.jitter.count()) * random_.fraction()));
  if (hedged && (!latency || *latency > *endpoint.hedge_after))
    push(now_ + *endpoint.hedge_after, Kind::hedge, id, request.attempt);
  Duration limit = pool.response_timeout;
  if (request.safe && pool.try_timeout) limit = std::min<Duration>(limit, *pool.try_timeout);
  if (request.trial && endpoint.overdue_after) limit = std::min(limit, *endpoint.overdue_after);
  if (latency && *latency <= limit) {
    push(now_ + *latency, Kind::answer, id, request.attempt);
  } else {
    push(now_ + limit, Kind::deadline, id, request.attempt);
  }
}

void RehearsalWorld::end_attempt(std::uint64_t id, Cause cause, bool told) {
  Request& request = requests_[id];
  Target& target = targets_.at(request.endpoint);
  target.touched = true;  // also where nothing is reported: fewer wait now
  const bool was_sent = cause != Cause::tcp_refused && cause != Cause::tcp_timeout;
  forget_pending(id);
  const bool answered = cause == Cause::none || cause == Cause::http_status;
  if (told) report(request.endpoint, cause, answered ? std::optional<Duration>(now_ - request.sent) : std::nullopt);
  if (const auto twin = std::exchange(request.twin, std::nullopt)) {
    requests_[*twin].twin.reset();
    if (cause != Cause::none) return close(id);  // a failure leaves the field to the other
    supersede(*twin);
  }
  const config::PoolConfig& pool = config_.pools.front();
  if (repeats_answer(request, cause)) {
    retry_budget_ -= 1;
    return pick(id);
  }
  if (cause == Cause::none) return done(id, true);
  if (cause == Cause::body_cut) return done(id, false);  // the client has its head
  if (answered && !repeats_error(request)) return done(id, false);
  if ((!request.safe && was_sent) || request.attempts > pool.retry.max) return done(id, false);
  pick(id);
}

// An answer of 500 to a safe request is not the client's yet: for free where it was sent for our sake, else once, for a token.
bool RehearsalWorld::repeats_error(Request& request) {
  const config::PoolConfig& pool = config_.pools.front();
  if (!request.safe || request.attempts > pool.retry.max) return false;
  if (std::exchange(request.risked, false)) return true;
  if (!pool.retry.safe_on_5xx || request.error_repeated || retry_budget_ < 1) return false;
  retry_budget_ -= 1;
  return request.error_repeated = true;
}

// An answer of failure class that the configuration says to repeat (retry.on_5xx).
bool RehearsalWorld::repeats_answer(const Request& request, Cause cause) const {
  const config::RetryConfig& retry = config_.pools.front().retry;
  return cause == Cause::http_status && retry.on_5xx && request.safe && request.status >= 502 &&
         request.status <= 504 && request.attempts <= retry.max && retry_budget_ >= 1;
}

// ---- a second attempt beside one that is slow

void RehearsalWorld::hedge(std::uint64_t id) {
  if (requests_[id].attempts > config_.pools.front().retry.max) return;
  const bool granted = retry_budget_ >= 1 && (hedge_share_ >= 1 || doubted(requests_[id].endpoint));
  Request second = requests_[id];
  const EndpointView* const endpoint = granted ? choose_endpoint(second, true) : nullptr;
  if (endpoint == nullptr) {
    const Duration waited = now_ - requests_[id].sent;
    return push(now_ + std::max(waited, hedge_again), Kind::hedge, id, requests_[id].attempt);
  }
  ++totals_.hedged;
  hedge_share_ = std::max(0.0, hedge_share_ - 1);
  retry_budget_ -= 1;
  const std::uint64_t twin = new_request();
  second.attempt = requests_[twin].attempt;
  second.hedged = requests_[id].hedged = true;
  second.trial = false;
  second.twin = id;
  requests_[twin] = std::move(second);
  requests_[id].twin = twin;
  start(twin, *endpoint);
}

bool RehearsalWorld::doubted(EndpointId id) const {
  for (const TierView& tier : view_->pools.front().tiers)
    for (const EndpointView& endpoint : tier.endpoints)
      if (endpoint.id == id) return endpoint.suspect || endpoint.unhealthy;
  return false;
}

// Neither a success nor a failure of its endpoint, which takes at least that long.
void RehearsalWorld::supersede(std::uint64_t id) {
  Target& target = targets_.at(requests_[id].endpoint);
  target.touched = true;
  target.sample.superseded.record(now_ - requests_[id].sent);
  forget_pending(id);
  close(id);
}

void RehearsalWorld::forget_pending(std::uint64_t id) {
  Target& target = targets_.at(requests_[id].endpoint);
  const auto [from, to] = target.pending.equal_range(requests_[id].sent);
  for (auto it = from; it != to; ++it) {
    if (it->second != id) continue;
    target.pending.erase(it);
    --target.load->unanswered;
    return;
  }
}

void RehearsalWorld::close(std::uint64_t id) {
  requests_[id].open = false;
  requests_[id].twin.reset();
  free_.push_back(id);
}

void RehearsalWorld::done(std::uint64_t id, bool ok) {
  Request& request = requests_[id];
  const bool slow = now_ - request.came > scenario_.expect.slow_after;
  totals_.answered += ok && !slow ? 1 : 0;
  totals_.failed += ok ? 0 : 1;
  totals_.failed_repeatable += !ok && request.safe ? 1 : 0;
  totals_.slow += slow ? 1 : 0;
  totals_.bad += !ok || slow ? 1 : 0;
  if (request.twin) close(*request.twin);
  close(id);
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
