// The beginning of an exchange: identity, routing, limits, and the answers that are our own.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <vector>

#include "proxy/limit/address_counter.hpp"
#include "proxy/net/exchange_driver.hpp"
#include "proxy/net/exchange_words.hpp"

namespace understudy::net {

namespace {

// Free list of one thread. Exchanges never change threads.
struct Slab {
  std::vector<void*> free;
  ~Slab() {
    for (void* memory : free) ::operator delete(memory);
  }
};
thread_local Slab slab;
constexpr std::size_t kKeepFree = 256;

std::int64_t unix_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

exchange::Policy no_policy() { return {}; }

std::string_view without_port(std::string_view host) {
  if (!host.empty() && host.front() == '[') return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

// Value of one cookie in a Cookie header.
std::string_view cookie_value(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const std::size_t end = header.find(';');
    std::string_view pair = header.substr(0, end);
    header = end == std::string_view::npos ? std::string_view{} : header.substr(end + 1);
    while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) return pair.substr(equals + 1);
  }
  return {};
}

}  // namespace

void* Exchange::operator new(std::size_t size) {
  if (slab.free.empty()) return ::operator new(size);
  void* memory = slab.free.back();
  slab.free.pop_back();
  return memory;
}

void Exchange::operator delete(void* memory) noexcept {
  if (slab.free.size() < kKeepFree) {
    slab.free.push_back(memory);
  } else {
    ::operator delete(memory);
  }
}

Exchange::Exchange(Worker& worker, Requester& requester, std::string_view bytes, const SnapshotRef& snapshot)
    : worker_(worker),
      requester_(requester),
      plan_(snapshot),
      limits_(&snapshot->plan().listeners[requester.facts().listener].config->limits),
      state_(no_policy(), worker.reactor().now()),
      head_size_(static_cast<std::uint32_t>(bytes.size())) {
  if (bytes.size() > small_head_.size()) large_head_ = std::make_unique<char[]>(bytes.size());
  std::memcpy(large_head_ ? large_head_.get() : small_head_.data(), bytes.data(), bytes.size());
  worker_.scratch().request_owner = this;
}

Exchange::~Exchange() {
  drop_attempts();
  up_.clear();
  down_.clear();
  worker_.publish_blocks();
  if (worker_.scratch().request_owner == this) worker_.scratch().request_owner = nullptr;
}

const http::RequestHead& Exchange::head() {
  auto& scratch = worker_.scratch();
  if (scratch.request_owner != this) {
    http::RequestParser parser;
    http::HeadLimits limits = plan_->plan().listeners[requester_.facts().listener].head;
    parser.parse({base(), head_size_}, limits, scratch.request);
    scratch.request_owner = this;
  }
  return scratch.request;
}

void Exchange::begin(TimePoint now) {
  const http::RequestHead& request = head();
  started_unix_us_ = unix_us();
  method_ = request.method;
  minor_ = request.minor;
  keep_alive_ = request.keep_alive;
  expect_continue_ = request.expect_continue;
  websocket_ = request.upgrade == http::UpgradeKind::websocket;
  chunked_up_ = request.framing == http::Framing::chunked;
  upload_progress_ = download_progress_ = now;
  up_.retain(true);

  const ClientFacts& facts = requester_.facts();
  const std::string_view given = http::acceptable_request_id(request, base(), facts.trusted);
  if (!given.empty() && given.size() <= request_id_.size()) {
    std::copy(given.begin(), given.end(), request_id_.begin());
    request_id_size_ = static_cast<std::uint8_t>(given.size());
  } else {
    const std::uint64_t bits[2] = {worker_.random(), worker_.random()};
    http::write_uuid7(request_id_.data(), static_cast<std::uint64_t>(started_unix_us_ / 1000),
                      reinterpret_cast<const std::uint8_t*>(bits));
    request_id_size_ = 36;
  }
  const std::uint64_t bits[3] = {worker_.random(), worker_.random(), worker_.random()};
  http::write_traceparent(traceparent_.data(), request.fields.value(http::Known::traceparent, base()),
                          reinterpret_cast<const std::uint8_t*>(bits));

  const std::uint64_t any = UINT64_MAX;
  requester_.begin_body(request.framing, request.content_length, limits_->max_body_bytes.value_or(any));
  body_done_ = request.framing == http::Framing::none;
  if (!route_request()) return;

  const std::uint64_t max_body =
      route_->max_body_bytes ? *route_->max_body_bytes : limits_->max_body_bytes.value_or(any);
  if (request.framing == http::Framing::length && request.content_length > max_body) {
    refuse(http::ParseError::body_too_large);
    return;
  }
  requester_.begin_body(request.framing, request.content_length, max_body);

  // What came with the head leaves with the head.
  if (!body_done_) {
    const BodyResult body = requester_.read_body(up_, chunked_up_, kReadSize, true);
    body_in_ += body.bytes;
    if (body.status == BodyStatus::bad) {
      refuse(body.error);
      return;
    }
    body_done_ = body.status == BodyStatus::done;
    if (body_in_ > 0) expect_continue_ = false;
  }
  // A WebSocket's opening handshake is a GET like any other until it is answered.
  const bool repeatable = http::is_idempotent(method_) ||
                          (route_->retry_with_idempotency_key && head().fields.find(http::Known::idempotency_key));
  // Nor is a client sent away from the endpoint that its cookie names.
  hedgeable_ =
      pool_->retry.hedge && http::is_safe(method_) && !websocket_ && request.framing == http::Framing::none && !sticky_;
  const config::SocketAddress& client = requester_.facts().client;
  client_ = limit::client_number(client, plan_->plan().hash_seed);
  worker_.note_first_attempt(plan_->plan(), pool_index_, client_, client);
  perform(state_.on({exchange::EventKind::head, health::Cause::none, 0, repeatable, exchange::End::none}, now), now);
}

bool Exchange::route_request() {
  const http::RequestHead& request = head();
  const ClientFacts& facts = requester_.facts();
  const Plan& plan = plan_->plan();
  const config::ListenerConfig& listener = *plan.listeners[facts.listener].config;
  const std::string_view host = request.authority.in(base());

  if (listener.redirect_to_https) {
    std::string location = "https://" + std::string(without_port(host)) + std::string(request.path.in(base()));
    if (request.has_query) location += "?" + std::string(request.query.in(base()));
    http::OwnAnswer own;
    own.status = 308;
    own.location = location;
    own.reason = "redirect_to_https";
    own.sentence = "This site is served over HTTPS.";
    if (host.empty()) {
      own.status = 400;
      own.location = {};
      own.sentence = "A Host header is needed to redirect to HTTPS.";
    }
    answer(own, observe::Term::local_answer);
    return false;
  }
  if (!requester_.covers_host(host)) {
    http::OwnAnswer own;
    own.status = 421;
    own.reason = "misdirected_request";
    own.sentence = "The certificate of this connection does not cover the requested host.";
    answer(own, observe::Term::client_error);
    return false;
  }

  const route::RouteMatch match = plan.routes.match(request, base());
  route_index_ = match.index;
  if (match.error != route::RouteError::none) {
    http::OwnAnswer own;
    std::string allowed;
    route_index_ = static_cast<std::uint32_t>(plan.config.routes.size());
    switch (match.error) {
      case route::RouteError::unknown_host:
        own.status = facts.tls ? 421 : 404;
        own.reason = "unknown_host";
        own.sentence = "No site of this name is served here.";
        break;
      case route::RouteError::no_route:
        own.status = 404;
        own.reason = "no_route";
        own.sentence = "Nothing is served at this address.";
        break;
      case route::RouteError::method_not_allowed:
        own.status = 405;
        own.reason = "method_not_allowed";
        own.sentence = "This method is not allowed here.";
        allowed = plan.routes.allowed_methods(request, base());
        own.allow = allowed;
        break;
      case route::RouteError::ambiguous_path:
      case route::RouteError::none:
        own.status = 400;
        own.reason = "ambiguous_path";
        own.sentence =
            "The path can be read in more than one way (encoded slash, backslash, dot segment or empty "
            "segment).";
        break;
    }
    answer(own, observe::Term::client_error);
    return false;
  }
  route_ = &plan.config.routes[match.index];
  pool_index_ = static_cast<std::uint32_t>(std::max(plan.route_pool[match.index], 0));

  if (route_->redirect) {
    const std::string location =
        expand_redirect(route_->redirect->to, host, request.path.in(base()), request.query.in(base()));
    http::OwnAnswer own;
    own.status = route_->redirect->status;
    own.location = location;
    own.reason = "redirect";
    own.sentence = "This page is at another address.";
    answer(own, observe::Term::local_answer);
    return false;
  }
  if (route_->respond) {
    http::OwnAnswer own;
    own.status = route_->respond->status;
    own.content_type = route_->respond->content_type;
    own.body = route_->respond->body;
    answer(own, observe::Term::local_answer);
    return false;
  }
  if (websocket_ && !route_->websocket.allowed) {
    http::OwnAnswer own;
    own.status = 403;
    own.reason = "websocket_not_allowed";
    own.sentence = "WebSocket connections are not allowed here.";
    own.close = true;
    answer(own, observe::Term::client_error);
    return false;
  }
  const PoolPlan& pool = plan.pools[pool_index_];
  pool_ = pool.config;
  state_ = exchange::State(pool.policy, worker_.reactor().now());
  read_cookies();
  return true;
}

// Hash key and sticky cookie, read once.
void Exchange::read_cookies() {
  const http::RequestHead& request = head();
  const std::string_view cookies = request.fields.value(http::Known::cookie, base());
  if (!pool_->sticky.cookie.empty()) sticky_ = balance::parse_sticky(cookie_value(cookies, pool_->sticky.cookie));
  if (pool_->balance != config::BalanceKind::hash) return;
  std::string_view key;
  switch (pool_->hash_on) {
    case config::HashKey::client_address: key = requester_.facts().client_ip; break;
    case config::HashKey::path: key = request.path.in(base()); break;
    case config::HashKey::cookie: key = cookie_value(cookies, pool_->hash_name); break;
    case config::HashKey::header:
      for (std::uint16_t i = 0; i < request.fields.count; ++i) {
        const http::Field& field = request.fields.list[i];
        if (equals_ignoring_case(field.name.in(base()), pool_->hash_name)) {
          key = field.value.in(base());
          break;
        }
      }
      break;
  }
  // Without the key each client still sticks to one endpoint.
  if (key.empty()) key = requester_.facts().client_ip;
  hash_ = balance::hash_key(key, plan_->plan().hash_seed);
}

http::RequestRewrite Exchange::rewrite() {
  const ClientFacts& facts = requester_.facts();
  http::RequestRewrite out;
  out.peer_ip = facts.peer_ip;
  out.client_ip = facts.client_ip;
  out.trusted = facts.trusted;
  out.tls = facts.tls;
  out.listener_port = facts.listener_port;
  out.request_id = {request_id_.data(), request_id_size_};
  out.traceparent = {traceparent_.data(), traceparent_.size()};
  out.strip_prefix = route_->strip_prefix;
  out.add_prefix = route_->add_prefix;
  out.rules = route_->request_headers;
  out.send_epoch = pool_->epoch_header;
  out.epoch = last_epoch_;
  out.websocket = websocket_;
  // The state of a compression could not go on with another endpoint.
  out.drop_websocket_extensions = websocket_ && resumes();
  return out;
}

// Our own answer. What of the request is still unread is the requester's to drain or to close upon.
void Exchange::answer(const http::OwnAnswer& own, observe::Term term) {
  http::OwnAnswer full = own;
  full.request_id = {request_id_.data(), request_id_size_};
  full.head_only = method_ == http::Method::head;
  const http::RequestHead& request = head();
  const bool unread = !body_done_ && (expect_continue_ || (request.framing == http::Framing::length &&
                                                           request.content_length > limits_->drain_body_bytes));
  full.close = own.close || close_after_ || !keep_alive_ || unread || websocket_ || worker_.draining();
  if (full.close) keep_alive_ = false;
  if (route_) full.rules = route_->response_headers;
  http::Out out{worker_.scratch().out.data(), worker_.scratch().out.size(), 0, false};
  std::string_view behind;
  if (!http::write_answer(out, full, request.fields.value(http::Known::accept, base()))) {
    // A fixed body larger than the scratch buffer follows from where it stands: in the plan, which outlives the exchange.
    if (!full.head_only) behind = full.body;
    full.head_only = true;
    out.size = 0;
    out.overflow = false;
    if (!http::write_answer(out, full, {})) {
      finished_ = true;
      keep_alive_ = false;
      return;
    }
  }
  status_ = own.status;
  term_ = term;
  put_down_head(out.view());
  for (constexpr std::size_t kPart = 1 << 30; !behind.empty(); behind.remove_prefix(std::min(kPart, behind.size())))
    down_.push(BlockRef{}, behind.data(), static_cast<std::uint32_t>(std::min(kPart, behind.size())));
  response_done_ = true;
  flush_down(worker_.reactor().now());
}

void Exchange::refuse(http::ParseError error) {
  count_bad_body(error);
  http::OwnAnswer own;
  own.status = http::status_of(error);
  own.reason = http::kind_of(error);
  own.sentence = http::sentence_of(error);
  own.close = true;  // after a protocol error nothing more is read (law 1)
  answer(own, error == http::ParseError::body_too_large ? observe::Term::limit_body : observe::Term::client_error);
}

void Exchange::count_bad_body(http::ParseError error) {
  worker_.counters().request_errors[observe::WorkerCounters::index_of(error)].add();
  if (error == http::ParseError::body_too_large)
    plan_->counters().listeners[requester_.facts().listener]->limit_hits.add(observe::Limit::max_body_bytes);
}

void Exchange::answer_end(exchange::End end) {
  http::OwnAnswer own;
  own.status = exchange::status_of(end);
  own.reason = reason_of(end);
  own.sentence = sentence_of(end);
  if (own.status == 503) {
    // Spread, so that those who are told to come back do not come back together.
    own.retry_after = retry_after_ > 0 ? retry_after_ : static_cast<std::uint32_t>(1 + worker_.random() % 5);
  }
  if (end == exchange::End::client_timeout || end == exchange::End::client_error) own.close = true;
  answer(own, term_of(end));
}

}  // namespace understudy::net
