// Tells people: what happens in incidents becomes messages, and each sink delivers them. Control thread only; never waits.
//
//   record of an incident ──► message, once ──► queue of each sink ──► delivered, tried again, or dropped; each is counted
//
// A kind of sink is one file: a class with deliver(), and make_sink(), which chooses (alert_webhook.cpp).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.hpp"
#include "health/incident/incident.hpp"
#include "proxy/probe/resolver.hpp"
#include "proxy/probe/tls_settings.hpp"

namespace understudy::server {

// What happened, apart from how it is told. The same `id` is the same message, however often it is delivered.
struct AlertMessage {
  std::string id;  // "inc-12-opened-1"
  // "incident." and opened, worse, moved, verdict, recovered, relapsed or closed; "drill.overdue"; or "test".
  std::string type;
  incident::Wall at{};
  std::string body;  // JSON
  bool minor = false;
};

// One try to deliver one message. Calls `done` once with "" or why it failed, never from inside deliver(); not at all after
// cancel() or its own end.
class AlertSink {
public:
  using Done = std::function<void(std::string why)>;
  virtual ~AlertSink() = default;
  virtual void deliver(const AlertMessage& message, incident::Wall now, Done done) = 0;
  virtual void cancel() = 0;
};

// An alert with what has to be read from files for it, which is done off the control thread.
struct PreparedAlert {
  config::AlertConfig config;
  std::shared_ptr<const probe::TlsSettings> tls;  // of an https URL
};
// Throws std::runtime_error naming the file and the remedy where one cannot be read.
std::vector<PreparedAlert> prepare_alerts(const config::Config& config);
std::shared_ptr<const probe::TlsSettings> tls_of(const config::AlertConfig& alert);
std::unique_ptr<AlertSink> make_sink(boost::asio::io_context& io, probe::Resolver& resolver,
                                     const PreparedAlert& alert);

class Alerts {
public:
  using Log = std::function<void(bool problem, const std::string& text)>;
  static constexpr std::size_t kQueue = 256;  // messages per sink; beyond, the oldest goes

  // Both must outlive this object.
  Alerts(boost::asio::io_context& io, probe::Resolver& resolver, std::string node, Log log, std::uint64_t seed);
  ~Alerts();
  Alerts(const Alerts&) = delete;
  Alerts& operator=(const Alerts&) = delete;

  // At the start and after a reload: sinks that are configured as before keep their queue, the others begin anew.
  void configure(const std::vector<PreparedAlert>& alerts);
  // After the incident has taken the record in; null when that was all for now.
  void on_record(const incident::Incident& incident, const incident::Record* record);
  // Something to tell that is no incident: `type` as "drill.overdue". The same `key` is the same message, and told once.
  void announce(const std::string& type, const std::string& key, const std::string& pool, const std::string& reason);
  // Delivers one message past the queue, once. `done` gets "" or why it failed.
  void test(const std::string& name, std::function<void(std::string why)> done);

  // The newest messages, the oldest first; whether anybody is told of them or not.
  struct Raised {
    std::string id, type, pool;
    incident::Wall at{};
  };
  std::vector<Raised> raised() const;

  struct Totals {
    std::string name;
    std::uint64_t sent = 0, failed = 0, dropped = 0;  // failed: attempts; dropped: messages given up or without room
    std::uint64_t waiting = 0;
  };
  std::vector<Totals> totals() const;

private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace understudy::server
