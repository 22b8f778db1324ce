// What a client has to send so that the routes of a configuration take it to a pool.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/model.hpp"

namespace understudy::drill {

struct Target {
  std::string route;  // its name
  std::string host, path;
  std::vector<config::NameValue> headers;
  bool post = true;                 // the route takes POST too
  bool websocket = true;            // and upgrades
  std::uint16_t close_code = 1012;  // of WebSockets that have to leave
};

// The first route of the pool that a request can be found for which no earlier one takes; nothing when there is none.
std::optional<Target> find_target(const config::Config& config, const std::string& pool);

}  // namespace understudy::drill
