#include "proxy/admin/access.hpp"

#include <algorithm>
#include <charconv>

namespace understudy::admin {
namespace {

struct HostPort {
  std::string_view host;  // brackets kept
  std::string_view port;  // "" when absent
};

HostPort split(std::string_view authority) {
  const std::size_t bracket = authority.find(']');
  const std::size_t from = bracket == std::string_view::npos ? 0 : bracket;
  const std::size_t colon = authority.find(':', from);
  if (colon == std::string_view::npos) return {authority, {}};
  return {authority.substr(0, colon), authority.substr(colon + 1)};
}

bool is_loopback_name(std::string_view host) {
  return host == "127.0.0.1" || host == "[::1]" || equal_ignoring_case(host, "localhost");
}

bool port_matches(std::string_view text, std::uint16_t port) {
  if (text.empty()) return port == 80;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value == port;
}

bool is_configured_host(const AccessRules& rules, std::string_view authority) {
  const HostPort asked = split(authority);
  return std::any_of(rules.hosts.begin(), rules.hosts.end(), [&](const std::string& allowed) {
    const HostPort mine = split(allowed);
    return equal_ignoring_case(mine.host, asked.host) && (mine.port.empty() || mine.port == asked.port);
  });
}

// On a Unix socket Host says nothing about who asks (curl sends "localhost"), except through a forwarded
// port, where the name is a loopback one. A page served there may ask back.
bool names_us(const AccessRules& rules, std::string_view authority) {
  if (is_configured_host(rules, authority)) return true;
  const HostPort asked = split(authority);
  return is_loopback_name(asked.host) && (rules.unix_socket || port_matches(asked.port, rules.port));
}

std::string_view without_scheme(std::string_view origin) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme)) return origin.substr(scheme.size());
  }
  return {};
}

Problem forbidden(std::string title, std::string detail) { return Problem{403, std::move(title), std::move(detail)}; }

}  // namespace

std::optional<Problem> check_origin(const AccessRules& rules, const Request& request) {
  const std::string_view host = request.field("host");
  if (!rules.unix_socket && !names_us(rules, host)) {
    return forbidden("Host not allowed", "the admin API answers to 127.0.0.1, localhost and [::1] with port " +
                                             std::to_string(rules.port) +
                                             "; add other names to admin.hosts in the configuration");
  }
  for (const std::string_view origin : request.all("origin")) {
    const std::string_view authority = without_scheme(origin);
    if (authority.empty() || !equal_ignoring_case(authority, host) || !names_us(rules, authority)) {
      return forbidden("foreign Origin", "requests that pages of other sites send are refused, reading included");
    }
  }
  for (const std::string_view site : request.all("sec-fetch-site")) {
    if (!equal_ignoring_case(site, "same-origin") && !equal_ignoring_case(site, "none")) {
      return forbidden("cross-site request", "Sec-Fetch-Site must be same-origin or none, reading included");
    }
  }
  return std::nullopt;
}

bool equal_in_constant_time(std::string_view presented, std::string_view expected) {
  // Walks what was presented, so that its own length is all that the time tells.
  volatile unsigned difference = presented.size() == expected.size() ? 0U : 1U;
  const std::size_t modulus = expected.empty() ? 1 : expected.size();
  for (std::size_t i = 0; i < presented.size(); ++i) {
    const unsigned char mine = expected.empty() ? 0 : static_cast<unsigned char>(expected[i % modulus]);
    difference = difference | static_cast<unsigned>(static_cast<unsigned char>(presented[i]) ^ mine);
  }
  return difference == 0;
}

Login check_token(const AccessRules& rules, const Request& request) {
  if (!rules.token) return Login::ok;
  const auto given = request.all("authorization");
  if (given.empty()) return Login::missing;
  if (given.size() != 1) return Login::wrong;
  std::string_view value = given.front();
  static constexpr std::string_view kScheme = "bearer ";
  if (value.size() < kScheme.size() || !equal_ignoring_case(value.substr(0, kScheme.size()), kScheme)) {
    return Login::wrong;
  }
  value.remove_prefix(kScheme.size());
  while (value.starts_with(' ')) value.remove_prefix(1);
  // An empty token would let anybody in who sends "Bearer ".
  return !rules.token->empty() && equal_in_constant_time(value, *rules.token) ? Login::ok : Login::wrong;
}

std::optional<Problem> check_mutation(const Request& request) {
  const auto mark = request.all("x-understudy");
  if (mark.size() != 1 || mark.front() != "1") {
    return forbidden("X-Understudy missing", "send the header 'X-Understudy: 1' with every change");
  }
  const auto types = request.all("content-type");
  std::string_view type = types.size() == 1 ? types.front() : std::string_view{};
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  if (!equal_ignoring_case(type, "application/json")) {
    return Problem{415, "not JSON", "send the header 'Content-Type: application/json' with every change"};
  }
  return std::nullopt;
}

double FailedLogins::refilled(const Bucket& bucket, TimePoint now) const {
  const double seconds = std::chrono::duration<double>(now - bucket.at).count();
  return std::min(per_second_, bucket.tokens + std::max(0.0, seconds) * per_second_);
}

bool FailedLogins::limited(const std::string& source, TimePoint now) {
  const auto found = buckets_.find(source);
  return found != buckets_.end() && refilled(found->second, now) < 1;
}

void FailedLogins::record(const std::string& source, TimePoint now) {
  auto [found, fresh] = buckets_.try_emplace(source);
  Bucket& bucket = found->second;
  if (fresh) {
    bucket.tokens = per_second_;
    bucket.place = order_.insert(order_.end(), source);
  } else {
    bucket.tokens = refilled(bucket, now);
    order_.splice(order_.end(), order_, bucket.place);
  }
  bucket.at = now;
  bucket.tokens = std::max(0.0, bucket.tokens - 1);
  while (buckets_.size() > max_sources_) {
    buckets_.erase(order_.front());
    order_.pop_front();
  }
}

}  // namespace understudy::admin
