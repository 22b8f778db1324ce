// One TLS connection as a state machine that is driven by readiness: every call does what can be done now and
// says what the socket must become before the next one.
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "config/address.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/net/tls_pipe.hpp"

namespace understudy::net {
namespace {

constexpr std::size_t kMaxPending = 256 * 1024;  // ciphertext that write() lets wait
constexpr std::size_t kRecord = 16 * 1024;       // plaintext of one record (RFC 8446 §5.1)

// Walks over the caller's buffers in pieces of one record. Small pieces are joined, so that a head and the
// first bytes of its body make one record; large ones are encrypted from where they lie.
class Pieces {
public:
  Pieces(const iovec* parts, int count) : part_(parts), end_(parts + count) { skip_empty(); }
  bool empty() const { return part_ == end_; }

  // Valid until advance(); `room` holds a record.
  std::string_view next(char* room) {
    const std::string_view here = rest_of_part();
    if (here.size() >= kRecord || part_ + 1 == end_) return here.substr(0, kRecord);
    std::size_t filled = 0;
    std::size_t offset = offset_;
    for (const iovec* part = part_; part != end_ && filled < kRecord; ++part, offset = 0) {
      const std::size_t n = std::min(part->iov_len - offset, kRecord - filled);
      if (n == 0) continue;
      std::memcpy(room + filled, static_cast<const char*>(part->iov_base) + offset, n);
      filled += n;
    }
    return {room, filled};
  }
  void advance(std::size_t n) {
    while (n > 0) {
      const std::size_t step = std::min(n, part_->iov_len - offset_);
      offset_ += step;
      n -= step;
      skip_empty();
    }
  }

private:
  std::string_view rest_of_part() const {
    return {static_cast<const char*>(part_->iov_base) + offset_, part_->iov_len - offset_};
  }
  void skip_empty() {
    for (; part_ != end_ && offset_ == part_->iov_len; ++part_) offset_ = 0;
  }

  const iovec* part_;
  const iovec* end_;
  std::size_t offset_ = 0;
};

// What OpenSSL found wrong, in the words of someone who runs a proxy.
std::string failure_words(bool server) {
  const unsigned long error = ERR_peek_error();
  const int reason = ERR_GET_REASON(error);
  if (ERR_GET_LIB(error) == ERR_LIB_SSL) {
    if (reason >= SSL_AD_REASON_OFFSET) {
      ERR_clear_error();
      return std::string("the peer sent the alert '") + SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET) + "'";
    }
    switch (reason) {
      case SSL_R_HTTP_REQUEST: return "the client speaks plain HTTP to a TLS port";
      case SSL_R_WRONG_VERSION_NUMBER:
        return server ? "the client does not speak TLS" : "the endpoint does not speak TLS";
      case SSL_R_UNSUPPORTED_PROTOCOL: return "no TLS version in common (1.2 and 1.3 are spoken here)";
      case SSL_R_NO_SHARED_CIPHER: return "no cipher in common";
      case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return "the client sent no certificate, and this listener requires one";
      default: break;
    }
  }
  return openssl_words("unknown reason");
}

// Before each call whose failure SSL_get_error() is to explain. The queue is nearly always empty, and looking is cheaper.
void clear_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

struct TlsSession::State {
  enum class End : std::uint8_t { open, closed, truncated, failed };  // of the peer's direction

  std::shared_ptr<const void> owner;  // what contexts and callbacks refer to; goes last
  SessionNotes notes;
  CipherPipe pipe;
  SslPtr ssl;
  bool server = false;
  bool done = false;  // handshake
  bool verify_name_missing = false;
  bool end_reported = true;  // false: read() returned data first and owes its caller the end
  bool wrote = false;
  End end = End::open;
  int error = 0;                      // errno of End::failed
  std::uint64_t first_record_at = 0;  // where application data begin in the output, once `wrote`
  std::string why;

  State(std::shared_ptr<const void> keep, SSL_CTX* context, BlockPool& pool);
  ~State();

  IoResult ended();
  IoResult fail(Transport& transport, int number, std::string words);
  IoResult after_stop(Transport& transport, int result, bool mid_handshake);
  IoResult handshake(Transport& transport);
  IoResult read(Transport& transport, char* data, std::size_t size);
  IoResult peek(Transport& transport);
  IoResult write(Transport& transport, const iovec* parts, int count);
  bool encrypt(Pieces& pieces, std::size_t& taken);
  IoResult flush(Transport& transport);
  void close(Transport& transport);
  void prepare_client(const ClientContext& client, const std::string& endpoint_host);
};

TlsSession::State::State(std::shared_ptr<const void> keep, SSL_CTX* context, BlockPool& pool)
    : owner(std::move(keep)), pipe(pool), ssl(SSL_new(context)) {
  if (!ssl) throw std::bad_alloc();
  notes.pipe = &pipe;
  attach_notes(ssl.get(), &notes);
  BIO* bio = pipe.new_bio();
  if (bio == nullptr) throw std::bad_alloc();
  SSL_set_bio(ssl.get(), bio, bio);
  SSL_set_msg_callback(ssl.get(), on_message);
}

TlsSession::State::~State() {
  // Otherwise OpenSSL takes a connection that we just close for a broken one and spoils its session for
  // later.
  if (end != End::failed) SSL_set_shutdown(ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

IoResult TlsSession::State::ended() {
  end_reported = true;
  if (end == End::failed) return {Io::error, 0, error};
  return {Io::eof, 0, 0};
}

// Ends the session for good. An alert that OpenSSL prepared still leaves, if the socket takes it now.
IoResult TlsSession::State::fail(Transport& transport, int number, std::string words) {
  end = End::failed;
  error = number;
  why = std::move(words);
  clear_errors();
  pipe.flush(transport);
  pipe.drop_output();
  return ended();
}

// After an SSL call that did not succeed: waiting, at the end, or broken?
IoResult TlsSession::State::after_stop(Transport& transport, int result, bool mid_handshake) {
  const std::string during = mid_handshake ? " during the TLS handshake" : "";
  const int kind = SSL_get_error(ssl.get(), result);
  if (notes.key_update_flood) return fail(transport, EPROTO, "more than 32 key updates from the peer within a minute");
  if (pipe.exhausted()) return fail(transport, ENOBUFS, "the peer provokes TLS answers and does not read them");
  if (kind == SSL_ERROR_WANT_READ) {
    if (pipe.receive_error() != 0) {
      return fail(transport, pipe.receive_error(), std::strerror(pipe.receive_error()) + during);
    }
    if (!pipe.eof()) return {Io::again, 0, 0};
    if (mid_handshake) return fail(transport, EPROTO, "the peer closed the connection" + during);
    end = End::truncated;
    return ended();
  }
  if (kind == SSL_ERROR_ZERO_RETURN) {
    if (mid_handshake) return fail(transport, EPROTO, "the peer closed the connection" + during);
    end = End::closed;
    return ended();
  }
  const std::string opening = mid_handshake ? "TLS handshake failed: " : "TLS failed: ";
  const bool refused = !notes.refusal.empty();
  return fail(transport, EPROTO, refused ? notes.refusal : opening + failure_words(server));
}

IoResult TlsSession::State::handshake(Transport& transport) {
  if (done) return {Io::ok, 0, 0};
  if (end != End::open) return ended();
  if (verify_name_missing) {
    return fail(transport, EPROTO, "no name to verify the upstream certificate against; set tls.server_name");
  }
  const CipherPipe::Attach attach(pipe, transport);
  clear_errors();
  const int result = SSL_do_handshake(ssl.get());
  if (result != 1) {
    const IoResult stop = after_stop(transport, result, true);
    if (stop.status != Io::again) return stop;
  }
  const IoResult sent = pipe.flush(transport);
  if (sent.status == Io::error) {
    return fail(transport, sent.error, std::string(std::strerror(sent.error)) + " during the TLS handshake");
  }
  if (result != 1) return {Io::again, 0, 0};
  done = true;
  return {Io::ok, 0, 0};
}

IoResult TlsSession::State::read(Transport& transport, char* data, std::size_t size) {
  if (end != End::open) return ended();
  if (!done) {
    const IoResult shake = handshake(transport);
    if (shake.status != Io::ok) return shake;
  }
  const CipherPipe::Attach attach(pipe, transport);
  std::size_t filled = 0;
  while (filled < size) {
    clear_errors();
    std::size_t n = 0;
    const int result = SSL_read_ex(ssl.get(), data + filled, size - filled, &n);
    if (result == 1) {
      filled += n;
      pipe.hold();  // one recv is enough for one call
      if (!pipe.has_input() && SSL_pending(ssl.get()) == 0) break;
      continue;
    }
    const IoResult stop = after_stop(transport, result, false);
    if (filled == 0) {
      if (stop.status == Io::again) pipe.flush(transport);  // an alert may be on its way
      return stop;
    }
    end_reported = stop.status == Io::again;
    break;
  }
  return {Io::ok, filled, 0};
}

IoResult TlsSession::State::peek(Transport& transport) {
  if (end != End::open) return ended();
  if (!done) {
    const IoResult shake = handshake(transport);
    if (shake.status != Io::ok) return shake;
  }
  const CipherPipe::Attach attach(pipe, transport);
  clear_errors();
  char byte = 0;
  std::size_t n = 0;
  const int result = SSL_peek_ex(ssl.get(), &byte, 1, &n);
  if (result == 1) return {Io::ok, n, 0};
  const IoResult stop = after_stop(transport, result, false);
  if (stop.status == Io::again) pipe.flush(transport);
  return stop;
}

// Fills the pipe up to its mark. false: OpenSSL refused.
bool TlsSession::State::encrypt(Pieces& pieces, std::size_t& taken) {
  std::array<char, kRecord> room;
  while (!pieces.empty() && pipe.pending() < kMaxPending) {
    const std::string_view piece = pieces.next(room.data());
    const std::uint64_t before = pipe.appended();
    clear_errors();
    std::size_t n = 0;
    if (SSL_write_ex(ssl.get(), piece.data(), piece.size(), &n) != 1) return false;
    if (!wrote) {
      wrote = true;
      first_record_at = before;
    }
    pieces.advance(n);
    taken += n;
  }
  return true;
}

IoResult TlsSession::State::write(Transport& transport, const iovec* parts, int count) {
  if (end == End::failed) return {Io::error, 0, error};
  if (!done) {
    const IoResult shake = handshake(transport);
    if (shake.status != Io::ok) return shake;
  }
  if (pipe.send_error() != 0) return {Io::error, 0, pipe.send_error()};
  if ((SSL_get_shutdown(ssl.get()) & SSL_SENT_SHUTDOWN) != 0) return {Io::error, 0, EPIPE};
  Pieces pieces(parts, count);
  const bool nothing = pieces.empty();
  std::size_t taken = 0;
  for (;;) {
    if (!encrypt(pieces, taken)) {
      const IoResult stop = after_stop(transport, 0, false);
      if (stop.status != Io::again) return stop;
    }
    const IoResult sent = flush(transport);
    if (sent.status == Io::error) return sent;
    if (sent.status == Io::again || pieces.empty()) break;
  }
  if (taken > 0 || nothing) return {Io::ok, taken, 0};
  return {Io::again, 0, 0};
}

IoResult TlsSession::State::flush(Transport& transport) {
  const IoResult sent = pipe.flush(transport);
  if (sent.status == Io::error && why.empty()) why = std::strerror(sent.error);
  return sent;
}

void TlsSession::State::close(Transport& transport) {
  if (!done || end == End::failed || pipe.send_error() != 0) return;
  if ((SSL_get_shutdown(ssl.get()) & SSL_SENT_SHUTDOWN) == 0) {
    clear_errors();
    SSL_shutdown(ssl.get());
    clear_errors();
  }
  flush(transport);
}

void TlsSession::State::prepare_client(const ClientContext& client, const std::string& endpoint_host) {
  notes.wanted_name = client.server_name.empty() ? endpoint_host : client.server_name;
  notes.session_key = endpoint_host;
  SSL_set_connect_state(ssl.get());
  const std::string& name = notes.wanted_name;
  const bool address = config::parse_ip(name).has_value();
  if (!name.empty() && !address && SSL_set_tlsext_host_name(ssl.get(), name.c_str()) != 1) {
    verify_name_missing = true;  // longer than a host name may be
  }
  if (client.insecure) return;
  SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const int good = address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), name.c_str())
                           : SSL_set1_host(ssl.get(), name.c_str());
  if (name.empty() || good != 1) verify_name_missing = true;
}

TlsSession::TlsSession(const TlsServer& server, BlockPool& pool) {
  const std::shared_ptr<ServerContext>& owner = server.state_->context;
  state_ = std::make_unique<State>(owner, server.context(), pool);
  state_->server = true;
  SSL_set_accept_state(state_->ssl.get());
}

TlsSession::TlsSession(const TlsClient& client, const std::string& endpoint_host, BlockPool& pool) {
  const std::shared_ptr<ClientContext>& owner = client.state_->context;
  state_ = std::make_unique<State>(owner, client.context(), pool);
  state_->prepare_client(*owner, endpoint_host);
  if (const SessionPtr session = owner->borrow(endpoint_host)) SSL_set_session(state_->ssl.get(), session.get());
}

TlsSession::~TlsSession() = default;

IoResult TlsSession::handshake(Transport& transport) { return state_->handshake(transport); }
bool TlsSession::handshake_done() const { return state_->done; }
bool TlsSession::started() const { return state_->pipe.received() > 0; }

IoResult TlsSession::read(Transport& transport, void* data, std::size_t size) {
  return state_->read(transport, static_cast<char*>(data), size);
}
IoResult TlsSession::write(Transport& transport, const iovec* parts, int count) {
  return state_->write(transport, parts, count);
}
IoResult TlsSession::flush(Transport& transport) { return state_->flush(transport); }
bool TlsSession::pending_output() const { return state_->pipe.pending() > 0; }
std::size_t TlsSession::pending_bytes() const { return state_->pipe.pending(); }

bool TlsSession::buffered_input() const {
  if (state_->end != State::End::open) return !state_->end_reported;
  return state_->pipe.has_input() || SSL_pending(state_->ssl.get()) > 0;
}

IoResult TlsSession::peek(Transport& transport) { return state_->peek(transport); }
void TlsSession::send_close_notify(Transport& transport) { state_->close(transport); }

const std::string& TlsSession::why() const { return state_->why; }
bool TlsSession::verification_failed() const { return !state_->notes.refusal.empty(); }
std::string_view TlsSession::server_name() const { return state_->notes.server_name; }
std::string_view TlsSession::version() const { return SSL_get_version(state_->ssl.get()); }
bool TlsSession::resumed() const { return SSL_session_reused(state_->ssl.get()) == 1; }
bool TlsSession::key_update_flood() const { return state_->notes.key_update_flood; }
bool TlsSession::application_data_sent() const {
  return state_->wrote && state_->pipe.sent() > state_->first_record_at;
}
bool TlsSession::truncated() const { return state_->end == State::End::truncated; }

std::string_view TlsSession::alpn() const {
  const unsigned char* data = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(state_->ssl.get(), &data, &size);
  return {reinterpret_cast<const char*>(data), size};
}

bool TlsSession::client_certificate_verified() const {
  const SSL* ssl = state_->ssl.get();
  return state_->server && state_->done && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE &&
         SSL_get0_peer_certificate(ssl) != nullptr && SSL_get_verify_result(ssl) == X509_V_OK;
}

}  // namespace understudy::net
