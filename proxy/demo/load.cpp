#include "proxy/demo/load.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "proxy/demo/frames.hpp"
#include "proxy/http/body.hpp"
#include "proxy/http/h1_parser.hpp"

namespace understudy::demo {

using boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {
constexpr std::chrono::milliseconds kPause{50};
constexpr std::chrono::milliseconds kSocketPause{250};
}  // namespace

Load::Load(asio::io_context& io, tcp::endpoint proxy, unsigned clients, unsigned sockets)
    : io_(io),
      proxy_(std::move(proxy)),
      clients_(clients),
      sockets_(sockets),
      asked_(sockets, Clock::time_point::min()) {}

void Load::start() {
  for (unsigned i = 0; i < clients_; ++i) asio::co_spawn(io_, client(i), asio::detached);
  for (unsigned i = 0; i < sockets_; ++i) asio::co_spawn(io_, socket(i), asio::detached);
}

unsigned Load::sockets_silent() const {
  const auto late = Clock::now() - std::chrono::seconds(1);
  return static_cast<unsigned>(std::count_if(asked_.begin(), asked_.end(),
                                             [late](auto at) { return at != Clock::time_point::min() && at < late; }));
}

Seen Load::take() { return std::exchange(seen_, Seen{}); }

// One GET. The body of a 200; empty with a reason otherwise.
asio::awaitable<std::string> Load::request(tcp::socket& connection, std::string& failure) {
  static const std::string kRequest = "GET / HTTP/1.1\r\nHost: demo.example\r\nUser-Agent: understudy-demo\r\n\r\n";
  error_code error;
  if (!connection.is_open()) {
    co_await connection.async_connect(proxy_, asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      failure = "connect: " + error.message();
      co_return std::string{};
    }
  }
  co_await asio::async_write(connection, asio::buffer(kRequest), asio::redirect_error(asio::use_awaitable, error));
  auto head = std::make_unique<http::ResponseHead>();
  http::ResponseParser parser;
  std::string buffer;
  char chunk[4096];
  for (;;) {
    const std::size_t n =
        co_await connection.async_read_some(asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      failure = "closed: " + error.message();
      co_return std::string{};
    }
    buffer.append(chunk, n);
    const auto status = parser.parse(buffer, {64 * 1024, 100, 0}, http::Method::get, *head);
    if (status == http::ParseStatus::error) {
      failure = "malformed answer";
      co_return std::string{};
    }
    if (status == http::ParseStatus::done) break;
  }
  const std::uint16_t status = head->status;
  http::BodyDecoder body = http::BodyDecoder::make(head->framing, head->content_length, UINT64_MAX);
  const bool keep = head->keep_alive;
  buffer.erase(0, head->head_bytes);
  std::string text;
  for (;;) {
    const http::DecodeResult part = body.decode(buffer.data(), buffer.size());
    text.append(buffer, 0, part.payload);
    buffer.erase(0, part.consumed);
    if (body.done() || part.error != http::ParseError::none) break;
    const std::size_t n =
        co_await connection.async_read_some(asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
    buffer.append(chunk, n);
  }
  if (!keep || error) connection.close(error);
  if (status != 200) {
    failure = "status " + std::to_string(status);
    co_return std::string{};
  }
  co_return text;
}

asio::awaitable<void> Load::client(unsigned index) {
  asio::steady_timer timer(io_);
  tcp::socket connection(io_);
  error_code ignored;
  // Spread over the pause, so that they do not march in step.
  timer.expires_after(kPause * index / (clients_ == 0 ? 1 : clients_));
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  while (!stopped_) {
    const auto begin = Clock::now();
    std::string failure;
    const std::string body = co_await request(connection, failure);
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
    if (failure.empty()) {
      ++seen_.ok;
      seen_.latency_us.push_back(static_cast<std::uint32_t>(took));
      constexpr std::string_view kHello = "hello from ";
      if (body.starts_with(kHello)) ++seen_.by_origin[body.substr(kHello.size(), body.find('\n') - kHello.size())];
    } else {
      ++seen_.failed;
      seen_.last_failure = failure;
      connection.close(ignored);
    }
    timer.expires_after(kPause);
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<void> Load::socket(unsigned index) {
  static const std::string kUpgrade =
      "GET /ws HTTP/1.1\r\nHost: demo.example\r\nConnection: Upgrade\r\nUpgrade: "
      "websocket\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  asio::steady_timer timer(io_);
  error_code error;
  timer.expires_after(kSocketPause * index / (sockets_ == 0 ? 1 : sockets_));
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  while (!stopped_) {
    tcp::socket connection(io_);
    std::string buffer;
    char chunk[4096];
    error = {};
    co_await connection.async_connect(proxy_, asio::redirect_error(asio::use_awaitable, error));
    if (!error)
      co_await asio::async_write(connection, asio::buffer(kUpgrade), asio::redirect_error(asio::use_awaitable, error));
    while (!error && buffer.find("\r\n\r\n") == std::string::npos) {
      const std::size_t n =
          co_await connection.async_read_some(asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, error));
      buffer.append(chunk, n);
    }
    const bool open = !error && buffer.starts_with("HTTP/1.1 101");
    if (open) {
      buffer.erase(0, buffer.find("\r\n\r\n") + 4);
      ++sockets_open_;
      ++seen_.sockets_opened;
      while (!error && !stopped_) {
        const std::string frame = write_frame(1, "are you there?", true);
        asked_[index] = Clock::now();
        co_await asio::async_write(connection, asio::buffer(frame), asio::redirect_error(asio::use_awaitable, error));
        std::optional<Frame> reply;
        while (!error && !(reply = take_frame(buffer))) {
          const std::size_t n = co_await connection.async_read_some(asio::buffer(chunk),
                                                                    asio::redirect_error(asio::use_awaitable, error));
          buffer.append(chunk, n);
        }
        if (error || reply->opcode == 8) break;
        asked_[index] = Clock::time_point::min();
        ++seen_.echoes;
        timer.expires_after(kSocketPause);
        co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
      }
      asked_[index] = Clock::time_point::min();
      --sockets_open_;
      if (!stopped_) ++seen_.sockets_lost;
    }
    timer.expires_after(kSocketPause);
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

}  // namespace understudy::demo
