// One connection to an origin: requests one after the other, or a WebSocket that echoes.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <array>
#include <memory>
#include <optional>
#include <string>

#include "proxy/drill/origin.hpp"
#include "proxy/http/body.hpp"
#include "proxy/http/h1_parser.hpp"

namespace understudy::drill {

class OriginSession : public std::enable_shared_from_this<OriginSession> {
public:
  OriginSession(Origin& origin, tcp::socket socket);

  void start() { read(); }
  void resume();              // the origin thawed
  void work();                // it is this one's turn
  void close(bool by_reset);  // at once
  void set_deaf(bool deaf) { drill::set_deaf(socket_.native_handle(), deaf); }

private:
  enum class Phase : std::uint8_t { head, body, waiting, answering, tunnel, closed };
  void read();
  void process();
  bool take_head();
  bool take_body();
  void take_frames();
  void execute();
  void wait(Micros latency);
  void answer();
  void open_tunnel();
  void answer_request(const Behaviour& behaviour);
  void send(std::string bytes, bool last);
  void send_slowly(std::string bytes, Micros over);
  void next_request();
  void release_work();

  Origin& origin_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  Phase phase_ = Phase::head;
  bool reading_ = false, due_ = false, has_work_ = false, after_eof_ = false, hangs_ = false;
  std::array<char, 16 * 1024> chunk_{};
  std::string in_, out_;
  http::RequestParser parser_;
  std::unique_ptr<http::RequestHead> head_ = std::make_unique<http::RequestHead>();
  http::BodyDecoder body_;
  // The request under way.
  bool keep_alive_ = true, is_websocket_ = false;
  std::optional<std::uint64_t> id_;  // none: a probe
  std::string key_;
  std::size_t slow_at_ = 0;
};

}  // namespace understudy::drill
