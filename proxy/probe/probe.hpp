// One probe under way: a coroutine that climbs the rungs (connect, TLS, request, answer, body), and one timer
// that ends it. Whoever comes first, coroutine or timer, reports; the other then finds `finished` and leaves.
// Cancelling is closing.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "health/types.hpp"
#include "proxy/http/body.hpp"
#include "proxy/http/message.hpp"
#include "proxy/probe/link.hpp"
#include "proxy/probe/prober.hpp"

namespace understudy::probe {

class Probe : public std::enable_shared_from_this<Probe> {
public:
  using Report = std::function<void(Probe&, health::ProbeResult)>;

  // `report` is called once, unless cancelled before.
  Probe(boost::asio::io_context& io, ProbeRequest request, Report report);

  void arm();     // sets the deadline; counts the wait in the queue too
  void begin();   // climbs
  void cancel();  // closes, reports nothing

private:
  enum class Rung : std::uint8_t { queue, connect, tls, answer, body };
  using Clock = std::chrono::steady_clock;

  // No temporary ever stands in a co_await expression: g++ 12 miscompiles some of them.
  static boost::asio::awaitable<void> run(std::shared_ptr<Probe> self);
  boost::asio::awaitable<bool> climb();  // false: finished already
  boost::asio::awaitable<bool> connect();
  boost::asio::awaitable<bool> shake_hands();
  boost::asio::awaitable<bool> flush();    // what was queued on the link
  boost::asio::awaitable<bool> receive();  // appends to buffer_; sets eof_
  boost::asio::awaitable<bool> wait(IoStep::Kind kind);
  boost::asio::awaitable<bool> read_head();
  bool answered_well();
  boost::asio::awaitable<bool> check_http();
  boost::asio::awaitable<bool> find_text();
  boost::asio::awaitable<bool> find_value();
  bool take_header();
  bool judge_body(const std::string& text);
  boost::asio::awaitable<bool> check_websocket();
  boost::asio::awaitable<bool> ask_agent();

  bool judge_status();
  enum class Search : std::uint8_t { found, absent, broken, more };
  Search search_body(std::string& text);  // decodes buffer_ onto text
  std::string http_request() const;
  std::string websocket_request(std::string_view key) const;
  std::string host_field() const;

  void on_deadline();
  // All return false, so that a step can `co_return fail(...)`.
  bool fail(health::Cause cause, const std::string& detail);
  bool fail_connect(int error, bool own_side);
  bool fail_io(const IoStep& step);
  bool succeed(const std::string& detail);
  void finish(health::Cause cause, const std::string& detail);
  health::Cause by_kind(health::Cause http, health::Cause websocket) const;
  std::string connected() const { return "connected to " + target_; }

  boost::asio::io_context& io_;
  ProbeRequest request_;
  Report report_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer pause_;  // between tries on a Unix socket whose backlog is full
  Link link_;
  std::string target_;  // for people
  Rung rung_ = Rung::queue;
  bool finished_ = false;
  bool eof_ = false;
  bool cut_ = false;       // eof_ was no orderly end
  bool answered_ = false;  // plaintext came
  Clock::time_point submitted_, began_;
  std::optional<Clock::time_point> asked_;  // the request is sent

  std::string buffer_;  // received, not yet understood
  std::size_t plain_received_ = 0;
  std::uint16_t status_ = 0;
  http::ResponseHead head_;
  http::BodyDecoder decoder_;
  std::optional<std::string> value_;  // of the answer, where one is wanted
};

}  // namespace understudy::probe
