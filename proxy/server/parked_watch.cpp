#include "proxy/server/parked_watch.hpp"

#include <algorithm>

namespace understudy::server {

std::optional<std::string> ParkedWatch::look(const std::string& pool, const Seen& seen, health::TimePoint now) {
  if (!since_) {
    if (seen.parked < kMany || seen.parked * 100 < seen.open) {
      before_ = seen;
      return std::nullopt;
    }
    since_ = now;
    most_ = seen.parked;
    return "pool '" + pool + "': " + std::to_string(seen.parked) + " of " + std::to_string(seen.open) +
           " tunnels have no endpoint and look for one";
  }
  most_ = std::max(most_, seen.parked);
  if (seen.parked > 0) return std::nullopt;
  const auto lasted = std::chrono::ceil<std::chrono::seconds>(now - *since_).count();
  since_.reset();
  const std::uint64_t resumed = seen.resumed - std::min(seen.resumed, before_.resumed);
  const std::uint64_t given_up = seen.given_up - std::min(seen.given_up, before_.given_up);
  const std::uint64_t at_risk = seen.messages_at_risk - std::min(seen.messages_at_risk, before_.messages_at_risk);
  before_ = seen;
  return "pool '" + pool + "': no tunnel is without an endpoint any more, after " + std::to_string(lasted) + " s and " +
         std::to_string(most_) + " at most; " + std::to_string(resumed) + " went on with another one, " +
         std::to_string(given_up) + " were closed, " + std::to_string(at_risk) + " messages were at risk";
}

}  // namespace understudy::server
