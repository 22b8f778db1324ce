// A configuration made fit for a drill: its endpoints are embedded origins, its listener a port of loopback, its state a
// temporary folder. Nothing outside of this machine is touched; what differs from the configuration is told.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/model.hpp"

namespace understudy::drill {

// An endpoint, or the address of a gate, that an origin stands in for.
struct Place {
  std::string pool, tier, label;
  config::CheckConfig check;  // what its health page has to say
  bool is_gate = false;       // answers well, whatever happens
};

// In the order of the configuration: endpoints first, then gates.
std::vector<Place> places_of(const config::Config& config);

struct Sandbox {
  config::Config config;
  std::vector<std::string> notes;  // what is not as in the configuration
};
// `ports` of the origins, as places_of() lists them; `folder` for state, logs and the admin socket.
Sandbox make_sandbox(const config::Config& config, const std::vector<std::uint16_t>& ports, const std::string& folder);
// So that it can be read from a file, which allows less in names than stands in addresses: "10.0.0.11:3000" becomes
// "10.0.0.11-3000".
void rename_for_file(Sandbox& sandbox);

}  // namespace understudy::drill
