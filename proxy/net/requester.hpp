// The client's side of an exchange, as the exchange sees it: an HTTP/1.1 connection now, an HTTP/2 stream later.
// Calls go down and return results; a requester never calls its exchange from inside one of these.
#pragma once

#include <cstdint>
#include <string_view>

#include "config/address.hpp"
#include "proxy/http/message.hpp"
#include "proxy/net/pipe.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/net/upstream_connection.hpp"

namespace understudy::net {

enum class BodyStatus : std::uint8_t {
  more,  // not complete; nothing more to read now
  done,  // complete
  bad,   // malformed or too large: `error`
  gone   // the client closed or reset before the end
};
struct BodyResult {
  BodyStatus status = BodyStatus::more;
  http::ParseError error = http::ParseError::none;
  std::uint64_t bytes = 0;  // payload put into the pipe
  std::uint64_t wire = 0;   // bytes read from the client
};

// Facts of the downstream connection that requests are rewritten and logged with.
struct ClientFacts {
  config::SocketAddress peer;
  config::SocketAddress client;  // after trusted_proxies
  std::string_view peer_ip, client_ip;
  bool trusted = false;
  bool tls = false;
  std::string_view server_name;  // SNI
  std::uint16_t listener_port = 0;
  std::uint32_t listener = 0;  // index in the exchange's plan
};

class Requester {
public:
  // The head is understood; its body may be at most `max_bytes` long (UINT64_MAX: any).
  virtual void begin_body(http::Framing framing, std::uint64_t length, std::uint64_t max_bytes) = 0;
  // Moves request payload into `up` (with chunk framing when `chunked`), reading from the client while `up` holds less than
  // `limit` unsent bytes. With only_buffered nothing is read from the socket.
  virtual BodyResult read_body(Pipe& up, bool chunked, std::size_t limit, bool only_buffered) = 0;
  // The request is complete and nothing is expected from the client: has it left? Consumes nothing.
  virtual bool departed() = 0;
  // Sends head, then pipe. error: the client is gone. `last`: the connection ends with these bytes, FIN may go with them.
  virtual IoResult send(HeadOut& head, Pipe& down, bool last) = 0;
  virtual bool output_pending() const = 0;
  // Bytes sent that have not reached the client's machine yet: what it takes shows here long before the socket is writable.
  virtual std::uint64_t undelivered() const = 0;
  // The certificate chosen for this connection covers this host (true in clear text).
  virtual bool covers_host(std::string_view host) = 0;
  // Something happened on the upstream side: come back to the exchange soon.
  virtual void wake() = 0;
  virtual const ClientFacts& facts() const = 0;
  // Bytes the client sent behind the request (WebSocket: before the 101).
  virtual bool has_surplus() const = 0;
  // 101: hands over the connection with what is in its inbox.
  virtual Ref<Stream> take_stream(Inbox& surplus) = 0;

protected:
  ~Requester() = default;
};

}  // namespace understudy::net
