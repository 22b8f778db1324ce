#include "proxy/probe/dns_channel.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace understudy::probe {
namespace {

namespace asio = boost::asio;
using config::SocketAddress;
using std::chrono::milliseconds;

constexpr int kTries = 2;  // rounds over all servers, the second twice as patient
constexpr int kMinTry = 20;

void start_library() {
  static const int status = ares_library_init(ARES_LIB_INIT_ALL);
  if (status != ARES_SUCCESS) throw std::runtime_error(std::string("c-ares cannot start: ") + ares_strerror(status));
}

// "10.0.0.1:53,[::1]:5353"
std::string server_list(const std::vector<config::Address>& servers) {
  std::string list;
  for (const config::Address& server : servers) {
    auto address = server.is_unix() ? std::nullopt : config::parse_ip(server.host);
    if (!address)
      throw std::runtime_error("dns.servers: '" + server.text +
                               "' is no IP address; give servers as 10.0.0.2 or [::1]:53");
    address->port = server.port == 0 ? 53 : server.port;
    if (!list.empty()) list += ',';
    list += address->to_string();
  }
  return list;
}

struct ChannelOptions {
  ares_options options{};
  int mask = 0;
};

void check(int status) {
  if (status != ARES_SUCCESS)
    throw std::runtime_error(std::string("name resolution cannot start: ") + ares_strerror(status));
}

std::size_t count_servers(ares_channel channel) {
  ares_addr_port_node* servers = nullptr;
  if (ares_get_servers_ports(channel, &servers) != ARES_SUCCESS) return 1;
  std::size_t count = 0;
  for (const auto* s = servers; s != nullptr; s = s->next) ++count;
  ares_free_data(servers);
  return std::max<std::size_t>(count, 1);
}

// How many servers the system's resolv.conf names: the time of a lookup is divided among them.
std::size_t count_system_servers() {
  ares_channel channel = nullptr;
  if (ares_init(&channel) != ARES_SUCCESS) return 1;
  const std::size_t count = count_servers(channel);
  ares_destroy(channel);
  return count;
}

bool to_address(const sockaddr* native, SocketAddress& out) {
  if (native == nullptr) return false;
  if (native->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, native, sizeof in);
    out.family = SocketAddress::Family::v4;
    std::memcpy(out.ip.data(), &in.sin_addr, 4);
    return true;
  }
  if (native->sa_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, native, sizeof in);
    out.family = SocketAddress::Family::v6;
    std::memcpy(out.ip.data(), &in.sin6_addr, 16);
    return true;
  }
  return false;
}

Lookup read_result(const ares_addrinfo* info) {
  Lookup lookup;
  int ttl = INT32_MAX;
  for (const auto* node = info->nodes; node != nullptr; node = node->ai_next) {
    SocketAddress address;
    if (!to_address(node->ai_addr, address)) continue;
    lookup.addresses.push_back(address);
    ttl = std::min(ttl, node->ai_ttl);
  }
  for (const auto* alias = info->cnames; alias != nullptr; alias = alias->next) ttl = std::min(ttl, alias->ttl);
  lookup.ttl = std::chrono::seconds(std::max(ttl, 0));
  return lookup;
}

}  // namespace

struct DnsChannel::Watch {
  Watch(asio::io_context& io, ares_socket_t fd) : descriptor(io, fd), socket(fd) {}
  asio::posix::stream_descriptor descriptor;  // released, never closed: c-ares closes
  ares_socket_t socket;
  bool want_read = false, want_write = false;
  bool reading = false, writing = false;
  bool gone = false;
};

struct DnsChannel::Query {
  std::shared_ptr<DnsChannel> channel;
  Done done;
  bool asking = true;  // still inside ares_getaddrinfo(): an answer now comes from /etc/hosts
};

DnsChannel::DnsChannel(asio::io_context& io) : io_(io), timer_(io) {}

std::shared_ptr<DnsChannel> DnsChannel::open(asio::io_context& io, const config::DnsConfig& dns) {
  start_library();
  const std::string servers = server_list(dns.servers);
  const std::size_t count = dns.servers.empty() ? count_system_servers() : dns.servers.size();
  std::shared_ptr<DnsChannel> self(new DnsChannel(io));

  ares_options options{};
  // count × (t + 2t) has to end before dns.timeout, so that one silent server or record type loses nothing.
  options.timeout = std::max(static_cast<int>(dns.timeout.count() * 9 / 10 / static_cast<int>(3 * count)), kMinTry);
  options.tries = kTries;
  char lookups[] = "fb";  // /etc/hosts first, then DNS
  options.lookups = lookups;
  options.sock_state_cb = &DnsChannel::on_socket;
  options.sock_state_cb_data = self.get();
  const int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE;
  check(ares_init_options(&self->channel_, &options, mask));
  if (!servers.empty()) check(ares_set_servers_ports_csv(self->channel_, servers.c_str()));
  return self;
}

DnsChannel::~DnsChannel() { close(); }

void DnsChannel::close() {
  if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
  for (auto& [fd, watch] : std::exchange(watches_, {})) {
    watch->gone = true;
    watch->descriptor.release();
  }
  timer_.cancel();
}

void DnsChannel::lookup(const std::string& host, Done done) {
  if (channel_ == nullptr) return;
  auto* query = new Query{shared_from_this(), std::move(done)};
  // The callback may come before the call returns; a copy of the flag's owner keeps it readable.
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_flags = ARES_AI_NOSORT;
  hints.ai_socktype = SOCK_STREAM;
  pending_inside_ = query;
  ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, &DnsChannel::on_answer, query);
  if (pending_inside_ != nullptr) pending_inside_->asking = false;
  pending_inside_ = nullptr;
  set_timer();
}

void DnsChannel::on_answer(void* argument, int status, int /*timeouts*/, ares_addrinfo* info) {
  std::unique_ptr<Query> query(static_cast<Query*>(argument));
  DnsChannel& self = *query->channel;
  if (self.pending_inside_ == query.get()) self.pending_inside_ = nullptr;
  Lookup lookup;
  if (status == ARES_SUCCESS && info != nullptr) lookup = read_result(info);
  lookup.local = status == ARES_SUCCESS && query->asking;
  lookup.status = status;
  if (info != nullptr) ares_freeaddrinfo(info);
  if (self.channel_ == nullptr) {  // closing: the channel's last reference must not go inside this callback
    asio::post(self.io_, [keep = std::move(query->channel)] {});
    return;
  }
  asio::post(self.io_, [keep = std::move(query->channel), done = std::move(query->done),
                        answer = std::move(lookup)]() mutable { done(std::move(answer)); });
}

void DnsChannel::on_socket(void* self, ares_socket_t fd, int readable, int writable) {
  static_cast<DnsChannel*>(self)->watch(fd, readable != 0, writable != 0);
}

void DnsChannel::watch(ares_socket_t fd, bool read, bool write) {
  const auto found = watches_.find(fd);
  if (!read && !write) {
    if (found == watches_.end()) return;
    found->second->gone = true;
    found->second->descriptor.release();
    watches_.erase(found);
    return;
  }
  const auto watch = found != watches_.end() ? found->second : std::make_shared<Watch>(io_, fd);
  if (found == watches_.end()) watches_.emplace(fd, watch);
  watch->want_read = read;
  watch->want_write = write;
  arm(watch);
}

void DnsChannel::arm(const std::shared_ptr<Watch>& watch) {
  const auto wait = [this, &watch](bool Watch::*wanted, bool Watch::*waiting,
                                   asio::posix::descriptor_base::wait_type type, bool reads) {
    if (watch->gone || !(watch.get()->*wanted) || std::exchange(watch.get()->*waiting, true)) return;
    watch->descriptor.async_wait(
        type, [weak = weak_from_this(), watch, wanted, waiting, reads](const boost::system::error_code& ec) {
          watch.get()->*waiting = false;
          const auto self = weak.lock();
          if (ec || watch->gone || !self || !(watch.get()->*wanted)) return;
          self->process(reads ? watch->socket : ARES_SOCKET_BAD, reads ? ARES_SOCKET_BAD : watch->socket);
          self->arm(watch);
        });
  };
  wait(&Watch::want_read, &Watch::reading, asio::posix::descriptor_base::wait_read, true);
  wait(&Watch::want_write, &Watch::writing, asio::posix::descriptor_base::wait_write, false);
}

void DnsChannel::process(ares_socket_t readable, ares_socket_t writable) {
  if (channel_ == nullptr) return;
  ares_process_fd(channel_, readable, writable);
  set_timer();
}

void DnsChannel::set_timer() {
  if (channel_ == nullptr) return;
  timeval left{};
  if (ares_timeout(channel_, nullptr, &left) == nullptr) {
    timer_.cancel();
    return;
  }
  timer_.expires_after(std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec));
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& ec) {
    const auto self = weak.lock();
    if (!ec && self) self->process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  });
}

}  // namespace understudy::probe
