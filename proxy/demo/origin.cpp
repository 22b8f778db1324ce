#include "proxy/demo/origin.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "proxy/demo/frames.hpp"
#include "proxy/http/body.hpp"
#include "proxy/http/h1_parser.hpp"
#include "proxy/http/writer.hpp"

namespace understudy::demo {

using boost::system::error_code;

struct Origin::Session {
  explicit Session(tcp::socket s) : socket(std::move(s)) {}
  tcp::socket socket;
};

namespace {
std::string answer(const std::string& body, bool keep_alive) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
         (keep_alive ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n") + body;
}
}  // namespace

Origin::Origin(asio::io_context& io, std::string name) : io_(io), name_(std::move(name)), thaw_(io) {
  thaw_.expires_at(asio::steady_timer::time_point::max());
  listen();
}

Origin::~Origin() = default;

void Origin::listen() {
  acceptor_ = std::make_shared<tcp::acceptor>(io_, tcp::endpoint(asio::ip::address_v4::loopback(), port_), true);
  port_ = acceptor_->local_endpoint().port();
  asio::co_spawn(io_, accept(acceptor_), asio::detached);
}

void Origin::kill() {
  error_code ignored;
  if (acceptor_) acceptor_->close(ignored);
  acceptor_.reset();
  for (const auto& session : sessions_) {
    // As a killed process does it: what the kernel still holds is answered with RST.
    session->socket.set_option(asio::socket_base::linger(true, 0), ignored);
    session->socket.close(ignored);
  }
  sessions_.clear();
}

void Origin::freeze() { frozen_ = true; }

void Origin::revive() {
  frozen_ = false;
  thaw_.expires_at(asio::steady_timer::time_point::max());  // wakes all that wait
  if (!acceptor_) listen();
}

asio::awaitable<void> Origin::wait_while_frozen() {
  while (frozen_) {
    error_code ignored;
    co_await thaw_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<void> Origin::accept(std::shared_ptr<tcp::acceptor> acceptor) {
  for (;;) {
    co_await wait_while_frozen();  // meanwhile the kernel completes handshakes: TCP answers, nobody is home
    error_code error;
    tcp::socket socket = co_await acceptor->async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (!acceptor->is_open()) co_return;
    if (error) {  // out of descriptors, say: no spinning
      asio::steady_timer pause(io_, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    auto session = std::make_shared<Session>(std::move(socket));
    sessions_.insert(session);
    asio::co_spawn(io_, serve(session), asio::detached);
  }
}

asio::awaitable<void> Origin::serve(std::shared_ptr<Session> session) {
  co_await answer_all(session);
  sessions_.erase(session);
}

asio::awaitable<void> Origin::answer_all(std::shared_ptr<Session> session) {
  auto head = std::make_unique<http::RequestHead>();
  http::RequestParser parser;
  std::string buffer;
  error_code error;
  char chunk[8192];
  for (;;) {
    const auto status = buffer.empty() ? http::ParseStatus::need_more : parser.parse(buffer, {}, *head);
    if (status == http::ParseStatus::error) break;
    if (status == http::ParseStatus::need_more) {
      const std::size_t n = co_await session->socket.async_read_some(asio::buffer(chunk),
                                                                     asio::redirect_error(asio::use_awaitable, error));
      if (error) break;
      co_await wait_while_frozen();
      buffer.append(chunk, n);
      continue;
    }
    const bool keep = head->keep_alive;
    std::string reply;
    if (head->upgrade == http::UpgradeKind::websocket) {
      char accept_key[28];
      http::websocket_accept(accept_key, head->fields.value(http::Known::sec_websocket_key, buffer.data()));
      reply =
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
          "Upgrade\r\nSec-WebSocket-Accept: " +
          std::string(accept_key, 28) + "\r\n\r\n";
      buffer.erase(0, head->head_bytes);
      co_await asio::async_write(session->socket, asio::buffer(reply),
                                 asio::redirect_error(asio::use_awaitable, error));
      if (!error) co_await echo(session, std::move(buffer));
      break;
    }
    http::BodyDecoder body = http::BodyDecoder::make(head->framing, head->content_length, UINT64_MAX);
    buffer.erase(0, head->head_bytes);
    while (!body.done()) {
      const http::DecodeResult part = body.decode(buffer.data(), buffer.size());
      if (part.error != http::ParseError::none) co_return;
      buffer.erase(0, part.consumed);
      if (body.done()) break;
      const std::size_t n = co_await session->socket.async_read_some(asio::buffer(chunk),
                                                                     asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;
      buffer.append(chunk, n);
    }
    reply = answer("hello from " + name_ + "\n", keep);
    co_await asio::async_write(session->socket, asio::buffer(reply), asio::redirect_error(asio::use_awaitable, error));
    if (error || !keep) break;
  }
}

asio::awaitable<void> Origin::echo(std::shared_ptr<Session> session, std::string buffer) {
  error_code error;
  char chunk[8192];
  for (;;) {
    while (auto frame = take_frame(buffer)) {
      co_await wait_while_frozen();
      const std::string out = write_frame(frame->opcode, frame->payload, false);
      co_await asio::async_write(session->socket, asio::buffer(out), asio::redirect_error(asio::use_awaitable, error));
      if (error || frame->opcode == 8) co_return;
    }
    const std::size_t n =
        co_await session->socket.async_read_some(asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    buffer.append(chunk, n);
  }
}

}  // namespace understudy::demo
