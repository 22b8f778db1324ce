#include "proxy/server/alerts.hpp"

#include <boost/json.hpp>
#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "health/incident/words.hpp"

namespace understudy::server {

namespace json = boost::json;
using incident::Entry;
using incident::Incident;
using incident::Wall;
using std::chrono::milliseconds;

namespace {

using Clock = std::chrono::steady_clock;
constexpr milliseconds kFirstPause{1'000}, kLongestPause{60'000};
constexpr std::chrono::minutes kTellEvery{1};
constexpr std::size_t kPerIncident = 100;  // messages; a flapping pool is not worth more
constexpr std::size_t kMemory = 256;       // incidents of which it is remembered what was told

Wall wall_now() { return std::chrono::floor<milliseconds>(std::chrono::system_clock::now()); }

bool same(const config::AlertConfig& a, const config::AlertConfig& b) {
  return a.name == b.name && a.url == b.url && a.secret == b.secret && a.ca == b.ca && a.timeout == b.timeout &&
         a.give_up_after == b.give_up_after && a.minor == b.minor;
}

struct News {
  std::string type, key, reason, from, to, who;
  Wall at{};
};

std::string body_of(const Incident& incident, const News& news, const std::string& id, const std::string& node) {
  json::object counts;
  for (const incident::CountName& one : incident::kCounts) counts[one.name] = incident.counts.*one.member;
  json::object out{{"id", id},
                   {"type", news.type},
                   {"time", incident::instant(news.at)},
                   {"node", node},
                   {"incident", incident.number},
                   {"pool", incident.opened.pool},
                   {"drill", incident.opened.drill},
                   {"severity", incident::name_of(incident.severity)},
                   {"from", news.from},
                   {"to", news.to},
                   {"reason", news.reason},
                   {"trigger", !incident.opened.drill.empty() ? "drill"
                               : news.who.empty()             ? "health"
                                                              : "operator"},
                   {"who", news.who},
                   {"epoch", incident.epoch},
                   {"began", incident::instant(incident.opened.began)},
                   {"duration_ms", (news.at - incident.opened.began).count()},
                   {"diagnosis", incident.diagnosis},
                   {"summary", incident::summary(incident)},
                   {"counts", std::move(counts)}};
  return json::serialize(out);
}

// What a line of the timeline is worth telling; nothing: most are not.
std::optional<News> news_of(const Incident& incident, const Entry& entry) {
  News news{"", "", entry.text, "", "", entry.who, entry.at};
  if (entry.at < incident.opened.began) return std::nullopt;
  if (entry.event == "failover" || entry.event == "failback") {
    news.type = "incident.moved";
    news.to = entry.tier;
    news.key = entry.event + "-" + std::to_string(entry.epoch);
  } else if (entry.kind == Entry::Kind::verdict) {
    news.type = "incident.verdict";
    news.to = entry.tier;
  } else if (entry.event == "normal") {
    news.type = "incident.recovered";
  } else if (entry.event == "relapse") {
    news.type = "incident.relapsed";
  } else {
    return std::nullopt;
  }
  if (news.key.empty()) news.key = news.type.substr(9) + "-" + std::to_string(entry.at.time_since_epoch().count());
  return news;
}

}  // namespace

struct Alerts::State : std::enable_shared_from_this<State> {
  State(boost::asio::io_context& context, probe::Resolver& names, std::string host, Log logger, std::uint64_t seed)
      : io(context), resolver(names), node(std::move(host)), log(std::move(logger)), random(seed) {}

  struct Waiting {
    AlertMessage message;
    Clock::time_point since;
  };
  struct Channel {
    Channel(boost::asio::io_context& io, PreparedAlert with, std::unique_ptr<AlertSink> to)
        : alert(std::move(with)), sink(std::move(to)), timer(io) {}
    PreparedAlert alert;
    std::unique_ptr<AlertSink> sink;
    boost::asio::steady_timer timer;
    std::deque<Waiting> queue;
    bool busy = false, pausing = false;
    unsigned failures = 0;  // in a row
    std::optional<Clock::time_point> told;
    Totals totals;
  };
  // What was told of an incident.
  struct Told {
    std::set<std::string> keys;
    std::optional<incident::Severity> severity;
    std::vector<News> news;  // since the last pause
  };

  boost::asio::io_context& io;
  probe::Resolver& resolver;
  std::string node;
  Log log;
  std::minstd_rand random;
  std::vector<std::shared_ptr<Channel>> channels;
  std::map<std::uint64_t, Told> told;
  std::map<std::uint64_t, std::unique_ptr<AlertSink>> tests;
  std::uint64_t last_test = 0;
  std::set<std::string> announced;  // keys
  std::deque<Raised> raised;

  void tell(const Incident& incident, const News& news) {
    Told& known = told[incident.number];
    while (told.size() > kMemory) told.erase(told.begin());
    if (known.keys.size() >= kPerIncident && news.type != "incident.closed") return;
    if (!known.keys.insert(news.key).second) return;
    AlertMessage message;
    message.id = "inc-" + std::to_string(incident.number) + "-" +
                 std::to_string(incident.opened.began.time_since_epoch().count()) + "-" + news.key;
    message.type = news.type;
    message.at = news.at;
    message.minor = incident.severity == incident::Severity::minor;
    message.body = body_of(incident, news, message.id, node);
    note(message, incident.opened.pool);
    for (const auto& channel : channels)
      if (!message.minor || channel->alert.config.minor) enqueue(channel, message);
  }

  void note(const AlertMessage& message, const std::string& pool) {
    raised.push_back({message.id, message.type, pool, message.at});
    if (raised.size() > kMemory) raised.pop_front();
  }

  void enqueue(const std::shared_ptr<Channel>& channel, const AlertMessage& message) {
    if (channel->queue.size() >= kQueue) {
      // The one under way stays: it may arrive.
      channel->queue.erase(channel->queue.begin() + (channel->busy ? 1 : 0));
      drop(*channel, "its queue is full");
    }
    channel->queue.push_back({message, Clock::now()});
    pump(channel);
  }

  void drop(Channel& channel, const std::string& why) {
    ++channel.totals.dropped;
    log(true, "a message of alert " + channel.alert.config.name + " was dropped: " + why);
  }

  void pump(const std::shared_ptr<Channel>& channel) {
    if (channel->busy || channel->pausing || channel->queue.empty()) return;
    channel->busy = true;
    channel->sink->deliver(channel->queue.front().message, wall_now(),
                           [weak = weak_from_this(), channel](const std::string& why) {
                             if (const auto self = weak.lock()) self->on_attempt(channel, why);
                           });
  }

  void on_attempt(const std::shared_ptr<Channel>& channel, const std::string& why) {
    channel->busy = false;
    const Clock::time_point now = Clock::now();
    const std::string& name = channel->alert.config.name;
    if (why.empty()) {
      ++channel->totals.sent;
      channel->queue.pop_front();
      if (channel->failures > 0) log(false, "alert " + name + " is delivered again");
      channel->failures = 0;
      channel->told.reset();
      return pump(channel);
    }
    ++channel->totals.failed;
    ++channel->failures;
    if (!channel->told || now - *channel->told >= kTellEvery) {
      channel->told = now;
      log(true, "alert " + name + " cannot be delivered, " + std::to_string(channel->queue.size()) +
                    " messages wait: " + why);
    }
    if (now - channel->queue.front().since >= channel->alert.config.give_up_after) {
      drop(*channel, "not delivered in time; last: " + why);
      channel->queue.pop_front();
    }
    channel->pausing = true;
    channel->timer.expires_after(pause(channel->failures));
    channel->timer.async_wait([weak = weak_from_this(), channel](const boost::system::error_code& error) {
      const auto self = weak.lock();
      channel->pausing = false;
      if (self && !error) self->pump(channel);
    });
  }

  // Doubling, and spread, so that many proxies do not come back together.
  milliseconds pause(unsigned failures) {
    const auto whole = std::min(kFirstPause * (1U << std::min(failures - 1, 10U)), kLongestPause);
    return whole / 2 + milliseconds(random() % static_cast<std::uint32_t>(whole.count() / 2 + 1));
  }

  void on_record(const Incident& incident, const incident::Record* record) {
    if (record != nullptr) {
      const auto* entry = std::get_if<Entry>(&record->what);
      const auto* closed = std::get_if<incident::Closed>(&record->what);
      if (entry != nullptr) {
        if (auto news = news_of(incident, *entry)) told[incident.number].news.push_back(std::move(*news));
      }
      if (closed != nullptr)
        told[incident.number].news.push_back({"incident.closed", "closed", closed->text, "", "", "", closed->at});
      if (std::holds_alternative<incident::Opened>(record->what)) told[incident.number];
      return;
    }
    // What a former process opened was told by it.
    const bool ours = told.contains(incident.number);
    Told& known = told[incident.number];
    if (!ours) known.severity = incident.severity;
    const std::vector<News> news = std::exchange(known.news, {});
    if (!known.severity || *known.severity < incident.severity) {
      // Who is not told of minor ones hears of it for the first time when it is no longer minor.
      const bool first = !known.severity || *known.severity == incident::Severity::minor;
      known.severity = incident.severity;
      tell(incident, {first ? "incident.opened" : "incident.worse",
                      "opened-" + std::string(incident::name_of(incident.severity)), incident::summary(incident),
                      incident.opened.tier, "", "", first ? incident.opened.detected : incident.last()});
    }
    for (const News& one : news) tell(incident, one);
  }

  void test(const std::string& name, std::function<void(std::string)> done) {
    const auto found = std::find_if(channels.begin(), channels.end(),
                                    [&](const auto& channel) { return channel->alert.config.name == name; });
    if (found == channels.end()) return done("there is no alert '" + name + "'");
    const std::uint64_t number = ++last_test;
    AlertMessage message;
    message.type = "test";
    message.at = wall_now();
    message.id = "test-" + std::to_string(message.at.time_since_epoch().count()) + "-" + std::to_string(number);
    message.body = json::serialize(json::object{{"id", message.id},
                                                {"type", "test"},
                                                {"time", incident::instant(message.at)},
                                                {"node", node},
                                                {"reason", "somebody asked for a test message"}});
    AlertSink& sink = *tests.emplace(number, make_sink(io, resolver, (*found)->alert)).first->second;
    sink.deliver(message, message.at,
                 [weak = weak_from_this(), number, done = std::move(done)](const std::string& why) {
                   const auto self = weak.lock();
                   if (!self) return;
                   const auto keep = self->tests.extract(number);  // until its own call is over
                   done(why);
                 });
  }
};

std::vector<PreparedAlert> prepare_alerts(const config::Config& config) {
  std::vector<PreparedAlert> out;
  for (const config::AlertConfig& alert : config.alerts) out.push_back({alert, tls_of(alert)});
  return out;
}

Alerts::Alerts(boost::asio::io_context& io, probe::Resolver& resolver, std::string node, Log log, std::uint64_t seed)
    : state_(std::make_shared<State>(io, resolver, std::move(node), std::move(log), seed)) {}

Alerts::~Alerts() {
  for (const auto& channel : state_->channels) {
    channel->sink->cancel();
    channel->timer.cancel();
  }
}

void Alerts::configure(const std::vector<PreparedAlert>& alerts) {
  std::vector<std::shared_ptr<State::Channel>> before = std::exchange(state_->channels, {});
  for (const PreparedAlert& alert : alerts) {
    const auto known = std::find_if(before.begin(), before.end(), [&](const auto& channel) {
      return channel && same(channel->alert.config, alert.config);
    });
    if (known != before.end()) {
      state_->channels.push_back(std::move(*known));
      continue;
    }
    auto channel = std::make_shared<State::Channel>(state_->io, alert, make_sink(state_->io, state_->resolver, alert));
    channel->totals.name = alert.config.name;
    state_->channels.push_back(std::move(channel));
  }
  for (const auto& gone : before) {
    if (!gone) continue;
    gone->sink->cancel();
    gone->timer.cancel();
    if (!gone->queue.empty())
      state_->log(true, std::to_string(gone->queue.size()) + " messages of alert " + gone->alert.config.name +
                            " are dropped: it was changed or removed");
  }
}

void Alerts::on_record(const Incident& incident, const incident::Record* record) {
  state_->on_record(incident, record);
}

void Alerts::announce(const std::string& type, const std::string& key, const std::string& pool,
                      const std::string& reason) {
  if (!state_->announced.insert(key).second) return;
  while (state_->announced.size() > kMemory) state_->announced.erase(state_->announced.begin());
  AlertMessage message;
  message.type = type;
  message.at = wall_now();
  message.id = key;
  message.body = json::serialize(json::object{{"id", key},
                                              {"type", type},
                                              {"time", incident::instant(message.at)},
                                              {"node", state_->node},
                                              {"pool", pool},
                                              {"reason", reason}});
  state_->note(message, pool);
  for (const auto& channel : state_->channels) state_->enqueue(channel, message);
}

std::vector<Alerts::Raised> Alerts::raised() const { return {state_->raised.begin(), state_->raised.end()}; }

void Alerts::test(const std::string& name, std::function<void(std::string why)> done) {
  state_->test(name, std::move(done));
}

std::vector<Alerts::Totals> Alerts::totals() const {
  std::vector<Totals> out;
  for (const auto& channel : state_->channels) {
    out.push_back(channel->totals);
    out.back().waiting = channel->queue.size();
  }
  return out;
}

}  // namespace understudy::server
