// The clients of a drill: requests in open loop, each with an id of its own. A request is due at its time whether or not
// earlier ones were answered, and its latency counts from then on, so that a stall is felt by all who would have come in it.
// All calls on the thread of `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "config/scenario.hpp"
#include "proxy/drill/behaviour.hpp"
#include "proxy/drill/target.hpp"

namespace understudy::drill {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

enum class Outcome : std::uint8_t {
  pending,
  answered,
  status,   // an answer of failure class, 4xx or 5xx
  refused,  // no connection
  closed,   // or reset, before a whole answer
  malformed,
  timeout  // the client gave up
};
std::string_view name_of(Outcome outcome);

struct RequestRecord {
  Micros due{0};      // since the beginning
  Micros late{0};     // begun so long after: the generator's own doing
  Micros latency{0};  // from due to the end
  std::uint16_t status = 0;
  std::int16_t origin = -1;  // that answered
  Outcome outcome = Outcome::pending;
  bool post = false;
};

struct LoadSettings {
  tcp::endpoint proxy;
  config::ScenarioLoad load;
  config::Duration length{0};
  Target target;
};

class LoadConnection;

class Load {
public:
  Load(asio::io_context& io, LoadSettings settings);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // `done` once every request of the scenario has ended.
  void start(Clock::time_point begin, std::function<void()> done);
  void stop();  // what is left is given up

  struct Tally {
    std::uint64_t sent = 0, failed = 0;
  };
  Tally tally() const { return {records_.size(), failed_}; }  // so far
  // By id: the n-th request has id n.
  const std::vector<RequestRecord>& records() const { return records_; }

  // ---- for connections
  const LoadSettings& settings() const { return settings_; }
  void ended(const std::shared_ptr<LoadConnection>& connection, std::uint64_t id, RequestRecord seen, bool reusable);
  void lost(const std::shared_ptr<LoadConnection>& connection);
  Clock::time_point begin() const { return begin_; }
  std::uint16_t next_client() { return client_ = static_cast<std::uint16_t>((client_ + 1) % 64); }

private:
  void arm();
  void send_due();
  void send(std::uint64_t id);
  Clock::time_point due_of(std::uint64_t id) const;

  asio::io_context& io_;
  LoadSettings settings_;
  asio::steady_timer timer_;
  Clock::time_point begin_{};
  std::function<void()> done_;
  std::uint64_t total_ = 0, open_ = 0, failed_ = 0;
  double post_debt_ = 0;
  std::uint16_t client_ = 0;
  std::vector<RequestRecord> records_;
  std::vector<std::shared_ptr<LoadConnection>> idle_;
  std::set<std::shared_ptr<LoadConnection>> all_;
};

// How well the generator kept its pace: a run with more than one request in a hundred later than 50 ms says nothing.
struct Pace {
  Micros p99{0}, worst{0};
  double late_share = 0;  // later than 50 ms
  bool kept() const { return late_share <= 0.01; }
};
Pace pace_of(std::vector<Micros> late);

}  // namespace understudy::drill
