// Makes a WebSocket's handshake again, at another endpoint, for a tunnel that lost its own: one attempt at a time, admitted like
// the opening of any other. It says what became of the attempt; when to make the next one is exchange::Parking's to say.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/net/upstream_connection.hpp"
#include "proxy/net/worker.hpp"

namespace understudy::net {

// What is kept of a handshake so that it can be made again.
struct Handshake {
  static constexpr std::size_t kMost = kBlockSize - 1024;  // of the head; our own fields go behind it
  std::string head;      // as it went to the endpoint, without Understudy-Epoch and without the empty line
  std::string key;       // its Sec-WebSocket-Key
  std::string protocol;  // the subprotocol that was chosen
  std::string id;        // of the request
  std::uint64_t hash = 0;
  std::optional<std::uint64_t> sticky;
  std::uint64_t client = 0;  // stands for its address where turns are taken
};

class Reopening final : public UpstreamUser, public OpeningWaiter {
public:
  enum class State : std::uint8_t {
    idle,     // no attempt is under way
    queued,   // waits for its turn
    dialing,  // until the handshake is sent
    asking,
    // Results; the attempt is over.
    opened,   // take() it
    failed,   // the endpoint could not be reached, did not answer, answered 5xx or no valid answer
    nobody,   // no endpoint is available, or there is no place to wait
    refused,  // for good: any other status
    protocol  // it chose another subprotocol
  };
  struct Opened {
    Ref<Stream> stream;
    Inbox inbox;  // what came behind the 101
    health::EndpointId endpoint;
    std::shared_ptr<health::SharedLoad> load;
    std::string label;
    std::uint32_t tier = 0;
    std::uint64_t epoch = 0;
    std::chrono::nanoseconds took{};
  };

  // `owner` is marked ready when there is something to look at.
  Reopening(Worker& worker, Ready& owner, Handshake handshake)
      : worker_(worker), owner_(owner), handshake_(std::move(handshake)) {}
  ~Reopening() { abandon(); }

  // Forgets who was tried; `lost` is the last one to be asked.
  void restart(health::EndpointId lost);
  // One attempt, the `attempt`th, which may take until `limit`.
  State begin(const std::string& pool, std::string_view reason, std::uint32_t attempt, TimePoint limit, TimePoint now);
  // Goes on as far as it can.
  State step(TimePoint now);
  // A result was seen to.
  void rest() { state_ = State::idle; }
  Opened take();
  void abandon();
  // A new view: an endpoint that is ill by now is not waited for.
  void on_view(TimePoint now);
  State state() const { return state_; }
  TimePoint next_deadline() const;
  const Handshake& handshake() const { return handshake_; }

private:
  struct Attempt {
    Ref<UpstreamConnection> connection;
    SnapshotRef snapshot;  // keeps `endpoint` alive
    const health::EndpointView* endpoint = nullptr;
    std::shared_ptr<SharedOpenings> desk;
    std::string pool;
    std::uint32_t max_header = 0;
    std::uint32_t tier = 0;
    std::uint64_t epoch = 0;
    HeadOut head;
    TimePoint began{}, until{}, sent_at{};
    std::uint64_t fault = 0;                             // of a live drill, that it met; 0: none
    TimePoint kept_until{};                              // by that, its answer is not looked at before
    health::Cause silence = health::Cause::tcp_timeout;  // what it comes to when nothing was dialled
    std::chrono::nanoseconds answer_limit{};
    bool unanswered = false;
    std::uint32_t informational = 0;
  };
  enum class Ended : std::uint8_t { opened, failed, abandoned };

  void on_upstream_io() override { worker_.reactor().mark_ready(owner_); }
  void on_opening_turn(bool its_turn, TimePoint now) override;
  State pick(TimePoint now);
  void start(Picked picked, const PoolPlan& pool, TimePoint now);
  State dial(TimePoint now);
  std::optional<State> meet_fault(TimePoint now);
  State ask(TimePoint now);
  State on_head(const http::ResponseHead& response, TimePoint now);
  State fail(health::Cause cause, TimePoint now);
  void put_down(Ended how, TimePoint now);
  void finish(Ended how, TimePoint now);
  const PoolPlan* pool_plan() const;

  Worker& worker_;
  Ready& owner_;
  Handshake handshake_;
  State state_ = State::idle;
  std::string pool_, reason_;
  std::uint32_t number_ = 0;
  TimePoint limit_{};
  std::vector<health::EndpointId> tried_;
  Openings::Place place_;
  Attempt attempt_;
};

}  // namespace understudy::net
