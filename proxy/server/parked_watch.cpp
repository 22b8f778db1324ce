#include "proxy/server/parked_watch.hpp"

#include <algorithm>
#include <utility>

namespace understudy::server {

namespace {

std::uint64_t grown(std::uint64_t now, std::uint64_t before) { return now - std::min(now, before); }

}  // namespace

std::optional<std::string> ParkedWatch::begins(const std::string& pool, const Seen& seen, health::TimePoint now) {
  if (!looked_ || now >= *looked_ + kWindow) {
    looked_ = now;
    before_ = std::exchange(newest_, seen);
    if (!any_) before_ = seen;
    any_ = true;
  }
  const std::uint64_t went_on = grown(seen.resumed, before_.resumed) + grown(seen.given_up, before_.given_up);
  const std::uint64_t many = std::max(kMany, (seen.open + 99) / 100);
  if (std::max(seen.parked, went_on) < many) return std::nullopt;
  since_ = busy_ = now;
  most_ = seen.parked;
  const std::string parked = std::to_string(seen.parked) + " of " + std::to_string(seen.open);
  if (went_on < many) return "pool '" + pool + "': " + parked + " tunnels have no endpoint and look for one";
  return "pool '" + pool + "': " + std::to_string(went_on) + " tunnels lost their endpoint within " +
         std::to_string(std::chrono::ceil<std::chrono::seconds>(2 * kWindow).count()) + " s; " + parked +
         " look for another one";
}

std::optional<std::string> ParkedWatch::look(const std::string& pool, const Seen& seen, health::TimePoint now) {
  if (!since_) return begins(pool, seen, now);
  most_ = std::max(most_, seen.parked);
  if (seen.parked > 0 || seen.resumed != last_.resumed || seen.given_up != last_.given_up) busy_ = now;
  last_ = seen;
  if (now < busy_ + kQuiet) return std::nullopt;
  const auto lasted = std::chrono::ceil<std::chrono::seconds>(busy_ - *since_).count();
  since_.reset();
  const std::uint64_t at_risk = grown(seen.messages_at_risk, before_.messages_at_risk);
  std::string out = "pool '" + pool + "': no tunnel is without an endpoint any more, after " +
                    std::to_string(std::max<std::int64_t>(lasted, 1)) + " s and " + std::to_string(most_) +
                    " at most; " + std::to_string(grown(seen.resumed, before_.resumed)) +
                    " went on with another one, " + std::to_string(grown(seen.given_up, before_.given_up)) +
                    " were closed, " + std::to_string(at_risk) + " messages were at risk";
  looked_ = now;
  before_ = newest_ = seen;
  return out;
}

}  // namespace understudy::server
