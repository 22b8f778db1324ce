#include "proxy/net/upstream_connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstring>

#include "proxy/net/socket.hpp"
#include "proxy/net/worker.hpp"

namespace understudy::net {

using health::Cause;

void HeadOut::secure(BlockPool& pool) {
  if (pending.empty()) {
    block.reset();
    return;
  }
  if (block) return;
  assert(pending.size() <= kBlockSize);
  block = pool.take();
  std::memcpy(block.data(), pending.data(), pending.size());
  pending = {block.data(), pending.size()};
}

IoResult send_all(Stream& stream, HeadOut& head, Pipe& pipe, std::uint64_t& sent) {
  constexpr int kParts = 26;
  IoResult result{Io::ok, 0, 0};
  while (!head.empty() || !pipe.drained()) {
    if (!stream.writable() && !stream.tls()) return {Io::again, 0, 0};
    iovec parts[kParts];
    int n = 0;
    if (!head.empty()) {
      parts[n].iov_base = const_cast<char*>(head.pending.data());
      parts[n].iov_len = head.pending.size();
      ++n;
    }
    n += pipe.gather(parts + n, kParts - n);
    result = stream.write(parts, n);
    if (result.status != Io::ok) return result;
    sent += result.bytes;
    std::size_t rest = result.bytes;
    const std::size_t of_head = std::min(rest, head.pending.size());
    head.pending.remove_prefix(of_head);
    rest -= of_head;
    if (rest > 0) pipe.sent(rest);
    if (!stream.writable() && !head.empty()) return {Io::again, result.bytes, 0};
  }
  if (stream.pending_output()) return stream.flush();
  return result;
}

Cause UpstreamConnection::dial(const config::SocketAddress& address, const std::shared_ptr<const TlsClient>& tls,
                               const std::string& server_name, UpstreamUser* user) {
  user_ = user;
  int error = 0;
  const int fd = connect_socket(address, error);
  if (fd < 0) {
    state_ = State::closed;
    return cause_of_connect_error(error);
  }
  stream_ = make_ref<Stream>(worker_.reactor(), fd);
  if (stream_->start(this) != 0) {
    close();
    return Cause::own_error;
  }
  if (tls) {
    tls_ = tls;
    stream_->start_tls(std::make_unique<TlsSession>(*tls, tls->server_name().empty() ? server_name : tls->server_name(),
                                                    worker_.blocks()));
  }
  state_ = State::connecting;
  return Cause::none;
}

UpstreamConnection::State UpstreamConnection::advance(Cause& cause, std::string& why) {
  if (state_ == State::connecting) {
    if (!stream_->writable() && !stream_->hangup()) return state_;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(stream_->fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      cause = cause_of_connect_error(error);
      why = std::strerror(error);
      close();
      return state_;
    }
    if (!stream_->writable()) return state_;
    state_ = stream_->tls() ? State::handshaking : State::open;
  }
  if (state_ == State::handshaking) {
    const IoResult result = stream_->tls()->handshake(stream_->transport());
    if (result.status == Io::ok) {
      state_ = State::open;
    } else if (result.status != Io::again) {
      cause = Cause::tls_failed;
      why = stream_->tls()->why();
      worker_.counters().upstream_tls_failed.add();
      close();
    }
  }
  return state_;
}

Ref<Stream> UpstreamConnection::take_stream() {
  user_ = nullptr;
  state_ = State::closed;
  Ref<Stream> stream = std::move(stream_);
  stream->set_owner(nullptr);
  worker_.reactor().wheel().cancel(*this);
  return stream;
}

void UpstreamConnection::close(bool reset) {
  state_ = State::closed;
  user_ = nullptr;
  inbox_.drop();
  if (armed()) worker_.reactor().wheel().cancel(*this);
  if (stream_) {
    stream_->close(reset);
    stream_.reset();
  }
}

void UpstreamConnection::on_io() {
  if (user_) {
    user_->on_upstream_io();
    return;
  }
  // Idle. Being writable again is no news; anything to read is (FIN, RST, surplus bytes).
  if (!IdleHook::linked()) return;
  if (stream_->readable() || stream_->hangup()) {
    if (stream_->peek().status == Io::again && !stream_->hangup()) return;
    worker_.forget_idle(*this);
  }
}

void UpstreamConnection::on_timer(TimePoint now) {
  if (!IdleHook::linked()) return;  // in use: set anew when it becomes idle
  (void)now;
  worker_.forget_idle(*this);
}

Ref<UpstreamConnection> UpstreamPool::borrow(TimePoint now, bool careful) {
  while (UpstreamConnection* candidate = idle_.back()) {
    Ref<UpstreamConnection> connection(candidate);
    remove(*candidate);
    Stream& stream = candidate->stream();
    const bool stale = stream.hangup() || stream.readable();
    const bool check = careful || now - candidate->idle_since > std::chrono::seconds(1);
    if (!stale && (!check || stream.peek().status == Io::again)) return connection;
    candidate->close();
  }
  return {};
}

void UpstreamPool::put(UpstreamConnection& connection, TimePoint now) {
  connection.retain();
  connection.user_ = nullptr;
  connection.idle_since = now;
  connection.inbox_.drop();
  connection.parser_.reset();
  idle_.push_back(connection);
  ++size_;
}

void UpstreamPool::remove(UpstreamConnection& connection) {
  if (!connection.IdleHook::linked()) return;
  connection.IdleHook::unlink();
  --size_;
  connection.release();
}

void UpstreamPool::trim(std::size_t keep) {
  while (size_ > keep) {
    Ref<UpstreamConnection> oldest(idle_.front());
    remove(*oldest);
    oldest->close();
  }
}

void UpstreamPool::close_all() { trim(0); }

}  // namespace understudy::net
