// A small web server inside the demo, with faults on command: HTTP, WebSocket echo, kill, freeze, revive.
// One io_context thread runs all origins and the load; call everything on it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

namespace understudy::demo {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

class Origin {
public:
  Origin(asio::io_context& io, std::string name);
  ~Origin();
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

  const std::string& name() const { return name_; }
  std::uint16_t port() const { return port_; }
  void kill();    // closes everything at once: connections are refused
  void freeze();  // accepts connections, answers nothing (a machine at 100 % CPU)
  void revive();  // back to normal after either

private:
  struct Session;
  void listen();
  asio::awaitable<void> accept(std::shared_ptr<tcp::acceptor> acceptor);
  asio::awaitable<void> serve(std::shared_ptr<Session> session);
  asio::awaitable<void> answer_all(std::shared_ptr<Session> session);
  asio::awaitable<void> echo(std::shared_ptr<Session> session, std::string buffer);
  asio::awaitable<void> wait_while_frozen();

  asio::io_context& io_;
  std::string name_;
  std::uint16_t port_ = 0;
  std::shared_ptr<tcp::acceptor> acceptor_;
  std::set<std::shared_ptr<Session>> sessions_;
  bool frozen_ = false;
  asio::steady_timer thaw_;
};

}  // namespace understudy::demo
