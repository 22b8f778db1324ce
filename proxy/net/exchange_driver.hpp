// Drives one exchange: owns its pipes, head copy and attempts, and does what exchange::State says. It keeps no phase of its
// own. Lives inside its requester, which calls step() once per turn; it never calls up but by wake().
//
// Of two attempts (hedging) each is stepped in its turn by exchanging the two: everything but the exchange itself knows only
// the current one.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "proxy/exchange/state.hpp"
#include "proxy/http/writer.hpp"
#include "proxy/net/reopening.hpp"
#include "proxy/net/requester.hpp"
#include "proxy/net/worker.hpp"

namespace understudy::net {

class Exchange final : public UpstreamUser, public OpeningWaiter, public WaitHook, public FaultHook {
public:
  // `head` stands in worker.scratch().request; `bytes` are the head's bytes, copied here.
  Exchange(Worker& worker, Requester& requester, std::string_view bytes, const SnapshotRef& snapshot);
  ~Exchange();
  // From a per-thread free list: no allocation per request in the steady state.
  static void* operator new(std::size_t size);
  static void operator delete(void* memory) noexcept;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // Routes and begins. Call once, right after the constructor.
  void begin(TimePoint now);
  // Moves what can move. True if anything did.
  bool step(TimePoint now);
  // The answer has been sent as far as it ever will be.
  bool finished() const { return finished_; }
  // After finished(): may the client's connection be used again? False also for answers that said close.
  bool keep_alive() const { return keep_alive_; }
  bool request_complete() const { return body_done_; }
  bool upgraded() const { return upgraded_; }
  // The answer broke off: the client must see an error, not an end.
  bool cut() const { return cut_; }
  std::optional<TimePoint> next_deadline() const;
  void on_deadline(TimePoint now);
  // The connection under it is going away.
  void abandon(TimePoint now);
  void begin_draining() { close_after_ = true; }

  // Called by the worker when a new snapshot came.
  void on_snapshot(TimePoint now);
  // What waits for the first byte of this endpoint may go elsewhere.
  void on_endpoint_lost(std::uint32_t slot, TimePoint now);
  // It waits to open a WebSocket, and its turn has come; or its place went to another client.
  void on_opening_turn(bool its_turn, TimePoint now) override;
  // Its WebSocket takes too long to open at this endpoint, and another opens them in time.
  void leave_slow_opening(std::uint32_t slot, TimePoint now);
  // It met a fault of a live drill, and those are no longer what they were.
  void on_faults(TimePoint now);
  const config::Limits& limits() const { return *limits_; }

private:
  struct Attempt {
    Ref<UpstreamConnection> connection;
    SnapshotRef snapshot;  // keeps `endpoint` alive
    const health::EndpointView* endpoint = nullptr;
    std::uint32_t slot = 0;
    std::uint32_t tier = 0;
    std::uint64_t epoch = 0;
    HeadOut head;
    bool head_written = false;
    bool upload_broken = false;
    bool sent = false;
    bool serving = false;               // at the serving tier, and not for our sake
    bool blocked = false;               // the endpoint does not take what is to be sent
    bool unanswered = false;            // counted so in the endpoint's load
    bool opening = false;               // has begun to open a WebSocket, says the desk
    std::optional<TimePoint> leave_at;  // a trial of who is slow to open: elsewhere then
    AwaitHook* awaiting = nullptr;      // one of hooks_, while it waits for its first byte
    TimePoint began{}, sent_at{};
    TimePoint answered_at{};  // its final head; a kept one is passed on later
    std::uint64_t fault = 0;  // of a live drill, that it met; 0: none
    TimePoint kept_until{};   // by that, its answer is not looked at before
    http::BodyDecoder body;
    bool body_done = false;
    bool keep_alive = false;
    std::uint32_t informational = 0;
  };

  void on_upstream_io() override { requester_.wake(); }

  // exchange_begin.cpp: routing, limits, local answers
  const http::RequestHead& head();
  const char* base() const { return large_head_ ? large_head_.get() : small_head_.data(); }
  void answer(const http::OwnAnswer& own, observe::Term term);
  void answer_end(exchange::End end);
  void refuse(http::ParseError error);
  void count_bad_body(http::ParseError error);
  bool route_request();
  void read_cookies();
  http::RequestRewrite rewrite();

  // exchange_attempt.cpp: picking, dialling, ending attempts
  void perform(const exchange::Actions& actions, TimePoint now);
  void pick(bool needs_token, TimePoint now);
  void limit_attempt(const Picked& picked);
  void start_attempt(Picked picked, TimePoint now);
  void attempt_connected(bool reused, TimePoint now);
  void drop_attempt();
  void drop_attempts();
  void no_longer_awaits();
  void stop_waiting();
  void note_queued(bool to_open);
  void report(health::Cause cause);
  void copy_for_mirror();
  void count_answered();
  void end_exchange(exchange::End end, bool recycle, TimePoint now);
  PickRequest pick_request() const;

  // exchange_hedge.cpp: two attempts
  void hedge(TimePoint now);
  void refuse_hedge(std::optional<observe::HedgeRefusal> why, TimePoint now);
  void exchange_attempts();
  void resume_other();
  void hold_head();
  void supersede_other(TimePoint now);
  void drop_other(health::Cause cause);
  void close_other(health::Cause cause);
  bool step_attempt(TimePoint now);
  void note_endpoint();
  void end_hedge(observe::HedgeResult result);

  // exchange_opening.cpp: the turns of those who open a WebSocket
  enum class OpeningEnd : std::uint8_t { opened, failed, abandoned };
  void wait_to_open(TimePoint now);
  void end_opening(OpeningEnd how, TimePoint now);
  bool open_again(std::uint16_t status, TimePoint now);
  void note_refused_opening(TimePoint now);

  // exchange_fault.cpp: live drills
  bool meet_fault(const Faults& faults, TimePoint now);
  bool has_header(const std::string& name, const std::string& value);
  void stall_by_fault(TimePoint now);
  void fail_by_fault(std::uint16_t status, TimePoint now);
  bool kept_by_fault(TimePoint now);

  // exchange_upload.cpp / exchange_download.cpp
  bool upload(TimePoint now);
  bool wants_body() const;
  void watch_upload(TimePoint now);
  bool send_upstream(TimePoint now);
  void await_first_byte();
  bool write_request_head();
  bool download(TimePoint now);
  bool read_response_head(TimePoint now);
  bool on_final_head(TimePoint now);
  bool pay_for_retry();  // a token of the budget; counts and tells when there is none
  bool pay_for_repetition();
  bool upgrade(const http::ResponseHead& response, TimePoint now);
  bool resumes() const { return route_->websocket.on_endpoint_loss == config::EndpointLoss::resume; }
  std::optional<Handshake> handshake(std::string_view protocol);
  void forward_informational(const http::ResponseHead& response);
  void write_response_head(const http::ResponseHead& response);
  bool read_response_body(TimePoint now);
  bool flush_down(TimePoint now);
  void put_down_head(std::string_view head);
  bool output_waits() const;
  void watch_download(TimePoint now);
  bool client_too_slow(TimePoint now);
  void upstream_failed(health::Cause cause, TimePoint now);
  void response_complete(TimePoint now);

  // exchange_log.cpp
  void finish_record(observe::Term term);
  void fill_record(observe::AccessRecord& record, observe::Term term);

  Worker& worker_;
  Requester& requester_;
  SnapshotRef plan_;  // the exchange's own: route and policy stay
  const config::Limits* limits_;
  const config::RouteConfig* route_ = nullptr;
  const config::PoolConfig* pool_ = nullptr;
  std::uint32_t route_index_ = 0;
  std::uint32_t pool_index_ = 0;
  std::uint64_t client_ = 0;  // hash of the client's address
  exchange::State state_;
  Attempt attempt_;
  std::optional<Attempt> other_;  // of two
  std::array<AwaitHook, 2> hooks_;
  observe::HedgeResult hedge_ = observe::HedgeResult::count;  // none, or not known yet
  bool hedgeable_ = false;
  bool hedging_ = false;        // its result is open
  bool hedge_refused_ = false;  // counted
  bool second_is_current_ = false;
  std::unique_ptr<MirrorSample> mirror_;  // of few requests: a copy for a standby
  Pipe up_, down_;
  HeadOut down_head_;
  std::array<char, 1024> small_head_;  // copy of the request head's bytes: no block is held while waiting
  std::unique_ptr<char[]> large_head_;
  std::uint32_t head_size_ = 0;
  http::Method method_ = http::Method::other;
  std::array<health::EndpointId, 8> tried_{};
  std::uint32_t tried_count_ = 0;
  std::uint64_t hash_ = 0;
  std::optional<std::uint64_t> sticky_;
  std::array<char, 128> request_id_;
  std::uint8_t request_id_size_ = 0;
  std::array<char, 55> traceparent_;
  // The client's pace. Only time in which we wait for it counts.
  TimePoint upload_progress_{}, upload_paused_at_{};
  std::chrono::nanoseconds upload_paused_{0};
  TimePoint download_since_{}, download_progress_{}, download_check_{};
  std::chrono::nanoseconds download_waited_{0};
  std::optional<std::int64_t> delivered_base_;  // bytes_out_ less undelivered, at the first wait
  std::int64_t delivered_ = 0;
  std::uint64_t body_in_ = 0, wire_in_ = 0, bytes_out_ = 0, body_out_ = 0;
  std::uint16_t status_ = 0;
  std::uint32_t informational_ = 0;  // interim answers passed on, over all attempts
  std::uint8_t minor_ = 1;
  http::Framing down_framing_ = http::Framing::none;
  std::uint32_t retry_after_ = 0;
  bool body_done_ = false;  // request body read whole
  bool chunked_up_ = false;
  bool expect_continue_ = false;  // the client waits for our 100
  bool websocket_ = false;
  bool keep_alive_ = true;
  bool close_after_ = false;  // answer says Connection: close
  bool first_chunk_down_ = true;
  bool response_done_ = false;  // nothing more will be put into down_
  bool finished_ = false;
  bool upgraded_ = false;
  bool cut_ = false;
  bool logged_ = false;
  bool waiting_ = false;  // for an endpoint, in the worker's list
  bool opening_waited_ = false;
  bool queued_ = false, opening_queued_ = false;  // was counted
  bool opening_left_ = false;  // an endpoint that was slow to open it; once, so that nobody is sent round
  observe::OpeningRefusal opening_refusal_ = observe::OpeningRefusal::late;
  Openings::Place opening_place_;
  bool upload_paused_now_ = false;
  bool download_waits_ = false;
  std::int64_t started_unix_us_ = 0;
  observe::Term term_ = observe::Term::ok;
  // The endpoint that answered (or was tried last), for the log; `last_snapshot_` keeps it alive.
  SnapshotRef last_snapshot_;
  const health::EndpointView* last_endpoint_ = nullptr;
  std::uint32_t last_tier_ = 0;
  std::uint64_t last_epoch_ = 0;
};

}  // namespace understudy::net
