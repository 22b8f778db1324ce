// Opaque bytes both ways after an upgrade. Holds two streams, no driver, no snapshot, and no buffer while nothing moves.
// Honours half-close: FIN from one side is passed on after its last byte, and the other direction goes on.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "proxy/exchange/frame_tracker.hpp"
#include "proxy/net/worker.hpp"

namespace understudy::net {

struct TunnelStart {
  Ref<Stream> client, upstream;
  Inbox from_client, from_upstream;  // bytes that came before the tunnel was open
  HeadOut head;                      // the 101, to be sent to the client first
  config::SocketAddress peer;
  health::EndpointId endpoint;
  std::shared_ptr<health::SharedLoad> load;
  config::MaybeDuration idle_timeout;
  std::chrono::nanoseconds opening{};
  std::string pool;
  std::shared_ptr<observe::PoolCounters> counters;
  std::shared_ptr<observe::ListenerCounters> listener;
  std::unique_ptr<observe::AccessRecord> record;  // null when the access log is off
};

struct TunnelHook : ListHook {};

class Tunnel final : public Object, public StreamOwner, public Timer, public TunnelHook, public Ready {
public:
  static void open(Worker& worker, TunnelStart start);

  const config::SocketAddress& peer() const { return peer_; }
  health::EndpointId endpoint() const { return endpoint_; }
  // Ends it: a Close frame towards both sides where a frame boundary allows, then FIN; cut after two seconds.
  void end(observe::TunnelEnd why, std::uint16_t code);
  void cut(observe::TunnelEnd why);
  // Its endpoint is gone from the configuration or its name: lives on until then, and is ended as drained.
  void leave_at(TimePoint when);

private:
  struct Direction {
    Inbox inbox;                     // read from one side, not yet written to the other
    exchange::FrameTracker frames;   // of what was passed on
    exchange::FrameTracker ignored;  // of what came after our Close frame
    bool eof = false;                // the reading side is done
    bool fin_sent = false;
    std::uint64_t bytes = 0;
  };
  Tunnel(Worker& worker, TunnelStart start);
  ~Tunnel() override;
  void on_io() override { turn(); }
  void on_ready() override { turn(); }
  void on_timer(TimePoint now) override;
  void turn();
  // Moves bytes; false when the tunnel was closed by it.
  bool pump(Stream& from, Stream& to, Direction& direction, bool from_client, bool& progress);
  // After our Close frame: reads `from` only to see it answer or leave.
  bool ignore(Stream& from, Direction& direction);
  bool flush_head();
  void write_close_frames();
  void close(observe::TunnelEnd why);
  void arm(TimePoint now);

  Worker& worker_;
  Ref<Stream> client_, upstream_;
  Direction up_, down_;
  HeadOut head_;
  config::SocketAddress peer_;
  health::EndpointId endpoint_;
  std::shared_ptr<health::SharedLoad> load_;
  config::MaybeDuration idle_timeout_;
  std::shared_ptr<observe::PoolCounters> counters_;
  std::shared_ptr<observe::ListenerCounters> listener_;
  std::unique_ptr<observe::AccessRecord> record_;
  TimePoint opened_{}, active_{};
  std::optional<observe::TunnelEnd> ending_;
  std::uint16_t close_code_ = 0;
  bool close_sent_down_ = false, close_sent_up_ = false;
  TimePoint cut_at_{};
  std::optional<TimePoint> leave_at_;
  bool dead_ = false;
};

}  // namespace understudy::net
