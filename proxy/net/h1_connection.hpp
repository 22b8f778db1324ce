// One downstream connection speaking HTTP/1.1: handshake, heads one after the other, one exchange at a time, and a proper end.
//
//   handshake ─► idle ─► exchange ─► idle …
//                 │          ├─► discard (rest of a body after our own answer) ─► idle
//                 └─ error ──┴─► linger (FIN sent, reading what still comes for a while) ─► closed
//
// An idle connection holds no block and no exchange.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "proxy/http/body.hpp"
#include "proxy/http/h1_parser.hpp"
#include "proxy/net/exchange_driver.hpp"
#include "proxy/net/requester.hpp"
#include "proxy/net/worker.hpp"

namespace understudy::net {

struct ConnectionHook : ListHook {};

class H1Connection final : public Object,
                           public StreamOwner,
                           public Requester,
                           public Timer,
                           public ConnectionHook,
                           public Ready {
public:
  H1Connection(Worker& worker, Ref<Stream> stream, const config::SocketAddress& peer, const std::string& listener,
               std::shared_ptr<const TlsServer> tls, const SnapshotRef& snapshot, std::uint32_t listener_index);
  ~H1Connection() override;

  void start();
  void turn();
  void close(bool reset = false);
  // Draining: idle ones may ask once more until `deadline`; active ones are told to close.
  void drain(TimePoint deadline);
  // Its listener is called otherwise from now on, and counts it there.
  const std::string& listener() const { return listener_; }
  void rename_listener(const std::string& name, std::shared_ptr<observe::ListenerCounters> counters);
  // Has answered, waits since then or longer, and nothing has come that it has not read yet.
  bool idle_since(TimePoint then);
  // Its stream lives on in a tunnel.
  bool handed_over() const { return handed_over_; }
  const config::SocketAddress& peer() const { return peer_; }
  observe::ListenerCounters& listener_counters() { return *counters_; }

private:
  enum class Mode : std::uint8_t { handshake, idle, exchange, discard, linger, closed };

  // Requester
  void begin_body(http::Framing framing, std::uint64_t length, std::uint64_t max_bytes) override;
  BodyResult read_body(Pipe& up, bool chunked, std::size_t limit, bool only_buffered) override;
  bool departed() override;
  IoResult send(HeadOut& head, Pipe& down, bool last) override;
  bool output_pending() const override { return stream_ && stream_->pending_output(); }
  std::uint64_t undelivered() const override;
  bool covers_host(std::string_view host) override;
  void wake() override { worker_.reactor().mark_ready(*this); }
  const ClientFacts& facts() const override { return facts_; }
  bool has_surplus() const override { return !inbox_.empty(); }
  Ref<Stream> take_stream(Inbox& surplus) override;

  void on_io() override { turn(); }
  void on_ready() override { turn(); }
  void on_timer(TimePoint now) override;

  bool others_first();
  bool step_handshake();
  bool step_idle(TimePoint now);
  bool step_exchange(TimePoint now);
  bool step_discard();
  bool step_linger();
  // Reads once into the inbox. False when nothing came; the connection may be closed by it.
  bool fill(std::size_t least);
  void begin_exchange(TimePoint now);
  void refuse(http::ParseError error, TimePoint now);
  void refuse_busy(const http::RequestHead* request);
  // The answer to what gets no exchange. `request` where its head was understood, to answer in the form that it accepts.
  void send_refusal(http::OwnAnswer own, const http::RequestHead* request, observe::Term term, TimePoint now);
  void after_exchange(TimePoint now);
  void linger(TimePoint now);
  void arm();
  void count_timeout(observe::Limit limit);
  bool find_listener();

  Worker& worker_;
  Ref<Stream> stream_;
  std::shared_ptr<const TlsServer> tls_;
  std::string listener_;
  std::shared_ptr<observe::ListenerCounters> counters_;
  config::SocketAddress peer_;
  ClientFacts facts_;
  std::string peer_ip_, client_ip_;
  Inbox inbox_;
  http::RequestParser parser_;
  http::BodyDecoder body_;
  bool first_chunk_up_ = true;
  std::unique_ptr<Exchange> exchange_;
  std::uint64_t facts_generation_ = 0;  // generation for which facts_.listener was found
  std::shared_ptr<const config::Limits> limits_;
  config::Duration handshake_timeout_{5'000};
  std::uint64_t approved_host_ = 0;  // hash of the last host the certificate was found to cover
  Mode mode_ = Mode::idle;
  std::uint64_t requests_ = 0;
  TimePoint since_{};  // of the mode, or of the head's first byte
  bool head_begun_ = false;
  bool draining_ = false;
  bool in_turn_ = false;
  bool handed_over_ = false;
  bool last_request_ = false;  // the client said that no other follows
  bool counted_handshake_ = false;
  TimePoint drain_until_{};
  std::uint64_t discard_left_ = 0;
  HeadOut refusal_;  // a refused head's answer still on its way
};

}  // namespace understudy::net
