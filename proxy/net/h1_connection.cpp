#include "proxy/net/h1_connection.hpp"

#include <algorithm>
#include <cstring>

#include "proxy/http/writer.hpp"

namespace understudy::net {

using observe::Limit;

namespace {
constexpr std::size_t kLeastRead = 16 * 1024;
constexpr int kRequestsPerTurn = 32;
constexpr int kRoundsPerTurn = 8;  // of one exchange, each at most what one flush gathers
constexpr std::chrono::seconds kLinger{1};
constexpr std::uint64_t kLingerBytes = 64 * 1024;
}  // namespace

H1Connection::H1Connection(Worker& worker, Ref<Stream> stream, const config::SocketAddress& peer,
                           const std::string& listener, std::shared_ptr<const TlsServer> tls,
                           const SnapshotRef& snapshot, std::uint32_t listener_index)
    : worker_(worker),
      stream_(std::move(stream)),
      tls_(std::move(tls)),
      listener_(listener),
      counters_(snapshot->counters().listeners[listener_index]),
      peer_(peer),
      peer_ip_(peer.ip_string()) {
  const config::ListenerConfig& config = *snapshot->plan().listeners[listener_index].config;
  facts_.peer = peer_;
  facts_.peer_ip = peer_ip_;
  facts_.tls = tls_ != nullptr;
  facts_.listener_port = config.address.port;
  since_ = worker_.reactor().now();
}

H1Connection::~H1Connection() = default;

void H1Connection::start() {
  if (stream_->start(this) != 0) {
    close();
    return;
  }
  if (tls_) {
    stream_->start_tls(std::make_unique<TlsSession>(*tls_, worker_.blocks()));
    mode_ = Mode::handshake;
    ++worker_.handshakes;
    counted_handshake_ = true;
  }
  if (!find_listener()) {
    close();
    return;
  }
  arm();
}

// Where this listener stands in the newest snapshot. False when a reload removed it.
bool H1Connection::find_listener() {
  const SnapshotRef& snapshot = worker_.snapshot();
  if (limits_ != nullptr && facts_generation_ == snapshot->plan().generation) return true;
  const auto& listeners = snapshot->plan().config.listeners;
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    if (listeners[i].name != listener_) continue;
    facts_.listener = static_cast<std::uint32_t>(i);
    facts_generation_ = snapshot->plan().generation;
    // An idle connection must not pin the whole snapshot, only its few limits.
    limits_ = snapshot->plan().listeners[i].limits;
    if (listeners[i].tls) handshake_timeout_ = listeners[i].tls->handshake_timeout;
    return true;
  }
  return false;
}

void H1Connection::rename_listener(const std::string& name, std::shared_ptr<observe::ListenerCounters> counters) {
  listener_ = name;
  counters_->closed.add();
  counters_ = std::move(counters);
  counters_->accepted.add();
}

bool H1Connection::idle_since(TimePoint then) {
  return mode_ == Mode::idle && !exchange_ && requests_ > 0 && since_ <= then && inbox_.empty() &&
         stream_->peek().status == Io::again && !stream_->readable();
}

void H1Connection::close(bool reset) {
  if (mode_ == Mode::closed) return;
  mode_ = Mode::closed;
  const Ref<H1Connection> self(this);
  if (counted_handshake_) {
    counted_handshake_ = false;
    --worker_.handshakes;
  }
  worker_.reactor().wheel().cancel(*this);
  ReadyHook::unlink();
  if (exchange_) {
    exchange_->abandon(worker_.reactor().now());
    exchange_.reset();
  }
  if (stream_) stream_->close(reset);
  inbox_.drop();
  refusal_.clear();
  worker_.connection_closed(*this);
}

void H1Connection::turn() {
  if (mode_ == Mode::closed || in_turn_) return;
  const Ref<H1Connection> self(this);
  in_turn_ = true;
  worker_.serving = this;
  int requests = kRequestsPerTurn;
  int rounds = kRoundsPerTurn;
  bool progress = true;
  while (progress && mode_ != Mode::closed) {
    const TimePoint now = worker_.reactor().now();
    switch (mode_) {
      case Mode::handshake: progress = step_handshake(); break;
      case Mode::idle:
        progress = step_idle(now);
        if (progress && mode_ == Mode::exchange) {
          rounds = kRoundsPerTurn;
          if (--requests == 0) progress = others_first();
        }
        break;
      case Mode::exchange:
        progress = step_exchange(now);
        if (progress && mode_ == Mode::exchange && --rounds == 0) progress = others_first();
        break;
      case Mode::discard: progress = step_discard(); break;
      case Mode::linger: progress = step_linger(); break;
      case Mode::closed: progress = false; break;
    }
  }
  in_turn_ = false;
  worker_.serving = nullptr;
  if (mode_ == Mode::closed) return;
  if (inbox_.empty()) inbox_.drop();
  arm();
}

// This turn's share is used up; the rest follows when every other connection has had its own.
bool H1Connection::others_first() {
  worker_.reactor().defer(*this);
  return false;
}

bool H1Connection::step_handshake() {
  TlsSession& tls = *stream_->tls();
  const IoResult result = tls.handshake(stream_->transport());
  if (result.status == Io::again) return false;
  counted_handshake_ = false;
  --worker_.handshakes;
  const std::string_view version = tls.version();
  const auto kind = version == "TLSv1.3"   ? observe::TlsVersion::tls13
                    : version == "TLSv1.2" ? observe::TlsVersion::tls12
                                           : observe::TlsVersion::unknown;
  if (result.status != Io::ok) {
    const auto outcome =
        result.status == Io::eof || result.error != EPROTO ? observe::TlsResult::aborted : observe::TlsResult::refused;
    worker_.counters().tls_handshake(kind, outcome);
    close();
    return false;
  }
  worker_.counters().tls_handshake(kind, tls.resumed() ? observe::TlsResult::resumed : observe::TlsResult::full);
  facts_.server_name = tls.server_name();
  mode_ = Mode::idle;
  since_ = worker_.reactor().now();
  return true;
}

bool H1Connection::fill(std::size_t least) {
  if (!stream_->readable()) return false;
  inbox_.make_room(worker_.blocks(), least);
  const IoResult result = stream_->read(inbox_.block.data() + inbox_.end, std::min(inbox_.room(), kReadSize));
  if (result.status == Io::ok) {
    inbox_.end += static_cast<std::uint32_t>(result.bytes);
    return true;
  }
  if (inbox_.empty()) inbox_.drop();
  if (result.status != Io::again) close();
  return false;
}

bool H1Connection::step_idle(TimePoint now) {
  if (!refusal_.empty()) return false;
  if (stream_->tls() != nullptr && stream_->tls()->key_update_flood()) {
    count_timeout(Limit::key_update);
    close();
    return false;
  }
  if (inbox_.empty() || head_begun_) {
    if (!fill(kLeastRead)) return false;
  }
  if (!head_begun_) {
    head_begun_ = true;
    since_ = now;
    parser_.reset();
  }
  if (!find_listener()) {
    close();
    return false;
  }
  auto& scratch = worker_.scratch();
  scratch.request_owner = nullptr;
  const SnapshotRef& snapshot = worker_.snapshot();
  const auto status = parser_.parse(inbox_.view(), snapshot->plan().listeners[facts_.listener].head, scratch.request);
  if (status != http::ParseStatus::error && worker_.memory_short()) {
    refuse_busy(status == http::ParseStatus::done ? &scratch.request : nullptr);
    return mode_ == Mode::linger;
  }
  if (status == http::ParseStatus::need_more) {
    // The largest head allowed must fit behind what is there.
    if (inbox_.room() < kLeastRead) inbox_.make_room(worker_.blocks(), kReadSize);
    return stream_->readable();
  }
  if (status == http::ParseStatus::error) {
    refuse(parser_.error(), now);
    return mode_ == Mode::linger;
  }
  begin_exchange(worker_.reactor().fresh());
  return true;
}

void H1Connection::begin_exchange(TimePoint now) {
  head_begun_ = false;
  ++requests_;
  auto& request = worker_.scratch().request;
  const SnapshotRef& snapshot = worker_.snapshot();
  const http::ClientIdentity identity = http::identify_client(
      peer_, request, inbox_.data(), snapshot->plan().listeners[facts_.listener].config->trusted_proxies);
  facts_.trusted = identity.via_trusted;
  if (identity.via_trusted || facts_.client_ip.empty()) {
    facts_.client = identity.address;
    if (identity.via_trusted) client_ip_ = identity.address.ip_string();
    facts_.client_ip = identity.via_trusted ? client_ip_ : peer_ip_;
  }
  last_request_ = !request.keep_alive;
  mode_ = Mode::exchange;
  first_chunk_up_ = true;
  const std::uint32_t head_bytes = request.head_bytes;
  exchange_.reset(new Exchange(worker_, *this, inbox_.view().substr(0, head_bytes), snapshot));
  inbox_.consume(head_bytes);
  if (draining_ || requests_ >= limits_->max_requests_per_connection) exchange_->begin_draining();
  exchange_->begin(now);
}

bool H1Connection::step_exchange(TimePoint now) {
  bool progress = false;
  if (!exchange_->finished()) progress = exchange_->step(now);
  if (mode_ != Mode::exchange) return false;  // closed, or the stream went into a tunnel
  if (!exchange_->finished()) return progress;
  after_exchange(now);
  return mode_ != Mode::closed;
}

void H1Connection::after_exchange(TimePoint now) {
  if (exchange_->upgraded()) {
    exchange_.reset();
    close();
    return;
  }
  const bool keep = exchange_->keep_alive();
  const bool complete = body_.done();
  const bool cut = exchange_->cut();
  exchange_.reset();
  since_ = now;
  if (cut) {
    close(true);
    return;
  }
  if (!keep) {
    // It asked for the end and has sent all: nothing is on its way here that a RST could answer (RFC 9112 §9.6).
    if (complete && last_request_ && inbox_.empty() && !stream_->readable())
      close();
    else
      linger(now);
    return;
  }
  if (!complete) {
    mode_ = Mode::discard;
    discard_left_ = limits_->drain_body_bytes;
    return;
  }
  mode_ = Mode::idle;
  if (inbox_.empty()) inbox_.drop();
}

// The rest of a body whose request was answered already.
bool H1Connection::step_discard() {
  if (inbox_.empty() && !fill(kLeastRead)) return false;
  const http::DecodeResult result = body_.decode(inbox_.data(), inbox_.size());
  inbox_.consume(static_cast<std::uint32_t>(result.consumed));
  if (result.error != http::ParseError::none || result.consumed > discard_left_) {
    if (result.error == http::ParseError::none) count_timeout(Limit::drain_body_bytes);
    linger(worker_.reactor().now());
    return true;
  }
  discard_left_ -= result.consumed;
  if (result.done) {
    mode_ = Mode::idle;
    since_ = worker_.reactor().now();
  }
  return true;
}

// FIN went out; what the client still sends is read and thrown away, so that no RST destroys the answer on its way.
void H1Connection::linger(TimePoint now) {
  stream_->shutdown_write();
  mode_ = Mode::linger;
  since_ = now;
  discard_left_ = kLingerBytes;
  inbox_.drop();
}

bool H1Connection::step_linger() {
  if (stream_->hangup() && !stream_->readable()) {
    close();
    return false;
  }
  inbox_.begin = inbox_.end = 0;
  if (!fill(1)) return false;
  if (inbox_.size() >= discard_left_) {
    close();
    return false;
  }
  discard_left_ -= inbox_.size();
  inbox_.drop();
  return true;
}

// A head that is no HTTP: answer, close, never resynchronise.
void H1Connection::refuse(http::ParseError error, TimePoint now) {
  worker_.counters().request_errors[observe::WorkerCounters::index_of(error)].add();
  switch (error) {
    case http::ParseError::head_too_large: count_timeout(Limit::max_header_bytes); break;
    case http::ParseError::too_many_fields: count_timeout(Limit::max_headers); break;
    case http::ParseError::uri_too_long: count_timeout(Limit::max_uri_bytes); break;
    default: break;
  }
  http::OwnAnswer own;
  own.status = http::status_of(error);
  own.reason = http::kind_of(error);
  own.sentence = http::sentence_of(error);
  send_refusal(own, nullptr, observe::Term::client_error, now);
}

// `request`: the head, if it is there as a whole.
void H1Connection::refuse_busy(const http::RequestHead* request) {
  counters_->rejected.add(observe::Rejection::memory);
  http::OwnAnswer own;
  own.status = 503;
  own.reason = "limit_memory";
  own.sentence = "This proxy is short of memory. Please try again.";
  own.retry_after = 1 + static_cast<std::uint32_t>(worker_.random() % 5);
  send_refusal(own, request, observe::Term::limit_memory, worker_.reactor().now());
}

void H1Connection::send_refusal(http::OwnAnswer own, const http::RequestHead* request, observe::Term term,
                                TimePoint now) {
  own.close = true;
  own.head_only = request != nullptr && request->method == http::Method::head;
  if (own.status == 405) own.allow = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";
  char id[36];
  const std::uint64_t bits[2] = {worker_.random(), worker_.random()};
  const auto unix_us =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  http::write_uuid7(id, static_cast<std::uint64_t>(unix_us / 1000), reinterpret_cast<const std::uint8_t*>(bits));
  own.request_id = {id, sizeof id};
  http::Out out{worker_.scratch().out.data(), worker_.scratch().out.size(), 0, false};
  http::write_answer(
      out, own, request != nullptr ? request->fields.value(http::Known::accept, inbox_.data()) : std::string_view{});
  refusal_.pending = out.view();
  Pipe nothing;
  std::uint64_t sent = 0;
  stream_->transport().more = true;
  send_all(*stream_, refusal_, nothing, sent);  // what a full socket does not take is lost with the connection
  refusal_.clear();
  counters_->bytes_out.add(sent);
  counters_->bytes_in.add(inbox_.size());
  if (worker_.access() != nullptr) {
    if (observe::AccessRecord* record = worker_.access()->begin_write()) {
      *record = observe::AccessRecord{};
      record->unix_us = unix_us;
      record->status = own.status;
      record->term = term;
      record->tls = facts_.tls;
      record->bytes_out = sent;
      record->client_ip.assign(peer_ip_);
      record->request_id.assign({id, sizeof id});
      record->listener.assign(listener_);
      if (request != nullptr) {
        record->method.assign(request->method_text.in(inbox_.data()));
        record->host.assign(request->authority.in(inbox_.data()));
        record->path.assign(request->path.in(inbox_.data()));
      }
      worker_.access()->publish();
    }
  }
  head_begun_ = false;
  linger(now);
}

void H1Connection::drain(TimePoint deadline) {
  draining_ = true;
  drain_until_ = deadline;
  if (exchange_) exchange_->begin_draining();
  arm();
}

void H1Connection::count_timeout(Limit limit) { counters_->limit_hits.add(limit); }

void H1Connection::arm() {
  if (mode_ == Mode::closed) return;
  std::optional<TimePoint> deadline;
  const auto at = [&deadline](TimePoint t) { deadline = deadline ? std::min(*deadline, t) : t; };
  switch (mode_) {
    case Mode::handshake: at(since_ + handshake_timeout_); break;
    case Mode::idle:
      if (head_begun_)
        at(since_ + limits_->header_timeout);
      else if (requests_ == 0)
        at(since_ + limits_->first_byte_timeout);
      else
        at(since_ + limits_->idle_timeout);
      if (draining_ && !head_begun_) at(drain_until_);
      break;
    case Mode::exchange: deadline = exchange_->next_deadline(); break;
    case Mode::discard: at(since_ + limits_->body_timeout); break;
    case Mode::linger: at(since_ + kLinger); break;
    case Mode::closed: break;
  }
  if (deadline) worker_.reactor().wheel().set(*this, *deadline);
}

void H1Connection::on_timer(TimePoint now) {
  if (mode_ == Mode::closed) return;
  const Ref<H1Connection> self(this);
  switch (mode_) {
    case Mode::handshake:
      if (now < since_ + handshake_timeout_) break;
      worker_.counters().tls_handshake(observe::TlsVersion::unknown, observe::TlsResult::timeout);
      count_timeout(Limit::handshake_timeout);
      close();
      return;
    case Mode::idle:
      if (head_begun_) {
        if (now < since_ + limits_->header_timeout) break;
        count_timeout(Limit::header_timeout);
        http::OwnAnswer own;
        own.status = 408;
        own.reason = "client_timeout";
        own.sentence = "The request did not arrive in time.";
        send_refusal(own, nullptr, observe::Term::client_timeout, now);
        break;
      }
      if (draining_ && now >= drain_until_) {
        close();
        return;
      }
      if (now >= since_ + (requests_ == 0 ? limits_->first_byte_timeout : limits_->idle_timeout)) {
        count_timeout(requests_ == 0 ? Limit::first_byte_timeout : Limit::idle_timeout);
        close();
        return;
      }
      break;
    case Mode::exchange: {
      worker_.serving = this;
      in_turn_ = true;
      const auto deadline = exchange_->next_deadline();
      if (deadline && now >= *deadline) exchange_->on_deadline(now);
      in_turn_ = false;
      if (mode_ == Mode::closed) return;
      turn();
      return;
    }
    case Mode::discard:
      if (now < since_ + limits_->body_timeout) break;
      count_timeout(Limit::body_timeout);
      close();
      return;
    case Mode::linger:
      if (now < since_ + kLinger) break;
      close();
      return;
    case Mode::closed: return;
  }
  arm();
}

}  // namespace understudy::net
