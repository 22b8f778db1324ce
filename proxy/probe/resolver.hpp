// Turns host names into addresses without blocking: c-ares on the control thread's io_context.
// Honours /etc/hosts, search domains and resolv.conf (read again when it changes) unless the configuration
// names servers.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/address.hpp"
#include "config/model.hpp"

namespace understudy::probe {

struct Answer {
  std::vector<config::SocketAddress> addresses;  // sorted, distinct, port 0, at most max_addresses; empty on failure
  std::chrono::seconds ttl{0};  // ask again after this; within [min_ttl, max_ttl] when there are addresses
  std::string error;            // why there are none, for people; empty on success
};

class Resolver {
public:
  using Done = std::function<void(Answer)>;

  // Throws std::runtime_error when a DNS server is no IP address or c-ares cannot start. `io` must outlive
  // the resolver.
  Resolver(boost::asio::io_context& io, const config::DnsConfig& dns);
  ~Resolver();  // no `done` is called any more
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // After a reload. Lookups under way finish with the old servers.
  void configure(const config::DnsConfig& dns);

  // A and AAAA. Calls `done` once from the io_context, never from inside resolve(), after dns.timeout at the
  // latest. A failed lookup says why and gives no addresses: the caller keeps its last ones.
  void resolve(const std::string& host, Done done);

private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace understudy::probe
