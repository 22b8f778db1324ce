// One c-ares channel whose sockets and timeouts are served by the io_context. c-ares owns the descriptors; we
// only watch.
#pragma once

#include <ares.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/address.hpp"
#include "config/model.hpp"

namespace understudy::probe {

// What one lookup gave, before clamping and sorting.
struct Lookup {
  int status = 0;                                // ARES_SUCCESS or why not
  std::vector<config::SocketAddress> addresses;  // as they came, port 0
  std::chrono::seconds ttl{0};                   // smallest of all records, aliases included
  bool local = false;                            // from /etc/hosts: no DNS was asked
};

class DnsChannel : public std::enable_shared_from_this<DnsChannel> {
public:
  using Done = std::function<void(Lookup)>;

  // Throws std::runtime_error. The tries of one lookup fit into dns.timeout.
  static std::shared_ptr<DnsChannel> open(boost::asio::io_context& io, const config::DnsConfig& dns);
  ~DnsChannel();
  DnsChannel(const DnsChannel&) = delete;
  DnsChannel& operator=(const DnsChannel&) = delete;

  // `done` is posted to the io_context; it keeps the channel alive until then. Once per call, unless close()
  // came first.
  void lookup(const std::string& host, Done done);
  // Forgets all lookups and closes the sockets. Not from inside a c-ares callback; `done` handlers are none.
  void close();

private:
  struct Watch;
  struct Query;
  explicit DnsChannel(boost::asio::io_context& io);

  static void on_answer(void* query, int status, int timeouts, ares_addrinfo* result);
  static void on_socket(void* self, ares_socket_t fd, int readable, int writable);
  void watch(ares_socket_t fd, bool read, bool write);
  void arm(const std::shared_ptr<Watch>& watch);
  void process(ares_socket_t readable, ares_socket_t writable);
  void set_timer();

  boost::asio::io_context& io_;
  boost::asio::steady_timer timer_;
  ares_channel channel_ = nullptr;
  std::unordered_map<ares_socket_t, std::shared_ptr<Watch>> watches_;
  Query* pending_inside_ = nullptr;  // the lookup whose ares_getaddrinfo() has not returned yet
};

}  // namespace understudy::probe
