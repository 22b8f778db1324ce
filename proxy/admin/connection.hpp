// One connection of the admin server. Internal to proxy/admin: server.cpp accepts, connection.cpp talks.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <list>
#include <memory>
#include <string>

#include "proxy/admin/access.hpp"
#include "proxy/admin/api.hpp"
#include "proxy/admin/server.hpp"
#include "proxy/http/h1_parser.hpp"

namespace understudy::admin {

using Executor = boost::asio::io_context::executor_type;
template <class T>
using Awaitable = boost::asio::awaitable<T, Executor>;
using StreamSocket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, Executor>;
using Descriptor = boost::asio::posix::basic_stream_descriptor<Executor>;
using Clock = std::chrono::steady_clock;
using Timer = boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, Executor>;
inline constexpr auto kUse = boost::asio::as_tuple_t<boost::asio::use_awaitable_t<Executor>>{};

class Connection;

// Shared by the server and its connections; a coroutine that wakes after the server is gone finds `closed`
// and no `control`.
struct ServerState {
  ServerState(boost::asio::io_context& context, Options given, ControlPlane& plane)
      : executor(context.get_executor()),
        options(std::move(given)),
        control(&plane),
        listener(context),
        failed_logins(options.failed_logins_per_second) {}
  Executor executor;
  Options options;
  ControlPlane* control;
  Descriptor listener;
  std::string socket_file;  // of a Unix socket with a name in the file system; goes when the listener does
  AccessRules rules;
  FailedLogins failed_logins;
  Counters counters;
  std::list<std::weak_ptr<Connection>> connections;
  bool stopping = false;
  bool needs_token = false;  // listens off loopback
};

struct Peer {
  std::string who;     // for the audit event: "unix uid 0", "loopback", "10.0.0.9"
  std::string source;  // failed logins are counted by this: an address (IPv6: its /64), "unix uid 0"
};

class Connection : public std::enable_shared_from_this<Connection> {
public:
  Connection(std::shared_ptr<ServerState> server, StreamSocket socket, Peer peer);
  void start();
  void close();  // at once; the coroutine ends by itself
  // What it waits for. Only a command under way can't be given up to make room for another connection.
  enum class Phase : std::uint8_t { head, body, command, answer, ending };
  Phase phase() const { return phase_; }
  Clock::time_point phase_since() const { return phase_since_; }
  // Nothing is owed to the client.
  bool idle() const { return phase_ == Phase::head || phase_ == Phase::ending; }

private:
  static Awaitable<void> serve(std::shared_ptr<Connection> self);
  Awaitable<bool> exchange();
  Awaitable<bool> read_head(Request& request);
  Awaitable<bool> read_body(std::string& body);
  Awaitable<Response> answer(const Request& request, const std::string& body);
  Awaitable<bool> fill();
  Awaitable<bool> send(std::string bytes);
  Awaitable<void> linger();
  Awaitable<bool> deliver(Response response, bool body_unread);
  void enter(Phase phase);
  std::optional<Response> check_rules(const Request& request);
  std::optional<Response> check_login(const Request& request);
  void arm(std::chrono::milliseconds timeout);
  void on_deadline();
  std::string who() const;

  std::shared_ptr<ServerState> server_;
  StreamSocket socket_;
  Timer deadline_;
  Peer peer_;
  std::string input_;  // received, not yet used
  http::RequestParser parser_;
  http::RequestHead head_;
  http::Framing framing_ = http::Framing::none;
  std::uint64_t content_length_ = 0;
  bool keep_alive_ = true;
  bool expect_continue_ = false;
  bool head_only_ = false;
  bool logged_in_ = false;  // a right token came on this connection: the brake on guessing no longer applies
  Phase phase_ = Phase::head;
  Clock::time_point phase_since_;
};

}  // namespace understudy::admin
