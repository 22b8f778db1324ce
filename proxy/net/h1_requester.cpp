// H1Connection as its exchange sees it: body in, answer out.
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <functional>

#include "proxy/net/h1_connection.hpp"

namespace understudy::net {

namespace {
constexpr std::size_t kLeastRead = 16 * 1024;
}

void H1Connection::begin_body(http::Framing framing, std::uint64_t length, std::uint64_t max_bytes) {
  body_ = http::BodyDecoder::make(framing, length, max_bytes);
}

BodyResult H1Connection::read_body(Pipe& up, bool chunked, std::size_t limit, bool only_buffered) {
  BodyResult out;
  for (;;) {
    if (body_.done()) {
      out.status = BodyStatus::done;
      return out;
    }
    if (!inbox_.empty()) {
      const http::DecodeResult result = body_.decode(inbox_.data(), inbox_.size());
      if (result.error != http::ParseError::none) {
        out.status = BodyStatus::bad;
        out.error = result.error;
        return out;
      }
      if (result.payload > 0) {
        if (chunked) {
          char prefix[24];
          const std::size_t n = http::write_chunk_prefix(prefix, result.payload, first_chunk_up_);
          first_chunk_up_ = false;
          up.push_inline({prefix, n});
        }
        up.push(inbox_.block, inbox_.data(), static_cast<std::uint32_t>(result.payload));
        out.bytes += result.payload;
      }
      inbox_.consume(static_cast<std::uint32_t>(result.consumed));
      if (result.done) {
        if (chunked) {
          char last[16];
          const std::size_t n = http::write_last_chunk(last, first_chunk_up_);
          up.push_inline({last, n});
        }
        continue;
      }
    }
    if (only_buffered || up.unsent() >= limit || up.full() || !stream_->readable()) return out;
    inbox_.make_room(worker_.blocks(), kLeastRead);
    const IoResult result = stream_->read(inbox_.block.data() + inbox_.end, std::min(inbox_.room(), kReadSize));
    if (result.status == Io::again) {
      if (inbox_.empty()) inbox_.drop();
      return out;
    }
    if (result.status != Io::ok) {
      out.status = BodyStatus::gone;
      return out;
    }
    out.wire += result.bytes;
    inbox_.end += static_cast<std::uint32_t>(result.bytes);
  }
}

bool H1Connection::departed() {
  if (!stream_ || stream_->closed()) return true;
  if (stream_->hangup()) return true;
  if (stream_->tls() == nullptr || !stream_->readable()) return false;
  const IoResult result = stream_->peek();
  return result.status == Io::eof || result.status == Io::error;
}

IoResult H1Connection::send(HeadOut& head, Pipe& down, bool last) {
  std::uint64_t sent = 0;
  stream_->transport().more = last;
  return send_all(*stream_, head, down, sent);
}

// What the socket took and the peer's machine has not acknowledged, plus what still waits as ciphertext.
std::uint64_t H1Connection::undelivered() const {
  if (!stream_ || stream_->closed()) return 0;
  int queued = 0;
  if (::ioctl(stream_->fd(), SIOCOUTQ, &queued) != 0 || queued < 0) queued = 0;
  const std::size_t waiting = stream_->tls() != nullptr ? stream_->tls()->pending_bytes() : 0;
  return static_cast<std::uint64_t>(queued) + waiting;
}

bool H1Connection::covers_host(std::string_view host) {
  if (!tls_) return true;
  const std::uint64_t key = std::hash<std::string_view>{}(host) | 1;
  if (key == approved_host_) return true;
  if (!tls_->covers(facts_.server_name, host)) return false;
  approved_host_ = key;
  return true;
}

Ref<Stream> H1Connection::take_stream(Inbox& surplus) {
  surplus = std::move(inbox_);
  inbox_ = Inbox{};
  stream_->set_owner(nullptr);
  handed_over_ = true;
  return std::move(stream_);
}

}  // namespace understudy::net
