// Who may ask the admin API what: Host and Origin rules against browsers (CSRF, DNS rebinding), the bearer
// token, the marks of an intended change, and the brake on guessing. Pure: requests and times are handed in.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/admin/message.hpp"

namespace understudy::admin {

struct AccessRules {
  bool unix_socket = false;
  std::uint16_t port = 0;            // TCP: where it listens, the port that Host must name
  std::vector<std::string> hosts;    // extra Host values: "admin.example.org" (any port) or with a port
  std::optional<std::string> token;  // bearer token; none: not asked for
};

// 403 unless Host names this listener (TCP only) and nothing says that a foreign page sent it. Reads and
// writes alike.
std::optional<Problem> check_origin(const AccessRules& rules, const Request& request);

enum class Login : std::uint8_t { ok, missing, wrong };
// Compares in a time that does not depend on where the texts differ.
Login check_token(const AccessRules& rules, const Request& request);
bool equal_in_constant_time(std::string_view presented, std::string_view expected);

// What a change must carry so that no form or link can cause it: `X-Understudy: 1` (403), `Content-Type:
// application/json` (415).
std::optional<Problem> check_mutation(const Request& request);

// Failed logins per source: five at once, five a second. While a source is over it, its tokens are not even
// compared, so that guessing gets no answer. Memory is bounded; the source that failed longest ago is
// forgotten first.
class FailedLogins {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  explicit FailedLogins(double per_second = 5, std::size_t max_sources = 256)
      : per_second_(per_second), max_sources_(max_sources) {}
  bool limited(const std::string& source, TimePoint now);
  void record(const std::string& source, TimePoint now);
  std::size_t sources() const { return buckets_.size(); }

private:
  struct Bucket {
    double tokens = 0;
    TimePoint at{};
    std::list<std::string>::iterator place;
  };
  double refilled(const Bucket& bucket, TimePoint now) const;
  double per_second_;
  std::size_t max_sources_;
  std::map<std::string, Bucket> buckets_;
  std::list<std::string> order_;  // longest ago first
};

}  // namespace understudy::admin
