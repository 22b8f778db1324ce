// One connection to an endpoint: dialled, borrowed by one exchange at a time, pooled while idle.
// While it is idle nothing is read on purpose: any event (FIN, surplus bytes) closes it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "health/types.hpp"
#include "proxy/http/body.hpp"
#include "proxy/http/h1_parser.hpp"
#include "proxy/net/pipe.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/net/wheel.hpp"

namespace understudy::net {

class Worker;

// Head bytes that go in front of a pipe: in the worker's scratch buffer at first, copied only if the socket does not take all.
struct HeadOut {
  std::string_view pending;
  BlockRef block;
  bool empty() const { return pending.empty(); }
  // Copies what is left out of the scratch buffer. Call before the turn ends.
  void secure(BlockPool& pool);
  void clear() {
    pending = {};
    block.reset();
  }
};
// One sendmsg of head and pipe; loops while the socket takes all. `sent` counts bytes taken.
IoResult send_all(Stream& stream, HeadOut& head, Pipe& pipe, std::uint64_t& sent);

// Who uses the connection now.
class UpstreamUser {
public:
  virtual void on_upstream_io() = 0;

protected:
  ~UpstreamUser() = default;
};

struct IdleHook : ListHook {};

class UpstreamConnection final : public Object, public StreamOwner, public Timer, public IdleHook {
public:
  UpstreamConnection(Worker& worker, health::EndpointId endpoint) : worker_(worker), endpoint_(endpoint) {}
  ~UpstreamConnection() override { close(); }

  enum class State : std::uint8_t { connecting, handshaking, open, closed };
  // Starts a non-blocking connect. On failure: cause and State::closed.
  health::Cause dial(const config::SocketAddress& address, const std::shared_ptr<const TlsClient>& tls,
                     const std::string& server_name, UpstreamUser* user);
  // Looks at what the socket says; call on every event until State::open. `cause` is set when it ends closed.
  State advance(health::Cause& cause, std::string& why);

  void borrow(UpstreamUser* user) { user_ = user; }
  void release_user() { user_ = nullptr; }
  // Moves the stream away (a tunnel takes it).
  Ref<Stream> take_stream();
  void close(bool reset = false);

  State state() const { return state_; }
  health::EndpointId endpoint() const { return endpoint_; }
  Stream& stream() { return *stream_; }
  bool has_stream() const { return static_cast<bool>(stream_); }
  Inbox& inbox() { return inbox_; }
  http::ResponseParser& parser() { return parser_; }
  std::uint64_t requests = 0;  // sent on this connection
  TimePoint idle_since{};

private:
  friend class UpstreamPool;
  void on_io() override;
  void on_timer(TimePoint now) override;

  Worker& worker_;
  health::EndpointId endpoint_;
  State state_ = State::connecting;
  UpstreamUser* user_ = nullptr;
  Ref<Stream> stream_;
  std::shared_ptr<const TlsClient> tls_;  // keeps the context alive
  Inbox inbox_;
  http::ResponseParser parser_;
};

// Idle connections of one worker to one endpoint, LIFO.
class UpstreamPool {
public:
  ~UpstreamPool() { close_all(); }
  // A usable one or null. Checked by a peek when idle for more than a second, or always when `careful`.
  Ref<UpstreamConnection> borrow(TimePoint now, bool careful);
  void put(UpstreamConnection& connection, TimePoint now);  // takes a reference
  void remove(UpstreamConnection& connection);              // gives it back
  void trim(std::size_t keep);                              // closes the oldest
  void close_all();
  std::size_t size() const { return size_; }
  health::EndpointId owner{};  // whose connections these are

private:
  List<UpstreamConnection, IdleHook> idle_;
  std::size_t size_ = 0;
};

}  // namespace understudy::net
