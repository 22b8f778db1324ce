#include "proxy/probe/resolver.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <unordered_set>
#include <utility>

#include "proxy/probe/dns_channel.hpp"
#include "proxy/probe/words.hpp"

namespace understudy::probe {
namespace {

namespace asio = boost::asio;
using std::chrono::seconds;

constexpr seconds kLocalTtl{60};  // /etc/hosts has none
constexpr const char* kSystemFile = "/etc/resolv.conf";

// Changes when the system's resolver settings do.
struct FileStamp {
  std::int64_t seconds = 0, nanoseconds = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileStamp&) const = default;
};
FileStamp stamp_of(const char* path) {
  struct stat info {};
  if (::stat(path, &info) != 0) return {};
  return {info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ino};
}

std::string sentence(const std::string& host, int status) {
  const std::string name = std::string("'").append(printable(host, 120)).append("'");
  switch (status) {
    case ARES_ENOTFOUND: return name + " does not exist (DNS: name not found)";
    case ARES_ENODATA: return name + " has no address (DNS: neither A nor AAAA)";
    case ARES_ETIMEOUT: return name + " could not be resolved: no DNS server answered in time";
    case ARES_ECONNREFUSED: return name + " could not be resolved: no DNS server can be reached";
    case ARES_EBADNAME: return name + " is not a valid host name";
    default: return name + " could not be resolved: " + ares_strerror(status);
  }
}

Answer make_answer(const std::string& host, Lookup lookup, const config::DnsConfig& dns) {
  using std::chrono::ceil;
  Answer answer;
  if (lookup.status == ARES_SUCCESS && lookup.addresses.empty()) lookup.status = ARES_ENODATA;
  if (lookup.status != ARES_SUCCESS) {
    answer.error = sentence(host, lookup.status);
    return answer;
  }
  auto& list = lookup.addresses;
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  if (list.size() > dns.max_addresses) list.resize(std::max<std::size_t>(dns.max_addresses, 1));
  answer.addresses = std::move(list);
  const seconds highest = std::max(ceil<seconds>(dns.max_ttl), seconds(1));
  const seconds lowest = std::min(std::max(ceil<seconds>(dns.min_ttl), seconds(1)), highest);
  answer.ttl = std::clamp(lookup.local ? kLocalTtl : lookup.ttl, lowest, highest);
  return answer;
}

// One resolve(): channel and timer race, the first answers.
struct Request {
  Request(asio::io_context& io, std::string name, Resolver::Done callback)
      : host(std::move(name)), done(std::move(callback)), timer(io) {}
  std::string host;
  Resolver::Done done;
  asio::steady_timer timer;

  void answer(Answer result) {
    timer.cancel();
    if (const auto call = std::exchange(done, nullptr)) call(std::move(result));
  }
};

}  // namespace

struct Resolver::State : std::enable_shared_from_this<State> {
  explicit State(asio::io_context& context) : io(context) {}

  asio::io_context& io;
  config::DnsConfig dns;
  FileStamp stamp;
  std::shared_ptr<DnsChannel> channel;
  std::vector<std::weak_ptr<DnsChannel>> retired;  // finish what they began
  std::unordered_set<std::shared_ptr<Request>> requests;

  void open() {
    stamp = stamp_of(kSystemFile);
    auto fresh = DnsChannel::open(io, dns);
    std::erase_if(retired, [](const auto& old) { return old.expired(); });
    if (channel) retired.push_back(channel);
    channel = std::move(fresh);
  }

  void refresh_system_servers() {
    if (!dns.servers.empty() || stamp_of(kSystemFile) == stamp) return;
    try {
      open();
    } catch (const std::exception&) {
      stamp = stamp_of(kSystemFile);  // unreadable for now: the old servers go on
    }
  }

  void finish(const std::shared_ptr<Request>& request, Answer answer) {
    if (requests.erase(request) != 0) request->answer(std::move(answer));
  }

  void resolve(const std::string& host, Done done) {
    refresh_system_servers();
    auto request = std::make_shared<Request>(io, host, std::move(done));
    requests.insert(request);
    request->timer.expires_after(dns.timeout);
    request->timer.async_wait([weak = weak_from_this(), request](const boost::system::error_code& ec) {
      const auto self = weak.lock();
      if (ec || !self) return;
      self->finish(request, {{}, seconds(0), sentence(request->host, ARES_ETIMEOUT)});
    });
    channel->lookup(host, [weak = weak_from_this(), request](Lookup lookup) {
      if (const auto self = weak.lock())
        self->finish(request, make_answer(request->host, std::move(lookup), self->dns));
    });
  }

  void close() {
    for (const auto& request : std::exchange(requests, {})) {
      request->done = nullptr;
      request->timer.cancel();
    }
    channel->close();
    for (const auto& old : retired)
      if (const auto still = old.lock()) still->close();
  }
};

Resolver::Resolver(asio::io_context& io, const config::DnsConfig& dns) : state_(std::make_shared<State>(io)) {
  state_->dns = dns;
  state_->open();
}

Resolver::~Resolver() { state_->close(); }

void Resolver::configure(const config::DnsConfig& dns) {
  config::DnsConfig old = std::exchange(state_->dns, dns);
  try {
    state_->open();
  } catch (...) {
    state_->dns = std::move(old);  // a refused change changes nothing
    throw;
  }
}

void Resolver::resolve(const std::string& host, Done done) { state_->resolve(host, std::move(done)); }

}  // namespace understudy::probe
