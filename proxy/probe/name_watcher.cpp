#include "proxy/probe/name_watcher.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <random>
#include <utility>

namespace understudy::probe {

namespace asio = boost::asio;
using std::chrono::milliseconds;

std::vector<WatchedName> names_of(const config::Config& config) {
  std::vector<WatchedName> names;
  for (std::uint32_t p = 0; p < config.pools.size(); ++p) {
    const auto& tiers = config.pools[p].tiers;
    for (std::uint32_t t = 0; t < tiers.size(); ++t) {
      const auto& endpoints = tiers[t].endpoints;
      for (std::uint32_t e = 0; e < endpoints.size(); ++e) {
        const config::Address& address = endpoints[e].address;
        if (!address.is_unix() && !address.numeric()) names.push_back({p, t, e, address.host, address.port});
      }
    }
  }
  return names;
}

struct NameWatcher::State : std::enable_shared_from_this<State> {
  // Lives in `hosts` as long as an endpoint names it; a late answer for one that left finds it dead.
  struct Host {
    Host(asio::io_context& io, std::string text) : name(std::move(text)), timer(io) {}
    std::string name;
    asio::steady_timer timer;
    std::vector<config::SocketAddress> addresses;
    std::uint32_t failures = 0;
    bool dead = false;
  };
  using HostPtr = std::shared_ptr<Host>;

  State(asio::io_context& context, Resolver& with, std::uint64_t seed, RetryPauses times)
      : io(context), resolver(with), random(seed), pauses(times) {}

  asio::io_context& io;
  Resolver& resolver;
  std::mt19937_64 random;
  const RetryPauses pauses;
  Changed changed;
  Failed failed;
  bool stopped = false;
  std::vector<WatchedName> names;
  std::map<std::string, HostPtr> hosts;

  void reconfigure(std::vector<WatchedName> wanted) {
    const std::vector<WatchedName> before = std::exchange(names, std::move(wanted));
    std::map<std::string, HostPtr> kept;
    std::vector<HostPtr> fresh;
    for (const WatchedName& name : names) {
      if (kept.contains(name.host)) continue;
      auto known = hosts.extract(name.host);
      if (known.empty()) {
        fresh.push_back(std::make_shared<Host>(io, name.host));
        kept.emplace(name.host, fresh.back());
      } else {
        kept.insert(std::move(known));
      }
    }
    for (const auto& [text, host] : hosts) drop(*host);
    hosts = std::move(kept);
    for (const WatchedName& name : names)
      if (std::find(before.begin(), before.end(), name) == before.end()) post_known(name);
    for (const HostPtr& host : fresh) ask(host);
  }

  static void drop(Host& host) {
    host.dead = true;
    host.timer.cancel();
  }

  void post_known(const WatchedName& name) {
    if (hosts.at(name.host)->addresses.empty()) return;
    asio::post(io, [self = shared_from_this(), name] {
      // Only if it is still wanted; the addresses may have moved on, then these are the newer ones.
      const auto found = self->hosts.find(name.host);
      if (self->stopped || found == self->hosts.end()) return;
      if (std::find(self->names.begin(), self->names.end(), name) != self->names.end())
        self->tell(name, found->second->addresses);
    });
  }

  void tell(const WatchedName& name, const std::vector<config::SocketAddress>& addresses) {
    health::Resolution resolution{name.pool, name.tier, name.endpoint, addresses};
    for (auto& address : resolution.addresses) address.port = name.port;
    const Changed call = changed;  // a callback may end the watcher
    call(std::move(resolution));
  }

  void ask(const HostPtr& host) {
    resolver.resolve(host->name, [weak = weak_from_this(), host](Answer answer) {
      const auto self = weak.lock();
      if (self && !self->stopped && !host->dead) self->on_answer(host, std::move(answer));
    });
  }

  void ask_after(const HostPtr& host, std::chrono::nanoseconds pause) {
    host->timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(pause));
    host->timer.async_wait([weak = weak_from_this(), host](const boost::system::error_code& ec) {
      const auto self = weak.lock();
      if (!ec && self && !self->stopped && !host->dead) self->ask(host);
    });
  }

  void on_answer(const HostPtr& host, Answer answer) {
    if (answer.addresses.empty()) {
      on_failure(host, std::move(answer.error));
      return;
    }
    host->failures = 0;
    ask_after(host, answer.ttl);
    if (answer.addresses == host->addresses) return;
    host->addresses = std::move(answer.addresses);
    const auto addresses = host->addresses;
    const auto list = names;  // a callback may reconfigure
    for (const WatchedName& name : list) {
      if (name.host != host->name) continue;
      if (stopped || host->dead) return;
      if (std::find(names.begin(), names.end(), name) != names.end()) tell(name, addresses);
    }
  }

  void on_failure(const HostPtr& host, std::string error) {
    const milliseconds pause = pause_after(host->failures++);
    ask_after(host, pause);
    if (const Failed call = failed) call({host->name, std::move(error), pause, host->failures});
  }

  milliseconds pause_after(std::uint32_t failures) {
    const auto doubled = pauses.first * (std::uint64_t{1} << std::min(failures, std::uint32_t{20}));
    const auto full = std::min<std::int64_t>(pauses.last.count(), static_cast<std::int64_t>(doubled.count()));
    std::uniform_int_distribution<std::int64_t> spread(0, full / 4);
    return milliseconds(full - spread(random));
  }
};

NameWatcher::NameWatcher(asio::io_context& io, Resolver& resolver, std::uint64_t seed, Changed changed, Failed failed,
                         RetryPauses pauses)
    : state_(std::make_shared<State>(io, resolver, seed, pauses)) {
  state_->changed = std::move(changed);
  state_->failed = std::move(failed);
}

NameWatcher::~NameWatcher() {
  state_->stopped = true;
  for (const auto& [text, host] : state_->hosts) State::drop(*host);
}

void NameWatcher::reconfigure(std::vector<WatchedName> names) { state_->reconfigure(std::move(names)); }

}  // namespace understudy::probe
