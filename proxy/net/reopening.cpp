#include "proxy/net/reopening.hpp"

#include <algorithm>
#include <utility>

#include "proxy/http/writer.hpp"
#include "proxy/net/exchange_words.hpp"
#include "proxy/net/faults.hpp"

namespace understudy::net {

using health::Cause;
using limit::OpeningDesk;

namespace {
constexpr std::size_t kRemembered = 8;  // endpoints that were tried
constexpr std::uint32_t kMaxInformational = 8;
constexpr std::size_t kLeastRead = 4 * 1024;

// Whether the handshake has a field of that name, with that value unless it is empty.
bool has_field(std::string_view head, std::string_view name, std::string_view value) {
  for (std::size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
    std::string_view line = head.substr(at + 2);
    line = line.substr(0, line.find("\r\n"));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !equals_ignoring_case(line.substr(0, colon), name)) continue;
    line.remove_prefix(colon + 1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
    if (value.empty() || line == value) return true;
  }
  return false;
}
}  // namespace

void Reopening::restart(health::EndpointId lost) {
  abandon();
  tried_.assign(1, lost);
}

Reopening::State Reopening::begin(const std::string& pool, std::string_view reason, std::uint32_t attempt,
                                  TimePoint limit, TimePoint now) {
  pool_ = pool;
  reason_ = reason;
  number_ = attempt;
  limit_ = limit;
  state_ = pick(now);
  return state_;
}

const PoolPlan* Reopening::pool_plan() const {
  for (const PoolPlan& pool : worker_.snapshot()->plan().pools)
    if (pool.config->name == pool_) return &pool;
  return nullptr;
}

// Where a request of this client would go; by the newest plan.
Reopening::State Reopening::pick(TimePoint now) {
  const PoolPlan* const pool = pool_plan();
  if (pool == nullptr) return State::nobody;
  const Plan& plan = worker_.snapshot()->plan();
  PickRequest request;
  request.pool = static_cast<std::uint32_t>(pool - plan.pools.data());
  request.plan = &plan;
  request.hash = handshake_.hash;
  request.sticky = handshake_.sticky;
  request.again = true;
  request.excluded = tried_;
  request.called = place_.called;
  Picked picked = worker_.pick_opening(request, *pool->openings);
  if (picked.endpoint == nullptr && !picked.maintenance && !picked.shed && !picked.full) {
    // Distinct endpoints first; when all were tried, any available one again.
    tried_.clear();
    request.excluded = {};
    picked = worker_.pick_opening(request, *pool->openings);
  }
  worker_.openings().leave(place_);
  if (picked.full)
    return worker_.openings().wait(*this, pool->openings, handshake_.client, place_) ? State::queued : State::nobody;
  if (picked.endpoint == nullptr) return State::nobody;
  start(std::move(picked), *pool, now);
  return dial(now);
}

void Reopening::on_opening_turn(bool its_turn, TimePoint now) {
  if (its_turn) {
    place_.called = true;
    state_ = pick(now);
  } else {
    worker_.openings().leave(place_);
    state_ = State::nobody;
  }
  worker_.reactor().mark_ready(owner_);
}

void Reopening::start(Picked picked, const PoolPlan& pool, TimePoint now) {
  attempt_ = Attempt{};
  attempt_.snapshot = std::move(picked.snapshot);
  attempt_.endpoint = picked.endpoint;
  attempt_.desk = pool.openings;
  attempt_.pool = pool_;
  attempt_.max_header = static_cast<std::uint32_t>(pool.config->max_response_header_bytes);
  attempt_.tier = picked.tier;
  attempt_.epoch = picked.epoch;
  attempt_.began = now;
  attempt_.until = std::min(limit_, now + pool.policy.connect_timeout);
  attempt_.answer_limit = pool.policy.response_timeout;
  attempt_.unanswered = true;
  if (tried_.size() < kRemembered) tried_.push_back(picked.endpoint->id);
  health::SharedLoad& load = *picked.endpoint->load;
  load.in_flight.fetch_add(1, std::memory_order_relaxed);
  load.unanswered.fetch_add(1, std::memory_order_relaxed);
  worker_.endpoint(picked.endpoint->id.slot).requests.add();
}

// What a live drill does to this attempt, as to any other opening (exchange_fault.cpp). A state: nothing is dialled.
std::optional<Reopening::State> Reopening::meet_fault(TimePoint now) {
  const Faults* const faults = attempt_.snapshot->faults();
  if (faults == nullptr) return std::nullopt;
  const auto has = [this](const std::string& name, const std::string& value) {
    return has_field(handshake_.head, name, value);
  };
  const auto random = [this] { return worker_.random(); };
  const Fault* const met = met_fault(*faults, attempt_.endpoint->id, true, now, random, has);
  if (met == nullptr) return std::nullopt;
  attempt_.fault = met->id;
  switch (met->kind) {
    case Fault::Kind::refuse: return fail(Cause::tcp_refused, now);
    case Fault::Kind::reset: return fail(Cause::tcp_reset, now);
    case Fault::Kind::error: return fail(Cause::http_status, now);
    case Fault::Kind::blackhole: return State::dialing;
    case Fault::Kind::stall:
      attempt_.silence = Cause::ws_timeout;
      attempt_.until = std::min(limit_, now + attempt_.answer_limit);
      return State::dialing;
    case Fault::Kind::delay: attempt_.kept_until = now + delay_of(*met, now, worker_.random()); break;
  }
  return std::nullopt;
}

Reopening::State Reopening::dial(TimePoint now) {
  if (const auto gone = meet_fault(now)) return *gone;
  const PoolPlan& pool = *pool_plan();
  attempt_.connection = make_ref<UpstreamConnection>(worker_, attempt_.endpoint->id);
  const Cause failed =
      attempt_.connection->dial(attempt_.endpoint->address, pool.tls, attempt_.endpoint->server_name, this);
  if (failed != Cause::none) return fail(failed, now);
  worker_.reactor().mark_ready(owner_);  // a Unix socket is connected at once
  return State::dialing;
}

Reopening::State Reopening::step(TimePoint now) {
  if (state_ == State::dialing && !attempt_.connection) {
    if (now >= attempt_.until) state_ = fail(attempt_.silence, now);
    return state_;
  }
  if (state_ == State::dialing) {
    Cause cause = Cause::none;
    std::string why;
    const auto connection = attempt_.connection->advance(cause, why);
    if (connection == UpstreamConnection::State::closed) {
      if (cause == Cause::tls_failed) worker_.tls_failed(*attempt_.endpoint, attempt_.pool, why);
      return state_ = fail(cause, now);
    }
    if (connection == UpstreamConnection::State::open) {
      state_ = State::asking;
      std::string head = handshake_.head;
      const PoolPlan* const pool = pool_plan();
      if (pool != nullptr && pool->config->epoch_header)
        head += "Understudy-Epoch: " + std::to_string(attempt_.epoch) + "\r\n";
      head += "Understudy-Resume: id=" + handshake_.id + ", attempt=" + std::to_string(number_) +
              ", reason=" + reason_ + "\r\n\r\n";
      attempt_.head.pending = head;
      attempt_.head.secure(worker_.blocks());
      attempt_.until = std::min(limit_, now + attempt_.answer_limit);
    } else if (now >= attempt_.until) {
      const bool tls = connection == UpstreamConnection::State::handshaking;
      return state_ = fail(tls ? Cause::tls_timeout : Cause::tcp_timeout, now);
    }
  }
  if (state_ == State::asking) state_ = ask(now);
  return state_;
}

Reopening::State Reopening::ask(TimePoint now) {
  UpstreamConnection& connection = *attempt_.connection;
  Stream& stream = connection.stream();
  if (!attempt_.head.empty() || stream.pending_output()) {
    Pipe nothing;
    std::uint64_t sent = 0;
    const IoResult result = send_all(stream, attempt_.head, nothing, sent);
    attempt_.head.secure(worker_.blocks());
    if (result.status == Io::error || result.status == Io::eof) return fail(Cause::tcp_reset, now);
    if (attempt_.head.empty()) attempt_.sent_at = now;
  }
  if (attempt_.kept_until != TimePoint{}) {
    if (now < attempt_.kept_until) return now >= attempt_.until ? fail(Cause::ws_timeout, now) : State::asking;
    attempt_.kept_until = {};
  }
  Inbox& inbox = connection.inbox();
  http::ResponseHead& response = worker_.scratch().response;
  const http::HeadLimits limits{attempt_.max_header, static_cast<std::uint32_t>(http::kMaxFields), 0};
  for (;;) {
    if (!inbox.empty()) {
      const http::ParseStatus status = connection.parser().parse(inbox.view(), limits, http::Method::get, response);
      if (status == http::ParseStatus::error) {
        worker_.counters().response_errors[observe::WorkerCounters::index_of(connection.parser().error())].add();
        return fail(Cause::ws_malformed, now);
      }
      if (status == http::ParseStatus::done) {
        if (response.status >= 200 || response.status == 101) return on_head(response, worker_.reactor().fresh());
        if (++attempt_.informational > kMaxInformational) return fail(Cause::http_malformed, now);
        inbox.consume(response.head_bytes);
        connection.parser().reset();
        continue;
      }
    }
    if (stream.readable()) {
      inbox.make_room(worker_.blocks(), kLeastRead);
      const IoResult result = stream.read(inbox.block.data() + inbox.end, std::min(inbox.room(), kReadSize));
      if (result.status == Io::ok) {
        inbox.end += static_cast<std::uint32_t>(result.bytes);
        continue;
      }
      if (inbox.empty()) inbox.drop();
      if (result.status != Io::again) return fail(Cause::tcp_reset, now);
    }
    return now >= attempt_.until ? fail(Cause::ws_timeout, now) : State::asking;
  }
}

Reopening::State Reopening::on_head(const http::ResponseHead& response, TimePoint now) {
  UpstreamConnection& connection = *attempt_.connection;
  const char* base = connection.inbox().data();
  if (response.status == 503) {
    const bool opens =
        attempt_.desk->with([&](const OpeningDesk& d) { return d.opens(opening_key(attempt_.endpoint->id), now); });
    // It has as many as it can open: no evidence against it, and nobody needs to be excluded.
    if (opens) {
      tried_.clear();
      put_down(Ended::failed, now);
      return State::failed;
    }
  }
  if (response.status >= 500) return fail(Cause::http_status, now);
  if (response.status != 101) {
    worker_.outcome(*attempt_.endpoint, Cause::none, handshake_.client);
    finish(Ended::abandoned, now);
    return State::refused;
  }
  const std::string_view chosen = response.fields.value(http::Known::sec_websocket_protocol, base);
  if (!http::websocket_answer_valid(response, base, handshake_.key, chosen)) return fail(Cause::ws_malformed, now);
  // Nothing was offered.
  if (response.fields.find(http::Known::sec_websocket_extensions) != nullptr) return fail(Cause::ws_malformed, now);
  worker_.outcome(*attempt_.endpoint, Cause::none, handshake_.client);
  if (chosen != handshake_.protocol) {
    finish(Ended::abandoned, now);
    return State::protocol;
  }
  worker_.latency_sample(*attempt_.endpoint, now - attempt_.sent_at);
  worker_.endpoint(attempt_.endpoint->id.slot).websocket_open.record(now - attempt_.began);
  connection.inbox().consume(response.head_bytes);
  return State::opened;
}

Reopening::Opened Reopening::take() {
  Opened out;
  const TimePoint now = worker_.reactor().now();
  out.endpoint = attempt_.endpoint->id;
  out.load = attempt_.endpoint->load;
  out.label = attempt_.endpoint->label;
  out.tier = attempt_.tier;
  out.epoch = attempt_.epoch;
  out.took = now - attempt_.began;
  out.inbox = std::exchange(attempt_.connection->inbox(), Inbox{});
  out.stream = attempt_.connection->take_stream();
  finish(Ended::opened, now);
  state_ = State::idle;
  return out;
}

Reopening::State Reopening::fail(Cause cause, TimePoint now) {
  worker_.outcome(*attempt_.endpoint, cause, handshake_.client);
  finish(Ended::failed, now);
  return State::failed;
}

// Without an outcome: nothing that speaks for or against the endpoint.
void Reopening::put_down(Ended how, TimePoint now) {
  worker_.endpoint(attempt_.endpoint->id.slot).abandoned.add();
  finish(how, now);
}

void Reopening::finish(Ended how, TimePoint now) {
  if (attempt_.endpoint == nullptr) return;
  health::SharedLoad& load = *attempt_.endpoint->load;
  load.in_flight.fetch_sub(1, std::memory_order_relaxed);
  load.unanswered.fetch_sub(1, std::memory_order_relaxed);
  const OpeningDesk::Endpoint endpoint = opening_key(attempt_.endpoint->id);
  attempt_.desk->with([&](OpeningDesk& d) {
    switch (how) {
      case Ended::opened: d.opened(endpoint, now - attempt_.began, now); break;
      case Ended::failed: d.failed(endpoint, now); break;
      case Ended::abandoned: d.abandoned(endpoint); break;
    }
  });
  if (attempt_.connection) attempt_.connection->close();
  const auto desk = attempt_.desk;
  attempt_ = Attempt{};
  worker_.openings().serve(desk);
}

void Reopening::abandon() {
  worker_.openings().leave(place_);
  if (attempt_.endpoint != nullptr) put_down(Ended::abandoned, worker_.reactor().now());
  state_ = State::idle;
}

void Reopening::on_view(TimePoint now) {
  if (state_ != State::dialing && state_ != State::asking) return;
  if (attempt_.fault != 0) {
    const Faults* const faults = worker_.snapshot()->faults();
    if (faults == nullptr || !faults->has(attempt_.endpoint->id, attempt_.fault)) {
      attempt_.fault = 0;
      attempt_.kept_until = {};
      if (attempt_.connection) return worker_.reactor().mark_ready(owner_);
      tried_.clear();  // it was never tried in earnest
      put_down(Ended::abandoned, now);
      state_ = State::failed;
      return worker_.reactor().mark_ready(owner_);
    }
  }
  if (!worker_.ill(attempt_.endpoint->id)) return;
  put_down(Ended::failed, now);  // what there is to be said of it is known
  state_ = State::failed;
  worker_.reactor().mark_ready(owner_);
}

TimePoint Reopening::next_deadline() const {
  if (state_ != State::dialing && state_ != State::asking) return TimePoint::max();
  const bool kept = state_ == State::asking && attempt_.kept_until != TimePoint{};
  return kept ? std::min(attempt_.until, attempt_.kept_until) : attempt_.until;
}

}  // namespace understudy::net
