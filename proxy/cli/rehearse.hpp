// `understudy rehearse [CONFIG] SCENARIO`: what the proxy would decide, in virtual time, and whether that is as expected.
#pragma once

#include <iosfwd>
#include <string>

#include "config/load.hpp"
#include "config/scenario.hpp"
#include "health/rehearsal/rehearsal.hpp"
#include "proxy/cli/arguments.hpp"

namespace understudy::cli {

// Reads both files through the context only. Returns the exit code: 0 when every expectation held, 1 when one did not, 2
// when the input can't be used; then nothing was rehearsed and `err` says why, with --json `out`.
int run_rehearsal(const Arguments& arguments, const config::LoadContext& context, std::ostream& out, std::ostream& err);

// What is printed of a rehearsal. `config_file` is the one that it ran against.
std::string rehearsal_text(const config::Scenario& scenario, const std::string& config_file,
                           const health::Rehearsal& rehearsal);
std::string rehearsal_json(const config::Scenario& scenario, const std::string& config_file,
                           const health::Rehearsal& rehearsal);

}  // namespace understudy::cli
