// The declarations of a scenario's keys, and the rules between them. Declared in keys_scenario.cpp with declare.hpp.
#pragma once

#include "config/keys.hpp"
#include "config/scenario.hpp"

namespace understudy::config {

// The top of the file; its object is a Scenario.
const Section& scenario_section();
const Section& scenario_load_section();
const Section& fault_section();
const Section& operator_section();
const Section& expect_section();
const Section& serving_section();
const Section& guards_section();

// All of them in the order of the reference page, the top of the file first.
const std::vector<const Section*>& scenario_sections();

// The words of FaultKind, in its order.
const std::vector<std::string>& fault_kinds();

// Whether a key of [[fault]] has a use in that kind of fault.
bool fault_key_applies(std::string_view key, FaultKind kind);

// Reports what contradicts itself, lies outside of the scenario or could not be measured.
void validate_scenario(const Scenario& scenario, Reader& reader);
// Reports what that rung cannot do or measure.
void validate_rung(const Scenario& scenario, Reader& reader, Rung rung);

}  // namespace understudy::config
