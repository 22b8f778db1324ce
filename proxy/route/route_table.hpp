// Host, path, method and headers to a route. First match wins, in file order. Immutable after construction;
// shared by all workers.
//
//   host      exact, "*.suffix" (any depth below, never the suffix itself), or none. Port, case and one
//             trailing dot do not count; IPv6 literals are equal by value.
//   path      see path_pattern.hpp
//   method    as written, letter by letter (GET does not imply HEAD)
//   headers   all must be there; the value of one field of that name equals, or the rule says "*". Fields
//             that are not forwarded as look-alikes are not seen.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "config/model.hpp"
#include "proxy/http/message.hpp"

namespace understudy::route {

enum class RouteError : std::uint8_t {
  none,
  unknown_host,        // 404, or 421 over TLS
  no_route,            // host known, nothing matches: 404
  method_not_allowed,  // 405: routes match but for the method
  // 400, only where a path rule other than "/*" exists for the host: %2f %5c %00, encoded dot segments, '\',
  // ';..', '//' and their like, or a path that another route would take if read another way (dot segments not
  // resolved, ';' parameters cut off). %2f passes where the route has allow_encoded_slash and the path
  // selects it in either reading.
  ambiguous_path
};

struct RouteMatch {
  std::uint32_t index = 0;  // into Config::routes; 0 with an error
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

  // For the Allow field of a 405: methods of all routes that match but for the method, "GET, POST".
  // Allocates.
  std::string allowed_methods(const http::RequestHead& head, const char* base) const;

private:
  struct Index;
  std::unique_ptr<Index> index_;
};

}  // namespace understudy::route
