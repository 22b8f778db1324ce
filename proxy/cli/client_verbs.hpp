// The verbs that ask a running process, over its admin API and nothing else.
#pragma once

#include <chrono>
#include <iosfwd>

#include "proxy/admin/client.hpp"
#include "proxy/cli/arguments.hpp"
#include "proxy/cli/daemon.hpp"

namespace understudy::cli {

// REQUIRES asks_daemon(arguments.verb). `now` makes ages out of times. Returns the exit code: 0, 1, or 3 when
// no daemon answers (healthcheck: 1).
int run_client_verb(const Arguments& arguments, const Daemon& daemon, std::chrono::system_clock::time_point now,
                    std::ostream& out, std::ostream& err);

}  // namespace understudy::cli
