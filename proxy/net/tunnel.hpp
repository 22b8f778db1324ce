// Bytes both ways after an upgrade, as they are: frames are followed, never rewritten. Holds two streams, no driver, no snapshot,
// and no buffer while nothing moves. Honours half-close: FIN from one side is passed on after its last byte, and the other
// direction goes on.
//
//   open ──► leaving (the messages under way go to their end) ──► closing (our Close frames, then silence) ──► closed
//
// Where its route resumes tunnels, the loss of the endpoint does not end it: it is parked, and goes on with another one
// (resumption.hpp, tunnel_park.cpp).
//
// Law 8: it ends for a reason, with a Close frame at a boundary where that is possible.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/exchange/frame_tracker.hpp"
#include "proxy/net/resumption.hpp"
#include "proxy/net/worker.hpp"

namespace understudy::net {

static_assert(static_cast<std::size_t>(exchange::FrameError::count) <= observe::PoolCounters::kFrameErrors);

struct TunnelStart {
  Ref<Stream> client, upstream;
  Inbox from_client, from_upstream;  // bytes that came before the tunnel was open
  HeadOut head;                      // the 101, to be sent to the client first
  config::SocketAddress peer;
  health::EndpointId endpoint;
  std::shared_ptr<health::SharedLoad> load;
  std::shared_ptr<const TunnelPolicy> policy;
  exchange::FrameTracker::Reserved reserved = exchange::FrameTracker::Reserved::none;  // by the agreed extensions
  std::chrono::nanoseconds opening{};
  std::shared_ptr<observe::PoolCounters> counters;
  std::shared_ptr<observe::ListenerCounters> listener;
  std::unique_ptr<observe::AccessRecord> record;  // null when the access log is off
  std::optional<Handshake> handshake;             // where the route resumes tunnels
};

// A Close frame with a code and at most 123 bytes of text, written into `out`.
std::string_view close_frame(std::array<char, 131>& out, std::uint16_t code, std::string_view reason, bool masked);

struct TunnelHook : ListHook {};
struct DepartureHook : ListHook {};
class Departure;

class Tunnel final : public Object,
                     public StreamOwner,
                     public Timer,
                     public TunnelHook,
                     public DepartureHook,
                     public Ready {
public:
  static void open(Worker& worker, TunnelStart start);

  const config::SocketAddress& peer() const { return peer_; }
  health::EndpointId endpoint() const { return endpoint_; }
  const std::shared_ptr<const TunnelPolicy>& policy() const { return policy_; }
  // A newer plan's. Timeouts and the Close of a departure are the new ones, the limits on messages stay.
  void adopt(std::shared_ptr<const TunnelPolicy> policy);
  // Ends it: a Close frame towards both sides where a frame boundary allows, then FIN; cut after two seconds.
  void end(observe::TunnelEnd why, std::uint16_t code);
  // The same between two messages, as its route words it. What is not there yet at `until` is closed between two frames,
  // and then cut.
  void leave(observe::TunnelEnd why, TimePoint until);
  void cut(observe::TunnelEnd why);
  // Its endpoint is dead or disabled: parks it, or ends it with 1012.
  void lose_endpoint(observe::TunnelEnd why);
  // It has no endpoint and looks for one; endpoint() was the last.
  bool parked() const { return resume_ && !ending_ && resume_->stage == Resumption::Stage::parked; }
  // While it is parked: endpoints are no longer what they were.
  void on_view(TimePoint now);

  // The departure it waits in; null otherwise. The worker's business.
  Departure* departure = nullptr;
  observe::PoolCounters& counters() { return *counters_; }

private:
  struct Direction {
    explicit Direction(exchange::FrameTracker::Rules rules) : frames(rules) {}
    Inbox inbox;                     // read from one side, not yet written to the other
    std::string own;                 // the rest of a frame of ours that was not taken whole
    exchange::FrameTracker frames;   // of what was passed on
    exchange::FrameTracker ignored;  // of what came after our Close frame
    bool eof = false;                // the reading side is done
    bool fin_sent = false;
    bool close_sent = false;  // ours, or a Close of the peer was passed on
    bool faulty = false;      // invalid framing was counted
    std::uint64_t bytes = 0;
  };
  Tunnel(Worker& worker, TunnelStart start);
  ~Tunnel() override;
  void on_io() override { turn(); }
  void on_ready() override { turn(); }
  void on_timer(TimePoint now) override;
  void turn();

  // tunnel_pump.cpp. False when the tunnel was closed by it.
  bool pump(Stream& from, Stream& to, Direction& direction, bool from_client, bool& progress);
  bool pass_on(Stream& to, Direction& direction, bool from_client, bool& progress, bool& blocked);
  std::size_t passable(Direction& direction, bool from_client);
  bool ignore(Stream& from, Direction& direction);
  void broken(observe::TunnelEnd why);
  bool flush_head();
  bool step(bool& progress);

  // tunnel_park.cpp: where the route resumes tunnels.
  bool step_resumable(bool& progress);
  bool may_park() const;
  bool lose(observe::ParkReason reason);
  void not_parked(observe::NotParked why, observe::ParkReason reason, TimePoint now);
  void park(observe::ParkReason reason, TimePoint now);
  void count_risk();
  void note_passed_on(const char* data, std::size_t size, std::uint64_t messages);
  void note_heard();
  TimePoint endpoint_heard() const;
  std::size_t whole_frames(std::size_t size);
  bool catch_up(bool& progress);
  void answer_ping();
  bool begin_moving(observe::TunnelEnd why, TimePoint until);
  void part(TimePoint now);
  void look_for_endpoint(TimePoint now);
  void give_up(observe::ParkEnd how, observe::TunnelEnd why);
  void go_on(Reopening::Opened opened, TimePoint now);
  void stop_resuming();
  void publish_kept();

  // tunnel_words.cpp: the last words of an endpoint, and those of a client without one.
  enum class Cut : std::uint8_t { clean, torn, more };
  Cut cut_down(bool last_words, bool may_wait);
  void keep_rest(std::uint64_t risk, bool told);
  bool deliver(bool& progress);
  bool read_rest(std::size_t& budget, bool& progress, TimePoint now);
  void end_rest(bool heard_all, TimePoint now);
  void take_over(Inbox said);
  std::uint64_t unheard(Stream* from, const Inbox& before, exchange::FrameTracker frames);
  void drop_words();
  bool hold_client(bool& progress);
  bool client_is_done(TimePoint now);
  void go_deaf();
  void count_deaf();

  // Ending, tunnel.cpp
  void begin_ending(observe::TunnelEnd why, std::uint16_t code, std::string_view reason, TimePoint frame_ok,
                    TimePoint cut_at);
  bool may_close(const Direction& direction) const;
  bool close_is_due(const Direction& direction) const;
  void write_close_frames();
  bool write_frame(Stream& to, Direction& direction, std::string_view frame);
  void close(observe::TunnelEnd why);
  bool finished();
  void write_record(observe::TunnelEnd why);

  // What happens while it is open, tunnel.cpp
  struct Before;
  void account(const Before& before, TimePoint now);
  void note_closer();
  void ping(TimePoint now);
  TimePoint next_deadline() const;
  void arm();

  Worker& worker_;
  Ref<Stream> client_, upstream_;
  const bool strict_;
  Direction up_, down_;
  HeadOut head_;
  config::SocketAddress peer_;
  health::EndpointId endpoint_;
  std::shared_ptr<health::SharedLoad> load_;  // null while parked
  std::shared_ptr<const TunnelPolicy> policy_;
  std::shared_ptr<observe::PoolCounters> counters_;
  std::shared_ptr<observe::ListenerCounters> listener_;
  std::unique_ptr<observe::AccessRecord> record_;
  TimePoint opened_{}, active_{};
  TimePoint heard_{};                // from the client
  std::optional<TimePoint> pinged_;  // and heard nothing since
  observe::Closer closer_ = observe::Closer::none;
  std::uint16_t closed_code_ = 0;  // of the first Close frame
  std::optional<observe::TunnelEnd> ending_;
  bool closing_ = false;
  std::uint16_t close_code_ = 0;
  std::string_view close_reason_;  // inside policy_
  TimePoint frame_ok_{};           // until then only between messages
  TimePoint cut_at_{};
  bool dead_ = false;
  std::unique_ptr<Resumption> resume_;
};

}  // namespace understudy::net
