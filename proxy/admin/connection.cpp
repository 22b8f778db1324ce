#include "proxy/admin/connection.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "proxy/http/body.hpp"

namespace understudy::admin {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr http::HeadLimits kHeadLimits{16 * 1024, 100, 4 * 1024};
constexpr std::size_t kMaxBody = 64 * 1024;
constexpr std::size_t kReadSize = 16 * 1024;
constexpr std::size_t kLingerBytes = 256 * 1024;
constexpr milliseconds kLingerTime{1'000};

Problem too_large() { return {413, "body too large", "a command's body is at most 64 KiB"}; }

// A coroutine's way to wait for an answer that comes by callback, at once or later, perhaps after the wait
// was given up.
struct Slot {
  explicit Slot(const Executor& executor) : wake(executor) {}
  Timer wake;
  std::optional<Response> response;
  void put(Response r) {
    if (response) return;
    response = std::move(r);
    wake.cancel();
  }
};

}  // namespace

Connection::Connection(std::shared_ptr<ServerState> server, StreamSocket socket, Peer peer)
    : server_(std::move(server)),
      socket_(std::move(socket)),
      deadline_(server_->executor),
      peer_(std::move(peer)),
      phase_since_(Clock::now()) {}

void Connection::start() { asio::co_spawn(server_->executor, serve(shared_from_this()), asio::detached); }

void Connection::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
  deadline_.cancel();
}

void Connection::arm(milliseconds timeout) {
  deadline_.expires_after(timeout);
  deadline_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    // A completion that was already queued when the deadline was moved must not count.
    if (!error && self && self->deadline_.expiry() <= Clock::now()) self->on_deadline();
  });
}

void Connection::on_deadline() {
  if (!socket_.is_open()) return;
  ++server_->counters.timeouts;
  if (phase_ == Phase::head && !input_.empty()) {
    const std::string late =
        serialize(problem_response({408, "request too slow", "the head did not arrive in time"}), false, true);
    [[maybe_unused]] const auto sent =
        ::send(socket_.native_handle(), late.data(), late.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  close();
}

void Connection::enter(Phase phase) {
  phase_ = phase;
  phase_since_ = Clock::now();
}

std::string Connection::who() const { return logged_in_ ? "token holder, " + peer_.who : peer_.who; }

Awaitable<void> Connection::serve(std::shared_ptr<Connection> self) {
  self->arm(self->server_->options.header_timeout);
  bool more = true;
  while (more) {
    more = co_await self->exchange();
    if (more && !self->input_.empty()) {
      // A client that pipelines must not keep others waiting: one request a turn.
      co_await asio::post(self->server_->executor, asio::use_awaitable_t<Executor>{});
    }
  }
  self->close();
  self->server_->connections.remove_if([&](const auto& other) {
    const auto connection = other.lock();
    return !connection || connection == self;
  });
}

Awaitable<bool> Connection::exchange() {
  enter(Phase::head);
  Request request;
  const bool got_head = co_await read_head(request);
  if (!got_head) co_return false;
  ++server_->counters.requests;
  if (server_->stopping) keep_alive_ = false;
  if (auto refused = check_rules(request)) {
    ++server_->counters.refused;
    const bool keep = co_await deliver(std::move(*refused), request.has_body);
    co_return keep;
  }
  std::string body;
  if (request.has_body) {
    enter(Phase::body);
    arm(server_->options.header_timeout);
    const bool got_body = co_await read_body(body);
    if (!got_body) co_return false;
  }
  Response response = co_await answer(request, body);
  const bool keep = co_await deliver(std::move(response), false);
  co_return keep;
}

Awaitable<bool> Connection::read_head(Request& request) {
  parser_.reset();
  bool begun = !input_.empty();
  if (begun) arm(server_->options.header_timeout);
  for (;;) {
    const http::ParseStatus status = parser_.parse(input_, kHeadLimits, head_);
    if (status == http::ParseStatus::error) {
      ++server_->counters.malformed;
      const http::ParseError error = parser_.error();
      Response response = problem_response({http::status_of(error), "", std::string(http::sentence_of(error))});
      keep_alive_ = false;
      head_only_ = false;
      co_await deliver(std::move(response), true);
      co_return false;
    }
    if (status == http::ParseStatus::done) break;
    const bool got = co_await fill();
    if (!got) co_return false;
    if (!begun) arm(server_->options.header_timeout);
    begun = true;
  }
  request = make_request(head_, input_.data());
  framing_ = head_.framing;
  content_length_ = head_.content_length;
  keep_alive_ = head_.keep_alive;
  expect_continue_ = head_.expect_continue;
  head_only_ = head_.method == http::Method::head;
  input_.erase(0, head_.head_bytes);
  co_return true;
}

std::optional<Response> Connection::check_rules(const Request& request) {
  if (auto problem = check_origin(server_->rules, request)) return problem_response(*problem);
  if (auto refused = check_login(request)) return refused;
  if (server_->stopping && !server_->control) return problem_response({503, "stopping", "the process is ending"});
  return Api(*server_->control).refuse(request);
}

std::optional<Response> Connection::check_login(const Request& request) {
  if (!server_->rules.token) return std::nullopt;
  const auto now = Clock::now();
  if (!logged_in_ && server_->failed_logins.limited(peer_.source, now)) {
    ++server_->counters.rate_limited;
    Response response = problem_response({429, "too many failed logins", "wait a second, then send the right token"});
    response.fields.emplace_back("Retry-After", "1");
    return response;
  }
  const Login login = check_token(server_->rules, request);
  if (login == Login::ok) {
    logged_in_ = true;
    return std::nullopt;
  }
  logged_in_ = false;
  ++server_->counters.failed_logins;
  server_->failed_logins.record(peer_.source, now);
  Response response = problem_response({401, login == Login::missing ? "token required" : "wrong token",
                                        "send 'Authorization: Bearer TOKEN' with admin.token of the "
                                        "configuration (--token or UNDERSTUDY_TOKEN)"});
  response.fields.emplace_back("WWW-Authenticate", "Bearer realm=\"understudy\"");
  return response;
}

Awaitable<bool> Connection::deliver(Response response, bool body_unread) {
  const bool keep = keep_alive_ && !body_unread && !server_->stopping;
  enter(Phase::answer);
  arm(server_->options.write_timeout);
  std::string bytes = serialize(response, head_only_, !keep);
  const bool sent = co_await send(std::move(bytes));
  if (sent && keep) {
    arm(server_->options.idle_timeout);
    co_return true;
  }
  if (sent && socket_.is_open()) co_await linger();
  co_return false;
}

// Bytes that nobody reads would make the kernel reset the connection and destroy the answer: read them for a
// moment.
Awaitable<void> Connection::linger() {
  ::shutdown(socket_.native_handle(), SHUT_WR);
  input_.clear();
  arm(kLingerTime);
  enter(Phase::ending);
  for (std::size_t read = 0; read < kLingerBytes;) {
    const bool got = co_await fill();
    if (!got) break;
    read += input_.size();
    input_.clear();
  }
}

Awaitable<bool> Connection::read_body(std::string& body) {
  const bool announced_too_much = framing_ == http::Framing::length && content_length_ > kMaxBody;
  http::BodyDecoder decoder = http::BodyDecoder::make(framing_, content_length_, kMaxBody);
  http::ParseError error = announced_too_much ? http::ParseError::body_too_large : http::ParseError::none;
  if (expect_continue_ && error == http::ParseError::none && input_.empty()) {
    const bool sent = co_await send("HTTP/1.1 100 Continue\r\n\r\n");
    if (!sent) co_return false;
  }
  while (error == http::ParseError::none && !decoder.done()) {
    if (input_.empty()) {
      const bool got = co_await fill();
      if (!got) co_return false;
    }
    const http::DecodeResult result = decoder.decode(input_.data(), input_.size());
    body.append(input_, 0, result.payload);
    input_.erase(0, result.consumed);
    error = result.error;
  }
  if (error == http::ParseError::none) co_return true;
  Response response =
      problem_response(error == http::ParseError::body_too_large
                           ? too_large()
                           : Problem{http::status_of(error), "", std::string(http::sentence_of(error))});
  ++server_->counters.refused;
  co_await deliver(std::move(response), true);
  co_return false;
}

Awaitable<Response> Connection::answer(const Request& request, const std::string& body) {
  if (!server_->control) co_return problem_response({503, "stopping", "the process is ending"});
  enter(Phase::command);
  deadline_.cancel();
  const auto slot = std::make_shared<Slot>(server_->executor);
  const std::string caller = who();
  // Weak: who answers late may outlive this connection and its io_context.
  Api(*server_->control).handle(request, body, caller, [weak = std::weak_ptr<Slot>(slot)](Response response) {
    if (const auto alive = weak.lock()) alive->put(std::move(response));
  });
  if (!slot->response) {
    slot->wake.expires_after(server_->options.command_timeout);
    co_await slot->wake.async_wait(kUse);
  }
  if (slot->response) co_return std::move(*slot->response);
  co_return problem_response(
      {504, "no answer yet", "the command was taken but has not ended in time; see the event log"});
}

Awaitable<bool> Connection::fill() {
  for (;;) {
    if (!socket_.is_open()) co_return false;
    const std::size_t before = input_.size();
    input_.resize(before + kReadSize);
    const ssize_t n = ::recv(socket_.native_handle(), input_.data() + before, kReadSize, MSG_DONTWAIT);
    const int error = errno;
    input_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n > 0) co_return true;
    if (n == 0) co_return false;
    if (error == EINTR) continue;
    if (error != EAGAIN && error != EWOULDBLOCK) co_return false;
    auto [failed] = co_await socket_.async_wait(StreamSocket::wait_read, kUse);
    if (failed) co_return false;
  }
}

Awaitable<bool> Connection::send(std::string bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    if (!socket_.is_open()) co_return false;
    const ssize_t n =
        ::send(socket_.native_handle(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      done += static_cast<std::size_t>(n);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) co_return false;
    auto [failed] = co_await socket_.async_wait(StreamSocket::wait_write, kUse);
    if (failed) co_return false;
  }
  co_return true;
}

}  // namespace understudy::admin
