// Whether a scenario fits a configuration, told with the places of the scenario's file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/scenario.hpp"

namespace understudy::config {

// As mismatches(), each at the line that names what the configuration does not have. `text` is what the scenario was loaded
// from, `file` what diagnostics name.
std::vector<Diagnostic> placed_mismatches(const Scenario& scenario, const Config& config, std::string_view text,
                                          const std::string& file);

}  // namespace understudy::config
