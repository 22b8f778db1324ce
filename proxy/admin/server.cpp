#include "proxy/admin/server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "config/address.hpp"
#include "proxy/admin/connection.hpp"

namespace understudy::admin {
namespace {

namespace asio = boost::asio;

constexpr int kAcceptsPerTurn = 16;
constexpr std::chrono::milliseconds kAcceptPause{100};  // out of descriptors or memory: no spinning

std::optional<config::SocketAddress> address_of(const sockaddr_storage& storage) {
  config::SocketAddress address;
  if (storage.ss_family == AF_INET) {
    const auto& name = reinterpret_cast<const sockaddr_in&>(storage);
    address.family = config::SocketAddress::Family::v4;
    address.port = ntohs(name.sin_port);
    std::memcpy(address.ip.data(), &name.sin_addr, 4);
    return address;
  }
  if (storage.ss_family == AF_INET6) {
    const auto& name = reinterpret_cast<const sockaddr_in6&>(storage);
    address.family = config::SocketAddress::Family::v6;
    address.port = ntohs(name.sin6_port);
    std::memcpy(address.ip.data(), &name.sin6_addr, 16);
    return address;
  }
  return std::nullopt;
}

Peer peer_of(int fd, const sockaddr_storage& storage) {
  auto address = address_of(storage);
  if (!address) {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    const bool known = ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0;
    const std::string who = known ? "unix uid " + std::to_string(credentials.uid) : "unix";
    return {who, who};
  }
  const std::string ip = address->ip_string();
  // One host commonly owns a whole /64.
  if (address->family == config::SocketAddress::Family::v6)
    std::fill(address->ip.begin() + 8, address->ip.end(), std::uint8_t{0});
  return {address->is_loopback() || ip == "::1" ? "loopback" : ip, ip == "::1" ? ip : address->ip_string()};
}

bool is_shortage(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

using StatePtr = std::shared_ptr<ServerState>;

}  // namespace

Options Options::from(const config::AdminConfig& config) {
  Options options;
  if (config.token) options.token = config.token->value;
  options.hosts = config.hosts;
  options.max_connections = config.max_connections;
  return options;
}

// Makes room for one more: closes the connection that has waited longest for its client. One that owes an
// answer goes only when there is no other; one with a command under way never.
static bool make_room(ServerState& state) {
  state.connections.remove_if([](const auto& weak) { return weak.expired(); });
  if (state.connections.size() < state.options.max_connections) return true;
  std::shared_ptr<Connection> oldest;
  const auto rank = [](const Connection& connection) {
    return std::pair(connection.phase() == Connection::Phase::answer, connection.phase_since());
  };
  for (const auto& weak : state.connections) {
    const auto connection = weak.lock();
    if (connection->phase() == Connection::Phase::command) continue;
    if (!oldest || rank(*connection) < rank(*oldest)) oldest = connection;
  }
  if (!oldest) return false;
  oldest->close();
  state.connections.remove_if([&](const auto& weak) { return weak.lock() == oldest; });
  ++state.counters.evicted;
  return true;
}

static void turn_away(int fd) {
  const std::string busy =
      serialize(problem_response({503, "admin busy", "admin.max_connections are in use; try again"}), false, true);
  [[maybe_unused]] const auto sent = ::send(fd, busy.data(), busy.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::close(fd);
}

static void take(const StatePtr& state, int fd, const sockaddr_storage& name) {
  ++state->counters.accepted;
  if (!make_room(*state)) {
    ++state->counters.turned_away;
    return turn_away(fd);
  }
  const int family = state->rules.unix_socket ? AF_UNIX : name.ss_family;
  if (family != AF_UNIX) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  StreamSocket socket(state->executor);
  boost::system::error_code error;
  socket.assign(asio::generic::stream_protocol(family, 0), fd, error);
  if (error) {
    ++state->counters.accept_errors;
    ::close(fd);
    return;
  }
  const auto connection = std::make_shared<Connection>(state, std::move(socket), peer_of(fd, name));
  state->connections.push_back(connection);
  connection->start();
}

static Awaitable<void> accept_all(StatePtr state) {
  Timer pause(state->executor);
  while (!state->stopping && state->listener.is_open()) {
    bool short_of_something = false;
    for (int i = 0; i < kAcceptsPerTurn && state->listener.is_open(); ++i) {
      sockaddr_storage name{};
      socklen_t length = sizeof name;
      const int fd = ::accept4(state->listener.native_handle(), reinterpret_cast<sockaddr*>(&name), &length,
                               SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        take(state, fd, name);
        continue;
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      ++state->counters.accept_errors;
      short_of_something = short_of_something || is_shortage(errno);
      if (short_of_something) break;
    }
    if (short_of_something) {
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(kUse);
      continue;
    }
    if (!state->listener.is_open()) break;
    auto [failed] = co_await state->listener.async_wait(Descriptor::wait_read, kUse);
    if (failed) break;
  }
}

Server::Server(asio::io_context& context, Options options, ControlPlane& control)
    : state_(std::make_shared<ServerState>(context, std::move(options), control)) {
  state_->rules.token = state_->options.token;
  state_->rules.hosts = state_->options.hosts;
}

// The file goes first: while the socket is open nobody else can have taken its place.
static void close_listener(ServerState& state) {
  if (!state.listener.is_open()) return;
  if (!state.socket_file.empty()) ::unlink(state.socket_file.c_str());
  boost::system::error_code ignored;
  state.listener.close(ignored);
}

Server::~Server() {
  state_->stopping = true;
  state_->control = nullptr;
  close_listener(*state_);
  for (const auto& weak : state_->connections) {
    if (const auto connection = weak.lock()) connection->close();
  }
}

void Server::start(int listening_fd) {
  boost::system::error_code error;
  state_->listener.assign(listening_fd, error);
  if (error) {
    ::close(listening_fd);
    throw std::runtime_error("admin: cannot use the listening socket: " + error.message());
  }
  const int flags = ::fcntl(listening_fd, F_GETFL);
  ::fcntl(listening_fd, F_SETFL, flags | O_NONBLOCK);
  ::fcntl(listening_fd, F_SETFD, FD_CLOEXEC);
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  ::getsockname(listening_fd, reinterpret_cast<sockaddr*>(&name), &length);
  const auto address = address_of(name);
  state_->rules.unix_socket = name.ss_family == AF_UNIX;
  state_->rules.port = address ? address->port : 0;
  const auto& unix_name = reinterpret_cast<const sockaddr_un&>(name);
  if (state_->rules.unix_socket && length > offsetof(sockaddr_un, sun_path) && unix_name.sun_path[0] != '\0')
    state_->socket_file = unix_name.sun_path;
  state_->needs_token = !state_->rules.unix_socket && (!address || !address->is_loopback());
  if (state_->needs_token && !state_->rules.token) {
    state_->listener.close(error);
    throw std::runtime_error(
        "admin: " + (address ? address->to_string() : "the socket") +
        " can be reached from other machines; set admin.token, or listen on 127.0.0.1 or unix:PATH");
  }
  asio::co_spawn(state_->executor, accept_all(state_), asio::detached);
}

void Server::stop() {
  state_->stopping = true;
  close_listener(*state_);
  for (const auto& weak : state_->connections) {
    const auto connection = weak.lock();
    if (connection && connection->idle()) connection->close();
  }
}

void Server::hand_over() {
  state_->socket_file.clear();
  stop();
}

int Server::listening() const { return state_->listener.is_open() ? state_->listener.native_handle() : -1; }

void Server::update(const config::AdminConfig& config) {
  const Options fresh = Options::from(config);
  // Off loopback the API never stands open, whatever the new file says.
  if (fresh.token || !state_->needs_token) state_->rules.token = state_->options.token = fresh.token;
  state_->rules.hosts = state_->options.hosts = fresh.hosts;
  state_->options.max_connections = fresh.max_connections;
}

Counters Server::counters() const {
  Counters counters = state_->counters;
  counters.connections = static_cast<std::uint64_t>(std::count_if(
      state_->connections.begin(), state_->connections.end(), [](const auto& weak) { return !weak.expired(); }));
  return counters;
}

}  // namespace understudy::admin
