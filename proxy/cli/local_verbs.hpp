// The verbs that are done in this process: run, check, config show, init, schema, quick, demo, rehearse, version.
#pragma once

#include "proxy/cli/arguments.hpp"

namespace understudy::cli {

// REQUIRES !asks_daemon(arguments.verb). Returns the exit code.
int run_local_verb(const Arguments& arguments);

}  // namespace understudy::cli
