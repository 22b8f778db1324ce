#include "proxy/drill/origin_session.hpp"

#include <algorithm>
#include <boost/asio/write.hpp>
#include <charconv>

#include "proxy/demo/frames.hpp"
#include "proxy/http/writer.hpp"

namespace understudy::drill {

using boost::system::error_code;

namespace {

constexpr std::size_t kPieces = 10;
constexpr std::size_t kBody = 200;

std::string answer_head(std::uint16_t status, std::uint32_t origin, std::size_t body, bool keep_alive) {
  const bool has_body = status != 204 && status != 304;
  std::string out = "HTTP/1.1 " + std::to_string(status) + " " + std::string(http::reason_phrase(status)) + "\r\n" +
                    std::string(kOriginField) + ": " + std::to_string(origin) + "\r\n";
  if (has_body) out += "Content-Type: text/plain\r\nContent-Length: " + std::to_string(body) + "\r\n";
  return out + (keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
}

// A field that the parser does not know by a number of its own.
std::string_view field(const http::RequestHead& head, const char* base, std::string_view name) {
  for (std::uint16_t i = 0; i < head.fields.count; ++i) {
    const http::Field& one = head.fields.list[i];
    const std::string_view found = one.name.in(base);
    if (found.size() == name.size() &&
        std::equal(found.begin(), found.end(), name.begin(), [](char a, char b) { return (a | 0x20) == (b | 0x20); }))
      return one.value.in(base);
  }
  return {};
}

}  // namespace

OriginSession::OriginSession(Origin& origin, tcp::socket socket)
    : origin_(origin), socket_(std::move(socket)), timer_(socket_.get_executor()) {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
}

// A connection that the client has left is read to its end all the same: what it sent is carried out, as by a real server.
void OriginSession::read() {
  if (reading_ || phase_ == Phase::closed || origin_.is_frozen() || after_eof_) return;
  reading_ = true;
  socket_.async_read_some(asio::buffer(chunk_), [this, self = shared_from_this()](error_code error, std::size_t n) {
    reading_ = false;
    if (phase_ == Phase::closed) return;
    if (error) {
      after_eof_ = true;
      if (hangs_ || (phase_ != Phase::waiting && phase_ != Phase::answering)) close(false);
      return;
    }
    in_.append(chunk_.data(), n);
    process();
  });
}

void OriginSession::resume() {
  if (due_) {
    due_ = false;
    answer();
  } else if (phase_ == Phase::head || phase_ == Phase::body || phase_ == Phase::tunnel) {
    process();
  }
}

void OriginSession::close(bool by_reset) {
  if (phase_ == Phase::closed) return;
  release_work();
  phase_ = Phase::closed;
  error_code ignored;
  timer_.cancel();
  if (by_reset) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
  origin_.gone(shared_from_this());
}

void OriginSession::process() {
  if (origin_.is_frozen()) return;  // resume() comes back to what lies in `in_`
  bool more = true;
  while (more) {
    switch (phase_) {
      case Phase::head: more = take_head(); break;
      case Phase::body: more = take_body(); break;
      case Phase::tunnel:
        take_frames();
        more = false;
        break;
      default: more = false; break;
    }
  }
  read();
}

bool OriginSession::take_head() {
  if (in_.empty()) return false;
  const http::ParseStatus status = parser_.parse(in_, {}, *head_);
  if (status == http::ParseStatus::need_more) return false;
  if (status == http::ParseStatus::error) {
    close(false);
    return false;
  }
  const std::string_view id = field(*head_, in_.data(), kIdField);
  std::uint64_t number = 0;
  id_.reset();
  if (!id.empty() && std::from_chars(id.data(), id.data() + id.size(), number).ec == std::errc{}) id_ = number;
  keep_alive_ = head_->keep_alive;
  is_websocket_ = head_->upgrade == http::UpgradeKind::websocket;
  key_ = head_->fields.value(http::Known::sec_websocket_key, in_.data());
  body_ = http::BodyDecoder::make(head_->framing, head_->content_length, UINT64_MAX);
  in_.erase(0, head_->head_bytes);
  parser_.reset();
  phase_ = Phase::body;
  return true;
}

bool OriginSession::take_body() {
  if (!body_.done()) {
    if (in_.empty()) return false;
    const http::DecodeResult part = body_.decode(in_.data(), in_.size());
    in_.erase(0, part.consumed);
    if (part.error != http::ParseError::none) {
      close(false);
      return false;
    }
    if (!body_.done()) return false;
  }
  execute();
  return false;
}

// From here on the application has it.
void OriginSession::execute() {
  phase_ = Phase::waiting;
  const Behaviour is = origin_.behaviour();
  hangs_ = id_ && !is.latency;
  if (!id_) {
    const bool collapsed = origin_.is_collapsed() && !is.probe_spared;
    return wait(collapsed ? is.cold_latency : is.probe_latency);
  }
  if (!is_websocket_) origin_.ledger().executed(*id_);
  if (hangs_) return read();  // until somebody closes
  if (!origin_.may_work(shared_from_this())) return;
  work();
}

void OriginSession::work() {
  has_work_ = true;
  const Behaviour is = origin_.behaviour();
  Micros latency = is.latency.value_or(Micros(0));
  if (is.jitter.count() > 0)
    latency += Micros(static_cast<Micros::rep>(static_cast<double>(is.jitter.count()) * origin_.draw()));
  if (is_websocket_) latency += is.opening_latency;
  if (origin_.is_collapsed()) latency = std::max(latency, is.cold_latency);
  wait(latency);
}

void OriginSession::release_work() {
  if (std::exchange(has_work_, false)) origin_.worked();
}

void OriginSession::wait(Micros latency) {
  timer_.expires_after(latency);
  timer_.async_wait([this, self = shared_from_this()](error_code error) {
    if (error || phase_ != Phase::waiting) return;
    if (origin_.is_frozen()) {
      due_ = true;
    } else {
      answer();
    }
  });
  read();  // so that a client that leaves is noticed
}

void OriginSession::answer() {
  release_work();
  const Behaviour is = origin_.behaviour();
  phase_ = Phase::answering;
  if (is_websocket_) return open_tunnel();
  if (id_) return answer_request(is);
  const config::CheckConfig& check = origin_.settings().check;
  const std::uint16_t good = check.expect.empty() ? 200 : check.expect.front().low;
  const std::string body = is.probe_ok ? check.body + "\n" : "not well\n";
  const std::uint16_t status = is.probe_ok ? good : 503;
  std::string out = answer_head(status, origin_.settings().index, body.size(), keep_alive_);
  if (status != 204 && status != 304) out += body;
  send(std::move(out), !keep_alive_);
}

void OriginSession::answer_request(const Behaviour& is) {
  const double draw = origin_.draw();
  if (draw < is.reset_share) return close(true);
  std::string body = "drill " + std::to_string(*id_) + "\n";
  body.resize(kBody, '.');
  if (origin_.draw() < is.error_share)
    return send(answer_head(is.error_status, origin_.settings().index, body.size(), keep_alive_) + body, !keep_alive_);
  const std::string head = answer_head(200, origin_.settings().index, body.size(), keep_alive_);
  if (origin_.draw() < is.half_share) return send(head + body.substr(0, kBody / 2), true);
  if (is.body_time.count() > 0) {
    out_ = head;
    slow_at_ = 0;
    return send_slowly(body, is.body_time);
  }
  send(head + body, !keep_alive_);
}

void OriginSession::send(std::string bytes, bool last) {
  out_ = std::move(bytes);
  asio::async_write(socket_, asio::buffer(out_),
                    [this, last, self = shared_from_this()](error_code error, std::size_t) {
                      if (phase_ == Phase::closed) return;
                      if (error || last || after_eof_) return close(false);
                      if (is_websocket_) {
                        phase_ = Phase::tunnel;
                        process();
                      } else {
                        next_request();
                      }
                    });
}

// The head is in `out_` the first time; then a piece of the body each tenth of the time.
void OriginSession::send_slowly(std::string body, Micros over) {
  asio::async_write(
      socket_, asio::buffer(out_),
      [this, body = std::move(body), over, self = shared_from_this()](error_code error, std::size_t) mutable {
        if (phase_ == Phase::closed) return;
        if (error || (slow_at_ == body.size() && !keep_alive_)) return close(false);
        if (slow_at_ == body.size()) return next_request();
        timer_.expires_after(over / static_cast<int>(kPieces));
        timer_.async_wait([this, body = std::move(body), over, self](error_code cancelled) mutable {
          if (cancelled || phase_ == Phase::closed) return;
          const std::size_t piece = std::min(std::max<std::size_t>(1, body.size() / kPieces), body.size() - slow_at_);
          out_ = body.substr(slow_at_, piece);
          slow_at_ += piece;
          send_slowly(std::move(body), over);
        });
      });
}

void OriginSession::next_request() {
  phase_ = Phase::head;
  id_.reset();
  process();
}

void OriginSession::open_tunnel() {
  char accept_key[28];
  http::websocket_accept(accept_key, key_);
  send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
           std::string(accept_key, sizeof accept_key) + "\r\n" + std::string(kOriginField) + ": " +
           std::to_string(origin_.settings().index) + "\r\n\r\n",
       false);
}

void OriginSession::take_frames() {
  std::string replies;
  bool last = false;
  while (auto frame = demo::take_frame(in_)) {
    const std::uint8_t opcode = frame->opcode == 9 ? 10 : frame->opcode;  // a ping is ponged
    if (frame->opcode == 10) continue;
    replies += demo::write_frame(opcode, frame->payload, false);
    last = frame->opcode == 8;
    if (last) break;
  }
  if (replies.empty()) return;
  phase_ = Phase::answering;
  send(std::move(replies), last);
}

}  // namespace understudy::drill
