// Builds the head that is forwarded: from the validated model, with exactly one framing, hop-by-hop fields removed before
// ours are set (security rules §3, operators' habits §2.11). Pure: everything it needs is handed in.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/address.hpp"
#include "config/model.hpp"
#include "proxy/http/message.hpp"

namespace understudy::http {

// Marks a copy of a real request (failover.mirror). Nobody else may: it is dropped from what clients send.
inline constexpr std::string_view kMirrorName = "Understudy-Mirror";

// A fixed output area. append() past the end sets overflow and writes nothing more.
struct Out {
  char* data = nullptr;
  std::size_t capacity = 0;
  std::size_t size = 0;
  bool overflow = false;
  void append(std::string_view s) {
    if (s.size() > capacity - size) {
      overflow = true;
      return;
    }
    std::memcpy(data + size, s.data(), s.size());
    size += s.size();
  }
  std::string_view view() const { return {data, size}; }
};

// Who the client is, after trusted_proxies were walked from the right to the first untrusted hop.
struct ClientIdentity {
  config::SocketAddress address;  // what X-Real-IP, hashing, limits and logs use
  bool via_trusted = false;       // peer is in trusted_proxies: forwarding fields were appended, not replaced
};
ClientIdentity identify_client(const config::SocketAddress& peer, const RequestHead& head, const char* base,
                               std::span<const config::Cidr> trusted);

// A request id taken from a trusted peer if [A-Za-z0-9._-]{8,128}; else empty and the caller makes one.
std::string_view acceptable_request_id(const RequestHead& head, const char* base, bool trusted);
// UUIDv7 text (36 bytes) from a Unix time in ms and 10 random bytes, both handed in.
void write_uuid7(char out[36], std::uint64_t unix_ms, const std::uint8_t random[10]);
// Valid W3C traceparent of the request with a new span id put in; or a fresh one. Writes 55 bytes.
void write_traceparent(char out[55], std::string_view incoming, const std::uint8_t random[24]);

struct RequestRewrite {
  std::string_view peer_ip;         // direct peer, for X-Forwarded-For
  std::string_view client_ip;       // ClientIdentity::address
  bool trusted = false;             // append to the incoming fields instead of replacing them
  bool tls = false;                 // X-Forwarded-Proto
  std::uint16_t listener_port = 0;  // X-Forwarded-Port
  std::string_view request_id;
  std::string_view traceparent;
  std::string_view strip_prefix, add_prefix;
  std::span<const config::HeaderRule> rules;
  std::uint64_t epoch = 0;  // Understudy-Epoch when send_epoch
  bool send_epoch = false;
  bool websocket = false;  // keep the upgrade: emits Connection: Upgrade, Upgrade: websocket, Sec-WebSocket-*
  bool drop_websocket_extensions = false;
  std::string_view default_host;  // Host for an HTTP/1.0 request that named none (the endpoint's own)
};
// HTTP/1.1 always; Host kept; length forwarded canonically or chunked; Expect and TE removed; no Connection field for
// plain requests (keep-alive is 1.1's default). Returns false on overflow.
bool write_request(Out& out, const RequestHead& head, const char* base, const RequestRewrite& rewrite);

struct ResponseRewrite {
  std::uint8_t client_minor = 1;    // 1.0 clients get no chunked: the caller chose until_close then
  bool close = false;               // Connection: close
  Framing framing = Framing::none;  // as the caller will send it
  std::uint64_t content_length = 0;
  bool keep_length = false;     // HEAD/304: length describes, frames nothing
  std::string_view request_id;  // X-Request-Id, "" to leave out
  std::string_view set_cookie;  // sticky cookie, whole value; "" none
  std::span<const config::HeaderRule> rules;
  bool websocket = false;  // 101: Connection: Upgrade, Upgrade: websocket, Sec-WebSocket-* kept
};
bool write_response(Out& out, const ResponseHead& head, const char* base, const ResponseRewrite& rewrite);
// 1xx other than 101, passed on.
bool write_informational(Out& out, const ResponseHead& head, const char* base);

// Our own answers. Body in JSON when Accept prefers it, else HTML; small, no version string, Cache-Control: no-store.
struct OwnAnswer {
  std::uint16_t status = 500;
  std::string_view reason;    // machine word, "no_available_endpoint"; goes to JSON
  std::string_view sentence;  // for people; escaped here
  std::string_view request_id;
  std::uint32_t retry_after = 0;        // seconds; 0 none
  std::string_view location;            // redirects; CR, LF and controls are percent-encoded here
  std::string_view content_type, body;  // fixed responses; when content_type is set, body is sent as it is
  std::string_view allow;               // 405
  bool close = false;
  bool head_only = false;  // answer to HEAD
  std::span<const config::HeaderRule> rules;
};
bool write_answer(Out& out, const OwnAnswer& answer, std::string_view accept);

std::string_view reason_phrase(std::uint16_t status);

// RFC 6455 §4.2.2: base64(SHA1(key + GUID)), 28 characters. SHA-1 is ours here because pure code links no OpenSSL.
void websocket_accept(char out[28], std::string_view key);
// The 101's Sec-WebSocket-Accept is right, and the chosen subprotocol was offered.
bool websocket_answer_valid(const ResponseHead& response, const char* response_base, std::string_view key,
                            std::string_view offered_protocols);

}  // namespace understudy::http
