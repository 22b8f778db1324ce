// `understudy drill FILE...`: scenarios on real sockets against embedded origins, and a verdict.
#pragma once

#include <iosfwd>

#include "config/load.hpp"
#include "proxy/cli/arguments.hpp"

namespace understudy::cli {

inline constexpr int kDrillInvalid =
    4;  // a run that says nothing: the load did not keep its pace, or it was interrupted

// Returns the exit code: 0 when every expectation held, 1 when one did not or a drill could not be made, 2 when the input
// can't be used; then nothing was started and `err` says why. `out_is_terminal`: a line that moves tells how far it is.
int run_drills(const Arguments& arguments, const config::LoadContext& context, bool out_is_terminal, std::ostream& out,
               std::ostream& err);

}  // namespace understudy::cli
