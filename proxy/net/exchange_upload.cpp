// The client's way to the endpoint.
#include "proxy/http/chars.hpp"
#include "proxy/net/exchange_driver.hpp"

namespace understudy::net {

using exchange::End;
using exchange::EventKind;
using exchange::Phase;
using health::Cause;

namespace {
constexpr std::size_t kReplayBytes = 64 * 1024;  // bodies up to this are kept for another attempt

// Range, If-None-Match and the other conditions of RFC 9110, 13.1 and 14.2.
bool asks_for_part(const http::RequestHead& head, const char* base) {
  for (std::size_t i = 0; i < head.fields.count; ++i) {
    const std::string_view name = head.fields.list[i].name.in(base);
    if (http::chars::iequal(name, "range") || http::chars::iequal(name.substr(0, 3), "if-")) return true;
  }
  return false;
}
}  // namespace

bool Exchange::step(TimePoint now) {
  if (finished_) return false;
  bool progress = false;
  if (other_ && !state_.other_held()) {
    exchange_attempts();
    progress |= step_attempt(now);
    if (other_ && !finished_ && !state_.other_held()) exchange_attempts();
  }
  if (!finished_) progress |= step_attempt(now);
  progress |= flush_down(now);
  return progress && !finished_;
}

// The current attempt.
bool Exchange::step_attempt(TimePoint now) {
  bool progress = false;
  if (attempt_.connection && state_.phase() == Phase::dialing) {
    Cause cause = Cause::none;
    std::string why;
    const auto state = attempt_.connection->advance(cause, why);
    if (state == UpstreamConnection::State::closed) {
      if (cause == Cause::tls_failed) worker_.tls_failed(*attempt_.endpoint, pool_->name, why);
      perform(state_.on({EventKind::dial_failed, cause, 0, false, End::none}, now), now);
      return true;
    }
    if (state == UpstreamConnection::State::open) {
      attempt_connected(false, now);
      progress = true;
    }
  }
  progress |= upload(now);
  progress |= download(now);
  return progress;
}

bool Exchange::write_request_head() {
  http::Out out{worker_.scratch().out.data(), worker_.scratch().out.size(), 0, false};
  const http::RequestHead& request = head();
  if (!http::write_request(out, request, base(), rewrite())) return false;
  attempt_.head.pending = out.view();
  attempt_.head_written = true;
  if (pool_->failover.mirror > 0) copy_for_mirror();
  return true;
}

// Of the first attempt at the serving tier. Conditional and partial reads are not copied: what they come to depends on what
// that very endpoint answered before.
void Exchange::copy_for_mirror() {
  const http::RequestHead& request = head();
  if (!http::is_safe(method_) || websocket_ || request.framing != http::Framing::none) return;
  if (!attempt_.serving || state_.attempts() > 1 || !worker_.mirror_due()) return;
  if (asks_for_part(request, base()) || !worker_.wants_mirror(pool_->failover.mirror, client_)) return;
  mirror_ = std::make_unique<MirrorSample>();
  mirror_->generation = plan_->plan().generation;
  mirror_->pool = pool_index_;
  mirror_->head_only = method_ == http::Method::head;
  mirror_->head = std::string(attempt_.head.pending);
}

bool Exchange::upload(TimePoint now) {
  if (finished_ || response_done_) return false;
  bool progress = false;
  const bool connected =
      attempt_.connection && attempt_.connection->state() == UpstreamConnection::State::open &&
      (state_.phase() == Phase::uploading || state_.phase() == Phase::awaiting || state_.phase() == Phase::streaming);

  if (!body_done_ && connected && expect_continue_ && state_.phase() == Phase::uploading) {
    expect_continue_ = false;
    down_.push_copy(worker_.blocks(), "HTTP/1.1 100 Continue\r\n\r\n");
    flush_down(now);
    if (finished_) return true;
  }
  watch_upload(now);
  // Read on while there is room. What was sent is released once it is too much to be kept for another attempt.
  if (!body_done_ && !expect_continue_ && up_.unsent() < kReadSize) {
    if (up_.retains() && state_.byte_sent() && (up_.held() >= kReplayBytes || up_.full() || !state_.wants_replay())) {
      up_.retain(false);
      state_.on({EventKind::not_replayable, Cause::none, 0, false, End::none}, now);
    }
    if (!up_.full() && (!up_.retains() || up_.held() < kReplayBytes)) {
      const BodyResult body = requester_.read_body(up_, chunked_up_, kReadSize, false);
      body_in_ += body.bytes;
      if (body.wire > 0) {
        upload_progress_ = now;
        progress = true;
      }
      switch (body.status) {
        case BodyStatus::more: break;
        case BodyStatus::done:
          body_done_ = true;
          progress = true;
          break;
        case BodyStatus::bad:
          count_bad_body(body.error);
          perform(state_.on({EventKind::downstream_bad, Cause::none, 0, false,
                             body.error == http::ParseError::body_too_large ? End::limit_body : End::client_error},
                            now),
                  now);
          return true;
        case BodyStatus::gone:
          perform(state_.on({EventKind::downstream_gone, Cause::none, 0, false, End::none}, now), now);
          return true;
      }
    }
  }
  if (body_done_ && !finished_ && state_.phase() != Phase::finished && requester_.departed()) {
    perform(state_.on({EventKind::downstream_gone, Cause::none, 0, false, End::none}, now), now);
    return true;
  }
  if (connected && !attempt_.upload_broken && !attempt_.sent) progress |= send_upstream(now);
  watch_upload(now);
  return progress;
}

// The request's body is being read: silence is the client's. While the endpoint has to take or to answer first, it is not.
bool Exchange::wants_body() const {
  if (body_done_ || expect_continue_ || response_done_ || finished_ || state_.phase() == Phase::finished) return false;
  if (up_.unsent() >= kReadSize || up_.full()) return false;
  return !up_.retains() || up_.held() < kReplayBytes;
}

// Time in which nothing was wanted of the client is not held against it.
void Exchange::watch_upload(TimePoint now) {
  const bool paused = !wants_body();
  if (paused == upload_paused_now_) return;
  upload_paused_now_ = paused;
  if (paused) {
    upload_paused_at_ = now;
  } else {
    upload_paused_ += now - upload_paused_at_;
    upload_progress_ = now;
  }
}

// Head and body, as much as the endpoint takes.
bool Exchange::send_upstream(TimePoint now) {
  bool progress = false;
  if (!attempt_.head_written && !write_request_head()) {
    // Cannot happen within the configured limits; an honest answer all the same.
    upstream_failed(Cause::own_error, now);
    return true;
  }
  std::uint64_t sent = 0;
  const IoResult result = send_all(attempt_.connection->stream(), attempt_.head, up_, sent);
  attempt_.head.secure(worker_.blocks());
  if (sent > 0) {
    progress = true;
    worker_.endpoint(attempt_.slot).bytes_out.add(sent);
    state_.on({EventKind::first_byte_sent, Cause::none, 0, false, End::none}, now);
  }
  if (result.status == Io::error || result.status == Io::eof) {
    // The endpoint closed its ear; it may have answered before. Reading decides.
    attempt_.upload_broken = true;
    return true;
  }
  const bool left = !attempt_.head.empty() || !up_.drained() || attempt_.connection->stream().pending_output();
  if (left != attempt_.blocked) {
    attempt_.blocked = left;
    state_.on({EventKind::upload_waits, Cause::none, 0, left, End::none}, now);
  }
  if (body_done_ && !left) {
    attempt_.sent = true;
    attempt_.sent_at = worker_.reactor().now();
    state_.on({EventKind::sent, Cause::none, 0, false, End::none}, attempt_.sent_at);
    if (state_.phase() == Phase::awaiting) await_first_byte();
    progress = true;
  }
  return progress;
}

void Exchange::await_first_byte() {
  attempt_.awaiting = hooks_[0].linked() ? &hooks_[1] : &hooks_[0];
  attempt_.awaiting->exchange = this;
  attempt_.awaiting->since = attempt_.sent_at;
  attempt_.awaiting->opening = websocket_;
  worker_.attempt_sent(*attempt_.awaiting, attempt_.slot);
}

}  // namespace understudy::net
