// A web server of a drill, with the faults of its script: HTTP/1.1, WebSocket echo, a health page. It listens on loopback, and
// its port stays its own while it is killed. All calls but the constructor on the thread of `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "config/model.hpp"
#include "proxy/drill/behaviour.hpp"
#include "proxy/drill/ledger.hpp"

namespace understudy::drill {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

class OriginSession;

struct OriginSettings {
  std::uint32_t index = 0;    // told in kOriginField
  config::CheckConfig check;  // what its health page has to say
};

class Origin {
public:
  Origin(asio::io_context& io, OriginScript script, OriginSettings settings, Ledger& ledger);
  ~Origin();
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

  std::uint16_t port() const { return port_; }
  void begin(Clock::time_point at);  // the scenario starts then
  void stop();                       // closes everything; no handler is left behind once `io` has run dry

  // ---- for sessions
  Behaviour behaviour() const;
  bool is_frozen() const { return sockets_ != Behaviour::Sockets::well; }
  bool is_collapsed() const { return Clock::now() < collapsed_until_; }
  double draw() { return std::uniform_real_distribution<double>(0, 1)(random_); }
  const OriginSettings& settings() const { return settings_; }
  Ledger& ledger() { return ledger_; }
  // Overload: true when the session may work now, else it is called back by work().
  bool may_work(const std::shared_ptr<OriginSession>& session);
  void worked();
  void gone(const std::shared_ptr<OriginSession>& session) { sessions_.erase(session); }

private:
  void reserve();
  void listen();
  void accept();
  void become(Behaviour::Sockets sockets);
  void change();
  void fill_queue();
  void count_opening();
  void drop_all(bool by_reset);

  asio::io_context& io_;
  OriginScript script_;
  OriginSettings settings_;
  Ledger& ledger_;
  std::mt19937_64 random_;
  std::uint16_t port_ = 0;
  tcp::acceptor acceptor_;
  tcp::socket reservation_;  // bound, never listening: keeps the port
  bool accepting_ = false;
  std::set<std::shared_ptr<OriginSession>> sessions_;
  std::vector<tcp::socket> fillers_;
  Behaviour::Sockets sockets_ = Behaviour::Sockets::well;
  std::optional<Clock::time_point> begin_;
  std::vector<Micros> changes_;
  std::size_t next_change_ = 0;
  asio::steady_timer timer_;
  std::deque<Clock::time_point> openings_;
  Clock::time_point collapsed_until_{};
  std::uint32_t working_ = 0;
  std::deque<std::weak_ptr<OriginSession>> queue_;
};

// Nothing that arrives for this socket is seen by it any more, not even by its kernel: as if the network had a hole.
void set_deaf(int descriptor, bool deaf);

}  // namespace understudy::drill
