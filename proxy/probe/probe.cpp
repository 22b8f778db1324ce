#include "proxy/probe/probe.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "proxy/http/h1_parser.hpp"
#include "proxy/http/writer.hpp"
#include "proxy/probe/words.hpp"

namespace understudy::probe {
namespace {

namespace asio = boost::asio;
using config::CheckKind;
using health::Cause;
using std::chrono::milliseconds;

constexpr std::uint32_t kMaxHead = 64 * 1024;            // all heads of an answer together, interim ones included
constexpr unsigned kMaxInterim = 16;                     // 1xx answers before the final one
constexpr std::size_t kMaxBody = 64 * 1024;              // searched for the expected text
constexpr std::size_t kMaxPlain = std::size_t{1} << 20;  // what chunk framing may add to that
constexpr std::size_t kMaxAgentLine = 512;
constexpr std::size_t kReadSize = 16 * 1024;
constexpr milliseconds kBacklogPause{10};
constexpr milliseconds kQueueTolerance{20};  // waited longer for a slot: a timeout is ours
constexpr milliseconds kLagTolerance{100};   // later than this at our own deadline: we were starved

std::string random_key() {
  std::array<unsigned char, 16> bytes{};
  RAND_bytes(bytes.data(), static_cast<int>(bytes.size()));
  std::array<unsigned char, 25> text{};
  EVP_EncodeBlock(text.data(), bytes.data(), static_cast<int>(bytes.size()));
  return {reinterpret_cast<const char*>(text.data()), 24};
}

// RFC 6455 §5.5.1: a masked close frame with code 1000.
std::string close_frame() {
  std::array<unsigned char, 4> mask{};
  RAND_bytes(mask.data(), static_cast<int>(mask.size()));
  const std::array<unsigned char, 8> frame{0x88,
                                           0x82,
                                           mask[0],
                                           mask[1],
                                           mask[2],
                                           mask[3],
                                           static_cast<unsigned char>(0x03 ^ mask[0]),
                                           static_cast<unsigned char>(0xe8 ^ mask[1])};
  return {reinterpret_cast<const char*>(frame.data()), frame.size()};
}

}  // namespace

Probe::Probe(asio::io_context& io, ProbeRequest request, Report report)
    : io_(io), request_(std::move(request)), report_(std::move(report)), timer_(io), pause_(io), link_(io) {
  if (request_.check->port != 0 && request_.address.family != config::SocketAddress::Family::unix_path)
    request_.address.port = request_.check->port;
  target_ = request_.address.to_string();
}

void Probe::arm() {
  submitted_ = began_ = Clock::now();
  timer_.expires_at(request_.deadline);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& ec) {
    if (!ec) self->on_deadline();
  });
}

void Probe::begin() {
  if (finished_) return;
  began_ = Clock::now();
  if (began_ >= request_.deadline) {  // the timer has not been run yet
    on_deadline();
    return;
  }
  rung_ = Rung::connect;
  asio::co_spawn(io_, run(shared_from_this()), asio::detached);
}

void Probe::cancel() {
  report_ = nullptr;
  finish(Cause::own_error, {});
}

asio::awaitable<void> Probe::run(std::shared_ptr<Probe> self) {
  std::string trouble;
  try {
    co_await self->climb();
  } catch (const std::exception& e) {
    trouble = e.what();
  }
  if (!trouble.empty()) self->fail(Cause::own_error, "the probe of " + self->target_ + " failed here: " + trouble);
}

asio::awaitable<bool> Probe::climb() {
  const CheckKind kind = request_.check->kind;
  if (kind == CheckKind::none) co_return fail(Cause::own_error, "this pool has no check; nothing was tried");
  if (!co_await connect()) co_return false;
  if (kind == CheckKind::tcp && request_.agent) co_return co_await ask_agent();
  if (kind == CheckKind::tcp) co_return succeed(connected());
  if (request_.tls || kind == CheckKind::tls) {
    if (!co_await shake_hands()) co_return false;
    if (kind == CheckKind::tls) co_return succeed("TLS handshake with " + target_ + " done");
  }
  rung_ = Rung::answer;
  if (kind == CheckKind::websocket) co_return co_await check_websocket();
  co_return co_await check_http();
}

asio::awaitable<bool> Probe::connect() {
  bool own_side = false;
  int error = link_.connect(request_.address, &own_side);
  if (own_side) co_return fail_connect(error, true);
  while (error == EAGAIN) {
    pause_.expires_after(kBacklogPause);
    co_await pause_.async_wait(asio::as_tuple(asio::use_awaitable));
    if (finished_) co_return false;
    error = link_.connect_again();
  }
  while (error == EINPROGRESS) {
    if (!co_await wait(IoStep::Kind::want_write)) co_return false;
    error = link_.connect_result();
  }
  co_return error == 0 || fail_connect(error, Link::is_own_side(error));
}

asio::awaitable<bool> Probe::shake_hands() {
  rung_ = Rung::tls;
  if (!request_.tls) co_return fail(Cause::own_error, "a check of kind tls needs TLS settings");
  const std::string trouble = link_.start_tls(*request_.tls, request_.host);
  if (!trouble.empty()) co_return fail(Cause::tls_failed, trouble);
  for (;;) {
    const IoStep step = link_.handshake();
    if (step.kind == IoStep::Kind::ok) co_return true;
    if (step.kind != IoStep::Kind::want_read && step.kind != IoStep::Kind::want_write) co_return fail_io(step);
    if (!co_await wait(step.kind)) co_return false;
  }
}

asio::awaitable<bool> Probe::wait(IoStep::Kind kind) {
  const auto what = kind == IoStep::Kind::want_write ? asio::posix::stream_descriptor::wait_write
                                                     : asio::posix::stream_descriptor::wait_read;
  const auto [ec] = co_await link_.descriptor().async_wait(what, asio::as_tuple(asio::use_awaitable));
  if (finished_) co_return false;  // closed by the deadline or by cancelling
  if (ec) co_return fail(Cause::own_error, "waiting for " + target_ + " failed here: " + ec.message());
  co_return true;
}

asio::awaitable<bool> Probe::flush() {
  for (;;) {
    const IoStep step = link_.flush();
    if (step.kind == IoStep::Kind::ok) co_return true;
    if (step.kind != IoStep::Kind::want_write) co_return fail_io(step);
    if (!co_await wait(step.kind)) co_return false;
  }
}

asio::awaitable<bool> Probe::receive() {
  const std::size_t before = buffer_.size();
  for (;;) {
    buffer_.resize(before + kReadSize);
    const IoStep step = link_.read(buffer_.data() + before, kReadSize);
    buffer_.resize(before + step.bytes);
    if (step.kind == IoStep::Kind::ok) {
      answered_ = true;
      plain_received_ += step.bytes;
      co_return true;
    }
    if (step.kind == IoStep::Kind::want_read) {
      if (!co_await wait(step.kind)) co_return false;
      continue;
    }
    if (!answered_) co_return fail_io(step);
    eof_ = true;
    cut_ = step.kind != IoStep::Kind::eof;
    co_return true;
  }
}

asio::awaitable<bool> Probe::read_head() {
  const http::HeadLimits limits{kMaxHead, static_cast<std::uint32_t>(http::kMaxFields), 0};
  const Cause malformed = by_kind(Cause::http_malformed, Cause::ws_malformed);
  http::ResponseParser parser;
  const bool to_head = request_.synthetic && request_.synthetic->is_head();
  const http::Method method = to_head ? http::Method::head : http::Method::get;
  unsigned interim = 0;
  for (;;) {
    const auto parsed = buffer_.empty() ? http::ParseStatus::need_more : parser.parse(buffer_, limits, method, head_);
    if (parsed == http::ParseStatus::error)
      co_return fail(malformed,
                     target_ + " sent no valid HTTP answer: " + printable(http::sentence_of(parser.error()), 120));
    if (parsed == http::ParseStatus::done) {
      if (head_.status >= 200 || head_.status == 101) {
        status_ = head_.status;
        co_return true;
      }
      if (++interim > kMaxInterim)
        co_return fail(malformed, target_ + " sent more than 16 interim answers and no final one");
      buffer_.erase(0, head_.head_bytes);
      parser.reset();
      head_.clear();
      continue;
    }
    if (plain_received_ > kMaxHead) co_return fail(malformed, target_ + " sent a head of more than 64 KiB");
    if (eof_) co_return fail(malformed, target_ + " closed the connection inside the answer's head");
    if (!co_await receive()) co_return false;
  }
}

asio::awaitable<bool> Probe::check_http() {
  link_.queue(http_request());
  const bool sent = co_await flush();
  if (!sent) co_return false;
  asked_ = Clock::now();
  const bool answered = co_await read_head();
  if (!answered || !judge_status() || !take_header()) co_return false;
  const bool wants_value = request_.synthetic && !request_.synthetic->compare.json.empty();
  if (request_.check->body.empty() && !wants_value) co_return answered_well();
  buffer_.erase(0, head_.head_bytes);
  bool found = false;
  if (wants_value) {
    found = co_await find_value();
  } else {
    found = co_await find_text();
  }
  co_return found;
}

bool Probe::take_header() {
  const bool needed = request_.synthetic != nullptr;
  const std::string& wanted = needed ? request_.synthetic->compare.header : request_.check->agent_header;
  if (wanted.empty()) return true;
  const auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  for (std::size_t i = 0; i < head_.fields.count; ++i) {
    const http::Field& field = head_.fields.list[i];
    const std::string_view name = field.name.in(buffer_.data());
    if (!std::equal(name.begin(), name.end(), wanted.begin(), wanted.end(),
                    [&](char a, char b) { return low(a) == low(b); }))
      continue;
    value_ = printable(field.value.in(buffer_.data()), 200);
    return true;
  }
  if (!needed) return true;  // no agent speaks: that is no failure of the check
  return fail(Cause::http_malformed,
              target_ + " answered " + std::to_string(status_) + " without the field " + printable(wanted, 60));
}

// The whole body, for a value in it.
asio::awaitable<bool> Probe::find_value() {
  rung_ = Rung::body;
  decoder_ = http::BodyDecoder::make(head_.framing, head_.content_length, UINT64_MAX);
  std::string text;
  const std::string answered = target_ + " answered " + std::to_string(status_);
  for (;;) {
    if (!buffer_.empty() && !decoder_.done()) {
      const http::DecodeResult result = decoder_.decode(buffer_.data(), buffer_.size());
      text.append(buffer_, 0, result.payload);
      if (result.error != http::ParseError::none)
        co_return fail(Cause::http_malformed, answered + " with broken chunked framing");
      buffer_.erase(0, result.consumed);
    }
    if (text.size() > kMaxBody || plain_received_ > kMaxPlain)
      co_return fail(Cause::http_body, answered + " with a body of more than 64 KiB");
    if (decoder_.done() || (eof_ && !cut_ && decoder_.finish_at_eof())) co_return judge_body(text);
    if (eof_) co_return fail(Cause::body_cut, answered + " and ended the body early");
    const bool more = co_await receive();
    if (!more) co_return false;
  }
}

bool Probe::judge_body(const std::string& text) {
  const std::string& wanted = request_.check->body;
  const std::string answered = target_ + " answered " + std::to_string(status_);
  if (text.find(wanted) == std::string::npos)
    return fail(Cause::http_body, answered + ", but '" + printable(wanted, 40) + "' is not in its body");
  std::string why;
  const std::string& pointer = request_.synthetic->compare.json;
  value_ = json_value(text, pointer, why);
  if (!value_) return fail(Cause::http_body, answered + ", but its body " + why + " (" + printable(pointer, 60) + ")");
  value_ = printable(*value_, 200);
  return answered_well();
}

bool Probe::answered_well() { return succeed(target_ + " answered " + std::to_string(status_)); }

bool Probe::judge_status() {
  const auto& expect = request_.check->expect;
  const bool expected = std::any_of(expect.begin(), expect.end(), [this](const config::StatusRange& range) {
    return status_ >= range.low && status_ <= range.high;
  });
  if (expected) return true;
  return fail(Cause::http_status,
              target_ + " answered " + std::to_string(status_) + ", expected " + ranges_text(expect));
}

asio::awaitable<bool> Probe::find_text() {
  rung_ = Rung::body;
  decoder_ = http::BodyDecoder::make(head_.framing, head_.content_length, UINT64_MAX);
  std::string text;
  const std::string answered = target_ + " answered " + std::to_string(status_);
  const std::string wanted = std::string("'").append(printable(request_.check->body, 40)).append("'");
  for (;;) {
    switch (search_body(text)) {
      case Search::found: co_return succeed(answered + " with the expected text");
      case Search::broken: co_return fail(Cause::http_malformed, answered + " with broken chunked framing");
      case Search::absent:
        co_return fail(Cause::http_body, answered + ", but " + wanted + " is not in " +
                                             (text.size() < kMaxBody ? "its body" : "the first 64 KiB of its body"));
      case Search::more: break;
    }
    if (eof_)
      co_return fail(Cause::body_cut, answered + " and ended the body early after " + std::to_string(text.size()) +
                                          " bytes without " + wanted);
    if (!co_await receive()) co_return false;
  }
}

Probe::Search Probe::search_body(std::string& text) {
  const std::string& wanted = request_.check->body;
  if (!buffer_.empty() && !decoder_.done()) {
    const http::DecodeResult result = decoder_.decode(buffer_.data(), buffer_.size());
    // The text may begin in what was searched before.
    const std::size_t from = text.size() < wanted.size() ? 0 : text.size() - wanted.size() + 1;
    text.append(buffer_, 0, std::min(result.payload, kMaxBody - text.size()));
    if (text.find(wanted, from) != std::string::npos) return Search::found;
    if (result.error != http::ParseError::none) return Search::broken;
    buffer_.erase(0, result.consumed);
  }
  if (decoder_.done() || text.size() >= kMaxBody || plain_received_ > kMaxPlain) return Search::absent;
  if (eof_ && !cut_ && decoder_.finish_at_eof()) return Search::absent;
  return Search::more;
}

asio::awaitable<bool> Probe::ask_agent() {
  rung_ = Rung::answer;
  if (!request_.check->agent_send.empty()) link_.queue(request_.check->agent_send + "\n");
  const bool sent = co_await flush();
  if (!sent) co_return false;
  for (;;) {
    const auto end = buffer_.find_first_of("\r\n");
    if (end != std::string::npos || (eof_ && !buffer_.empty())) {
      value_ = printable(buffer_.substr(0, end), 200);
      co_return succeed(target_ + " said a line");
    }
    if (eof_ || buffer_.size() > kMaxAgentLine) co_return fail(Cause::http_malformed, target_ + " said no line");
    const bool more = co_await receive();
    if (!more) co_return false;
  }
}

asio::awaitable<bool> Probe::check_websocket() {
  const std::string key = random_key();
  link_.queue(websocket_request(key));
  if (!co_await flush()) co_return false;
  if (!co_await read_head()) co_return false;
  if (status_ != 101)
    co_return fail(Cause::ws_refused,
                   target_ + " answered " + std::to_string(status_) + " instead of 101 to the WebSocket handshake");
  if (!head_.upgrade_websocket)
    co_return fail(Cause::ws_malformed, target_ + " answered 101 without 'Upgrade: websocket'");
  if (!http::websocket_answer_valid(head_, buffer_.data(), key, {}))
    co_return fail(Cause::ws_malformed,
                   target_ + " answered 101 with a wrong Sec-WebSocket-Accept or an unasked subprotocol");
  link_.queue(close_frame());  // goes out with close(); the peer's own is not waited for
  co_return succeed(target_ + " opened a WebSocket");
}

std::string Probe::host_field() const {
  if (!request_.check->host.empty()) return request_.check->host;
  const auto& address = request_.address;
  if (address.family == config::SocketAddress::Family::unix_path) return "localhost";
  const std::uint16_t usual = request_.tls ? 443 : 80;
  std::string host = request_.host.empty() ? address.ip_string() : request_.host;
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return address.port == usual ? host : host + ":" + std::to_string(address.port);
}

std::string Probe::http_request() const {
  const std::string& path = request_.check->path;
  if (const Synthetic* synthetic = request_.synthetic.get()) {
    if (!synthetic->raw.empty()) return synthetic->raw;
    return synthetic->method + " " + (path.empty() ? std::string("/") : path) + " HTTP/1.1\r\nHost: " + host_field() +
           "\r\n" + request_fields(*synthetic) + "Connection: close\r\n\r\n" + synthetic->body;
  }
  return "GET " + (path.empty() ? std::string("/") : path) + " HTTP/1.1\r\nHost: " + host_field() +
         "\r\nUser-Agent: understudy-check\r\nAccept: */*\r\nConnection: close\r\n\r\n";
}

std::string Probe::websocket_request(std::string_view key) const {
  const std::string& path = request_.check->path;
  return "GET " + (path.empty() ? std::string("/") : path) + " HTTP/1.1\r\nHost: " + host_field() + "\r\n" +
         (request_.synthetic ? request_fields(*request_.synthetic) : "User-Agent: understudy-check\r\n") +
         "Connection: Upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
         std::string(key) + "\r\n\r\n";
}

void Probe::on_deadline() {
  if (finished_) return;
  const auto now = Clock::now();
  if (rung_ == Rung::queue) {
    fail(Cause::own_error, "no free slot for the probe of " + target_ + " before its deadline");
    return;
  }
  const auto waited = began_ - submitted_;
  if (waited > kQueueTolerance || now - request_.deadline > kLagTolerance) {
    fail(Cause::own_error, "the probe of " + target_ + " was delayed in this process; its timeout says nothing");
    return;
  }
  const std::string within = " within " + duration_text(request_.deadline - submitted_, request_.check->timeout);
  switch (rung_) {
    case Rung::queue:
    case Rung::connect: fail(Cause::tcp_timeout, "no connection to " + target_ + within); break;
    case Rung::tls: fail(Cause::tls_timeout, connected() + ", no TLS handshake" + within); break;
    case Rung::answer:
      fail(by_kind(Cause::http_timeout, Cause::ws_timeout),
           connected() + (answered_ ? ", no complete answer head" : ", no answer") + within);
      break;
    case Rung::body:
      fail(Cause::body_timeout, target_ + " answered " + std::to_string(status_) +
                                    ", but neither the expected text nor the body's end came" + within);
      break;
  }
}

Cause Probe::by_kind(Cause http, Cause websocket) const {
  return request_.check->kind == CheckKind::websocket ? websocket : http;
}

bool Probe::fail_connect(int error, bool own_side) {
  const std::string reason = std::string(": ") + std::strerror(error);
  if (own_side) return fail(Cause::own_error, "could not try " + target_ + reason);
  switch (error) {
    case ECONNREFUSED: return fail(Cause::tcp_refused, target_ + " refused the connection");
    case ENOENT: return fail(Cause::tcp_refused, target_ + " does not exist");
    case ETIMEDOUT: return fail(Cause::tcp_timeout, "no connection to " + target_ + reason);
    case ECONNRESET:
    case EPIPE: return fail(Cause::tcp_reset, target_ + " reset the connection while it was opened");
    default: return fail(Cause::tcp_unreachable, target_ + " cannot be reached" + reason);
  }
}

// A connection that ended or broke before an answer.
bool Probe::fail_io(const IoStep& step) {
  const bool in_tls = request_.tls && rung_ == Rung::tls;
  if (step.kind == IoStep::Kind::tls_error)
    return fail(Cause::tls_failed, "TLS with " + target_ + " failed: " + printable(link_.why(), 140));
  if (step.kind == IoStep::Kind::system_error && Link::is_own_side(step.error))
    return fail(Cause::own_error, "could not go on with " + target_ + ": " + std::strerror(step.error));
  const std::string how = step.kind == IoStep::Kind::eof ? "closed" : "reset";
  if (in_tls && link_.received() > 0)
    return fail(Cause::tls_failed, target_ + " " + how + " the connection inside the TLS handshake");
  if (step.kind == IoStep::Kind::system_error && step.error == ETIMEDOUT)
    return fail(Cause::tcp_timeout, connected() + ", then lost it: " + std::strerror(step.error));
  return fail(Cause::tcp_reset, target_ + " " + how + " the connection without an answer");
}

bool Probe::fail(Cause cause, const std::string& detail) {
  finish(cause, detail);
  return false;
}

bool Probe::succeed(const std::string& detail) {
  finish(Cause::none, detail);
  return false;
}

void Probe::finish(Cause cause, const std::string& detail) {
  if (std::exchange(finished_, true)) return;
  link_.close();
  timer_.cancel();
  pause_.cancel();
  health::ProbeResult result;
  result.cause = cause;
  result.status = status_;
  // A copy is compared with a request that needed no new connection, as a rule.
  const bool copy = request_.synthetic && !request_.synthetic->raw.empty();
  result.elapsed = Clock::now() - (copy ? asked_.value_or(began_) : began_);
  result.detail = printable(detail, 200);
  result.value = std::move(value_);
  const Report report = std::exchange(report_, nullptr);
  if (report) report(*this, std::move(result));
}

}  // namespace understudy::probe
