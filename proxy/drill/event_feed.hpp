// What a running proxy tells of itself, by its admin API: events, the newest since the last look.
#pragma once

#include <sys/types.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "health/types.hpp"
#include "proxy/admin/client.hpp"

namespace understudy::drill {

struct ProxyEvent {
  std::chrono::system_clock::time_point at;
  health::Event event;  // kind, pool, tier, endpoint, epoch and reason; its `at` is not set
};

class EventFeed {
public:
  // What has happened since the last call; nothing while it does not answer. Events of whoever answers: in a binary upgrade
  // another process does, whose numbers begin anew, and for a moment now the one and now the other.
  std::vector<ProxyEvent> take(const admin::ClientOptions& options);
  // Of the process that answered last; -1.
  pid_t pid() const { return pid_; }

private:
  std::map<pid_t, std::uint64_t> seen_;  // id of the last event, by process
  pid_t pid_ = -1;
};

// Types of the messages about a pool that alerts were given since then.
std::vector<std::string> alerts_since(const admin::ClientOptions& options, const std::string& pool,
                                      std::chrono::system_clock::time_point since);

// The incidents of a pool that began since then, as the API tells them.
boost::json::array incidents_since(const admin::ClientOptions& options, const std::string& pool,
                                   std::chrono::system_clock::time_point since);

// Of an object of the API; "", false, 0 and nothing where it is not there.
std::string text_of(const boost::json::object& object, std::string_view key);
bool is_true(const boost::json::object& object, std::string_view key);
double number_of(const boost::json::object& object, std::string_view key);
const boost::json::array& list_of(const boost::json::object& object, std::string_view key);
// "2026-11-26T10:20:30.123Z"
std::chrono::system_clock::time_point parse_time(const std::string& text);

}  // namespace understudy::drill
