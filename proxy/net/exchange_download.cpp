// The endpoint's way to the client.
#include <algorithm>

#include "proxy/net/exchange_driver.hpp"
#include "proxy/net/tunnel.hpp"

namespace understudy::net {

using exchange::End;
using exchange::EventKind;
using exchange::Phase;
using health::Cause;

namespace {
constexpr std::uint32_t kMaxInformational = 8;
constexpr int kSlowPart = 3;  // an answer is slow at this part of what makes it overdue, which is three times p99
constexpr std::size_t kLeastRead = 16 * 1024;  // a new block rather than a smaller read

// What the agreed extensions may use of a frame's reserved bits.
exchange::FrameTracker::Reserved reserved_bits(std::string_view extensions) {
  using Reserved = exchange::FrameTracker::Reserved;
  if (extensions.empty()) return Reserved::none;
  const std::string_view name = extensions.substr(0, extensions.find_first_of("; ,"));
  const bool one = extensions.find(',') == std::string_view::npos;
  return one && name == "permessage-deflate" ? Reserved::first_of_message : Reserved::any;
}
}  // namespace

bool Exchange::download(TimePoint now) {
  if (finished_ || response_done_ || !attempt_.connection) return false;
  if (attempt_.connection->state() != UpstreamConnection::State::open || kept_by_fault(now)) return false;
  if (state_.phase() == Phase::streaming) return read_response_body(now);
  if (state_.phase() == Phase::uploading || state_.phase() == Phase::awaiting) return read_response_head(now);
  return false;
}

// Reads until a final head is there. Informational ones are passed on.
bool Exchange::read_response_head(TimePoint now) {
  UpstreamConnection& connection = *attempt_.connection;
  Stream& stream = connection.stream();
  Inbox& inbox = connection.inbox();
  http::ResponseHead& response = worker_.scratch().response;
  const http::HeadLimits limits{static_cast<std::uint32_t>(pool_->max_response_header_bytes),
                                static_cast<std::uint32_t>(http::kMaxFields), 0};
  bool progress = false;
  for (;;) {
    if (!inbox.empty()) {
      const http::ParseStatus status = connection.parser().parse(inbox.view(), limits, method_, response);
      if (status == http::ParseStatus::error) {
        worker_.counters().response_errors[observe::WorkerCounters::index_of(connection.parser().error())].add();
        upstream_failed(websocket_ ? Cause::ws_malformed : Cause::http_malformed, now);
        return true;
      }
      if (status == http::ParseStatus::done) {
        progress = true;
        if (response.status >= 200 || response.status == 101) return on_final_head(now) || progress;
        if (++attempt_.informational > kMaxInformational) {
          upstream_failed(Cause::http_malformed, now);
          return true;
        }
        // Of two attempts nobody knows yet whose answer it will be.
        if (response.status != 100 && minor_ >= 1 && informational_ < kMaxInformational && !other_)
          forward_informational(response);
        if (finished_) return true;  // the client was gone, and with it the connection
        inbox.consume(response.head_bytes);
        connection.parser().reset();
        continue;
      }
    }
    if (!stream.readable()) return progress;
    inbox.make_room(worker_.blocks(), kLeastRead);
    const IoResult result = stream.read(inbox.block.data() + inbox.end, std::min(inbox.room(), kReadSize));
    if (result.status == Io::again) {
      if (inbox.empty()) inbox.drop();
      return progress;
    }
    if (result.status != Io::ok) {
      // Closed without an answer. With part of a head it is a cut answer, not a race.
      upstream_failed(inbox.empty() ? Cause::tcp_reset : Cause::http_malformed, now);
      return true;
    }
    progress = true;
    worker_.endpoint(attempt_.slot).bytes_in.add(result.bytes);
    inbox.end += static_cast<std::uint32_t>(result.bytes);
  }
}

void Exchange::forward_informational(const http::ResponseHead& response) {
  http::Out out{worker_.scratch().out.data(), worker_.scratch().out.size(), 0, false};
  if (!http::write_informational(out, response, attempt_.connection->inbox().data())) return;
  ++informational_;
  down_.push_copy(worker_.blocks(), out.view());
  flush_down(worker_.reactor().now());
}

// A final head goes in front of its body, but behind an interim answer that is still on its way.
void Exchange::put_down_head(std::string_view head) {
  if (down_.drained()) {
    down_head_.pending = head;
  } else {
    down_.push_copy(worker_.blocks(), head);
  }
}

// A head of 101 or 200 and above stands in the scratch response.
// The answer is an error: may another endpoint be asked, and does the budget give a token for it? A client stays with the
// endpoint that its cookie names.
bool Exchange::pay_for_repetition() {
  if (!pool_->retry.safe_on_5xx || !http::is_safe(method_) || sticky_ || !state_.may_repeat_error()) return false;
  return worker_.has_another(pick_request()) && pay_for_retry();
}

bool Exchange::on_final_head(TimePoint now) {
  http::ResponseHead& response = worker_.scratch().response;
  UpstreamConnection& connection = *attempt_.connection;
  now = worker_.reactor().fresh();
  no_longer_awaits();
  count_answered();
  if (response.status == 101) {
    if (upgrade(response, now)) return true;
    upstream_failed(Cause::ws_malformed, now);
    return true;
  }
  if (open_again(response.status, now)) return true;
  end_opening(response.status >= 500 ? OpeningEnd::failed : OpeningEnd::abandoned, now);
  const bool paid = response.status >= 500 && pay_for_repetition();
  const auto actions = state_.on({EventKind::response_head, Cause::none, response.status, paid, End::none}, now);
  if (attempt_.answered_at == TimePoint{}) attempt_.answered_at = now;
  perform(actions, now);
  if (!actions.has(exchange::ActionKind::forward)) return true;
  end_hedge(second_is_current_ ? observe::HedgeResult::won : observe::HedgeResult::lost);
  if (attempt_.sent && !websocket_) {  // openings have a time of their own
    const auto waited = attempt_.answered_at - attempt_.sent_at;
    plan_->counters().pools[pool_index_]->first_byte.record(waited);
    observe::EndpointCounters& counters = worker_.endpoint(attempt_.slot);
    counters.first_byte.record(waited);
    const auto overdue = attempt_.endpoint->overdue_after;
    counters.client.answered(client_, waited, overdue && waited * kSlowPart > *overdue);
    worker_.latency_sample(*attempt_.endpoint, waited);
  }
  attempt_.keep_alive = response.keep_alive;
  attempt_.body = http::BodyDecoder::make(response.framing, response.content_length, UINT64_MAX);
  write_response_head(response);
  if (!attempt_.connection) return true;
  connection.inbox().consume(response.head_bytes);
  if (connection.inbox().empty()) connection.inbox().drop();
  read_response_body(now);
  return true;
}

void Exchange::write_response_head(const http::ResponseHead& response) {
  const char* response_base = attempt_.connection->inbox().data();
  http::ResponseRewrite rewrite;
  rewrite.client_minor = minor_;
  down_framing_ = response.framing;
  if (response.framing == http::Framing::until_close || response.framing == http::Framing::chunked) {
    // Known to no length: chunked for 1.1 clients, until close for 1.0.
    down_framing_ = minor_ >= 1 ? http::Framing::chunked : http::Framing::until_close;
  }
  if (down_framing_ == http::Framing::until_close) keep_alive_ = false;
  // An answer before the end of its upload: the rest of the request is not waited for.
  const bool early = !body_done_;
  // A refused upgrade: what the client may have sent behind it in good faith is no request.
  if (early || close_after_ || worker_.draining() || websocket_) keep_alive_ = false;
  rewrite.close = !keep_alive_;
  rewrite.framing = down_framing_;
  rewrite.content_length = response.content_length;
  rewrite.keep_length = response.has_content_length && response.framing == http::Framing::none;
  rewrite.request_id = {request_id_.data(), request_id_size_};
  rewrite.rules = route_->response_headers;
  std::string cookie;
  if (!pool_->sticky.cookie.empty()) {
    const std::uint64_t token = balance::sticky_token(pool_->name, *attempt_.endpoint);
    if (!sticky_ || *sticky_ != token) {
      char text[16];
      balance::write_sticky(text, token);
      cookie = pool_->sticky.cookie + "=" + std::string(text, 16) + "; Path=/; HttpOnly; SameSite=Lax";
      if (pool_->sticky.secure) cookie += "; Secure";
      rewrite.set_cookie = cookie;
    }
  }
  http::Out out{worker_.scratch().out.data(), worker_.scratch().out.size(), 0, false};
  if (!http::write_response(out, response, response_base, rewrite)) {
    // Only what our own rules add can be too much.
    upstream_failed(Cause::own_error, worker_.reactor().now());
    return;
  }
  status_ = response.status;
  put_down_head(out.view());
}

// Puts body bytes into down_, as many as may be gathered before they are written.
bool Exchange::read_response_body(TimePoint now) {
  if (response_done_ || finished_) return false;
  UpstreamConnection& connection = *attempt_.connection;
  Stream& stream = connection.stream();
  Inbox& inbox = connection.inbox();
  const std::size_t limit = worker_.gather_limit();
  bool progress = false;
  for (;;) {
    if (!inbox.empty() || attempt_.body.done() || attempt_.body.framing() == http::Framing::none) {
      http::DecodeResult decoded = attempt_.body.decode(inbox.block ? inbox.data() : nullptr, inbox.size());
      if (decoded.error != http::ParseError::none) {
        worker_.counters().response_errors[observe::WorkerCounters::index_of(decoded.error)].add();
        flush_down(now);
        upstream_failed(Cause::body_cut, now);
        return true;
      }
      if (decoded.payload > 0) {
        if (down_framing_ == http::Framing::chunked) {
          char prefix[24];
          const std::size_t n = http::write_chunk_prefix(prefix, decoded.payload, first_chunk_down_);
          first_chunk_down_ = false;
          down_.push_inline({prefix, n});
        }
        down_.push(inbox.block, inbox.data(), static_cast<std::uint32_t>(decoded.payload));
        body_out_ += decoded.payload;
      }
      inbox.consume(static_cast<std::uint32_t>(decoded.consumed));
      if (decoded.done || attempt_.body.done()) {
        response_complete(now);
        return true;
      }
    }
    if (down_.unsent() >= limit || down_.full()) {
      const std::size_t before = down_.unsent();
      flush_down(now);
      if (finished_) return true;
      const bool moved = down_.unsent() != before;
      // A client that takes nothing more: its next readiness brings us back here.
      return progress || moved;  // and others have a turn before this goes on
    }
    if (!stream.readable()) return progress;
    inbox.make_room(worker_.blocks(), kLeastRead);
    const IoResult result = stream.read(inbox.block.data() + inbox.end, std::min(inbox.room(), kReadSize));
    if (result.status == Io::again) {
      if (inbox.empty()) inbox.drop();
      return progress;
    }
    if (result.status == Io::ok) {
      progress = true;
      worker_.endpoint(attempt_.slot).bytes_in.add(result.bytes);
      inbox.end += static_cast<std::uint32_t>(result.bytes);
      state_.on({EventKind::response_progress, Cause::none, 0, false, End::none}, now);
      continue;
    }
    attempt_.keep_alive = false;
    const bool truncated_tls = stream.tls() != nullptr && stream.tls()->truncated();
    if (result.status == Io::eof && !truncated_tls && attempt_.body.finish_at_eof()) {
      response_complete(now);
      return true;
    }
    flush_down(now);
    if (!finished_) upstream_failed(Cause::body_cut, now);
    return true;
  }
}

// The endpoint has said all. Its connection goes back to the pool before the client has taken the last byte.
void Exchange::response_complete(TimePoint now) {
  if (down_framing_ == http::Framing::chunked && status_ != 304 && status_ != 204 && method_ != http::Method::head) {
    char last[16];
    const std::size_t n = http::write_last_chunk(last, first_chunk_down_);
    down_.push_inline({last, n});
  }
  const bool server_fault = status_ >= 500;
  UpstreamConnection& connection = *attempt_.connection;
  const bool clean = attempt_.keep_alive && attempt_.sent && connection.inbox().empty() &&
                     !connection.stream().hangup() && !websocket_ &&
                     attempt_.body.framing() != http::Framing::until_close;
  perform(
      state_.on({EventKind::response_end, server_fault ? Cause::http_status : Cause::none, 0, false, End::none}, now),
      now);
  if (clean && attempt_.connection) {
    attempt_.endpoint->load->in_flight.fetch_sub(1, std::memory_order_relaxed);
    attempt_.endpoint = nullptr;
    Ref<UpstreamConnection> idle = std::move(attempt_.connection);
    worker_.put_idle(*idle, *pool_);
  }
  drop_attempt();
  up_.clear();
}

bool Exchange::output_waits() const { return !down_head_.empty() || !down_.drained() || requester_.output_pending(); }

// Sends what is there. When nothing is left and nothing will come, the exchange is over.
bool Exchange::flush_down(TimePoint now) {
  if (finished_ || upgraded_) return false;
  bool progress = false;
  if (output_waits()) {
    const std::size_t before = down_head_.pending.size() + down_.unsent();
    const IoResult result = requester_.send(down_head_, down_, response_done_ && !keep_alive_);
    down_head_.secure(worker_.blocks());
    const std::size_t after = down_head_.pending.size() + down_.unsent();
    if (after < before) {
      progress = true;
      bytes_out_ += before - after;
      if (status_ != 0) state_.on({EventKind::downstream_started, Cause::none, 0, false, End::none}, now);
    }
    if (result.status == Io::error || result.status == Io::eof) {
      abandon(now);
      return true;
    }
  }
  watch_download(now);
  if (response_done_ && !output_waits()) {
    finished_ = true;
    finish_record(term_);
    return true;
  }
  return progress;
}

// 101: both streams go into a tunnel. False when the answer is not a valid one.
bool Exchange::upgrade(const http::ResponseHead& response, TimePoint now) {
  UpstreamConnection& connection = *attempt_.connection;
  const http::RequestHead& request = head();
  const char* response_base = connection.inbox().data();
  if (!websocket_ || !response.upgrade_websocket || !attempt_.sent || !down_.drained()) return false;
  if (!http::websocket_answer_valid(response, response_base,
                                    request.fields.value(http::Known::sec_websocket_key, base()),
                                    request.fields.value(http::Known::sec_websocket_protocol, base())))
    return false;
  if (resumes() && response.fields.find(http::Known::sec_websocket_extensions) != nullptr)
    return false;  // none was offered
  auto kept = handshake(response.fields.value(http::Known::sec_websocket_protocol, response_base));
  http::ResponseRewrite rewrite;
  rewrite.websocket = true;
  rewrite.request_id = {request_id_.data(), request_id_size_};
  rewrite.rules = route_->response_headers;
  http::Out out{worker_.scratch().out.data(), worker_.scratch().out.size(), 0, false};
  if (!http::write_response(out, response, response_base, rewrite)) return false;

  worker_.endpoint(attempt_.slot)
      .websocket_open.record(now - attempt_.began);  // what an earlier endpoint took is not its doing
  end_opening(OpeningEnd::opened, now);
  report(Cause::none);
  status_ = 101;
  upgraded_ = true;
  finished_ = true;
  keep_alive_ = false;
  response_done_ = true;
  state_.on({EventKind::response_head, Cause::none, 101, false, End::none}, now);

  TunnelStart start;
  start.client = requester_.take_stream(start.from_client);
  connection.inbox().consume(response.head_bytes);
  start.from_upstream = std::move(connection.inbox());
  start.upstream = connection.take_stream();
  start.head.pending = out.view();
  start.peer = requester_.facts().peer;
  start.endpoint = attempt_.endpoint->id;
  start.load = attempt_.endpoint->load;
  start.policy = plan_->plan().tunnels[route_index_];
  start.reserved = reserved_bits(response.fields.value(http::Known::sec_websocket_extensions, response_base));
  start.opening = now - attempt_.began;
  start.handshake = std::move(kept);
  start.counters = plan_->counters().pools[pool_index_];
  start.listener = plan_->counters().listeners[requester_.facts().listener];
  if (worker_.access() != nullptr) {
    start.record = std::make_unique<observe::AccessRecord>();
    fill_record(*start.record, observe::Term::ok);
  }
  logged_ = true;
  plan_->counters().route(requester_.facts().listener, route_index_).requests.add(observe::CodeClass::informational);
  down_.clear();
  Tunnel::open(worker_, std::move(start));
  drop_attempt();
  return true;
}

}  // namespace understudy::net
