// Host, path, method and headers to a route. First match wins, in file order. Immutable after construction; shared by all workers.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "config/model.hpp"
#include "proxy/http/message.hpp"

namespace understudy::route {

enum class RouteError : std::uint8_t {
  none,
  unknown_host,       // 404, or 421 over TLS
  no_route,           // host known, nothing matches: 404
  method_not_allowed, // 405: routes match but for the method
  ambiguous_path      // 400: %2f %5c %00 encoded dot segments, '\', ';..', '//' where a path rule exists for the host
};

struct RouteMatch {
  std::uint32_t index = 0;    // into Config::routes
  RouteError error = RouteError::none;
};

class RouteTable {
public:
  explicit RouteTable(const config::Config& config);
  ~RouteTable();
  RouteTable(RouteTable&&) noexcept;
  RouteTable& operator=(RouteTable&&) noexcept;

  // Cost must not grow with the number of routes for host-distinguished tables (1,000 routes: under 1 µs).
  // Matches on the path decoded once with dot segments resolved; the original bytes are what is forwarded.
  RouteMatch match(const http::RequestHead& head, const char* base) const;

private:
  struct Index;
  std::unique_ptr<Index> index_;
};

}  // namespace understudy::route
