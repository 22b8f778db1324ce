// The command line: understudy run | check | config show | init | schema | quick | demo | rehearse | reload | status | …
#pragma once

namespace understudy::cli {
// Exit codes: 0 done · 1 the thing asked for failed · 2 usage · 3 daemon not reachable.
int run(int argc, char** argv);
}  // namespace understudy::cli
